"""The file descriptors behind tensors in shared memory: who holds them, and what happens without."""

import os
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from pitfalls import pitfall


@pytest.fixture
def fork():
    """Processes that are forked; Python 3.12 and later warn of a fork beside threads, which is not the point here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield mp.get_context("fork")


@pytest.fixture
def few_descriptors():
    """Room for 30 more open files than there are."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as last:
        resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pitfall(
    "each-shared-tensor-holds-a-descriptor",
    docs=["multiprocessing#file-descriptor-file-descriptor", "torch.multiprocessing.set_sharing_strategy"],
    symptom="Too many open files, or received 0 items of ancdata, after some hundred tensors from workers",
    error="unable to open shared memory object | Too many open files | received 0 items of ancdata",
)
class TestEachSharedTensorHoldsADescriptor:
    """By default each tensor in shared memory keeps a file descriptor open, and a process has often but 1,024.

    Batches that a list keeps as workers sent them use them up. Copy what you keep, share one tensor rather than its
    rows, raise the limit (``ulimit -n``), or set the sharing strategy ``"file_system"``.
    """

    @pytest.mark.skipif(sys.platform != "linux", reason="descriptors are the default on Linux only")
    def test_trap_they_run_out(self, few_descriptors):
        with pytest.raises(RuntimeError, match=r"unable to open shared memory object .*Too many open files"):
            [torch.zeros(1).share_memory_() for _ in range(40)]

    def test_fix_one_tensor_for_all(self, few_descriptors):
        rows = torch.zeros(40, 1).share_memory_().unbind()
        assert all(row.is_shared() for row in rows)

    def test_fix_copy_what_you_keep(self, few_descriptors):
        kept = [torch.full((1,), i).share_memory_().clone() for i in range(40)]
        assert [x.item() for x in kept] == list(range(40))


@pitfall(
    "tensors-do-not-outlive-the-sender",
    docs=["multiprocessing#file-descriptor-file-descriptor", "torch.multiprocessing.get_sharing_strategy"],
    symptom="FileNotFoundError or ConnectionRefusedError in queue.get(), after the worker has ended",
)
class TestTensorsDoNotOutliveTheSender:
    """What a queue carries is a handle: the process that has put a tensor in must live until it was taken out.

    The receiver asks the sender for the file descriptor behind the tensor. Take all results before you ``join()`` the
    workers; or send ``x.numpy()``, which is copied into the pipe.
    """

    @pytest.mark.skipif(sys.platform != "linux", reason="descriptors are the default on Linux only")
    def test_trap_the_sender_is_gone(self, fork):
        # Without waiting for the thread that put() starts, the error may be "Connection refused" as well.
        x, queue = torch.zeros(1), fork.Queue()
        sender = fork.Process(target=lambda: (queue.put(x), queue.close(), queue.join_thread()))
        sender.start()
        sender.join(30)
        with pytest.raises(FileNotFoundError, match="No such file or directory"):
            queue.get(timeout=3)

    def test_fix_take_it_before_the_join(self, fork):
        queue, taken = fork.SimpleQueue(), fork.Event()
        sender = fork.Process(target=lambda: (queue.put(torch.ones(1)), taken.wait(30)))
        sender.start()
        x = queue.get()
        taken.set()
        sender.join(30)
        assert x.tolist() == [1]

    def test_fix_send_an_array(self, fork):
        queue = fork.SimpleQueue()
        sender = fork.Process(target=lambda: queue.put(torch.ones(1).numpy()))
        sender.start()
        sender.join(30)
        assert torch.from_numpy(queue.get()).tolist() == [1]
