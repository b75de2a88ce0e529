"""What the backward of a custom function is given, and what it must return."""
# ruff: noqa: ARG004 - forward and backward take ctx whether they use it or not

import pytest
import torch
from torch.autograd import Function

from pitfalls import pitfall


@pitfall(
    "backward-returns-one-gradient-per-input",
    docs=[("torch.autograd.Function.backward", "as many tensors, as there were inputs"), "notes/extending"],
    symptom="my custom function has a second argument, a number, and backward complains about the number of gradients",
    error="returned an incorrect number of gradients (expected",
)
class TestBackwardReturnsOneGradientPerInput:
    """``backward`` returns a tuple with one gradient for each argument of ``apply``, and None for what is no tensor.

    Numbers, flags and strings count as well. More Nones at the end do no harm, so arguments that were left out may
    have theirs. A list is no tuple.
    """

    @pytest.mark.parametrize(
        "returned",
        [
            pytest.param(lambda grad: 2 * grad, id="one tensor"),
            pytest.param(lambda _: None, id="None"),
            pytest.param(lambda grad: [2 * grad, None], id="list"),
            pytest.param(lambda grad: (2 * grad, None, 2 * grad), id="three"),
        ],
    )
    def test_trap_another_count_raises(self, device, returned):
        class Scale(Function):
            @staticmethod
            def forward(ctx, x, factor):
                return x * factor

            @staticmethod
            def backward(ctx, grad):
                return returned(grad)

        y = Scale.apply(torch.ones((), device=device, requires_grad=True), 2.0)
        with pytest.raises(RuntimeError, match=r"returned an incorrect number of gradients \(expected 2, got"):
            y.backward()

    @pytest.mark.parametrize(
        "returned",
        [
            pytest.param(lambda grad: (2 * grad, None), id="None for the number"),
            pytest.param(lambda grad: (2 * grad, None, None, None), id="more Nones"),
        ],
    )
    def test_fix_none_for_what_is_no_tensor(self, device, returned):
        class Scale(Function):
            @staticmethod
            def forward(ctx, x, factor):
                return x * factor

            @staticmethod
            def backward(ctx, grad):
                return returned(grad)

        x = torch.ones((), device=device, requires_grad=True)
        Scale.apply(x, 2.0).backward()
        assert x.grad.item() == 2


@pitfall(
    "gradient-of-a-number-is-refused",
    docs=[("torch.autograd.Function.backward", "you can just pass None as a gradient"), "notes/extending"],
    symptom="backward says that an input was not a Variable, though I return one gradient for each",
    error="returned a gradient different than None at position",
)
class TestGradientOfANumberIsRefused:
    """A gradient for an argument that was no tensor raises; one for a tensor that needs none is dropped silently.

    The work for the dropped one is wasted: ``ctx.needs_input_grad`` says for which arguments a gradient is wanted.
    """

    def test_trap_a_number_has_no_gradient(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, y):
                return x * y

            @staticmethod
            def backward(ctx, grad):
                return 5 * grad, 2 * grad

        out = Product.apply(torch.tensor(2.0, device=device, requires_grad=True), 5.0)
        with pytest.raises(RuntimeError, match="returned a gradient different than None at position 2"):
            out.backward()

    def test_trap_a_constant_drops_its_own(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                return x * y

            @staticmethod
            def backward(ctx, grad):
                x, y = ctx.saved_tensors
                return y * grad, x * grad

        y = torch.tensor(5.0, device=device)
        Product.apply(torch.tensor(2.0, device=device, requires_grad=True), y).backward()
        assert y.grad is None

    def test_fix_ask_what_is_needed(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                return x * y

            @staticmethod
            def backward(ctx, grad):
                x, y = ctx.saved_tensors
                wanted.extend(ctx.needs_input_grad)
                return y * grad if wanted[0] else None, x * grad if wanted[1] else None

        wanted = []
        x = torch.tensor(2.0, device=device, requires_grad=True)
        Product.apply(x, torch.tensor(5.0, device=device)).backward()
        assert wanted == [True, False]
        assert x.grad.item() == 5


@pitfall(
    "returned-gradient-must-fit-its-input",
    docs=["torch.autograd.Function.backward", "notes/extending"],
    symptom="Function returned an invalid gradient: got another shape than that of the input",
    error="returned an invalid gradient at index",
)
class TestReturnedGradientMustFitItsInput:
    """A returned gradient has the shape of its input; a bigger one is summed down if its input broadcasts to it.

    Typical are the forgotten sum over a broadcast dimension, which goes well, and a gradient reduced to one number,
    which raises. A number or an array of NumPy is no gradient at all.
    """

    @pytest.mark.parametrize(
        "reduced",
        [
            pytest.param(lambda grad: grad[:2], id="slice"),
            pytest.param(lambda grad: grad.sum(), id="sum"),
            pytest.param(lambda grad: grad.view(3, 1), id="column"),
        ],
    )
    def test_trap_another_shape_raises(self, device, reduced):
        class Double(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                return reduced(2 * grad)

        y = Double.apply(torch.ones(3, device=device, requires_grad=True)).sum()
        with pytest.raises(RuntimeError, match=r"returned an invalid gradient at index 0 - got .* but expected shape"):
            y.backward()

    def test_trap_a_bigger_one_is_summed(self, device):
        class Rows(Function):
            @staticmethod
            def forward(ctx, x):
                return x.expand(4, 3).clone()

            @staticmethod
            def backward(ctx, grad):
                return grad  # of shape (4, 3)

        x = torch.ones(3, device=device, requires_grad=True)
        Rows.apply(x).sum().backward()
        assert x.grad.tolist() == [4, 4, 4]

    def test_trap_a_number_is_no_gradient(self, device):
        class Double(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                return 2.0

        y = Double.apply(torch.ones((), device=device, requires_grad=True))
        with pytest.raises(RuntimeError, match=r"expected Variable or None \(got float\)"):
            y.backward()


@pitfall(
    "backward-must-not-change-its-gradient",
    docs=["notes/extending"],
    symptom="a gradient is wrong as soon as the input of my custom function is used a second time",
)
class TestBackwardMustNotChangeItsGradient:
    """The gradient that ``backward`` is handed belongs to others as well: an in-place operation on it spoils theirs.

    ``grad.mul_(2)`` or ``grad[mask] = 0`` may go well for long, and is silently wrong once the same tensor goes another
    way too. Work on a new tensor.
    """

    def test_trap_the_other_branch_gets_it_changed(self, device):
        class Negative(Function):
            @staticmethod
            def forward(ctx, x):
                return -x

            @staticmethod
            def backward(ctx, grad):
                return grad.neg_()

        x = torch.ones(1, device=device, requires_grad=True)
        y = x * 1
        (Negative.apply(y) + y).backward()
        assert x.grad.tolist() == [-2]  # of 1 - 1 = 0

    def test_trap_the_gradient_of_the_caller_is_changed(self, device):
        class Negative(Function):
            @staticmethod
            def forward(ctx, x):
                return -x

            @staticmethod
            def backward(ctx, grad):
                return grad.neg_()

        grad = torch.ones(1, device=device)
        Negative.apply(torch.ones(1, device=device, requires_grad=True)).backward(grad)
        assert grad.tolist() == [-1]

    def test_fix_return_a_new_tensor(self, device):
        class Negative(Function):
            @staticmethod
            def forward(ctx, x):
                return -x

            @staticmethod
            def backward(ctx, grad):
                return -grad

        x = torch.ones(1, device=device, requires_grad=True)
        y = x * 1
        (Negative.apply(y) + y).backward()
        assert x.grad.tolist() == [0]
