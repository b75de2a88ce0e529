"""A pytest plugin: instead of running the cases of the catalogue, run the stand-alone script of each, without pytest.

``python -m pytest -p tests.scripts --device cpu pitfalls``. The scripts of a module run one after the other in a
forked child, so that none meets what another module has left, and torch is imported once.
"""

import os
import runpy
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

import pytest
import torch
import torch._dynamo  # otherwise each child would import it anew, with its first optimizer

from pitfalls.harness import source
from pitfalls.harness.plugin import CASE


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Make the scripts, run them, and say which do not end as they should."""
    if session.testsfailed:
        raise session.Interrupted("the catalogue can't be collected")
    scripts: dict[Path, dict[str, str]] = defaultdict(dict)
    for item in session.items:
        case = item.stash.get(CASE, None)
        if case is not None and not case.inapplicable and case.device in (None, "cpu"):
            scripts[case.path][case.key] = source.script(case.path, case.class_name, [case.call], case.device)
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        for number, texts in enumerate(scripts.values()):
            failures += _failures_in_a_child(texts, Path(name) / str(number))
    print(f"{sum(map(len, scripts.values()))} scripts, {len(failures)} failed", *failures, sep="\n")
    session.testsfailed = len(failures)
    return True


def _failures_in_a_child(scripts: dict[str, str], folder: Path) -> list[str]:
    folder.mkdir()
    told = folder / "failures"
    child = os.fork()
    if child == 0:
        try:
            _run(scripts, folder, told)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return told.read_text().splitlines() if told.exists() else [f"a child died: {', '.join(scripts)}"]


def _run(scripts: dict[str, str], folder: Path, told: Path) -> None:
    failures = []
    warnings.resetwarnings()  # as where somebody runs a script: a warning is printed, and is no error
    with Path(os.devnull).open("w") as nothing:
        sys.stdout = nothing
        for number, (key, text) in enumerate(scripts.items()):
            path = folder / f"{number}.py"
            path.write_text(text, encoding="utf-8")
            try:
                runpy.run_path(str(path), run_name="__main__")
            except BaseException as error:
                failures.append(f"{key}: {type(error).__name__}: {str(error)[:200]!r}")
            finally:
                torch.set_warn_always(False)
    told.write_text("\n".join(failures))
