"""What workers of a `DataLoader` change or refuse: errors, lambdas, order, and the options that need workers."""

import os
import pickle
import signal
import sys
import time
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from pitfalls import before, pitfall, since

# Python 3.12 and later warn of every fork beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def start_method():
    """The start method, which the first worker of a process settles, is put back to undecided."""
    method = torch.multiprocessing.get_start_method(allow_none=True)
    yield
    torch.multiprocessing.set_start_method(method, force=True)


class OutOfRange(Dataset):
    """Raises an IndexError of its own."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return [10, 20][index + 2]


class TwoArguments(Exception):
    """An exception that can't be made of a message alone."""

    def __init__(self, path, line):
        super().__init__(f"{path}, line {line}")


class Unreadable(OutOfRange):
    """Raises an exception that can't be made of a message alone."""

    def __getitem__(self, index):
        raise TwoArguments("labels.csv", 7)


@pitfall(
    "worker-errors-are-rewrapped",
    docs=["data", "torch.utils.data.DataLoader"],
    symptom="IndexError: Caught IndexError in DataLoader worker process 0",
    error="Caught IndexError in DataLoader worker process 0",
)
class TestWorkerErrorsAreRewrapped:
    """What a worker raises is raised anew in the main process, with the worker's traceback as its message.

    The type stays, if it can be made of a message alone, and is RuntimeError otherwise; the attributes are gone.
    Loading with ``num_workers=0`` raises the exception itself, and a debugger reaches it.
    """

    def test_trap_the_message_is_a_traceback(self, seeded):
        batches = iter(DataLoader(OutOfRange(), num_workers=1, multiprocessing_context="fork", timeout=60))
        with pytest.raises(IndexError, match=r"(?s)^Caught IndexError in DataLoader worker process 0.*list index out"):
            next(batches)
        next(batches, None)  # at the end of the epoch the worker stops

    def test_trap_an_exception_of_two_arguments_becomes_a_runtime_error(self, seeded):
        batches = iter(DataLoader(Unreadable(), num_workers=1, multiprocessing_context="fork", timeout=60))
        with pytest.raises(RuntimeError, match=r"(?s)^Caught TwoArguments in .*labels\.csv, line 7"):
            next(batches)
        next(batches, None)  # at the end of the epoch the worker stops

    def test_fix_without_workers_the_exception_is_itself(self, seeded):
        with pytest.raises(IndexError, match=r"^list index out of range$"):
            list(DataLoader(OutOfRange()))


LAMBDAS = [
    pytest.param({"collate_fn": lambda samples: samples}, id="collate_fn"),
    pytest.param({"worker_init_fn": lambda worker: torch.manual_seed(worker)}, id="worker_init_fn"),
]


