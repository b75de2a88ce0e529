"""Make the records that the suite ships: one for the last patch of each minor release of torch, from a real install.

    python tools/make_records.py            # every release whose record is missing or out of date
    python tools/make_records.py 2.13.0     # these alone, whether or not there is a record
    python tools/make_records.py --check 2.13.0

Each release gets a throw-away environment of its own (about 5 GB, removed again), runs the whole catalogue there on
the CPU, and leaves `pitfalls/records/torch-RELEASE.json.gz`. A record that would change in nothing but its date is left
as it is. An interrupted run goes on where it stopped: a release whose record is of today's catalogue is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pitfalls.harness import environments, record, runs, source

RELEASES = (
    "2.0.1 2.1.2 2.2.2 2.3.1 2.4.1 2.5.1 2.6.0 2.7.1 2.8.0 2.9.1 2.10.0 2.11.0 2.12.1 2.13.0 2.14.1 2.15.0".split()  # noqa: SIM905
)
RECORDS = source.PACKAGE / "records"
PARTS = ("pitfalls", "cases", "apis", "footer")
#: What of a machine the values depend on that torch leaves undefined.
MACHINE = ("os", "machine", "cpu_capability", "threads")


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What differs between two records: what must be the same, and what another machine is free to do otherwise.

    A value that the catalogue observes is one that torch leaves undefined: it may come out otherwise on another
    processor, or with another number of threads. On a machine like that of the record it must not.

    Returns:
        Two lists of texts of three lines each.
    """
    demanded, observed = [], []
    machines = [one["header"]["environment"] for one in (before, after) if one]
    elsewhere = any(machines[0].get(name) != machines[-1].get(name) for name in MACHINE)
    for part in PARTS:
        for key in sorted(before.get(part, {}).keys() | after[part].keys()):
            was, now = before.get(part, {}).get(key), after[part].get(key)
            if was != now:
                text = f"    {part} {key}:\n      committed {was}\n      now       {now}"
                both = elsewhere and part == "cases" and was and now
                alike = both and {**was, "observed": None} == {**now, "observed": None}
                (observed if alike else demanded).append(text)
    return demanded, observed


def up_to_date(release: str) -> bool:
    """Whether the record of a release was made with the catalogue as it is now."""
    try:
        found = record.find(release)
    except record.RecordError:
        return False
    return found.complete and found.footer["catalogue"] == source.digest()


def unknown_claims(interpreter: str, folder: Path) -> list[str]:
    """What the torch of an interpreter documents and the ledger of claims has no entry for."""
    command = [interpreter, "-m", "pitfalls", "claims", "--json"]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    return [f"    the ledger does not know {owner}, {label}" for owner, label in json.loads(done.stdout)["new"]]


def make(release: str, python: str, existing: str | None) -> tuple[dict[str, Any], list[str]]:
    """Run the catalogue on a release and return its record, and for the newest what the ledger lacks.

    Args:
        release: of torch.
        python: interpreter to make the environment with.
        existing: interpreter that has this torch already, or None to make an environment.

    Raises:
        RunError: if the environment can't be made or the suite does not run in it.
    """
    requirement = f"torch=={release}"
    environment = (
        nullcontext(existing)
        if existing
        else environments.throw_away(
            requirement,
            python=python,
            numpy=environments.numpy_requirement(requirement, None),
            extra=[],
            index_url=None,
            progress=print,
        )
    )
    settings = {name: "" for name in os.environ if name.startswith(("TORCH", "PYTORCH", "CUDA"))}
    with environment as interpreter, runs.suite_folder() as folder:
        found = runs.record(interpreter, folder, devices=["cpu"], environ=settings)
        unknown = unknown_claims(interpreter, folder) if release == RELEASES[-1] else []
    header = {**found.header, "environment": {**found.header["environment"], "environ": {}}}
    return {"schema": record.SCHEMA, "header": header, **{name: getattr(found, name) for name in PARTS}}, unknown


def main() -> int:
    """Make or check the records that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("releases", nargs="*", metavar="RELEASE", help="default: all whose record is out of date")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a record would change")
    parser.add_argument("--python", default=sys.executable, help="interpreter to make the environments with")
    parser.add_argument("--use", action="append", default=[], metavar="RELEASE=PYTHON", help="run in this environment")
    options = parser.parse_args()
    existing = dict(pair.split("=", 1) for pair in options.use)
    RECORDS.mkdir(exist_ok=True)
    bad = 0
    wanted = options.releases or [release for release in RELEASES if not up_to_date(release)]
    for number, release in enumerate(wanted, start=1):
        started = time.monotonic()
        print(f"[{number}/{len(wanted)}] torch {release}", flush=True)
        try:
            content, unknown = make(release, options.python, existing.get(release))
        except runs.RunError as error:
            print(f"    {error}")
            bad += 1
            continue
        path = RECORDS / f"torch-{release}.json.gz"
        before = vars(record.read(path)) if path.exists() else {}
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in content["footer"]["outcomes"].items())
        demanded, observed = differences(before, content)
        same = not demanded and not observed
        print(f"    {outcomes}; {'as before' if same else 'changed'}; {time.monotonic() - started:.0f} s", flush=True)
        print(*unknown, sep="\n", end="\n" * bool(unknown))
        bad += bool(unknown)
        if not content["footer"]["complete"] or {"failed", "leaked", "could not run"} & set(
            content["footer"]["outcomes"]
        ):
            print("    not every case holds, or not every case ran: the record is not kept")
            bad += 1
        elif options.check and not same:
            bad += bool(demanded)
            if observed:
                observed.insert(0, "    observed, and free to differ on another machine than the record's:")
            print(*demanded, *observed, sep="\n")
        elif not options.check and not same:
            record.write(path, content)
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
