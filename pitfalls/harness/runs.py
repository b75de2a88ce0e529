"""Running the suite in another process, under any interpreter that has torch, numpy and pytest.

The same suite runs on every side: a copy of this package is put in front of the interpreter's path, so that it does
not matter which version of the suite, if any, is installed there, and nothing is installed into it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pitfalls.harness import source
from pitfalls.harness.compare import Comparison
from pitfalls.harness.record import Record, RecordError, read, split_key

Progress = Callable[[str], None]


class RunError(Exception):
    """A side that could not be run; its message is one line for the person who asked for it."""


@contextmanager
def suite_folder() -> Iterator[Path]:
    """A folder that holds a copy of this suite and no other package, to be put on another interpreter's path."""
    from pitfalls import __version__

    with tempfile.TemporaryDirectory(prefix="torch-pitfalls-") as name:
        folder = Path(name)
        package = folder / "pitfalls"
        shutil.copytree(source.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "records"))
        fixtures = source.PACKAGE / "conftest.py"
        if not fixtures.exists():  # a checkout has them beside the package
            shutil.copy(source.PACKAGE.parent / "conftest.py", package)
        information = folder / f"torch_pitfalls-{__version__}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch-pitfalls\nVersion: {__version__}\n")
        (information / "entry_points.txt").write_text("[pytest11]\npitfalls = pitfalls.harness.plugin\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        yield folder


def record(
    python: str,
    folder: Path,
    *,
    devices: Iterable[str] = (),
    keys: Iterable[str] | None = None,
    environ: dict[str, str] | None = None,
) -> Record:
    """Run the suite under an interpreter and return what it recorded.

    Args:
        python: path of the interpreter.
        folder: what `suite_folder` gave.
        devices: as ``--device`` takes them; none for the default.
        keys: only these cases.
        environ: variables to set for the run.

    Raises:
        RunError: if the interpreter lacks something the suite needs, or the run ended without a record.
    """
    _check(python)
    with tempfile.TemporaryDirectory(prefix="torch-pitfalls-run-") as name:
        run = Path(name)
        target = run / "record.json"
        command = [python, "-m", "pytest", "--pyargs", "pitfalls", "-p", "pitfalls", "-p", "no:cacheprovider", "-q"]
        command += ["--tb=no", "-c", str(folder / "pytest.ini"), "--rootdir", str(run), "--record", str(target)]
        for device in devices:
            command += ["--device", device]
        if keys is not None:
            (run / "keys").write_text("\n".join(keys), encoding="utf-8")
            command += ["--pitfalls-select", str(run / "keys")]
        settings = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "PYTHONPATH")}
        settings |= {"PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        settings |= environ or {}
        done = subprocess.run(command, cwd=run, env=settings, capture_output=True, text=True, check=False)
        try:
            return read(target)
        except RecordError:
            lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
            telling = next((line for line in reversed(lines) if "Error" in line or "rror:" in line), lines[-1:] or "")
            raise RunError(f"the suite did not run under {python} (exit code {done.returncode}): {telling}") from None


def _check(python: str) -> None:
    code = "import sys, importlib.util as u; print(*[n for n in ('torch', 'numpy', 'pytest') if not u.find_spec(n)])"
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False, env=settings)
    except OSError as error:
        raise RunError(f"{python} can't be run: {error.strerror}") from None
    if done.returncode:
        raise RunError(f"{python} is no Python: it ended with exit code {done.returncode}")
    if missing := done.stdout.split():
        raise RunError(f"{python} has no {' and no '.join(missing)}; the suite needs torch, numpy and pytest")


def flaky(comparison: Comparison, *, old_python: str | None, new_python: str | None, folder: Path) -> set[str]:
    """The changed cases that disagree with themselves when they are run once more.

    Args:
        comparison: whose changed cases to run again.
        old_python: interpreter of the old side, or None if that side is a record alone.
        new_python: interpreter of the new side, or None likewise.
        folder: what `suite_folder` gave.

    Raises:
        RunError: if a side can't be run again.
    """
    changed = {d.key for change in comparison.changes for d in change.differences if "/" in d.key}
    found: set[str] = set()
    for python, side in ((old_python, comparison.old), (new_python, comparison.new)):
        keys = sorted(changed & side.cases.keys())
        if python is None or not keys:
            continue
        devices = sorted({device for key in keys if (device := split_key(key)[3])} or {"cpu"})
        again = record(python, folder, devices=devices, keys=keys)
        found |= {key for key in keys if again.cases.get(key) != side.cases[key]}
    return found
