"""What a catalogue module uses: ``pitfall``, ``since``, ``before``, ``on``, ``observe`` and ``child``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pytest

    from pitfalls.harness.ahead import Child

T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class Pitfall:
    """The metadata of one pitfall, as its decorator gave it; `pitfalls.harness.checks` judges it at collection."""

    slug: str
    docs: Sequence[str | tuple[str, str]]
    symptom: str
    error: str | None = None
    priority: int = 2
    changed: Mapping[str, str] = field(default_factory=dict)
    contradicts: Mapping[str, str] = field(default_factory=dict)


def pitfall(
    slug: str,
    *,
    docs: Sequence[str | tuple[str, str]],
    symptom: str,
    error: str | None = None,
    priority: int = 2,
    changed: Mapping[str, str] | None = None,
    contradicts: Mapping[str, str] | None = None,
) -> Callable[[T], T]:
    """Make a test class a pitfall of the catalogue.

    Args:
        slug: the name that people cite: kebab-case, unique, never renamed.
        docs: where torch documents the behaviour: dotted names (``"torch.Tensor.backward"``) or pages of the manual
            (``"notes/autograd"``, with ``#anchor`` where one exists). A pair ``(name, phrase)`` adds at most eight
            words that the installed docstring of that name must contain.
        symptom: what somebody who has fallen in sees, in their words.
        error: the stable core of the message that the pitfall raises, if it raises one.
        priority: 1 bites ordinary users, 2 bites some, 3 is rare.
        changed: by release (``{"2.6": "weights_only became the default"}``), what became different in it.
        contradicts: where torch does otherwise than it documents: what is documented, in our words, by the name or page
            that says so (``{"torch.multinomial": "fewer categories than draws raise"}``), which is among ``docs``.
    """

    def decorate(cls: T) -> T:
        cls.__pitfall__ = Pitfall(  # type: ignore[attr-defined]
            slug, docs, symptom, error, priority, dict(changed or {}), dict(contradicts or {})
        )
        return cls

    return decorate


def since(release: str) -> pytest.MarkDecorator:
    """Mark a pitfall, a test or a parameter as holding from this torch release on (``"2.6"``), nightlies included."""
    import pytest

    return pytest.mark.since(release)


def before(release: str) -> pytest.MarkDecorator:
    """Mark a pitfall, a test or a parameter as holding in the releases before this one (``"2.6"``)."""
    import pytest

    return pytest.mark.before(release)


def on(*device_types: str) -> pytest.MarkDecorator:
    """Mark a test as being about these device types alone (``on("cuda")``), where devices differ by design."""
    import pytest

    return pytest.mark.on(*device_types)


def child(code: str, **environ: str) -> Child:
    """Give a program that runs in a Python process of its own, once it is called: ``done = PROGRAM()``.

    Args:
        code: the program.
        environ: environment variables of the process, besides those of this one.

    Returns:
        What gives, when called, a ``subprocess.CompletedProcess`` with the program's ``stdout`` and ``stderr`` as text.
        It stands at the top level of a module, so that a run can begin it early.
    """
    from pitfalls.harness.ahead import Child

    return Child(code, **environ)


#: What the running case has observed so far; the plugin empties and reads it around each case.
observed: dict[str, Any] = {}


def observe(**facts: Any) -> None:
    """Put what torch does without promising it into the record of the run: ``observe(default=sig.default)``.

    An observation can't fail a run. It shows up when two records are compared.
    """
    observed.update(facts)
