"""Writes the sources of the site from the catalogue, the shipped records and the ledger, and has Sphinx build them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import itertools
import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pitfalls import __version__
from pitfalls.harness import catalogue, claims, compare, links, reading, record, versions
from pitfalls.harness.catalogue import Entry
from pitfalls.harness.record import Record
from pitfalls.harness.versions import release

HERE = Path(__file__).resolve().parent
NEEDED = ("sphinx", "furo", "sphinx_copybutton")
SEVERITY = {1: "bites ordinary users", 2: "bites some", 3: "rare"}

CONF = f"""
project = "torch-pitfalls"
author = "the torch-pitfalls developers"
release = version = "{__version__}"
extensions = ["pitfalls.harness.site.sphinxext", "sphinx_copybutton"]
html_theme = "furo"
html_title = "torch-pitfalls"
html_static_path = ["_static"]
html_css_files = ["pitfalls.css"]
html_js_files = ["messages.js", "pitfalls.js"]
html_copy_source = False
html_show_sphinx = False
highlight_language = "python"
nitpicky = True
copybutton_exclude = ".linenos, .gp"
suppress_warnings = ["config.cache"]
"""


class SiteError(Exception):
    """Why the site can't be built; its message is one line."""


def build(target: Path, progress: Callable[[str], None]) -> int:
    """Build the site.

    Args:
        target: folder for the HTML: a new one, or one that an earlier build left.
        progress: told what is going on.

    Returns:
        The number of pages about pitfalls.

    Raises:
        SiteError: if Sphinx or its theme are not installed, the folder holds something else, or Sphinx warns.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SiteError(f"{' and '.join(missing)} not installed: pip install 'torch-pitfalls[site]'")
    if target.exists() and (not target.is_dir() or any(target.iterdir())) and not (target / "objects.inv").exists():
        raise SiteError(f"{target} holds something that is no site of ours: name another folder")
    entries = catalogue.entries()
    with tempfile.TemporaryDirectory(prefix="torch-pitfalls-site-") as name:
        folder = Path(name)
        progress(f"writing the pages of {len(entries)} pitfalls")
        _write_sources(folder / "source", entries)
        progress("building with Sphinx")
        _sphinx(folder / "source", folder / "html", folder / "doctrees")
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(folder / "html", target)
    return len(entries)


def _sphinx(sources: Path, html: Path, doctrees: Path) -> None:
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            app = Sphinx(
                sources, sources, html, doctrees, "html", status=None, warning=said, warningiserror=False, parallel=2
            )
            app.build(force_all=True)
        except SphinxError as error:
            raise SiteError(f"Sphinx: {error}") from error
    if warned := [line for line in said.getvalue().splitlines() if line.strip()]:
        raise SiteError(f"Sphinx warns {len(warned)} times, first: {warned[0]}")


# What the pages show ------------------------------------------------------------------------------------------------


def rst(text: str) -> str:
    """Prose with single backquotes as reStructuredText, everything else in it escaped."""
    parts = re.split(r"`([^`]*)`", text)
    written = ""
    for number, part in enumerate(parts):
        if number % 2 and part.strip():
            before = "\\ " if written and not written[-1].isspace() and written[-1] not in "([{\"'-/:" else ""
            after = parts[number + 1][:1]
            written += f"{before}``{part.strip()}``" + ("\\ " if after and after not in " .,:;!?)]}\"'-/\n" else "")
        else:
            written += re.sub(r"([\\*|_<`])", r"\\\1", part)
    return written


def indented(text: str, by: int = 3) -> str:
    """A text as the content of a directive."""
    return "\n".join(" " * by + line if line.strip() else "" for line in text.splitlines())


def tests_of(entry: Entry, kind: str) -> list[str]:
    """The sources of the tests of a kind, ``trap`` or ``fix``, as they stand."""
    code = catalogue.code(entry)
    pieces = re.split(r"(?m)^(?=(?:@.*\n(?:[ )].*\n)*)*def test_)", code)
    return [piece.strip() for piece in pieces if f"def test_{kind}_" in piece]


def _write_sources(folder: Path, entries: list[Entry]) -> None:
    import jinja2

    shutil.copytree(HERE / "static", folder / "_static")
    (folder / "conf.py").write_text(CONF, encoding="utf-8")
    shipped = [record.read(path) for path in record.shipped().values()]
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # the output is reStructuredText: `rst` escapes what it must, and Sphinx the HTML
    )
    templates.filters |= {"rst": rst, "indented": indented, "link": links.link}

    def write(name: str, template: str, **values: Any) -> None:
        path = folder / f"{name}.rst"
        path.parent.mkdir(exist_ok=True)
        path.write_text(templates.get_template(template).render(**values), encoding="utf-8")

    newest = shipped[-1].torch.partition("+")[0] if shipped else versions.NEWEST_KNOWN
    held = claims.ledger() if claims.LEDGER.exists() else []
    cited_by: dict[str, list[claims.Claim]] = {}
    for claim in held:
        for slug in claim.pins:
            cited_by.setdefault(slug, []).append(claim)
    outcomes = [_outcomes(one) for one in shipped]
    seen = {
        entry.slug: [_seen(found[entry.slug], one) for found, one in zip(outcomes, shipped, strict=True)]
        for entry in entries
    }
    variants = _variants(shipped[-1]) if shipped else {}
    for entry in entries:
        write(
            f"pitfalls/{entry.slug}",
            "pitfall.rst.j2",
            entry=entry,
            traps=tests_of(entry, "trap"),
            fixes=tests_of(entry, "fix"),
            cases=[(test, variants[entry.slug, test]) for test in entry.tests if (entry.slug, test) in variants],
            seen=seen[entry.slug],
            torch=newest,
            severity=SEVERITY[entry.priority],
            run=reading.how_to_run(entry),
            citations=reading.citations(entry),
            claims=cited_by.get(entry.slug, []),
        )
    pairs = list(itertools.pairwise(shipped))
    for old, new in pairs:
        minor = ".".join(map(str, release(new.torch)[:2]))
        write(f"releases/{minor}", "release.rst.j2", minor=minor, old=old, new=new, changes=_changes(old, new))
    areas = Counter(entry.area for entry in entries)
    minors = [".".join(map(str, release(new.torch)[:2])) for _, new in pairs]
    write("index", "index.rst.j2", entries=entries, areas=sorted(areas.items()), minors=minors, torch=newest)
    write("releases/index", "releases.rst.j2", minors=minors)
    write("coverage", "coverage.rst.j2", coverage=claims.coverage(held, None), owners=_by_owner(held))
    contrary = [
        (entry, [one["torch"] for one in seen[entry.slug] if one["said"].startswith("held")])
        for entry in entries
        if entry.contradicts
    ]
    write("disagreements", "disagreements.rst.j2", contrary=contrary, torch=newest)
    _write_messages(folder / "_static" / "messages.js", entries, shipped)


def _by_owner(held: Iterable[claims.Claim]) -> dict[str, list[claims.Claim]]:
    found: dict[str, list[claims.Claim]] = {}
    for claim in held:
        if claim.state != "excused":
            found.setdefault(claim.owner, []).append(claim)
    return dict(sorted(found.items()))


def _variants(newest: Record) -> dict[tuple[str, str], list[str]]:
    """The variants of each test, by slug and test, as the newest record names them."""
    variants: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in newest.cases:
        slug, test, variant, device = record.split_key(key)
        if variant and device in (None, "cpu"):
            variants[slug, test].append(variant)
    return variants


def _outcomes(one: Record) -> dict[str, Counter[str]]:
    """How many cases of each pitfall came out how."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for key, case in one.cases.items():
        found[key.partition("/")[0]][case["outcome"]] += 1
    return found


