"""The comparison of two records: what changed, in words, ranked by how it would bite. It imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from pitfalls.harness.record import Record, split_key
from pitfalls.harness.versions import release


class Kind(IntEnum):
    """How a change would bite, the worst last."""

    message = 1
    docs = 2
    signature = 3
    warning = 4
    behaviour = 5


#: What can have happened, with its kind, in the order of a report: the worst first.
WHAT = {
    "no longer holds": Kind.behaviour,
    "now raises": Kind.behaviour,
    "no longer raises": Kind.behaviour,
    "no longer warns as documented": Kind.behaviour,
    "holds otherwise": Kind.behaviour,
    "newly applies": Kind.behaviour,
    "no longer applies": Kind.behaviour,
    "other value": Kind.behaviour,
    "raises another exception": Kind.behaviour,
    "newly holds": Kind.behaviour,
    "fails otherwise": Kind.behaviour,
    "now warns": Kind.warning,
    "no longer warns": Kind.warning,
    "other signature": Kind.signature,
    "API gone": Kind.signature,
    "API new": Kind.signature,
    "comes with a new API": Kind.signature,
    "has a new way out": Kind.signature,
    "documentation changed": Kind.docs,
    "other message": Kind.message,
    "warns in other words": Kind.message,
}

#: Outcomes of a case that mean that it ran and found something out.
JUDGED = ("passed", "failed")


@dataclass(frozen=True)
class Difference:
    """One case or API with what it did before and after."""

    key: str
    before: str
    after: str


@dataclass
class Change:
    """One thing that changed about one pitfall or one API, with every case that shows it."""

    what: str
    subject: str
    differences: list[Difference] = field(default_factory=list)
    statement: str = ""
    explanation: str = ""
    docs: list[str] = field(default_factory=list)
    area: str = ""
    priority: int = 2
    known: dict[str, str] = field(default_factory=dict)
    used_at: list[str] = field(default_factory=list)
    accepted: str | None = None

    @property
    def kind(self) -> Kind:
        """How it would bite."""
        return WHAT[self.what]

    @property
    def anchor(self) -> str:
        """A stable name for the change within one comparison."""
        return f"{self.subject}--{self.what.replace(' ', '-')}"

    def as_json(self) -> dict[str, Any]:
        """The change as plain JSON values."""
        return {
            "kind": self.kind.name,
            "what": self.what,
            "subject": self.subject,
            "statement": self.statement,
            "explanation": self.explanation,
            "docs": self.docs,
            "area": self.area,
            "priority": self.priority,
            "known": self.known,
            "accepted": self.accepted,
            "used_at": self.used_at,
            "cases": [vars(difference) for difference in self.differences],
        }


@dataclass
class Comparison:
    """What two records say about each other."""

    old: Record
    new: Record
    changes: list[Change]
    rest: dict[str, list[str]]
    beside_torch: list[str]
    incomplete: list[str]
    flaky: list[str] = field(default_factory=list)
    code: str | None = None
    unparsed: list[str] = field(default_factory=list)

    def at_or_above(self, bar: Kind) -> list[Change]:
        """The changes that count at a bar: those of its kind or a worse one that nobody accepted."""
        return [change for change in self.changes if change.kind >= bar and not change.accepted]


def compare(old: Record, new: Record, flaky: Iterable[str] = ()) -> Comparison:
    """Compare two records of the catalogue.

    Args:
        old: the record from before.
        new: the record from after.
        flaky: keys of cases that, run again, disagreed with themselves; they are left out of the changes.
    """
    left_out = set(flaky)
    found: dict[tuple[str, str], list[Difference]] = defaultdict(list)
    rest: dict[str, list[str]] = defaultdict(list)
    for key in sorted(old.cases.keys() | new.cases.keys()):
        if key in left_out:
            continue
        before, after = old.cases.get(key), new.cases.get(key)
        if before == after:
            continue
        slug, _, _, device = split_key(key)
        if before is None or after is None:
            side, absent = ("new", old) if before is None else ("old", new)
            if device in absent.header["absent"]:
                rest[f"ran only on the {side} side ({device}: {absent.header['absent'][device]} on the other)"].append(
                    key
                )
            else:
                rest[f"there only on the {side} side"].append(key)
            continue
        for what, difference in _case(key, before, after):
            if what in WHAT:
                found[slug, what].append(difference)
            else:
                rest[what].append(key)
    on_old, on_new = _applicable(old), _applicable(new)
    changes = []
    for (slug, what), shown in found.items():
        change = _about_pitfall(slug, what, shown, old, new)
        if what == "holds otherwise" and slug not in on_new:
            change.what = "no longer applies"
        elif what == "holds otherwise" and slug not in on_old:
            comes = any(new.apis.get(name) and name in old.apis and not old.apis[name] for name in change.docs)
            change.what = "comes with a new API" if comes else "newly applies"
        elif what == "holds otherwise" and all(_new_way_out(old, new, one.key) for one in shown):
            change.what = "has a new way out"
        changes.append(change)
    changes += _apis(old, new)
    changes.sort(key=lambda change: (-change.kind, change.priority, list(WHAT).index(change.what), change.subject))
    return Comparison(
        old=old,
        new=new,
        changes=changes,
        rest=dict(sorted(rest.items())),
        beside_torch=_beside_torch(old, new),
        incomplete=_incomplete(old, new),
        flaky=sorted(left_out),
    )


def _case(key: str, before: dict[str, Any], after: dict[str, Any]) -> Iterable[tuple[str, Difference]]:
    """What changed about one case that both sides have, each with its before and after in words."""
    was, now = before["outcome"], after["outcome"]
    shown = Difference(key, _said(before), _said(after))
    if "could not run" in (was, now) or "leaked" in (was, now):
        if was != now:
            side = "new" if now in ("could not run", "leaked") else "old"
            yield f"{now if side == 'new' else was} on the {side} side", shown
    elif was == "skipped" or now == "skipped":
        if was != now:
            yield f"skipped only on the {'new' if now == 'skipped' else 'old'} side", shown
    elif "inapplicable" in (was, now):
        if now == "failed" or was == "failed":
            yield ("no longer holds" if now == "failed" else "holds otherwise"), shown
        elif was != now:
            yield "holds otherwise", shown
    elif was == "passed" and now == "failed":
        yield after.get("how", "no longer holds"), shown
    elif was == "failed" and now == "passed":
        yield "newly holds", shown
    elif was == "failed" and now == "failed":
        if before.get("detail") != after.get("detail"):
            yield "fails otherwise", shown
    else:
        yield from _held_on_both(key, before, after)


def _held_on_both(key: str, before: dict[str, Any], after: dict[str, Any]) -> Iterable[tuple[str, Difference]]:
    observed, now_observed = before.get("observed", {}), after.get("observed", {})
    for name in sorted(observed.keys() | now_observed.keys()):
        if observed.get(name) != now_observed.get(name):
            shown = Difference(key, f"{name} = {observed.get(name)!r}", f"{name} = {now_observed.get(name)!r}")
            yield "other value", shown
    raised, now_raised = before.get("raised", []), after.get("raised", [])
    if [one["type"] for one in raised] != [one["type"] for one in now_raised]:
        yield "raises another exception", Difference(key, _raised(raised), _raised(now_raised))
    elif raised != now_raised:
        yield "other message", Difference(key, _raised(raised), _raised(now_raised))
    warned, now_warned = _warnings(before), _warnings(after)
    gone, come = warned - now_warned, now_warned - warned
    if gone and come and {category for category, _ in gone} == {category for category, _ in come}:
        yield "warns in other words", Difference(key, _warned(gone), _warned(come))
    else:
        if come:
            yield "now warns", Difference(key, _warned(gone) or "no such warning", _warned(come))
        if gone and not come:
            yield "no longer warns", Difference(key, _warned(gone), "no such warning")


def _applicable(record: Record) -> set[str]:
    """The pitfalls that are about the torch of a record, with one case at least."""
    return {key.partition("/")[0] for key, case in record.cases.items() if case["outcome"] != "inapplicable"}


def _new_way_out(old: Record, new: Record, key: str) -> bool:
    """Whether a case shows what to do about a pitfall, and is not about the old torch: the trap is as it was."""
    applies = old.cases[key]["outcome"] == "inapplicable" and new.cases[key]["outcome"] == "passed"
    return applies and split_key(key)[1].startswith("test_fix")


def _said(case: dict[str, Any]) -> str:
    outcome = {"passed": "holds", "failed": "does not hold", "inapplicable": "not about this torch"}
    said = outcome.get(case["outcome"], case["outcome"])
    return f"{said}: {case['detail']}" if case.get("detail") else said


def _raised(raised: list[dict[str, str]]) -> str:
    return "; ".join(f"{one['type']}: {one['message']}" for one in raised) or "nothing raised"


def _warnings(case: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["category"], one["message"]) for one in case.get("warned", [])}


def _warned(warned: set[tuple[str, str]]) -> str:
    return "; ".join(f"{category}: {message}" for category, message in sorted(warned))


def _about_pitfall(slug: str, what: str, shown: list[Difference], old: Record, new: Record) -> Change:
    told = new.pitfalls.get(slug) or old.pitfalls.get(slug) or {}
    low, high = sorted((release(old.torch), release(new.torch)))
    known = {
        number: text for number, text in told.get("changed", {}).items() if low < release(number) <= high or low == high
    }
    return Change(
        what=what,
        subject=slug,
        differences=shown,
        statement=told.get("statement", ""),
        explanation=told.get("explanation", ""),
        docs=told.get("docs", []),
        area=told.get("area", ""),
        priority=told.get("priority", 2),
        known={} if low == high else known,
    )


def _apis(old: Record, new: Record) -> Iterable[Change]:
    cited = defaultdict(list)
    for slug, told in sorted({**old.pitfalls, **new.pitfalls}.items()):
        for name in told.get("docs", []):
            cited[name].append((told.get("priority", 2), slug, told.get("area", "")))
    for name in sorted(old.apis.keys() & new.apis.keys()):
        before, after = old.apis[name], new.apis[name]
        if before == after:
            continue
        priority, _, area = min(cited[name], default=(2, "", ""))
        statement = f"cited by {', '.join(slug for _, slug, _ in cited[name])}"

        def change(what: str, was: str, now: str) -> Change:
            return Change(what, name, [Difference(name, was, now)], statement, "", [name], area, priority)  # noqa: B023

        if before is None or after is None:
            yield (
                change("API new", "not there", "there") if before is None else change("API gone", "there", "not there")
            )
            continue
        if before["signature"] != after["signature"]:
            yield change("other signature", str(before["signature"]), str(after["signature"]))
        if before["docstring"] != after["docstring"]:
            was, now = before["notices"], after["notices"]
            moved = sorted(label for label in was.keys() | now.keys() if was.get(label) != now.get(label))
            said = ", ".join(
                f"{label} {'gone' if label not in now else 'new' if label not in was else 'reworded'}"
                for label in moved
            )
            yield change("documentation changed", "docstring as before", said or "docstring reworded outside its notes")


def _beside_torch(old: Record, new: Record) -> list[str]:
    """What else differs between the two environments, each in a line: a change may be its doing."""
    before, after = old.header["environment"], new.header["environment"]
    names = ("numpy", "python", "implementation", "os", "machine", "cpu_capability", "threads")
    builds = ("cuda", "hip", "gpus", "driver")
    lines = [
        f"{name.replace('_', ' ')} differs too: {before.get(name)} before, {after.get(name)} after"
        for name in (*names, *builds)
        if before.get(name) != after.get(name)
    ]
    if before.get("environ") != after.get("environ"):
        keys = before.get("environ", {}).keys() | after.get("environ", {}).keys()
        moved = sorted(key for key in keys if before["environ"].get(key) != after["environ"].get(key))
        lines.append(f"environment variables differ too: {', '.join(moved)}")
    if old.header["suite"] != new.header["suite"] or old.footer["catalogue"] != new.footer["catalogue"]:
        lines.append(
            f"the catalogues differ too: {old.header['suite']} ({old.footer['catalogue']}) before, "
            f"{new.header['suite']} ({new.footer['catalogue']}) after; only what both have is compared"
        )
    return lines


def _incomplete(old: Record, new: Record) -> list[str]:
    """Why no verdict can be reached, each in a line; empty if one can."""
    reasons = []
    for side, record in (("old", old), ("new", new)):
        ran = sum(number for outcome, number in record.footer["outcomes"].items() if outcome in JUDGED)
        if not ran:
            reasons.append(f"the {side} side ran nothing: {record.name}")
        elif not record.complete:
            reasons.append(f"the {side} side is a partial run: {record.name}")
        stuck = record.footer["outcomes"].get("could not run", 0)
        if stuck:
            reasons.append(f"{stuck} cases could not run on the {side} side: {record.name}")
    return reasons
