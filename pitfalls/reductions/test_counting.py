"""Counting and comparing: histograms that drop values, bins that depend on the data, neighbours, and tolerances."""

import pytest
import torch

from pitfalls import on, pitfall, since


@pitfall(
    "histogram-drops-what-is-outside",
    docs=[("torch.histc", "elements are ignored"), "torch.histogram"],
    symptom="the counts of torch.histc don't add up to the number of elements",
)
class TestHistogramDropsWhatIsOutside:
    """``histc`` counts neither what lies outside ``min`` and ``max`` nor NaN, and says nothing about it.

    Without bounds it takes those of the data, unless they are not finite. The last bin includes its upper end. Clamp
    first, or add what is missing to the picture.
    """

    def test_trap_not_all_are_counted(self, device):
        x = torch.tensor([-1.0, 0.0, 1.0, 2.0, 5.0, float("nan")], device=device)
        counts = torch.histc(x, bins=2, min=0, max=2)
        assert counts.tolist() == [1, 2]

    def test_trap_without_bounds_nan_raises(self, device):
        x = torch.tensor([1.0, float("nan")], device=device)
        with pytest.raises(RuntimeError, match="is not finite"):
            torch.histc(x, bins=2)

    def test_fix_clamp_first(self, device):
        x = torch.tensor([-1.0, 0.0, 1.0, 2.0, 5.0], device=device)
        assert torch.histc(x.clamp(0, 2), bins=2, min=0, max=2).tolist() == [2, 3]


@pitfall(
    "histogramdd-takes-rows-as-points",
    docs=[("torch.histogramdd", "Interprets the elements of an input tensor"), "torch.histogram"],
    symptom="histogramdd of a matrix raises, or counts rows where histogram counts elements",
    priority=3,
)
class TestHistogramddTakesRowsAsPoints:
    """``histogram`` flattens its input and counts elements; ``histogramdd`` takes each row as one point.

    The last dimension holds the coordinates, each with a number of bins of its own. For one coordinate, and on CUDA,
    there is ``histc``.
    """

    @on("cpu")
    def test_trap_elements_or_rows(self, device):
        x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], device=device)
        assert torch.histogram(x, 2).hist.tolist() == [3, 3]
        assert torch.histogramdd(x, [2, 2]).hist.tolist() == [[0, 1], [2, 0]]

    def test_fix_one_coordinate(self, device):
        x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], device=device)
        assert torch.histc(x[:, 0], 2, 0, 1).tolist() == [1, 2]


@pitfall(
    "bincount-is-as-long-as-its-largest-value",
    docs=[("torch.bincount", "is one larger than the largest value"), ("torch.bincount", "number of bins is at least")],
    symptom="the counts of two batches have different lengths, and adding them raises",
)
class TestBincountIsAsLongAsItsLargestValue:
    """``bincount`` has one bin more than the largest value in its input, so its length depends on the data.

    A batch without the last class gives a shorter tensor, an empty one an empty tensor. Pass ``minlength=``. Negative
    numbers, floats and matrices raise.
    """

    @pytest.mark.parametrize(
        ("values", "counts"), [([1, 3, 3], [0, 1, 0, 2]), ([0, 1], [1, 1]), ([], [])], ids=["to 3", "to 1", "empty"]
    )
    def test_trap_the_length_follows_the_data(self, device, values, counts):
        x = torch.tensor(values, dtype=torch.int64, device=device)
        assert x.bincount().tolist() == counts

    @pytest.mark.parametrize("values", [[-1, 1], [[0, 1]]], ids=["negative", "matrix"])
    def test_trap_other_input_is_refused(self, device, values):
        with pytest.raises(RuntimeError, match="only supports 1-d non-negative integral inputs"):
            torch.tensor(values, device=device).bincount()

    def test_fix_minlength(self, device):
        batches = [torch.tensor([1, 3, 3], device=device), torch.tensor([0, 1], device=device)]
        counts = sum(batch.bincount(minlength=5) for batch in batches)
        assert counts.tolist() == [1, 2, 0, 2, 0]


