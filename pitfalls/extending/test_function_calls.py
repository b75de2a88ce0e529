"""How a custom function is called: with `apply`, on the class, with the tensors as arguments of their own."""
# ruff: noqa: ARG004 - forward and backward take ctx whether they use it or not

import pytest
import torch
from torch.autograd import Function

from pitfalls import before, pitfall, since


class Round(Function):
    """Rounds, and lets the gradient through as it is."""

    @staticmethod
    def forward(x):
        return x.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad


@pitfall(
    "forward-called-directly-skips-backward",
    docs=[("torch.autograd.Function", "call the class method"), "notes/extending"],
    symptom="my straight-through estimator has a gradient of zero; backward of my custom function is never called",
)
class TestForwardCalledDirectlySkipsBackward:
    """``MyFunction.forward(x)`` is plain code, with the gradient of its operations; ``apply`` alone uses ``backward``.

    With ``setup_context`` nothing tells the difference but the gradient. A ``forward`` that takes ``ctx`` at least
    complains about a missing argument.
    """

    def test_trap_the_gradient_is_that_of_the_operations(self, device):
        x = torch.tensor([0.6, 1.6], device=device, requires_grad=True)
        Round.forward(x).sum().backward()
        assert x.grad.tolist() == [0, 0]

    def test_fix_apply(self, device):
        x = torch.tensor([0.6, 1.6], device=device, requires_grad=True)
        y = Round.apply(x)
        y.sum().backward()
        assert y.tolist() == [1, 2]
        assert x.grad.tolist() == [1, 1]


@pitfall(
    "function-instance-is-not-callable",
    docs=["torch.autograd.Function", ("torch.autograd.Function", "call the class method")],
    symptom="code from the days of torch 0.4 or 1.2 that writes MyFunction()(x) raises",
    error="Legacy autograd function with non-static forward method is deprecated",
)
class TestFunctionInstanceIsNotCallable:
    """``MyFunction()(x)`` raises, and blames a non-static forward even where it is static.

    Making an instance already warns. The methods are static and the call is ``MyFunction.apply(x)``; what the
    constructor used to take becomes an argument of ``apply``.
    """

    def test_trap_the_call_raises(self, device):
        x = torch.ones(1, device=device, requires_grad=True)
        with pytest.warns(DeprecationWarning, match="should not be instantiated"):
            rounding = Round()
        with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward method is deprecated"):
            rounding(x)

    def test_trap_so_it_does_with_methods_that_are_not_static(self, device):
        class Double(Function):
            def forward(self, x):
                return x * 2

            def backward(self, grad):
                return 2 * grad

        with pytest.warns(DeprecationWarning, match="should not be instantiated"):
            double = Double()
        with pytest.raises(RuntimeError, match="Legacy autograd function with non-static forward method is deprecated"):
            double(torch.ones(1, device=device, requires_grad=True))

    def test_fix_apply_on_the_class(self, device):
        x = torch.ones(1, device=device, requires_grad=True)
        Round.apply(x).backward()
        assert x.grad.tolist() == [1]


class Scale(Function):
    """Multiplies by a number, by 3 unless another is given."""

    @staticmethod
    def forward(ctx, x, factor=3.0):
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


@pitfall(
    "apply-takes-keyword-arguments-since-2-13",
    docs=[("torch.autograd.Function.forward", "**kwargs: Any"), "notes/extending"],
    symptom="TypeError: apply() takes no keyword arguments",
    error="apply() takes no keyword arguments",
    changed={"2.13": "Function.apply accepts keyword arguments, each of which counts for the gradients"},
)
class TestApplyTakesKeywordArgumentsSince213:
    """Before 2.13 ``Function.apply`` takes no keyword arguments, whatever ``forward`` declares.

    Since then it puts them in their places in the signature of ``forward``, and ``backward`` returns a gradient for
    each as if it had been given by position. Positions work in every release, and defaults may be left out.
    """

    @before("2.13")
    def test_trap_keywords_are_refused(self, device):
        x = torch.ones(1, device=device, requires_grad=True)
        with pytest.raises(TypeError, match=r"apply\(\) takes no keyword arguments"):
            Scale.apply(x, factor=2.0)

    @since("2.13")
    def test_trap_a_keyword_counts_for_the_gradients(self, device):
        class Triple(Scale):
            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.factor

        y = Triple.apply(torch.ones((), device=device, requires_grad=True), factor=2.0)
        with pytest.raises(RuntimeError, match=r"returned an incorrect number of gradients \(expected 2, got 1\)"):
            y.backward()

    @since("2.13")
    def test_fix_a_keyword_is_put_in_its_place(self, device):
        x = torch.ones((), device=device, requires_grad=True)
        Scale.apply(factor=2.0, x=x).backward()
        assert x.grad.item() == 2

    @pytest.mark.parametrize(("more", "factor"), [((2.0,), 2), ((), 3)], ids=["by position", "default"])
    def test_fix_give_them_by_position(self, device, more, factor):
        x = torch.ones((), device=device, requires_grad=True)
        Scale.apply(x, *more).backward()
        assert x.grad.item() == factor


