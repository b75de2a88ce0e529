"""Programs that a pin runs in a Python process of their own, begun with the run so that nobody waits for them.

Nearly all that such a process does is to import torch, which takes longer than most of the catalogue's modules; another
core can do that while other pins run. At most one works at a time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

#: Seconds after which a program is given up.
LIMIT = 120


class Child:
    """A program for a Python process of its own; calling it gives what came of it.

    Args:
        code: the program.
        environ: environment variables of the process, besides those of this one.
    """

    def __init__(self, code: str, **environ: str) -> None:
        self.code, self.environ = code, environ
        self.asked_for = False
        self._begun: tuple[int, Path, subprocess.Popen[bytes]] | None = None

    def begin(self) -> None:
        """Start the program; the next call waits for this one rather than for another."""
        folder = Path(tempfile.mkdtemp(prefix="torch-pitfalls-"))
        (folder / "program.py").write_text(self.code, encoding="utf-8")
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, folder / "program.py"],
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self._begun = os.getpid(), folder, process

    def working(self) -> bool:
        """Whether the program has been started and has not ended."""
        return self._begun is not None and self._begun[2].poll() is None

    def __call__(self) -> subprocess.CompletedProcess[str]:
        """Run the program to its end.

        Raises:
            subprocess.TimeoutExpired: if it takes longer than `LIMIT` seconds.
        """
        self.asked_for = True
        if self._begun is None or self._begun[0] != os.getpid():  # a fork can't wait for what its parent has started
            self.begin()
        assert self._begun is not None
        _, folder, process = self._begun
        try:
            process.wait(LIMIT)
            stdout, stderr = ((folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        finally:
            self.drop()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def drop(self) -> None:
        """End the program, if it was started here, and forget what it has done."""
        if self._begun is not None and self._begun[0] == os.getpid():
            _, folder, process = self._begun
            process.kill()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)
        self._begun = None


class Queue:
    """Programs to be begun one after the other, and other preparations to be made at once."""

    def __init__(self, children: list[Child], preparations: list[Callable[[], object]]) -> None:
        self.waiting, self.begun = children, list[Child]()
        for prepare in preparations:
            prepare()
        self.advance()

    def advance(self) -> None:
        """Begin the next program, if none is at work."""
        while self.waiting and not (self.begun and self.begun[-1].working()):
            child = self.waiting.pop(0)
            if not child.asked_for:
                child.begin()
                self.begun.append(child)

    def end(self) -> None:
        """End what no pin has asked for, as in a run that was stopped."""
        for child in self.begun:
            child.drop()
