"""Orders: what `sort`, `topk`, `unique`, `nonzero` and `searchsorted` return, and what they take for granted."""

import numpy as np
import pytest
import torch

from pitfalls import observe, pitfall


@pitfall(
    "nonzero-gives-a-matrix",
    docs=[
        ("torch.nonzero", "returns a 2-D tensor where each row is"),
        ("torch.nonzero", "allowing for advanced indexing"),
    ],
    symptom="x[x.nonzero()] has the wrong shape and the wrong elements",
)
class TestNonzeroGivesAMatrix:
    """``nonzero()`` returns one matrix with a row for each position; NumPy's tuple comes with ``as_tuple=True``.

    The matrix used as an index picks whole rows of ``x``, often without an error. Use the mask itself, ``x[x != 0]``,
    or the tuple. On a GPU both wait for the device, since the size depends on the data.
    """

    def test_trap_a_row_for_each_position(self, device):
        x = torch.tensor([[0, 7], [8, 0], [0, 9]], device=device)
        assert x.nonzero().tolist() == [[0, 1], [1, 0], [2, 1]]

    @pytest.mark.parametrize("nonzero", [torch.nonzero, torch.argwhere], ids=lambda f: f.__name__)
    def test_trap_as_an_index_it_picks_rows(self, device, nonzero):
        x = torch.tensor([[0, 7], [8, 0]], device=device)
        assert x[nonzero(x)].shape == (2, 2, 2)

    def test_trap_of_a_vector_it_is_a_column(self, device):
        assert torch.tensor([0, 7, 8], device=device).nonzero().tolist() == [[1], [2]]

    @pytest.mark.parametrize(
        "select",
        [
            pytest.param(lambda x: x[x.nonzero(as_tuple=True)], id="as_tuple"),
            pytest.param(lambda x: x[torch.where(x != 0)], id="where"),
            pytest.param(lambda x: x[x != 0], id="mask"),
        ],
    )
    def test_fix_the_tuple_or_the_mask(self, device, select):
        assert select(torch.tensor([[0, 7], [8, 0]], device=device)).tolist() == [7, 8]


@pitfall(
    "unique-flattens-and-sorts",
    docs=[("torch.unique", "the unique of the flattened"), ("torch.unique_consecutive", "only eliminates consecutive")],
    symptom="torch.unique of a matrix returns a sorted vector; unique_consecutive leaves duplicates",
)
class TestUniqueFlattensAndSorts:
    """``unique`` without ``dim`` flattens, and returns values in ascending order, not in that of their appearance.

    ``dim=0`` finds unique rows. ``unique_consecutive`` keeps the order and only drops repeats that stand side by side.
    NaN equals nothing, so each NaN is unique.
    """

    def test_trap_a_matrix_becomes_a_sorted_vector(self, device):
        assert torch.unique(torch.tensor([[3, 1], [1, 2]], device=device)).tolist() == [1, 2, 3]

    def test_trap_repeats_apart_survive_unique_consecutive(self, device):
        assert torch.unique_consecutive(torch.tensor([3, 3, 1, 3], device=device)).tolist() == [3, 1, 3]

    def test_trap_every_nan_is_unique(self, device):
        x = torch.tensor([float("nan"), 1.0, float("nan")], device=device)
        assert torch.unique(x).shape == (3,)

    def test_fix_unique_rows(self, device):
        x = torch.tensor([[3, 1], [1, 2], [3, 1]], device=device)
        assert torch.unique(x, dim=0).tolist() == [[1, 2], [3, 1]]


