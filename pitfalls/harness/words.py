"""Words that the reports share."""

from __future__ import annotations


def plural(number: int, noun: str) -> str:
    """A number with its noun: ``1 case``, ``2 cases``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
