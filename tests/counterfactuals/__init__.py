"""Counterfactuals: torch with one behaviour reversed, as a careless release might have it, one short function each.

Every headline pitfall has one or more. Under them each of its trap tests must go red: `tests.proof.counterfactuals`
runs them and says which did not.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

#: Reverses a behaviour for the time of a test; what it patches is undone afterwards.
Counterfactual = Callable[[pytest.MonkeyPatch], None]

REGISTRY: dict[str, list[Counterfactual]] = {}


def counterfactual(*slugs: str) -> Callable[[Counterfactual], Counterfactual]:
    """Register a function as giving torch the opposite of what these pitfalls state."""

    def register(function: Counterfactual) -> Counterfactual:
        for slug in slugs:
            REGISTRY.setdefault(slug, []).append(function)
        return function

    return register
