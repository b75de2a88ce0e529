"""What torch says of its own API: signatures, docstrings, and the notes and warnings inside them."""

from __future__ import annotations

import hashlib
import inspect
import re
from typing import Any

from pitfalls.harness.checks import normalised, resolve

DIRECTIVE = re.compile(
    r"^(?P<indent>[ \t]*)\.\. (?P<kind>warning|note|deprecated|versionadded|versionchanged|important|danger)::"
    r"(?P<rest>.*)$"
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
        match = DIRECTIVE.match(line)
        if match is None:
            continue
        body = [match["rest"]]
        for following in lines[start + 1 :]:
            indent = len(following) - len(following.lstrip())
            if following.strip() and indent <= len(match["indent"]):
                break
            body.append(following)
        counts[match["kind"]] = counts.get(match["kind"], 0) + 1
        found[f"{match['kind']} {counts[match['kind']]}"] = normalised("\n".join(body))
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
