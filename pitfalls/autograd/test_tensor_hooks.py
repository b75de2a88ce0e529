"""Hooks on tensors: what they see, what they may return, and when they run."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "tensor-hook-replaces-the-gradient",
    docs=[("torch.Tensor.register_hook", "which will be used in place of"), "notes/autograd#backward-hooks-execution"],
    symptom="a hook that only logs changes the gradients, or one that changes them has no effect",
    priority=2,
)
class TestTensorHookReplacesTheGradient:
    """What a tensor hook returns replaces the gradient, for the hooks after it, ``.grad``, and everything upstream.

    None leaves it as it is, so a hook that computes something new and forgets ``return`` does nothing. Hooks run in the
    order of their registration.
    """

    def test_trap_each_sees_what_the_one_before_returned(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        x.register_hook(lambda grad: grad * 10)
        x.register_hook(lambda grad: seen.append(grad.item()))
        x.register_hook(lambda grad: grad + 1)
        (x * 3).backward()
        assert seen == [30]
        assert x.grad.item() == 31

    def test_trap_it_counts_upstream(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        y.register_hook(lambda grad: grad * 10)
        (y * 2).backward()
        assert x.grad.item() == 60

    def test_trap_without_return_nothing_changes(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)

        def scale(grad):
            grad = grad * 10

        x.register_hook(scale)
        (x * 3).backward()
        assert x.grad.item() == 3

    def test_trap_autograd_grad_returns_it_too(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        x.register_hook(lambda grad: grad * 10)
        (grad,) = torch.autograd.grad(x * 3, x)
        assert grad.item() == 30

    def test_trap_another_shape_is_refused(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        x.register_hook(lambda grad: grad.sum())
        with pytest.raises(RuntimeError, match="has changed the size of value"):
            x.sum().backward()

    def test_fix_return_the_new_gradient(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        x.register_hook(lambda grad: grad.clamp(max=3))
        (x**2).sum().backward()
        assert x.grad.tolist() == [2, 3]


@pitfall(
    "tensor-hook-must-not-write",
    docs=[("torch.Tensor.register_hook", "The hook should not modify its argument"), "notes/autograd"],
    symptom="a hook that zeroes one gradient in place zeroes another one as well",
    priority=2,
)
class TestTensorHookMustNotWrite:
    """A hook that changes its argument in place may change the gradients of other tensors: they share memory.

    An addition hands one and the same gradient to both of its operands. Compute a new tensor and return it.
    """

    def test_trap_the_other_operand_is_hit(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        w = torch.tensor(1.0, device=device, requires_grad=True)
        x.register_hook(lambda grad: grad.zero_())
        (x + w).backward()
        assert w.grad.item() == 0

    def test_fix_return_a_new_tensor(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        w = torch.tensor(1.0, device=device, requires_grad=True)
        x.register_hook(lambda grad: grad * 0)
        (x + w).backward()
        assert x.grad.item() == 0
        assert w.grad.item() == 1


@pitfall(
    "leaf-hook-runs-once-a-pass",
    docs=[("torch.Tensor.register_hook", "every time a gradient with respect to the"), "torch.Tensor.grad"],
    symptom="I clip in a hook and .grad is larger than the limit",
    priority=2,
)
class TestLeafHookRunsOnceAPass:
    """A hook on a leaf gets the gradient of one ``backward()``, summed over all uses, not what ``.grad`` holds.

    Clipping in a hook thus limits each pass, while ``.grad`` goes on adding up the passes. Clip ``.grad`` itself, after
    the last of them.
    """

    def test_trap_uses_are_summed_before(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        x.register_hook(lambda grad: seen.append(grad.item()))
        (x * 3 + x * 4).backward()
        assert seen == [7]

    def test_trap_passes_are_summed_after(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        x.register_hook(lambda grad: grad.clamp(max=5))
        (x * 3).backward()
        (x * 4).backward()
        assert x.grad.item() == 7

    def test_fix_clip_what_has_accumulated(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        (x * 3).backward()
        (x * 4).backward()
        torch.nn.utils.clip_grad_value_([x], 5)
        assert x.grad.item() == 5


@pitfall(
    "hooks-stay-until-removed",
    docs=[("torch.Tensor.register_hook", "that removes the hook"), "torch.autograd.graph.register_multi_grad_hook"],
    symptom="a hook runs more often from step to step",
    priority=2,
)
class TestHooksStayUntilRemoved:
    """Every ``register_hook`` adds another hook, the same function too, and it stays with the tensor.

    Registered in the training loop, a hook on a parameter scales the gradient once more at each step. Register once, or
    keep the handle and ``remove()`` it.
    """

    def test_trap_it_is_applied_once_more_at_each_step(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)

        def double(grad):
            return grad * 2

        seen = []
        for _ in range(3):
            w.register_hook(double)
            w.grad = None
            (w * 1).backward()
            seen.append(w.grad.item())
        assert seen == [2, 4, 8]

    def test_fix_remove_it_by_its_handle(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        for _ in range(3):
            handle = w.register_hook(lambda grad: grad * 2)
            w.grad = None
            (w * 1).backward()
            handle.remove()
            seen.append(w.grad.item())
        assert seen == [2, 2, 2]


@pitfall(
    "hook-needs-a-recorded-tensor",
    docs=["torch.Tensor.register_hook", "notes/autograd#whether-a-particular-hook-will-be-fired"],
    symptom="RuntimeError: cannot register a hook on a tensor that doesn't require gradient; or the hook never runs",
    error="cannot register a hook on a tensor that doesn't require gradient",
    priority=3,
)
class TestHookNeedsARecordedTensor:
    """A hook runs where a gradient of its tensor is computed: a constant takes none, and a finished pass is over.

    Whether it runs depends on what is asked for: ``autograd.grad`` runs the hooks on the way to its inputs only. A
    detached copy has none of the hooks of its original.
    """

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
    def test_trap_a_constant_is_refused(self, device, mode):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        with mode():
            y = x * 2
        with pytest.raises(RuntimeError, match="cannot register a hook on a tensor that doesn't require gradient"):
            y.register_hook(print)

    @pytest.mark.parametrize("wanted", ["z", "y", "x"], ids=str)
    def test_trap_only_those_on_the_way_run(self, device, wanted):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        z = y * 2
        seen = []
        x.register_hook(lambda _: seen.append("x"))
        y.register_hook(lambda _: seen.append("y"))
        z.register_hook(lambda _: seen.append("z"))
        torch.autograd.grad(z, {"x": x, "y": y, "z": z}[wanted])
        assert "".join(seen) == "zyx"[: "zyx".index(wanted) + 1]

    def test_trap_a_detached_copy_has_no_hooks(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        x.register_hook(lambda grad: grad * 10)
        y = x.detach().requires_grad_()
        (y * 3).backward()
        assert y.grad.item() == 3

    def test_fix_register_before_the_pass(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        y.backward(retain_graph=True)
        y.register_hook(lambda grad: seen.append(grad.item()))
        y.backward()
        assert seen == [1]


@pitfall(
    "hook-stays-with-the-old-value",
    docs=["notes/autograd#behavior-of-tensor-hooks-when-tensor-is-modified-in-place", "torch.Tensor.register_hook"],
    symptom="a hook sees a gradient that is not the one of its tensor",
    priority=3,
)
class TestHookStaysWithTheOldValue:
    """A hook that was registered before an in-place operation goes on with the value from before it.

    It gets the gradient with respect to that, as if the operation had made a new tensor. Register the hook after the
    operation. ``retain_grad()`` moves along: ``.grad`` is the gradient of the value that the tensor has now.
    """

    def test_trap_a_hook_from_before_sees_the_old_value(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        y.register_hook(lambda grad: seen.append(grad.item()))
        y.mul_(5)
        y.backward()
        assert seen == [5]

    def test_trap_retain_grad_moves_along(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        y.retain_grad()
        y.mul_(5)
        y.backward()
        assert y.grad.item() == 1

    def test_fix_register_afterwards(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        y.mul_(5)
        seen = []
        y.register_hook(lambda grad: seen.append(grad.item()))
        y.backward()
        assert seen == [1]
