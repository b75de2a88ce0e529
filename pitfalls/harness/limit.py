"""A limit on the time of each case: a process group or a worker that waits for ever must not hang the run.

The alarm ends a case that waits in Python, and the run goes on. The watchdog ends the whole process where the alarm
can't get through: C++ that never comes back to Python.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

#: Seconds for a case, and for one that is marked slow; far more than any takes on a busy machine.
SECONDS, SLOW_SECONDS = 120, 300

#: Seconds without a new case after which the process is ended, and how often, at most, they begin anew.
PATIENCE, EVERY = 660, 60


class Watchdog:
    """Ends the process, with the traceback of each thread on standard error, once no case has begun for too long.

    It is `faulthandler`'s, which has one for all: where pytest's ``faulthandler_timeout`` uses it, leave it alone.
    """

    def __init__(self) -> None:
        self._stderr = os.dup(2)  # pytest captures what is written to the original meanwhile
        self._since: float | None = None

    def case_begins(self) -> None:
        """Begin the time anew; as that starts a thread, it is not done for each case."""
        now = time.monotonic()
        if self._since is None or now - self._since > EVERY:
            faulthandler.dump_traceback_later(PATIENCE, exit=True, file=self._stderr)
            self._since = now

    def rest(self) -> None:
        """Watch no longer, until the next case begins."""
        if self._since is not None:
            faulthandler.cancel_dump_traceback_later()
            self._since = None

    def end(self) -> None:
        """Watch no longer, and give back the copy of standard error."""
        self.rest()
        os.close(self._stderr)


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
