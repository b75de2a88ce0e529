"""Which APIs of torch somebody's code uses, and where: read from its source, never imported or run."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pitfalls.harness.compare import Comparison

#: Folders that hold other people's code.
PASSED_OVER = frozenset({"site-packages", "node_modules", "__pycache__", "build", "dist"})


class Uses(ast.NodeVisitor):
    """Collects, from one module, the dotted names of torch that it uses and the methods that it calls."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self.names: dict[str, list[int]] = defaultdict(list)
        self.methods: dict[str, list[int]] = defaultdict(list)

    def visit_Import(self, node: ast.Import) -> None:
        """``import torch.nn.functional as F``."""
        for alias in node.names:
            if alias.name.partition(".")[0] == "torch":
                self.aliases[alias.asname or "torch"] = alias.name if alias.asname else "torch"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """``from torch import nn``; a name imported counts as used."""
        if node.module and node.module.partition(".")[0] == "torch" and not node.level:
            for alias in node.names:
                self.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                self.names[f"{node.module}.{alias.name}"].append(node.lineno)

    def visit_Name(self, node: ast.Name) -> None:
        """A name on its own, such as one imported from torch."""
        if node.id in self.aliases:
            self.names[self.aliases[node.id]].append(node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """A dotted name that starts with something of torch's, or an attribute of anything else."""
        parts: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in self.aliases:
            name = self.aliases[inner.id]
            for part in parts:
                name += f".{part}"
                self.names[name].append(node.lineno)
        else:
            self.methods[node.attr].append(node.lineno)
            self.visit(node.value)


def _modules(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).parts[:-1]
        if not any(part in PASSED_OVER or part.startswith(".") for part in inside):
            yield path


def _places(api: str, uses: Uses) -> list[int]:
    """The lines on which a module uses an API: by its dotted name, by another path to it, or as a method."""
    owner, _, last = api.rpartition(".")
    lines = list(uses.names.get(api, []))
    for name, where in uses.names.items():
        path, _, end = name.rpartition(".")
        # torch.utils.data.dataloader.DataLoader is torch.utils.data.DataLoader.
        if end == last and name != api and (path.startswith(owner + ".") and owner != "torch"):
            lines += where
    if owner.rpartition(".")[2][:1].isupper():
        lines += uses.methods.get(last, [])
    return lines


def rank(comparison: Comparison, roots: list[Path]) -> None:
    """Put the changes whose APIs the code under some folders uses first, each with the places where it does.

    Args:
        comparison: is changed in place.
        roots: folders or single files.

    Raises:
        FileNotFoundError: if one of them is not there.
    """
    found: dict[str, Uses] = {}
    for root in roots:
        if not root.exists():
            raise FileNotFoundError(f"there is no {root}")
        for path in _modules(root):
            try:
                tree = ast.parse(path.read_text(encoding="utf-8"))
            except (SyntaxError, ValueError, OSError, RecursionError) as error:
                comparison.unparsed.append(f"{path}: {error}")
                continue
            found[str(path)] = uses = Uses()
            for node in ast.walk(tree):  # imports may stand anywhere, also below their first use
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    uses.visit(node)
            uses.visit(tree)
    for change in comparison.changes:
        for path_name, uses in found.items():
            lines = sorted({line for api in change.docs for line in _places(api, uses)})
            change.used_at += [f"{path_name}:{line}" for line in lines]
    comparison.changes.sort(key=lambda change: not change.used_at)
    comparison.code = ", ".join(map(str, roots))
