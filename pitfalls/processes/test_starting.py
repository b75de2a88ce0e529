"""Starting processes: what has to be importable, what a child runs and inherits, and how a failure comes back."""

import os
import pickle
import time
import warnings

import pytest
import torch
import torch.multiprocessing as mp

from pitfalls import child, pitfall


@pytest.fixture
def fork():
    """Forked processes, without the warning of Python 3.12 on threads; the default start method is put back."""
    method = mp.get_start_method(allow_none=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield mp.get_context("fork")
    mp.set_start_method(method, force=True)


def fails_on_rank_0(rank):
    """The first child raises, the other is busy."""
    if rank == 0:
        raise ValueError("no luck")
    time.sleep(30)


def exits_on_rank_0(rank):
    """The first child exits, the other is busy."""
    if rank == 0:
        os._exit(3)
    time.sleep(30)


def is_killed_on_rank_0(rank):
    """The first child is killed, as by a machine without memory; the other is busy."""
    if rank == 0:
        os.kill(os.getpid(), 9)
    time.sleep(30)


@pitfall(
    "spawn-raises-what-a-child-raised",
    docs=[
        ("torch.multiprocessing.spawn", "its traceback is included in"),
        ("torch.multiprocessing.spawn", "remaining processes are killed and an exception is"),
    ],
    symptom="except ValueError around mp.spawn catches nothing: ProcessRaisedException comes instead",
    error="-- Process 0 terminated with the following error",
    priority=2,
)
class TestSpawnRaisesWhatAChildRaised:
    """An exception in a child ends all children, and reaches the parent as ``ProcessRaisedException``, whatever it was.

    It is not the type that the child raised: the child's traceback is text in its message, and ``error_index`` says
    which child it was. The others get no chance to finish. Errors that you expect are better handled in the child.
    """

    def test_trap_the_type_is_another(self, fork):
        with pytest.raises(mp.ProcessRaisedException, match="no luck"):
            mp.start_processes(fails_on_rank_0, nprocs=2, start_method="fork")

    def test_trap_the_message_names_the_child(self, fork):
        with pytest.raises(mp.ProcessRaisedException, match="Process 0 terminated with the following error"):
            mp.start_processes(fails_on_rank_0, nprocs=2, start_method="fork")


@pitfall(
    "a-dead-child-leaves-no-traceback",
    docs=[("torch.multiprocessing.spawn", "exits with a non-zero exit status")],
    symptom="ProcessExitedException: process 0 terminated with signal SIGKILL, and no traceback at all",
    error="process 0 terminated with exit code 1 | process 0 terminated with signal SIGKILL",
    priority=2,
)
class TestADeadChildLeavesNoTraceback:
    """A child that exits or is killed gives ``ProcessExitedException`` with a code or a signal, and no traceback.

    ``SIGKILL`` most often means that the machine ran out of memory. ``exit_code`` of the exception tells them apart.
    """

    @pytest.mark.parametrize(
        ("work", "message"),
        [
            pytest.param(exits_on_rank_0, "process 0 terminated with exit code 3", id="exit"),
            pytest.param(is_killed_on_rank_0, "process 0 terminated with signal SIGKILL", id="killed"),
        ],
    )
    def test_trap_only_the_code_is_left(self, fork, work, message):
        with pytest.raises(mp.ProcessExitedException, match=message):
            mp.start_processes(work, nprocs=2, start_method="fork")


@pitfall(
    "spawn-returns-nothing",
    docs=[("torch.multiprocessing.spawn", "None if ``join`` is ``True``")],
    symptom="results = mp.spawn(work, nprocs=2) is None",
    priority=3,
)
class TestSpawnReturnsNothing:
    """``mp.spawn`` returns None, or a context to join: what the function returns in the children is dropped.

    Send results through a queue, or write them into a tensor that is in shared memory.
    """

    def test_trap_the_return_values_are_lost(self, fork):
        x = torch.zeros(2)
        assert mp.start_processes(lambda rank: x[rank] + 1, nprocs=2, start_method="fork") is None

    def test_fix_write_into_shared_memory(self, fork):
        x = torch.zeros(2).share_memory_()
        mp.start_processes(lambda rank: x[rank].fill_(rank + 1), nprocs=2, start_method="fork")
        assert x.tolist() == [1, 2]


@pitfall(
    "spawned-functions-must-be-importable",
    docs=[("torch.multiprocessing.spawn", "must be defined at the top"), "notes/multiprocessing"],
    symptom="AttributeError: Can't pickle local object ... when I spawn a lambda or an inner function",
    error="Can't pickle local object | Can't get local object",
    priority=2,
)
class TestSpawnedFunctionsMustBeImportable:
    """What ``spawn`` and ``forkserver`` run travels as a name: a lambda or an inner function can't be started.

    The child imports the module and looks the function up. Define it at the top level of a module; its arguments are
    pickled too. Only ``fork`` takes any function.
    """

    def test_trap_a_lambda(self, fork):
        with pytest.raises((AttributeError, pickle.PicklingError), match=r"local object .*<lambda>"):
            mp.spawn(lambda rank: print(rank), nprocs=1)

    def test_fix_fork_takes_it(self, fork):
        x = torch.zeros(1).share_memory_()
        mp.start_processes(lambda rank: x.fill_(rank + 1), nprocs=1, start_method="fork")
        assert x.item() == 1


SPAWNS = child("""
print("top level", flush=True)
if __name__ == "__main__":
    import torch.multiprocessing as mp
    process = mp.get_context("spawn").Process(target=print)
    process.start()
    process.join(60)
""")


@pitfall(
    "spawn-runs-the-script-again",
    docs=["notes/multiprocessing", "torch.multiprocessing.spawn"],
    symptom="An attempt has been made to start a new process before the current process has finished its bootstrapping",
    error="before the current process has finished its bootstrapping phase",
    priority=2,
)
class TestSpawnRunsTheScriptAgain:
    """Each child that is spawned runs the top level of the main script again, before it runs your function.

    Whatever stands there happens once more in every child; and if the start of the children itself stands there, it
    raises. Put all that only the parent is to do under ``if __name__ == "__main__":``.
    """

    @pytest.mark.slow
    def test_trap_the_top_level_runs_in_the_child(self):
        assert SPAWNS().stdout.count("top level") == 2
