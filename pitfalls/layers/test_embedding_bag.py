"""Bags of embeddings: how offsets cut the indices, what empty bags give, and which options exclude each other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall


@pitfall(
    "embedding-bag-averages-by-default",
    docs=[("torch.nn.EmbeddingBag", "computes the average of the values"), "torch.nn.functional.embedding_bag"],
    symptom="EmbeddingBag does not give the sum of the embeddings; its output has one row per sentence only",
)
class TestEmbeddingBagAveragesByDefault:
    """``EmbeddingBag`` reduces each bag to one vector, and the default reduction is the mean, not the sum.

    A row of a 2-D input is one bag of fixed length. ``mode="sum"`` and ``"max"`` are the others; indices equal to
    ``padding_idx`` are left out of the mean, of its count as well.
    """

    @pytest.mark.parametrize(("mode", "bags"), [("sum", [3, 12]), ("mean", [1.5, 6]), ("max", [2, 8])], ids=str)
    def test_trap_three_reductions(self, device, mode, bags):
        weight = torch.tensor([[1.0], [2.0], [4.0], [8.0]], device=device)
        indices = torch.tensor([[0, 1], [2, 3]], device=device)
        assert F.embedding_bag(indices, weight, mode=mode).flatten().tolist() == bags

    def test_trap_the_default_is_the_mean(self, device):
        bag = nn.EmbeddingBag.from_pretrained(torch.tensor([[1.0], [2.0]], device=device))
        assert bag(torch.tensor([[0, 1]], device=device)).tolist() == [[1.5]]

    def test_trap_padding_is_left_out_of_the_count(self, device):
        weight = torch.tensor([[1.0], [2.0], [4.0]], device=device)
        indices = torch.tensor([[0, 1], [2, 1]], device=device)
        assert F.embedding_bag(indices, weight, padding_idx=0).tolist() == [[2], [3]]

    def test_fix_embedding_and_a_reduction_by_hand(self, device):
        weight = torch.tensor([[1.0], [2.0], [4.0], [8.0]], device=device)
        indices = torch.tensor([[0, 1], [2, 3]], device=device)
        assert F.embedding(indices, weight).sum(1).tolist() == [[3], [12]]


@pitfall(
    "embedding-bag-offsets-are-starts",
    docs=[
        ("torch.nn.EmbeddingBag.forward", "is ignored and required to be ``None`` in"),
        ("torch.nn.EmbeddingBag.forward", "Empty bags (i.e., having 0-length) will have"),
    ],
    symptom="ValueError: offsets has to be a 1D Tensor but got None; some of my bags are zeros",
    error="offsets has to be",
)
class TestEmbeddingBagOffsetsAreStarts:
    """``offsets`` are where the bags of a 1-D input start, not their lengths, and the first must be 0.

    Two equal offsets make an empty bag, whose vector is zero, with every mode. A 1-D input needs offsets, a 2-D input
    forbids them. From lengths they are ``lengths.cumsum(0) - lengths``.
    """

    def test_trap_one_dimension_needs_them(self, device):
        bag = nn.EmbeddingBag.from_pretrained(torch.ones(2, 1, device=device))
        with pytest.raises(ValueError, match="offsets has to be a 1D Tensor but got None"):
            bag(torch.tensor([0, 1], device=device))

    def test_trap_two_dimensions_forbid_them(self, device):
        bag = nn.EmbeddingBag.from_pretrained(torch.ones(2, 1, device=device))
        with pytest.raises(ValueError, match="if input is 2D, then offsets has to be None"):
            bag(torch.tensor([[0, 1]], device=device), torch.tensor([0], device=device))

    @pytest.mark.parametrize("mode", ["sum", "mean", "max"])
    def test_trap_an_empty_bag_is_zero(self, device, mode):
        weight = torch.tensor([[-1.0], [-2.0]], device=device)
        indices, offsets = torch.tensor([0, 0], device=device), torch.tensor([0, 0, 2], device=device)
        bags = F.embedding_bag(indices, weight, offsets, mode=mode).flatten()
        assert (bags == 0).tolist() == [True, False, True]

    def test_trap_lengths_are_not_offsets(self, device):
        weight = torch.tensor([[1.0], [2.0], [4.0], [8.0]], device=device)
        lengths = torch.tensor([0, 1, 3], device=device)
        bags = F.embedding_bag(torch.arange(4, device=device), weight, lengths, mode="sum")
        assert bags.flatten().tolist() == [1, 6, 8]

    def test_fix_offsets_from_lengths(self, device):
        weight = torch.tensor([[1.0], [2.0], [4.0], [8.0]], device=device)
        lengths = torch.tensor([0, 1, 3], device=device)
        offsets = lengths.cumsum(0) - lengths
        bags = F.embedding_bag(torch.arange(4, device=device), weight, offsets, mode="sum")
        assert bags.flatten().tolist() == [0, 1, 14]

    def test_fix_include_the_end(self, device):
        weight = torch.tensor([[1.0], [2.0], [4.0]], device=device)
        ends = torch.tensor([0, 2, 3], device=device)
        bags = F.embedding_bag(torch.arange(3, device=device), weight, ends, mode="sum", include_last_offset=True)
        assert bags.flatten().tolist() == [3, 4]


@pitfall(
    "embedding-bag-options-exclude-each-other",
    docs=[
        ("torch.nn.EmbeddingBag", 'this option is not supported when ``mode="max"``'),
        ("torch.nn.EmbeddingBag", 'only supported ``mode`` is ``"sum"``'),
    ],
    symptom="max mode does not support scaling the gradient by the frequency; per_sample_weights is only supported for",
    error="per_sample_weights is only supported for mode='sum'",
    priority=3,
)
class TestEmbeddingBagOptionsExcludeEachOther:
    """Weights per sample need ``mode="sum"``; ``mode="max"`` takes neither sparse gradients nor a scaling of them.

    For a weighted mean divide the weights by their sum in each bag and sum.
    """

    @pytest.mark.parametrize("mode", ["mean", "max"])
    def test_trap_weights_need_the_sum(self, device, mode):
        weight, indices = torch.ones(2, 1, device=device), torch.tensor([[0, 1]], device=device)
        with pytest.raises(NotImplementedError, match="per_sample_weights is only supported for mode='sum'"):
            F.embedding_bag(indices, weight, mode=mode, per_sample_weights=torch.ones(1, 2, device=device))

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            pytest.param("scale_grad_by_freq", "scaling the gradient by the frequency", id="scale_grad_by_freq"),
            pytest.param("sparse", "sparse weights", id="sparse"),
        ],
    )
    def test_trap_max_takes_neither(self, device, option, message):
        weight, indices = torch.ones(2, 1, device=device), torch.tensor([[0, 1]], device=device)
        with pytest.raises(ValueError, match=f"max mode does not support {message}"):
            F.embedding_bag(indices, weight, mode="max", **{option: True})

    def test_fix_weighted_mean(self, device):
        weight, indices = torch.tensor([[2.0], [6.0]], device=device), torch.tensor([[0, 1]], device=device)
        shares = torch.tensor([[3.0, 1.0]], device=device)
        shares = shares / shares.sum(1, keepdim=True)
        assert F.embedding_bag(indices, weight, mode="sum", per_sample_weights=shares).tolist() == [[3]]
