"""What a pin runs into while it holds: the exceptions and warnings that it expects, noted for the record of the run."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from pitfalls.harness.record import stable, unique


class Notes:
    """The exceptions that ``pytest.raises`` caught and the warnings that ``pytest.warns`` caught, in one case."""

    def __init__(self) -> None:
        self.raised: list[dict[str, str]] = []
        self.warned: list[dict[str, str]] = []

    def as_json(self) -> dict[str, Any]:
        """The notes as they go into a record, empty parts left out."""
        found: dict[str, Any] = {}
        if self.raised:
            found["raised"] = self.raised
        if self.warned:
            found["warned"] = unique(self.warned)
        return found


class _Listening:
    """A context manager of pytest's that tells what came out of it."""

    def __init__(self, inner: Any, tell: Any) -> None:
        self._inner, self._tell = inner, tell

    def __enter__(self) -> Any:
        self._entered = self._inner.__enter__()
        return self._entered

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> Any:
        try:
            return self._inner.__exit__(kind, value, traceback)
        finally:
            self._tell(self._entered, value)


@contextmanager
def listening() -> Generator[Notes, None, None]:
    """Note what ``pytest.raises`` and ``pytest.warns`` catch within this context.

    Pins are written against plain pytest; listening to its two contexts spares each pin an `observe` for its message.
    """
    notes = Notes()
    raises, warns = pytest.raises, pytest.warns

    def raised(_: Any, value: BaseException | None) -> None:
        if value is not None:
            notes.raised.append({"type": type(value).__name__, "message": stable(str(value))})

    def warned(caught: Any, _: BaseException | None) -> None:
        for one in caught:
            notes.warned.append({"category": one.category.__name__, "message": stable(str(one.message))})

    def listening_raises(*args: Any, **kwargs: Any) -> Any:
        found = raises(*args, **kwargs)
        return _Listening(found, raised) if hasattr(found, "__exit__") else found

    def listening_warns(*args: Any, **kwargs: Any) -> Any:
        found = warns(*args, **kwargs)
        return _Listening(found, warned) if hasattr(found, "__exit__") else found

    pytest.raises, pytest.warns = listening_raises, listening_warns
    try:
        yield notes
    finally:
        pytest.raises, pytest.warns = raises, warns
