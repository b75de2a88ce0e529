"""Run the catalogue in surroundings that people have, and say where an outcome is another than that of a plain run.

    python tools/surroundings.py                         # every surrounding once: an hour on two cores
    python tools/surroundings.py --times 5 "hash seed"   # those that are called so, in five fresh processes each

Some surroundings need root on Linux (a network of its own, a small /dev/shm), some a locale (``localedef -i tr_TR -f
UTF-8 tr_TR.UTF-8``), some a plugin of pytest; where a plugin is lacking, the line says so. The table is Markdown.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pitfalls.harness import record, source

ROOT = source.PACKAGE.parent
#: A conftest as somebody may have it: the names of our fixtures mean something else there.
CONFTEST = """\
import pytest


@pytest.fixture
def device():
    return "the user's own"


@pytest.fixture
def observe():
    return None


@pytest.fixture(autouse=True)
def every_test():
    yield
"""
STRICT = """\
[pytest]
addopts = --strict-markers --strict-config
xfail_strict = true
filterwarnings = error
"""


class Surrounding(NamedTuple):
    """What differs from ``python -m pytest --pyargs pitfalls`` in an empty folder."""

    arguments: tuple[str, ...] = ()
    interpreter: tuple[str, ...] = ()
    environ: dict[str, str] = {}
    script: str = ""  #: shell commands to run first
    unshare: str = ""  #: the namespace of its own that the run gets, which takes root
    files: dict[str, str] = {}
    folder: str = "run"
    inside: Path | None = None  #: the folder to run in, instead of a new one
    busy: bool = False
    needs: str = ""  #: the plugin of pytest that must be installed; those of other surroundings are turned off
    refused: str = ""  #: the line that is expected in place of a run


SURROUNDINGS = {
    "two workers": Surrounding(("-n", "2")),
    "four workers": Surrounding(("-n", "4")),
    "one thread": Surrounding(environ={"OMP_NUM_THREADS": "1"}),
    "eight threads": Surrounding(environ={"OMP_NUM_THREADS": "8"}),
    "hash seed 1": Surrounding(environ={"PYTHONHASHSEED": "1"}),
    "hash seed 777": Surrounding(environ={"PYTHONHASHSEED": "777"}),
    "busy cores": Surrounding(busy=True),
    "512 open files": Surrounding(script="ulimit -n 512"),
    "16 MB of shared memory": Surrounding(script="mount -t tmpfs -o size=16m tmpfs /dev/shm", unshare="--mount"),
    "no network": Surrounding(script="ip link set lo up", unshare="--net"),
    "HOME that is not there": Surrounding(environ={"HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache"}),
    "Turkish": Surrounding(environ={"LC_ALL": "tr_TR.UTF-8"}),
    "German in Latin-1": Surrounding(environ={"LC_ALL": "de_DE.ISO-8859-1"}),
    "a path with spaces and letters": Surrounding(folder="мой путь é"),
    "a folder that can't be written to": Surrounding(
        script=f"mount --bind '{ROOT}' '{ROOT}' && mount -o remount,ro,bind '{ROOT}' && cd '{ROOT}'",
        unshare="--mount",
        inside=ROOT,
    ),
    "python -X dev": Surrounding(interpreter=("-X", "dev")),
    "python -O": Surrounding(interpreter=("-O",), refused="takes assertions away"),
    "warnings as errors": Surrounding(("-W", "error")),
    "strict settings": Surrounding(files={"pytest.ini": STRICT}),
    "import mode importlib": Surrounding(("--import-mode=importlib",)),
    "no cache": Surrounding(("-p", "no:cacheprovider")),
    "somebody's conftest": Surrounding(files={"conftest.py": CONFTEST}),
    "coverage": Surrounding(("--cov=pitfalls", "--cov-report="), needs="pytest_cov"),
    "pytest-randomly": Surrounding(needs="randomly"),
    "pytest-asyncio": Surrounding(needs="asyncio"),
    "pytest-timeout": Surrounding(("--timeout", "300"), needs="timeout"),
    "pytest-sugar": Surrounding(("--force-sugar",), needs="sugar"),
    "hypothesis": Surrounding(needs="hypothesispytest"),
    "without our plugin": Surrounding(("-p", "no:pitfalls"), refused="the torch-pitfalls plugin is not active"),
}


@contextmanager
def busy_cores(wanted: bool) -> Iterator[None]:
    """Keep every core busy with something else for the time of a run."""
    count = (os.cpu_count() or 1) if wanted else 0
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def run(surrounding: Surrounding) -> tuple[int, str, dict[str, str]]:
    """Run the catalogue in a surrounding.

    Returns:
        The exit code, everything that was printed, and the outcome of each case.
    """
    with tempfile.TemporaryDirectory(prefix="torch-pitfalls-") as name, busy_cores(surrounding.busy):
        folder = Path(name) / surrounding.folder
        folder.mkdir()
        for file, text in surrounding.files.items():
            (folder / file).write_text(text, encoding="utf-8")
        target = Path(name) / "record.json"
        what = ["pitfalls"] if surrounding.inside else ["--pyargs", "pitfalls", "--rootdir", str(folder)]
        command = [sys.executable, *surrounding.interpreter, "-m", "pytest", "-q", *what, "--record", str(target)]
        for other in {one.needs for one in SURROUNDINGS.values() if one.needs} - {surrounding.needs}:
            command += ["-p", f"no:{other}"]
        command += surrounding.arguments
        if surrounding.script:
            own = ["unshare", surrounding.unshare] if surrounding.unshare else []
            command = [*own, "sh", "-c", f'{surrounding.script} && exec "$@"', "sh", *command]
        environ = {**os.environ, "TMPDIR": name, **surrounding.environ}
        done = subprocess.run(
            command, cwd=surrounding.inside or folder, env=environ, check=False, capture_output=True, text=True
        )
        cases = record.read(target).cases if target.exists() else {}
        return done.returncode, done.stdout + done.stderr, {key: case["outcome"] for key, case in cases.items()}


def verdict(surrounding: Surrounding, plain: dict[str, str]) -> tuple[bool, str]:
    """Run in a surrounding and compare.

    Args:
        surrounding: where to.
        plain: the outcomes of a plain run.

    Returns:
        Whether it came out as it should, and that in words.
    """
    started = time.monotonic()
    code, text, outcomes = run(surrounding)
    took = f"{time.monotonic() - started:.0f} s"
    if surrounding.refused:
        told = next((line for line in text.splitlines() if surrounding.refused in line), "")
        return code == 4 and bool(told), f"exit code {code}: {told}"
    different = sorted(key for key in plain.keys() | outcomes.keys() if plain.get(key) != outcomes.get(key))
    summary = re.findall(r"\d+ (?:passed|failed|error).* in .*", text)
    if not summary:
        return False, f"exit code {code}: {' '.join(text.split())[-200:]}"
    words = f"as plain, {took}" if not different else f"{len(different)} differ, {took}: {', '.join(different[:5])}"
    return code == 0 and not different, f"exit code {code}: {summary[-1].strip('= ')}; {words}"


def main() -> int:
    """Run in the surroundings that the command line asks for; exit code 1 if one comes out otherwise than it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="those whose name contains this (default: all)")
    parser.add_argument("--times", type=int, default=1, help="fresh processes for each (default: %(default)s)")
    options = parser.parse_args()
    wanted = {name: s for name, s in SURROUNDINGS.items() if any(part in name for part in options.names or [""])}
    if not wanted:
        parser.error(f"no surrounding is called so; there are: {', '.join(SURROUNDINGS)}")
    installed = {plugin.name for plugin in importlib.metadata.entry_points(group="pytest11")}
    code, text, plain = run(Surrounding())
    print("| surroundings | outcome |\n|---|---|", flush=True)
    print(f"| plain | exit code {code}: {' '.join(text.split()[-4:])} |", flush=True)
    bad = code
    for name, surrounding in wanted.items():
        if surrounding.needs and surrounding.needs not in installed:
            print(f"| {name} | not tried: {surrounding.needs} is not installed |", flush=True)
            continue
        for _ in range(options.times):
            good, words = verdict(surrounding, plain)
            bad += not good
            print(f"| {name} | {'' if good else 'NOT AS IT SHOULD BE: '}{words} |", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