@pitfall(
    "sort-is-not-stable",
    docs=[("torch.sort", "preserving the order of equivalent elements"), ("torch.argsort", "is not guaranteed")],
    symptom="equal scores come out in another order for longer inputs or on the GPU",
)
class TestSortIsNotStable:
    """``sort`` and ``argsort`` may exchange equal elements, unless ``stable=True`` is passed.

    Short inputs keep their order on a CPU, which makes it look like a rule. Sorting by two keys in two passes needs the
    stable sort. Methods return a new tensor; the original stays unsorted.
    """

    SORTS = [
        pytest.param(lambda x, **how: torch.sort(x, **how).indices, id="sort"),
        pytest.param(lambda x, **how: torch.argsort(x, **how), id="argsort"),
    ]

    @pytest.mark.parametrize("sort", SORTS)
    def test_trap_only_the_values_are_promised(self, device, sort):
        x = torch.arange(1000, device=device) % 2
        order = sort(x)
        assert x[order].tolist() == [0] * 500 + [1] * 500
        observe(is_stable=order[:500].tolist() == list(range(0, 1000, 2)))

    @pytest.mark.parametrize("sort", SORTS)
    @pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
    def test_fix_ask_for_a_stable_sort(self, device, sort, descending):
        x = torch.arange(1000, device=device) % 2
        even, odd = list(range(0, 1000, 2)), list(range(1, 1000, 2))
        assert sort(x, stable=True, descending=descending).tolist() == (odd + even if descending else even + odd)

    def test_trap_the_original_stays(self, device):
        x = torch.tensor([3, 1, 2], device=device)
        x.sort()
        assert x.tolist() == [3, 1, 2]

    def test_fix_two_keys_in_two_passes(self, device):
        pairs = torch.tensor([[1, 2], [0, 9], [1, 1], [0, 8]], device=device)
        pairs = pairs[pairs[:, 1].argsort()]
        pairs = pairs[pairs[:, 0].argsort(stable=True)]
        assert pairs.tolist() == [[0, 8], [0, 9], [1, 1], [1, 2]]


@pitfall(
    "sort-takes-the-last-dimension",
    docs=[("torch.sort", "is chosen"), ("torch.msort", "along its first dimension"), "torch.topk"],
    symptom="sorting a table sorted each row by itself",
)
class TestSortTakesTheLastDimension:
    """``sort``, ``argsort`` and ``topk`` work along the last dimension, each row by itself; ``msort`` along the first.

    Neither keeps the rows of a table together. To order rows by a column, index with the ``argsort`` of that column.
    """

    @pytest.mark.parametrize(
        ("sort", "result"),
        [
            pytest.param(lambda x: x.sort().values, [[1, 3], [2, 4]], id="sort"),
            pytest.param(lambda x: x.topk(1).values, [[3], [4]], id="topk"),
            pytest.param(torch.msort, [[2, 1], [3, 4]], id="msort"),
        ],
    )
    def test_trap_rows_or_columns_by_themselves(self, device, sort, result):
        assert sort(torch.tensor([[3, 1], [2, 4]], device=device)).tolist() == result

    def test_fix_order_rows_by_a_column(self, device):
        x = torch.tensor([[3, 1], [2, 4]], device=device)
        assert x[x[:, 0].argsort()].tolist() == [[2, 4], [3, 1]]


@pitfall(
    "topk-wants-enough-elements",
    docs=["torch.topk", ("torch.topk", "elements are themselves sorted")],
    symptom="RuntimeError: selected index k out of range",
    error="selected index k out of range",
)
class TestTopkWantsEnoughElements:
    """``topk`` raises if ``k`` exceeds the size of the dimension, where a slice of a sorted tensor would be shorter.

    Fewer classes than five break top-5 accuracy. Clip: ``x.topk(min(5, x.size(-1)))``. With ``sorted=False`` only the
    set of elements is promised.
    """

    @pytest.mark.parametrize("dim", [0, 1], ids=str)
    def test_trap_too_few_elements(self, device, dim):
        with pytest.raises(RuntimeError, match="selected index k out of range"):
            torch.zeros(2, 2, device=device).topk(3, dim=dim)

    def test_trap_unsorted_means_any_order(self, device):
        values = torch.tensor([1, 5, 2, 4], device=device).topk(3, sorted=False).values
        assert sorted(values.tolist()) == [2, 4, 5]
        observe(order=values.tolist())

    @pytest.mark.parametrize("classes", [3, 5, 10], ids=str)
    def test_fix_clip_k(self, device, classes):
        x = torch.arange(classes, device=device)
        assert x.topk(min(5, x.size(-1))).values.tolist() == list(range(classes))[::-1][:5]


