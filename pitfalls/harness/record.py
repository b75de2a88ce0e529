"""Records: what one run of the catalogue found, as one JSON file."""

from __future__ import annotations

import datetime as dt
import functools
import gzip
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pitfalls.harness.versions import release

SCHEMA = 1
#: A record of ten thousand cases has a few megabytes; whatever is larger than this is something else.
LARGEST = 64 * 1024 * 1024
LONGEST_MESSAGE = 500


class RecordError(Exception):
    """A file that is no whole record of this suite; its message is one line for the person who named the file."""


@dataclass(frozen=True)
class Record:
    """A record read back: its parts are plain JSON values, as `build` describes them."""

    name: str
    header: dict[str, Any]
    pitfalls: dict[str, dict[str, Any]]
    cases: dict[str, dict[str, Any]]
    apis: dict[str, dict[str, Any] | None]
    footer: dict[str, Any]

    @property
    def torch(self) -> str:
        """The version of the torch that was examined."""
        return str(self.header["environment"]["torch"])

    @property
    def complete(self) -> bool:
        """Whether the whole catalogue ran."""
        return bool(self.footer["complete"])


def stable(text: str) -> str:
    """A message without what differs by run or machine: addresses, folders, numbers of processes, C++ frames."""
    text = re.split(r"\n?Exception raised from |\nC\+\+ CapturedTraceback", text)[0]
    text = re.sub(r"\s*\(Triggered internally at [^()]*\)", "", text)
    text = re.sub(r"\b0x[0-9a-fA-F]{4,}\b", "0x...", text)
    text = re.sub(
        r"/torch_\d+_\d+_\d+\b|\b(?:pid(?:\(s\))?|Process) \d+\b", lambda found: re.sub(r"\d+", "N", found[0]), text
    )
    text = re.sub(r"(?<![\w:/.])/(?:[\w.+@-]+/)+([\w.+@-]+)", r".../\1", text)
    text = re.sub(r"(\.\.\./[\w.+@-]+\.(?:cpp|h|cu|py)):\d+", r"\1", text)
    # The bytes of a path that are not UTF-8 come as lone surrogates, which no file takes.
    return text.encode("utf-8", "backslashreplace").decode().strip()[:LONGEST_MESSAGE]


