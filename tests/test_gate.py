"""What a gate in CI leans on: the quick profile, the floor, and records put together."""

import os

import pytest

from pitfalls.harness import record, source
from tests.test_cli import command
from tests.test_compare import made
from tests.test_record import run, suite, write_catalogue  # noqa: F401 - `suite` is a fixture

HEADLINE = '''

@pitfall("headline", docs=["torch.zeros"], symptom="no ones", priority=1)
class TestHeadline:
    """Zeros are zero, all of them."""

    def test_trap_they_are(self, device):
        assert torch.zeros(2, device=device).tolist() == [0, 0]
'''


def test_quick_runs_the_headlines_alone_and_says_that_it_is_partial(suite):  # noqa: F811
    write_catalogue(suite, extra=HEADLINE)
    rare = suite / "pitfalls" / "basics" / "test_rare.py"
    rare.write_text('raise RuntimeError("quick must not import this")\n')
    done = run(suite, "--quick", "--device", "cpu")
    assert done.returncode == 0, done.stdout
    assert "1 pitfall still holds" in done.stdout
    assert "partial run: 1 of 3 pitfalls in the catalogue ran; a filter took cases away" in done.stdout


def test_a_whole_run_reaches_the_floor(suite):  # noqa: F811
    done = run(suite, "--floor")
    assert done.returncode == 0, done.stdout
    assert "below the floor" not in done.stdout


@pytest.mark.parametrize("parallel", [[], ["-n", "2"]], ids=["one process", "xdist"])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-k", "TestLeaf"], "below the floor: 1 of 2 pitfalls ran"),
        (["--device", "meta-less"], "unknown device"),
        (["--device", "cuda"], "below the floor: 0 cases ran on cpu, 0 were skipped"),
    ],
    ids=["filtered", "unknown", "other device"],
)
def test_less_than_the_whole_is_below_the_floor(suite, arguments, says, parallel):  # noqa: F811
    done = run(suite, "--floor", *arguments, *parallel)
    assert done.returncode == (4 if says.startswith("unknown") else 11), done.stdout
    assert says in done.stdout + done.stderr


def on(device, outcome="passed", **more):
    return made(
        "2.13.0",
        name=f"{device}.json",
        cases={f"grad-accumulates/test_trap_x@{device}": {"outcome": outcome}},
        environment={"torch_git": "abc", "gpus": [] if device == "cpu" else ["H100"], **more},
        absent={"cuda": "CUDA is not available"} if device == "cpu" else {},
    )


def test_records_of_two_devices_become_one(tmp_path):
    content = record.merged([on("cpu"), on("cuda")])
    assert sorted(content["cases"]) == ["grad-accumulates/test_trap_x@cpu", "grad-accumulates/test_trap_x@cuda"]
    assert content["header"]["environment"]["gpus"] == ["H100"]
    assert content["header"]["absent"] == {}
    record.write(tmp_path / "all.json", content)
    assert record.read(tmp_path / "all.json").complete


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (on("cuda", torch_git="def"), "are of different torch: abc and def"),
        (on("cpu", outcome="failed"), "disagrees about grad-accumulates/test_trap_x@cpu: failed, and passed before"),
    ],
    ids=["another torch", "another outcome"],
)
def test_records_that_do_not_belong_together_are_refused(other, says):
    with pytest.raises(record.RecordError, match=says):
        record.merged([on("cpu"), other])


def test_merge_tells_a_line_for_each_and_writes_one_record(tmp_path):
    for one in (on("cpu"), on("cuda")):
        parts = {part: getattr(one, part) for part in ("header", "pitfalls", "cases", "apis", "footer")}
        record.write(tmp_path / one.name, {"schema": record.SCHEMA, **parts})
    done = command("merge", "cpu.json", "cuda.json", "--out", "all.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:4] for line in done.stdout.splitlines()[1:]] == [
        ["2.13.0", "cpu", "1", "1"],
        ["2.13.0", "cuda", "1", "1"],
    ]
    assert command("diff", "all.json", "all.json", cwd=tmp_path).returncode == 0
    assert command("merge", "cpu.json", "missing.json", cwd=tmp_path).returncode == 11
    (tmp_path / "notes.txt").write_text("mine")
    refused = command("merge", "cpu.json", "--out", "notes.txt", cwd=tmp_path)
    assert (refused.returncode, (tmp_path / "notes.txt").read_text()) == (11, "mine")


def test_the_shipped_records_merge_into_a_table(tmp_path):
    done = command("merge", *record.shipped(), cwd=tmp_path)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1 + len(record.shipped())
    assert os.fspath(source.PACKAGE) not in done.stdout
