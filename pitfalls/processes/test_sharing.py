"""Memory and processes: what a fork, a queue and ``share_memory_`` share, and what they don't."""

import warnings

import numpy as np
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


@pitfall(
    "fork-does-not-share-tensors",
    docs=[("torch.Tensor.share_memory_", "Moves the underlying storage to shared memory"), "notes/multiprocessing"],
    symptom="the child process fills my tensor, and in the parent it is still zero",
    priority=1,
)
class TestForkDoesNotShareTensors:
    """A child process works on a copy of each tensor, unless its memory was shared before the child started.

    A forked child sees what the parent had, and its writes stay with it. Call ``share_memory_()`` on a tensor, or
    ``share_memory()`` on a module, before the start; or send the result back through a queue.
    """

    def test_trap_writes_of_the_child_stay_there(self, fork):
        x = torch.zeros(2)
        child = fork.Process(target=lambda: x.add_(1))
        child.start()
        child.join(30)
        assert x.tolist() == [0, 0]

    def test_trap_an_array_is_no_more_shared(self, fork):
        x = torch.from_numpy(np.zeros(2))
        child = fork.Process(target=lambda: x.add_(1))
        child.start()
        child.join(30)
        assert x.tolist() == [0, 0]

    def test_fix_share_memory_before_the_start(self, fork):
        x = torch.zeros(2).share_memory_()
        child = fork.Process(target=lambda: x.add_(1))
        child.start()
        child.join(30)
        assert x.tolist() == [1, 1]

    def test_fix_share_the_parameters_of_a_module(self, fork, seeded):
        net = torch.nn.Linear(1, 1)
        net.share_memory()
        child = fork.Process(target=lambda: torch.nn.init.constant_(net.weight, 7))
        child.start()
        child.join(30)
        assert net.weight.tolist() == [[7]]


@pitfall(
    "queue-shares-the-tensor",
    docs=["notes/multiprocessing", ("torch.multiprocessing", "views on the same data in different processes")],
    symptom="the tensor that I put into a queue changes after the other process has received it",
    priority=2,
)
class TestQueueSharesTheTensor:
    """A tensor that is put into a queue moves to shared memory, and sender and receiver then use the same elements.

    A later write on either side shows on the other, also in a buffer that is filled again for the next batch. Put a
    ``clone()``, or write into what was received no more. One process can hold both ends, as here.
    """

    def test_trap_both_ends_share_memory(self, fork):
        x = torch.zeros(2)
        queue = fork.SimpleQueue()
        queue.put(x)
        received = queue.get()
        received += 1
        assert x.tolist() == [1, 1]

    def test_trap_a_buffer_filled_again(self, fork):
        buffer = torch.zeros(1)
        queue = fork.SimpleQueue()
        for step in (1, 2):
            queue.put(buffer.fill_(step))
        assert [queue.get().item(), queue.get().item()] == [2, 2]

    def test_trap_put_moves_the_tensor_itself(self, fork):
        x = torch.zeros(2)
        before = x.is_shared()
        fork.SimpleQueue().put(x)
        assert [before, x.is_shared()] == [False, True]

    def test_trap_a_slice_brings_its_whole_storage(self, fork):
        x = torch.zeros(1000)
        queue = fork.SimpleQueue()
        queue.put(x[:1])
        assert queue.get().untyped_storage().nbytes() == 4000

    def test_fix_put_a_clone(self, fork):
        x = torch.zeros(2)
        queue = fork.SimpleQueue()
        queue.put(x.clone())
        received = queue.get()
        received += 1
        assert x.tolist() == [0, 0]


@pitfall(
    "non-leaf-tensors-are-not-sent",
    docs=["notes/multiprocessing", "torch.Tensor.detach"],
    symptom="Cowardly refusing to serialize non-leaf tensor which requires_grad when I put a result into a queue",
    error="Cowardly refusing to serialize non-leaf tensor which requires_grad",
    priority=2,
)
class TestNonLeafTensorsAreNotSent:
    """A result that autograd recorded can't go to another process: a graph ends at the border of its process.

    ``detach()`` it before it is put into a queue or returned from a worker; a leaf, as a parameter, may cross.
    """

    @pytest.mark.parametrize(
        "wrap",
        [
            pytest.param(lambda y: y, id="tensor"),
            pytest.param(lambda y: [1, y], id="in a list"),
            pytest.param(lambda y: {"loss": y}, id="in a dict"),
        ],
    )
    def test_trap_a_result_is_refused(self, fork, wrap):
        w = torch.ones(1, requires_grad=True)
        with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor which requires_grad"):
            fork.SimpleQueue().put(wrap(w * 2))

    def test_fix_detach(self, fork):
        w = torch.ones(1, requires_grad=True)
        queue = fork.SimpleQueue()
        queue.put((w * 2).detach())
        assert queue.get().tolist() == [2]

    def test_fix_a_leaf_crosses(self, fork):
        queue = fork.SimpleQueue()
        queue.put(torch.ones(1, requires_grad=True))
        assert queue.get().requires_grad


