"""Views and history: a write to one part gives the whole tensor, and all its views, a new past."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "write-to-a-view-rewrites-the-history",
    docs=["notes/autograd#in-place-operations-with-autograd", "tensor_view"],
    symptom="a tensor requires grad although I never asked for it, or its grad_fn is CopySlices",
    priority=2,
)
class TestWriteToAViewRewritesTheHistory:
    """A write into one part of a tensor gives the whole tensor, and every other view of it, a new history.

    A buffer of zeros requires grad as soon as a result is written into one element, with all its views, also those that
    were made before. Under ``no_grad`` the values are written and the history is not.
    """

    def test_trap_a_constant_comes_to_require_grad(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        buffer = torch.zeros(3, device=device)
        buffer[0] = w * 3
        assert buffer.requires_grad
        assert buffer.grad_fn.name().endswith("CopySlices")

    def test_trap_so_do_its_older_views(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        buffer = torch.zeros(3, device=device)
        end = buffer[1:]
        buffer[0] = w * 3
        assert end.requires_grad

    def test_trap_what_was_overwritten_is_out(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = x * 1
        first = y[0]
        y.mul_(5)
        y[1] = 0
        (first + y.sum()).backward()
        assert x.grad.tolist() == [10, 0]

    def test_fix_no_grad_keeps_the_history_out(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        buffer = torch.zeros(3, device=device)
        with torch.no_grad():
            buffer[0] = w * 3
        assert not buffer.requires_grad
        assert buffer.tolist() == [6, 0, 0]

    def test_fix_detach_shares_the_values_only(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        buffer = torch.zeros(3, device=device)
        log = buffer.detach()
        buffer[0] = w * 3
        assert not log.requires_grad
        assert log.tolist() == [6, 0, 0]


@pitfall(
    "buffer-keeps-the-graph-of-the-last-step",
    docs=[
        "notes/autograd#in-place-operations-with-autograd",
        ("torch.Tensor.backward", "the graph used to compute the grads"),
    ],
    symptom="Trying to backward through the graph a second time, in the second step, with a preallocated buffer",
    error="Trying to backward through the graph a second time",
    priority=2,
)
class TestBufferKeepsTheGraphOfTheLastStep:
    """A buffer that is filled in place at each step goes on with the graph of the step before, which has been freed.

    Even where every element is overwritten, the new history begins with the old one. Make the buffer anew in each step,
    ``detach_()`` it, or collect the parts in a list and ``stack`` them.
    """

    @pytest.mark.parametrize(
        "write",
        [lambda buffer, y: buffer[0].copy_(y), lambda buffer, y: buffer[:].copy_(y)],
        ids=["one element", "every element"],
    )
    def test_trap_the_second_step_raises(self, device, write):
        w = torch.tensor(0.0, device=device, requires_grad=True)
        buffer = torch.zeros(2, device=device)
        write(buffer, w.exp())
        buffer.sum().backward()
        write(buffer, w.exp())
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            buffer.sum().backward()

    @pytest.mark.parametrize(
        "renew",
        [lambda buffer: buffer.detach_(), lambda buffer: torch.zeros_like(buffer)],
        ids=["detach_", "a new one"],
    )
    def test_fix_start_without_the_past(self, device, renew):
        w = torch.tensor(0.0, device=device, requires_grad=True)
        buffer = torch.zeros(2, device=device)
        for _ in range(2):
            buffer = renew(buffer)
            buffer[0] = w.exp()
            buffer.sum().backward()
        assert w.grad.item() == 2

    def test_fix_stack_the_parts(self, device):
        w = torch.tensor(0.0, device=device, requires_grad=True)
        for _ in range(2):
            torch.stack([w.exp(), torch.zeros_like(w)]).sum().backward()
        assert w.grad.item() == 2


@pitfall(
    "unsafe-split-is-unsafe-for-both-sides",
    docs=[
        ("torch.unsafe_chunk", "gradients computed by autograd will be silently incorrect"),
        ("torch.unsafe_split", "gradients computed by autograd will be silently incorrect"),
    ],
    symptom="wrong gradients after unsafe_chunk or unsafe_split",
    priority=3,
)
class TestUnsafeSplitIsUnsafeForBothSides:
    """After ``unsafe_chunk`` or ``unsafe_split``, writes to the input and to a part give wrong gradients, silently.

    Autograd takes the parts for copies, though they share the memory. Only the input, or only the parts, may be written
    to. After ``chunk`` and ``split`` a write to the input makes the parts unusable, with an error; slices follow it.
    """

    @pytest.mark.parametrize(
        "halves",
        [lambda x: torch.unsafe_chunk(x, 2), lambda x: torch.unsafe_split(x, 1)],
        ids=["unsafe_chunk", "unsafe_split"],
    )
    def test_trap_the_write_to_the_input_is_forgotten(self, device, halves):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = x * 1
        first, second = halves(y)
        y.mul_(3)
        first.mul_(2)
        total = first + second
        total.backward()
        assert total.item() == 12
        assert x.grad.tolist() == [2, 1]  # 6 and 3 were right

    @pytest.mark.parametrize("halves", [lambda x: x.chunk(2), lambda x: x.split(1)], ids=["chunk", "split"])
    def test_trap_the_safe_ones_refuse(self, device, halves):
        y = torch.tensor([1.0, 2.0], device=device, requires_grad=True) * 1
        first, second = halves(y)
        y.mul_(3)
        with pytest.raises(RuntimeError, match="its base or another view of its base has been modified inplace"):
            first + second

    def test_fix_slices_follow(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = x * 1
        first, second = y[:1], y[1:]
        y.mul_(3)
        first.mul_(2)
        (first + second).backward()
        assert x.grad.tolist() == [6, 3]


@pitfall(
    "threads-share-a-graph",
    docs=["notes/autograd#multithreaded-autograd", "torch.autograd.grad"],
    symptom="Trying to backward through the graph a second time, now and then, with several threads",
    error="Trying to backward through the graph a second time",
    priority=3,
)
class TestThreadsShareAGraph:
    """A graph and the ``.grad`` of its leaves belong to all threads: what one frees or accumulates, the others find.

    ``backward()`` from several threads adds to the same ``.grad``, without protection where they meet, and frees what
    they share. Give each thread a graph of its own, and let it use ``autograd.grad``, which touches no leaf.
    """

    def test_trap_one_thread_frees_it_for_the_others(self, device):
        y = torch.tensor(0.0, device=device, requires_grad=True).exp()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(y.backward).result()
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            y.backward()

    def test_trap_grad_is_shared(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        with ThreadPoolExecutor(1) as pool:
            pool.submit((w * 3).backward).result()
        (w * 4).backward()
        assert w.grad.item() == 7

    def test_fix_autograd_grad_in_each_thread(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        with ThreadPoolExecutor(2) as pool:
            grads = list(pool.map(lambda factor: torch.autograd.grad(w * factor, w)[0], [3, 4]))
        assert [grad.item() for grad in grads] == [3, 4]
        assert w.grad is None
