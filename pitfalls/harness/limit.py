"""A limit on the time of each case: a process group or a worker that waits for ever must not hang the run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

#: Seconds for a case, and for one that is marked slow; far more than any takes on a busy machine.
SECONDS, SLOW_SECONDS = 120, 300


@contextmanager
def limited(key: str, *, slow: bool) -> Iterator[None]:
    """Fail a case that does not end in time.

    Where there are no alarms (Windows, a thread that is not the main one), or somebody else has set one up
    (pytest-timeout, say), the case is left to itself.

    Args:
        key: of the case, for the message.
        slow: whether the case is marked slow.

    Raises:
        TimeoutError: out of whatever the case waits for.
    """
    seconds = SLOW_SECONDS if slow else SECONDS

    def late(*_: object) -> NoReturn:
        raise TimeoutError(f"{key} did not end within {seconds} s")

    ours = (
        hasattr(signal, "setitimer")
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    )
    if not ours:
        yield
        return
    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
