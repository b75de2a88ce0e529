"""`MultiheadAttention`: the order of its dimensions, the weights that it returns, and the number of heads."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "multihead-attention-is-sequence-first",
    docs=[("torch.nn.MultiheadAttention", "then the input and output tensors are provided")],
    symptom="MultiheadAttention gives the wrong attention weights, of shape (length, batch, batch)",
    priority=1,
)
class TestMultiheadAttentionIsSequenceFirst:
    """By default ``MultiheadAttention`` takes the first dimension for the sequence and the second for the batch.

    A batch of shape ``(batch, length, features)`` is accepted, and the samples attend to each other. Pass
    ``batch_first=True``. Two dimensions are one sequence without a batch, whatever ``batch_first``.
    """

    def test_trap_samples_attend_to_each_other(self, device, seeded):
        attention = nn.MultiheadAttention(4, 2, device=device)
        batch = torch.rand(2, 3, 4, device=device, requires_grad=True)  # two samples of three steps are meant
        attention(batch, batch, batch)[0][0].square().sum().backward()
        assert (batch.grad[1] != 0).any().item()

    def test_trap_weights_are_of_the_batch(self, device, seeded):
        attention, batch = nn.MultiheadAttention(4, 2, device=device), torch.rand(2, 3, 4, device=device)
        assert attention(batch, batch, batch)[1].shape == (3, 2, 2)

    def test_fix_batch_first(self, device, seeded):
        attention = nn.MultiheadAttention(4, 2, batch_first=True, device=device)
        batch = torch.rand(2, 3, 4, device=device, requires_grad=True)
        y, weights = attention(batch, batch, batch)
        y[0].square().sum().backward()
        assert weights.shape == (2, 3, 3)
        assert batch.grad[1].tolist() == [[0, 0, 0, 0]] * 3

    @pytest.mark.parametrize("batch_first", [False, True], ids=["sequence first", "batch first"])
    def test_fix_two_dimensions_are_one_sequence(self, device, seeded, batch_first):
        attention = nn.MultiheadAttention(4, 2, batch_first=batch_first, device=device)
        x = torch.rand(3, 4, device=device)
        assert attention(x, x, x)[1].shape == (3, 3)


@pitfall(
    "attention-weights-are-averaged",
    docs=[
        ("torch.nn.MultiheadAttention.forward", "returns attention weights averaged across heads"),
        "torch.nn.MultiheadAttention",
    ],
    symptom="the attention weights have no dimension for the heads; or they are None",
)
class TestAttentionWeightsAreAveraged:
    """``MultiheadAttention`` returns its weights as a mean over the heads, and with ``need_weights=False`` as None.

    Returning them costs the fused kernel. For each head ask with ``average_attn_weights=False``.
    """

    def test_trap_no_dimension_for_heads(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 5, 4, device=device)
        assert attention(x, x, x)[1].shape == (5, 3, 3)

    def test_trap_not_needed_is_none(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 5, 4, device=device)
        assert attention(x, x, x, need_weights=False)[1] is None

    def test_fix_each_head(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 5, 4, device=device)
        _, weights = attention(x, x, x, average_attn_weights=False)
        assert weights.shape == (5, 2, 3, 3)
        torch.testing.assert_close(weights.mean(1), attention(x, x, x)[1])


@pitfall(
    "heads-divide-the-embedding",
    docs=[("torch.nn.MultiheadAttention", "will be split across")],
    symptom="AssertionError: embed_dim must be divisible by num_heads",
    error="embed_dim must be divisible by num_heads",
)
class TestHeadsDivideTheEmbedding:
    """The heads share the embedding: each gets ``embed_dim // num_heads`` features, and it must divide.

    More heads are thus smaller heads, and no more weights.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda: nn.MultiheadAttention(5, 2), id="attention"),
            pytest.param(lambda: nn.TransformerEncoderLayer(5, 2), id="encoder layer"),
            pytest.param(lambda: nn.TransformerDecoderLayer(5, 2), id="decoder layer"),
        ],
    )
    def test_trap_it_must_divide(self, make):
        with pytest.raises(AssertionError, match="embed_dim must be divisible by num_heads"):
            make()

    @pytest.mark.parametrize(("heads", "size"), [(1, 4), (2, 2), (4, 1)], ids=str)
    def test_trap_more_heads_are_smaller(self, seeded, heads, size):
        assert nn.MultiheadAttention(4, heads).head_dim == size

    def test_fix_round_up(self, seeded):
        assert nn.MultiheadAttention(6, 2).head_dim == 3
