"""Launching workers and loading files: variables, arguments, signals, mixed output, and what is no tensor."""

import argparse
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.argparse_util import env
from torch.distributed.elastic import multiprocessing as elastic
from torch.distributed.elastic.multiprocessing.redirects import redirect

from pitfalls import pitfall, since


@pytest.fixture
def quiet():
    """Without the warnings of torch's own use of old names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


not_on_windows = pytest.mark.skipif(sys.platform == "win32", reason="has neither redirects nor such signals")


def default_of(*options):
    """What an option has if it is not given."""
    parser = argparse.ArgumentParser()
    parser.add_argument(*options, action=env, default="no variable")
    return next(iter(vars(parser.parse_args([])).values()))


@pitfall(
    "launcher-variable-is-the-first-long-option",
    docs=[("torch.distributed.argparse_util.env", "longest option string")],
    symptom="PET_F is set and the launcher ignores it",
    contradicts={
        "torch.distributed.argparse_util.env": "it is the first long option, as with argparse, not the longest"
    },
    priority=3,
)
class TestLauncherVariableIsTheFirstLongOption:
    """The variable that gives an option of the launcher its default is ``PET_`` and the first long spelling of it.

    A short option has none, and the longest of several long ones counts only if it is the first. It is read as the
    option is added, so set it before.
    """

    def test_trap_the_short_one_does_not_count(self, monkeypatch):
        monkeypatch.setenv("PET_F", "short")
        assert default_of("-f", "--foo") == "no variable"

    def test_trap_the_longest_does_not_count(self, monkeypatch):
        monkeypatch.setenv("PET_FOO", "first")
        monkeypatch.setenv("PET_FOO_BAR", "longest")
        assert default_of("-f", "--foo", "--foo-bar") == "first"

    def test_fix_the_first_long_one(self, monkeypatch):
        monkeypatch.setenv("PET_FOO", "long")
        assert default_of("-f", "--foo") == "long"


@pytest.fixture
def handlers():
    """The handlers of signals, which are put back afterwards."""
    names = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    were = [signal.getsignal(name) for name in names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of a worker that has ended the files of its log stay open
        yield
    for name, was in zip(names, were, strict=True):
        signal.signal(name, was)


def print_arguments(folder, *arguments):
    """Let one worker be a program that prints its arguments, wait for it, and return what it printed."""
    logs = elastic.DefaultLogsSpecs(log_dir=str(folder), redirects=elastic.Std.ALL)
    workers = elastic.start_processes("worker", "/bin/echo", args={0: arguments}, envs={0: {}}, logs_specs=logs)
    result = workers.wait(30, period=0.02)
    workers.close()
    return Path(result.stdouts[0]).read_text()


@since("2.3")
@not_on_windows
@pitfall(
    "binary-workers-get-strings",
    docs=[("torch.distributed.elastic.multiprocessing.start_processes", "it is casted to a string representation")],
    symptom="a worker that is a program of its own gets the word None for an argument",
    priority=3,
)
class TestBinaryWorkersGetStrings:
    """Arguments of a worker that is a program, not a function, are turned into text by ``str``: ``None`` is the word.

    A list becomes one argument. Spell the command line yourself.
    """

    def test_trap_everything_is_text(self, handlers, tmp_path):
        assert print_arguments(tmp_path, 1, None, [2, 3]) == "1 None [2, 3]\n"

    def test_fix_spell_them(self, handlers, tmp_path):
        assert print_arguments(tmp_path, "1", "2", "3") == "1 2 3\n"


def signalled(folder, number):
    """Start workers, then send this process a signal."""
    print_arguments(folder)
    signal.raise_signal(number)


@since("2.3")
@not_on_windows
@pitfall(
    "elastic-takes-over-signals",
    docs=[
        ("torch.distributed.elastic.multiprocessing.PContext.wait", "library registers SIGTERM and SIGINT"),
        "torch.distributed.elastic.multiprocessing.start_processes",
    ],
    symptom="my handler for SIGTERM is not called any more; SignalException: Process got signal: 15",
    error="got signal: ",
    priority=3,
)
class TestElasticTakesOverSignals:
    """Starting workers replaces the handlers of SIGTERM and SIGINT by one that raises ``SignalException``.

    Handlers of your own are lost, and Ctrl-C is no ``KeyboardInterrupt`` any more. Catch the exception around ``wait``,
    close the workers, and raise it again: swallowed, it keeps the process alive.
    """

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
    def test_trap_a_signal_raises(self, handlers, tmp_path, number):
        with pytest.raises(elastic.SignalException, match="got signal: "):
            signalled(tmp_path, number)

    def test_trap_a_handler_of_your_own_is_lost(self, handlers, tmp_path):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with pytest.raises(elastic.SignalException, match="got signal: "):
            signalled(tmp_path, signal.SIGTERM)


def log_of(writing, path, monkeypatch):
    """What a file has in the end of what was written to the standard output in several ways."""
    with open(1, "w", closefd=False) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with redirect("stdout", str(path)):
            writing()
            stdout.flush()
    return path.read_text()


@not_on_windows
@pitfall(
    "redirected-output-is-out-of-order",
    docs=[("torch.distributed.elastic.multiprocessing.redirects.redirect", "cross source writes are not guaranteed")],
    symptom="in the log of a worker the lines of C++ and of Python are in the wrong order",
    priority=3,
)
class TestRedirectedOutputIsOutOfOrder:
    """``redirect`` sends a descriptor to a file; of several writers to it each has a buffer, emptied when it likes.

    What was written first may so come second. Flush after each line that matters.
    """

    def test_trap_a_buffered_line_comes_late(self, monkeypatch, tmp_path):
        def writing():
            sys.stdout.write("first\n")
            os.write(1, b"second\n")

        assert log_of(writing, tmp_path / "log", monkeypatch) == "second\nfirst\n"

    def test_fix_flush_each(self, monkeypatch, tmp_path):
        def writing():
            sys.stdout.write("first\n")
            sys.stdout.flush()
            os.write(1, b"second\n")

        assert log_of(writing, tmp_path / "log", monkeypatch) == "first\nsecond\n"


def load(state, path):
    """Load what ``torch.save`` wrote into a state."""
    from torch.distributed.checkpoint.format_utils import BroadcastingTorchSaveReader, DynamicMetaLoadPlanner

    reader, planner = BroadcastingTorchSaveReader(), DynamicMetaLoadPlanner()
    dcp.load(state, storage_reader=reader, planner=planner, checkpoint_id=path)


@since("2.3")
@pitfall(
    "torch-save-readers-take-tensors",
    docs=[
        (
            "torch.distributed.checkpoint.format_utils.DynamicMetaLoadPlanner",
            "Current implementation only supports loading Tensors",
        ),
        "torch.distributed.checkpoint.format_utils.BroadcastingTorchSaveReader",
    ],
    symptom="Non-tensor value identified at step. At this time DynamicMetaLoadPlanner only supports loading Tensors",
    error="only supports loading Tensors",
    priority=3,
)
class TestTorchSaveReadersTakeTensors:
    """A file of ``torch.save`` can be loaded into a distributed state, but a number in that state is refused.

    ``DynamicMetaLoadPlanner`` takes tensors only, though a distributed checkpoint holds anything. Leave the rest out
    and load it with ``torch.load``.
    """

    def test_trap_a_number_is_refused(self, quiet, tmp_path):
        torch.save({"w": torch.ones(2), "step": 7}, tmp_path / "model.pt")
        with pytest.raises(dcp.CheckpointException, match="only supports loading Tensors"):
            load({"w": torch.zeros(2), "step": 0}, tmp_path / "model.pt")


@since("2.9")
@pitfall(
    "staging-options-want-an-accelerator",
    docs=[
        ("torch.distributed.checkpoint.staging.StagingOptions", "CUDA-dependent features will raise exception"),
        "torch.distributed.checkpoint.staging.DefaultStager",
    ],
    symptom="AssertionError: Non-blocking copy requires that the current accelerator is available",
    error="Non-blocking copy requires that",
    contradicts={"torch.distributed.checkpoint.staging.StagingOptions": "pinned memory is ignored with a warning"},
    priority=3,
)
@pytest.mark.skipif("hasattr(torch, 'accelerator') and torch.accelerator.is_available()", reason="has an accelerator")
class TestStagingOptionsWantAnAccelerator:
    """Without an accelerator ``DefaultStager`` refuses its default options, since they copy without blocking.

    The other options are taken there. Pass ``StagingOptions(use_non_blocking_copy=False)``.
    """

    def test_trap_the_defaults_are_refused(self, quiet):
        with pytest.raises(AssertionError, match="Non-blocking copy requires that"):
            dcp.staging.DefaultStager(dcp.staging.StagingOptions())

    def test_fix_copy_blocking(self):
        options = dcp.staging.StagingOptions(
            use_pinned_memory=True, use_shared_memory=False, use_async_staging=False, use_non_blocking_copy=False
        )
        with pytest.warns(UserWarning, match="Ignoring pin_memory flag for checkpoint staging"):
            staged = dcp.staging.DefaultStager(options).stage({"w": torch.ones(2)})
        assert staged["w"].tolist() == [1, 1]
