"""Hooks for saved tensors: who packs what, and how they weaken the checks of autograd."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks

from pitfalls import pitfall


@pitfall(
    "innermost-saved-tensors-hooks-win",
    docs=["torch.autograd.graph.saved_tensors_hooks", "notes/autograd#registering-default-hooks-for-saved-tensors"],
    symptom="my offloading of saved tensors does nothing inside a library that has hooks of its own",
    priority=2,
)
class TestInnermostSavedTensorsHooksWin:
    """Nested ``saved_tensors_hooks`` do not compose: only the innermost pair is called, and only in its own thread.

    A context that counts or offloads saved tensors thus misses what checkpointing or ``save_on_cpu`` inside it handles.
    Where both are wanted, call the outer functions from the inner ones.
    """

    def test_trap_the_outer_pair_is_not_called(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        packed = []
        with saved_tensors_hooks(lambda t: packed.append("outer") or t.detach(), lambda t: t):
            with saved_tensors_hooks(lambda t: packed.append("inner") or t.detach(), lambda t: t):
                x.exp()
            x.exp()
        assert packed == ["inner", "outer"]

    def test_trap_save_on_cpu_counts_as_a_pair(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        packed = []
        with saved_tensors_hooks(lambda t: packed.append(t.shape) or t.detach(), lambda t: t):
            with save_on_cpu():
                x.exp()
            x.sin()
        assert packed == [(2,)]

    def test_trap_a_new_thread_has_none(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        packed = []
        with saved_tensors_hooks(lambda t: packed.append(t.shape) or t.detach(), lambda t: t):
            with ThreadPoolExecutor(1) as pool:
                pool.submit(x.exp).result()
            x.sin()
        assert packed == [(2,)]

    def test_fix_call_the_outer_from_the_inner(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        packed = []

        def outer(t):
            packed.append("outer")
            return t.detach()

        with saved_tensors_hooks(lambda t: packed.append("inner") or outer(t), lambda t: t):
            x.exp()
        assert packed == ["inner", "outer"]


@pitfall(
    "packed-once-unpacked-each-time",
    docs=[
        ("torch.autograd.graph.saved_tensors_hooks", "every time an operation saves a tensor"),
        "notes/autograd#hooks-for-saved-tensors",
    ],
    symptom="the unpack hook runs more often than the pack hook",
    priority=3,
)
class TestPackedOnceUnpackedEachTime:
    """``pack_hook`` runs once for each tensor that an operation saves, ``unpack_hook`` whenever ``backward`` needs it.

    ``x * x`` saves two, ``x + 1`` none. What is packed may be any object; what is unpacked
    must be a tensor with the same content, which nobody checks.
    """

    def test_trap_the_second_backward_unpacks_again(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        calls = []
        with saved_tensors_hooks(lambda t: calls.append("pack") or t.detach(), lambda t: calls.append("unpack") or t):
            y = x * x + 1
        y.backward(retain_graph=True)
        y.backward()
        assert calls == ["pack"] * 2 + ["unpack"] * 4

    def test_trap_a_wrong_content_is_a_wrong_gradient(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with saved_tensors_hooks(lambda t: t.detach(), lambda t: t + 1):
            y = x * x
        y.backward()
        assert x.grad.item() == 6

    def test_trap_a_number_is_no_tensor(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with saved_tensors_hooks(lambda t: t.item(), lambda number: number):
            y = x * x
        with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor"):
            y.backward()

    def test_fix_any_object_in_between(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with saved_tensors_hooks(lambda t: t.item(), lambda number: torch.tensor(number, device=device)):
            y = x * x
        y.backward()
        assert x.grad.item() == 4


@pitfall(
    "saved-tensors-hooks-hide-writes",
    docs=["torch.autograd.graph.saved_tensors_hooks", "notes/autograd#hooks-for-saved-tensors"],
    symptom="with saved tensor hooks, or save_on_cpu, a write that used to raise gives wrong gradients",
    priority=2,
)
class TestSavedTensorsHooksHideWrites:
    """With hooks nobody compares versions: a write to a saved tensor changes the gradient instead of raising.

    Autograd holds what the pack hook returned, and can't know what became of it. ``save_on_cpu`` is such a pair and
    copies nothing that is on the CPU already. A pack hook that clones is safe from writes.
    """

    def test_trap_the_pair_is_not_checked(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        data = torch.tensor(3.0, device=device)
        with saved_tensors_hooks(lambda t: t.detach(), lambda t: t):
            y = x * data
        data.fill_(100)
        y.backward()
        assert x.grad.item() == 100

    def test_trap_save_on_cpu_of_what_is_there_already(self):
        x = torch.tensor(1.0, requires_grad=True)
        data = torch.tensor(3.0)
        with save_on_cpu():
            y = x * data
        data.fill_(100)
        y.backward()
        assert x.grad.item() == 100

    def test_trap_unpack_may_write_and_nothing_notices(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        data = torch.tensor(3.0, device=device)
        with saved_tensors_hooks(lambda t: t.detach(), lambda t: t.mul_(2)):
            y = x * data
        y.backward()
        assert data.item() == 6

    def test_fix_pack_a_copy(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        data = torch.tensor(3.0, device=device)
        with saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
            y = x * data
        data.fill_(100)
        y.backward()
        assert x.grad.item() == 3


@pitfall(
    "pack-hook-must-not-write",
    docs=["torch.autograd.graph.saved_tensors_hooks", "notes/autograd#hooks-for-saved-tensors"],
    symptom="RuntimeError: A saved tensor pack hook is modifying its input in place",
    error="A saved tensor pack hook is modifying its input in place",
    priority=3,
)
class TestPackHookMustNotWrite:
    """A pack hook that changes its argument in place is refused: the model goes on with that tensor.

    Scale, round or cast into a new tensor.
    """

    @pytest.mark.parametrize(
        "write", [lambda t: t.mul_(2), lambda t: t.round_(), lambda t: t.zero_()], ids=["mul_", "round_", "zero_"]
    )
    def test_trap_it_raises(self, device, write):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        with (
            saved_tensors_hooks(write, lambda t: t),
            pytest.raises(RuntimeError, match="pack hook is modifying its input in place"),
        ):
            x.exp()

    def test_fix_pack_a_new_tensor(self, device):
        x = torch.tensor(0.0, device=device, requires_grad=True)
        with saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
            y = x.exp()
        y.backward()
        assert x.grad.item() == 1


@pitfall(
    "pack-hook-that-keeps-its-argument-leaks",
    docs=["torch.autograd.graph.saved_tensors_hooks", "notes/autograd#registering-default-hooks-for-saved-tensors"],
    symptom="memory is never freed with saved tensor hooks, when some results are not differentiated",
    priority=2,
)
class TestPackHookThatKeepsItsArgumentLeaks:
    """A pack hook that returns a result itself makes a cycle that Python's garbage collector can't see.

    The result holds its node, which holds what was packed: the result. ``backward()`` breaks the cycle; where none
    comes the memory is lost. Pack ``t.detach()``, which shares the memory and leaves the node out.
    """

    @pytest.mark.parametrize(
        ("pack", "freed"),
        [pytest.param(lambda t: t, False, id="itself"), pytest.param(lambda t: t.detach(), True, id="detached")],
    )
    def test_trap_it_is_not_collected(self, device, pack, freed):
        x = torch.ones(2, device=device, requires_grad=True)
        with saved_tensors_hooks(pack, lambda t: t):
            y = x.exp()
        class_of_marker = type("Marker", (), {})
        y.marker = class_of_marker()
        alive, node = weakref.ref(y.marker), weakref.ref(y)
        del y
        gc.collect()
        assert (alive() is None) == freed
        if node() is not None:
            node().sum().backward()
