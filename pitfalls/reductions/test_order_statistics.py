"""Median, quantiles, deviations, correlations: the lower middle, limits of quantiles, what variances divide by."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, observe, pitfall, since

MEDIANS = [
    pytest.param(lambda x: x.median(), id="median"),
    pytest.param(lambda x: x.median(0).values, id="median over a dimension"),
    pytest.param(lambda x: x.nanmedian(), id="nanmedian"),
    pytest.param(lambda x: x.nanmedian(0).values, id="nanmedian over a dimension"),
]


@pitfall(
    "median-is-the-lower-middle",
    docs=[("torch.median", "In this case the lower of the two"), "torch.nanmedian", "torch.quantile"],
    symptom="torch.median([1, 2, 3, 4]) is 2, NumPy says 2.5",
    priority=1,
)
class TestMedianIsTheLowerMiddle:
    """The median of an even number of values is the lower one of the two in the middle, not their average.

    It is always one of the given values, so that it has an index and keeps an integer dtype. NumPy and pandas average.
    ``quantile(0.5)`` does too.
    """

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
    @pytest.mark.parametrize("median", MEDIANS)
    def test_trap_no_average(self, device, median, dtype):
        x = torch.tensor([4, 1, 3, 2], dtype=dtype, device=device)
        assert median(x).item() == 2 < np.median([4, 1, 3, 2])

    def test_trap_of_two_it_is_the_minimum(self, device):
        x = torch.tensor([[10.0, 0.0], [5.0, 7.0]], device=device)
        assert x.median(dim=1).values.tolist() == [0, 5]

    @pytest.mark.parametrize(
        "median",
        [
            pytest.param(lambda x: x.quantile(0.5), id="quantile"),
            pytest.param(lambda x: x.quantile(0.5, dim=0), id="quantile over a dimension"),
            pytest.param(lambda x: x.nanquantile(0.5), id="nanquantile"),
            pytest.param(lambda x: (x.median() - (-x).median()) / 2, id="both middles"),
        ],
    )
    def test_fix_average(self, device, median):
        assert median(torch.tensor([4.0, 1.0, 3.0, 2.0], device=device)).item() == 2.5


@pitfall(
    "median-index-is-any-occurrence",
    docs=[
        ("torch.median", "does not necessarily contain the first occurrence"),
        ("torch.median", "This function produces deterministic (sub)gradients"),
    ],
    symptom="median(dim).indices is not the first position of the value, and differs on the GPU",
    priority=3,
)
class TestMedianIndexIsAnyOccurrence:
    """Where the median occurs several times, ``median(dim)`` may give the index of any occurrence.

    Its gradient goes to that one element, while ``median()`` of everything shares its gradient among all of them. Look
    for the first occurrence yourself where it matters.
    """

    def test_trap_some_occurrence(self, device):
        x = torch.tensor([1, 2, 2, 3, 2], device=device)
        value, index = x.median(0)
        assert (value.item(), x[index].item()) == (2, 2)
        observe(index=index.item())

    @pytest.mark.parametrize(
        ("median", "gradient"),
        [
            pytest.param(lambda x: x.median(), [0, 0, 0.5, 0.5], id="median"),
            pytest.param(lambda x: x.median(0).values, [0, 0, 0, 1], id="median over a dimension"),
        ],
    )
    def test_trap_the_gradient(self, device, median, gradient):
        x = torch.tensor([2.0, 1.0, 2.0, 3.0], device=device, requires_grad=True)
        median(x).backward()
        assert sorted(x.grad.tolist()) == gradient

    def test_fix_first_occurrence(self, device):
        x = torch.tensor([1, 2, 2, 3, 2], device=device)
        assert (x == x.median()).int().argmax().item() == 1


@pitfall(
    "quantile-flattens-without-dim",
    docs=["torch.quantile", "torch.nanquantile"],
    symptom="quantile gives one number for the whole batch",
)
class TestQuantileFlattensWithoutDim:
    """``quantile`` without ``dim`` takes the elements of all dimensions together, and gives one number.

    Several ``q`` come out as the first dimension of the result, whatever ``dim`` is. Pass ``dim=``.
    """

    @pytest.mark.parametrize("quantile", [torch.quantile, torch.nanquantile], ids=["quantile", "nanquantile"])
    def test_trap_one_number(self, device, quantile):
        x = torch.tensor([[0.0, 2.0], [10.0, 30.0]], device=device)
        assert quantile(x, 0.5).tolist() == 6

    def test_trap_several_come_first(self, device):
        x = torch.tensor([[0.0, 2.0, 4.0], [10.0, 30.0, 50.0]], device=device)
        q = torch.tensor([0.5, 1.0], device=device)
        assert x.quantile(q, dim=1).tolist() == [[2, 30], [4, 50]]

    def test_fix_dim(self, device):
        x = torch.tensor([[0.0, 2.0], [10.0, 30.0]], device=device)
        assert x.quantile(0.5, dim=1).tolist() == [1, 20]


@pitfall(
    "quantile-accepts-few-dtypes",
    docs=["torch.quantile", "torch.nanquantile"],
    symptom="RuntimeError: quantile() input tensor must be either float or double dtype",
    error="input tensor must be either float or double dtype",
)
class TestQuantileAcceptsFewDtypes:
    """``quantile`` takes float32 and float64 only, and ``q`` in the dtype of its input, between 0 and 1.

    Integers and half precision raise, as do percentages such as 50, and a ``q`` in float64 for float32 data. Convert
    the data, and give ``q`` as a Python float.
    """

    @pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.float16, torch.bfloat16], ids=str)
    def test_trap_other_dtypes_are_refused(self, device, dtype):
        with pytest.raises(RuntimeError, match="input tensor must be either float or double dtype"):
            torch.ones(3, dtype=dtype, device=device).quantile(0.5)

    def test_trap_q_must_have_the_dtype(self, device):
        q = torch.tensor(0.5, dtype=torch.float64, device=device)
        with pytest.raises(RuntimeError, match="q tensor must be same dtype as the input tensor"):
            torch.ones(3, device=device).quantile(q)

    @pytest.mark.parametrize("q", [50, 1.5, -0.1], ids=str)
    def test_trap_percentages_are_refused(self, device, q):
        with pytest.raises(RuntimeError, match=r"q must be in the range \[0, 1\]"):
            torch.ones(3, device=device).quantile(q)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float16, torch.bfloat16], ids=str)
    def test_fix_convert(self, device, dtype):
        x = torch.tensor([1, 4], dtype=dtype, device=device)
        assert x.float().quantile(0.5).item() == 2.5


@pitfall(
    "quantile-of-a-large-tensor",
    docs=["torch.quantile", "torch.kthvalue"],
    symptom="RuntimeError: quantile() input tensor is too large",
    error="input tensor is too large",
    changed={"2.14": "more than 2**24 elements in a row are accepted; they had raised"},
)
class TestQuantileOfALargeTensor:
    """``quantile`` refused rows of more than ``2**24`` elements before torch 2.14.

    Without ``dim`` every element counts, so a batch of images was soon too large. ``kthvalue`` and ``sort`` have no
    such limit; a sample is often enough.
    """

    @before("2.14")
    @pytest.mark.slow
    @pytest.mark.parametrize("quantile", [torch.quantile, torch.nanquantile], ids=["quantile", "nanquantile"])
    def test_trap_it_was_refused(self, device, quantile):
        x = torch.zeros(1, device=device).expand(2**24 + 1)
        with pytest.raises(RuntimeError, match="input tensor is too large"):
            quantile(x, 0.5)

    @since("2.14")
    @pytest.mark.slow
    def test_trap_it_is_accepted(self, device):
        x = torch.zeros(2**24 + 1, device=device)
        assert x.quantile(1.0).item() == 0

    def test_fix_kthvalue(self, device):
        x = torch.arange(101.0, device=device).flip(0)
        assert x.kthvalue(91).values.item() == 90


DIVIDED_BY_LESS = [
    pytest.param(lambda x: x.var(), id="var"),
    pytest.param(lambda x: x.var(dim=0), id="var over a dimension"),
    pytest.param(lambda x: x.std() ** 2, id="std"),
    pytest.param(lambda x: torch.var_mean(x)[0], id="var_mean"),
    pytest.param(lambda x: torch.cov(x), id="cov"),
]


@pitfall(
    "variance-divides-by-n-minus-one",
    docs=["torch.std", "torch.var", ("torch.cov", "correction"), "torch.nn.functional.layer_norm"],
    symptom="x.std() differs from NumPy's, and from what batch_norm and layer_norm divide by",
    priority=1,
)
class TestVarianceDividesByNMinusOne:
    """``std`` and ``var`` divide by ``n - 1`` by default, where NumPy divides by ``n``, as the normalization layers do.

    The difference is largest for few values. Pass ``correction=0`` to divide by ``n``.
    """

    @pytest.mark.parametrize("variance", DIVIDED_BY_LESS)
    def test_trap_more_than_numpy(self, device, variance):
        x = torch.tensor([0.0, 2.0, 2.0, 4.0, 2.0], device=device)
        assert np.var(x.tolist()) == pytest.approx(1.6)
        assert variance(x).item() == pytest.approx(2)

    def test_trap_layers_divide_by_n(self, device):
        x = torch.tensor([[0.0, 2.0]], device=device)
        assert F.layer_norm(x, (2,), eps=0.0).tolist() == [[-1, 1]]
        assert x.var().item() == 2

    @pytest.mark.parametrize(
        "variance",
        [
            pytest.param(lambda x: x.var(correction=0), id="var with correction"),
            pytest.param(lambda x: x.var(unbiased=False), id="var with unbiased"),
            pytest.param(lambda x: x.std(correction=0) ** 2, id="std with correction"),
            pytest.param(lambda x: torch.var_mean(x, correction=0)[0], id="var_mean with correction"),
            pytest.param(lambda x: torch.cov(x, correction=0), id="cov with correction"),
        ],
    )
    def test_fix_divide_by_n(self, device, variance):
        x = torch.tensor([0.0, 2.0, 2.0, 4.0, 2.0], device=device)
        assert variance(x).item() == pytest.approx(1.6)


@pitfall(
    "correlations-are-rounded",
    docs=[("torch.corrcoef", "Due to floating point rounding")],
    symptom="torch.corrcoef(x).diagonal() == 1 is False",
    priority=3,
)
class TestCorrelationsAreRounded:
    """The diagonal of ``corrcoef`` is 1 up to rounding, and the matrix symmetric up to rounding; it is never above 1.

    Values are clipped to -1 and 1. Compare with a tolerance, and symmetrise before ``cholesky`` or ``eigh``.
    """

    def test_trap_nearly_one(self, device):
        x = torch.tensor([[0.1, 0.2, 0.4], [1.0, 7.0, 3.0]], device=device)
        r = torch.corrcoef(x)
        torch.testing.assert_close(r.diagonal(), torch.ones(2, device=device))
        observe(exactly=r.diagonal().eq(1).tolist())

    def test_trap_never_above(self, device, seeded):
        x = torch.randn(50, 3, device=device)
        assert torch.corrcoef(torch.cat([x, x])).abs().max().item() == 1

    def test_fix_tolerance(self, device):
        x = torch.tensor([[0.1, 0.2, 0.4], [1.0, 7.0, 3.0]], device=device)
        assert torch.corrcoef(x).diagonal().allclose(torch.ones(2, device=device))
