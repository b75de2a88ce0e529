"""Indexing: which index gives a view and which a copy, and what an index must not be."""

import operator

import pytest
import torch

from pitfalls import pitfall

BASIC = [
    pytest.param(lambda x: x[1], id="integer"),
    pytest.param(lambda x: x[-1], id="negative integer"),
    pytest.param(lambda x: x[1, 1], id="two integers"),
    pytest.param(lambda x: x[:, 1], id="column"),
    pytest.param(lambda x: x[1:], id="slice"),
    pytest.param(lambda x: x[:, ::2], id="step"),
    pytest.param(lambda x: x[:], id="full slice"),
    pytest.param(lambda x: x[...], id="ellipsis"),
    pytest.param(lambda x: x[..., 1], id="ellipsis and integer"),
    pytest.param(lambda x: x[None], id="None"),
    pytest.param(lambda x: x[:, None, 1:], id="None and slice"),
    pytest.param(lambda x: x.select(0, 1), id="select"),
    pytest.param(lambda x: x.narrow(1, 1, 2), id="narrow"),
    pytest.param(lambda x: x.unbind(0)[1], id="unbind"),
    pytest.param(lambda x: x.split(1)[1], id="split"),
    pytest.param(lambda x: x.chunk(2)[1], id="chunk"),
    pytest.param(lambda x: next(iter(x)), id="iteration"),
]

ADVANCED = [
    pytest.param(lambda x: x[[0, 1]], id="list"),
    pytest.param(lambda x: x[torch.tensor([0, 1], device=x.device)], id="index tensor"),
    pytest.param(lambda x: x[[0, 1], [1, 2]], id="two lists"),
    pytest.param(lambda x: x[:, [0, 1]], id="slice and list"),
    pytest.param(lambda x: x[x > 0], id="mask"),
    pytest.param(lambda x: x[[True, False]], id="mask of rows"),
    pytest.param(lambda x: x.index_select(0, torch.tensor([0, 1], device=x.device)), id="index_select"),
    pytest.param(lambda x: x.masked_select(x > 0), id="masked_select"),
    pytest.param(lambda x: x.take(torch.tensor([0, 1], device=x.device)), id="take"),
    pytest.param(lambda x: x.gather(1, torch.zeros(2, 1, dtype=torch.int64, device=x.device)), id="gather"),
]


@pitfall(
    "slicing-is-a-view",
    docs=["tensor_view", ("torch.select", "returns a view of the original tensor")],
    symptom="changing a slice, a row or a column of a tensor changes the tensor too",
    priority=1,
)
class TestSlicingIsAView:
    """Indexing with integers, slices, ``None`` and ``...`` gives a view: it shares its elements with the tensor.

    A write through the slice lands in the tensor, and a later write to the tensor shows in the slice, also in one that
    was put aside as "the old value". Take ``x[1].clone()`` to keep it.
    """

    @pytest.mark.parametrize("index", BASIC)
    def test_trap_a_write_to_the_slice_lands_in_x(self, device, index):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        index(x).fill_(0)
        assert index(x).eq(0).all().item()

    @pytest.mark.parametrize("index", BASIC)
    def test_trap_a_write_to_x_shows_in_the_slice(self, device, index):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        kept = index(x)
        x.fill_(0)
        assert kept.eq(0).all().item()

    def test_trap_the_first_column(self, device):
        x = torch.tensor([[1, 2], [3, 4], [5, 6]], device=device)
        column = x[:, 0]
        column += 10
        assert x.tolist() == [[11, 2], [13, 4], [15, 6]]

    @pytest.mark.parametrize("index", BASIC)
    def test_fix_clone_what_shall_stay(self, device, index):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        kept = index(x).clone()
        x.fill_(0)
        assert kept.gt(0).all().item()


