"""What torch says of its own API: signatures, docstrings, and the notes and warnings inside them."""

from __future__ import annotations

import hashlib
import inspect
import re
from typing import Any

from pitfalls.harness.checks import normalised, resolve

#: How a docstring begins one: as a directive of reStructuredText, sloppily spelled too, or as a section of its own.
NOTICE = re.compile(
    r"^(?P<indent>[ \t]*)"
    r"(?:\.\. ?(?P<directive>warning|note|deprecated|versionadded|versionchanged|important|danger|caution) ?::?"
    r"|(?P<section>Note|Warning|WARNING|NOTE|Important|Danger|Caution)::?(?=\s|$))"
    r"(?P<rest>.*)$",
    re.IGNORECASE,
)


def fingerprint(text: str) -> str:
    """A short hash of a text, indifferent to how it is wrapped."""
    return hashlib.sha256(normalised(text).encode()).hexdigest()[:16]


def notices(docstring: str) -> dict[str, str]:
    """The text of each warning, note, deprecation and version note in a docstring, as ``{"warning 1": text}``."""
    lines = docstring.expandtabs().splitlines()
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    for start, line in enumerate(lines):
        match = NOTICE.match(line)
        if match is None or (match["section"] and match["section"].islower()):
            continue
        body = [match["rest"]]
        # `Note: text` goes on at its own indentation up to the next blank line, and so does text below `Note:` that is
        # not indented further, as all else is.
        below = lines[start + 1] if start + 1 < len(lines) else ""
        level = bool(below.strip()) and len(below) - len(below.lstrip()) <= len(match["indent"])
        running = bool(match["section"]) and (bool(match["rest"].strip()) or level)
        for following in lines[start + 1 :]:
            indent = len(following) - len(following.lstrip())
            if running and not following.strip():
                break
            if not running and following.strip() and indent <= len(match["indent"]):
                break
            body.append(following)
        kind = (match["directive"] or match["section"]).lower()
        counts[kind] = counts.get(kind, 0) + 1
        found[f"{kind} {counts[kind]}"] = normalised("\n".join(body))
    return found


def signature(found: Any) -> str | None:
    """How an API is called: names and defaults of its parameters, without annotations; None for most builtins.

    Annotations come and go between releases without a call ever noticing.
    """
    try:
        whole = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in whole.parameters.values()]
    spelled = str(whole.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", spelled)


def describe(name: str) -> dict[str, Any] | None:
    """What the running torch says of an API, as it goes into a record; None if it has no such name."""
    try:
        found = resolve(name)
    except LookupError:
        return None
    docstring = getattr(found, "__doc__", None) or ""
    if not isinstance(docstring, str):
        docstring = ""
    return {
        "signature": signature(found),
        "docstring": fingerprint(docstring),
        "notices": {label: fingerprint(text) for label, text in notices(docstring).items()},
    }