class Quits(Dataset):
    """Ends the process that asks for an item."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        time.sleep(0.2)  # until the main process waits for the batch
        sys.exit("no such folder: images")


class Killed(Quits):
    """Is killed as by a system that has no more memory."""

    def __getitem__(self, index):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)


@pitfall(
    "dead-worker-takes-its-reason-along",
    docs=["data#single-process-data-loading-default", "data#multi-process-data-loading"],
    symptom="DataLoader worker exited unexpectedly, or is killed by signal: Killed or Bus error, and no word on why",
    error="DataLoader worker (pid | exited unexpectedly | is killed by signal: | Insufficient shared memory (shm)",
)
class TestDeadWorkerTakesItsReasonAlong:
    """When a worker dies, rather than raise, the main process knows that it is gone but not why.

    Workers that a system without memory kills end like that (each holds a copy of the dataset's Python objects), and
    so do crashes, a full ``/dev/shm`` and ``sys.exit()``. Run once with ``num_workers=0``: the reason then shows.
    """

    @pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
    @pytest.mark.parametrize("dataset", [Quits, Killed])
    def test_trap_the_reason_is_lost(self, dataset, seeded, start_method):
        with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
            next(iter(DataLoader(dataset(), num_workers=1)))

    def test_fix_no_workers(self, seeded):
        with pytest.raises(SystemExit, match="no such folder: images"):
            next(iter(DataLoader(Quits(), num_workers=0)))


@pitfall(
    "spawned-workers-take-no-lambda",
    docs=[("torch.utils.data.DataLoader", "cannot be an unpicklable object, e.g., a lambda"), "data"],
    symptom="AttributeError or PicklingError: Can't pickle <function <lambda>>, with num_workers above 0",
    error="Can't pickle <function <lambda>> | Can't pickle local object",
)
class TestSpawnedWorkersTakeNoLambda:
    """Workers that are spawned get the dataset and all functions pickled, so lambdas and local functions are refused.

    Spawning is the default on Windows and macOS, and from Python 3.14 on Linux has a server fork the workers, which
    pickles too. Define the function at the top of a module, or ask for ``multiprocessing_context="fork"``.
    """

    @pytest.mark.parametrize("start", ["spawn", "forkserver"], ids=str)
    @pytest.mark.parametrize("function", LAMBDAS)
    def test_trap_a_lambda_is_refused(self, seeded, start_method, start, function):
        loader = DataLoader([1, 2], num_workers=1, multiprocessing_context=start, timeout=60, **function)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some releases say in a warning, too, that the pickling failed
            with pytest.raises((pickle.PicklingError, AttributeError), match=r"^Can't (pickle|get local)"):
                iter(loader)

    @pytest.mark.parametrize("function", LAMBDAS)
    def test_fix_forked_workers_inherit_it(self, seeded, function):
        how = {"batch_size": None, "num_workers": 1, "multiprocessing_context": "fork", "timeout": 60}
        assert list(DataLoader([1, 2], **how, **function)) == [1, 2]


class HeldUp(Dataset):
    """Item 0 waits until it is let go."""

    def __init__(self, let_go):
        self.let_go = let_go

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index == 0:
            self.let_go.wait(20)
        return index


@pitfall(
    "in-order-false-follows-the-fastest",
    docs=[("torch.utils.data.DataLoader", "can harm reproducibility and may lead to"), "data"],
    symptom="with several workers the batches come in another order in each run",
    changed={"2.6": "in_order=False was added"},
    priority=3,
)
class TestInOrderFalseFollowsTheFastest:
    """With ``in_order=False`` batches come as workers finish them; by default a slow one holds up those after it.

    That is quicker where samples differ a lot in cost, but the order varies from run to run, and cheap samples crowd
    the beginning. The default, in order, gives what a loader without workers gives.
    """

    @since("2.6")
    def test_trap_the_fast_worker_comes_first(self, seeded):
        let_go = torch.multiprocessing.get_context("fork").Event()
        how = {"batch_size": None, "num_workers": 2, "multiprocessing_context": "fork", "timeout": 60}
        loader = DataLoader(HeldUp(let_go), **how, in_order=False)
        assert [let_go.set() or index for index in loader] == [1, 0]  # item 0 is let go when the first has come

    @before("2.6")
    def test_trap_there_is_no_such_option_yet(self):
        with pytest.raises(TypeError, match="unexpected keyword argument 'in_order'"):
            DataLoader([1, 2], in_order=False)

    def test_fix_in_order_it_is_as_without_workers(self, seeded):
        how = {"num_workers": 2, "multiprocessing_context": "fork", "timeout": 60}
        alone = DataLoader(range(9), batch_size=None, shuffle=True, generator=torch.Generator().manual_seed(3))
        workers = DataLoader(range(9), batch_size=None, shuffle=True, generator=torch.Generator().manual_seed(3), **how)
        assert list(workers) == list(alone)


@pitfall(
    "worker-options-need-workers",
    docs=["torch.utils.data.DataLoader", "data"],
    symptom="setting num_workers=0 for debugging makes the DataLoader raise",
    error="option could only be specified in multiprocessing | persistent_workers option needs num_workers",
)
class TestWorkerOptionsNeedWorkers:
    """``prefetch_factor``, ``persistent_workers`` and ``multiprocessing_context`` are refused with ``num_workers=0``.

    So one can't turn the workers off alone, say to debug. A ``timeout`` is accepted by the constructor, and fails an
    assertion as the loader is iterated.
    """

    OPTIONS = [
        pytest.param({"prefetch_factor": 4}, "prefetch_factor option could only be specified", id="prefetch_factor"),
        pytest.param({"persistent_workers": True}, "persistent_workers option needs", id="persistent_workers"),
        pytest.param(
            {"multiprocessing_context": "fork"},
            "multiprocessing_context can only be used",
            id="multiprocessing_context",
        ),
    ]

    @pytest.mark.parametrize(("option", "message"), OPTIONS)
    def test_trap_the_constructor_refuses(self, option, message):
        with pytest.raises(ValueError, match=message):
            DataLoader([1, 2], num_workers=0, **option)

    def test_trap_a_timeout_is_refused_later(self, seeded):
        loader = DataLoader([1, 2], timeout=60)
        with pytest.raises(AssertionError, match=r"^$|requires timeout == 0"):
            iter(loader)

    def test_fix_none_and_false_go_with_any_number(self, seeded):
        how = {"prefetch_factor": None, "persistent_workers": False, "multiprocessing_context": None, "timeout": 0}
        assert torch.cat(list(DataLoader([1, 2], num_workers=0, **how))).tolist() == [1, 2]