@pitfall(
    "searchsorted-trusts-its-input",
    docs=[
        ("torch.searchsorted", "Find the indices from the"),
        ("torch.bucketize", "must contain a strictly increasing"),
    ],
    symptom="searchsorted returns wrong positions, without an error",
)
class TestSearchsortedTrustsItsInput:
    """``searchsorted`` and ``bucketize`` never check that the boundaries are sorted: if not, positions are meaningless.

    A value beyond the last boundary gets the position after it, which is no valid index. Sort first, or pass the order
    as ``sorter=``.
    """

    def test_trap_unsorted_boundaries_are_taken(self, device):
        boundaries, values = torch.tensor([5, 1, 3], device=device), torch.tensor([1, 3, 5], device=device)
        assert torch.searchsorted(boundaries, values).tolist() != [0, 1, 2]

    def test_trap_beyond_the_end_is_no_index(self, device):
        boundaries = torch.tensor([1, 3, 5], device=device)
        assert torch.searchsorted(boundaries, torch.tensor([9], device=device)).tolist() == [3]

    @pytest.mark.parametrize(
        "search",
        [
            pytest.param(lambda b, v: torch.searchsorted(b.sort().values, v), id="sort"),
            pytest.param(lambda b, v: torch.searchsorted(b, v, sorter=b.argsort()), id="sorter"),
        ],
    )
    def test_fix_sort_first(self, device, search):
        boundaries, values = torch.tensor([5, 1, 3], device=device), torch.tensor([1, 3, 5], device=device)
        assert search(boundaries, values).tolist() == [0, 1, 2]


@pitfall(
    "bucketize-is-digitize-the-other-way",
    docs=[("torch.bucketize", "this behavior is opposite the behavior of"), "torch.searchsorted"],
    symptom="values on a boundary land in another bucket than with np.digitize",
)
class TestBucketizeIsDigitizeTheOtherWay:
    """``right=`` of ``bucketize`` means the opposite of that of ``numpy.digitize``: boundaries fall to the other side.

    By default a value equal to a boundary stays in the bucket below it. ``right=True`` puts it above, which is what
    NumPy's default does.
    """

    def test_trap_a_value_on_a_boundary_stays_below(self, device):
        x, boundaries = torch.tensor([1, 2, 3, 4], device=device), torch.tensor([1, 3, 5], device=device)
        assert torch.bucketize(x, boundaries).tolist() == [0, 1, 1, 2]
        assert torch.bucketize(x, boundaries).tolist() != np.digitize([1, 2, 3, 4], [1, 3, 5]).tolist()

    @pytest.mark.parametrize("right", [False, True], ids=["left", "right"])
    def test_fix_turn_right_around(self, device, right):
        x, boundaries = torch.tensor([1, 2, 3, 4], device=device), torch.tensor([1, 3, 5], device=device)
        buckets = torch.bucketize(x, boundaries, right=not right)
        assert buckets.tolist() == np.digitize([1, 2, 3, 4], [1, 3, 5], right=right).tolist()


@pitfall(
    "searchsorted-shapes",
    docs=[("torch.searchsorted", "Return a new tensor with the same size"), "torch.bucketize"],
    symptom="boundaries tensor should be 1 dimension or the first N-1 dimensions must match",
    error="boundaries tensor should be 1 dimension or the first N-1 dimensions",
    priority=3,
)
class TestSearchsortedShapes:
    """Rows of boundaries need rows of values: ``searchsorted`` broadcasts neither; one row of boundaries serves all.

    Boundaries that are not contiguous are copied at each call, with a warning. Expand the values to the rows, and make
    the boundaries contiguous once.
    """

    def test_trap_values_are_not_broadcast(self, device):
        rows = torch.tensor([[1, 3], [2, 4]], device=device)
        with pytest.raises(RuntimeError, match="boundaries tensor should be 1 dimension or the first N-1 dimensions"):
            torch.searchsorted(rows, torch.tensor([3], device=device))

    def test_trap_strided_boundaries_warn(self, device):
        with pytest.warns(UserWarning, match="boundary tensor is non-contiguous"):
            found = torch.searchsorted(torch.arange(8, device=device)[::2], torch.tensor([3], device=device))
        assert found.tolist() == [2]

    def test_fix_expand_the_values(self, device):
        rows = torch.tensor([[1, 4], [2, 3]], device=device)
        values = torch.tensor([4], device=device).expand(2, 1).contiguous()
        assert torch.searchsorted(rows, values).tolist() == [[1], [2]]
