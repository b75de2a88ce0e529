"""Scaled dot product attention: dropout in eval mode, the order of dimensions, the causal corner, and the scale."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import before, on, pitfall, since


@pitfall(
    "attention-function-always-drops",
    docs=["torch.nn.functional.scaled_dot_product_attention", "torch.nn.Module.eval"],
    symptom="a model in eval mode gives another result each time",
    priority=1,
)
class TestAttentionFunctionAlwaysDrops:
    """``scaled_dot_product_attention`` drops with ``dropout_p`` whenever it is called, in eval mode as well.

    It is a function and knows no mode. Pass ``dropout_p=self.p if self.training else 0.0``.
    """

    def test_trap_it_drops_in_eval_mode(self, device, seeded):
        class Attention(nn.Module):
            def forward(self, x):
                return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)

        y = Attention().eval()(torch.ones(1, 1, 64, 8, device=device))
        assert (y != 1).any().item()

    @on("cpu")
    def test_trap_it_drops_without_gradients(self, device):
        x = torch.ones(1, 1, 2, 1, device=device)
        with torch.inference_mode():
            y = F.scaled_dot_product_attention(x, x, x, dropout_p=1.0)
        assert y.flatten().tolist() == [0, 0]

    def test_fix_ask_the_mode(self, device):
        class Attention(nn.Module):
            def forward(self, x):
                return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5 if self.training else 0.0)

        y = Attention().eval()(torch.ones(1, 1, 64, 8, device=device))
        torch.testing.assert_close(y, torch.ones(1, 1, 64, 8, device=device))


@pitfall(
    "heads-come-before-positions",
    docs=[("torch.nn.functional.scaled_dot_product_attention", "Query tensor; shape"), "torch.transpose"],
    symptom="attention runs, but the model does not learn from the context",
)
class TestHeadsComeBeforePositions:
    """``scaled_dot_product_attention`` attends over the last dimension but one, whatever you mean by the others.

    What comes from a linear layer is ``(batch, length, heads, size)``; as it is, the heads attend to each other within
    a position. Transpose to ``(batch, heads, length, size)``, and back.
    """

    def test_trap_heads_are_mixed(self, device):
        x = torch.zeros(1, 2, 2, 1, device=device)  # two positions of two heads
        v = torch.tensor([[[[1.0], [10.0]], [[3.0], [30.0]]]], device=device)
        assert F.scaled_dot_product_attention(x, x, v).flatten().tolist() == [5.5, 5.5, 16.5, 16.5]

    def test_fix_transpose(self, device):
        x = torch.zeros(1, 2, 2, 1, device=device)
        v = torch.tensor([[[[1.0], [10.0]], [[3.0], [30.0]]]], device=device)
        y = F.scaled_dot_product_attention(*(z.transpose(1, 2) for z in (x, x, v))).transpose(1, 2)
        assert y.flatten().tolist() == [2, 20, 2, 20]


@pitfall(
    "causal-attention-starts-top-left",
    docs=["torch.nn.functional.scaled_dot_product_attention"],
    symptom="with a cache of keys the new token attends to the first key only",
)
class TestCausalAttentionStartsTopLeft:
    """``is_causal=True`` aligns queries and keys at their beginnings: query 0 sees key 0 only.

    With one query and many keys, as in generation with a cache, it hides all but the first. Pass no mask there, or a
    mask that is aligned at the end.
    """

    def test_trap_one_query_sees_the_first_key(self, device):
        q, v = torch.zeros(1, 1, 1, 1, device=device), torch.tensor([1.0, 2.0, 6.0], device=device).reshape(1, 1, 3, 1)
        assert F.scaled_dot_product_attention(q, v, v, is_causal=True).item() == 1

    def test_fix_align_at_the_end(self, device):
        q, v = torch.zeros(1, 1, 2, 1, device=device), torch.tensor([1.0, 2.0, 6.0], device=device).reshape(1, 1, 3, 1)
        mask = torch.ones(2, 3, dtype=torch.bool, device=device).tril(1)
        y = F.scaled_dot_product_attention(q, v, v, attn_mask=mask)
        torch.testing.assert_close(y.flatten(), torch.tensor([1.5, 3.0], device=device))


@pitfall(
    "mask-beside-is-causal",
    docs=[("torch.nn.functional.scaled_dot_product_attention", "if both attn_mask and is_causal")],
    symptom="Explicit attn_mask should not be set when is_causal=True, in some releases and shapes only",
    error="Explicit attn_mask should not be set when is_causal=True",
    changed={
        "2.3": "a mask beside is_causal=True is combined with it by the fused kernel of the CPU; it had been refused",
        "2.14": "a mask beside is_causal=True is refused again",
    },
    contradicts={
        "torch.nn.functional.scaled_dot_product_attention": "a mask beside is_causal is refused (torch 2.3 to 2.13 "
        "combine the two on the CPU)"
    },
    priority=3,
)
class TestMaskBesideIsCausal:
    """A mask and ``is_causal=True`` exclude each other, though some releases combine them on the CPU.

    From torch 2.3 to 2.13 the fused kernel applied both, for inputs of four dimensions. Put the causal part into the
    mask yourself.
    """

    @since("2.3")
    @before("2.14")
    @on("cpu")
    def test_trap_they_were_combined(self, device):
        q, v = torch.zeros(1, 1, 2, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        mask = torch.tensor([[True, True], [False, True]], device=device)
        y = F.scaled_dot_product_attention(q, v, v, attn_mask=mask, is_causal=True)
        assert y.flatten().tolist() == [1, 3]

    @on("cpu")
    @pytest.mark.parametrize(
        "dimensions",
        [
            pytest.param(3, id="three dimensions"),
            pytest.param(4, id="four dimensions", marks=before("2.3")),
            pytest.param(4, id="four dimensions again", marks=since("2.14")),
        ],
    )
    def test_trap_they_are_refused(self, device, dimensions):
        x, mask = torch.zeros([1] * (dimensions - 2) + [2, 1], device=device), torch.zeros(2, 2, device=device)
        with pytest.raises(RuntimeError, match="Explicit attn_mask should not be set when is_causal=True"):
            F.scaled_dot_product_attention(x, x, x, attn_mask=mask, is_causal=True)

    def test_fix_one_mask(self, device):
        q, v = torch.zeros(1, 1, 2, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        mask = torch.tensor([[True, True], [False, True]], device=device).tril()
        assert F.scaled_dot_product_attention(q, v, v, attn_mask=mask).flatten().tolist() == [1, 3]


@pitfall(
    "attention-scales-by-itself",
    docs=["torch.nn.functional.scaled_dot_product_attention"],
    symptom="attention is too even after replacing my own formula, because the query is scaled twice",
    changed={"2.1": "scaled_dot_product_attention takes scale=; before, one could only scale the query"},
    priority=3,
)
class TestAttentionScalesByItself:
    """``scaled_dot_product_attention`` divides the scores by the root of the last dimension, scaled query or not.

    A query that your own code has scaled already is scaled again. Take the scaling out, or pass ``scale=1.0``.
    """

    def test_trap_scores_are_halved(self, device):
        q = torch.ones(1, 1, 1, 4, device=device)
        k = torch.tensor([[0.0] * 4, [1.0] * 4], device=device)[None, None]  # the scores are 0 and 4
        y = F.scaled_dot_product_attention(q, k, k)
        torch.testing.assert_close(y[0, 0, 0, 0].item(), 1 / (1 + math.exp(-2)), rtol=1e-5, atol=0)

    @since("2.1")
    def test_fix_scale_of_one(self, device):
        q = torch.ones(1, 1, 1, 4, device=device)
        k = torch.tensor([[0.0] * 4, [1.0] * 4], device=device)[None, None]
        y = F.scaled_dot_product_attention(q, k, k, scale=1.0)
        torch.testing.assert_close(y[0, 0, 0, 0].item(), 1 / (1 + math.exp(-4)), rtol=1e-5, atol=0)