@pitfall(
    "unique-consecutive-looks-at-neighbours",
    docs=[
        ("torch.unique_consecutive", "only eliminates consecutive duplicate values"),
        ("torch.unique", "also eliminates non-consecutive duplicate values"),
    ],
    symptom="unique_consecutive returns a value twice",
    changed={"2.2": "unique(sorted=False) sorts on the CPU, too; it had given the order of a hash table"},
    priority=3,
)
class TestUniqueConsecutiveLooksAtNeighbours:
    """``unique_consecutive`` removes repeats of the element before only; ``unique`` removes all of them, and sorts.

    On sorted data both are the same and the first is faster. On other data it is what run lengths are made of.
    """

    def test_trap_a_value_comes_back(self, device):
        x = torch.tensor([1, 1, 2, 2, 1], device=device)
        assert x.unique_consecutive().tolist() == [1, 2, 1]

    def test_trap_the_counts_are_run_lengths(self, device):
        x = torch.tensor([1, 1, 2, 2, 1], device=device)
        values, counts = x.unique_consecutive(return_counts=True)
        assert list(zip(values.tolist(), counts.tolist(), strict=True)) == [(1, 2), (2, 2), (1, 1)]

    @pytest.mark.parametrize(
        "in_order", [pytest.param(True, id="sorted=True"), pytest.param(False, marks=since("2.2"), id="sorted=False")]
    )
    def test_trap_unique_sorts_anyhow(self, device, in_order):
        x = torch.tensor([3, 1, 2, 1], device=device)
        assert x.unique(sorted=in_order).tolist() == [1, 2, 3]

    @pytest.mark.parametrize(
        "unique",
        [
            pytest.param(lambda x: x.unique(), id="unique"),
            pytest.param(lambda x: x.sort().values.unique_consecutive(), id="sorted first"),
        ],
    )
    def test_fix_all_repeats(self, device, unique):
        assert unique(torch.tensor([2, 1, 1, 2], device=device)).tolist() == [1, 2]


@pitfall(
    "allclose-wants-one-dtype",
    docs=["torch.allclose", "torch.isclose", ("torch.equal", "does not differentiate between the data types")],
    symptom="RuntimeError: Float did not match Double",
    error="did not match",
)
class TestAllcloseWantsOneDtype:
    """``allclose`` and ``isclose`` raise for two dtypes, though ``equal`` and ``==`` compare across them.

    It meets results of NumPy, which are float64, and integers. Convert one side;
    ``torch.testing.assert_close(..., check_dtype=False)`` does it by itself.
    """

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64], ids=str)
    @pytest.mark.parametrize("close", [torch.allclose, torch.isclose], ids=["allclose", "isclose"])
    def test_trap_two_dtypes_are_refused(self, device, close, dtype):
        x, y = torch.ones(2, device=device), torch.ones(2, dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match="Float did not match"):
            close(x, y)

    def test_trap_shapes_are_broadcast(self, device):
        assert torch.allclose(torch.ones(3, 1, device=device), torch.ones(1, 2, device=device)) is True

    def test_fix_convert(self, device):
        x, y = torch.ones(2, device=device), torch.ones(2, dtype=torch.float64, device=device)
        assert torch.allclose(x.double(), y) is True

    def test_fix_assert_close(self, device):
        x, y = torch.ones(2, device=device), torch.ones(2, dtype=torch.float64, device=device)
        torch.testing.assert_close(x, y, check_dtype=False)
        with pytest.raises(AssertionError, match="Tensor-likes are not close"):
            torch.testing.assert_close(x, y + 1, check_dtype=False)


@pitfall(
    "isclose-measures-by-the-second",
    docs=["torch.isclose", "torch.allclose"],
    symptom="allclose(a, b) is True and allclose(b, a) is False; tiny numbers are all close to each other",
)
class TestIscloseMeasuresByTheSecond:
    """``isclose`` and ``allclose`` multiply ``rtol`` by the second argument, so that swapping the two can matter.

    ``atol``, 1e-8 by default, is added: below it everything counts as close, even 0 and 1e-9. Put the reference second,
    and set ``atol=0`` for small numbers.
    """

    @pytest.mark.parametrize("close", [torch.isclose, torch.allclose], ids=["isclose", "allclose"])
    def test_trap_swapping_changes_the_answer(self, device, close):
        a, b = torch.tensor(2.0, device=device), torch.tensor(4.0, device=device)
        assert bool(close(a, b, rtol=0.5, atol=0.0)) is True
        assert bool(close(b, a, rtol=0.5, atol=0.0)) is False

    def test_trap_small_numbers_are_all_close(self, device):
        x = torch.tensor([1e-9, -1e-9, 2e-9], device=device)
        assert torch.isclose(x, torch.zeros_like(x)).tolist() == [True, True, True]

    def test_fix_no_absolute_tolerance(self, device):
        x = torch.tensor([1e-9, -1e-9, 2e-9], device=device)
        assert torch.isclose(x, torch.full_like(x, 1e-9), atol=0.0).tolist() == [True, False, False]
