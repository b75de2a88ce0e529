"""Backward hooks of modules: when they fire, what they are given, and what they forbid."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since


class Affine(torch.nn.Module):
    """Adds three times its second argument to twice its first."""

    def forward(self, x, y):
        return 2 * x + 3 * y


@pitfall(
    "backward-hook-without-input-gradient",
    docs=[
        ("torch.nn.Module.register_full_backward_hook", "with respect to module outputs"),
        "torch.nn.Module.register_full_backward_pre_hook",
    ],
    symptom="UserWarning: Full backward hook is firing when gradients are computed with respect to module outputs",
    error="Full backward hook is firing when gradients are computed with respect to module outputs",
    changed={
        "2.8": "hooks and pre-hooks warn when none of the inputs requires a gradient",
        "2.14": "pre-hooks no longer warn; they never depended on the inputs",
    },
)
class TestBackwardHookWithoutInputGradient:
    """If no input of a module requires a gradient, its full backward hook fires early and gets ``None`` for it.

    The first layer of a model is the usual case: its input is data. The hook then runs before the gradients of the
    module's own parameters exist. Let the input require a gradient. If
    ``grad_output`` is all that you need, a pre-hook (without a warning since torch 2.14) or a tensor's hook gets it.
    """

    @before("2.8")
    def test_trap_hook_fired_without_a_word(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        layer.register_full_backward_hook(lambda module, grad_in, _: seen.append((*grad_in, module.weight.grad)))
        layer(torch.ones(1, 1, device=device)).sum().backward()
        assert seen == [(None, None)]

    @since("2.8")
    def test_trap_hook_fires_early_and_warns(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        layer.register_full_backward_hook(lambda module, grad_in, _: seen.append((*grad_in, module.weight.grad)))
        y = layer(torch.ones(1, 1, device=device))
        with pytest.warns(UserWarning, match="since no inputs require gradients"):
            y.sum().backward()
        assert seen == [(None, None)]

    @before("2.8")
    def test_trap_pre_hook_fired_without_a_word(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        layer.register_full_backward_pre_hook(lambda _, grad_out: seen.append(grad_out[0].item()))
        layer(torch.ones(1, 1, device=device)).sum().backward()
        assert seen == [1]

    @since("2.8")
    @before("2.14")
    def test_trap_pre_hook_warned_too(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        layer.register_full_backward_pre_hook(lambda _, grad_out: seen.append(grad_out[0].item()))
        y = layer(torch.ones(1, 1, device=device))
        with pytest.warns(UserWarning, match="since no inputs require gradients"):
            y.sum().backward()
        assert seen == [1]

    @since("2.14")
    def test_fix_pre_hook_does_not_warn(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        layer.register_full_backward_pre_hook(lambda _, grad_out: seen.append(grad_out[0].item()))
        layer(torch.ones(1, 1, device=device)).sum().backward()
        assert seen == [1]

    def test_fix_hook_of_the_output_tensor(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        y = layer(torch.ones(1, 1, device=device))
        y.register_hook(lambda grad: seen.append(grad.item()))
        y.sum().backward()
        assert seen == [1]

    def test_fix_let_the_input_require_a_gradient(self, device, seeded):
        layer = torch.nn.Linear(1, 1, device=device)
        seen = []
        layer.register_full_backward_hook(lambda _module, grad_in, _grad_out: seen.append(grad_in[0].item()))
        layer(torch.ones(1, 1, device=device, requires_grad=True)).sum().backward()
        assert seen == [layer.weight.item()]


@pitfall(
    "backward-hook-ignores-keyword-arguments",
    docs=[
        ("torch.nn.Module.register_full_backward_hook", "all kwarg arguments are ignored"),
    ],
    symptom="grad_input of a full backward hook lacks an argument that was passed by name",
)
class TestBackwardHookIgnoresKeywordArguments:
    """``grad_input`` of a full backward hook covers positional arguments; one passed by name is left out.

    The gradient itself is computed as always, the hook just doesn't see it, and what it returns can't replace it. Pass
    what the hook is to see by position.
    """

    def test_trap_keyword_argument_is_left_out(self, device):
        module = Affine()
        seen = []
        module.register_full_backward_hook(lambda _module, grad_in, _grad_out: seen.extend(g.item() for g in grad_in))
        x, y = (torch.tensor(1.0, device=device, requires_grad=True) for _ in range(2))
        module(x, y=y).backward()
        assert seen == [2]
        assert y.grad.item() == 3

    def test_trap_returned_gradient_does_not_replace_it(self, device):
        module = Affine()
        module.register_full_backward_hook(lambda _module, grad_in, _grad_out: tuple(10 * g for g in grad_in))
        x, y = (torch.tensor(1.0, device=device, requires_grad=True) for _ in range(2))
        module(x, y=y).backward()
        assert (x.grad.item(), y.grad.item()) == (20, 3)

    def test_fix_pass_it_by_position(self, device):
        module = Affine()
        seen = []
        module.register_full_backward_hook(lambda _module, grad_in, _grad_out: seen.extend(g.item() for g in grad_in))
        x, y = (torch.tensor(1.0, device=device, requires_grad=True) for _ in range(2))
        module(x, y).backward()
        assert seen == [2, 3]


REGISTER = [
    pytest.param(torch.nn.Module.register_full_backward_hook, id="hook"),
    pytest.param(torch.nn.Module.register_full_backward_pre_hook, id="pre-hook"),
]


@pitfall(
    "backward-hook-forbids-inplace",
    docs=[
        ("torch.nn.Module.register_full_backward_hook", "Modifying inputs or outputs inplace is not allowed"),
        ("torch.nn.Module.register_full_backward_pre_hook", "Modifying inputs inplace is not allowed"),
    ],
    symptom="RuntimeError: Output 0 of BackwardHookFunctionBackward is a view and is being modified inplace",
    error="is a view and is being modified inplace. This view was created inside a custom Function",
)
class TestBackwardHookForbidsInplace:
    """With a full backward hook, neither the inputs nor the outputs of the module may be modified in place.

    The hook is attached to views of them, made by a custom function that the in-place write would override. A model
    with ``ReLU(inplace=True)`` or ``y += x`` runs until a tool registers hooks. Use the out-of-place twin.
    """

    @pytest.mark.parametrize("register", REGISTER)
    @pytest.mark.parametrize(
        "modify",
        [lambda y: y.add_(1), lambda y: F.relu(y, inplace=True), torch.nn.ReLU(inplace=True)],
        ids=["add_", "functional relu", "ReLU module"],
    )
    def test_trap_output_cannot_be_modified(self, device, seeded, register, modify):
        layer = torch.nn.Linear(1, 1, device=device)
        register(layer, lambda *_: None)
        y = layer(torch.ones(1, 1, device=device))
        with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
            modify(y)

    @pytest.mark.parametrize("register", REGISTER)
    def test_trap_input_cannot_be_modified(self, device, register):
        module = torch.nn.ReLU(inplace=True)
        register(module, lambda *_: None)
        x = torch.tensor([1.0, -2.0], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
            module(2 * x)

    @pytest.mark.parametrize("register", REGISTER)
    def test_fix_out_of_place(self, device, register):
        module = torch.nn.ReLU()
        seen = []
        register(module, lambda *grads: seen.append(grads[-1][0].tolist()))
        x = torch.tensor([1.0, -2.0], device=device, requires_grad=True)
        (3 * module(2 * x)).sum().backward()
        assert seen == [[3, 3]]