def plain(value: Any) -> Any:
    """An observed value as plain JSON: numbers and texts as they are, all else by its text."""
    if value is None or isinstance(value, (bool, int, str)):
        return stable(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return stable(str(value))


def build(
    *,
    environment: dict[str, Any],
    suite: str,
    catalogue: str,
    pitfalls: dict[str, dict[str, Any]],
    cases: dict[str, dict[str, Any]],
    absent: dict[str, str],
    apis: dict[str, dict[str, Any] | None],
    complete: bool,
    seconds: float,
) -> dict[str, Any]:
    """Put a record together.

    Args:
        environment: `pitfalls.harness.environment.facts`.
        suite: version of this suite.
        catalogue: digest of the catalogue's sources.
        pitfalls: statement, documentation and the like, by slug.
        cases: by key; ``outcome`` always, ``observed``, ``raised``, ``warned``, ``detail`` where there is any.
        absent: devices whose cases were all skipped, with the reason.
        apis: what torch says of each API that the pitfalls cite.
        complete: whether the whole catalogue ran.
        seconds: how long it ran.
    """
    return {
        "schema": SCHEMA,
        "header": {
            "suite": suite,
            "created": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            "environment": environment,
            "absent": dict(sorted(absent.items())),
        },
        "pitfalls": dict(sorted(pitfalls.items())),
        "cases": dict(sorted(cases.items())),
        "apis": dict(sorted(apis.items())),
        "footer": {
            "complete": complete,
            "pitfalls": len(pitfalls),
            "cases": len(cases),
            "outcomes": dict(sorted(Counter(case["outcome"] for case in cases.values()).items())),
            "catalogue": catalogue,
        },
    }


def text_of(content: dict[str, Any]) -> str:
    """A record as it is written: a line for each pitfall, case and API, so that it can be diffed."""
    parts = []
    for name, part in content.items():
        if name in ("pitfalls", "cases", "apis") and part:
            lines = ",\n".join(f"{_dump(key)}: {_dump(value)}" for key, value in part.items())
            parts.append(f"{_dump(name)}: {{\n{lines}\n}}")
        else:
            parts.append(f"{_dump(name)}: {_dump(part)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=False, allow_nan=False)


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a record in one step, so that no reader ever sees half of it; compressed, if the name ends in ``.gz``.

    Raises:
        OSError: if it can't be written; whatever was there before is then still there.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        raw = text_of(content).encode("utf-8")
        with os.fdopen(descriptor, "wb") as file:
            # Without the date in its header the compressed file is the same for the same content.
            file.write(gzip.compress(raw, mtime=0) if path.suffix == ".gz" else raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read(path: Path) -> Record:
    """Read a whole record back.

    Raises:
        RecordError: if the file is missing, no record, truncated, of another schema, or larger than a record can be.
    """
    try:
        if path.is_dir():
            raise RecordError(f"{path} is a folder, not a record")
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise RecordError(f"{path} has more than {LARGEST // 2**20} MB: no record is that large")
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise RecordError(f"there is no file {path}") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} can't be read: {error}") from None
    if not text.strip():
        raise RecordError(f"{path} is empty")
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise RecordError(f"{path} is truncated or no JSON: {error}") from None
    if not isinstance(content, dict) or "schema" not in content:
        raise RecordError(f"{path} is no record of torch-pitfalls")
    if content["schema"] != SCHEMA:
        raise RecordError(f"{path} has the schema {content['schema']!r}; this suite reads {SCHEMA}: record it anew")
    try:
        found = Record(str(path), *(content[part] for part in ("header", "pitfalls", "cases", "apis", "footer")))
        counted = (len(found.pitfalls), len(found.cases)) == (found.footer["pitfalls"], found.footer["cases"])
        sound = all(isinstance(case["outcome"], str) for case in found.cases.values())
        _ = found.torch, found.complete, found.header["suite"], found.footer["catalogue"]
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} is no whole record: {error!r} is missing or wrong") from None
    if not counted or not sound:
        raise RecordError(f"{path} has been cut or edited: its footer counts other pitfalls and cases than it holds")
    return found


def refuse_to_overwrite(path: Path) -> str | None:
    """Why a record can't be written to a path, found before the run rather than after it; None if it can."""
    if path.is_dir():
        return f"{path} is a folder"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if not os.access(path.parent, os.W_OK):
        return f"the folder {path.parent} can't be written to"
    if path.exists() and path.stat().st_size:
        try:
            read(path)
        except RecordError as error:
            return f"it would overwrite something that is no record ({error})"
    return None


def shipped() -> dict[str, Path]:
    """The records that come with the suite, by the release of torch that they were made with, oldest first."""
    folder = Path(__file__).resolve().parent.parent / "records"
    found = {path.name.removeprefix("torch-").removesuffix(".json.gz"): path for path in folder.glob("torch-*.json.gz")}
    return dict(sorted(found.items(), key=lambda pair: release(pair[0])))


@functools.cache
def newest() -> Record | None:
    """The record of the newest release that comes with the suite, if one does."""
    known = shipped()
    return read(list(known.values())[-1]) if known else None


def find(name: str) -> Record:
    """The record that a person means: a file, or a release (``2.13.0``, or ``2.13`` for its last) whose record we ship.

    Raises:
        RecordError: if there is none, or it can't be read.
    """
    if re.fullmatch(r"\d+\.\d+(\.\d+)?", name) and not Path(name).exists():
        known = shipped()
        matching = [version for version in known if version == name or version.startswith(f"{name}.")]
        if not matching:
            raise RecordError(
                f"no record of torch {name} comes with this suite; there are {', '.join(known) or 'none'}"
            )
        return replace(read(known[matching[-1]]), name=f"shipped record of torch {matching[-1]}")
    return read(Path(name))


def split_key(key: str) -> tuple[str, str, str, str | None]:
    """A case's key as slug, test, variant and device."""
    match = re.fullmatch(
        r"(?P<slug>[^/]+)/(?P<test>\w+)(?:\[(?P<variant>.*)\])?(?:@(?P<device>[\w:]+))?", key, re.DOTALL
    )
    if match is None:
        raise RecordError(f"{key!r} is no key of a case")
    return match["slug"], match["test"], match["variant"] or "", match["device"]


def unique(values: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """Values without repetitions, sorted."""
    return [dict(pairs) for pairs in sorted({tuple(sorted(value.items())) for value in values})]


def merged(records: list[Record]) -> dict[str, Any]:
    """Put records of one torch together, as of runs on several devices or of parts of the catalogue.

    Raises:
        RecordError: if they are of different torches or catalogues, or disagree about a case.
    """
    first = records[0]
    for other in records[1:]:
        for what, mine, theirs in (
            ("torch", first.header["environment"]["torch_git"], other.header["environment"]["torch_git"]),
            ("catalogue", first.footer["catalogue"], other.footer["catalogue"]),
        ):
            if mine != theirs:
                raise RecordError(f"{first.name} and {other.name} are of different {what}: {mine} and {theirs}")
    cases: dict[str, dict[str, Any]] = {}
    for one in records:
        for key, case in one.cases.items():
            if cases.setdefault(key, case) != case:
                raise RecordError(
                    f"{one.name} disagrees about {key}: {case['outcome']}, and {cases[key]['outcome']} before"
                )
    devices = {device for key in cases if (device := split_key(key)[3])}
    absent = {name: why for one in records for name, why in one.header["absent"].items() if name not in devices}
    gpus = sorted({gpu for one in records for gpu in one.header["environment"]["gpus"]})
    return build(
        environment={**first.header["environment"], "gpus": gpus},
        suite=first.header["suite"],
        catalogue=first.footer["catalogue"],
        pitfalls={slug: told for one in records for slug, told in one.pitfalls.items()},
        cases=cases,
        absent=absent,
        apis={name: api for one in records for name, api in one.apis.items()},
        complete=any(one.complete for one in records),
        seconds=sum(one.header["seconds"] for one in records),
    )


def table(records: list[Record]) -> str:
    """What records found, a line for each torch and device."""
    lines = [f"{'torch':<18}{'device':<10}{'pitfalls hold':>14}{'cases hold':>12}{'no longer':>11}{'skipped':>9}  of"]
    for one in records:
        keyed = [(*split_key(key), case["outcome"]) for key, case in one.cases.items()]
        for device in sorted({found for _, _, _, found, _ in keyed if found}):
            outcomes = Counter(outcome for _, _, _, where, outcome in keyed if where in (device, None))
            broken = {slug for slug, _, _, where, outcome in keyed if where in (device, None) and outcome == "failed"}
            held = {slug for slug, _, _, where, outcome in keyed if where in (device, None) and outcome == "passed"}
            lines.append(
                f"{one.torch:<18}{device:<10}{len(held - broken):>14}{outcomes['passed']:>12}{outcomes['failed']:>11}"
                f"{outcomes['skipped']:>9}  {one.name}"
            )
    return "\n".join(lines)
