"""Runs the proof in place of the tests: load it with ``-p tests.proof.plugin``."""

from __future__ import annotations

import ast
import inspect
import json
import os
import select
import signal
import sys
import textwrap
import time
import traceback
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo  # otherwise each child would import it anew, with its first optimizer

from pitfalls.harness import checks
from pitfalls.harness.plugin import CASE
from tests.proof import mutations
from tests.proof.points import Points, targets, watched

#: Seconds after which a case's mutants are given up.
LIMIT = 120

_now: dict[str, Any] = {}


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own for each run; pytest's fixture waits at its end for a report that is not made here."""
    return tmp_path_factory.mktemp("proof")


@dataclass
class Verdict:
    """What the proof found out about one test function, over all its cases."""

    name: str
    statement_lines: dict[int, str]
    mutants: int = 0
    killed: int = 0
    killed_by_cited: int = 0
    calls_cited: bool = False
    red: set[int] = field(default_factory=set)
    reached: set[int] = field(default_factory=set)
    survivors: list[str] = field(default_factory=list)
    problem: str | None = None

    @property
    def proven(self) -> set[int]:
        """The assertions that a clean run reaches and that some mutation turned red on their own."""
        return self.red & self.reached

    @property
    def unproven(self) -> list[str]:
        """What is to be said of each other assertion."""
        return [
            f"{'no mutation turns red' if line in self.reached else 'never reached'}: {text}"
            for line, text in sorted(self.statement_lines.items())
            if line not in self.proven
        ]


def assertions(function: Any) -> dict[int, tuple[int, str]]:
    """The statements of a test that can turn it red: first line to last line and text, in lines of its file."""
    source, start = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(source)))
    found = {}
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.Assert):
            text = ast.unparse(node)
        elif isinstance(node, ast.With):
            spelled = [ast.unparse(item.context_expr) for item in node.items]
            text = next((one for one in spelled if one.startswith(("pytest.raises(", "pytest.warns("))), None)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            spelled_call = ast.unparse(node.value)
            text = spelled_call if ast.unparse(node.value.func).endswith("assert_close") else None
        if text is not None:
            found[node.lineno + start - 1] = ((node.end_lineno or node.lineno) + start - 1, text)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Run a test under the mode that watches or mutates, and note where it went red."""
    points: Points | None = _now.get("points")
    try:
        if points is None:
            return (yield)
        with watched(points, _now["watched"], pyfuncitem.funcargs), _tracing(pyfuncitem.function):
            return (yield)
    except BaseException as error:
        _now["error"] = error
        _now["lines"] = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == inspect.getfile(pyfuncitem.function) and frame.name == pyfuncitem.originalname
        ]
        raise


@contextmanager
def _tracing(function: Any) -> Iterator[None]:
    """Note, in the clean run, which lines of a test are reached: an assertion that isn't proves nothing."""
    reached: set[int] | None = _now.get("reached")
    if reached is None:
        yield
        return

    def local(frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            reached.add(frame.f_lineno)
        return local

    sys.settrace(lambda frame, event, arg: local if frame.f_code is function.__code__ else None)
    try:
        yield
    finally:
        sys.settrace(None)


def once(item: pytest.Function, points: Points | None = None) -> tuple[bool, list[int], BaseException | None]:
    """Set a test up, run it and tear it down, as pytest does but without a report, whose traceback costs the most.

    Returns whether it passed, the lines of the test on which it went red, and the exception.
    """
    _now.update(points=points, error=None, lines=[])
    passed = True
    item._initrequest()
    for phase, more in (
        (item.ihook.pytest_runtest_setup, {}),
        (item.ihook.pytest_runtest_call, {}),
        (item.ihook.pytest_runtest_teardown, {"nextitem": None}),
    ):
        try:
            phase(item=item, **more)
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            passed = False
            _now["error"] = _now["error"] or error
    return passed, _now["lines"], _now["error"]


def warm(items: list[pytest.Function]) -> None:
    """Do once, before anything is forked, what each child would do anew and which takes seconds."""
    for module in {item.module for item in items}:
        if hasattr(module, "done_by_two_ranks"):
            module.done_by_two_ranks()


def _cited(item: pytest.Function) -> set[str]:
    return {checks.entry(doc)[0] for doc in item.stash[CASE].pitfall.docs}


def _is_cited(call: str, cited: set[str]) -> bool:
    name = call.removesuffix(".__get__").removesuffix(".__set__")
    return any(name == one or name.startswith(f"{one}.") for one in cited)


def _prove(item: pytest.Function) -> dict[str, Any]:
    """Run one case clean, then once for each mutation of each of its calls."""
    torch.set_num_threads(1)
    _now["watched"] = targets(item.function, item.callspec.params if hasattr(item, "callspec") else {})
    clean = Points()
    _now["reached"] = reached = set()
    passed, _, error = once(item, clean)
    if not passed and _now["watched"].mode:
        reached.clear()
        _now["watched"].mode, clean = False, Points()
        passed, _, error = once(item, clean)
    _now["reached"] = None
    if not passed:
        return {"problem": f"does not hold when watched: {error!r}"}
    spans = assertions(item.function)
    cited = _cited(item)
    calls = clean.seen
    calls_a_cited_api = any(_is_cited(name, cited) for name, _ in calls)
    found: dict[str, Any] = {
        "mutants": 0,
        "killed": 0,
        "killed_by_cited": 0,
        "red": [],
        "calls_cited": calls_a_cited_api,
    }
    found["reached"] = [start for start, (end, _) in spans.items() if any(start <= line <= end for line in reached)]
    for index, (name, ways) in sorted(enumerate(calls), key=lambda pair: not _is_cited(pair[1][0], cited)):
        for label, mutation in ways.items():
            if len(found["red"]) == len(spans) and (found["killed_by_cited"] or not calls_a_cited_api):
                return found  # nothing is left to prove
            points = Points(index, mutation)
            passed, lines, error = once(item, points)
            if isinstance(error, mutations.NotApplicable) or not points.applied:
                continue
            found["mutants"] += 1
            if passed:
                continue
            found["killed"] += 1
            around = [start for start, (end, _) in spans.items() if any(start <= line <= end for line in lines[:1])]
            by = [max(around)] if around else []
            if label == "raise for no reason" and not isinstance(error, AssertionError):
                by = [start for start in by if "pytest." in spans[start][1]]
            if by:
                found["red"] = sorted({*found["red"], *by})
                found["killed_by_cited"] += _is_cited(name, cited)
    return found


def _child(item: pytest.Function, writer: int) -> None:
    """Prove one case in a forked child, whose state nobody sees again."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))  # with a handler here the harness sets no limit of its own
    signal.alarm(LIMIT)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        found = _prove(item)
    except BaseException as error:
        found = {"problem": f"the proof itself failed: {error!r} {traceback.format_exc()[-600:]}"}
    with os.fdopen(writer, "w") as pipe:
        json.dump(found, pipe)
    os._exit(0)


def chosen(items: Sequence[pytest.Item]) -> list[pytest.Function]:
    """The cases to prove: those that run here, and of a family the first and the last."""
    families: dict[tuple[str, str], list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and CASE in item.stash:
            case = item.stash[CASE]
            if case.device in (None, "cpu") and not case.inapplicable:
                families[case.slug, case.test].append(item)
    found = []
    for family in families.values():
        found += dict.fromkeys((family[0], family[-1]))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Prove every chosen case, as many at a time as there are cores."""
    if session.testsfailed:
        raise session.Interrupted(f"{session.testsfailed} errors during collection")
    started = time.monotonic()
    waiting = chosen(session.items)
    warm(waiting)
    running: dict[int, tuple[int, pytest.Function]] = {}
    verdicts: dict[str, Verdict] = {}
    total = len(waiting)
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            item = waiting.pop(0)
            reader, writer = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reader)
                _child(item, writer)
            os.close(writer)
            running[reader] = (child, item)
        for reader in select.select(list(running), [], [])[0]:
            child, item = running.pop(reader)
            with os.fdopen(reader) as pipe:
                text = pipe.read()
            os.waitpid(child, 0)
            _take(verdicts, item, json.loads(text) if text else {"problem": f"no answer within {LIMIT} s"})
            if sys.stderr.isatty():
                print(f"\r{total - len(waiting)}/{total}", end="", file=sys.stderr)
    session.config.stash[VERDICTS] = verdicts
    session.config.stash[SECONDS] = time.monotonic() - started
    session.testsfailed = sum(bool(v.problem or v.unproven or not v.statement_lines) for v in verdicts.values())
    session.testscollected = total
    return True


