"""Forward mode and second derivatives of a ``Function`` of your own: its ``jvp``, and intermediates as outputs."""
# ruff: noqa: ARG004 - forward and backward take ctx whether they use it or not

import contextlib
import warnings

import pytest
import torch
import torch.autograd.forward_ad as fwad
from torch.autograd import Function

from pitfalls import pitfall


@pytest.fixture
def formulas():
    """Compile the formulas of forward mode, as torch does once, with warnings; leave a level that stayed open."""
    import torch._dynamo  # which torch 2.3 fails to import under a transform

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.func.jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
    yield
    with contextlib.suppress(RuntimeError):
        fwad.exit_dual_level()


def slope(f, x):
    """The derivative of ``f`` by a dual number."""
    with fwad.dual_level():
        return fwad.unpack_dual(f(fwad.make_dual(x, torch.ones_like(x)))).tangent


SLOPES = [
    pytest.param(slope, id="dual numbers"),
    pytest.param(lambda f, x: torch.func.jvp(f, (x,), (torch.ones_like(x),))[1], id="func.jvp"),
]


class Square(Function):
    """A square with a backward formula alone."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


@pitfall(
    "function-needs-a-jvp-for-forward-mode",
    docs=["torch.autograd.Function.jvp", "torch.func.jvp", "notes/extending#forward-mode-ad", "notes/extending.func"],
    symptom="jvp and jacfwd fail for my autograd.Function, while grad and jacrev work",
    error="You must implement the jvp function for custom autograd.Function",
    priority=3,
)
class TestFunctionNeedsAJvpForForwardMode:
    """``backward`` is of no use to forward mode: a custom ``Function`` without a ``jvp`` raises there.

    A forward formula can't be derived from the backward one. Write the static method ``jvp``, which takes a tangent per
    input and returns one per output; ``ctx.save_for_forward`` keeps what it needs. Or use reverse mode.
    """

    @pytest.mark.parametrize("slope", SLOPES)
    def test_trap_without_it_raises(self, device, formulas, slope):
        with pytest.raises(NotImplementedError, match="You must implement the jvp function"):
            slope(Square.apply, torch.tensor(3.0, device=device))

    @pytest.mark.parametrize("slope", SLOPES)
    def test_fix_write_it(self, device, formulas, slope):
        class SquareBothWays(Square):
            @staticmethod
            def jvp(ctx, tangent):
                return 2 * ctx.saved_tensors[0] * tangent

        assert slope(SquareBothWays.apply, torch.tensor(3.0, device=device)).item() == 6

    def test_fix_reverse_mode(self, device, formulas):
        assert torch.func.jacrev(Square.apply)(torch.tensor(3.0, device=device)).item() == 6


class Same(Function):
    """Its input, as a view."""

    @staticmethod
    def forward(x):
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass


class Double(Function):
    """Twice its input, in place."""

    @staticmethod
    def forward(x):
        return x.mul_(2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_dirty(*inputs)


@pitfall(
    "jvp-must-do-as-forward-does",
    docs=["torch.autograd.Function.jvp", "notes/extending#forward-mode-ad"],
    symptom="my jvp computes the right tangent and raises: forward is returning a view but the jvp is not",
    error="but the jvp is not returning a view | is not modifying the forward mode gradients inplace",
    priority=3,
)
class TestJvpMustDoAsForwardDoes:
    """Where ``forward`` returns a view or changes its input, ``jvp`` must do the same to the tangent.

    A new tensor with the right numbers is refused, since the tangents of a view and of its base share memory as the
    tensors do. Spell ``jvp`` with the same operation: ``tangent.view_as(tangent)``, ``tangent.mul_(2)``.
    """

    def test_trap_a_view_needs_a_view(self, device, formulas):
        class SameByCopy(Same):
            @staticmethod
            def jvp(ctx, tangent):
                return tangent.clone()

        with pytest.raises(RuntimeError, match="but the jvp is not returning a view"):
            slope(SameByCopy.apply, torch.tensor([3.0], device=device))

    def test_trap_a_change_in_place_needs_one(self, device, formulas):
        class DoubleByCopy(Double):
            @staticmethod
            def jvp(ctx, tangent):
                return tangent * 2

        with pytest.raises(RuntimeError, match="is not modifying the forward mode gradients inplace"):
            slope(DoubleByCopy.apply, torch.tensor([3.0], device=device))

    def test_fix_a_view(self, device, formulas):
        class SameByView(Same):
            @staticmethod
            def jvp(ctx, tangent):
                return tangent.view_as(tangent)

        assert slope(SameByView.apply, torch.tensor([3.0], device=device)).tolist() == [1]

    def test_fix_in_place(self, device, formulas):
        class DoubleInPlace(Double):
            @staticmethod
            def jvp(ctx, tangent):
                return tangent.mul_(2)

        assert slope(DoubleInPlace.apply, torch.tensor([3.0], device=device)).tolist() == [2]


class Cube(Function):
    """A cube, and the square that its gradient needs; ``backward`` forgets that the square is an output."""

    @staticmethod
    def forward(x):
        return x * x * x, x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx, grad, grad_of_square):
        _, square = ctx.saved_tensors
        return 3 * square * grad


@pitfall(
    "returned-intermediate-needs-its-gradient",
    docs=["notes/extending.func", "torch.autograd.Function.backward"],
    symptom="I returned the intermediate from my Function, and the second derivative is zero",
    priority=3,
)
class TestReturnedIntermediateNeedsItsGradient:
    """An intermediate that a ``Function`` returns is an output: ``backward`` must count the gradient that it gets.

    Even if the caller throws it away, the second derivative reaches it through the saved output. A ``backward`` that
    ignores its argument is right for the first derivative and wrong for the second. Add its term.
    """

    def test_trap_the_second_derivative_is_lost(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (first,) = torch.autograd.grad(Cube.apply(x)[0], x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert (first.item(), second.item()) == (12, 0)

    def test_trap_under_func_grad(self, device, formulas):
        second = torch.func.grad(torch.func.grad(lambda x: Cube.apply(x)[0]))
        assert second(torch.tensor(2.0, device=device)).item() == 0

    def test_fix_add_its_term(self, device, formulas):
        class WholeCube(Cube):
            @staticmethod
            def backward(ctx, grad, grad_of_square):
                x, square = ctx.saved_tensors
                return 3 * square * grad + 2 * x * grad_of_square

        second = torch.func.grad(torch.func.grad(lambda x: WholeCube.apply(x)[0]))
        assert second(torch.tensor(2.0, device=device)).item() == 12
