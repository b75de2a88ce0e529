"""The limit on a case's time: a case that waits for ever fails by name, and nobody's own alarm is touched."""

import signal
import threading
import time

import pytest

from pitfalls.harness import limit
from tests.test_plugin import SOUND, run, said  # noqa: F401 - `run` is a fixture


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
