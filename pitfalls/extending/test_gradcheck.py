"""`gradcheck`: what it compares, and the ways in which it rejects what is right or misses what is wrong."""
# ruff: noqa: ARG004 - forward and backward take ctx whether they use it or not

import pytest
import torch
from torch.autograd import Function, gradcheck, gradgradcheck

from pitfalls import pitfall


class WrongSquare(Function):
    """The square, with a derivative that lacks the factor 2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return x * grad


@pitfall(
    "gradcheck-finds-a-wrong-backward",
    docs=[("torch.autograd.gradcheck", "Check gradients computed via small finite differences"), "notes/gradcheck"],
    symptom="a model with my custom function trains badly, and nothing raises",
    error="Jacobian mismatch for output 0 with respect to input 0",
)
class TestGradcheckFindsAWrongBackward:
    """Nothing but a check tells that a hand-written ``backward`` is wrong: training just goes on with its gradients.

    ``gradcheck`` compares it, element by element, with differences of ``forward``. It raises, or returns False with
    ``raise_exception=False``. ``fast_mode=True`` compares one random projection, and calls the function far less often.
    """

    def test_trap_the_wrong_gradient_is_used(self, device):
        x = torch.tensor([3.0], device=device, requires_grad=True)
        WrongSquare.apply(x).backward()
        assert x.grad.tolist() == [3]  # of 6

    @pytest.mark.parametrize("fast", [False, True], ids=["slow mode", "fast mode"])
    def test_fix_gradcheck_raises(self, device, seeded, fast):
        x = torch.tensor([1.0, 2.0], dtype=torch.float64, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
            gradcheck(WrongSquare.apply, (x,), fast_mode=fast)

    @pytest.mark.parametrize("fast", [False, True], ids=["slow mode", "fast mode"])
    def test_fix_or_it_returns_a_bool(self, device, seeded, fast):
        x = torch.tensor([1.0, 2.0], dtype=torch.float64, device=device, requires_grad=True)
        assert gradcheck(WrongSquare.apply, (x,), fast_mode=fast, raise_exception=False) is False
        assert gradcheck(torch.square, (x,), fast_mode=fast) is True


@pitfall(
    "gradcheck-rejects-float32",
    docs=[
        ("torch.autograd.gradcheck", "This check will likely fail if"),
        ("torch.autograd.gradgradcheck", "This check will likely fail if"),
    ],
    symptom="gradcheck fails for a function of torch itself",
    error="is not a double precision floating point or complex",
    priority=2,
)
class TestGradcheckRejectsFloat32:
    """With float32 inputs ``gradcheck`` warns, and rejects gradients that are right.

    It moves each input by one millionth, of which float32 keeps a digit or so. Give it float64 inputs, whatever the
    model computes in.
    """

    @pytest.mark.parametrize("check", [gradcheck, gradgradcheck], ids=["gradcheck", "gradgradcheck"])
    def test_trap_the_cube_has_no_derivative(self, device, seeded, check):
        x = torch.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="is not a double precision floating point or complex"):
            right = check(lambda x: x**3, (x,), raise_exception=False)
        assert not right

    @pytest.mark.parametrize("check", [gradcheck, gradgradcheck], ids=["gradcheck", "gradgradcheck"])
    def test_fix_float64(self, device, seeded, check):
        x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, device=device, requires_grad=True)
        assert check(lambda x: x**3, (x,))


@pitfall(
    "gradcheck-needs-requires-grad",
    docs=[("torch.autograd.gradcheck", "requires_grad=True")],
    symptom="gradcheck raises ValueError, or passes though one of my gradients is wrong",
    error="gradcheck expects at least one input tensor to require gradient",
)
class TestGradcheckNeedsRequiresGrad:
    """``gradcheck`` looks only at inputs that require grad: the others may have any gradient, and none at all raises.

    Make every input that is to be checked with ``requires_grad=True``.
    """

    def test_trap_without_any_it_raises(self, device):
        x = torch.ones(2, dtype=torch.float64, device=device)
        with pytest.raises(ValueError, match="gradcheck expects at least one input tensor to require gradient"):
            gradcheck(torch.exp, (x,))

    def test_trap_the_other_inputs_are_not_checked(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                return x * y

            @staticmethod
            def backward(ctx, grad):
                _, y = ctx.saved_tensors
                return grad * y, grad * y  # the second is wrong

        x = torch.tensor([2.0], dtype=torch.float64, device=device, requires_grad=True)
        y = torch.tensor([5.0], dtype=torch.float64, device=device)
        assert gradcheck(Product.apply, (x, y))
        assert not gradcheck(Product.apply, (x, y.requires_grad_()), raise_exception=False)


@pitfall(
    "gradcheck-rejects-kinks",
    docs=[("torch.autograd.gradcheck", "Gradcheck may fail when evaluated on non-differentiable")],
    symptom="gradcheck fails for relu, abs or max at some inputs",
    error="Jacobian mismatch for output 0 with respect to input 0",
)
class TestGradcheckRejectsKinks:
    """At a kink ``gradcheck`` may reject a right function: the difference takes the mean of both sides.

    Autograd picks one value there, 0 for ``relu`` at 0, where the difference is a half. Neither is wrong; check at
    points away from the kinks.
    """

    KINKS = [
        pytest.param(torch.relu, [0.0], id="relu"),
        pytest.param(torch.nn.functional.relu6, [6.0], id="relu6"),
        pytest.param(lambda x: torch.nn.functional.hardtanh(x), [1.0], id="hardtanh"),
    ]

    @pytest.mark.parametrize(("function", "kink"), KINKS)
    def test_trap_it_fails_at_the_kink(self, device, function, kink):
        x = torch.tensor(kink, dtype=torch.float64, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
            gradcheck(function, (x,))

    @pytest.mark.parametrize(("function", "kink"), KINKS)
    def test_fix_check_beside_it(self, device, function, kink):
        x = torch.tensor([kink[0] - 0.5, kink[0] + 0.5], dtype=torch.float64, device=device, requires_grad=True)
        assert gradcheck(function, (x,))


@pitfall(
    "gradcheck-refuses-overlapping-memory",
    docs=[
        ("torch.autograd.gradcheck", "overlapping memory, i.e."),
        ("torch.autograd.gradgradcheck", "overlapping memory, i.e."),
    ],
    symptom="gradcheck of an input made with expand or as_strided raises, or reports a wrong gradient",
    error="has a dimension with stride 0. gradcheck only supports inputs that are non-overlapping",
)
class TestGradcheckRefusesOverlappingMemory:
    """An input whose elements share memory can't be checked: to move one element moves the others.

    An expanded input is refused; one whose rows overlap in another way is compared, and fails. Give a ``clone()``.
    """

    def test_trap_an_expanded_input_is_refused(self, device):
        x = torch.ones(1, dtype=torch.float64, device=device).expand(2).requires_grad_()
        with pytest.raises(RuntimeError, match="gradcheck only supports inputs that are non-overlapping"):
            gradcheck(torch.exp, (x,))

    def test_trap_overlapping_windows_fail(self, device):
        x = torch.ones(3, dtype=torch.float64, device=device).unfold(0, 2, 1).requires_grad_()
        with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
            gradcheck(torch.exp, (x,))

    def test_trap_second_derivatives_too(self, device, seeded):
        x = torch.ones(1, dtype=torch.float64, device=device).expand(2).requires_grad_()
        with pytest.raises(RuntimeError, match="gradcheck only supports inputs that are non-overlapping"):
            gradgradcheck(torch.exp, (x,))

    def test_fix_clone_it(self, device):
        x = torch.ones(3, dtype=torch.float64, device=device).unfold(0, 2, 1)
        assert gradcheck(torch.exp, (x.contiguous().requires_grad_(),))
        assert gradcheck(torch.exp, (x[:1].expand(2, 2).clone().requires_grad_(),))


@pitfall(
    "gradcheck-rejects-randomness",
    docs=[("torch.autograd.gradcheck", "When running identical inputs through the differentiation, the")],
    symptom="gradcheck of a function with dropout or noise fails",
    error="Backward is not reentrant",
)
class TestGradcheckRejectsRandomness:
    """``gradcheck`` runs the function many times and wants the same result each time, so randomness fails it.

    Seed inside the function, or switch the module to eval mode. For a backward that sums in no fixed order there is
    ``nondet_tol``.
    """

    def test_trap_dropout_fails(self, device, seeded):
        x = torch.ones(8, dtype=torch.float64, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
            gradcheck(torch.nn.functional.dropout, (x,))

    def test_fix_without_randomness(self, device, seeded):
        x = torch.ones(8, dtype=torch.float64, device=device, requires_grad=True)
        assert gradcheck(torch.nn.Dropout().eval(), (x,))

    def test_trap_a_backward_with_noise_fails(self, device, seeded):
        class Noisy(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                return 2 * grad * (1 + 1e-9 * torch.rand_like(grad))

        x = torch.ones(2, dtype=torch.float64, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="Backward is not reentrant"):
            gradcheck(Noisy.apply, (x,))
        assert gradcheck(Noisy.apply, (x,), nondet_tol=1e-6)


@pitfall(
    "complex-backward-conjugates",
    docs=["notes/gradcheck", "notes/autograd"],
    symptom="the formula from the textbook is a wrong backward for complex inputs",
    error="While considering the imaginary part of complex outputs only, Jacobian mismatch",
)
class TestComplexBackwardConjugates:
    """The backward of a holomorphic function multiplies with the conjugate of its derivative.

    Torch's gradient is the conjugate Wirtinger derivative, twice, so that subtracting it is the steepest descent.
    ``gradcheck`` tests complex outputs by their real and their imaginary part.
    """

    def test_trap_the_textbook_formula_is_wrong(self, device):
        class Square(Function):
            @staticmethod
            def forward(ctx, z):
                ctx.save_for_backward(z)
                return z * z

            @staticmethod
            def backward(ctx, grad):
                (z,) = ctx.saved_tensors
                return 2 * z * grad

        z = torch.tensor([1 + 2j], dtype=torch.complex128, device=device, requires_grad=True)
        with pytest.raises(
            RuntimeError, match="While considering the imaginary part of complex outputs only, Jacobian"
        ):
            gradcheck(Square.apply, (z,))

    def test_fix_conjugate(self, device):
        class Square(Function):
            @staticmethod
            def forward(ctx, z):
                ctx.save_for_backward(z)
                return z * z

            @staticmethod
            def backward(ctx, grad):
                (z,) = ctx.saved_tensors
                return 2 * z.conj() * grad

        z = torch.tensor([1 + 2j], dtype=torch.complex128, device=device, requires_grad=True)
        assert gradcheck(Square.apply, (z,))
