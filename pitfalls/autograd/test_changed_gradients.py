"""Gradients that torch came to compute otherwise: at corners, of third order, and where there used to be none."""

import math

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since

HARDSWISH = [
    pytest.param(F.hardswish, id="functional"),
    pytest.param(torch.nn.Hardswish(), id="module"),
    pytest.param(lambda x: F.hardswish(x.clone(), inplace=True), id="in place"),
]


@pitfall(
    "hardswish-gradient-at-its-corners",
    docs=["torch.nn.functional.hardswish", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="a gradient of hardswish differs from the reference at exactly -3 or 3, or after an upgrade",
    changed={"2.8": "hardswish's gradients at -3 and 3 became 0 and 1; they had been -0.5 and 1.5"},
    priority=3,
)
class TestHardswishGradientAtItsCorners:
    """At -3 and 3, where ``hardswish`` has corners, its gradient is that of the flat and of the identity side.

    A function has no derivative at a corner, so any framework picks one of the two slopes there, and torch changed its
    pick. Clipped or quantized activations hit the corners exactly; keep comparisons of gradients away from them.
    """

    @before("2.8")
    @pytest.mark.parametrize("hardswish", HARDSWISH)
    def test_trap_corners_had_the_slopes_of_the_middle(self, device, hardswish):
        x = torch.tensor([-3.0, 3.0], device=device, requires_grad=True)
        hardswish(x).sum().backward()
        assert x.grad.tolist() == [-0.5, 1.5]

    @since("2.8")
    @pytest.mark.parametrize("hardswish", HARDSWISH)
    def test_trap_corners_have_the_slopes_of_the_outside(self, device, hardswish):
        x = torch.tensor([-3.0, 3.0], device=device, requires_grad=True)
        hardswish(x).sum().backward()
        assert x.grad.tolist() == [0, 1]

    @pytest.mark.parametrize("hardswish", HARDSWISH)
    def test_fix_compare_gradients_away_from_the_corners(self, device, hardswish):
        x = torch.tensor([-4.0, -1.5, 0.0, 1.5, 4.0], device=device, requires_grad=True)
        hardswish(x).sum().backward()
        assert x.grad.tolist() == [0, 0, 0.5, 1, 1]


@pitfall(
    "batch-norm-has-no-third-derivative",
    docs=["torch.nn.functional.batch_norm", "torch.autograd.grad"],
    symptom="RuntimeError: batch_norm does not support 3rd+ order derivatives",
    error="batch_norm does not support 3rd+ order derivatives",
    changed={"2.14": "the third derivative of batch norm in training mode raises; it had been wrong without a word"},
    priority=3,
)
class TestBatchNormHasNoThirdDerivative:
    """Batch norm in training mode can be differentiated twice, not three times.

    Its second derivative takes the mean and the deviation of the batch for constants, which a third one would have to
    differentiate. Before it raised, the third derivative was simply wrong. Written out with ``mean`` and ``var``, the
    same normalisation can be differentiated as often as you like.
    """

    @before("2.14")
    def test_trap_third_derivative_was_wrong(self, device):
        x = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64, device=device, requires_grad=True)
        first, second = (
            F.batch_norm(x, None, None, training=True),
            (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5) ** 0.5,
        )
        wrong, right = [], []
        for y, seen in ((first, wrong), (second, right)):
            (g,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
            (h,) = torch.autograd.grad(g[0].sum(), x, create_graph=True)
            (third,) = torch.autograd.grad(h[0].sum(), x)
            seen += [round(value, 1) for value in third.flatten().tolist()]
        assert right == [-1.3, 2.1, -0.8]
        assert wrong == [-3.0, 1.4, 0.4]

    @since("2.14")
    def test_trap_third_derivative_is_refused(self, device):
        x = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64, device=device, requires_grad=True)
        y = F.batch_norm(x, None, None, training=True)
        (g,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad(g[0].sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match=r"batch_norm does not support 3rd\+ order derivatives"):
            torch.autograd.grad(h[0].sum(), x)

    def test_fix_written_out_it_has_every_derivative(self, device):
        x = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64, device=device, requires_grad=True)
        y = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5) ** 0.5
        (g,) = torch.autograd.grad((y**3).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad(g[0].sum(), x, create_graph=True)
        (third,) = torch.autograd.grad(h[0].sum(), x)
        assert [round(value, 4) for value in third.flatten().tolist()] == [-1.3254, 2.1143, -0.7889]


BESSEL = [
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
]


@pitfall(
    "special-functions-cut-the-graph",
    docs=["torch.special.bessel_j0", "special"],
    symptom="RuntimeError: element 0 of tensors does not require grad, although the input of torch.special does",
    changed={"2.15": "the Bessel and modified Bessel functions of order 0 and 1 got their derivatives"},
    priority=3,
)
class TestSpecialFunctionsCutTheGraph:
    """Some functions of ``torch.special`` have no derivative in torch, and their results simply don't require grad.

    Nothing is raised where the graph ends: in a sum with other terms their part of the gradient is missing without a
    word. Look at ``requires_grad`` of the result. Where torch has a differentiable twin (``i0``, ``i1``), take that.
    """

    @pytest.mark.parametrize(
        "name",
        [
            *(pytest.param(name, marks=before("2.15")) for name in BESSEL),
            "scaled_modified_bessel_k0",
            "scaled_modified_bessel_k1",
            "spherical_bessel_j0",
            "airy_ai",
        ],
        ids=str,
    )
    def test_trap_their_part_of_the_gradient_is_missing(self, device, name):
        x = torch.tensor([2.0], device=device, requires_grad=True)
        y = getattr(torch.special, name)(x)
        assert not y.requires_grad
        (3 * x + y).sum().backward()
        assert x.grad.tolist() == [3]

    @since("2.15")
    @pytest.mark.parametrize(
        ("name", "derivative"),
        [
            pytest.param("bessel_j0", lambda x: -torch.special.bessel_j1(x), id="bessel_j0"),
            pytest.param("bessel_y0", lambda x: -torch.special.bessel_y1(x), id="bessel_y0"),
            pytest.param("modified_bessel_i0", torch.special.modified_bessel_i1, id="modified_bessel_i0"),
            pytest.param("modified_bessel_k0", lambda x: -torch.special.modified_bessel_k1(x), id="modified_bessel_k0"),
        ],
    )
    def test_fix_bessel_functions_have_their_derivatives(self, device, name, derivative):
        x = torch.tensor([0.5, 2.0], device=device, requires_grad=True)
        getattr(torch.special, name)(x).sum().backward()
        torch.testing.assert_close(x.grad, derivative(x.detach()))

    def test_fix_differentiable_twin(self, device):
        x = torch.tensor([0.5, 2.0], device=device, requires_grad=True)
        torch.special.i0(x).sum().backward()
        torch.testing.assert_close(x.grad, torch.special.i1(x.detach()))


@pitfall(
    "channel-shuffle-backward",
    docs=["torch.nn.functional.channel_shuffle", "torch.nn.ChannelShuffle"],
    symptom="RuntimeError: derivative for channel_shuffle is not implemented",
    error="derivative for channel_shuffle is not implemented",
    changed={"2.5": "channel_shuffle can be differentiated"},
    priority=3,
)
class TestChannelShuffleBackward:
    """``channel_shuffle`` runs forward on any tensor, but only since torch 2.5 can it be differentiated.

    The forward pass of an older torch gives no hint: ``backward()`` raises. The shuffle is a reshape, a transpose and a
    reshape back, which every torch differentiates.
    """

    @before("2.5")
    @pytest.mark.parametrize(
        "shuffle", [lambda x: F.channel_shuffle(x, 2), torch.nn.ChannelShuffle(2)], ids=["functional", "module"]
    )
    def test_trap_backward_raised(self, device, shuffle):
        x = torch.ones(1, 4, 1, 1, device=device, requires_grad=True)
        y = shuffle(x)
        with pytest.raises(RuntimeError, match="derivative for channel_shuffle is not implemented"):
            y.sum().backward()

    @since("2.5")
    @pytest.mark.parametrize(
        "shuffle", [lambda x: F.channel_shuffle(x, 2), torch.nn.ChannelShuffle(2)], ids=["functional", "module"]
    )
    def test_trap_backward_undoes_the_shuffle(self, device, shuffle):
        x = torch.ones(1, 4, 1, 1, device=device, requires_grad=True)
        y = shuffle(x).flatten()
        (y * torch.tensor([0.0, 1.0, 2.0, 3.0], device=device)).sum().backward()
        assert x.grad.flatten().tolist() == [0, 2, 1, 3]

    def test_fix_reshape_and_transpose(self, device):
        x = torch.ones(1, 4, 1, 1, device=device, requires_grad=True)
        y = x.reshape(1, 2, 2, 1, 1).transpose(1, 2).flatten()
        (y * torch.tensor([0.0, 1.0, 2.0, 3.0], device=device)).sum().backward()
        assert x.grad.flatten().tolist() == [0, 2, 1, 3]


@pitfall(
    "assigned-grad-must-match",
    docs=["torch.Tensor.grad"],
    symptom="RuntimeError: attempting to assign a gradient with dtype 'double' to a tensor with dtype 'float'",
    error="attempting to assign a gradient",
    changed={
        "2.1": "the error names the two dtypes or sizes",
        "2.10": "the error speaks of the tensor's grad_dtype, an attribute that lets a gradient have another dtype",
    },
)
class TestAssignedGradMustMatch:
    """What you assign to ``x.grad`` must have the dtype and the shape of ``x``; it is neither cast nor broadcast.

    Gradients that come from elsewhere (another process, a higher precision, a sum over micro-batches) arrive in another
    dtype easily. Convert them first.
    """

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64], ids=str)
    def test_trap_another_dtype_is_refused(self, device, dtype):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"(assigned grad has data of|attempting to assign a gradient with)"):
            x.grad = torch.ones(2, dtype=dtype, device=device)

    def test_trap_another_shape_is_refused(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"(assigned grad has data of|attempting to assign a gradient of)"):
            x.grad = torch.ones(1, device=device)

    def test_fix_convert_it_first(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        g = torch.tensor(0.5, dtype=torch.float64, device=device)
        x.grad = g.to(x).expand_as(x)
        assert x.grad.tolist() == [0.5, 0.5]

    @since("2.10")
    def test_fix_grad_dtype_allows_another(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        x.grad_dtype = torch.float64
        x.grad = torch.tensor([0.1, 0.2], dtype=torch.float64, device=device)
        assert x.grad.tolist() == [0.1, 0.2]


TO_NUMBER = [pytest.param(float, id="float"), pytest.param(math.sqrt, id="math.sqrt")]


@pitfall(
    "python-number-has-no-gradient",
    docs=[("torch.Tensor.item", "This operation is not differentiable")],
    symptom="UserWarning: Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior",
    error="Converting a tensor with requires_grad=True to a scalar",
    changed={"2.8": "float() of a tensor that requires grad warns"},
)
class TestPythonNumberHasNoGradient:
    """``float(x)`` and ``math.sqrt(x)`` leave the graph: what is computed from the number has no gradient for ``x``.

    A term that went through a Python number counts as a constant, and the gradient is wrong, not missing. Since torch
    2.8 ``float()`` warns of it. Stay with tensors, or say ``x.item()`` where a plain number is meant.
    """

    @before("2.8")
    @pytest.mark.parametrize("to_number", TO_NUMBER)
    def test_trap_number_was_a_constant_without_a_warning(self, device, to_number):
        x = torch.tensor(4.0, device=device, requires_grad=True)
        y = x * to_number(x)
        y.backward()
        assert x.grad.item() == to_number(4.0)

    @since("2.8")
    @pytest.mark.parametrize("to_number", TO_NUMBER)
    def test_trap_number_is_a_constant_and_warns(self, device, to_number):
        x = torch.tensor(4.0, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="Converting a tensor with requires_grad=True to a scalar"):
            y = x * to_number(x)
        y.backward()
        assert x.grad.item() == to_number(4.0)

    def test_trap_item_never_warns(self, device):
        x = torch.tensor(4.0, device=device, requires_grad=True)
        y = x * x.item()
        y.backward()
        assert x.grad.item() == 4

    @pytest.mark.parametrize(("function", "slope"), [(torch.square, 48), (torch.sqrt, 3)], ids=["square", "sqrt"])
    def test_fix_stay_with_tensors(self, device, function, slope):
        x = torch.tensor(4.0, device=device, requires_grad=True)
        (x * function(x)).backward()
        assert x.grad.item() == slope
