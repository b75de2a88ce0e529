"""The catalogue as data, read from its sources: what each pitfall says of itself, without importing torch or a module.

Only the decorators, the first lines and the signatures are parsed, which takes a fifth of the time of parsing it all:
the command line answers at once.
"""

from __future__ import annotations

import ast
import difflib
import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pitfalls.harness import record, source

#: Where a statement at the top of a module begins, and the line of a class with a docstring.
TOP = re.compile(r"^(?=[@A-Za-z_])", re.MULTILINE)
CLASS = re.compile(r'class (?P<name>\w+)[^\n]*:\n    """(?P<docstring>[\s\S]*?)"""')
TEST = re.compile(r"^    def (?P<name>test_\w+)\((?P<arguments>[^)]*)\)", re.MULTILINE)
ON = re.compile(r"^    @on\((?P<devices>[^)]*)\)", re.MULTILINE)


class UnknownError(Exception):
    """A name that stands for nothing in the catalogue; its message is one line for the person who gave it."""


@dataclass(frozen=True)
class Told:
    """What a pitfall says of itself in words, which is all that a search or a list needs."""

    slug: str
    statement: str
    explanation: str
    area: str
    symptom: str
    error: str | None
    priority: int
    changed: dict[str, str]


@dataclass(frozen=True)
class Entry(Told):
    """One pitfall as its source states it."""

    family: str
    module: Path
    line: int
    class_name: str
    docs: list[tuple[str, str | None]]
    contradicts: dict[str, str]
    since: list[str]
    before: list[str]
    devices: list[str]
    tests: list[str]

    def as_json(self) -> dict[str, Any]:
        """The entry as plain JSON values; its module as a path inside the package."""
        return {**asdict(self), "module": self.module.relative_to(source.PACKAGE).as_posix()}


def entries() -> list[Entry]:
    """Every pitfall of the catalogue, in the order of its modules."""
    return [entry for path in source.modules() for entry in _of_module(path)]


def told() -> list[Told]:
    """Every pitfall in words: off the newest record that comes with the suite, if that is of the catalogue as it is.

    That spares parsing the sources, which takes longer.
    """
    newest = record.newest()
    if newest is None or newest.footer["catalogue"] != source.digest():
        return list(entries())
    names = [field.name for field in fields(Told) if field.name != "slug"]
    return [Told(slug, *(one[name] for name in names)) for slug, one in newest.pitfalls.items()]


def _of_module(path: Path) -> Iterator[Entry]:
    text = path.read_text(encoding="utf-8")
    tops = [match.start() for match in TOP.finditer(text)]
    decorated = None
    for start, end in itertools.pairwise([*tops, len(text)]):
        if text[start] == "@":
            decorated = start if decorated is None else decorated
            continue
        decorators, decorated = text[start if decorated is None else decorated : start], None
        match = CLASS.match(text, start)
        if "@pitfall(" not in decorators or match is None:
            continue
        node = ast.parse(f"{decorators}class C: pass").body[0]
        assert isinstance(node, ast.ClassDef)
        calls = {_last_name(call.func): call for call in node.decorator_list if isinstance(call, ast.Call)}
        given = {word.arg: ast.literal_eval(word.value) for word in calls["pitfall"].keywords}
        first, _, rest = match["docstring"].strip().partition("\n")
        marked = [
            (_last_name(call.func), str(ast.literal_eval(call.args[0])))
            for call in node.decorator_list
            if isinstance(call, ast.Call) and _last_name(call.func) in ("since", "before")
        ]
        yield Entry(
            slug=ast.literal_eval(calls["pitfall"].args[0]),
            statement=_unmarked(first),
            explanation=_unmarked(rest),
            area=path.parent.name,
            family=path.stem.removeprefix("test_").replace("_", " "),
            module=path,
            line=text.count("\n", 0, match.start("name")) + 1,
            class_name=match["name"],
            docs=[(doc, None) if isinstance(doc, str) else (doc[0], doc[1]) for doc in given["docs"]],
            symptom=given["symptom"],
            error=given.get("error"),
            priority=given.get("priority", 2),
            changed=given.get("changed") or {},
            contradicts=given.get("contradicts") or {},
            since=[release for mark, release in marked if mark == "since"],
            before=[release for mark, release in marked if mark == "before"],
            devices=_devices(body := text[match.end() : end]),
            tests=[test["name"] for test in TEST.finditer(body)],
        )


def _last_name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _unmarked(text: str) -> str:
    """Text of a docstring in one line a paragraph, with single backquotes."""
    paragraphs = re.split(r"\n\s*\n", text.strip().replace("``", "`"))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _devices(body: str) -> list[str]:
    """The device types that the tests of a pitfall are about; none, if they take no device."""
    found: set[str] = set()
    start = 0
    for test in TEST.finditer(body):
        marks = [re.findall(r"\w+", on["devices"]) for on in ON.finditer(body, start, test.start())]
        if "device" in test["arguments"].replace(" ", "").split(","):
            found |= set(marks[0]) if marks else {"cpu", "cuda"}
        start = test.end()
    return sorted(found)


def named(slug: str) -> Entry | None:
    """The pitfall of this name, if there is one; only its module is parsed."""
    for path in source.modules():
        if f'"{slug}"' in path.read_text(encoding="utf-8"):
            for entry in _of_module(path):
                if entry.slug == slug:
                    return entry
    return None


def nearest(slug: str) -> list[str]:
    """The slugs that a misspelt one may have meant, the likeliest first."""
    return difflib.get_close_matches(slug, source.slugs(), n=3, cutoff=0.5)


def code(entry: Entry) -> str:
    """The class of a pitfall as it stands in its module, without its decorator and its docstring."""
    text = entry.module.read_text(encoding="utf-8")
    owner = next(node for node in ast.parse(text).body if getattr(node, "name", None) == entry.class_name)
    assert isinstance(owner, ast.ClassDef)
    start = owner.body[0].end_lineno  # the docstring's
    return textwrap.dedent("\n".join(text.splitlines()[start : owner.end_lineno])).strip()
