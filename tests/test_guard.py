"""The guard: every piece of state that a pin could leave behind is compared, named, and put back where that can be."""

import gc
import multiprocessing
import sys
import threading
import time
import warnings
from functools import partial

import pytest
import torch
import torch._dynamo  # imports change state by themselves: none may fall into these tests
import torch.distributed
import torch.distributions
import torch.multiprocessing

from pitfalls.harness import guard
from tests.test_plugin import LEAKS, SOUND, run, said  # noqa: F401 - `run` is a fixture


class Mode(torch.overrides.TorchFunctionMode):
    """A mode that somebody forgets to leave."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Stuck(threading.Thread):
    """A thread that nobody waits for."""

    def __init__(self):
        super().__init__()
        self.released = threading.Event()

    def run(self):
        self.released.wait()

    def end(self):
        self.released.set()
        self.join()


def entered(context):
    """How a context is left open, and how to close it in the end."""
    return context.__enter__, partial(context.__exit__, None, None, None)


def child():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,)).start()


def fill(value):
    vars(torch.utils)["deterministic"].fill_uninitialized_memory = value


def one_process_group():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)


STUCK = Stuck()
VALIDATION = torch.distributions.Distribution.set_default_validate_args
CONVERSION = torch.__future__.set_overwrite_module_params_on_conversion
START = torch.multiprocessing.set_start_method
SERIAL = torch.serialization

#: What can be left behind, and how to undo it; beyond what `LEAKS` does in whole runs.
MORE = {
    "inference mode": entered(torch.inference_mode()),
    "warn-always": (partial(torch.set_warn_always, True), partial(torch.set_warn_always, False)),
    "validation of distributions": (partial(VALIDATION, False), partial(VALIDATION, __debug__)),
    "module conversion": (partial(CONVERSION, True), partial(CONVERSION, False)),
    "torch function modes": entered(Mode()),
    "threads alive": (STUCK.start, STUCK.end),
    "child processes": (child, list),
    "warning filters": (partial(warnings.simplefilter, "ignore"), list),
    "garbage collector": (gc.disable, gc.enable),
    "excepthook": (partial(setattr, sys, "excepthook", print), partial(setattr, sys, "excepthook", sys.__excepthook__)),
    "fill of uninitialized memory": (partial(fill, False), partial(fill, True)),
    "safe globals": (lambda: SERIAL.add_safe_globals([Mode]), lambda: SERIAL.clear_safe_globals()),
    "serialization defaults": (
        lambda: SERIAL.set_default_load_endianness(SERIAL.LoadEndianness.BIG),
        lambda: SERIAL.set_default_load_endianness(None),
    ),
    "start method": (lambda: START("spawn", force=True), lambda: START(None, force=True)),
    "process group": (one_process_group, lambda: torch.distributed.destroy_process_group()),
    "CUDA random state": (lambda: torch.rand(1, device="cuda"), list),
    "CUDA device and stream": (
        lambda: torch.cuda.set_stream(torch.cuda.Stream()),
        lambda: torch.cuda.set_stream(torch.cuda.default_stream()),
    ),
}

#: Older torches lack these.
NEEDS = {
    "fill of uninitialized memory": hasattr(torch.utils, "deterministic"),
    "safe globals": hasattr(SERIAL, "clear_safe_globals"),
    "serialization defaults": hasattr(SERIAL, "set_default_load_endianness"),
}

#: It can be set once in a process, before anything ran in parallel: a test of it could not be undone.
UNTESTED = {"number of interop threads"}


@pytest.mark.parametrize("what", MORE)
def test_what_is_left_behind_is_named(what):
    if not NEEDS.get(what, True):
        pytest.skip("this torch has no such state")
    if what.startswith("CUDA"):
        if not torch.cuda.is_available():
            pytest.skip("CUDA is not available")
        torch.zeros(1, device="cuda")
    harm, undo = MORE[what]
    with warnings.catch_warnings():
        before = guard.read()
        harm()
        try:
            leaks, _ = guard.leaks(before)
            restorable = guard.GUARDED[what].restore is not None
            put_back = guard.GUARDED[what].read() == before[what]
        finally:
            undo()
    assert [leak for leak in leaks if leak.startswith(what)] != []
    assert put_back is restorable


def test_each_guarded_state_is_tested():
    tested = {leak.partition(":")[0] for leak in LEAKS} | MORE.keys()
    assert guard.GUARDED.keys() - tested == UNTESTED


def test_what_is_as_it_was_is_no_leak():
    assert guard.leaks(guard.read())[0] == []


def test_the_state_after_a_case_serves_as_the_state_before_the_next():
    _, after = guard.leaks(guard.read())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # which pytest does anew for each test
        assert guard.read(known=after) == guard.read()


def test_the_leak_is_told_before_and_after():
    before = guard.read()
    torch.set_default_dtype(torch.float64)
    assert guard.leaks(before)[0] == ["default dtype: was torch.float32, is torch.float64"]


def test_changes_within_a_mapping_are_told_by_key(monkeypatch):
    monkeypatch.setenv("DEMO_B", "old")
    before = guard.read()
    monkeypatch.setenv("DEMO_A", "1")
    monkeypatch.delenv("DEMO_B")
    assert guard.leaks(before)[0] == ["environment: DEMO_A was None, is '1', DEMO_B was 'old', is None"]


def test_what_an_import_adds_is_no_leak(tmp_path, monkeypatch):
    (tmp_path / "demo_import.py").write_text(
        "import os, warnings\nos.environ['DEMO_A'] = '1'\nwarnings.filterwarnings('ignore', 'demo')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DEMO_A", "")
    monkeypatch.delenv("DEMO_A")
    with warnings.catch_warnings():
        before = guard.read()
        __import__("demo_import")
        assert guard.leaks(before)[0] == []


TWO = (
    SOUND.replace("        assert", "        torch.set_default_dtype(torch.float64)\n        assert")
    + """
    def test_fix_afterwards(self, device):
        assert torch.get_default_dtype() == torch.float32
"""
)


def test_a_leak_is_put_down_to_the_test_that_leaks_not_to_the_next(run):  # noqa: F811
    result = run(TWO, "--device", "cpu")
    result.assert_outcomes(passed=2, errors=1)
    assert "demo/test_trap_ones@cpu leaks default dtype: was torch.float32, is torch.float64" in said(result)
    assert "test_fix_afterwards@cpu leaks" not in said(result)


def test_a_leak_of_a_fixture_is_the_leak_of_its_test(run):  # noqa: F811
    fixture = "@pytest.fixture\ndef double():\n    torch.set_default_dtype(torch.float64)\n\n"
    text = fixture + SOUND.replace("(self, device)", "(self, double, device)")
    assert "demo/test_trap_ones@cpu leaks default dtype" in said(run(text, "--device", "cpu"))


def test_a_pin_that_fails_and_leaks_tells_both(run):  # noqa: F811
    result = run(TWO.replace("[1, 1]", "[1, 2]"), "--device", "cpu")
    result.assert_outcomes(passed=1, failed=1, errors=1)
    result.stdout.fnmatch_lines(["1 pitfall no longer holds as documented:"])
    assert "leaks default dtype" in said(result)


def test_tests_that_are_no_pitfalls_are_not_guarded(run, pytester):  # noqa: F811
    pytester.makepyfile(test_own="import torch\n\ndef test_x():\n    torch.set_printoptions(precision=3)")
    try:
        run(SOUND, "--device", "cpu").assert_outcomes(passed=2)
    finally:
        torch.set_printoptions(profile="default")
