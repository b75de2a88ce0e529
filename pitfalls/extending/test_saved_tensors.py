"""What a custom function keeps for its backward: tensors with `save_for_backward`, all else as attributes of `ctx`."""

import gc
import weakref

import pytest
import torch
from torch.autograd import Function

from pitfalls import pitfall


class SquareOnCtx(Function):
    """Keeps its input as an attribute of ctx."""

    @staticmethod
    def forward(ctx, x):
        ctx.x = x
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.x * grad


class SquareSaved(Function):
    """Keeps its input with save_for_backward."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


@pitfall(
    "tensor-on-ctx-escapes-the-version-check",
    docs=[("torch.autograd.function.FunctionCtx.save_for_backward", "incorrect gradients and memory leaks")],
    symptom="my custom function gives a wrong gradient, and no error, after I updated a tensor in place",
    priority=1,
)
class TestTensorOnCtxEscapesTheVersionCheck:
    """``ctx.x = x`` keeps a tensor unwatched: after an in-place change backward computes with the new values, silently.

    A tensor that was kept with ``ctx.save_for_backward(x)`` and read from ``ctx.saved_tensors`` is checked, and
    backward raises.
    """

    def test_trap_the_gradient_is_silently_wrong(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        loss = SquareOnCtx.apply(w)
        with torch.no_grad():
            w.fill_(5)
        loss.backward()
        assert w.grad.item() == 10  # the square was taken of 3

    def test_fix_a_saved_tensor_is_checked(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        loss = SquareSaved.apply(w)
        with torch.no_grad():
            w.fill_(5)
        with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
            loss.backward()

    def test_fix_it_is_right_if_nothing_changed(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        SquareSaved.apply(w).backward()
        assert w.grad.item() == 6


@pitfall(
    "tensor-on-ctx-outlives-backward",
    docs=[("torch.autograd.function.FunctionCtx.save_for_backward", "incorrect gradients and memory leaks")],
    symptom="memory that my custom function uses is not freed by backward(), or only when the garbage collector runs",
)
class TestTensorOnCtxOutlivesBackward:
    """An attribute of ``ctx`` is not freed by ``backward()``, and an output kept there keeps itself alive.

    The graph owns ``ctx``, so ``ctx.out = out`` is a cycle that waits for Python's garbage collector, with all its
    memory. What ``save_for_backward`` keeps goes as soon as backward is through.
    """

    def test_trap_the_input_stays_after_backward(self, device):
        x = torch.ones(3, device=device, requires_grad=True).clone()
        kept = weakref.ref(x)
        loss = SquareOnCtx.apply(x).sum()
        del x
        loss.backward()
        assert kept() is not None

    def test_fix_a_saved_input_goes_with_backward(self, device):
        x = torch.ones(3, device=device, requires_grad=True).clone()
        kept = weakref.ref(x)
        loss = SquareSaved.apply(x).sum()
        del x
        loss.backward()
        assert kept() is None

    def test_trap_an_output_keeps_itself_alive(self, device):
        class Exp(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.out = x.exp()
                return ctx.out

            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.out

        out = Exp.apply(torch.ones(3, device=device, requires_grad=True))
        kept = weakref.ref(out)
        del out
        assert kept() is not None
        gc.collect()
        assert kept() is None

    def test_fix_a_saved_output_goes_at_once(self, device):
        class Exp(Function):
            @staticmethod
            def forward(ctx, x):
                out = x.exp()
                ctx.save_for_backward(out)
                return out

            @staticmethod
            def backward(ctx, grad):
                (out,) = ctx.saved_tensors
                return grad * out

        out = Exp.apply(torch.ones(3, device=device, requires_grad=True))
        kept = weakref.ref(out)
        del out
        assert kept() is None


@pitfall(
    "save-for-backward-takes-tensors-only",
    docs=[("torch.autograd.function.FunctionCtx.save_for_backward", "and only with tensors")],
    symptom="TypeError from save_for_backward when I save a number, a list or a shape",
    error="save_for_backward can only save variables",
)
class TestSaveForBackwardTakesTensorsOnly:
    """``save_for_backward`` takes tensors and None; a number, a list or a string raises once ``forward`` has returned.

    Such things go onto ``ctx`` as attributes. A list of tensors is spread out: ``ctx.save_for_backward(*tensors)``.
    """

    @pytest.mark.parametrize(
        "extra",
        [
            pytest.param(2, id="int"),
            pytest.param(2.0, id="float"),
            pytest.param("mean", id="str"),
            pytest.param([torch.ones(1)], id="list of tensors"),
            pytest.param(torch.Size([1]), id="size"),
        ],
    )
    def test_trap_anything_else_raises(self, device, extra):
        class Double(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x, extra)
                return x * 2

        with pytest.raises(TypeError, match="save_for_backward can only save variables, but argument 1 is of type"):
            Double.apply(torch.ones(1, device=device, requires_grad=True))

    def test_fix_numbers_are_attributes(self, device):
        class Scale(Function):
            @staticmethod
            def forward(ctx, x, factor):
                ctx.factor = factor
                return x * factor

            @staticmethod
            def backward(ctx, grad):
                return grad * ctx.factor, None

        x = torch.ones(1, device=device, requires_grad=True)
        Scale.apply(x, 5.0).backward()
        assert x.grad.tolist() == [5]

    def test_fix_none_is_saved_as_none(self, device):
        class Identity(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x, None)
                return x * 1

            @staticmethod
            def backward(ctx, grad):
                _, nothing = ctx.saved_tensors
                return grad if nothing is None else None

        x = torch.ones(1, device=device, requires_grad=True)
        Identity.apply(x).backward()
        assert x.grad.tolist() == [1]


@pitfall(
    "save-for-backward-keeps-the-last-call",
    docs=[("torch.autograd.function.FunctionCtx.save_for_backward", "should be called at most once")],
    symptom="ctx.saved_tensors has fewer tensors than I saved",
)
class TestSaveForBackwardKeepsTheLastCall:
    """A second ``save_for_backward`` replaces what the first one saved.

    Save everything in one call.
    """

    def test_trap_the_first_call_is_forgotten(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x)
                ctx.save_for_backward(y)
                return x * y

            @staticmethod
            def backward(ctx, grad):
                x, y = ctx.saved_tensors
                return grad * y, grad * x

        out = Product.apply(torch.ones(1, device=device, requires_grad=True), torch.ones(1, device=device))
        with pytest.raises(ValueError, match="not enough values to unpack"):
            out.backward()

    def test_fix_one_call_for_all(self, device):
        class Product(Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.save_for_backward(x, y)
                return x * y

            @staticmethod
            def backward(ctx, grad):
                x, y = ctx.saved_tensors
                return grad * y, grad * x

        x = torch.tensor(2.0, device=device, requires_grad=True)
        Product.apply(x, torch.tensor(5.0, device=device)).backward()
        assert x.grad.item() == 5
