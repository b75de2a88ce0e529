"""Elements that share memory: windows, expanded tensors, and targets that overlap their source."""

import operator

import pytest
import torch

from pitfalls import observe, pitfall


@pitfall(
    "unfold-windows-overlap",
    docs=[("torch.Tensor.unfold", "Returns a view of the original tensor"), "tensor_view"],
    symptom="writing to one window of x.unfold(...) changes the neighbouring windows",
)
class TestUnfoldWindowsOverlap:
    """The windows of ``Tensor.unfold`` share their elements: a write to one shows in all that overlap it, and in ``x``.

    Nothing is copied, which makes windows cheap to read and dangerous to write. ``clone()`` them first. The module
    ``nn.Unfold`` has the same name and copies.
    """

    def test_trap_one_write_shows_in_two_windows(self, device):
        x = torch.arange(5, device=device)
        windows = x.unfold(0, 3, 1)
        windows[0, 1] = 100
        assert windows.tolist() == [[0, 100, 2], [100, 2, 3], [2, 3, 4]]
        assert x.tolist() == [0, 100, 2, 3, 4]

    def test_trap_a_window_costs_no_memory(self, device):
        x = torch.zeros(100, device=device)
        windows = x.unfold(0, 50, 1)
        assert windows.shape == (51, 50)
        assert windows.untyped_storage().nbytes() == 400

    def test_fix_clone_the_windows(self, device):
        x = torch.arange(5, device=device)
        windows = x.unfold(0, 3, 1).clone()
        windows[0, 1] = 100
        assert windows.tolist() == [[0, 100, 2], [1, 2, 3], [2, 3, 4]]
        assert x.tolist() == [0, 1, 2, 3, 4]

    def test_fix_the_functional_one_copies(self, device):
        image = torch.zeros(1, 1, 1, 5, device=device)
        torch.nn.functional.unfold(image, (1, 3)).fill_(1)
        assert image.flatten().tolist() == [0, 0, 0, 0, 0]


@pitfall(
    "unfold-drops-the-rest",
    docs=[("torch.Tensor.unfold", "(sizedim - size) / step + 1"), "torch.nn.functional.pad"],
    symptom="the last elements of a series appear in no window",
)
class TestUnfoldDropsTheRest:
    """``unfold`` makes whole windows only: elements at the end that fill none are left out without a word.

    There are ``(n - size) // step + 1`` windows. Pad the tensor first if the rest counts. A window larger than the
    dimension raises.
    """

    @pytest.mark.parametrize(
        ("length", "size", "step", "last"),
        [(8, 3, 3, [3, 4, 5]), (7, 4, 4, [0, 1, 2, 3]), (8, 3, 2, [4, 5, 6])],
        ids=["3 by 3 of 8", "4 by 4 of 7", "3 by 2 of 8"],
    )
    def test_trap_the_end_is_in_no_window(self, device, length, size, step, last):
        windows = torch.arange(length, device=device).unfold(0, size, step)
        assert windows[-1].tolist() == last

    def test_trap_a_window_larger_than_the_dimension(self, device):
        with pytest.raises(RuntimeError, match="maximum size for tensor at dimension 0 is 7 but size is 8"):
            torch.arange(7, device=device).unfold(0, 8, 1)

    def test_fix_pad_first(self, device):
        x = torch.nn.functional.pad(torch.arange(8, device=device), (0, 1))
        assert x.unfold(0, 3, 3).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 0]]


@pitfall(
    "overlapping-windows-are-not-refused",
    docs=[("torch.as_strided", "the behavior of inplace operations on this view"), "torch.Tensor.unfold"],
    symptom="windows += 1 adds a different amount to each element of the series",
)
class TestOverlappingWindowsAreNotRefused:
    """In-place arithmetic on overlapping windows goes through, and what it leaves in memory is undefined.

    ``expand`` is noticed, because one of its strides is zero; windows from ``unfold`` and ``as_strided`` are not. Write
    to the tensor itself, or to a clone of the windows.
    """

    WINDOWS = [
        pytest.param(lambda x: x.unfold(0, 3, 1), id="unfold"),
        pytest.param(lambda x: x.as_strided((3, 3), (1, 1)), id="as_strided"),
    ]

    @pytest.mark.parametrize("windows", WINDOWS)
    def test_trap_no_error_and_no_promise(self, device, windows):
        x = torch.zeros(5, device=device)
        assert windows(x).add_(1).shape == (3, 3)
        observe(left=x.tolist())

    def test_trap_expand_is_refused(self, device):
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single"):
            torch.zeros(1, device=device).expand(3).add_(1)

    @pytest.mark.parametrize("windows", WINDOWS)
    def test_fix_clone_the_windows(self, device, windows):
        x = torch.zeros(5, device=device)
        assert windows(x).clone().add_(1).tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
        assert x.tolist() == [0, 0, 0, 0, 0]


