"""Masks: what they select, which shapes and dtypes they may have, and how they are combined."""

import operator

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "mask-selects-a-flat-copy",
    docs=[("torch.masked_select", "Returns a new 1-D tensor which indexes the"), "tensor_view"],
    symptom="boolean indexing lost the shape of my tensor; writing to x[mask] changes nothing",
    priority=1,
)
class TestMaskSelectsAFlatCopy:
    """``x[mask]`` with a mask of the shape of ``x`` is a one-dimensional copy: rows may have kept different counts.

    To keep the shape, write instead of select: ``torch.where(mask, x, 0)`` or ``masked_fill``. A mask over the first
    dimension alone, ``x[mask_of_rows]``, keeps the rows whole.
    """

    SELECTIONS = [
        pytest.param(lambda x, mask: x[mask], id="x[mask]"),
        pytest.param(lambda x, mask: x.masked_select(mask), id="masked_select"),
        pytest.param(lambda x, mask: torch.masked_select(x, mask), id="torch.masked_select"),
    ]

    @pytest.mark.parametrize("select", SELECTIONS)
    def test_trap_the_shape_is_lost(self, device, select):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        assert select(x, x % 2 == 0).tolist() == [2, 4, 6]

    @pytest.mark.parametrize("select", SELECTIONS)
    def test_trap_even_if_everything_is_selected(self, device, select):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        assert select(x, x > 0).shape == (6,)

    @pytest.mark.parametrize("select", SELECTIONS)
    def test_trap_it_is_a_copy(self, device, select):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        select(x, x > 0).fill_(0)
        assert x.tolist() == [[1, 2, 3], [4, 5, 6]]

    @pytest.mark.parametrize(
        "keep",
        [
            pytest.param(lambda x, mask: torch.where(mask, x, 0), id="where"),
            pytest.param(lambda x, mask: x.masked_fill(~mask, 0), id="masked_fill"),
            pytest.param(lambda x, mask: x * mask, id="product"),
        ],
    )
    def test_fix_replace_what_is_not_selected(self, device, keep):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        assert keep(x, x % 2 == 0).tolist() == [[0, 2, 0], [4, 0, 6]]

    def test_fix_a_mask_of_rows_keeps_them_whole(self, device):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        assert x[x.sum(dim=1) > 10].tolist() == [[4, 5, 6]]


@pitfall(
    "mask-covers-the-first-dimensions",
    docs=["torch.masked_select", "torch.Tensor.index_put_", "tensor_view"],
    symptom="IndexError: The shape of the mask [3] at index 0 does not match the shape of the indexed tensor [2, 3]",
    error="does not match the shape of the indexed tensor",
)
class TestMaskCoversTheFirstDimensions:
    """A mask in brackets stands for as many dimensions as it has, from the left, and must have exactly their sizes.

    It is not broadcast: a mask of columns needs ``x[:, mask]``. ``masked_select``, ``masked_fill`` and ``where``
    broadcast theirs, and thus take it for columns.
    """

    @pytest.mark.parametrize(
        ("use", "mask"),
        [
            pytest.param(operator.getitem, [True, False, True], id="columns"),
            pytest.param(operator.getitem, [[True, False, True]], id="one row"),
            pytest.param(operator.getitem, [[True], [False]], id="one column"),
            pytest.param(lambda x, mask: operator.setitem(x, mask, 0), [True, False, True], id="assignment"),
        ],
    )
    def test_trap_other_sizes_are_refused(self, device, use, mask):
        x = torch.arange(6, device=device).view(2, 3)
        with pytest.raises(IndexError, match="does not match the shape of the indexed tensor"):
            use(x, torch.tensor(mask, device=device))

    def test_trap_masked_select_broadcasts_it(self, device):
        x = torch.arange(6, device=device).view(2, 3)
        assert x.masked_select(torch.tensor([True, False, True], device=device)).tolist() == [0, 2, 3, 5]

    def test_fix_put_the_mask_in_its_place(self, device):
        x = torch.arange(6, device=device).view(2, 3)
        assert x[:, torch.tensor([True, False, True], device=device)].tolist() == [[0, 2], [3, 5]]
        assert x[torch.tensor([True, False], device=device)].tolist() == [[0, 1, 2]]


