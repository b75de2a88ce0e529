"""A comparison as text for a terminal, as Markdown, as JSON and as one self-contained HTML page."""

from __future__ import annotations

import difflib
import html
import json
import textwrap
from typing import Any

from pitfalls.harness import verdict
from pitfalls.harness.compare import Change, Comparison, Difference, Kind
from pitfalls.harness.links import link
from pitfalls.harness.words import plural

#: How many cases of one change a text shows before it only counts the others.
SHOWN = 3
WIDTH = 110
#: Kinds that a text tells in a sentence each: they are many between any two releases, and break nobody's program.
BRIEF = (Kind.docs, Kind.message)


def status(comparison: Comparison, bar: Kind) -> tuple[str, int]:
    """The verdict in a line, and its exit code."""
    sides = f"torch {comparison.old.torch} and torch {comparison.new.torch}"
    if comparison.incomplete:
        return f"no verdict on {sides}: " + "; ".join(comparison.incomplete), verdict.INCOMPLETE
    counted = comparison.at_or_above(bar)
    if counted:
        kinds = ", ".join(
            f"{number} {kind.name}"
            for kind in sorted(Kind, reverse=True)
            if (number := sum(change.kind == kind for change in counted))
        )
        return f"{plural(len(counted), 'change')} between {sides}: {kinds}", verdict.CHANGED
    if comparison.changes:
        return (
            f"nothing that counts changed between {sides}; {len(comparison.changes)} below the bar",
            verdict.UNCHANGED,
        )
    return f"nothing changed between {sides}", verdict.UNCHANGED


def terminal(comparison: Comparison, bar: Kind = Kind.behaviour) -> str:
    """The comparison as plain text, the worst first."""
    lines = [status(comparison, bar)[0], *comparison.beside_torch]
    unused = [change for change in comparison.changes if not _relevant(change, comparison)]
    for change in comparison.changes:
        if change not in unused and change.kind not in BRIEF:
            lines += ["", *_entry(change, comparison)]
    brief = _brief([change for change in comparison.changes if change not in unused and change.kind in BRIEF])
    lines += ["", *brief] if brief else []
    if unused:
        lines += ["", f"not used in {comparison.code}: {plural(len(unused), 'change')}"]
        lines += [f"  {change.kind.name}: {change.subject} {change.what}" for change in unused]
    lines += [f"passed over, because it does not parse: {name}" for name in comparison.unparsed]
    if comparison.flaky:
        lines += ["", "flaky, not changed, because they disagree with themselves when run again:"]
        lines += [f"  {key}" for key in comparison.flaky]
    for reason, keys in comparison.rest.items():
        lines += ["", f"{reason}: {plural(len(keys), 'case')}", *(f"  {key}" for key in keys[:SHOWN])]
        if len(keys) > SHOWN:
            lines.append(f"  and {len(keys) - SHOWN} more")
    return "\n".join(lines)


def _brief(changes: list[Change]) -> list[str]:
    """The milder changes, a paragraph for each thing that changed, with all whom it concerns."""
    found: dict[tuple[Kind, str], list[str]] = {}
    for change in changes:
        for shown in change.differences:
            for said in [shown.after] if change.kind is Kind.docs else _reworded(shown):
                concerned = found.setdefault((change.kind, said), [])
                if change.subject not in concerned:
                    concerned.append(change.subject)
    lines = []
    for (kind, said), subjects in found.items():
        text = f"{kind.name}: {said}: {', '.join(subjects)}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
    return lines


def _reworded(shown: Difference) -> list[str]:
    """Each place in which two texts differ, with the words before it."""
    before, after = shown.before.split(), shown.after.split()
    found = []
    for tag, start, end, new_start, new_end in difflib.SequenceMatcher(None, before, after, False).get_opcodes():
        if tag != "equal":
            lead = before[max(start - 2, 0) : start]
            was, now = " ".join([*lead, *before[start:end]]), " ".join([*lead, *after[new_start:new_end]])
            found.append(f"{was!r} became {now!r}")
    return found


def _relevant(change: Change, comparison: Comparison) -> bool:
    return comparison.code is None or bool(change.used_at)


def _entry(change: Change, comparison: Comparison) -> list[str]:
    def wrapped(label: str, text: str) -> list[str]:
        first, *others = textwrap.wrap(text, WIDTH - 12, break_long_words=False, break_on_hyphens=False) or [""]
        return [f"  {label:<9} {first}", *(" " * 12 + line for line in others)]

    state = f" (accepted: {change.accepted})" if change.accepted else ""
    lines = [f"{change.kind.name}: {change.subject}: {change.what}{state}"]
    lines += wrapped("pitfall" if "/" in change.differences[0].key else "API", change.statement)
    for number, text in change.known.items():
        lines += wrapped("known", f"{number}: {text}")
    if change.explanation:
        lines += wrapped("why, fix", change.explanation)
    for shown in change.differences[:SHOWN]:
        lines.append(f"  {shown.key}")
        lines += wrapped("  before", shown.before) + wrapped("  after", shown.after)
    if len(change.differences) > SHOWN:
        lines.append(f"  and {plural(len(change.differences) - SHOWN, 'more case')}")
    for place in change.used_at[:SHOWN]:
        lines += wrapped("used at", place)
    for name in change.docs:
        lines += wrapped("docs", f"{name}  {link(name, comparison.new.torch)}")
    return lines