def _seen(outcomes: Counter[str], one: Record) -> dict[str, str]:
    """What a record says of a pitfall: that it held, with how many cases, or that it is not about that torch."""
    held = outcomes["passed"]
    said = f"held, {held} cases" if held else "not about this torch" if outcomes["inapplicable"] else "not run"
    environment = one.header["environment"]
    return {
        "torch": one.torch,
        "device": "CPU",
        "said": said,
        "where": "Python {python}, numpy {numpy}, {os} {machine}".format(**environment),
        "date": str(one.header["created"])[:10],
    }


def _changes(old: Record, new: Record) -> list[tuple[str, list[compare.Change]]]:
    found = compare.compare(old, new)
    kinds: dict[str, list[compare.Change]] = {}
    for change in found.changes:
        kinds.setdefault(change.kind.name, []).append(change)
    return list(kinds.items())


def _write_messages(path: Path, entries: list[Entry], shipped: list[Record]) -> None:
    """What the search on the index page looks through: the messages and the words of each pitfall."""
    met: dict[str, set[str]] = {}
    for one in shipped[-1:]:
        for key, case in one.cases.items():
            for caught in (*case.get("raised", ()), *case.get("warned", ())):
                met.setdefault(key.partition("/")[0], set()).add(caught["message"])
    data = {
        entry.slug: {
            "cores": entry.error.split(" | ") if entry.error else [],
            "messages": sorted(met.get(entry.slug, ()))[:12],
            "words": f"{entry.slug} {entry.symptom} {entry.statement} {entry.explanation}",
            "priority": entry.priority,
        }
        for entry in entries
    }
    path.write_text(f"const PITFALLS = {json.dumps(data, ensure_ascii=False)};\n", encoding="utf-8")
