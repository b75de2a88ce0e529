"""Throw-away environments with a torch of the user's choice."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pitfalls.harness.runs import Progress, RunError


def numpy_requirement(torch_requirement: str, beside: str | None) -> str:
    """The numpy to install beside a torch: the one of the other side where it suits, so that only torch differs.

    Torch before 2.3 was built against numpy 1 and can't use numpy 2.
    """
    version = re.search(r"==\s*(\d+)\.(\d+)", torch_requirement)
    if version and (int(version[1]), int(version[2])) < (2, 3):
        return "numpy<2"
    return f"numpy=={beside}" if beside else "numpy"


@contextmanager
def throw_away(
    torch_requirement: str,
    *,
    python: str,
    numpy: str,
    extra: list[str],
    index_url: str | None,
    progress: Progress,
) -> Iterator[str]:
    """An environment with a torch, removed again when the context ends, also on Ctrl-C; gives its interpreter.

    Args:
        torch_requirement: such as ``torch==2.15.0``.
        python: interpreter, or with uv also a version, to make it with.
        numpy: requirement for numpy; one among ``extra`` replaces it.
        extra: more requirements.
        index_url: package index instead of the configured one.
        progress: takes lines about what is going on.

    Raises:
        RunError: if it can't be made.
    """
    requirements = [torch_requirement, f"pytest=={importlib.metadata.version('pytest')}", *extra]
    if not any(re.match(r"numpy\b", one) for one in extra):
        requirements.append(numpy)
    with tempfile.TemporaryDirectory(prefix="torch-pitfalls-env-", ignore_cleanup_errors=True) as name:
        folder = Path(name) / "env"
        inside = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
        uv = shutil.which("uv")
        progress(f"making an environment with {' '.join(requirements)} ({'uv' if uv else 'venv and pip'})")
        index = ["--index-url", index_url] if index_url else []
        if uv:
            _do([uv, "venv", "--quiet", "--python", python, str(folder)], "no environment could be made")
            install = [uv, "pip", "install", "--quiet", "--python", inside, *index, *requirements]
        else:
            _do([python, "-m", "venv", str(folder)], "no environment could be made")
            install = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *index, *requirements]
        _do(install, f"{torch_requirement} could not be installed")
        yield inside


def _do(command: list[str], otherwise: str) -> None:
    try:
        done = subprocess.run(command, check=False, stdout=sys.stderr, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        raise RunError(f"{otherwise}: {command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        telling = " ".join(line for line in lines if "warning" not in line.lower()).encode("ascii", "ignore").decode()
        raise RunError(f"{otherwise}: {telling[:300]}")
