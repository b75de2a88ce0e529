"""Gather, take, index_select and one_hot: shapes that are not broadcast, flattened positions, and dtypes."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "gather-does-not-broadcast",
    docs=[
        ("torch.gather", "do not broadcast against each other"),
        ("torch.take_along_dim", "This function is similar to NumPy's"),
    ],
    symptom="gather returned fewer rows than my tensor has; Index tensor must have the same number of dimensions",
    error="Index tensor must have the same number of dimensions as input tensor",
)
class TestGatherDoesNotBroadcast:
    """``gather`` gives what its index covers: an index with fewer rows leaves rows out without a word.

    The index needs the rank of the input and is never stretched. ``take_along_dim`` broadcasts it, like NumPy's
    ``take_along_axis``; for ``gather`` expand it to the rows.
    """

    def test_trap_rows_without_an_index_are_left_out(self, device):
        x = torch.tensor([[3, 1], [2, 4]], device=device)
        assert x.gather(1, torch.tensor([[0]], device=device)).tolist() == [[3]]

    def test_trap_a_vector_of_indices_is_refused(self, device):
        x, index = torch.tensor([[3, 1], [2, 4]], device=device), torch.tensor([0, 1], device=device)
        with pytest.raises(RuntimeError, match="Index tensor must have the same number of dimensions as input tensor"):
            x.gather(1, index)

    def test_trap_more_rows_than_the_input_are_refused(self, device):
        x, index = torch.tensor([[3, 1], [2, 4]], device=device), torch.zeros(3, 1, dtype=torch.int64, device=device)
        with pytest.raises(RuntimeError, match="Size does not match at dimension 0"):
            x.gather(1, index)

    @pytest.mark.parametrize(
        "take",
        [
            pytest.param(lambda x, index: x.take_along_dim(index, 1), id="take_along_dim"),
            pytest.param(lambda x, index: x.gather(1, index.expand(len(x), -1)), id="expand"),
        ],
    )
    def test_fix_take_along_dim_broadcasts(self, device, take):
        x = torch.tensor([[3, 1], [2, 4]], device=device)
        assert take(x, torch.tensor([[0]], device=device)).tolist() == [[3], [2]]

    def test_fix_one_element_of_each_row(self, device):
        x, labels = torch.tensor([[3, 1], [2, 4]], device=device), torch.tensor([0, 1], device=device)
        assert x.gather(1, labels[:, None]).squeeze(1).tolist() == [3, 4]


@pitfall(
    "gather-index-dtype",
    docs=[("torch.gather", "index (LongTensor)"), "torch.Tensor.scatter_"],
    symptom="RuntimeError: gather(): Expected dtype int64 for index",
    error="Expected dtype int64 for index",
    changed={"2.8": "gather and scatter take int32 indices; they had raised"},
    priority=3,
)
class TestGatherIndexDtype:
    """``gather`` and ``scatter`` are for int64 indices; int32 works from torch 2.8 on, other dtypes raise.

    Plain indexing takes int32 in every release. Convert with ``index.long()``.
    """

    USES = [
        pytest.param(lambda x, index: x.gather(0, index), id="gather"),
        pytest.param(lambda x, index: x.scatter(0, index, 8), id="scatter"),
    ]

    @before("2.8")
    @pytest.mark.parametrize("use", USES)
    def test_trap_int32_was_refused(self, device, use):
        with pytest.raises(RuntimeError, match="Expected dtype int64 for index"):
            use(torch.tensor([7, 8], device=device), torch.tensor([1], dtype=torch.int32, device=device))

    @since("2.8")
    @pytest.mark.parametrize("use", USES)
    def test_trap_int32_is_taken(self, device, use):
        index = torch.tensor([1], dtype=torch.int32, device=device)
        assert use(torch.tensor([7, 8], device=device), index)[-1].item() == 8

    @pytest.mark.parametrize("dtype", [torch.int16, torch.uint8, torch.float32], ids=str)
    @pytest.mark.parametrize("use", USES)
    def test_trap_other_dtypes_are_refused(self, device, use, dtype):
        with pytest.raises(RuntimeError, match=r"Expected dtype .*int64 for index"):
            use(torch.tensor([7, 8], device=device), torch.tensor([1], dtype=dtype, device=device))

    @pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32], ids=str)
    def test_fix_convert_the_index(self, device, dtype):
        index = torch.tensor([1], dtype=dtype, device=device).long()
        assert torch.tensor([7, 8], device=device).gather(0, index).tolist() == [8]


@pitfall(
    "take-counts-flat-positions",
    docs=[("torch.take", "as if it were viewed as a 1-D"), ("torch.take_along_dim", "has been flattened to 1d")],
    symptom="torch.take(x, idx) returns elements where np.take(x, idx, axis=0) returns rows",
)
class TestTakeCountsFlatPositions:
    """``torch.take`` and ``put_`` count positions in the flattened tensor, and the result has the shape of the index.

    ``take_along_dim`` without a dimension does so too. Rows are taken with ``x[idx]`` or ``index_select``.
    """

    @pytest.mark.parametrize("take", [torch.take, torch.take_along_dim], ids=lambda f: f.__name__)
    def test_trap_elements_not_rows(self, device, take):
        x = torch.tensor([[10, 20, 30], [40, 50, 60]], device=device)
        assert take(x, torch.tensor([1, 4], device=device)).tolist() == [20, 50]

    def test_trap_the_result_has_the_shape_of_the_index(self, device):
        x = torch.tensor([[10, 20, 30], [40, 50, 60]], device=device)
        assert x.take(torch.tensor([[5], [-6]], device=device)).tolist() == [[60], [10]]

    def test_trap_put_writes_there(self, device):
        x = torch.zeros(2, 2, dtype=torch.int64, device=device)
        x.put_(torch.tensor([3], device=device), torch.tensor([9], device=device))
        assert x.tolist() == [[0, 0], [0, 9]]

    @pytest.mark.parametrize(
        "rows",
        [
            pytest.param(lambda x, index: x[index], id="x[index]"),
            pytest.param(lambda x, index: x.index_select(0, index), id="index_select"),
        ],
    )
    def test_fix_take_rows(self, device, rows):
        x = torch.tensor([[10, 20], [30, 40]], device=device)
        assert rows(x, torch.tensor([1, 0], device=device)).tolist() == [[30, 40], [10, 20]]


@pitfall(
    "index-select-wants-a-vector",
    docs=[("torch.index_select", "the 1-D tensor containing the indices to"), "torch.Tensor.index_select"],
    symptom="IndexError: index_select(): Index is supposed to be a vector",
    error="Index is supposed to be a vector",
)
class TestIndexSelectWantsAVector:
    """``index_select`` takes a one-dimensional integer tensor, on the same device: no list, no matrix, no mask.

    It copies and keeps the rank, even for a 0-d index. ``x[index]`` is less strict: it takes lists, masks and indices
    of any shape.
    """

    def test_trap_a_matrix_is_refused(self, device):
        # The CPU raises an IndexError, CUDA a RuntimeError that speaks of an empty tensor or a vector.
        with pytest.raises((IndexError, RuntimeError), match=r"Index is supposed to be .*a vector"):
            torch.zeros(2, 3, device=device).index_select(0, torch.tensor([[0, 1]], device=device))

    def test_trap_a_list_is_refused(self, device):
        with pytest.raises(TypeError, match="index_select"):
            torch.zeros(2, 3, device=device).index_select(0, [0, 1])

    @on("cpu")
    @pytest.mark.parametrize("values", [[True, False], [1.0, 0.0]], ids=["mask", "float"])
    def test_trap_other_dtypes_are_refused(self, device, values):
        with pytest.raises(RuntimeError, match="Expected dtype int32 or int64 for index"):
            torch.zeros(2, 3, device=device).index_select(0, torch.tensor(values, device=device))

    def test_trap_the_rank_stays(self, device):
        x = torch.zeros(2, 3, device=device)
        assert x.index_select(0, torch.tensor(1, device=device)).shape == (1, 3)
        assert x[torch.tensor(1, device=device)].shape == (3,)

    @pytest.mark.parametrize("index", [[0, 1], [[0, 1]], [True, False]], ids=["list", "matrix", "mask"])
    def test_fix_brackets_take_all_of_them(self, device, index):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert x[torch.tensor(index, device=device)].flatten()[:2].tolist() == [1, 2]


@pitfall(
    "one-hot-is-int64",
    docs=[("torch.nn.functional.one_hot", "If set to -1, the number of classes"), "torch.nn.functional.embedding"],
    symptom="one_hot is only applicable to index tensor; its result does not go into a linear layer",
    error="one_hot is only applicable to index tensor",
)
class TestOneHotIsInt64:
    """``one_hot`` takes int64 and returns int64: convert the labels before, and the result with ``.float()`` after.

    Without ``num_classes`` the width is that of the largest label in this batch, so it changes from batch to batch. A
    layer on one-hot vectors is an ``Embedding``.
    """

    @pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32], ids=str)
    def test_trap_other_dtypes_are_refused(self, device, dtype):
        with pytest.raises(RuntimeError, match="one_hot is only applicable to index tensor"):
            torch.nn.functional.one_hot(torch.tensor([0, 1], dtype=dtype, device=device))

    def test_trap_the_result_is_int64(self, device):
        x = torch.nn.functional.one_hot(torch.tensor([0, 1], device=device))
        assert x.dtype == torch.int64
        with pytest.raises(RuntimeError, match=r"(same dtype|expected scalar type)"):
            torch.nn.functional.linear(x, torch.ones(3, 2, device=device))

    @pytest.mark.parametrize(("labels", "width"), [([0, 1], 2), ([0, 0], 1), ([0, 4], 5)], ids=str)
    def test_trap_the_width_is_that_of_the_batch(self, device, labels, width):
        assert torch.nn.functional.one_hot(torch.tensor(labels, device=device)).shape == (2, width)

    def test_fix_convert_and_say_the_width(self, device):
        labels = torch.tensor([0, 1], dtype=torch.int32, device=device)
        x = torch.nn.functional.one_hot(labels.long(), num_classes=3).float()
        assert torch.nn.functional.linear(x, torch.tensor([[5.0, 6.0, 7.0]], device=device)).tolist() == [[5], [6]]
