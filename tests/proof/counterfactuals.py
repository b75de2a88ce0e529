"""Runs the trap tests of each pitfall under its counterfactuals: load it with ``-p tests.proof.counterfactuals``."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections import defaultdict

import pytest
import torch

import tests.counterfactuals
from pitfalls.harness.plugin import CASE
from pitfalls.harness.source import slugs
from tests.counterfactuals import REGISTRY, Counterfactual
from tests.proof.plugin import once, pytest_pyfunc_call, tmp_path

__all__ = ["pytest_pyfunc_call", "tmp_path"]  # a hook: it notes on which line a test goes red; and a fixture

RESULTS: pytest.StashKey[dict[str, set[str]]] = pytest.StashKey()
HEADLINES: pytest.StashKey[set[str]] = pytest.StashKey()
PROBLEMS: pytest.StashKey[list[str]] = pytest.StashKey()


def _red_under(reverse: Counterfactual, items: list[pytest.Function]) -> list[str] | None:
    """The tests that go red under a counterfactual, found out in a forked child; None if the child died."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            torch.set_num_threads(1)
            red = set()
            with pytest.MonkeyPatch.context() as patch:
                reverse(patch)
                # Red is what the test itself finds (a line of it), not an error on the way to it.
                for item in items:
                    if item.originalname not in red and once(item)[1]:
                        red.add(item.originalname)
            with os.fdopen(writer, "w") as pipe:
                json.dump(sorted(red), pipe)
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the traps under their counterfactuals, in place of the tests."""
    for module in pkgutil.iter_modules(tests.counterfactuals.__path__, "tests.counterfactuals."):
        importlib.import_module(module.name)
    traps: dict[str, list[pytest.Function]] = defaultdict(list)
    headlines = set()
    for item in session.items:
        case = item.stash.get(CASE, None)
        if isinstance(item, pytest.Function) and case is not None and case.device in (None, "cpu"):
            if case.pitfall.priority == 1:
                headlines.add(case.slug)
            if case.test.startswith("test_trap_") and not case.inapplicable:
                traps[case.slug].append(item)
    survivors: dict[str, set[str]] = {}
    problems: list[str] = []
    for slug, items in traps.items():
        if slug in REGISTRY:
            survivors[slug] = {item.originalname for item in items}
            for reverse in REGISTRY[slug]:
                red = _red_under(reverse, items)
                if red is None:
                    problems.append(f"{slug}: {reverse.__name__} ends its process")
                survivors[slug] -= set(red or ())
    problems += [f"{slug}: stays green: {name}" for slug, names in survivors.items() for name in sorted(names)]
    problems += [f"{slug}: has no counterfactual" for slug in sorted(headlines - REGISTRY.keys())]
    problems += [
        f"{slug}: a counterfactual names it, the catalogue does not" for slug in REGISTRY if slug not in slugs()
    ]
    session.config.stash[PROBLEMS] = problems
    session.config.stash[RESULTS] = survivors
    session.config.stash[HEADLINES] = headlines
    session.testsfailed = len(problems)
    session.testscollected = len(survivors)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which traps stay green under the opposite of what they state, and which headlines have no counterfactual."""
    survivors, headlines = config.stash.get(RESULTS, {}), config.stash.get(HEADLINES, set())
    terminalreporter.section("counterfactuals")
    for problem in config.stash.get(PROBLEMS, []):
        terminalreporter.write_line(problem, red=True)
    killed = sum(not names for names in survivors.values())
    terminalreporter.write_line(f"{len(survivors)} pitfalls reversed, {killed} go red in every trap test")
    terminalreporter.write_line(f"{len(headlines & REGISTRY.keys())} of {len(headlines)} headline pitfalls have one")
