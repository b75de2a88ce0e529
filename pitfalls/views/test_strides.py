"""Strides and memory formats: the order of the elements in memory, and who keeps it."""

import pytest
import torch

from pitfalls import observe, pitfall


@pitfall(
    "transpose-only-swaps-strides",
    docs=["tensor_view", ("torch.transpose", "shares its underlying storage with the"), "torch.Tensor.is_contiguous"],
    symptom="x.t() is not contiguous, and a kernel or C extension reads its elements in the wrong order",
)
class TestTransposeOnlySwapsStrides:
    """A transpose moves no element: it swaps the sizes and the strides, and is no longer contiguous.

    Code that takes ``data_ptr()`` and assumes rows reads the old order. ``contiguous()`` puts the elements in order;
    transposing twice gives the old strides back.
    """

    SWAPS = [
        pytest.param(lambda x: x.t(), id="t"),
        pytest.param(lambda x: x.mT, id="mT"),
        pytest.param(lambda x: x.transpose(0, 1), id="transpose"),
        pytest.param(lambda x: x.permute(1, 0), id="permute"),
    ]

    @pytest.mark.parametrize("swap", SWAPS)
    def test_trap_sizes_and_strides_are_swapped(self, device, swap):
        x = torch.arange(6, device=device).view(2, 3)
        y = swap(x)
        assert y.stride() == (1, 3)
        assert y.data_ptr() == x.data_ptr()
        assert not y.is_contiguous()

    @pytest.mark.parametrize("swap", SWAPS)
    def test_fix_contiguous_puts_them_in_order(self, device, swap):
        y = swap(torch.arange(6, device=device).view(2, 3)).contiguous()
        assert y.stride() == (2, 1)
        assert y.tolist() == [[0, 3], [1, 4], [2, 5]]

    @pytest.mark.parametrize("swap", SWAPS)
    def test_fix_twice_is_contiguous_again(self, device, swap):
        assert swap(swap(torch.arange(6, device=device).view(2, 3))).is_contiguous()


@pitfall(
    "copies-keep-the-strides",
    docs=[
        ("torch.empty_like", "its memory format (including strides) is retained"),
        ("torch.clone", "memory_format=torch.preserve_format"),
        "tensor_attributes#torch-memory-format",
    ],
    symptom="x.t().clone().view(-1) still fails: the clone of a transpose is not contiguous",
)
class TestCopiesKeepTheStrides:
    """``clone``, ``to`` and the ``*_like`` factories keep the strides of a dense tensor: a transpose stays one.

    Tensors with gaps or shared elements (a step, ``expand``) come out contiguous instead. Ask for
    ``memory_format=torch.contiguous_format``, or call ``contiguous()``, where the order matters.
    """

    COPIES = [
        pytest.param(lambda x, **how: x.clone(**how), id="clone"),
        pytest.param(lambda x, **how: x.to(torch.float64, **how), id="to"),
        pytest.param(lambda x, **how: x.double(**how), id="double"),
        pytest.param(lambda x, **how: torch.empty_like(x, **how), id="empty_like"),
        pytest.param(lambda x, **how: torch.zeros_like(x, **how), id="zeros_like"),
        pytest.param(lambda x, **how: torch.full_like(x, 2.0, **how), id="full_like"),
    ]

    @pytest.mark.parametrize("copy", COPIES)
    def test_trap_a_transpose_stays_transposed(self, device, copy):
        assert copy(torch.ones(2, 3, device=device).t()).stride() == (1, 3)

    @pytest.mark.parametrize("copy", COPIES)
    @pytest.mark.parametrize(
        "gaps",
        [
            pytest.param(lambda x: x[:, ::2], id="step"),
            pytest.param(lambda x: x[:, :1].expand(2, 2), id="expand"),
        ],
    )
    def test_trap_what_is_not_dense_becomes_contiguous(self, device, copy, gaps):
        assert copy(gaps(torch.ones(2, 3, device=device))).stride() == (2, 1)

    @pytest.mark.parametrize("copy", COPIES)
    def test_fix_ask_for_the_contiguous_format(self, device, copy):
        x = torch.ones(2, 3, device=device).t()
        assert copy(x, memory_format=torch.contiguous_format).is_contiguous()

    @pytest.mark.parametrize(
        "fresh",
        [lambda x: x.new_empty(x.shape), lambda x: torch.empty(x.shape, device=x.device)],
        ids=["new_empty", "empty"],
    )
    def test_fix_a_size_alone_has_no_strides(self, device, fresh):
        assert fresh(torch.ones(2, 3, device=device).t()).is_contiguous()