@pitfall(
    "uint8-index-is-a-mask",
    docs=["torch.BoolTensor", "tensor_attributes#torch-dtype", "torch.masked_select"],
    symptom="UserWarning: indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead",
    error="indexing with dtype torch.uint8 is now deprecated",
)
class TestUint8IndexIsAMask:
    """An index of dtype uint8 is taken for a mask, with a warning; any other integer dtype means positions.

    Before there was bool, comparisons gave uint8. Image data or labels used as positions fall into it. Convert:
    ``mask.bool()`` for a mask, ``index.long()`` for positions.
    """

    def test_trap_uint8_is_a_mask(self, device):
        x = torch.tensor([10, 20], device=device)
        with pytest.warns(UserWarning, match=r"indexing with dtype torch.uint8 is now deprecated"):
            selected = x[torch.tensor([1, 0], dtype=torch.uint8, device=device)]
        assert selected.tolist() == [10]

    @pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
    def test_trap_other_integers_are_positions(self, device, dtype):
        x = torch.tensor([10, 20], device=device)
        assert x[torch.tensor([1, 0], dtype=dtype, device=device)].tolist() == [20, 10]

    @pytest.mark.parametrize(
        ("convert", "result"), [(torch.Tensor.bool, [10]), (torch.Tensor.long, [20, 10])], ids=["bool", "long"]
    )
    def test_fix_say_which(self, device, convert, result):
        index = torch.tensor([1, 0], dtype=torch.uint8, device=device)
        assert torch.tensor([10, 20], device=device)[convert(index)].tolist() == result


MASKED = [
    pytest.param(lambda x, mask: x.masked_fill(mask, 5), id="masked_fill"),
    pytest.param(lambda x, mask: x.masked_fill_(mask, 5), id="masked_fill_"),
]


@pitfall(
    "masked-operations-want-bool",
    docs=[
        ("torch.Tensor.masked_fill_", "mask (BoolTensor): the boolean mask"),
        ("torch.masked_select", "according to the boolean mask"),
        ("torch.where", "condition (BoolTensor)"),
    ],
    symptom="RuntimeError: masked_fill_ only supports boolean masks, but got mask with dtype unsigned char",
    error="only supports boolean masks",
    changed={"2.1": "masked_fill and masked_select refuse a mask that is not bool; for uint8 they had warned"},
)
class TestMaskedOperationsWantBool:
    """``masked_fill``, ``masked_select``, ``masked_scatter`` and ``where`` want a mask of dtype bool.

    A mask of 0 and 1 in integers or floats is refused. ``where`` still takes uint8, with a warning. Compare
    (``mask != 0``), or convert with ``mask.bool()``.
    """

    @before("2.1")
    @pytest.mark.parametrize("use", MASKED)
    def test_trap_uint8_was_taken_with_a_warning(self, device, use):
        mask = torch.tensor([1, 0], dtype=torch.uint8, device=device)
        with pytest.warns(UserWarning, match="received a mask with dtype torch.uint8"):
            x = use(torch.zeros(2, device=device), mask)
        assert x.tolist() == [5, 0]

    @since("2.1")
    @pytest.mark.parametrize("use", MASKED)
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32], ids=str)
    def test_trap_other_dtypes_are_refused(self, device, use, dtype):
        mask = torch.tensor([1, 0], dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match="only supports boolean masks"):
            use(torch.zeros(2, device=device), mask)

    @since("2.1")
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32], ids=str)
    def test_trap_masked_select_refuses_them_too(self, device, dtype):
        mask = torch.tensor([1, 0], dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match="masked_select: expected BoolTensor for mask"):
            torch.zeros(2, device=device).masked_select(mask)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
    def test_trap_where_refuses_numbers_too(self, device, dtype):
        x, mask = torch.zeros(2, device=device), torch.tensor([1, 0], dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match="where expected condition to be a boolean tensor"):
            torch.where(mask, x, x)

    def test_trap_where_takes_uint8_with_a_warning(self, device):
        mask = torch.tensor([1, 0], dtype=torch.uint8, device=device)
        with pytest.warns(UserWarning, match="where received a uint8 condition tensor"):
            x = torch.where(mask, torch.tensor(5, device=device), torch.tensor(0, device=device))
        assert x.tolist() == [5, 0]

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32], ids=str)
    @pytest.mark.parametrize("use", MASKED)
    def test_fix_convert_the_mask(self, device, use, dtype):
        mask = torch.tensor([1, 0], dtype=dtype, device=device).bool()
        assert use(torch.zeros(2, device=device), mask).tolist() == [5, 0]


