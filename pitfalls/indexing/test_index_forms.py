"""Forms of an index: lists and tuples, several lists at once, `None` and `...`, and the dtypes that are taken."""

import numpy as np
import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "list-of-lists-is-read-as-a-tuple",
    docs=["tensor_view", "torch.Tensor.index_put_"],
    symptom="UserWarning: Using a non-tuple sequence for multidimensional indexing is deprecated",
    error="Using a non-tuple sequence for multidimensional indexing is deprecated",
    changed={"2.8": "a list of lists used as an index warns that its meaning will change"},
)
class TestListOfListsIsReadAsATuple:
    """``x[[[0, 1], [1, 2]]]`` is read as ``x[[0, 1], [1, 2]]``; in NumPy the same index picks rows, in two dimensions.

    A list of numbers is an index tensor; a list that holds lists, tensors or slices is taken for a tuple. Write the
    tuple, ``x[tuple(index)]``, or the index tensor, ``x[torch.tensor(index)]``.
    """

    @before("2.8")
    def test_trap_it_was_read_as_a_tuple_silently(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        assert x[[[0, 1], [1, 2]]].tolist() == [1, 5]

    @since("2.8")
    @pytest.mark.parametrize(
        ("index", "result"),
        [
            pytest.param([[0, 1], [1, 2]], [1, 5], id="lists"),
            pytest.param([slice(0, 2), 1], [1, 4], id="slice and number"),
            pytest.param([np.array([0, 1]), np.array([1, 2])], [1, 5], id="arrays"),
        ],
    )
    def test_trap_it_is_read_as_a_tuple_with_a_warning(self, device, index, result):
        x = torch.arange(9, device=device).view(3, 3)
        with pytest.warns(UserWarning, match="Using a non-tuple sequence for multidimensional indexing is deprecated"):
            found = x[index]
        assert found.tolist() == result

    def test_trap_numpy_reads_an_index_array(self, device):
        array = np.arange(9).reshape(3, 3)[[[0, 1], [1, 2]]]
        assert torch.tensor(array, device=device).shape == (2, 2, 3)

    def test_fix_write_the_tuple(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        assert x[tuple([[0, 1], [1, 2]])].tolist() == [1, 5]  # noqa: C409 - a list that came from elsewhere

    def test_fix_write_the_index_tensor(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        assert x[torch.tensor([[0, 1], [1, 2]], device=device)].shape == (2, 2, 3)


@pitfall(
    "two-lists-pick-pairs",
    docs=["torch.Tensor.index_put_", "torch.take_along_dim", "tensor_view"],
    symptom="x[[0, 1], [1, 2]] gives two elements, not the two by two block",
    error="indexing tensors could not be broadcast together",
)
class TestTwoListsPickPairs:
    """Two lists in one index are paired up: ``x[[0, 1], [1, 2]]`` is ``x[0, 1]`` and ``x[1, 2]``, not a block.

    Slices make blocks, lists don't. For rows and columns index twice, ``x[rows][:, columns]``, or make the rows a
    column: ``x[rows[:, None], columns]``. Lists of different lengths raise.
    """

    def test_trap_pairs_not_a_block(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        assert x[[0, 1], [1, 2]].tolist() == [1, 5]
        assert x[0:2, 1:3].tolist() == [[1, 2], [4, 5]]

    def test_trap_different_lengths_are_refused(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        with pytest.raises(IndexError, match="indexing tensors could not be broadcast together"):
            x[[0, 1], [0, 1, 2]]

    def test_fix_index_twice_to_read(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        assert x[[0, 1]][:, [0, 2]].tolist() == [[0, 2], [3, 5]]

    def test_fix_rows_as_a_column_to_read_and_write(self, device):
        x = torch.arange(9, device=device).view(3, 3)
        rows, columns = torch.tensor([0, 1], device=device), torch.tensor([0, 2], device=device)
        x[rows[:, None], columns] = 0
        assert x.tolist() == [[0, 1, 0], [0, 4, 0], [6, 7, 8]]


@pitfall(
    "parted-lists-move-to-the-front",
    docs=["torch.Tensor.index_put_", "tensor_view"],
    symptom="x[:, [0, 1], :, [0, 1]] has its dimensions in an order that I did not expect",
    priority=3,
)
class TestPartedListsMoveToTheFront:
    """If a slice stands between two lists, the dimension that they make goes to the front; otherwise it stays in place.

    NumPy does so too, but counts a number as a list: there ``x[0, :, [0, 1]]`` moves the list's dimension, in torch it
    doesn't. Index in two steps where the order matters.
    """

    @pytest.mark.parametrize(
        ("take", "shape"),
        [
            pytest.param(lambda x: x[:, [0, 1], [0, 1]], (2, 2, 5), id="side by side"),
            pytest.param(lambda x: x[:, [0, 1], :, [0, 1]], (2, 2, 4), id="parted"),
            pytest.param(lambda x: x[[0, 1], :, :, [0, 1]], (2, 3, 4), id="first and last"),
        ],
    )
    def test_trap_where_the_new_dimension_is(self, device, take, shape):
        x = torch.arange(120, device=device).view(2, 3, 4, 5)
        assert take(x).shape == shape
        assert take(x).tolist() == take(np.arange(120).reshape(2, 3, 4, 5)).tolist()

    @pytest.mark.parametrize(
        ("take", "shape", "numpy_shape"),
        [
            pytest.param(lambda x: x[0, :, [0, 1]], (3, 2, 5), (2, 3, 5), id="number first"),
            pytest.param(lambda x: x[:, 0, :, [0, 1, 2]], (2, 4, 3), (3, 2, 4), id="number between"),
        ],
    )
    def test_trap_a_number_is_no_list_as_it_is_in_numpy(self, device, take, shape, numpy_shape):
        assert take(torch.zeros(2, 3, 4, 5, device=device)).shape == shape
        assert torch.tensor(take(np.zeros((2, 3, 4, 5))), device=device).shape == numpy_shape

    def test_fix_two_steps_keep_the_order(self, device):
        x = torch.zeros(2, 3, 4, 5, device=device)
        assert x[:, [0, 1]][:, :, :, [0, 1, 2]].shape == (2, 2, 4, 3)


@pitfall(
    "index-dtypes",
    docs=["tensor_attributes#torch-dtype", ("torch.index_select", "index (IntTensor or LongTensor)"), "torch.gather"],
    symptom="IndexError: tensors used as indices must be long, int, byte or bool tensors",
    error="tensors used as indices must be long, int, byte or bool tensors",
)
class TestIndexDtypes:
    """An index tensor is int64 or int32, or a mask; small integers and floats are refused, whole or not.

    An empty list of numbers makes a float tensor, which is refused as well. Divide with ``//`` and convert with
    ``long()``.
    """

    @pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.float32, torch.float64], ids=str)
    def test_trap_other_dtypes_are_refused(self, device, dtype):
        index = torch.tensor([1, 0], dtype=dtype, device=device)
        with pytest.raises(IndexError, match="tensors used as indices must be long, int, byte or bool tensors"):
            torch.tensor([10, 20], device=device)[index]

    def test_trap_an_empty_tensor_is_a_float_tensor(self, device):
        with pytest.raises(IndexError, match="tensors used as indices must be long, int, byte or bool tensors"):
            torch.tensor([10, 20], device=device)[torch.tensor([], device=device)]

    def test_trap_a_float_is_refused(self, device):
        with pytest.raises(IndexError, match="only integers, slices"):
            torch.tensor([10, 20], device=device)[1.0]

    @pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
    def test_fix_positions_are_int64_or_int32(self, device, dtype):
        index = torch.tensor([1, 0], dtype=dtype, device=device)
        assert torch.tensor([10, 20], device=device)[index].tolist() == [20, 10]

    @pytest.mark.parametrize(
        "empty", [[], torch.tensor([], dtype=torch.int64), torch.arange(0)], ids=["list", "tensor", "arange"]
    )
    def test_fix_an_empty_index_with_its_dtype(self, device, empty):
        assert torch.tensor([10, 20], device=device)[empty].tolist() == []


@pitfall(
    "ellipsis-and-none",
    docs=["tensor_view", "torch.unsqueeze", "torch.select"],
    symptom="IndexError: too many indices for tensor of dimension 2",
    error="too many indices for tensor of dimension",
)
class TestEllipsisAndNone:
    """``...`` stands for all dimensions that are not spelled, and ``None`` adds one.

    ``x[0]`` is the first of the first dimension whatever the rank, ``x[..., 0]`` the first of the last. With batches
    the second keeps its meaning. More indices than dimensions raise.
    """

    @pytest.mark.parametrize(
        ("take", "shape"),
        [
            pytest.param(lambda x: x[0], (3, 4), id="[0]"),
            pytest.param(lambda x: x[..., 0], (2, 3), id="[..., 0]"),
            pytest.param(lambda x: x[:, None], (2, 1, 3, 4), id="[:, None]"),
            pytest.param(lambda x: x[..., None], (2, 3, 4, 1), id="[..., None]"),
            pytest.param(lambda x: x[None, ..., None], (1, 2, 3, 4, 1), id="[None, ..., None]"),
            pytest.param(lambda x: x[0, ..., 0], (3,), id="[0, ..., 0]"),
            pytest.param(lambda x: x[..., [0, 1]], (2, 3, 2), id="[..., list]"),
        ],
    )
    def test_trap_where_dimensions_are_counted_from(self, device, take, shape):
        assert take(torch.zeros(2, 3, 4, device=device)).shape == shape

    @pytest.mark.parametrize("index", [(0, 0, 0), (..., 0, 0, 0), (0, slice(None), 0)], ids=str)
    def test_trap_more_indices_than_dimensions(self, device, index):
        with pytest.raises(IndexError, match="too many indices for tensor of dimension 2"):
            torch.zeros(2, 3, device=device)[index]

    @pytest.mark.parametrize("shape", [(3,), (2, 3), (5, 2, 3)], ids=str)
    def test_fix_count_from_the_last_dimension_for_any_batch(self, device, shape):
        assert torch.zeros(shape, device=device)[..., 0].shape == shape[:-1]


@pitfall(
    "in-asks-for-any-element",
    docs=["torch.isin", "torch.eq", "torch.any"],
    symptom="[1, 4] in x raises; a row in x is True although x has no such row",
    priority=3,
)
class TestInAsksForAnyElement:
    """``v in x`` is ``(x == v).any()``: with a tensor it is true as soon as one element agrees, with broadcasting.

    It compares elements, never rows. For each element there is ``torch.isin``; for a row,
    ``(x == row).all(dim=1).any()``. A list is refused.
    """

    def test_trap_a_row_that_is_not_there(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert torch.tensor([1, 4], device=device) in x

    def test_trap_a_list_is_refused(self, device):
        with pytest.raises(RuntimeError, match="only supports Tensor or scalar, but you passed in a"):
            torch.tensor([1, 2], device=device).__contains__([1, 2])  # what `[1, 2] in x` does

    @pytest.mark.parametrize(("row", "found"), [([1, 4], False), ([1, 2], True)], ids=str)
    def test_fix_compare_whole_rows(self, device, row, found):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert (x == torch.tensor(row, device=device)).all(dim=1).any().item() is found

    def test_fix_isin_answers_for_each_element(self, device):
        x = torch.tensor([1, 2, 3], device=device)
        assert torch.isin(x, torch.tensor([1, 3], device=device)).tolist() == [True, False, True]


@pitfall(
    "tensors-hash-by-identity",
    docs=["tensors", "torch.equal", "torch.Tensor.item"],
    symptom="a dict with tensors as keys never finds them again; a set keeps equal tensors",
    priority=3,
)
class TestTensorsHashByIdentity:
    """A tensor is hashed by its identity: an equal tensor, even a second ``x[0]``, is another key.

    ``==`` gives a tensor, so it can't decide about equality of keys. Use Python values: ``x.item()``, or
    ``tuple(x.tolist())``.
    """

    def test_trap_an_equal_tensor_is_another_key(self, device):
        x = torch.tensor([1, 2], device=device)
        assert {x[0]: "found"}.get(x[0]) is None
        assert len({x[0], x[0].clone()}) == 2

    def test_trap_the_same_object_is_found(self, device):
        x = torch.tensor([1, 2], device=device)
        assert {x: "found"}.get(x.add_(1)) == "found"

    def test_fix_python_values_as_keys(self, device):
        x = torch.tensor([1, 2], device=device)
        assert {x[0].item(): "found"}[x[0].item()] == "found"
        assert {tuple(x.tolist()): "found"}[1, 2] == "found"
