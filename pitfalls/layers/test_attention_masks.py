"""Masks of attention: what True means, what a float means, which shape is read how, and what a hint is."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import before, on, pitfall, since


@pitfall(
    "attention-masks-have-two-meanings",
    docs=[
        ("torch.nn.functional.scaled_dot_product_attention", "boolean mask where a value of True indicates"),
        ("torch.nn.MultiheadAttention.forward", "value will be ignored for"),
        "torch.nn.Transformer.forward",
    ],
    symptom="after a change from MultiheadAttention to scaled_dot_product_attention the model attends to the padding",
    priority=1,
)
class TestAttentionMasksHaveTwoMeanings:
    """True takes part in ``scaled_dot_product_attention``, and is ignored in ``MultiheadAttention`` and transformers.

    The same boolean mask is accepted by both, and means the opposite. Invert it with ``~`` on the way.
    """

    def test_trap_true_takes_part(self, device):
        q, v = torch.zeros(1, 1, 1, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        y = F.scaled_dot_product_attention(q, v, v, attn_mask=torch.tensor([[True, False]], device=device))
        assert y.item() == 1

    @pytest.mark.parametrize("name", ["key_padding_mask", "attn_mask"])
    def test_trap_true_is_ignored(self, device, seeded, name):
        attention = nn.MultiheadAttention(4, 2, batch_first=True, device=device)
        x, mask = torch.rand(1, 1, 4, device=device), torch.tensor([[True, False]], device=device)
        _, weights = attention(x, x.expand(1, 2, 4), x.expand(1, 2, 4), **{name: mask})
        assert weights.tolist() == [[[0, 1]]]

    def test_trap_true_is_ignored_by_a_transformer(self, device, seeded):
        model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0, batch_first=True, device=device)
        src, mask = torch.rand(1, 2, 4, device=device, requires_grad=True), torch.tensor([[True, False]], device=device)
        y = model(src, torch.rand(1, 1, 4, device=device), src_key_padding_mask=mask, memory_key_padding_mask=mask)
        y[0, 0, 0].backward()
        assert (src.grad != 0).any(2).tolist() == [[False, True]]

    def test_fix_invert(self, device):
        padding = torch.tensor([[False, True]], device=device)
        q, v = torch.zeros(1, 1, 1, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        assert F.scaled_dot_product_attention(q, v, v, attn_mask=~padding).item() == 1


@pitfall(
    "float-attention-mask-is-added",
    docs=[
        ("torch.nn.functional.scaled_dot_product_attention", "that is added to the attention score"),
        "torch.nn.MultiheadAttention.forward",
        "torch.nn.Transformer.forward",
    ],
    symptom="a mask of ones and zeros hides nothing, although the same mask as bool does",
)
class TestFloatAttentionMaskIsAdded:
    """A float mask is added to the scores before the softmax: zeros and ones exclude nothing.

    A mask that went through ``.float()`` shifts each score by one at most. Exclude with ``-inf``, or stay with bool.
    """

    def test_trap_zero_excludes_nothing(self, device):
        q, v = torch.zeros(1, 1, 1, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        y = F.scaled_dot_product_attention(q, v, v, attn_mask=torch.tensor([[1.0, 0.0]], device=device))
        torch.testing.assert_close(y.flatten(), torch.tensor([1.537883], device=device))

    @pytest.mark.parametrize("name", ["key_padding_mask", "attn_mask"])
    def test_trap_one_excludes_nothing_either(self, device, seeded, name):
        attention = nn.MultiheadAttention(4, 2, batch_first=True, device=device)
        x, mask = torch.rand(1, 1, 4, device=device), torch.tensor([[1.0, 0.0]], device=device)
        _, weights = attention(x, x.expand(1, 2, 4), x.expand(1, 2, 4), **{name: mask})
        torch.testing.assert_close(weights, torch.tensor([[[0.7310586, 0.2689414]]], device=device))

    @pytest.mark.parametrize("name", ["key_padding_mask", "attn_mask"])
    def test_fix_minus_infinity(self, device, seeded, name):
        attention = nn.MultiheadAttention(4, 2, batch_first=True, device=device)
        x, mask = torch.rand(1, 1, 4, device=device), torch.tensor([[-torch.inf, 0.0]], device=device)
        _, weights = attention(x, x.expand(1, 2, 4), x.expand(1, 2, 4), **{name: mask})
        assert weights.tolist() == [[[0, 1]]]


@pitfall(
    "attention-mask-kinds",
    docs=[("torch.nn.MultiheadAttention.forward", "are supplied, their types should match"), "torch.nn.Transformer"],
    symptom="only bool and floating types of key_padding_mask are supported; mismatched masks are deprecated",
    error="Support for mismatched key_padding_mask and attn_mask is deprecated",
)
class TestAttentionMaskKinds:
    """Masks of attention are bool or float, not integers, and two masks that come together are of the same kind.

    The causal mask of ``generate_square_subsequent_mask`` is float, so that it warns with a boolean padding mask. Make
    both boolean.
    """

    @pytest.mark.parametrize("dtype", [torch.int64, torch.uint8], ids=str)
    def test_trap_integers_are_refused(self, device, seeded, dtype):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 2, 4, device=device)
        with pytest.raises(AssertionError, match="only bool and floating types of key_padding_mask are supported"):
            attention(x, x, x, key_padding_mask=torch.zeros(2, 3, dtype=dtype, device=device))

    def test_trap_bool_and_float_warn(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 2, 4, device=device)
        causal, padding = nn.Transformer.generate_square_subsequent_mask(3).to(device), torch.zeros(2, 3, device=device)
        with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask is deprecated"):
            attention(x, x, x, attn_mask=causal, key_padding_mask=padding.bool())

    def test_fix_both_boolean(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 2, 4, device=device)
        causal = torch.ones(3, 3, dtype=torch.bool, device=device).triu(1)
        padding = torch.tensor([[False, False, False], [False, False, True]], device=device)
        _, weights = attention(x, x, x, attn_mask=causal, key_padding_mask=padding)
        assert (weights[1] > 0).tolist() == [[True, False, False], [True, True, False], [True, True, False]]


@pitfall(
    "attention-takes-no-padding-mask",
    docs=[
        ("torch.nn.functional.scaled_dot_product_attention", "Attention mask; shape"),
        ("torch.nn.MultiheadAttention.forward", "3D mask allows for a different mask"),
    ],
    symptom="a padding mask of shape (batch, length) is accepted and masks the wrong thing",
    error="The shape of the 3D attn_mask is",
)
class TestAttentionTakesNoPaddingMask:
    """The mask of ``scaled_dot_product_attention`` ends in queries and keys: ``(batch, keys)`` is read as that.

    With as many sequences as positions it is accepted, and wrong. Insert dimensions for heads and queries. In
    ``MultiheadAttention`` a mask of three dimensions counts heads and batch in one: ``(batch * heads, queries, keys)``.
    """

    def test_trap_sequences_are_taken_for_queries(self, device):
        q, v = torch.zeros(2, 1, 2, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        kept = torch.tensor([[True, False], [True, True]], device=device)  # the first sequence is of length one
        y = F.scaled_dot_product_attention(q, v.expand(2, 1, 2, 1), v.expand(2, 1, 2, 1), attn_mask=kept)
        assert y.flatten().tolist() == [1, 2, 1, 2]

    def test_trap_a_mask_for_each_head(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, batch_first=True, device=device), torch.rand(3, 5, 4, device=device)
        with pytest.raises(RuntimeError, match=r"The shape of the 3D attn_mask is .*, but should be \(6, 5, 5\)"):
            attention(x, x, x, attn_mask=torch.zeros(3, 5, 5, device=device))

    def test_fix_insert_heads_and_queries(self, device):
        q, v = torch.zeros(2, 1, 2, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        kept = torch.tensor([[True, False], [True, True]], device=device)[:, None, None, :]
        y = F.scaled_dot_product_attention(q, v.expand(2, 1, 2, 1), v.expand(2, 1, 2, 1), attn_mask=kept)
        assert y.flatten().tolist() == [1, 1, 2, 2]


@pitfall(
    "is-causal-is-only-a-hint",
    docs=[
        ("torch.nn.MultiheadAttention.forward", "Providing incorrect hints can result in"),
        "torch.nn.TransformerEncoder.forward",
        "torch.nn.TransformerEncoderLayer.forward",
        "torch.nn.TransformerDecoder.forward",
    ],
    symptom="RuntimeError: Need attn_mask if specifying the is_causal hint",
    error="Need attn_mask if specifying the is_causal hint",
)
class TestIsCausalIsOnlyAHint:
    """``is_causal=True`` tells a layer that the mask it is given is causal; it does not replace the mask.

    Without a mask it raises. With another mask the result depends on the path: the fused kernel believes the hint and
    ignores the mask, while a call that returns the weights applies the mask. Give the causal mask alone.
    """

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda x: nn.MultiheadAttention(4, 2).to(x)(x, x, x, is_causal=True), id="attention"),
            pytest.param(lambda x: nn.TransformerEncoderLayer(4, 2, 8).to(x)(x, is_causal=True), id="encoder layer"),
            pytest.param(lambda x: nn.TransformerDecoderLayer(4, 2, 8).to(x)(x, x, tgt_is_causal=True), id="decoder"),
        ],
    )
    def test_trap_without_a_mask_it_raises(self, device, seeded, call):
        with pytest.raises(RuntimeError, match="Need attn_mask if specifying the is_causal hint"):
            call(torch.rand(3, 2, 4, device=device))

    def test_trap_without_weights_the_hint_wins(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 2, 4, device=device)
        causal = nn.Transformer.generate_square_subsequent_mask(3).to(device)
        hinted, _ = attention(x, x, x, attn_mask=torch.zeros_like(causal), is_causal=True, need_weights=False)
        torch.testing.assert_close(hinted, attention(x, x, x, attn_mask=causal)[0])

    def test_trap_with_weights_the_mask_wins(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 2, 4, device=device)
        hinted, _ = attention(x, x, x, attn_mask=torch.zeros(3, 3, device=device), is_causal=True)
        torch.testing.assert_close(hinted, attention(x, x, x)[0])

    def test_fix_give_the_mask(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, device=device), torch.rand(3, 2, 4, device=device)
        mask = torch.ones(3, 3, dtype=torch.bool, device=device).triu(1)
        _, weights = attention(x, x, x, attn_mask=mask)
        assert (weights[0] > 0).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


@pitfall(
    "fully-masked-rows",
    docs=["torch.nn.functional.scaled_dot_product_attention", "torch.nn.MultiheadAttention.forward"],
    symptom="the loss is NaN as soon as a batch has a sample that is all padding",
    changed={"2.5": "a query that may see nothing gets zeros from scaled_dot_product_attention; it had got NaN"},
)
class TestFullyMaskedRows:
    """A query that may attend to nothing gets NaN or zero, depending on the release and on who computes it.

    ``MultiheadAttention`` that returns its weights gives NaN in all releases, by the softmax of nothing but ``-inf``.
    Let each query see at least one key, and discard what comes of it.
    """

    @on("cpu")
    @pytest.mark.parametrize(
        "nothing",
        [pytest.param(True, id="nan", marks=before("2.5")), pytest.param(False, id="zero", marks=since("2.5"))],
    )
    def test_trap_of_the_function(self, device, nothing):
        q, v = torch.zeros(1, 1, 2, 1, device=device), torch.tensor([1.0, 3.0], device=device).reshape(1, 1, 2, 1)
        mask = torch.tensor([[False, False], [True, True]], device=device)
        y = F.scaled_dot_product_attention(q, v, v, attn_mask=mask)
        assert y.isnan().flatten().tolist() == [nothing, False]

    def test_trap_of_a_layer_with_weights(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, batch_first=True, device=device), torch.rand(2, 3, 4, device=device)
        padding = torch.tensor([[True, True, True], [False, False, True]], device=device)
        y, _ = attention(x, x, x, key_padding_mask=padding)
        assert y.isnan().any(2).any(1).tolist() == [True, False]

    @on("cpu")
    @pytest.mark.parametrize(
        "nothing",
        [pytest.param(True, id="nan", marks=before("2.5")), pytest.param(False, id="zero", marks=since("2.5"))],
    )
    def test_trap_of_a_layer_without_weights(self, device, seeded, nothing):
        attention, x = nn.MultiheadAttention(4, 2, batch_first=True, device=device), torch.rand(2, 3, 4, device=device)
        padding = torch.tensor([[True, True, True], [False, False, True]], device=device)
        y, _ = attention(x, x, x, key_padding_mask=padding, need_weights=False)
        assert y.isnan().any(2).any(1).tolist() == [nothing, False]

    def test_fix_one_key_for_everyone(self, device, seeded):
        attention, x = nn.MultiheadAttention(4, 2, batch_first=True, device=device), torch.rand(2, 3, 4, device=device)
        padding = torch.tensor([[True, True, True], [False, False, True]], device=device)
        padding[padding.all(1), 0] = False
        y, _ = attention(x, x, x, key_padding_mask=padding)
        assert y.isfinite().all().item()
