"""Release numbers of torch: which pitfall applies to which torch."""

from __future__ import annotations

from packaging.version import Version

#: The newest release whose documented names the catalogue has been checked against.
NEWEST_KNOWN = "2.15"


def release(version: str) -> tuple[int, ...]:
    """The release number of a version, so that a nightly counts as the release it leads to.

    ``Version("2.16.0.dev1") >= Version("2.16")`` is false, and so is ``< Version("2.16")`` for a specifier: compared as
    versions, nightlies are in no range at all. Compared by their release they are in the one that people expect.

    Raises:
        packaging.version.InvalidVersion: if it isn't a version.
    """
    return Version(version).release


def reached(torch_version: str, bound: str) -> bool:
    """Whether a torch is of the release ``bound`` (``"2.6"``) or a later one."""
    limit = release(bound)
    return release(torch_version)[: len(limit)] >= limit


def inapplicable(torch_version: str, since: list[str], before: list[str]) -> str | None:
    """Why a case isn't about this torch, given the releases of its ``since`` and ``before`` marks, or None."""
    for bound in since:
        if not reached(torch_version, bound):
            return f"about torch {bound} and later"
    for bound in before:
        if reached(torch_version, bound):
            return f"about torch before {bound}"
    return None