@pitfall(
    "advanced-indexing-copies",
    docs=["tensor_view", ("torch.index_select", "use the same storage as the original"), "torch.Tensor.index_put_"],
    symptom="x[mask].add_(1) or x[idx][0] = 1 changes nothing",
    priority=1,
)
class TestAdvancedIndexingCopies:
    """Indexing with a list, a mask or an index tensor copies; assigning to such an index writes.

    ``x[idx] = v`` and ``x[idx] += v`` are assignments and reach ``x``. ``x[idx].add_(v)`` and ``x[idx][0] = v`` write
    to a copy that is then dropped. Use a single pair of brackets on the left-hand side.
    """

    @pytest.mark.parametrize("index", ADVANCED)
    def test_trap_a_write_to_the_result_is_lost(self, device, index):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        index(x).fill_(0)
        assert x.tolist() == [[1, 2, 3], [4, 5, 6]]

    def test_trap_two_pairs_of_brackets_write_to_a_copy(self, device):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        x[[0, 1]][0] = 0
        x[x > 3][0] = 0
        assert x.tolist() == [[1, 2, 3], [4, 5, 6]]

    @pytest.mark.parametrize(
        ("write", "result"),
        [
            pytest.param(lambda x: operator.setitem(x, [0, 1], 0), [0, 0, 3], id="list"),
            pytest.param(lambda x: operator.setitem(x, x > 1, 0), [1, 0, 0], id="mask"),
            pytest.param(lambda x: operator.setitem(x, torch.tensor([2, 0], device=x.device), 0), [0, 2, 0],
                         id="index tensor"),
            pytest.param(lambda x: x.index_fill_(0, torch.tensor([1], device=x.device), 0), [1, 0, 3],
                         id="index_fill_"),
            pytest.param(lambda x: x.masked_fill_(x > 2, 0), [1, 2, 0], id="masked_fill_"),
        ],
    )  # fmt: skip
    def test_fix_assign_to_the_index(self, device, write, result):
        x = torch.tensor([1, 2, 3], device=device)
        write(x)
        assert x.tolist() == result

    def test_fix_augmented_assignment_writes_back(self, device):
        x = torch.tensor([1, 2, 3], device=device)
        x[[0, 2]] += 10
        assert x.tolist() == [11, 2, 13]


@pitfall(
    "repeated-index-counts-once",
    docs=[("torch.Tensor.index_put_", "are added to"), "torch.Tensor.index_add_", "torch.bincount"],
    symptom="x[idx] += 1 with repeated indices adds only once",
    priority=1,
)
class TestRepeatedIndexCountsOnce:
    """``x[idx] += 1`` adds once to each element, however often its index is repeated.

    It reads all elements, adds, and writes them back; the repeats write the same number again. To accumulate use
    ``index_add_``, ``index_put_(..., accumulate=True)``, ``scatter_add_`` or ``bincount``.
    """

    def test_trap_repeats_are_not_added_up(self, device):
        counts = torch.zeros(3, dtype=torch.int64, device=device)
        counts[torch.tensor([0, 0, 0, 2], device=device)] += 1
        assert counts.tolist() == [1, 0, 1]

    @pytest.mark.parametrize(
        "accumulate",
        [
            pytest.param(lambda x, i, ones: x.index_add_(0, i, ones), id="index_add_"),
            pytest.param(lambda x, i, ones: x.index_put_((i,), ones, accumulate=True), id="index_put_"),
            pytest.param(lambda x, i, ones: x.scatter_add_(0, i, ones), id="scatter_add_"),
            pytest.param(lambda x, i, _ones: i.bincount(minlength=len(x)), id="bincount"),
        ],
    )
    def test_fix_accumulate(self, device, accumulate):
        index = torch.tensor([0, 0, 0, 2], device=device)
        counts = torch.zeros(3, dtype=torch.int64, device=device)
        assert accumulate(counts, index, torch.ones_like(index)).tolist() == [3, 0, 1]


@pitfall(
    "negative-step-is-refused",
    docs=[("torch.flip", "makes a copy of"), "tensor_view"],
    symptom="ValueError: step must be greater than zero, from x[::-1]",
    error="step must be greater than zero",
)
class TestNegativeStepIsRefused:
    """A slice with a negative step raises, where lists and NumPy reverse; ``torch.flip`` reverses, and copies.

    Tensors can't have negative strides, so no view can be the reverse of another. A write to the flipped tensor doesn't
    reach the original.
    """

    @pytest.mark.parametrize(
        "index",
        [
            pytest.param(slice(None, None, -1), id="[::-1]"),
            pytest.param(slice(2, 0, -1), id="[2:0:-1]"),
            pytest.param((slice(None), slice(None, None, -2)), id="[:, ::-2]"),
            pytest.param((Ellipsis, slice(None, None, -1)), id="[..., ::-1]"),
        ],
    )
    @pytest.mark.parametrize(
        "use",
        [operator.getitem, lambda x, index: operator.setitem(x, index, 0)],
        ids=["read", "write"],
    )
    def test_trap_slices_go_forward_only(self, device, index, use):
        x = torch.arange(6, device=device).view(3, 2)
        with pytest.raises(ValueError, match="step must be greater than zero"):
            use(x, index)

    @pytest.mark.parametrize(
        "reverse",
        [
            pytest.param(lambda x: x.flip(0), id="flip"),
            pytest.param(lambda x: torch.flipud(x), id="flipud"),
            pytest.param(lambda x: x[torch.arange(len(x) - 1, -1, -1, device=x.device)], id="index"),
        ],
    )
    def test_fix_flip_reverses(self, device, reverse):
        assert reverse(torch.tensor([[1, 2], [3, 4]], device=device)).tolist() == [[3, 4], [1, 2]]

    def test_trap_flip_copies(self, device):
        x = torch.tensor([1, 2, 3], device=device)
        x.flip(0).fill_(0)
        assert x.tolist() == [1, 2, 3]