@pitfall(
    "masked-scatter-fills-in-order",
    docs=[
        ("torch.Tensor.masked_scatter_", "tensor, not on the given"),
        ("torch.Tensor.masked_scatter_", "should have at least as many elements as"),
    ],
    symptom="masked_scatter_ takes other elements of the source than those under the mask",
)
class TestMaskedScatterFillsInOrder:
    """``masked_scatter_`` takes the elements of its source one by one from the first; the mask picks targets only.

    The source is a queue, not an aligned tensor. To take the elements at the same positions use ``torch.where``. A
    queue that is too short raises.
    """

    def test_trap_the_source_is_read_from_its_beginning(self, device):
        x, mask = torch.zeros(4, device=device), torch.tensor([False, True, False, True], device=device)
        x.masked_scatter_(mask, torch.tensor([1.0, 2.0, 3.0, 4.0], device=device))
        assert x.tolist() == [0, 1, 0, 2]

    def test_trap_the_shapes_are_broadcast(self, device):
        mask = torch.tensor([[False, True], [True, True]], device=device)
        x = torch.zeros(2, device=device).masked_scatter(mask, torch.tensor([1.0, 2.0, 3.0], device=device))
        assert x.tolist() == [[0, 1], [2, 3]]

    def test_fix_where_takes_the_same_positions(self, device):
        mask = torch.tensor([False, True, False, True], device=device)
        source = torch.tensor([1.0, 2.0, 3.0, 4.0], device=device)
        assert torch.where(mask, source, 0.0).tolist() == [0, 2, 0, 4]


@pitfall(
    "ampersand-binds-tighter-than-comparison",
    docs=["torch.bitwise_and", "torch.logical_and", ("torch.is_nonzero", "Throws a")],
    symptom="x > 1 & x < 3 raises: Boolean value of Tensor with more than one value is ambiguous",
    error="Boolean value of Tensor with more than one value is ambiguous",
    priority=1,
)
class TestAmpersandBindsTighterThanComparison:
    """``x > 1 & x < 3`` means ``x > (1 & x) < 3``: put each comparison into parentheses.

    For several elements the chain asks for one bool and raises; a single comparison beside ``&`` or ``|`` gives another
    mask in silence. ``torch.logical_and`` needs no parentheses.
    """

    @pytest.mark.parametrize(
        "mask",
        [pytest.param(lambda x: x > 1 & x < 3, id="and"), pytest.param(lambda x: x < 1 | x > 2, id="or")],
    )
    def test_trap_two_comparisons_raise(self, device, mask):
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
            mask(torch.tensor([1, 2, 3], device=device))

    def test_trap_one_comparison_gives_another_mask(self, device):
        x, valid = torch.tensor([1, 2, 3], device=device), torch.tensor([True, True, False], device=device)
        assert (valid & x == 2).tolist() == [False, False, False]
        assert (valid & (x == 2)).tolist() == [False, True, False]

    @pytest.mark.parametrize(
        "mask",
        [
            pytest.param(lambda x: (x > 1) & (x < 3), id="parentheses"),
            pytest.param(lambda x: torch.logical_and(x > 1, x < 3), id="logical_and"),
        ],
    )
    def test_fix_parentheses(self, device, mask):
        assert mask(torch.tensor([1, 2, 3], device=device)).tolist() == [False, True, False]


@pitfall(
    "python-bool-is-an-index",
    docs=["tensor_view", "torch.unsqueeze"],
    symptom="x[flag] has a dimension more than x",
    priority=3,
)
class TestPythonBoolIsAnIndex:
    """``x[True]`` is no row: a bool adds a dimension of size one, or of size zero for False, and copies.

    It is the mask of a 0-d tensor. A flag that slipped into an index is thus accepted. ``int(flag)`` makes it a
    position; ``None`` is the view that adds a dimension.
    """

    @pytest.mark.parametrize(("flag", "shape"), [(True, (1, 2, 3)), (False, (0, 2, 3))], ids=str)
    @pytest.mark.parametrize("kind", [bool, torch.tensor], ids=["bool", "tensor"])
    def test_trap_a_dimension_is_added(self, device, flag, shape, kind):
        assert torch.zeros(2, 3, device=device)[kind(flag)].shape == shape

    def test_trap_it_is_a_copy(self, device):
        x = torch.zeros(2, device=device)
        x[True].fill_(5)
        assert x.tolist() == [0, 0]

    def test_fix_none_is_the_view(self, device):
        x = torch.zeros(2, device=device)
        x[None].fill_(5)
        assert x.tolist() == [5, 5]

    @pytest.mark.parametrize(("flag", "row"), [(True, [2, 3]), (False, [0, 1])], ids=str)
    def test_fix_int_makes_it_a_position(self, device, flag, row):
        assert torch.arange(4, device=device).view(2, 2)[int(flag)].tolist() == row
