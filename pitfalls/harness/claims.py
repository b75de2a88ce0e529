"""The ledger: what torch documents, claim by claim, and which pitfall shows it or why none can.

``pitfalls/claims.toml`` has an entry for each warning, note, deprecation and version note in the docstrings of torch,
by owner and fingerprint of its text, and for statements of the manual's pages. Held against the installed torch it
tells what is documented anew, in other words, or no more.
"""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from pitfalls.harness import source
from pitfalls.harness.apidocs import fingerprint, notices

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEDGER = source.PACKAGE / "claims.toml"

#: Every method of a tensor stands on each of these as well.
TENSOR_TYPES = re.compile(r"torch\.(cuda\.)?(sparse\.)?[A-Z]\w*(Tensor|Storage)\.")
#: Modules that are no API: their own tests, and what runs a program when it is imported.
PASSED_BY = (
    "torch.testing._internal",
    "torch.utils.benchmark.examples",
    "torch.distributed.run",
    "torch.backends.xeon",
)


@dataclass(frozen=True)
class Claim:
    """One statement of torch's documentation, and what the catalogue makes of it.

    A claim has pins, or a reason why it has none; one with neither can be shown and is not yet.
    """

    owner: str
    label: str
    text: str | None
    says: str
    priority: int | None
    pins: tuple[str, ...]
    reason: str | None

    @property
    def state(self) -> str:
        """``pinned``, ``excused`` or ``open``."""
        return "pinned" if self.pins else "excused" if self.reason else "open"


@dataclass
class Coverage:
    """The ledger held against the docstrings of a torch."""

    claims: list[Claim]
    new: list[tuple[str, str]] = field(default_factory=list)
    reworded: list[Claim] = field(default_factory=list)
    gone: list[Claim] = field(default_factory=list)

    def counts(self, *, pages: bool) -> Counter[str]:
        """How many claims of docstrings, or of pages, are in each state."""
        return Counter(claim.state for claim in self.claims if (claim.text is None) is pages)


def ledger() -> list[Claim]:
    """The entries of the ledger, those of docstrings first."""
    content = tomllib.loads(LEDGER.read_text(encoding="utf-8"))
    return [
        Claim(
            owner,
            label,
            entry.get("text"),
            entry.get("says", ""),
            entry.get("priority"),
            tuple(entry.get("pins", ())),
            entry.get("reason"),
        )
        for part in ("docstrings", "pages")
        for owner, entries in content[part].items()
        for label, entry in entries.items()
    ]


def documented() -> dict[tuple[str, str], str]:
    """Every notice in a public docstring of the installed torch: its fingerprint, by owner and label.

    What has several names goes by the shortest. Imports every public module of torch that can be imported here.
    """
    found: dict[tuple[str, str], str] = {}
    # Torch warns of what is looked at, with filters of its own for that, and prints what it lacks.
    silence = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
        warnings.simplefilter("ignore")
        for owner, docstring in _docstrings():
            if not TENSOR_TYPES.match(owner):
                for label, text in notices(docstring).items():
                    found.setdefault((owner, label), fingerprint(text))
    return found


def _modules() -> dict[str, Any]:
    import torch

    found = {"torch": torch}
    for info in pkgutil.walk_packages(torch.__path__, "torch.", onerror=lambda _: None):
        private = any(part.startswith("_") for part in info.name.split("."))
        if not private and not info.name.startswith(PASSED_BY):
            try:
                found[info.name] = importlib.import_module(info.name)
            except (Exception, SystemExit):  # it needs what is not installed here, whatever that raises
                continue
    return dict(sorted(found.items(), key=lambda pair: (pair[0].count("."), pair[0])))


def _docstrings() -> Iterator[tuple[str, str]]:
    named: dict[int, tuple[str, Any]] = {}
    for module_name, module in _modules().items():
        named.setdefault(id(module), (module_name, module))
        exported = None if module_name == "torch" else getattr(module, "__all__", None)
        for name, value in sorted(vars(module).items()):
            if _is_api(module_name, exported, name, value):
                named.setdefault(id(value), (f"{module_name}.{name}", value))
    for owner, value in named.values():
        yield from _own_docstring(owner, value)
        if inspect.isclass(value):
            members = dir(value) if owner == "torch.Tensor" else vars(value)
            for name in members:
                if not name.startswith("_"):
                    yield from _own_docstring(f"{owner}.{name}", inspect.getattr_static(value, name))


def _is_api(module_name: str, exported: list[str] | None, name: str, value: Any) -> bool:
    if name.startswith("_") or inspect.ismodule(value) or not callable(value):
        return False
    if exported is not None:
        return name in exported
    origin = str(getattr(value, "__module__", None) or "torch")
    return module_name == "torch" or origin == module_name or origin.startswith("torch._")


def _own_docstring(owner: str, value: Any) -> Iterator[tuple[str, str]]:
    docstring = getattr(getattr(value, "__func__", value), "__doc__", None)
    if isinstance(docstring, str):
        yield owner, docstring


def coverage(claims: Iterable[Claim], found: dict[tuple[str, str], str] | None) -> Coverage:
    """Hold the ledger against what a torch documents.

    Args:
        claims: of the ledger.
        found: what `documented` gave; None to count alone.
    """
    result = Coverage(list(claims))
    if found is None:
        return result
    ours = [claim for claim in result.claims if claim.text is not None]
    known_texts, known_names = {claim.text for claim in ours}, {(claim.owner, claim.label) for claim in ours}
    present = set(found.values())
    result.new = sorted(key for key, text in found.items() if text not in known_texts and key not in known_names)
    for claim in ours:
        if claim.text not in present:
            (result.reworded if (claim.owner, claim.label) in found else result.gone).append(claim)
    return result
