"""Layers that rearrange: flattening, linear layers on many dimensions, unfolding, pixel shuffling and padding."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall


@pitfall(
    "flatten-keeps-the-first-dimension",
    docs=[("torch.nn.Flatten", "first dim to flatten (default = 1)"), "torch.flatten"],
    symptom="nn.Flatten and torch.flatten give other shapes; a single image keeps its channels",
)
class TestFlattenKeepsTheFirstDimension:
    """``nn.Flatten`` begins at dimension 1 and keeps the batch; ``torch.flatten`` begins at 0 and merges it.

    Neither knows what the first dimension is: an image without a batch becomes one row a channel in ``nn.Flatten``.
    Pass ``start_dim=1`` to the function, and give the layer batches.
    """

    def test_trap_the_function_merges_the_batch(self, device):
        assert torch.flatten(torch.ones(2, 3, 4, device=device)).shape == (24,)

    def test_trap_a_single_image_keeps_its_channels(self, device):
        assert nn.Flatten()(torch.ones(3, 8, 8, device=device)).shape == (3, 64)

    @pytest.mark.parametrize(
        "flatten",
        [pytest.param(nn.Flatten(), id="Flatten"), pytest.param(lambda x: torch.flatten(x, 1), id="torch.flatten")],
    )
    def test_fix_begin_at_one(self, device, flatten):
        assert flatten(torch.ones(2, 3, 4, device=device)).shape == (2, 12)


@pitfall(
    "linear-acts-on-the-last-dimension",
    docs=[("torch.nn.Linear", "means any number of"), "torch.nn.functional.linear"],
    symptom="Linear after a convolution does not flatten; the weight of Linear(3, 2) is (2, 3)",
)
class TestLinearActsOnTheLastDimension:
    """``Linear`` maps the last dimension and leaves all others alone; its weight is ``(out_features, in_features)``.

    Nothing is flattened: every row of a sequence goes through the same weights. For images flatten before it. To copy
    weights from a library that stores them as ``(in, out)`` transpose them.
    """

    @pytest.mark.parametrize("sizes", [(3,), (5, 3), (4, 5, 3), (2, 4, 5, 3)], ids=str)
    def test_trap_others_are_left_alone(self, device, seeded, sizes):
        assert nn.Linear(3, 2, device=device)(torch.ones(sizes, device=device)).shape == (*sizes[:-1], 2)

    def test_trap_the_weight_is_transposed(self, device):
        x, weight = torch.tensor([1.0, 2.0, 3.0], device=device), torch.tensor([[1.0, 10.0, 100.0]], device=device)
        assert F.linear(x, weight).tolist() == [321]

    def test_trap_steps_of_a_sequence_share_the_weights(self, device):
        x, weight = torch.tensor([[[1.0], [2.0]]], device=device), torch.tensor([[10.0]], device=device)
        assert F.linear(x, weight).tolist() == [[[10], [20]]]

    def test_fix_flatten_before(self, device, seeded):
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2, device=device))
        assert net(torch.ones(5, 3, 4, device=device)).shape == (5, 2)


@pitfall(
    "fold-sums-overlaps",
    docs=[
        ("torch.nn.Fold", "summing all values from all containing blocks"),
        ("torch.nn.functional.unfold", "single memory location"),
        ("torch.nn.Unfold", "Currently, only 4-D input tensors"),
    ],
    symptom="fold(unfold(x)) is brighter than x in the middle",
    contradicts={
        "torch.nn.functional.unfold": "cells of the result are said to share memory, but F.unfold copies",
        "torch.nn.Unfold": "only batched 4-D inputs are said to work, but an image of three dimensions is taken",
    },
)
class TestFoldSumsOverlaps:
    """``fold(unfold(x))`` adds up what overlapping blocks hold, so it is ``x`` only for blocks that don't overlap.

    Divide by ``fold(unfold(ones))``, which counts the blocks of each pixel. ``F.unfold`` makes a column of each block
    in a new tensor; the method ``Tensor.unfold`` is a view. Both layers are for images only.
    """

    def test_trap_the_middle_counts_twice(self, device):
        x = torch.tensor([[[[1.0, 2.0, 3.0]]]], device=device)
        blocks = F.unfold(x, (1, 2))
        assert blocks.tolist() == [[[1, 2], [2, 3]]]
        assert F.fold(blocks, (1, 3), (1, 2)).flatten().tolist() == [1, 4, 3]

    @pytest.mark.parametrize("sizes", [(3, 3), (1, 1, 3, 3, 3)], ids=["matrix", "volume"])
    def test_trap_images_only(self, device, sizes):
        with pytest.raises((RuntimeError, IndexError), match=r"(Expected 3D or 4D|Dimension out of range)"):
            F.unfold(torch.ones(sizes, device=device), 2)

    def test_trap_an_image_without_a_batch_is_taken(self, device):
        assert F.unfold(torch.ones(1, 3, 3, device=device), 2).shape == (4, 4)

    def test_trap_fold_makes_images_only(self, device):
        with pytest.raises(RuntimeError, match="It is expected output_size equals to 2, but got size 3"):
            F.fold(torch.ones(1, 8, 8, device=device), (3, 3, 3), 2)

    def test_trap_the_function_copies_the_method_does_not(self, device):
        x = torch.tensor([[[[1.0, 2.0, 3.0]]]], device=device)
        F.unfold(x, (1, 2)).zero_()
        assert x.sum().item() == 6
        x.unfold(3, 2, 1).zero_()
        assert x.sum().item() == 0

    def test_fix_divide_by_the_count(self, device):
        x = torch.tensor([[[[1.0, 2.0, 3.0]]]], device=device)
        total, count = (F.fold(F.unfold(y, (1, 2)), (1, 3), (1, 2)) for y in (x, torch.ones_like(x)))
        assert torch.equal(total / count, x)

    def test_fix_blocks_side_by_side(self, device):
        x = torch.arange(16.0, device=device).reshape(1, 1, 4, 4)
        assert torch.equal(F.fold(F.unfold(x, 2, stride=2), (4, 4), 2, stride=2), x)


@pitfall(
    "pixel-shuffle-needs-square-channels",
    docs=["torch.nn.PixelShuffle", "torch.nn.PixelUnshuffle"],
    symptom="pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor",
    error="to be divisible by the square of upscale_factor",
    priority=3,
)
class TestPixelShuffleNeedsSquareChannels:
    """``PixelShuffle(r)`` turns groups of r * r neighbouring channels into blocks of pixels, so they must divide.

    The channels of one output channel lie next to each other. It is no view of the input, and no transposed
    convolution; ``PixelUnshuffle`` is the way back.
    """

    def test_trap_channels_must_divide(self, device):
        with pytest.raises(RuntimeError, match="to be divisible by the square of upscale_factor"):
            nn.PixelShuffle(2)(torch.ones(1, 6, 2, 2, device=device))

    def test_trap_neighbouring_channels_make_a_block(self, device):
        x = torch.arange(8.0, device=device).reshape(1, 8, 1, 1)
        assert F.pixel_shuffle(x, 2).tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]]]]

    def test_fix_there_and_back(self, device):
        x = torch.arange(8.0, device=device).reshape(1, 8, 1, 1)
        assert torch.equal(nn.PixelUnshuffle(2)(nn.PixelShuffle(2)(x)), x)


@pitfall(
    "pad-begins-with-the-last-dimension",
    docs=[("torch.nn.functional.pad", "starting from the last dimension and moving forward"), "torch.nn.ZeroPad2d"],
    symptom="F.pad pads the width instead of the height; the reverse order of numpy.pad",
    error="Padding length",
)
class TestPadBeginsWithTheLastDimension:
    """``F.pad`` lists its amounts from the last dimension on: left, right, top, bottom, the reverse of ``numpy.pad``.

    Negative amounts cut off. Padding layers take the same order, ``ZeroPad2d((left, right, top, bottom))``.
    """

    @pytest.mark.parametrize(
        ("amounts", "sizes"),
        [((1, 0), (2, 4)), ((0, 0, 1, 0), (3, 3)), ((-1, 0), (2, 2))],
        ids=["two", "four", "negative"],
    )
    def test_trap_last_dimension_first(self, device, amounts, sizes):
        assert F.pad(torch.ones(2, 3, device=device), amounts).shape == sizes

    @pytest.mark.parametrize("amounts", [(1, 0, 1), (1,) * 6], ids=["odd", "too many"])
    def test_trap_pairs_for_the_dimensions_there_are(self, device, amounts):
        with pytest.raises(RuntimeError, match="Padding length"):
            F.pad(torch.ones(2, 3, device=device), amounts)

    def test_fix_reverse_the_pairs_of_numpy(self, device):
        of_numpy = ((1, 0), (0, 2))  # one row above, two columns to the right
        amounts = [amount for pair in reversed(of_numpy) for amount in pair]
        y = F.pad(torch.ones(2, 3, device=device), amounts)
        assert y.tolist() == [[0, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]


@pitfall(
    "reflection-needs-room",
    docs=[
        ("torch.nn.ReflectionPad1d", "padding size should be less than the corresponding"),
        "torch.nn.ReplicationPad1d",
    ],
    symptom="Padding size should be less than the corresponding input dimension, but got: padding (3, 0)",
    error="Padding size should be less than the corresponding input dimension | wrapping around more than once",
    priority=3,
)
class TestReflectionNeedsRoom:
    """Reflection doesn't repeat the edge, so it pads by less than the size; circular padding by the size at most.

    ``"replicate"`` repeats the edge and has no limit. All three are for the last dimensions of a batch, with channels.
    """

    @pytest.mark.parametrize(
        ("mode", "y"),
        [("reflect", [2, 1, 2, 3, 2]), ("replicate", [1, 1, 2, 3, 3]), ("circular", [3, 1, 2, 3, 1])],
        ids=str,
    )
    def test_trap_three_edges(self, device, mode, y):
        assert F.pad(torch.tensor([[[1.0, 2.0, 3.0]]], device=device), (1, 1), mode=mode).flatten().tolist() == y

    @pytest.mark.parametrize(
        ("mode", "amount", "message"),
        [
            ("reflect", 3, "Padding size should be less than the corresponding input dimension"),
            ("circular", 4, "wrapping around more than once"),
        ],
        ids=["reflect", "circular"],
    )
    def test_trap_no_more_than_there_is(self, device, mode, amount, message):
        with pytest.raises(RuntimeError, match=message):
            F.pad(torch.ones(1, 1, 3, device=device), (amount, 0), mode=mode)

    def test_trap_a_vector_is_too_little(self, device):
        with pytest.raises(NotImplementedError, match=r"padding are supported for now|Padding size 2 is not supported"):
            F.pad(torch.ones(3, device=device), (1, 1), mode="reflect")

    def test_fix_replicate_has_no_limit(self, device):
        y = F.pad(torch.tensor([[[1.0, 2.0]]], device=device), (3, 0), mode="replicate")
        assert y.tolist() == [[[1, 1, 1, 1, 2]]]