@pitfall(
    "shifted-assignment-is-refused",
    docs=["torch.Tensor.copy_", "torch.Tensor.add_", ("torch.as_strided", "same element in memory")],
    symptom="x[1:] = x[:-1] or x[1:] += x[:-1], fine in NumPy, raises a RuntimeError",
    error="some elements of the input tensor and the written-to tensor refer to a single memory location",
)
class TestShiftedAssignmentIsRefused:
    """Torch won't write to memory that it is reading from at another place: ``x[1:] = x[:-1]`` raises.

    NumPy makes a temporary copy where source and target overlap. Clone the source, or use ``roll`` or ``cumsum``. The
    very same elements on both sides (``x += x``) are fine.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x: operator.setitem(x, slice(1, None), x[:-1]), id="x[1:] = x[:-1]"),
            pytest.param(lambda x: operator.setitem(x, slice(0, -1), x[1:]), id="x[:-1] = x[1:]"),
            pytest.param(lambda x: x[1:].copy_(x[:-1]), id="copy_"),
            pytest.param(lambda x: x[1:].add_(x[:-1]), id="add_"),
            pytest.param(lambda x: operator.iadd(x[1:], x[:-1]), id="x[1:] += x[:-1]"),
            pytest.param(lambda x: torch.add(x[:-1], 1, out=x[1:]), id="out="),
        ],
    )
    def test_trap_overlap_is_refused(self, device, write):
        with pytest.raises(
            RuntimeError, match="some elements of the input tensor and the written-to tensor refer to a"
        ):
            write(torch.arange(4, device=device))

    def test_trap_the_transpose_overlaps_too(self, device):
        x = torch.arange(4, device=device).view(2, 2)
        with pytest.raises(
            RuntimeError, match="some elements of the input tensor and the written-to tensor refer to a"
        ):
            x += x.t()

    def test_fix_clone_the_source(self, device):
        x = torch.arange(4, device=device)
        x[1:] = x[:-1].clone()
        assert x.tolist() == [0, 0, 1, 2]

    def test_fix_the_same_elements_may_be_both(self, device):
        x = torch.arange(4, device=device)
        x[1:] += x[1:]
        assert x.tolist() == [0, 2, 4, 6]


@pitfall(
    "indexed-write-to-an-expanded-tensor",
    docs=[("torch.Tensor.expand", "please clone them first"), "torch.Tensor.masked_fill_", "torch.Tensor.index_put_"],
    symptom="UserWarning: Use of masked_fill_ on expanded tensors is deprecated; a mask fills too much",
    error="on expanded tensors is deprecated",
)
class TestIndexedWriteToAnExpandedTensor:
    """A masked or indexed write to an expanded tensor hits every copy of the element, with no more than a warning.

    A mask of one position thus fills a whole row or batch. Other writes are refused: ``scatter_``, ``index_add_``,
    ``copy_`` of a tensor. ``clone()`` before writing.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, i: x.masked_fill_(i == 1, 5), id="masked_fill_"),
            pytest.param(lambda x, i: x.index_fill_(0, i[1:2], 5), id="index_fill_"),
            pytest.param(lambda x, i: x.index_put_((i[1:2],), i.sum() + 2), id="index_put_"),
            pytest.param(lambda x, i: operator.setitem(x, i[1:2], 5), id="index tensor"),
            pytest.param(lambda x, i: operator.setitem(x, i == 1, 5), id="mask"),
        ],
    )
    def test_trap_all_copies_are_written(self, device, write):
        x = torch.zeros(1, dtype=torch.int64, device=device).expand(3)
        with pytest.warns(UserWarning, match="on expanded tensors is deprecated"):
            write(x, torch.arange(3, device=device))
        assert x.tolist() == [5, 5, 5]

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, i: x.copy_(i), id="copy_"),
            pytest.param(lambda x, i: operator.setitem(x, slice(None), i), id="x[:] ="),
            pytest.param(lambda x, i: x.scatter_(0, i[:1], 5), id="scatter_"),
            pytest.param(lambda x, i: x.index_add_(0, i[:1], i[:1]), id="index_add_"),
            pytest.param(lambda x, i: x.index_copy_(0, i[:1], i[:1]), id="index_copy_"),
        ],
    )
    def test_trap_other_writes_are_refused(self, device, write):
        x = torch.zeros(1, dtype=torch.int64, device=device).expand(3)
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single"):
            write(x, torch.arange(3, device=device))

    def test_fix_clone_first(self, device):
        x = torch.zeros(1, dtype=torch.int64, device=device).expand(3).clone()
        x[[1]] = 5
        assert x.tolist() == [0, 5, 0]


@pitfall(
    "expanded-tensor-grows-on-use",
    docs=[("torch.Tensor.expand", "may still allocate memory if they need to"), "torch.Tensor.untyped_storage"],
    symptom="out of memory although expand() costs nothing",
)
class TestExpandedTensorGrowsOnUse:
    """``expand`` costs no memory, but the next operation on it that makes a new tensor allocates the full size.

    A change of dtype, ``contiguous``, ``clone`` and plain arithmetic all do. Convert and compute first, expand last,
    and let broadcasting stretch the operand where an operation can.
    """

    def test_trap_only_the_view_is_free(self, device):
        x = torch.ones(1, device=device).expand(1000)
        assert x.stride() == (0,)
        assert x.untyped_storage().nbytes() == 4

    @pytest.mark.parametrize(
        ("use", "size"),
        [
            pytest.param(lambda x: x.double(), 8000, id="double"),
            pytest.param(lambda x: x + 1, 4000, id="x + 1"),
            pytest.param(lambda x: x.contiguous(), 4000, id="contiguous"),
            pytest.param(lambda x: x.clone(), 4000, id="clone"),
        ],
    )
    def test_trap_its_use_allocates_everything(self, device, use, size):
        x = torch.ones(1, device=device).expand(1000)
        assert use(x).untyped_storage().nbytes() == size

    def test_fix_expand_last(self, device):
        x = (torch.ones(1, device=device).double() + 1).expand(1000)
        assert x.untyped_storage().nbytes() == 8
        assert x.sum().item() == 2000
