"""The command line: its exit codes, what it says of bad input, and two real runs compared."""

import json
import os
import subprocess
import sys

import pytest

from pitfalls.harness import cli, record
from tests.test_compare import PASSED, made
from tests.test_record import suite, write_catalogue  # noqa: F401 - a fixture


def command(*arguments, cwd, environ=None):
    done = subprocess.run(
        [sys.executable, "-m", "pitfalls", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environ or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def pair(tmp_path):
    for name, case in (("old", PASSED), ("new", {"outcome": "failed", "detail": "assert 1 == 2"})):
        found = made("2.8.0" if name == "old" else "2.15.0", case=case)
        parts = {part: getattr(found, part) for part in ("header", "pitfalls", "cases", "apis", "footer")}
        record.write(tmp_path / f"{name}.json", {"schema": record.SCHEMA, **parts})
    return tmp_path


def test_diff_finds_the_change_without_torch(pair):
    done = command("diff", "old.json", "new.json", cwd=pair)
    assert done.returncode == 10
    assert "behaviour: grad-accumulates: no longer holds" in done.stdout
    code = "import sys; from pitfalls.harness.cli import main; main(['diff', 'old.json', 'new.json'])"
    code += "; assert not {'torch', 'numpy', 'pytest', 'jinja2'} & set(sys.modules), 'imported too much'"
    assert subprocess.run([sys.executable, "-c", code], cwd=pair, check=False, capture_output=True).returncode == 0


def test_diff_of_a_record_with_itself_is_empty(pair):
    done = command("diff", "old.json", "old.json", cwd=pair)
    assert (done.returncode, done.stdout) == (0, "nothing changed between torch 2.8.0 and torch 2.8.0\n")


def test_diff_writes_every_format(pair):
    assert json.loads(command("diff", "old.json", "new.json", "--json", cwd=pair).stdout)["exit_code"] == 10
    assert command("diff", "old.json", "new.json", "--markdown", cwd=pair).stdout.startswith("### torch-pitfalls")
    command("diff", "old.json", "new.json", "--html", "report.html", cwd=pair)
    assert "no longer holds" in (pair / "report.html").read_text(encoding="utf-8")


def test_an_accepted_change_turns_the_gate_green(pair):
    (pair / "pitfalls.toml").write_text('[[known]]\nslug = "grad-accumulates"\nreason = "we clear"\n')
    done = command("diff", "old.json", "new.json", cwd=pair)
    assert done.returncode == 0
    assert "accepted: we clear" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["diff", "missing.json", "old.json"], 11, "there is no file missing.json"),
        (["diff", ".", "old.json"], 11, "is a folder"),
        (["diff", "empty.json", "old.json"], 11, "is empty"),
        (["diff", "1.13", "old.json"], 11, "no record of torch 1.13 comes with this suite"),
        (["diff", "old.json", "new.json", "--html", "no/where.html"], 11, "can't be written"),
        (["diff", "old.json", "new.json", "--known", "no.toml"], 11, "no.toml"),
        (["diff", "old.json", "new.json", "--code", "nowhere"], 2, "there is no nowhere"),
        (["diff", "old.json", "new.json", "--fail-on", "everything"], 2, "invalid choice"),
        (["diff", "old.json"], 2, "takes two records"),
        (["frobnicate"], 2, "invalid choice"),
        ([], 2, "required"),
        (["compare", "/no/python", sys.executable], 11, "/no/python can't be run"),
        (["compare", "/bin/false", sys.executable], 11, "is no Python"),
    ],
    ids=lambda value: " ".join(map(str, value))[:40] if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_the_right_exit_code(pair, arguments, code, says):
    (pair / "empty.json").touch()
    done = command(*arguments, cwd=pair)
    assert done.returncode == code
    last = done.stderr.strip().splitlines()[-1]
    assert says in last
    assert "error" in last or last.startswith("torch-pitfalls:")


def test_an_interpreter_without_torch_is_told_so(pair, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = command("compare", tmp_path / "bare" / "bin" / "python", sys.executable, cwd=pair)
    assert done.returncode == 11
    assert "has no torch and no numpy and no pytest" in done.stderr


@pytest.mark.parametrize("verb", ["diff", "compare", "upgrade"])
def test_the_help_of_a_verb_fits_a_screen_and_shows_an_example(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit, match="0"):
        cli.main([verb, "--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert f"example: torch-pitfalls {verb}" in text


def test_a_full_output_device_is_no_verdict(pair):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - no file, a device
        done = subprocess.run(
            [sys.executable, "-m", "pitfalls", "diff", "old.json", "new.json"],
            cwd=pair,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 11
    assert done.stderr == "torch-pitfalls: the output can't be written: No space left on device\n"


def test_two_interpreters_with_one_torch_differ_in_nothing(suite, tmp_path):  # noqa: F811
    done = command("compare", sys.executable, sys.executable, cwd=tmp_path, environ={"PYTHONPATH": str(suite)})
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith("nothing changed between torch")


def test_a_suite_that_disagrees_with_itself_gives_no_verdict(suite, tmp_path):  # noqa: F811
    write_catalogue(suite, number="__import__('time').time_ns()")
    done = command("compare", sys.executable, sys.executable, cwd=tmp_path, environ={"PYTHONPATH": str(suite)})
    assert done.returncode == 11
    assert "inconclusive: on the old side alone, the suite disagrees with itself: ones-are-float" in done.stdout


def live_against(suite, tmp_path, *arguments):  # noqa: F811
    from tests.test_record import run

    path = tmp_path / "run.json"
    assert run(suite, "--record", str(path)).returncode == 0
    return path, lambda: run(suite, "--compare", str(path), *arguments)


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["alone", "parallel"])
def test_a_run_is_compared_with_a_record(suite, tmp_path, arguments):  # noqa: F811
    _, again = live_against(suite, tmp_path, *arguments)
    assert again().returncode == 0
    write_catalogue(suite, number="2")
    done = again()
    assert done.returncode == 10
    assert "behaviour: ones-are-float: other value" in done.stdout
    assert "before  number = 1" in done.stdout


def test_what_disagrees_with_itself_is_flaky_not_changed(suite, tmp_path):  # noqa: F811
    _, again = live_against(suite, tmp_path)
    write_catalogue(suite, number="__import__('time').time_ns()")
    done = again()
    assert done.returncode == 0, done.stdout
    assert "flaky, not changed" in done.stdout


def test_a_run_that_can_reach_no_verdict_says_so(suite, tmp_path):  # noqa: F811
    path, _ = live_against(suite, tmp_path)
    from tests.test_record import run

    assert run(suite, "--compare", str(path), "-k", "leaf").returncode == 11
    missing = run(suite, "--compare", str(tmp_path / "no.json"))
    assert missing.returncode == 11
    assert missing.stderr.strip() == f"Exit: --compare: there is no file {tmp_path / 'no.json'}"
