"""Records: what a run writes, and what it refuses to overwrite or to read."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pitfalls.harness import catalogue, compare, record, source
from pitfalls.harness.versions import release

ROOT = source.PACKAGE.parent

CATALOGUE = '''
"""Two pitfalls, for the tests of the suite."""

import pytest
import torch

from pitfalls import observe, pitfall


@pitfall("leaf-in-place", docs=["torch.Tensor.is_leaf"], symptom="an error", error="a leaf Variable")
class TestLeaf:
    """A leaf that requires grad can't be changed in place."""

    @pytest.mark.parametrize("value", [1, 2], ids=["one", "two"])
    def test_trap_it_raises(self, device, value):
        with pytest.raises(RuntimeError, match="a leaf Variable"):
            torch.ones(1, device=device, requires_grad=True).add_(value)


@pitfall("ones-are-float", docs=["torch.ones"], symptom="not integers")
class TestOnes:
    """Ones are float32 by default."""

    def test_trap_they_are_floats(self, device):
        observe(number=NUMBER)
        with pytest.warns(UserWarning, match="said"):
            __import__("warnings").warn("said at 0x7f0000001234 in /some/where/file.py", UserWarning)
        assert torch.ones(2, device=device).dtype == DTYPE
'''


@pytest.fixture
def suite(tmp_path):
    """A copy of the suite that has two small pitfalls for a catalogue."""
    folder = tmp_path / "suite"
    package = folder / "pitfalls"
    shutil.copytree(source.PACKAGE / "harness", package / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(source.PACKAGE / name, package)
    shutil.copy(ROOT / "conftest.py", package)
    write_catalogue(folder)
    return folder


def write_catalogue(suite: Path, number: str = "1", dtype: str = "torch.float32", extra: str = "") -> None:
    area = suite / "pitfalls" / "basics"
    area.mkdir(exist_ok=True)
    (area / "__init__.py").touch()
    text = CATALOGUE.replace("NUMBER", number).replace("DTYPE", dtype) + extra
    (area / "test_basics.py").write_text(text, encoding="utf-8")


def run(suite: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(suite), "PYTHONDONTWRITEBYTECODE": "1"}
    work = suite.parent / "work"
    work.mkdir(exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "--pyargs",
        "pitfalls",
    ]
    return subprocess.run([*command, *arguments], cwd=work, env=environ, capture_output=True, text=True, check=False)


def without_times(path: Path) -> dict:
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["header"]["created"], content["header"]["seconds"]
    return content


def test_two_runs_give_identical_records_also_in_parallel(suite, tmp_path):
    write_catalogue(suite, "[-(2**63), 2**63, chr(0xD800)]")  # what neither xdist nor a file takes as it is
    first, second = tmp_path / "one.json", tmp_path / "two.json"
    done = run(suite, "--record", str(first))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"complete record of 3 cases written to {first}" in done.stdout
    assert run(suite, "--record", str(second), "-n", "2").returncode == 0
    assert without_times(first) == without_times(second)


def test_a_record_holds_what_the_pins_ran_into(suite, tmp_path):
    path = tmp_path / "run.json"
    run(suite, "--record", str(path))
    found = record.read(path)
    assert found.complete
    raising = found.cases["leaf-in-place/test_trap_it_raises[two]@cpu"]
    assert [one["type"] for one in raising["raised"]] == ["RuntimeError"]
    warning = found.cases["ones-are-float/test_trap_they_are_floats@cpu"]
    assert warning["observed"] == {"number": 1}
    assert warning["warned"] == [{"category": "UserWarning", "message": "said at 0x... in .../file.py"}]
    assert "cuda" in found.header["absent"] or any(key.endswith("@cuda") for key in found.cases)
    assert found.apis["torch.Tensor.is_leaf"]["docstring"]
    assert found.pitfalls["leaf-in-place"]["statement"] == "A leaf that requires grad can't be changed in place."


def test_a_partial_run_never_replaces_a_complete_record(suite, tmp_path):
    path = tmp_path / "run.json"
    run(suite, "--record", str(path))
    before = path.read_bytes()
    done = run(suite, "--record", str(path), "-k", "leaf")
    assert done.returncode == 11
    assert "is a complete record, and this run is partial" in done.stdout
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments", [["-k", "leaf"], ["-k", "leaf", "-n", "2"], ["--deselect", "x", "-x"]], ids=["k", "k-and-n", "stopped"]
)
def test_a_partial_run_is_marked_partial(suite, tmp_path, arguments):
    if "-x" in arguments:
        write_catalogue(suite, dtype="torch.int8")
        with (suite / "pitfalls" / "basics" / "test_basics.py").open("a") as file:
            file.write(
                CATALOGUE[CATALOGUE.index("@pitfall") :]
                .split("\n\n\n")[0]
                .replace("leaf-in-place", "zz")
                .replace("TestLeaf", "TestZ")
            )
    path = tmp_path / "run.json"
    run(suite, "--record", str(path), *arguments)
    assert not record.read(path).complete


def test_a_module_that_cannot_be_collected_makes_the_record_partial(suite, tmp_path):
    (suite / "pitfalls" / "basics" / "test_broken.py").write_text("import torch\ntorch.no_such_thing\n")
    path = tmp_path / "run.json"
    done = run(suite, "--record", str(path), "--continue-on-collection-errors")
    assert done.returncode != 0
    assert not record.read(path).complete


@pytest.mark.parametrize("content", ["not mine", '{"a": 1}'], ids=["text", "json"])
def test_nothing_of_the_users_is_overwritten(suite, tmp_path, content):
    path = tmp_path / "run.json"
    path.write_text(content)
    done = run(suite, "--record", str(path))
    assert done.returncode == 4
    assert "it would overwrite something that is no record" in done.stderr
    assert path.read_text() == content


@pytest.mark.parametrize("where", ["no/such/folder/run.json", "."], ids=["missing", "folder"])
def test_a_place_that_cannot_be_written_is_refused_before_the_run(suite, where):
    done = run(suite, "--record", where)
    assert done.returncode == 4
    assert "ERROR: --record" in done.stderr
    assert "passed" not in done.stdout


def sample(**changes):
    content = record.build(
        environment={"torch": "2.13.0"},
        suite="1",
        catalogue="c",
        pitfalls={"a": {"statement": "A."}},
        cases={"a/test_trap_x@cpu": {"outcome": "passed"}},
        absent={},
        apis={},
        complete=True,
        seconds=1.0,
    )
    return {**content, **changes}


def test_a_record_survives_writing_and_reading(tmp_path):
    path = tmp_path / "r.json"
    content = sample(cases={"a/test_trap_x[é-€]@cpu": {"outcome": "passed", "observed": {"v": "<script>"}}})
    record.write(path, content)
    assert record.read(path).cases == content["cases"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("{", "is truncated or no JSON"),
        ("[" * 100_000, "is truncated or no JSON"),
        ("[1]", "is no record of torch-pitfalls"),
        (json.dumps(sample(schema=99)), "has the schema 99"),
        (json.dumps(sample(cases={})), "has been cut or edited"),
        (json.dumps({"schema": 1, "header": {}}), "is no whole record"),
        (json.dumps(sample(footer=None)), "is no whole record"),
        ("\x00\xff", "can't be read"),
    ],
    ids=["empty", "truncated", "nested", "list", "schema", "cut", "parts", "footer", "bytes"],
)
def test_what_is_no_whole_record_is_refused_in_one_line(tmp_path, text, says):
    path = tmp_path / "r.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(record.RecordError, match=says) as caught:
        record.read(path)
    assert "\n" not in str(caught.value)


def test_a_compressed_record_is_the_same_for_the_same_content(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        record.write(tmp_path / name, sample())
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert record.read(tmp_path / "a.json.gz").cases == sample()["cases"]
    (tmp_path / "c.json.gz").write_bytes((tmp_path / "a.json.gz").read_bytes()[:50])
    with pytest.raises(record.RecordError, match="can't be read"):
        record.read(tmp_path / "c.json.gz")


@pytest.mark.parametrize("release", record.shipped(), ids=str)
def test_the_shipped_records_are_whole_and_of_todays_catalogue(release):
    found = record.find(release)
    assert found.complete
    assert found.footer["catalogue"] == source.digest()
    assert set(found.footer["outcomes"]) <= {"passed", "inapplicable"}
    assert found.torch.split("+")[0] == release


def test_a_release_is_found_by_its_minor_version():
    assert record.find("2.13").torch.startswith("2.13.")


def test_a_file_too_large_to_be_a_record_is_not_even_read(tmp_path):
    path = tmp_path / "r.json"
    with path.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    with pytest.raises(record.RecordError, match="no record is that large"):
        record.read(path)


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("at 0x7f12abcd", "at 0x..."),
        ("in /home/someone/x y/file.pt", "in /home/someone/x y/file.pt".replace("/home/someone/x", ".../x")),
        ("shape '[2, 3]' is invalid", "shape '[2, 3]' is invalid"),
        ("a/b is a fraction", "a/b is a fraction"),
        ("bad\nException raised from f at /pytorch/x.cpp:12 (most recent call first):\nframe", "bad"),
        ("object </torch_12_34_5> of worker (pid(s) 678)", "object </torch_N_N_N> of worker (pid(s) N)"),
        ("https://pytorch.org/docs/stable/x.html", "https://pytorch.org/docs/stable/x.html"),
    ],
    ids=["address", "folder", "shape", "fraction", "frames", "process", "link"],
)
def test_messages_are_stripped_of_what_differs_by_machine(text, stable):
    assert record.stable(text) == stable


#: What they find differs by whether torch was built for CUDA; the record of 2.13.0 was made with a build for CPUs.
ABOUT_THE_BUILD = {
    "cuda-needs-a-gpu-when-first-used",
    "cuda-initial-seed-starts-cuda",
    "current-accelerator-is-about-the-build",
}


def test_each_change_that_a_pitfall_states_was_seen_and_each_seen_is_stated():
    shipped = [record.read(path) for path in record.shipped().values()]
    minors = {".".join(map(str, release(one.torch)[:2])) for one in shipped[1:]}
    stated, seen, behaved = set(), set(), set()
    for entry in catalogue.entries():
        stated |= {(".".join(number.split(".")[:2]), entry.slug) for number in entry.changed}
    for old, new in itertools.pairwise(shipped):
        minor = ".".join(map(str, release(new.torch)[:2]))
        for change in compare.compare(old, new).changes:
            seen.add((minor, change.subject))
            if change.what in ("raises another exception", "other value"):
                behaved.add((minor, change.subject))
            # A pin that a release no longer is about told how it was before; one that is new may be about a new API.
            elif any(old.cases.get(one.key, {}).get("outcome") == "passed" for one in change.differences):
                behaved.add((minor, change.subject) if change.what in ("holds otherwise", "no longer applies") else ())
    shown = {record.split_key(key)[0] for key in shipped[-1].cases}  # a pitfall of CUDA alone is in no record of a CPU
    assert sorted(pair for pair in stated - seen if pair[0] in minors and pair[1] in shown) == []
    assert sorted(pair for pair in behaved - stated - {()} if pair[1] not in ABOUT_THE_BUILD) == []


def test_all_records_have_the_same_cases():
    keys = {path.name: set(record.read(path).cases) for path in record.shipped().values()}
    newest = list(keys.values())[-1]
    assert {name: sorted(found ^ newest) for name, found in keys.items() if found != newest} == {}
