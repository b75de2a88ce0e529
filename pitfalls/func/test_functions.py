"""``torch.autograd.Function`` under ``torch.func``: the separate ``setup_context``, and rules for ``vmap``."""

import pytest
import torch

from pitfalls import pitfall


class Combined(torch.autograd.Function):
    """x squared, with a forward that takes ctx."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x


class Separate(torch.autograd.Function):
    """x squared, with a setup_context and no rule for vmap."""

    @staticmethod
    def forward(x):
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, _):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x


class Generated(Separate):
    """x squared, whose rule for vmap is generated."""

    generate_vmap_rule = True


class Ruled(Separate):
    """x squared, with its own rule for vmap, which notes the dimensions that it is told."""

    told = []

    @staticmethod
    def vmap(info, in_dims, x):
        Ruled.told.append((info.batch_size, in_dims))
        return Ruled.apply(x), in_dims[0]


class Both(Ruled):
    """A Function with two rules for vmap."""

    generate_vmap_rule = True


class Product(torch.autograd.Function):
    """x times y, with a rule for vmap that notes which of them are mapped."""

    told = []

    @staticmethod
    def forward(x, y):
        return x * y

    @staticmethod
    def setup_context(ctx, inputs, _):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def vmap(_, in_dims, x, y):
        Product.told.append(in_dims)
        return x * y, 0


@pitfall(
    "transforms-want-setup-context",
    docs=["notes/extending.func", "torch.autograd.Function"],
    symptom="RuntimeError: In order to use an autograd.Function with functorch transforms (vmap, ...)",
    error="In order to use an autograd.Function with functorch transforms",
    priority=2,
)
class TestTransformsWantSetupContext:
    """A ``Function`` whose ``forward`` takes ``ctx`` can't be used under ``torch.func``: split off ``setup_context``.

    ``forward`` then takes the inputs alone, and ``setup_context(ctx, inputs, output)`` saves what ``backward`` needs.
    Both forms work with ``backward()``.
    """

    @pytest.mark.parametrize(
        "transform", [torch.vmap, torch.func.grad, torch.func.jacrev], ids=["vmap", "grad", "jacrev"]
    )
    def test_trap_the_combined_form_is_refused(self, device, transform):
        with pytest.raises(RuntimeError, match=r"it must override the setup_context staticmethod"):
            transform(lambda x: Combined.apply(x).sum())(torch.tensor([2.0, 3.0], device=device))

    def test_fix_the_separate_form_works(self, device):
        x = torch.tensor([2.0, 3.0], device=device)
        assert torch.func.grad(lambda x: Separate.apply(x).sum())(x).tolist() == [4, 6]


@pitfall(
    "vmap-of-a-function-wants-a-rule",
    docs=["notes/extending.func#torch-vmap-support", "torch.autograd.Function"],
    symptom="RuntimeError: You tried to vmap over a custom Function, but it does not have vmap support",
    error="but it does not have vmap support",
    priority=2,
)
class TestVmapOfAFunctionWantsARule:
    """``vmap`` of a ``Function`` raises unless it has a ``vmap`` staticmethod or ``generate_vmap_rule = True``.

    The generated rule maps ``forward`` and ``backward``, which must be made of torch operators. Having both is refused.
    The staticmethod is told None for an argument that is not mapped.
    """

    def test_trap_without_a_rule_it_raises(self, device):
        with pytest.raises(RuntimeError, match="it does not have vmap support"):
            torch.vmap(Separate.apply)(torch.tensor([2.0, 3.0], device=device))

    def test_trap_two_rules_are_refused(self, device):
        with pytest.raises(RuntimeError, match="both generate_vmap_rule=True and"):
            torch.vmap(Both.apply)(torch.tensor([2.0, 3.0], device=device))

    def test_trap_what_is_not_mapped_has_no_dimension(self, device):
        Product.told.clear()
        x, y = torch.tensor([2.0, 3.0], device=device), torch.tensor(10.0, device=device)
        assert torch.vmap(Product.apply, in_dims=(0, None))(x, y).tolist() == [20, 30]
        assert Product.told == [(0, None)]

    def test_fix_a_generated_rule(self, device):
        x = torch.tensor([2.0, 3.0], device=device)
        assert torch.vmap(Generated.apply)(x).tolist() == [4, 9]
        assert torch.vmap(torch.func.grad(Generated.apply))(x).tolist() == [4, 6]

    def test_fix_a_rule_of_its_own(self, device):
        Ruled.told.clear()
        assert torch.vmap(Ruled.apply)(torch.tensor([2.0, 3.0], device=device)).tolist() == [4, 9]
        assert Ruled.told == [(2, (0,))]


@pitfall(
    "transforms-do-not-see-captured-tensors",
    docs=["notes/extending.func#limitations", "torch.func.grad"],
    symptom="the gradient of torch.func.grad lacks the part of a tensor that the function captured",
    priority=3,
)
class TestTransformsDoNotSeeCapturedTensors:
    """``torch.func.grad`` differentiates by its arguments: a tensor from outside is a constant to it.

    That holds for parameters of a module too, whose ``.grad`` stays None. Pass what is to be differentiated as an
    argument: ``functional_call`` does it for a module.
    """

    def test_trap_what_is_captured_is_constant(self, device):
        x = torch.tensor(3.0, device=device)
        assert torch.func.grad(lambda y: x * y)(x).item() == 3  # not 6, the slope of x * x

    def test_trap_no_grad_is_filled(self, device):
        weight = torch.tensor(3.0, device=device, requires_grad=True)
        torch.func.grad(lambda x: weight * x)(torch.tensor(2.0, device=device))
        assert weight.grad is None

    def test_fix_pass_it(self, device):
        weight, x = torch.tensor(3.0, device=device), torch.tensor(2.0, device=device)
        assert torch.func.grad(lambda weight, x: weight * x)(weight, x).item() == 2
