"""NaN in reductions and comparisons: it wins, it survives clamps, and it equals nothing."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import pitfall

SPREADING = [
    pytest.param(lambda x: x.sum(), id="sum"),
    pytest.param(lambda x: x.prod(), id="prod"),
    pytest.param(lambda x: x.mean(), id="mean"),
    pytest.param(lambda x: x.std(), id="std"),
    pytest.param(lambda x: x.norm(), id="norm"),
    pytest.param(lambda x: x.logsumexp(0), id="logsumexp"),
    pytest.param(lambda x: x.max(), id="max"),
    pytest.param(lambda x: x.min(), id="min"),
    pytest.param(lambda x: x.max(0).values, id="max over a dimension"),
    pytest.param(lambda x: x.amax(), id="amax"),
    pytest.param(lambda x: x.amin(), id="amin"),
    pytest.param(lambda x: x.aminmax().min, id="aminmax, min"),
    pytest.param(lambda x: x.aminmax().max, id="aminmax, max"),
    pytest.param(lambda x: x.median(), id="median"),
    pytest.param(lambda x: x.quantile(0.5), id="quantile"),
    pytest.param(lambda x: x.cumsum(0)[-1], id="cumsum"),
    pytest.param(lambda x: x.cummax(0).values[-1], id="cummax"),
    pytest.param(lambda x: x.softmax(0).max(), id="softmax"),
]


@pitfall(
    "nan-wins-in-reductions",
    docs=[("torch.aminmax", "NaN values are propagated to the output"), "torch.nanmedian", "torch.nanmean"],
    symptom="one NaN in a batch makes the loss, the maximum and the mean NaN",
    priority=1,
)
class TestNanWinsInReductions:
    """One NaN makes the whole reduction NaN: sum, mean and median, and also ``max`` and ``min``.

    ``argmax`` and ``argmin`` point at the NaN then. So a NaN can't hide, but it can't be skipped either: use
    ``nansum``, ``nanmean``, ``nanmedian`` or ``nanquantile``, or select with ``isnan()``.
    """

    @pytest.mark.parametrize("reduce", SPREADING)
    def test_trap_one_is_enough(self, device, reduce):
        x = torch.tensor([1.0, float("nan"), 3.0], device=device)
        assert reduce(x).isnan().item()

    @pytest.mark.parametrize(
        "find",
        [
            pytest.param(torch.argmax, id="argmax"),
            pytest.param(torch.argmin, id="argmin"),
            pytest.param(lambda x: x.max(0).indices, id="max over a dimension"),
            pytest.param(lambda x: x.min(0).indices, id="min over a dimension"),
        ],
    )
    def test_trap_the_index_points_at_it(self, device, find):
        x = torch.tensor([1.0, float("nan"), 3.0], device=device)
        assert find(x).item() == 1

    @pytest.mark.parametrize(
        ("reduce", "value"),
        [
            pytest.param(torch.nansum, 6, id="nansum"),
            pytest.param(torch.nanmean, 2, id="nanmean"),
            pytest.param(torch.nanmedian, 2, id="nanmedian"),
            pytest.param(lambda x: torch.nanquantile(x, 1.0), 3, id="nanquantile"),
            pytest.param(lambda x: x[~x.isnan()].max(), 3, id="isnan"),
        ],
    )
    def test_fix_skip_it(self, device, reduce, value):
        assert reduce(torch.tensor([1.0, float("nan"), 2.0, 3.0], device=device)).item() == value


@pitfall(
    "nansum-of-nothing-but-nan-is-zero",
    docs=[("torch.nansum", "treating Not a Numbers (NaNs) as zero"), ("torch.nanmedian", "it will also return")],
    symptom="a column without any valid value has the sum 0, but the mean nan",
    priority=3,
)
class TestNansumOfNothingButNanIsZero:
    """Where every value is NaN, ``nansum`` is 0, while ``nanmean``, ``nanmedian`` and ``nanquantile`` are NaN.

    It is the sum over no values, and its zero looks like a measured one. Count the values that are left.
    """

    def test_trap_the_sum_is_zero(self, device):
        x = torch.tensor([[float("nan"), float("nan")], [1.0, -1.0]], device=device)
        assert x.nansum(1).tolist() == [0, 0]

    @pytest.mark.parametrize(
        "reduce",
        [
            pytest.param(torch.nanmean, id="nanmean"),
            pytest.param(torch.nanmedian, id="nanmedian"),
            pytest.param(lambda x: torch.nanquantile(x, 0.5), id="nanquantile"),
        ],
    )
    def test_trap_the_average_is_nan(self, device, reduce):
        assert reduce(torch.tensor([float("nan"), float("nan")], device=device)).isnan().item()

    def test_fix_count_what_is_left(self, device):
        x = torch.tensor([[float("nan"), float("nan")], [1.0, -1.0]], device=device)
        assert (~x.isnan()).sum(1).tolist() == [0, 2]


@pitfall(
    "maximum-takes-the-nan",
    docs=[
        ("torch.maximum", "being compared is a NaN, then that element"),
        ("torch.minimum", "being compared is a NaN, then that element"),
        ("torch.fmax", "Only if both elements are NaN"),
    ],
    symptom="torch.maximum(x, zeros) did not replace the NaN by 0",
    changed={"2.15": "complex numbers raise TypeError; it had been RuntimeError"},
)
class TestMaximumTakesTheNan:
    """``maximum`` and ``minimum`` give NaN if either operand is NaN, while ``fmax`` and ``fmin`` give the other one.

    The NaN wins from either side, so neither can stand in for a check. Complex numbers have neither.
    """

    @pytest.mark.parametrize(
        "combine", [torch.maximum, torch.minimum, torch.max, torch.min], ids=["maximum", "minimum", "max", "min"]
    )
    def test_trap_nan_wins_from_either_side(self, device, combine):
        nan, two = torch.tensor([float("nan")], device=device), torch.tensor([2.0], device=device)
        assert combine(nan, two).isnan().item()
        assert combine(two, nan).isnan().item()

    @pytest.mark.parametrize("combine", [torch.maximum, torch.minimum], ids=["maximum", "minimum"])
    def test_trap_complex_numbers_are_refused(self, device, combine):
        x = torch.tensor([1j], device=device)
        with pytest.raises((RuntimeError, TypeError), match="not implemented for complex tensors"):
            combine(x, x)

    @pytest.mark.parametrize(("combine", "values"), [(torch.fmax, [2, 3]), (torch.fmin, [2, 2])], ids=["fmax", "fmin"])
    def test_fix_the_number_wins(self, device, combine, values):
        x = torch.tensor([float("nan"), 3.0], device=device)
        assert combine(x, torch.full_like(x, 2)).tolist() == values


@pitfall(
    "clamp-and-relu-keep-nan",
    docs=["torch.clamp", "torch.nn.functional.relu", ("torch.nan_to_num", "are replaced with zero")],
    symptom="x.clamp(0, 1) still contains NaN",
)
class TestClampAndReluKeepNan:
    """``clamp``, ``relu`` and their kin pass NaN through: no bound catches what compares false with everything.

    Infinities are clamped. ``nan_to_num`` replaces NaN, and by default turns infinities into the largest finite
    number, which overflows again at the next step: give ``posinf=`` and ``neginf=``.
    """

    @pytest.mark.parametrize(
        "bound",
        [
            pytest.param(lambda x: x.clamp(0, 1), id="clamp"),
            pytest.param(lambda x: x.clamp(min=torch.zeros_like(x)), id="clamp by a tensor"),
            pytest.param(lambda x: x.clip(0, 1), id="clip"),
            pytest.param(lambda x: x.clamp_min(0), id="clamp_min"),
            pytest.param(lambda x: F.relu(x), id="relu"),
            pytest.param(lambda x: F.relu6(x), id="relu6"),
            pytest.param(lambda x: F.leaky_relu(x), id="leaky_relu"),
        ],
    )
    def test_trap_nan_passes(self, device, bound):
        assert bound(torch.tensor([float("nan"), 0.5], device=device)).isnan().tolist() == [True, False]

    def test_trap_infinity_becomes_the_largest_number(self, device):
        x = torch.tensor([float("inf"), -float("inf")], device=device).nan_to_num()
        assert x.tolist() == [torch.finfo(torch.float32).max, torch.finfo(torch.float32).min]

    def test_fix_nan_to_num(self, device):
        x = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.5], device=device)
        assert x.nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0).tolist() == [0, 1, -1, 0.5]


@pitfall(
    "nan-equals-nothing",
    docs=[("torch.equal", "Tensors containing NaNs are never equal"), ("torch.isclose", "being considered equal to")],
    symptom="torch.allclose(x, x) is False; x == float('nan') finds no NaN; unique() lists NaN many times",
)
class TestNanEqualsNothing:
    """NaN is not equal to itself: ``==``, ``equal``, ``allclose``, ``isclose`` and ``unique`` tell two NaN apart.

    A tensor with a NaN in it is different from its own copy. Find NaN with ``isnan()``, and compare with
    ``equal_nan=True``.
    """

    @pytest.mark.parametrize(
        "same",
        [
            pytest.param(lambda x, y: (x == y).all().item(), id="=="),
            pytest.param(torch.equal, id="equal"),
            pytest.param(torch.allclose, id="allclose"),
            pytest.param(lambda x, y: torch.isclose(x, y).all().item(), id="isclose"),
        ],
    )
    def test_trap_a_copy_is_different(self, device, same):
        x = torch.tensor([1.0, float("nan")], device=device)
        assert same(x, x.clone()) is False

    def test_trap_a_comparison_finds_none(self, device):
        x = torch.tensor([1.0, float("nan")], device=device)
        assert (x == float("nan")).tolist() == [False, False]

    def test_trap_unique_keeps_each(self, device):
        x = torch.tensor([float("nan"), 1.0, float("nan")], device=device)
        assert len(x.unique()) == 3

    @pytest.mark.parametrize(
        "same",
        [
            pytest.param(lambda x, y: torch.allclose(x, y, equal_nan=True), id="allclose"),
            pytest.param(lambda x, y: torch.isclose(x, y, equal_nan=True).all().item(), id="isclose"),
        ],
    )
    def test_fix_equal_nan(self, device, same):
        x = torch.tensor([1.0, float("nan")], device=device)
        assert same(x, x.clone()) is True
        assert same(x, torch.tensor([2.0, float("nan")], device=device)) is False

    def test_fix_isnan(self, device):
        assert torch.tensor([1.0, float("nan")], device=device).isnan().tolist() == [False, True]