@pitfall(
    "channels-last-changes-strides-only",
    docs=["tensor_attributes#torch-memory-format", "torch.Tensor.is_contiguous", "torch.Tensor.contiguous"],
    symptom="after x.to(memory_format=torch.channels_last) the shape is still (n, c, h, w)",
)
class TestChannelsLastChangesStridesOnly:
    """``channels_last`` reorders memory and leaves the shape: it is (n, c, h, w) still, with other strides.

    ``is_contiguous()`` means the default format and turns false; ask
    ``is_contiguous(memory_format=torch.channels_last)``. To exchange the dimensions themselves, ``permute``.
    """

    def test_trap_the_shape_and_the_values_stay(self, device):
        x = torch.arange(24, device=device).view(1, 3, 2, 4)
        y = x.to(memory_format=torch.channels_last)
        assert y.shape == (1, 3, 2, 4)
        assert torch.equal(x, y)

    def test_trap_the_channels_are_neighbours_in_memory(self, device):
        x = torch.arange(12, device=device).view(1, 3, 2, 2).to(memory_format=torch.channels_last)
        assert x.stride() == (12, 1, 6, 3)
        assert x.as_strided((12,), (1,)).tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]

    def test_trap_contiguous_means_the_default_format(self, device):
        x = torch.ones(1, 3, 2, 2, device=device).to(memory_format=torch.channels_last)
        assert not x.is_contiguous()
        assert x.contiguous().stride() == (12, 4, 2, 1)

    def test_fix_name_the_format(self, device):
        x = torch.ones(1, 3, 2, 2, device=device).to(memory_format=torch.channels_last)
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert x.contiguous(memory_format=torch.channels_last) is x

    def test_fix_permuted_it_is_contiguous(self, device):
        x = torch.ones(1, 3, 2, 4, device=device).to(memory_format=torch.channels_last)
        assert x.permute(0, 2, 3, 1).shape == (1, 2, 4, 3)
        assert x.permute(0, 2, 3, 1).is_contiguous()


@pitfall(
    "channels-last-wants-its-rank",
    docs=["tensor_attributes#torch-memory-format", "torch.Tensor.to"],
    symptom="RuntimeError: required rank 4 tensor to use channels_last format",
    error="required rank 4 tensor to use channels_last format",
)
class TestChannelsLastWantsItsRank:
    """``channels_last`` is for four dimensions and ``channels_last_3d`` for five; any other rank raises.

    A single image without its batch is refused too. Add the batch with ``unsqueeze(0)``, or ``x[None]``.
    """

    @pytest.mark.parametrize("shape", [(2, 3), (3, 2, 2), (1, 3, 2, 2, 2)], ids=str)
    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda x: x.to(memory_format=torch.channels_last), id="to"),
            pytest.param(lambda x: x.contiguous(memory_format=torch.channels_last), id="contiguous"),
        ],
    )
    def test_trap_another_rank_is_refused(self, device, shape, convert):
        with pytest.raises(RuntimeError, match="required rank 4 tensor to use channels_last format"):
            convert(torch.ones(shape, device=device))

    def test_trap_four_are_too_few_for_the_3d_format(self, device):
        with pytest.raises(RuntimeError, match="required rank 5 tensor to use channels_last_3d format"):
            torch.ones(1, 3, 2, 2, device=device).to(memory_format=torch.channels_last_3d)

    def test_fix_add_the_batch(self, device):
        image = torch.ones(3, 2, 2, device=device)
        assert image[None].to(memory_format=torch.channels_last).stride() == (12, 1, 6, 3)


