"""Changes that a user has accepted: ``pitfalls.toml``, or ``[tool.pitfalls]`` in ``pyproject.toml``.

Each entry of ``known`` has the ``slug`` of a pitfall (or the dotted name of an API), a ``reason``, and, as it likes,
``what`` changed, the ``torch`` that it is about (``">=2.6"``) and a date on which it ``expires``.
"""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pitfalls.harness.compare import WHAT, Comparison
from pitfalls.harness.versions import release

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

FIELDS = {"slug", "what", "reason", "torch", "expires"}


class KnownError(Exception):
    """An entry that can't be used; its message is one line."""


@dataclass(frozen=True)
class Entry:
    """One accepted change."""

    slug: str
    reason: str
    what: str | None
    torch: SpecifierSet
    expires: dt.date | None


def load(path: Path | None, folder: Path) -> list[Entry]:
    """The entries of a file, or of ``pitfalls.toml`` or ``pyproject.toml`` in a folder, if there is one.

    Raises:
        KnownError: if the file is missing or no TOML, or an entry is wrong or has expired.
    """
    if path is None:
        path = next((p for p in (folder / "pitfalls.toml", folder / "pyproject.toml") if p.is_file()), None)
    if path is None:
        return []
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KnownError(f"{path}: {error}") from None
    if path.name == "pyproject.toml":
        content = content.get("tool", {}).get("pitfalls", {})
    entries = content.get("known", [])
    if not isinstance(entries, list) or set(content) - {"known"}:
        raise KnownError(f"{path}: it holds a list of tables [[known]] and nothing else")
    return [_entry(raw, f"{path}, entry {number}") for number, raw in enumerate(entries, start=1)]


def _entry(raw: Any, where: str) -> Entry:
    if not isinstance(raw, dict) or (unknown := set(raw) - FIELDS):
        raise KnownError(f"{where}: has {', '.join(sorted(unknown)) if isinstance(raw, dict) else 'no fields'}")
    for name in ("slug", "reason"):
        if not isinstance(raw.get(name), str) or not raw[name].strip():
            raise KnownError(f"{where}: needs a {name}")
    if raw.get("what") not in (None, *WHAT):
        raise KnownError(f"{where}: what= is one of {', '.join(WHAT)}")
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        condition = SpecifierSet(raw.get("torch", ""))
    except (InvalidSpecifier, TypeError, AttributeError):
        raise KnownError(f"{where}: torch= is no condition on a version: {raw['torch']!r}") from None
    expires = raw.get("expires")
    if expires is not None and (not isinstance(expires, dt.date) or isinstance(expires, dt.datetime)):
        raise KnownError(f"{where}: expires= is a date, such as 2027-01-31, without quotes")
    if expires is not None and expires < dt.date.today():
        raise KnownError(f"{where}: {raw['slug']} expired on {expires}: look at it again")
    return Entry(raw["slug"], raw["reason"], raw.get("what"), condition, expires)


def accept(comparison: Comparison, entries: list[Entry]) -> None:
    """Mark the changes that entries accept; the comparison is changed in place.

    Raises:
        KnownError: if an entry that is about this torch matches no change.
    """
    version = ".".join(map(str, release(comparison.new.torch)))
    for entry in entries:
        if not entry.torch.contains(version):
            continue
        matching = [c for c in comparison.changes if c.subject == entry.slug and entry.what in (None, c.what)]
        if not matching:
            raise KnownError(f"the known change {entry.slug} ({entry.reason}) did not happen: take it out")
        for change in matching:
            change.accepted = entry.reason
