"""Second derivatives of custom functions: what their backward must do so that it can be differentiated itself."""

import pytest
import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pitfalls import pitfall


class Cube(Function):
    """Its backward is differentiable: it starts from the saved input."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


@pitfall(
    "saved-intermediate-is-a-constant",
    docs=[
        (
            "torch.autograd.function.FunctionCtx.save_for_backward",
            "your custom Function may not support double backward",
        ),
        "notes/extending",
    ],
    symptom="the second derivative of my custom function is wrong, or does not require grad; the first is right",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
)
class TestSavedIntermediateIsAConstant:
    """What ``forward`` computed on the way is a constant to the second derivative, saved or not.

    ``forward`` records no graph, so only inputs and outputs that were saved lead back. Where a gradient term hangs on
    an intermediate it vanishes without a word. Recompute it from the inputs in ``backward``, or return it as an output.
    """

    def test_trap_a_part_is_silently_lost(self, device):
        class CubeOfSquare(Function):
            @staticmethod
            def forward(ctx, x):
                square = x * x
                ctx.save_for_backward(x, square)
                return square * x

            @staticmethod
            def backward(ctx, grad):
                x, square = ctx.saved_tensors
                return (2 * square + x * x) * grad  # 3 x**2, in two terms

        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(CubeOfSquare.apply(x), x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert first.item() == 12
        assert second.item() == 4  # of 6 x = 12

    def test_trap_alone_it_does_not_require_grad(self, device):
        class CubeOfSquare(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.square = x * x
                return ctx.square * x

            @staticmethod
            def backward(ctx, grad):
                return 3 * ctx.square * grad

        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(CubeOfSquare.apply(x), x, create_graph=True)
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            torch.autograd.grad(first, x)

    def test_fix_recompute_from_the_inputs(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(Cube.apply(x), x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert second.item() == 12

    def test_fix_return_it_and_save_it(self, device):
        class CubeAndSquare(Function):
            @staticmethod
            def forward(ctx, x):
                square = x * x
                ctx.save_for_backward(x, square)
                return square * x, square

            @staticmethod
            def backward(ctx, grad, grad_of_square):
                x, square = ctx.saved_tensors
                return 3 * square * grad + 2 * x * grad_of_square

        x = torch.tensor(2.0, device=device, requires_grad=True)
        cube, _ = CubeAndSquare.apply(x)
        (first,) = torch.autograd.grad(cube, x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert second.item() == 12


class CubeOnce(Function):
    """Its backward is declared to be differentiable no further."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


@pitfall(
    "once-differentiable-may-be-silent",
    docs=[
        ("torch.autograd.function.FunctionCtx.save_for_backward", "double backward raises an error"),
        "notes/extending",
    ],
    symptom="a gradient penalty leaves out my custom function; or: trying to differentiate twice a function",
    error="trying to differentiate twice a function that was marked with @once_differentiable",
    contradicts={"notes/extending": "a second derivative through a once_differentiable backward raises"},
)
class TestOnceDifferentiableMayBeSilent:
    """A backward under ``@once_differentiable`` refuses a second derivative only if the incoming gradient has a graph.

    Else its result is a plain constant: alone that fails with another message, and in a sum with other terms its share
    is left out silently, whereas the documentation promises an error. Write a differentiable backward, and let
    ``gradgradcheck`` check it.
    """

    def test_trap_behind_a_nonlinear_loss_it_raises(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(CubeOnce.apply(x) ** 2, x, create_graph=True)
        with pytest.raises(RuntimeError, match="trying to differentiate twice a function that was marked with"):
            first.backward()

    def test_trap_in_a_sum_its_share_is_missing(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(CubeOnce.apply(x) + x**2, x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert first.item() == 16
        assert second.item() == 2  # of 6 x + 2 = 14

    def test_trap_alone_it_has_no_graph(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(CubeOnce.apply(x), x, create_graph=True)
        assert not first.requires_grad

    def test_fix_a_differentiable_backward(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(Cube.apply(x) + x**2, x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert second.item() == 14

    def test_fix_gradgradcheck_finds_it(self, device, seeded):
        x = torch.tensor([2.0], dtype=torch.float64, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="Jacobian mismatch"):
            torch.autograd.gradgradcheck(CubeOnce.apply, (x,))
        assert torch.autograd.gradgradcheck(Cube.apply, (x,))