@pitfall(
    "channels-last-is-ambiguous",
    docs=["torch.Tensor.is_contiguous", "torch.Tensor.contiguous", "tensor_attributes#torch-memory-format"],
    symptom="is_contiguous() is true for both memory formats; contiguous(memory_format=...) did nothing",
    priority=3,
)
class TestChannelsLastIsAmbiguous:
    """With one channel, or with images of one pixel, a tensor is contiguous in both formats at once.

    Strides of dimensions of size one don't matter, so nothing tells the formats apart and ``contiguous`` returns the
    tensor as it is. Which format an operation then gives is up to it.
    """

    @pytest.mark.parametrize("shape", [(2, 1, 4, 5), (2, 3, 1, 1)], ids=["one channel", "one pixel"])
    def test_trap_it_has_both_formats(self, device, shape):
        x = torch.ones(shape, device=device)
        assert x.is_contiguous()
        assert x.is_contiguous(memory_format=torch.channels_last)

    @pytest.mark.parametrize("shape", [(2, 1, 4, 5), (2, 3, 1, 1)], ids=["one channel", "one pixel"])
    def test_trap_contiguous_does_nothing(self, device, shape):
        x = torch.ones(shape, device=device)
        assert x.contiguous(memory_format=torch.channels_last) is x
        observe(strides=list(x.to(memory_format=torch.channels_last).stride()))

    def test_fix_otherwise_the_formats_exclude_each_other(self, device):
        x = torch.ones(2, 3, 4, 5, device=device)
        assert not x.is_contiguous(memory_format=torch.channels_last)


@pitfall(
    "as-strided-reads-the-storage",
    docs=[("torch.as_strided", "on the current layout in memory"), "torch.Tensor.stride"],
    symptom="as_strided gives other values after I transposed or sliced its input",
)
class TestAsStridedReadsTheStorage:
    """``as_strided`` ignores the strides of its input and reads the storage: equal tensors give different results.

    Only the offset of the input is kept, unless one is given. Windows are safer through ``unfold``, repeats through
    ``expand``. Beyond the end of the storage it raises.
    """

    def test_trap_equal_tensors_give_other_values(self, device):
        x = torch.tensor([[0, 3], [1, 4], [2, 5]], device=device)
        y = torch.arange(6, device=device).view(2, 3).t()
        assert torch.equal(x, y)
        assert x.as_strided((3, 2), (2, 1)).tolist() == [[0, 3], [1, 4], [2, 5]]
        assert y.as_strided((3, 2), (2, 1)).tolist() == [[0, 1], [2, 3], [4, 5]]

    def test_trap_it_reaches_beyond_its_input(self, device):
        x = torch.arange(6, device=device)
        assert x[:2].as_strided((6,), (1,)).tolist() == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize(("offset", "values"), [(None, [3, 4]), (0, [0, 1])], ids=str)
    def test_trap_the_offset_is_kept_unless_given(self, device, offset, values):
        row = torch.arange(6, device=device).view(2, 3)[1]
        assert row.as_strided((2,), (1,), offset).tolist() == values

    @pytest.mark.parametrize(
        ("size", "stride", "match"),
        [
            pytest.param((7,), (1,), "out of bounds for storage of size", id="too long"),
            pytest.param((3,), (3,), "out of bounds for storage of size", id="too far apart"),
            pytest.param((2,), (-1,), "Negative strides are not supported", id="negative"),
        ],
    )
    def test_trap_outside_the_storage_it_raises(self, device, size, stride, match):
        with pytest.raises(RuntimeError, match=match):
            torch.arange(6, device=device).as_strided(size, stride)

    @pytest.mark.parametrize("transposed", [False, True], ids=["contiguous", "transposed"])
    def test_fix_unfold_respects_the_strides(self, device, transposed):
        x = torch.tensor([[0, 3], [1, 4], [2, 5]], device=device)
        x = x.t().contiguous().t() if transposed else x
        assert x.unfold(0, 2, 1)[:, 0].tolist() == [[0, 1], [1, 2]]
