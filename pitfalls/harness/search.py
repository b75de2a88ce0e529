"""From an error message, as people paste it, to the pitfalls that it may come from.

A message is compared with the core of the message that a pitfall names and with the messages that its tests met, in
the newest record that comes with the suite. A description in words of one's own is compared with what pitfalls say.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pitfalls.harness import record
from pitfalls.harness.catalogue import Told

#: The last line of a traceback, or the line of a warning: what kind it is, and what it says.
SAID = re.compile(r"(?P<kind>\b[A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt)): (?P<message>.*)")
WORD = re.compile(r"[a-z_]+|#")
#: Words that say nothing about which message it is.
EMPTY = frozenset(
    """
    a an and are as at be by do does for how if in is it my not of on or s t that the this to was why with you your
    """.split()  # noqa: SIM905 - as a list of strings it would fill a screen
)
#: A core whose words have this weight together stands in no other message.
TELLING = 10
#: Words that two messages share and that have less weight than this together are anybody's.
LITTLE = 6
#: Below this likeness two texts have only torch's usual words in common.
ALIKE = 0.4


@dataclass(frozen=True)
class Found:
    """A pitfall that a text may be about, and how likely, from 0 to 1."""

    entry: Told
    likeness: float


def said(text: str) -> str:
    """The message in a pasted text: what follows the last ``SomeError:`` in it, or all of it."""
    lines = [line.strip() for line in text.strip().splitlines()]
    at = [number for number, line in enumerate(lines) if SAID.search(line)]
    # What follows the message in a terminal (a prompt, a log line) does little harm: what matches counts.
    return "\n".join(lines[at[-1] :]) if at else " ".join(lines)


def words(text: str) -> list[str]:
    """The words of a message, with every number as ``#`` and every device and dtype made alike."""
    text = re.sub(r"\b(cuda|cpu|mps|xpu)(:\d+)?\b", " device ", text.lower())
    text = re.sub(
        r"\b(torch\.)?(cuda\.)?(float|double|half|bfloat|long|int|uint|bool|byte)\d*(tensor)?\b", "dtype", text
    )
    text = re.sub(r"0x[0-9a-f]+|\d+(\.\d+)?", "#", text)
    return WORD.findall(text)


def search(text: str, among: Iterable[Told]) -> list[Found]:
    """The pitfalls that a pasted text may be about, the likeliest first.

    Args:
        text: an error message, a whole traceback, a warning, or a description.
        among: the pitfalls to look through.
    """
    asked, among = words(said(text)), list(among)
    met = _met()
    messages = [
        (entry, words(message), is_core) for entry in among for message, is_core in sorted(_messages(entry, met))
    ]
    weight = _weights(found for _, found, _ in messages)
    rarest = max(weight.values(), default=0)  # which is also what a word tells that no message has
    whole = sum(weight.get(word, 0 if word in EMPTY else rarest) for word in set(asked))
    joined = f" {' '.join(asked)} "
    best: dict[str, Found] = {}
    for entry, found, is_core in messages:
        likeness = _likeness(set(asked), whole, set(found), weight)
        if is_core and f" {' '.join(found)} " in joined:
            # A core of a few usual words is found in many a message.
            likeness = max(likeness, 0.95 if sum(weight[word] for word in set(found)) > TELLING else 0.6)
        if likeness >= ALIKE and likeness > (best[entry.slug].likeness if entry.slug in best else 0):
            best[entry.slug] = Found(entry, likeness)
    if not best and not SAID.search(text):
        return _described(asked, among)
    return _in_order(best.values(), asked)


def _messages(entry: Told, met: dict[str, set[str]]) -> set[tuple[str, bool]]:
    """What a pitfall is known by, and whether that is a core: cores stand between bars, where there are several."""
    cores = entry.error.split(" | ") if entry.error else []
    if not cores:
        return {(message, False) for message in {*met.get(entry.slug, ()), entry.symptom}}
    return {(core, True) for core in cores} | {(message, False) for message in met.get(entry.slug, ())}


def _described(asked: list[str], among: list[Told]) -> list[Found]:
    """The pitfalls that speak of what somebody describes: the more of the rarer words, the likelier."""
    told = [
        (entry, {_stem(word) for word in words(f"{entry.slug} {entry.symptom} {entry.statement} {entry.explanation}")})
        for entry in among
    ]
    weight = _weights(found for _, found in told)
    wanted = {_stem(word) for word in asked} & weight.keys()
    whole = sum(weight[word] for word in wanted)
    if not whole:
        return []
    found = [Found(entry, sum(weight[word] for word in wanted & said) / whole) for entry, said in told]
    return _in_order((one for one in found if one.likeness >= ALIKE), asked)


def _stem(word: str) -> str:
    return re.sub(r"(?<=\w{4})(ing|ed|es|s|e)$", "", word)


def _in_order(found: Iterable[Found], asked: list[str]) -> list[Found]:
    """The likeliest first; of equally likely ones those that bite most, and whose statement speaks of the same."""

    def key(one: Found) -> tuple[float, int, int, str]:
        alike = len(set(asked) & set(words(f"{one.entry.slug} {one.entry.statement}")) - EMPTY)
        return -round(one.likeness, 2), one.entry.priority, -alike, one.entry.slug

    return sorted(found, key=key)


def _weights(texts: Iterable[Iterable[str]]) -> dict[str, float]:
    """How telling each word is: the rarer in the texts, the more."""
    unique = [set(text) for text in texts]
    seen = Counter(word for text in unique for word in text)
    return {word: 0.0 if word in EMPTY else math.log(1 + len(unique) / count) for word, count in seen.items()}


def _likeness(asked: set[str], whole: float, found: set[str], weight: dict[str, float]) -> float:
    """How much of two messages is the same, by the rarity of their words, 0 to 1; the first weighs ``whole``."""
    shared = sum(weight[word] for word in asked & found)
    if shared < LITTLE:
        return 0
    return 2 * shared / (whole + sum(weight[word] for word in found))


def _met() -> dict[str, set[str]]:
    """The messages that the tests of each pitfall met, by slug, in the newest record that comes with the suite."""
    met: dict[str, set[str]] = {}
    newest = record.newest()
    if newest is not None:
        for key, case in newest.cases.items():
            for one in (*case.get("raised", ()), *case.get("warned", ())):
                met.setdefault(key.partition("/")[0], set()).add(one["message"])
    return met
