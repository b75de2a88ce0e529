"""Running somebody's program, and naming the pitfall where it dies of an error, or meets a warning, that one knows."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from pitfalls.harness import catalogue, reading, search

#: A message this like a known one is taken for it; a program that merely failed gets no advice.
SURE = 0.7


def run(script: Path, arguments: list[str]) -> int:
    """Run a program as ``python script arguments...`` would, and explain at its end what torch said.

    It runs in this process, as ``__main__``, with its own folder first on the path. Its output and its exit code are
    its own. The explanation goes to standard error.

    Args:
        script: the program's file.
        arguments: what it finds in ``sys.argv`` after its own name.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    if not script.is_file():
        raise FileNotFoundError(f"there is no program {script}")
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.resolve().parent)
    warned: dict[str, None] = {}
    show = warnings.showwarning

    def noting(message, category, filename, lineno, file=None, line=None):  # type: ignore[no-untyped-def]
        warned.setdefault(f"{category.__name__}: {message}")
        show(message, category, filename, lineno, file, line)

    warnings.showwarning = noting
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit:
        raise
    except BaseException as error:
        traceback.print_exception(error.with_traceback(_own(error.__traceback__, script)))
        _tell([f"{type(error).__name__}: {error}"], "the error above")
        if isinstance(error, KeyboardInterrupt):
            return 130
        return 1
    finally:
        warnings.showwarning = show
        _tell(list(warned), "a warning above")
    return 0


def _own(trace: TracebackType | None, script: Path) -> TracebackType | None:
    """A traceback from the program's first line on, without what called it."""
    while trace is not None and Path(trace.tb_frame.f_code.co_filename) != script:
        trace = trace.tb_next
    return trace


def known(message: str, entries: list[catalogue.Entry]) -> list[search.Found]:
    """The pitfalls that surely know a message."""
    return [found for found in search.search(message, entries) if found.likeness >= SURE]


def _tell(messages: list[str], what: str) -> None:
    if not messages:
        return
    entries = catalogue.entries()
    told: set[str] = set()
    for message in messages:
        found = [one for one in known(message, entries) if one.entry.slug not in told]
        if found:
            told.add(found[0].entry.slug)
            text = reading.candidates(found, most=3)
            print(f"{os.linesep}torch-pitfalls knows {what}:{os.linesep}{text}", file=sys.stderr)
