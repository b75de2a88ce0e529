"""The limit on a case's time: a case that waits for ever fails by name, and nobody's own alarm is touched."""

import signal
import threading
import time

import pytest

from pitfalls.harness import limit, source
from tests.test_plugin import HEAD, SOUND, run, said  # noqa: F401 - `run` is a fixture


def test_a_case_that_never_ends_fails_by_name_and_the_next_one_runs(run, monkeypatch):  # noqa: F811
    monkeypatch.setattr(limit, "SECONDS", 0.2)
    waiting = SOUND.replace("        assert", "        __import__('threading').Event().wait()\n        assert")
    after = "\n    def test_fix_afterwards(self, device):\n        assert torch.zeros(1).tolist() == [0]\n"
    result = run(waiting + after, "--device", "cpu")
    result.assert_outcomes(failed=1, passed=1)
    assert "TimeoutError: demo/test_trap_ones@cpu did not end within 0.2 s" in said(result)


def test_a_slow_case_has_more_time(monkeypatch):
    monkeypatch.setattr(limit, "SECONDS", 0.05)
    with limit.limited("demo", slow=True):
        time.sleep(0.1)


def test_an_alarm_of_somebody_else_is_left_alone(monkeypatch):
    monkeypatch.setattr(limit, "SECONDS", 0.05)
    rung = []
    was = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with limit.limited("demo", slow=False):
            time.sleep(0.4)
    finally:
        signal.signal(signal.SIGALRM, was)
    assert rung == [True]


def test_a_case_in_another_thread_has_no_limit(monkeypatch):
    monkeypatch.setattr(limit, "SECONDS", 0.05)
    ended = []

    def work():
        with limit.limited("demo", slow=False):
            time.sleep(0.1)
            ended.append(signal.getsignal(signal.SIGALRM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [signal.SIG_DFL]


def test_the_alarm_is_off_after_a_failure(monkeypatch):
    monkeypatch.setattr(limit, "SECONDS", 60)
    with pytest.raises(KeyError), limit.limited("demo", slow=False):
        raise KeyError
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_the_alarm_rings_while_a_fixture_is_set_up(run, monkeypatch):  # noqa: F811
    monkeypatch.setattr(limit, "SECONDS", 0.2)
    fixture = "import pytest\n\n\n@pytest.fixture\ndef never():\n    __import__('threading').Event().wait()\n\n\n"
    result = run(fixture + SOUND.replace("self, device", "self, device, never"), "--device", "cpu")
    result.assert_outcomes(errors=1)
    assert "TimeoutError: demo/test_trap_ones@cpu did not end within 0.2 s" in said(result)


HOLDS_THE_LOCK = "        __import__('ctypes').PyDLL(None).sleep(60)\n        assert"


def test_the_watchdog_ends_a_run_that_is_stuck_outside_of_python(pytester):
    """The alarm's handler is Python, which doesn't run as long as C code keeps the interpreter's lock."""
    pytester.makeini("[pytest]\npython_classes = Test")
    pytester.makepyfile(test_demo=HEAD + SOUND.replace("        assert", HOLDS_THE_LOCK))
    pytester.makeconftest(
        (source.PACKAGE.parent / "conftest.py").read_text(encoding="utf-8")
        + "\n\nfrom pitfalls.harness import limit\n\nlimit.PATIENCE = 1\n"
    )
    started = time.monotonic()
    result = pytester.runpytest_subprocess("--device", "cpu", "-p", "no:randomly")
    assert time.monotonic() - started < 30
    assert result.ret == 1
    assert "Timeout (0:00:01)!" in result.stderr.str()
    assert "in test_trap_ones" in result.stderr.str()


def test_the_watchdog_leaves_a_debugger_and_other_tests_alone():
    watchdog = limit.Watchdog()
    watchdog.case_begins()
    watchdog.rest()
    assert watchdog._since is None
    watchdog.end()
