"""Reductions and their kin: one element has no deviation, unsorted uniques, default dimensions, negative orders."""

import pytest
import torch

from pitfalls import before, observe, pitfall, since

DEVIATIONS = [
    pytest.param(lambda x: x.std(), id="std"),
    pytest.param(lambda x: x.var(), id="var"),
    pytest.param(lambda x: x[:, None].std(dim=1), id="std over a dimension"),
    pytest.param(lambda x: torch.std_mean(x)[0], id="std_mean"),
    pytest.param(lambda x: torch.var_mean(x)[0], id="var_mean"),
]


@pitfall(
    "std-of-one-element-is-nan",
    docs=["torch.std", "torch.var"],
    symptom="UserWarning: std(): degrees of freedom is <= 0; nan with batch size 1",
    error="degrees of freedom is <= 0",
    changed={"2.2": "the nan comes with a warning"},
)
class TestStdOfOneElementIsNan:
    """``std`` and ``var`` of a single element are NaN, because they divide by ``n - 1`` unless told otherwise.

    A batch of size one is the usual way to get there, and the NaN spreads from there. NumPy divides by ``n`` and gives
    zero. Pass ``correction=0`` for NumPy's result.
    """

    @before("2.2")
    @pytest.mark.parametrize("deviation", DEVIATIONS)
    def test_trap_it_was_nan_without_a_warning(self, device, deviation):
        assert deviation(torch.ones(1, device=device)).isnan().item()

    @since("2.2")
    @pytest.mark.parametrize("deviation", DEVIATIONS)
    def test_trap_it_is_nan_and_warns(self, device, deviation):
        with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
            x = deviation(torch.ones(1, device=device))
        assert x.isnan().item()

    @pytest.mark.parametrize(
        "deviation",
        [
            pytest.param(lambda x: x.std(correction=0), id="std with correction=0"),
            pytest.param(lambda x: x.var(unbiased=False), id="var with unbiased=False"),
        ],
    )
    def test_fix_divide_by_n(self, device, deviation):
        assert deviation(torch.ones(1, device=device)).item() == 0


@pitfall(
    "unique-sorted-false-promises-no-order",
    docs=[("torch.unique", "Whether to sort the unique elements in ascending"), "torch.unique_consecutive"],
    symptom="torch.unique(x, sorted=False) does not keep the order of first appearance",
    changed={"2.2": "the CPU sorts anyhow; it had given the order of a hash table"},
)
class TestUniqueSortedFalsePromisesNoOrder:
    """``torch.unique(sorted=False)`` gives the values in any order: not that of first appearance, as pandas does.

    The order has been that of a hash table and is now the sorted one, on both devices. Where the order matters, say so:
    sort, or find the first appearances through ``return_inverse``.
    """

    def test_trap_some_order(self, device):
        values = torch.unique(torch.tensor([3, 1, 2, 1], device=device), sorted=False)
        assert sorted(values.tolist()) == [1, 2, 3]
        observe(order=values.tolist())

    @since("2.2")
    def test_trap_not_the_order_of_appearance(self, device):
        assert torch.unique(torch.tensor([3, 1, 2, 1], device=device), sorted=False).tolist() != [3, 1, 2]

    def test_fix_order_of_first_appearance(self, device):
        x = torch.tensor([3, 1, 2, 1], device=device)
        values, inverse = torch.unique(x, return_inverse=True)
        first = torch.full_like(values, len(x)).scatter_reduce(0, inverse, torch.arange(len(x), device=device), "amin")
        assert values[first.argsort()].tolist() == [3, 1, 2]


@pitfall(
    "cross-picks-the-first-dimension-of-size-three",
    docs=[("torch.cross", "defaults to the first dimension found with"), "torch.linalg.cross"],
    symptom="UserWarning: Using torch.cross without specifying the dim arg is deprecated; wrong result for 3x3 input",
    error="Using torch.cross without specifying the dim arg is deprecated",
    changed={"2.2": "torch.cross without dim= warns"},
)
class TestCrossPicksTheFirstDimensionOfSizeThree:
    """``torch.cross`` without ``dim=`` works along the first dimension of size 3, not along the last.

    For a batch of exactly three vectors that is the batch, and the result changes with the size of the batch. Pass
    ``dim=-1``, or use ``torch.linalg.cross``, whose default it is.
    """

    @before("2.2")
    def test_trap_three_vectors_were_crossed_columnwise(self, device):
        a, b = torch.eye(3, device=device), torch.ones(3, 3, device=device)
        assert torch.equal(torch.cross(a, b), torch.linalg.cross(a, b, dim=0))

    @since("2.2")
    @pytest.mark.parametrize("cross", [torch.cross, torch.Tensor.cross], ids=["function", "method"])
    def test_trap_three_vectors_are_crossed_columnwise_with_a_warning(self, device, cross):
        a, b = torch.eye(3, device=device), torch.ones(3, 3, device=device)
        with pytest.warns(UserWarning, match="without specifying the dim arg is deprecated"):
            x = cross(a, b)
        assert x[:, 0].tolist() == [0, -1, 1]

    @pytest.mark.parametrize(
        "cross",
        [pytest.param(lambda a, b: torch.cross(a, b, dim=-1), id="dim"), pytest.param(torch.linalg.cross, id="linalg")],
    )
    def test_fix_say_which_dimension(self, device, cross):
        a, b = torch.eye(3, device=device), torch.ones(3, 3, device=device)
        assert cross(a, b)[0].tolist() == [0, -1, 1]


@pitfall(
    "diff-refuses-a-negative-order",
    docs=[("torch.diff", "number of times to recursively compute")],
    symptom="RuntimeError: order must be non-negative but got -1",
    error="order must be non-negative",
    changed={"2.1": "a negative n raises; it had returned the input"},
    priority=3,
)
class TestDiffRefusesANegativeOrder:
    """``torch.diff(x, n=-1)`` raises; before torch 2.1 it gave ``x`` back, as for ``n=0``.

    A negative order is no running sum. The inverse of ``diff`` is ``cumsum``, if the first value is put in front of the
    differences.
    """

    @before("2.1")
    @pytest.mark.parametrize("n", [-1, -2], ids=str)
    def test_trap_it_gave_the_input_back(self, device, n):
        assert torch.diff(torch.tensor([1, 3, 6], device=device), n=n).tolist() == [1, 3, 6]

    @since("2.1")
    @pytest.mark.parametrize("n", [-1, -2], ids=str)
    def test_trap_it_raises(self, device, n):
        with pytest.raises(RuntimeError, match="order must be non-negative"):
            torch.diff(torch.tensor([1, 3, 6], device=device), n=n)

    def test_fix_cumsum_is_the_inverse(self, device):
        x = torch.tensor([1, 3, 6], device=device)
        assert torch.diff(x, prepend=x.new_zeros(1)).cumsum(0).tolist() == [1, 3, 6]
