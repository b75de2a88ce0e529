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
from tests.counterfactuals import REGISTRY, Counterfactual
from tests.proof.plugin import once

RESULTS: pytest.StashKey[dict[str, set[str]]] = pytest.StashKey()
HEADLINES: pytest.StashKey[set[str]] = pytest.StashKey()


def _red_under(reverse: Counterfactual, items: list[pytest.Function]) -> list[str]:
    """The tests that go red under a counterfactual, found out in a forked child."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        torch.set_num_threads(1)
        red = set()
        with pytest.MonkeyPatch.context() as patch:
            reverse(patch)
            for item in items:
                if item.originalname not in red and not once(item)[0]:
                    red.add(item.originalname)
        with os.fdopen(writer, "w") as pipe:
            json.dump(sorted(red), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else []


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
    for slug, items in traps.items():
        if slug in REGISTRY:
            survivors[slug] = {item.originalname for item in items}
            for reverse in REGISTRY[slug]:
                survivors[slug] -= set(_red_under(reverse, items))
    session.config.stash[RESULTS] = survivors
    session.config.stash[HEADLINES] = headlines
    unknown = REGISTRY.keys() - traps.keys()
    whole = len(traps) > len(REGISTRY) // 2  # else this is a run of single modules
    session.testsfailed = sum(map(bool, survivors.values())) + len(headlines - REGISTRY.keys())
    session.testsfailed += len(unknown) if whole else 0
    session.testscollected = len(survivors)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which traps stay green under the opposite of what they state, and which headlines have no counterfactual."""
    survivors, headlines = config.stash.get(RESULTS, {}), config.stash.get(HEADLINES, set())
    terminalreporter.section("counterfactuals")
    for slug, names in sorted(survivors.items()):
        for name in sorted(names):
            terminalreporter.write_line(f"{slug}: stays green: {name}", red=True)
    for slug in sorted(headlines - REGISTRY.keys()):
        terminalreporter.write_line(f"{slug}: has no counterfactual", red=True)
    killed = sum(not names for names in survivors.values())
    terminalreporter.write_line(f"{len(survivors)} pitfalls reversed, {killed} go red in every trap test")
    terminalreporter.write_line(f"{len(headlines & REGISTRY.keys())} of {len(headlines)} headline pitfalls have one")
