"""One case of the catalogue: a test of a pitfall with one set of parameters on one device."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pitfalls.harness import source, versions
from pitfalls.harness.marks import Pitfall


@dataclass(frozen=True)
class Case:
    """What identifies and describes a case; slug, test, variant and device together are its key."""

    pitfall: Pitfall
    test: str
    variant: str
    device: str | None
    statement: str
    path: Path
    class_name: str
    indices: dict[str, int]
    literals: dict[str, str]
    inapplicable: str | None
    told: dict[str, Any]

    @property
    def call(self) -> source.Call:
        """How a stand-alone script calls it."""
        return source.Call(self.test, self.indices, self.literals)

    @property
    def slug(self) -> str:
        """The name of its pitfall."""
        return self.pitfall.slug

    @property
    def key(self) -> str:
        """Its key as one line: ``slug/test[variant]@device``."""
        return (
            f"{self.slug}/{self.test}"
            + (f"[{self.variant}]" if self.variant else "")
            + (f"@{self.device}" if self.device else "")
        )


@functools.cache
def told(cls: type, path: Path) -> dict[str, Any]:
    """What a pitfall says of itself, as it goes into a record."""
    pitfall: Pitfall = vars(cls)["__pitfall__"]
    _, _, rest = inspect.cleandoc(cls.__doc__ or "").partition("\n")
    return {
        "statement": statement(cls),
        "explanation": " ".join(rest.replace("``", "`").split()),
        "area": path.parent.name,
        "docs": [doc if isinstance(doc, str) else doc[0] for doc in pitfall.docs],
        "symptom": pitfall.symptom,
        "error": pitfall.error,
        "priority": pitfall.priority,
        "changed": dict(pitfall.changed),
    }


def statement(cls: type) -> str:
    """The first line of a pitfall's docstring, without its mark-up."""
    return (cls.__doc__ or "").strip().partition("\n")[0].strip().replace("``", "`")


def case_of(item: pytest.Function, torch_version: str) -> Case:
    """The case that a collected test item is."""
    assert item.cls is not None
    # The id is read off the item's name, which is public; the plugin sees to it that the device comes first in it.
    variant = item.name[len(item.originalname) :].removeprefix("[").removesuffix("]")
    call = getattr(item, "callspec", None)
    params: dict[str, Any] = call.params if call else {}
    device: str | None = params.get("device")
    if device is not None:
        variant = variant.removeprefix(device).removeprefix("-")
    indices = indices_of(item)
    return Case(
        pitfall=vars(item.cls)["__pitfall__"],
        test=item.originalname,
        variant=variant,
        device=device,
        statement=statement(item.cls),
        path=item.path,
        class_name=item.cls.__name__,
        indices=indices,
        literals={name: repr(value) for name, value in params.items() if name not in indices and name != "device"},
        inapplicable=versions.inapplicable(torch_version, bounds(item, "since"), bounds(item, "before")),
        told=told(item.cls, item.path),
    )


def bounds(item: pytest.Item | pytest.Class, mark: str) -> list[str]:
    """The releases that the marks ``since`` or ``before`` of a node name."""
    return [str(found.args[0]) for found in item.iter_markers(mark)]


def indices_of(item: pytest.Function) -> dict[str, int]:
    """For each argument of the item's parametrize marks, the position of its value among the values of its mark."""
    call = getattr(item, "callspec", None)
    params: dict[str, Any] = call.params if call else {}
    found: dict[str, int] = {}
    for mark in item.iter_markers("parametrize"):
        spelled, values = mark.args[0], mark.args[1]
        names = [name.strip() for name in spelled.split(",")] if isinstance(spelled, str) else list(spelled)
        wanted = [params[name] for name in names]
        for index, value in enumerate(values):
            values_of = getattr(value, "values", None)
            given = list(values_of) if isinstance(values_of, tuple) else [value] if len(names) == 1 else list(value)
            if all(one is other for one, other in zip(given, wanted, strict=True)):
                found.update(dict.fromkeys(names, index))
                break
    return found


def unreadable_ids(item: pytest.Function) -> list[str]:
    """The arguments whose id in the item's name is pytest's fallback (``dtype0``), which says nothing to a reader."""
    pieces = item.name[len(item.originalname) :].strip("[]").split("-")
    return [name for name, index in indices_of(item).items() if f"{name}{index}" in pieces]
