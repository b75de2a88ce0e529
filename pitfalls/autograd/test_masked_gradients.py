"""Masks and NaN: a value that is thrown away afterwards still spoils the gradient."""

import warnings

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "masking-after-keeps-nan-gradients",
    docs=["torch.where", "notes/autograd#division-by-zero-in-autograd", "torch.Tensor.masked_fill"],
    symptom="the loss is finite, I replaced the NaN with torch.where, and the gradients are NaN",
    priority=1,
)
class TestMaskingAfterKeepsNanGradients:
    """Masking out an infinite or undefined result keeps the loss finite and makes its gradient NaN.

    Backward multiplies the zero that comes from the mask by the infinite slope of the division, and that is NaN. Mask
    the input, before the operation: give it a harmless value where the result is not wanted, or select first.
    """

    @pytest.mark.parametrize(
        "mask",
        [
            pytest.param(lambda y, x: torch.where(x > 0, y, 0.0), id="where"),
            pytest.param(lambda y, x: y.masked_fill(x <= 0, 0.0), id="masked_fill"),
            pytest.param(lambda y, x: y[x > 0], id="indexing afterwards"),
            pytest.param(lambda y, x: y.masked_select(x > 0), id="masked_select"),
            pytest.param(lambda y, _: y.nan_to_num(posinf=0.0), id="nan_to_num"),
            pytest.param(lambda y, _: y.clamp(max=10.0), id="clamp"),
        ],
    )
    @pytest.mark.parametrize(
        "divide",
        [
            pytest.param(lambda x: 1 / x, id="1 / x"),
            pytest.param(lambda x: x.rsqrt(), id="rsqrt"),
            pytest.param(lambda x: 2 * x.pow(-1), id="pow"),
        ],
    )
    def test_trap_the_gradient_is_nan(self, device, divide, mask):
        x = torch.tensor([0.0, 4.0], device=device, requires_grad=True)
        loss = mask(divide(x), x).sum()
        loss.backward()
        assert loss.isfinite()
        assert x.grad.isnan().tolist() == [True, False]

    @pytest.mark.parametrize(
        "mean",
        [
            pytest.param(lambda y: y.nansum(), id="nansum"),
            pytest.param(lambda y: y.nanmean(), id="nanmean"),
            pytest.param(lambda y: y.nan_to_num(), id="nan_to_num"),
        ],
    )
    def test_trap_skipping_nan_does_not_help_either(self, device, mean):
        x = torch.tensor([0.0, 4.0], device=device, requires_grad=True)
        loss = mean(x / x).sum()
        loss.backward()
        assert loss.item() == 1
        assert x.grad.isnan().tolist() == [True, False]

    def test_trap_an_overflow_behind_a_where(self, device):
        x = torch.tensor([1.0, 1000.0], device=device, requires_grad=True)
        torch.where(x < 100, x.exp(), x).sum().backward()
        assert x.grad.isnan().tolist() == [False, True]

    @pytest.mark.parametrize(
        "divide",
        [
            pytest.param(lambda x: torch.where(x > 0, 1 / torch.where(x > 0, x, 1.0), 0.0), id="where inside as well"),
            pytest.param(lambda x: 1 / x[x > 0], id="indexing first"),
            pytest.param(lambda x: 1 / x.masked_fill(x <= 0, torch.inf), id="an infinite denominator"),
        ],
    )
    def test_fix_mask_the_input(self, device, divide):
        x = torch.tensor([0.0, 4.0], device=device, requires_grad=True)
        divide(x).sum().backward()
        assert x.grad.tolist() == [0, -0.0625]

    def test_fix_a_masked_tensor_keeps_them_apart(self, device):
        x = torch.tensor([0.0, 4.0], device=device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a prototype, which warns of itself
            masked = torch.masked.masked_tensor(x, x > 0).requires_grad_()
            (1 / masked).sum().backward()
            grad = masked.grad.to_tensor(7.0)
        assert grad.tolist() == [7, -0.0625]


@pitfall(
    "multiplying-by-zero-keeps-nan",
    docs=["notes/autograd#division-by-zero-in-autograd", "torch.mul"],
    symptom="loss * mask is NaN although the mask is zero there",
    priority=2,
)
class TestMultiplyingByZeroKeepsNan:
    """Multiplying by a mask of zeros removes neither NaN nor infinity: zero times either is NaN, forward and backward.

    Padding, logarithms of zero and divisions by empty counts all come back that way. ``where`` and ``masked_fill`` do
    remove them from the value; for the gradient the mask has to go to the input.
    """

    @pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=["nan", "inf", "-inf"])
    def test_trap_the_product_is_nan(self, device, value):
        losses = torch.tensor([value, 2.0], device=device)
        mask = torch.tensor([0.0, 1.0], device=device)
        assert (losses * mask).isnan().tolist() == [True, False]

    def test_trap_a_term_with_weight_zero_spoils_the_gradient(self, device):
        x = torch.tensor(0.0, device=device, requires_grad=True)
        (3 * x + 0 * x.sqrt()).backward()
        assert x.grad.isnan()

    @pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=["nan", "inf", "-inf"])
    def test_fix_masked_fill_replaces(self, device, value):
        losses = torch.tensor([value, 2.0], device=device)
        mask = torch.tensor([False, True], device=device)
        assert losses.masked_fill(~mask, 0).tolist() == [0, 2]