@pitfall(
    "queue-leaves-the-gradient-behind",
    docs=["notes/multiprocessing", "torch.Tensor.grad", "torch.nn.Module.share_memory"],
    symptom="the parameter arrives in the other process, and its .grad is None there",
    contradicts={"notes/multiprocessing": "a gradient that is there is shared along with the tensor that is sent"},
)
class TestQueueLeavesTheGradientBehind:
    """A leaf goes through a queue without its ``.grad``, and ``share_memory_()`` shares no gradient either.

    Only ``Module.share_memory()`` moves the gradients that exist by then, for children that start afterwards. Where
    another process needs gradients, send ``w.grad`` itself.
    """

    def test_trap_the_gradient_is_not_sent(self, fork):
        w = torch.ones(1, requires_grad=True)
        (w * 3).backward()
        queue = fork.SimpleQueue()
        queue.put(w)
        assert queue.get().grad is None

    def test_trap_share_memory_shares_no_gradient(self):
        w = torch.ones(1, requires_grad=True)
        (w * 3).backward()
        w.share_memory_()
        assert [w.is_shared(), w.grad.is_shared()] == [True, False]

    def test_fix_a_module_shares_its_gradients(self, seeded):
        net = torch.nn.Linear(1, 1)
        net(torch.ones(1)).backward()
        net.share_memory()
        assert net.weight.grad.is_shared()

    def test_fix_send_the_gradient(self, fork):
        w = torch.ones(1, requires_grad=True)
        (w * 3).backward()
        queue = fork.SimpleQueue()
        queue.put(w.grad)
        assert queue.get().tolist() == [3]


@pitfall(
    "share-memory-moves-the-storage",
    docs=[("torch.Tensor.share_memory_", "Moves the underlying storage to shared memory"), "torch.Tensor.is_shared"],
    symptom="after share_memory_() the NumPy array no longer follows the tensor",
)
class TestShareMemoryMovesTheStorage:
    """``share_memory_()`` moves a whole storage in place: views go along, a NumPy array that shared it is left behind.

    A tensor that was shared already stays where it is. Ask ``is_shared()``; take ``x.numpy()`` after the move.
    """

    def test_trap_views_move_too(self):
        x = torch.zeros(4)
        view = x[1:]
        x.share_memory_()
        assert view.is_shared()

    @pytest.mark.parametrize(
        "share",
        [
            pytest.param(lambda x: x.share_memory_(), id="share_memory_"),
            pytest.param(lambda x: mp.get_context("fork").SimpleQueue().put(x), id="queue"),
        ],
    )
    def test_trap_an_array_is_left_behind(self, share):
        array = np.zeros(2)
        x = torch.from_numpy(array)
        share(x)
        array[0] = 5
        assert x.tolist() == [0, 0]

    def test_trap_the_second_time_moves_nothing(self):
        x = torch.zeros(2).share_memory_()
        place = x.data_ptr()
        x.share_memory_()
        assert x.data_ptr() == place

    def test_fix_take_the_array_afterwards(self):
        x = torch.zeros(2).share_memory_()
        x.numpy()[0] = 5
        assert x.tolist() == [5, 0]


@pitfall(
    "shared-memory-vanishes-mapped-files-stay",
    docs=["torch.UntypedStorage.share_memory_", "torch.from_file"],
    symptom="my disk fills with files that torch.from_file has made",
    priority=3,
)
class TestSharedMemoryVanishesMappedFilesStay:
    """The file behind ``torch.from_file(shared=True)`` stays until you delete it; shared memory goes by itself.

    Both are seen by every process that maps them. Only the file outlives the program, with all that was written.
    """

    def test_trap_the_file_stays(self, tmp_path):
        path = tmp_path / "x"
        x = torch.from_file(str(path), shared=True, size=2, dtype=torch.float32)
        x.fill_(1)
        del x
        assert torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).tolist() == [1, 1]

    def test_fix_map_it_privately(self, tmp_path):
        path = tmp_path / "x"
        path.write_bytes(bytes(8))
        torch.from_file(str(path), shared=False, size=2, dtype=torch.float32).fill_(1)
        assert torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).tolist() == [0, 0]
