"""Runs the tests in random orders, many times over, and each alone: load it with ``-p tests.proof.orders``.

``--orders`` says how many orders, and how many times over: ten, unless a machine has better things to do. With but one
order only the first case of a family runs alone, for that is what takes longest.

Whatever comes out otherwise than in the order of the files leaks, depends on what ran before it, or is flaky.
"""

from __future__ import annotations

import json
import os
import random
import sys

import pytest
import torch
import torch._dynamo  # otherwise each child would import it anew, with its first optimizer

from pitfalls.harness.plugin import CASE
from tests.proof.plugin import once, pytest_pyfunc_call, tmp_path, warm

__all__ = ["pytest_pyfunc_call", "tmp_path"]  # a hook: it notes on which line a test goes red; and a fixture

Outcomes = dict[str, str]
DIFFERENCES: pytest.StashKey[list[str]] = pytest.StashKey()
TOTAL: pytest.StashKey[tuple[int, int]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run try fewer orders, or more."""
    parser.addoption("--orders", type=int, default=10, help="random orders, and repeats, to try (default: %(default)s)")


def _outcomes(items: list[pytest.Function]) -> Outcomes:
    """What becomes of each case, run in this order."""
    found: Outcomes = {}
    for item in items:
        passed, _, error = once(item)
        if found.get(item.stash[CASE].key, "holds") == "holds":  # the first of several runs that fails is kept
            found[item.stash[CASE].key] = "holds" if passed else f"{type(error).__name__}: {error}"
    return found


class Children:
    """Forked children, as many at a time as there are cores, each of which runs some cases and tells their outcomes."""

    def __init__(self) -> None:
        self.running: list[tuple[int, int, str, list[pytest.Function]]] = []
        self.told: list[tuple[str, Outcomes]] = []

    def start(self, name: str, items: list[pytest.Function]) -> None:
        """Run some cases in a child, once there is room for one more."""
        if len(self.running) >= (os.cpu_count() or 1):
            self._take()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                quiet = os.open(os.devnull, os.O_WRONLY)
                os.dup2(quiet, 1)
                os.dup2(quiet, 2)
                torch.set_num_threads(1)
                text = json.dumps(_outcomes(items))
                with os.fdopen(writer, "w") as pipe:
                    pipe.write(text)
            finally:
                os._exit(0)
        os.close(writer)
        self.running.append((child, reader, name, items))

    def _take(self) -> None:
        child, reader, name, items = self.running.pop(0)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        died = {item.stash[CASE].key: "its process died" for item in items}
        self.told.append((name, json.loads(text) if text else died))

    def finish(self) -> list[tuple[str, Outcomes]]:
        """The outcomes of all, once the last has ended."""
        while self.running:
            self._take()
        return self.told


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="", file=sys.stderr)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the cases in each order and alone, in place of the tests, and compare."""
    if session.testsfailed:
        raise session.Interrupted(f"{session.testsfailed} errors during collection")
    items = [item for item in session.items if isinstance(item, pytest.Function) and _runs_here(item)]
    warm(items)
    children = Children()
    children.start("the order of the files", items)
    orders = session.config.getoption("orders")
    if orders > 1:
        children.start(f"{orders} times over", items * orders)
    for seed in range(orders):
        _progress(f"order {seed + 1} of {orders}")
        children.start(f"random order {seed}", random.Random(seed).sample(items, len(items)))
    lonely = items if orders > 1 else _firsts(items)
    for number, item in enumerate(lonely):
        _progress(f"alone: {number + 1} of {len(lonely)}")
        children.start("alone", [item])
    differences: list[str] = []
    for name, outcomes in children.finish():
        differences += [f"{key}: in {name}: {text}" for key, text in outcomes.items() if text != "holds"]
    session.config.stash[DIFFERENCES] = differences
    session.config.stash[TOTAL] = (len(items), len(lonely))
    session.testsfailed = len(differences)
    session.testscollected = len(items)
    return True


def _firsts(items: list[pytest.Function]) -> list[pytest.Function]:
    firsts: dict[tuple[str, str], pytest.Function] = {}
    for item in items:
        case = item.stash[CASE]
        firsts.setdefault((case.slug, case.test), item)
    return list(firsts.values())


def _runs_here(item: pytest.Function) -> bool:
    case = item.stash.get(CASE, None)
    return case is not None and not case.inapplicable and case.device in (None, "cpu")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what came out otherwise, and where."""
    terminalreporter.section("orders")
    differences = config.stash.get(DIFFERENCES, [])
    for difference in differences[:200]:
        terminalreporter.write_line(difference.replace("\n", " ")[:400], red=True)
    total, lonely = config.stash.get(TOTAL, (0, 0))
    orders = config.getoption("orders")
    over = f"{orders} random orders, as many times over" if orders > 1 else "a random order"
    terminalreporter.write_line(
        f"{total} cases in {over}, and {lonely} of them alone: {len(differences)} outcomes differ"
    )