@pitfall(
    "tensors-in-a-list-get-no-gradient",
    docs=["notes/extending"],
    symptom="the result of my custom function does not require grad, though the tensors in the list that I pass do",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
)
class TestTensorsInAListGetNoGradient:
    """A custom function differentiates the tensors among its arguments; those inside a list or dict are constants.

    ``apply`` doesn't look into containers, so the result doesn't even require grad. Spread the list:
    ``apply(*tensors)``, with ``forward(ctx, *tensors)`` and as many gradients.
    """

    @pytest.mark.parametrize("pack", [list, tuple, lambda xs: dict(enumerate(xs))], ids=["list", "tuple", "dict"])
    def test_trap_the_result_is_a_constant(self, device, pack):
        class Product(Function):
            @staticmethod
            def forward(ctx, xs):
                return xs[0] * xs[1]

        xs = [torch.ones(1, device=device, requires_grad=True) for _ in range(2)]
        assert not Product.apply(pack(xs)).requires_grad

    def test_trap_beside_a_tensor_it_is_left_out_silently(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, others):
                ctx.save_for_backward(*others)
                return x * others[0]

            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.saved_tensors[0], None

        other = torch.tensor(5.0, device=device, requires_grad=True)
        Product.apply(torch.tensor(2.0, device=device, requires_grad=True), [other]).backward()
        assert other.grad is None

    def test_fix_spread_the_list(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, *xs):
                ctx.save_for_backward(*xs)
                return xs[0] * xs[1]

            @staticmethod
            def backward(ctx, grad):
                x, y = ctx.saved_tensors
                return grad * y, grad * x

        xs = [torch.tensor(v, device=device, requires_grad=True) for v in (2.0, 5.0)]
        Product.apply(*xs).backward()
        assert [x.grad.item() for x in xs] == [5, 2]


@pitfall(
    "forward-records-no-graph",
    docs=["notes/extending", "torch.autograd.Function.setup_context"],
    symptom="a tensor that I computed in forward and kept has no grad_fn; autograd.grad inside forward fails",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
)
class TestForwardRecordsNoGraph:
    """``forward`` of a custom function runs as under ``no_grad``: nothing that it computes has a history.

    All that autograd knows of the function is ``backward``. To differentiate a part automatically, detach the input and
    compute under ``torch.enable_grad()``. Where ``setup_context`` gets ``ctx``, ``forward`` does without.
    """

    def test_trap_what_is_computed_inside_has_no_history(self, device):
        class Double(Function):
            @staticmethod
            def forward(ctx, x):
                y = x * 2
                inside.extend([torch.is_grad_enabled(), y.requires_grad])
                return y

        inside = []
        y = Double.apply(torch.ones(1, device=device, requires_grad=True))
        assert inside == [False, False]
        assert y.requires_grad

    def test_fix_enable_grad_inside(self, device):
        class Cube(Function):
            @staticmethod
            def forward(ctx, x):
                with torch.enable_grad():
                    inner = x.detach().requires_grad_()
                    (derivative,) = torch.autograd.grad((inner**3).sum(), inner)
                ctx.save_for_backward(derivative)
                return x**3

            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.saved_tensors[0]

        x = torch.tensor([2.0], device=device, requires_grad=True)
        Cube.apply(x).backward()
        assert x.grad.tolist() == [12]

    def test_trap_with_setup_context_it_takes_no_ctx(self, device):
        class Double(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def setup_context(ctx, inputs, output):
                pass

        with pytest.raises(TypeError, match=r"missing .*required .*argument: 'x'"):
            Double.apply(torch.ones(1, device=device, requires_grad=True))
