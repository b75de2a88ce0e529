"""What a failing pin tells its reader: the statement, the documentation, what this torch did, and a script."""

from __future__ import annotations

from pitfalls.harness import checks, source
from pitfalls.harness.case import Case
from pitfalls.harness.links import link


def tell(case: Case, did: str, torch_version: str) -> str:
    """The story of a case that no longer holds.

    Args:
        case: the failing case.
        did: what torch did instead: the failed assertion or the exception, in a line or a few.
        torch_version: of the running torch.
    """
    where = f" on {case.device}" if case.device else ""
    lines = [f"{case.slug} no longer holds{where}", f"statement:   {case.statement}"]
    for name, phrase in map(checks.entry, case.pitfall.docs):
        lines.append(f"documented:  {name}  {link(name, torch_version)}")
        if phrase:
            lines.append(f"             the docstring says: {phrase!r}")
    for release, what in case.pitfall.changed.items():
        lines.append(f"known change in {release}: {what}")
    lines.append(
        f"this torch:  {torch_version} did otherwise in {case.test}{f' [{case.variant}]' if case.variant else ''}:"
    )
    lines += ["             " + line for line in did.splitlines() if line.strip() and "Use -v" not in line]
    lines.append("to see it without pytest, save these lines as a file and run it:")
    try:
        script = source.script(case.path, case.class_name, [case.call], case.device)
    except (LookupError, OSError, SyntaxError) as error:
        script = f"# no script could be made of this test: {error}"
    lines += ["    " + line if line else "" for line in script.rstrip().splitlines()]
    return "\n".join(lines)