VERDICTS: pytest.StashKey[dict[str, Verdict]] = pytest.StashKey()
SECONDS: pytest.StashKey[float] = pytest.StashKey()


def _take(verdicts: dict[str, Verdict], item: pytest.Function, found: dict[str, Any]) -> None:
    case = item.stash[CASE]
    name = f"{case.slug}/{case.test}"
    if name not in verdicts:
        lines = {start: text for start, (_, text) in assertions(item.function).items()}
        verdicts[name] = Verdict(name, lines)
    verdict = verdicts[name]
    if "problem" in found:
        verdict.problem = f"{found['problem']} [{case.variant}]"
        return
    verdict.mutants += found["mutants"]
    verdict.killed += found["killed"]
    verdict.killed_by_cited += found["killed_by_cited"]
    verdict.calls_cited |= found["calls_cited"]
    verdict.red |= set(found["red"])
    verdict.reached |= set(found["reached"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print who survived, and the table."""
    verdicts = config.stash.get(VERDICTS, {})
    write = terminalreporter.write_line
    terminalreporter.section("proof that every pin can fail")
    for verdict in sorted(verdicts.values(), key=lambda one: one.name):
        if verdict.problem:
            write(f"{verdict.name}: {verdict.problem}", red=True)
        elif not verdict.statement_lines:
            write(f"{verdict.name}: vacuous: it asserts nothing", red=True)
        for text in verdict.unproven if not verdict.problem else []:
            write(f"{verdict.name}: {text}", red=True)
    tests = len(verdicts)
    killed = sum(bool(verdict.proven) for verdict in verdicts.values())
    stated = sum(len(verdict.statement_lines) for verdict in verdicts.values())
    red = sum(len(verdict.proven) for verdict in verdicts.values())
    calling = [verdict for verdict in verdicts.values() if verdict.calls_cited]
    cited = sum(bool(verdict.killed_by_cited) for verdict in calling)
    mutants = sum(verdict.mutants for verdict in verdicts.values())
    write(f"{tests} tests, {killed} killed, {tests - killed} survivors")
    write(f"{len(calling)} of them call an API that they cite; {cited} are killed by a mutation of that very call")
    write(f"{stated} assertions, {red} turned red on their own, {stated - red} not")
    write(f"{mutants} mutants in {config.stash.get(SECONDS, 0):.0f} s")