def as_json(comparison: Comparison, bar: Kind = Kind.behaviour) -> str:
    """The comparison as JSON: verdict, changes, and the rest."""
    said, code = status(comparison, bar)
    content: dict[str, Any] = {
        "verdict": said,
        "exit_code": code,
        "fail_on": bar.name,
        "old": comparison.old.header,
        "new": comparison.new.header,
        "beside_torch": comparison.beside_torch,
        "incomplete": comparison.incomplete,
        "code": comparison.code,
        "unparsed": comparison.unparsed,
        "changes": [change.as_json() for change in comparison.changes],
        "flaky": comparison.flaky,
        "rest": comparison.rest,
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _cell(text: str) -> str:
    """Text that stays text in a cell of a Markdown table, whatever it contains."""
    escaped = html.escape(text, quote=False).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    for mark in "*_[]<>~":
        escaped = escaped.replace(mark, f"\\{mark}")
    return " ".join(escaped.split())


def markdown(comparison: Comparison, bar: Kind = Kind.behaviour) -> str:
    """The comparison as GitHub's Markdown, for a comment on a pull request or the summary of a step."""
    said, _ = status(comparison, bar)
    lines = [f"### torch-pitfalls: {_cell(said)}", ""]
    lines += [f"> {_cell(line)}" for line in comparison.beside_torch]
    if comparison.changes:
        lines += ["", "| kind | what | pitfall or API | before | after | known |", "|---|---|---|---|---|---|"]
    for change in comparison.changes:
        shown = change.differences[0]
        more = f" (and {plural(len(change.differences) - 1, 'more case')})" if len(change.differences) > 1 else ""
        known = "; ".join(f"{number}: {text}" for number, text in change.known.items())
        known += f" accepted: {change.accepted}" if change.accepted else ""
        cells = (
            change.kind.name,
            change.what,
            f"{change.subject}: {change.statement}",
            shown.before,
            shown.after + more,
        )
        lines.append("| " + " | ".join(map(_cell, (*cells, known))) + " |")
    for reason, keys in comparison.rest.items():
        lines += ["", f"{_cell(reason)}: {plural(len(keys), 'case')}"]
    if comparison.flaky:
        lines += ["", f"flaky, not changed: {', '.join(map(_cell, comparison.flaky))}"]
    return "\n".join(lines) + "\n"


def _data(text: str) -> str:
    """Text as the message of a workflow command, where a line break would begin another command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Text as a property of a workflow command, where a comma would begin another property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def workflow_commands(comparison: Comparison, bar: Kind = Kind.behaviour) -> str:
    """The comparison as GitHub's workflow commands, which show each change beside the line that it concerns.

    What counts is an error, what has been accepted or is below the bar a notice; documentation and messages are left to
    the summary. The commands and how they are escaped: GitHub's reference of workflow commands.
    """
    said, code = status(comparison, bar)
    counted = comparison.at_or_above(bar)
    lines = [f"::{'notice' if code == verdict.UNCHANGED else 'error'} title=torch-pitfalls::{_data(said)}"]
    for change in comparison.changes:
        if change.kind in BRIEF and change not in counted:
            continue
        known = " ".join(f"{number}: {text}." for number, text in change.known.items())
        text = " ".join(filter(None, [change.statement, known, change.explanation]))
        title = f"title={_property(f'{change.subject}: {change.what}')}"
        path, _, line = change.used_at[0].rpartition(":") if change.used_at else ("", "", "")
        where = f"file={_property(path)},line={line}," if path else ""
        lines.append(f"::{'error' if change in counted else 'notice'} {where}{title}::{_data(text)}")
    return "\n".join(lines)


def _marked_up(text: str) -> Any:
    """Text with its `code` as code, everything else escaped."""
    from markupsafe import Markup, escape

    pieces = (
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(text.split("`"))
    )
    return Markup("").join(pieces)


def page(comparison: Comparison, bar: Kind = Kind.behaviour) -> str:
    """The comparison as one HTML page that needs nothing else."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pitfalls.harness", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["marked_up"] = _marked_up
    said, code = status(comparison, bar)
    devices = sorted(
        {key.rpartition("@")[2] for c in comparison.changes for d in c.differences if "@" in (key := d.key)}
    )
    return environment.get_template("comparison.html").render(
        comparison=comparison,
        said=said,
        code=code,
        kinds=[kind.name for kind in sorted(Kind, reverse=True)],
        areas=sorted({change.area for change in comparison.changes if change.area}),
        devices=devices,
        plural=plural,
        link=lambda name: link(name, comparison.new.torch),
    )
