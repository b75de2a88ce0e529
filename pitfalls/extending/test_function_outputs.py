"""The outputs of custom functions: which have a gradient, and what backward gets for those that nobody used."""
# ruff: noqa: ARG004 - forward and backward take ctx whether they use it or not

import pytest
import torch
from torch.autograd import Function

from pitfalls import pitfall, since


@pitfall(
    "unused-output-gets-a-zero-gradient",
    docs=[("torch.autograd.function.FunctionCtx.set_materialize_grads", "undefined grad tensors will be expanded to")],
    symptom="backward of my function with two outputs gets zeros, or None, for one of them",
)
class TestUnusedOutputGetsAZeroGradient:
    """For an output that the loss doesn't use, ``backward`` gets a tensor of zeros, which costs memory and work.

    ``ctx.set_materialize_grads(False)`` in ``forward`` makes it None instead, and ``backward`` must then check for it.
    """

    def test_trap_zeros_are_made_for_it(self, device):
        class OnceAndTwice(Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1, x * 2

            @staticmethod
            def backward(ctx, grad_once, grad_twice):
                given.append(grad_twice.tolist())
                return grad_once + 2 * grad_twice

        given = []
        once, _ = OnceAndTwice.apply(torch.ones(3, device=device, requires_grad=True))
        once.sum().backward()
        assert given == [[0, 0, 0]]

    def test_trap_without_them_it_is_none(self, device):
        class OnceAndTwice(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(False)
                return x * 1, x * 2

            @staticmethod
            def backward(ctx, grad_once, grad_twice):
                return grad_once + 2 * grad_twice

        once, _ = OnceAndTwice.apply(torch.ones((), device=device, requires_grad=True))
        with pytest.raises(TypeError, match="'int' and 'NoneType'"):
            once.backward()

    def test_fix_check_for_none(self, device):
        class OnceAndTwice(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(False)
                return x * 1, x * 2

            @staticmethod
            def backward(ctx, grad_once, grad_twice):
                grads = [grad_once, None if grad_twice is None else 2 * grad_twice]
                return sum(grad for grad in grads if grad is not None)

        x = torch.ones((), device=device, requires_grad=True)
        OnceAndTwice.apply(x)[0].backward()
        assert x.grad.item() == 1


@pitfall(
    "outputs-are-taken-to-be-differentiable",
    docs=[
        ("torch.autograd.function.FunctionCtx.mark_non_differentiable", "Mark outputs as non-differentiable"),
        "notes/extending",
    ],
    symptom="the mask or rank that my custom function returns requires grad",
)
class TestOutputsAreTakenToBeDifferentiable:
    """Every floating-point output of a custom function requires grad, also a mask or a rank, unless it is marked.

    ``ctx.mark_non_differentiable(mask)`` in ``forward`` says so; ``backward`` still takes a gradient for it, of zeros.
    Outputs of integer or boolean type never require grad.
    """

    def test_trap_a_float_mask_requires_grad(self, device):
        class Positive(Function):
            @staticmethod
            def forward(ctx, x):
                return x.relu(), (x > 0).float()

        _, mask = Positive.apply(torch.ones(2, device=device, requires_grad=True))
        assert mask.requires_grad

    @pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8], ids=str)
    def test_trap_an_integer_mask_does_not(self, device, dtype):
        class Positive(Function):
            @staticmethod
            def forward(ctx, x):
                return x.relu(), (x > 0).to(dtype)

        _, mask = Positive.apply(torch.ones(2, device=device, requires_grad=True))
        assert not mask.requires_grad

    def test_fix_mark_it(self, device):
        class Positive(Function):
            @staticmethod
            def forward(ctx, x):
                mask = (x > 0).float()
                ctx.mark_non_differentiable(mask)
                ctx.save_for_backward(mask)
                return x.relu(), mask

            @staticmethod
            def backward(ctx, grad, grad_of_mask):
                (mask,) = ctx.saved_tensors
                return grad * mask + grad_of_mask

        x = torch.tensor([-1.0, 1.0], device=device, requires_grad=True)
        positive, mask = Positive.apply(x)
        assert not mask.requires_grad
        positive.sum().backward()
        assert x.grad.tolist() == [0, 1]


@pitfall(
    "input-changed-in-forward-must-be-marked",
    docs=[
        ("torch.autograd.function.FunctionCtx.mark_dirty", "modified in an in-place operation"),
        "notes/extending",
    ],
    symptom="gradients are wrong after a custom function that works in place",
)
class TestInputChangedInForwardMustBeMarked:
    """An input that ``forward`` changes in place must be marked dirty: else its later uses bypass the function.

    Autograd does not look into ``forward``. With ``ctx.mark_dirty(x)``, and ``x`` among the outputs, the input gets the
    function into its history, a leaf is refused, and earlier uses of the old values raise.
    """

    def test_trap_the_history_of_the_input_misses_it(self, device):
        class Triple(Function):
            @staticmethod
            def forward(ctx, x):
                return x.mul_(3)

            @staticmethod
            def backward(ctx, grad):
                return 3 * grad

        x = torch.ones(1, device=device, requires_grad=True)
        y = x.clone()
        Triple.apply(y)
        y.backward()
        assert y.tolist() == [3]
        assert x.grad.tolist() == [1]  # of 3

    def test_fix_mark_it_dirty(self, device):
        class Triple(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.mark_dirty(x)
                return x.mul_(3)

            @staticmethod
            def backward(ctx, grad):
                return 3 * grad

        x = torch.ones(1, device=device, requires_grad=True)
        y = x.clone()
        Triple.apply(y)
        y.backward()
        assert x.grad.tolist() == [3]

    def test_fix_a_leaf_is_refused_then(self, device):
        class Triple(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.mark_dirty(x)
                return x.mul_(3)

        x = torch.ones(1, device=device, requires_grad=True)
        with pytest.raises(
            RuntimeError, match="a leaf Variable that requires grad has been used in an in-place operation"
        ):
            Triple.apply(x)

    def test_trap_what_is_marked_must_be_returned(self, device):
        class Triple(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.mark_dirty(x)
                return x.mul_(3).clone()

        x = torch.ones(1, device=device, requires_grad=True).clone()
        with pytest.raises(RuntimeError, match="marked as dirty during the forward method were not returned as output"):
            Triple.apply(x)


@pitfall(
    "flags-of-a-function-change-its-backward",
    docs=["torch.autograd.Function", "notes/extending"],
    symptom="saved_tensors can only be accessed once; or backward gets a list",
    error="saved_tensors can only be accessed once when clear_saved_tensors_on_access=True",
    priority=3,
    changed={
        "2.11": "clear_saved_tensors_on_access = True on a custom Function frees its saved tensors as they are read",
        "2.13": "boxed_grads_call = True on a custom Function hands backward its gradients in one list",
    },
)
@since("2.11")
class TestFlagsOfAFunctionChangeItsBackward:
    """With ``clear_saved_tensors_on_access = True`` a second look at ``ctx.saved_tensors`` raises.

    The flag frees memory while backward runs. With ``boxed_grads_call = True`` backward gets its gradients in one list,
    from which it can take them out for the same end.
    """

    def test_trap_saved_tensors_are_there_once(self, device):
        class Square(Function):
            clear_saved_tensors_on_access = True

            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, grad):
                return ctx.saved_tensors[0] * grad + ctx.saved_tensors[0] * grad

        y = Square.apply(torch.ones((), device=device, requires_grad=True))
        with pytest.raises(RuntimeError, match="saved_tensors can only be accessed once"):
            y.backward()

    def test_fix_unpack_them_once(self, device):
        class Square(Function):
            clear_saved_tensors_on_access = True

            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            def backward(ctx, grad):
                (x,) = ctx.saved_tensors
                return x * grad + x * grad

        x = torch.ones((), device=device, requires_grad=True)
        Square.apply(x).backward()
        assert x.grad.item() == 2

    @since("2.13")
    def test_trap_boxed_gradients_come_in_a_list(self, device):
        class Product(Function):
            boxed_grads_call = True

            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, grads):
                return 2 * grads.pop()

        x = torch.ones((), device=device, requires_grad=True)
        Product.apply(x).backward()
        assert x.grad.item() == 2
