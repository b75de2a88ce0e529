"""Programs in processes of their own: begun with the run, waited for by the pin, ended with the run."""

import os
import time

import pytest

from pitfalls import child
from pitfalls.harness.ahead import Queue
from tests.test_plugin import SOUND, run, said  # noqa: F401 - `run` is a fixture


def running(program):
    return program._begun[2]


@pytest.fixture(autouse=True)
def _in_this_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_call_gives_what_came_of_the_program(tmp_path):
    done = child("import os, sys\nprint(os.environ['HOW'])\nsys.exit('ended')", HOW="well")()
    assert (done.returncode, done.stdout, done.stderr) == (1, "well\n", "ended\n")
    assert list(tmp_path.iterdir()) == []


def test_a_call_waits_for_what_was_begun_and_the_next_one_begins_anew():
    program = child("import os\nprint(os.getpid())")
    program.begin()
    begun = running(program).pid
    assert [program().stdout == f"{begun}\n" for _ in range(2)] == [True, False]


def test_a_fork_does_not_wait_for_what_its_parent_began():
    program = child("print('done')")
    program.begin()
    if (pid := os.fork()) == 0:
        os._exit(0 if program().stdout == "done\n" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert program().stdout == "done\n"


def test_programs_are_begun_one_at_a_time_and_ended_with_the_run(tmp_path):
    first, second, third = (child("import time; time.sleep(60)") for _ in range(3))
    prepared = []
    queue = Queue([first, second, third], [lambda: prepared.append(True)])
    queue.advance()
    assert [prepared, first.working(), second.working()] == [[True], True, False]
    running(first).kill()
    running(first).wait()
    second.asked_for = True  # its pin has run already
    queue.advance()
    process = running(third)
    assert [second.working(), third.working()] == [False, True]
    queue.end()
    assert process.poll() is not None
    assert list(tmp_path.iterdir()) == []


PROGRAM = "from pitfalls import child\n\nPROGRAM = child('print(1)')\n\n\n"
ASKS = "\n    def test_fix_ask(self):\n        assert [PROGRAM().stdout] == ['1\\n']\n"
BEGUN = SOUND.replace("@pitfall", PROGRAM + "@pitfall", 1) + ASKS


def test_the_run_begins_what_a_pin_will_ask_for(run, monkeypatch):  # noqa: F811
    begun = []
    monkeypatch.setattr("pitfalls.harness.ahead.Child.begin", lambda self: begun.append(self.code))
    run(BEGUN, "--device", "cpu", "-k", "ones")
    run(BEGUN, "--device", "cpu", "--collect-only")
    assert begun == []
    run(BEGUN, "--device", "cpu")
    assert begun[:1] == ["print(1)"]


def test_a_pin_gets_what_the_run_began(run):  # noqa: F811
    run(BEGUN, "--device", "cpu").assert_outcomes(passed=2)


def test_a_run_waits_for_no_program(run):  # noqa: F811
    started = time.monotonic()
    slow = BEGUN.replace("print(1)", "import time; time.sleep(60)").replace("PROGRAM()", "__import__('sys').exit()")
    run(slow, "--device", "cpu", "-x")
    assert time.monotonic() - started < 30
