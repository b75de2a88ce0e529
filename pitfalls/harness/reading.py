"""The catalogue in the terminal: a list, one pitfall explained, how to cite it, and its tests as a script."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable
from datetime import date
from typing import Any

from pitfalls import __version__
from pitfalls.harness import catalogue, source, versions
from pitfalls.harness.catalogue import Entry, Told
from pitfalls.harness.claims import Coverage
from pitfalls.harness.links import link, page
from pitfalls.harness.search import Found

WIDTH = 100


def installed_torch() -> str | None:
    """The version of the torch beside the suite, read off its metadata, or None where there is none."""
    import importlib.metadata  # which takes longer than listing the catalogue

    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def listed(entries: Iterable[Told]) -> str:
    """The pitfalls, a line each, under their areas."""
    lines: list[str] = []
    area = None
    for entry in entries:
        if entry.area != area:
            area = entry.area
            lines += ["", area] if lines else [area]
        lines.append(f"  {entry.slug}: {entry.statement}")
    return "\n".join(lines)


def explained(entry: Entry) -> str:
    """Everything that there is to say about one pitfall, its tests included."""
    torch = installed_torch() or versions.NEWEST_KNOWN
    lines = [entry.slug, "", *textwrap.wrap(entry.statement, WIDTH), ""]
    for paragraph in entry.explanation.split("\n\n"):
        lines += [*textwrap.wrap(paragraph, WIDTH), ""]
    lines += _field("symptom", entry.symptom)
    if entry.error:
        lines += _field("error", entry.error)
    for name, phrase in entry.docs:
        lines += [f"documented:  {name}  {link(name, torch)}"]
        if phrase:
            lines += [f"             it says: {phrase!r}"]
    for release, what in entry.changed.items():
        lines += _field(f"since {release}", what)
    if entry.devices:
        lines += _field("devices", ", ".join(entry.devices))
    lines += [f"page:        {page(entry.slug)}", f"source:      {entry.module}:{entry.line}"]
    lines += [f"run it:      {how_to_run(entry)}", "", catalogue.code(entry)]
    return "\n".join(lines)


def _field(name: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{name + ':':<13}", subsequent_indent=" " * 13)


def how_to_run(entry: Entry) -> str:
    """The command that runs the tests of one pitfall, from any folder."""
    return f"pytest --pyargs pitfalls.{entry.area}.{entry.module.stem} -k {entry.class_name}"


def candidates(found: list[Found], most: int = 5) -> str:
    """The pitfalls that an error message may come from, the likeliest first, each with what to do."""
    parts = []
    for number, one in enumerate(found[:most], start=1):
        head = f"{number}. {one.entry.slug}: {one.entry.statement}"
        parts.append("\n".join(textwrap.wrap(head, WIDTH, subsequent_indent="   ")))
        if number == 1:
            paragraphs = [textwrap.fill(text, WIDTH - 3) for text in one.entry.explanation.split("\n\n")]
            parts.append(textwrap.indent("\n".join(paragraphs), "   "))
            parts.append(f"   {page(one.entry.slug)}")
    parts.append(f"\nall of it, with the code: torch-pitfalls explain {found[0].entry.slug}")
    return "\n".join(parts)


def citations(entry: Entry) -> dict[str, str]:
    """How to cite a pitfall, by form."""
    url = page(entry.slug)
    plain = entry.statement.replace("`", "")
    return {
        "Markdown": f"[`{entry.slug}`]({url}): {entry.statement}",
        "reStructuredText": f"`{entry.slug} <{url}>`__: {entry.statement.replace('`', '``')}",
        "code comment": f"# torch-pitfalls: {entry.slug} ({url})",
        "BibTeX": (
            f"@misc{{torch-pitfalls:{entry.slug},\n"
            f"  title = {{{{{_tex(plain)}}}}},\n"
            f"  howpublished = {{torch-pitfalls {__version__}, pitfall {entry.slug}}},\n"
            f"  year = {{{date.today().year}}},\n"
            f"  url = {{{url}}}\n}}"
        ),
    }


def _tex(text: str) -> str:
    return re.sub(r"([_%&#$])", r"\\\1", text)


def claims_told(found: Coverage, *, every_open: bool) -> str:
    """How much of what torch documents the catalogue pins, and what the installed torch documents otherwise."""
    lines = []
    for name, pages in (("docstrings", False), ("manual", True)):
        counts = found.counts(pages=pages)
        testable = counts["pinned"] + counts["open"]
        share = f" ({counts['pinned'] / testable:.0%} of what a test can show)" if testable else ""
        lines.append(
            f"{name}: {counts.total()} claims: {counts['pinned']} pinned{share}, {counts['excused']} excused, "
            f"{counts['open']} open"
        )
    torch = installed_torch()
    for what, keys in (
        ("new", found.new),
        ("reworded", [(claim.owner, claim.label) for claim in found.reworded]),
        ("gone", [(claim.owner, claim.label) for claim in found.gone]),
    ):
        lines.append(f"{what} in torch {torch}: {len(keys)}")
        lines += [f"  {owner}, {label}" for owner, label in keys]
    if every_open:
        lines.append("open:")
        lines += [f"  {claim.owner}, {claim.label}: {claim.says}" for claim in found.claims if claim.state == "open"]
    return "\n".join(lines)


def claims_as_json(found: Coverage) -> dict[str, Any]:
    """The same as plain JSON values."""
    return {
        "torch": installed_torch(),
        "docstrings": dict(found.counts(pages=False)),
        "pages": dict(found.counts(pages=True)),
        "new": [list(key) for key in found.new],
        "reworded": [[claim.owner, claim.label] for claim in found.reworded],
        "gone": [[claim.owner, claim.label] for claim in found.gone],
        "open": [[claim.owner, claim.label, claim.says] for claim in found.claims if claim.state == "open"],
    }


def script(entry: Entry) -> str:
    """The tests of a pitfall as one script that runs without pytest: each with the first of its parameters.

    A test that is about another torch than the installed one is left out.

    Raises:
        UnknownError: if no test of the pitfall is about the installed torch.
    """
    torch = installed_torch() or versions.NEWEST_KNOWN
    device = next((kind for kind in ("cpu", "cuda") if kind in entry.devices), None)
    calls = [
        call
        for test in entry.tests
        if (call := source.first_applicable(entry.module, entry.class_name, test, torch, device)) is not None
    ]
    if not calls:
        raise catalogue.UnknownError(f"{entry.slug} is not about torch {torch}")
    return source.script(entry.module, entry.class_name, calls, device)


def shown(text: str, language: str) -> str:
    """A text for standard output: in colours at a terminal, plain in a pipe."""
    if not sys.stdout.isatty():
        return text
    import pygments
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import get_lexer_by_name

    return str(pygments.highlight(text, get_lexer_by_name(language), TerminalFormatter())).rstrip("\n")
