"""Attention that takes shortcuts: hints that are believed, a fast path, sums in higher precision, masks that move."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall, since

STACKS = [
    pytest.param(
        lambda net, x, mask, hint: net.encoder(x, mask=mask, is_causal=hint),
        id="encoder",
    ),
    pytest.param(
        lambda net, x, mask, hint: net.decoder(x, x, tgt_mask=mask, tgt_is_causal=hint),
        id="decoder",
        marks=since("2.1"),
    ),
]


def transformer(device):
    """An encoder and a decoder, without dropout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "enable_nested_tensor is True")
        return nn.Transformer(4, 2, 1, 1, 8, dropout=0.0).to(device)


@pitfall(
    "transformer-stacks-believe-their-hint",
    docs=["torch.nn.TransformerEncoder.forward", "torch.nn.TransformerDecoder.forward"],
    symptom="my mask has no effect: the result of the encoder is as if it were causal",
    changed={"2.1": "TransformerDecoder takes tgt_is_causal"},
    priority=3,
)
class TestTransformerStacksBelieveTheirHint:
    """``is_causal=True`` of ``TransformerEncoder`` and ``tgt_is_causal=True`` of ``TransformerDecoder`` are mere hints.

    A stack passes its hint to the layers, which then may ignore the mask that came along. Left alone, it compares the
    mask with the causal one. ``is_causal=False`` makes it use the mask, whatever that is.
    """

    @pytest.mark.parametrize("call", STACKS)
    def test_trap_the_hint_wins(self, device, seeded, call):
        net = transformer(device)
        x, causal = torch.rand(3, 2, 4, device=device), nn.Transformer.generate_square_subsequent_mask(3).to(device)
        hinted = call(net, x, torch.zeros(3, 3, device=device), True)
        torch.testing.assert_close(hinted, call(net, x, causal, False))

    @pytest.mark.parametrize("call", STACKS)
    def test_fix_without_a_hint_the_mask_counts(self, device, seeded, call):
        net = transformer(device)
        x = torch.rand(3, 2, 4, device=device)
        free = call(net, x, torch.zeros(3, 3, device=device), None)
        torch.testing.assert_close(free, call(net, x, None, None))


@since("2.5")
@pitfall(
    "math-attention-computes-in-float32",
    docs=["torch.nn.functional.scaled_dot_product_attention", "notes/numerical_accuracy"],
    symptom="my own softmax(q @ k.T) @ v in bfloat16 is less accurate than scaled_dot_product_attention",
    priority=3,
)
class TestMathAttentionComputesInFloat32:
    """The math kernel of attention computes half precision in float32, and rounds but its result.

    A formula of your own rounds after each step. Which kernel runs depends on inputs and hardware, so that results
    differ a little; choose one with ``sdpa_kernel`` to compare.
    """

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_trap_only_the_result_is_rounded(self, device, seeded, dtype):
        q, k, v = torch.randn(3, 1, 1, 64, 16, device=device).to(dtype)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            y = F.scaled_dot_product_attention(q, k, v)
            wide = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
        assert y.tolist() == wide.to(dtype).tolist()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_trap_a_formula_rounds_more(self, device, seeded, dtype):
        q, k, v = torch.randn(3, 1, 1, 64, 16, device=device).to(dtype)
        exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            error = (F.scaled_dot_product_attention(q, k, v) - exact).abs().max()
        formula = (q @ k.mT / 4).softmax(-1) @ v
        assert (formula - exact).abs().max() > 1.5 * error


@since("2.5")
@pitfall(
    "block-masks-move-to-a-copy",
    docs=["torch.nn.attention.flex_attention.BlockMask.to"],
    symptom="block_mask.to(device) has no effect",
    priority=3,
)
class TestBlockMasksMoveToACopy:
    """``BlockMask.to`` returns a new mask on the other device, as a tensor does; the old one stays where it was.

    ``nn.Module.to`` moves in place, and a mask is kept beside modules. Assign the result.
    """

    def test_trap_the_mask_stays(self, device):
        from torch.nn.attention.flex_attention import create_block_mask

        mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, 128, 128, device=str(device))
        mask.to("meta")
        assert mask.kv_num_blocks.device.type == device.type

    def test_fix_assign_the_result(self, device):
        from torch.nn.attention.flex_attention import create_block_mask

        mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, 128, 128, device=str(device))
        assert mask.to("meta").kv_num_blocks.device.type == "meta"


def operations(net, x):
    """The names of the operations that a call consists of."""
    with torch.autograd.profiler.profile() as measured:
        net(x, x, x, need_weights=False)
    return {event.key for event in measured.key_averages()}


@since("2.3")
@pitfall(
    "attention-fast-path-has-conditions",
    docs=[
        ("torch.backends.mha.get_fastpath_enabled", "might not be run even if ``get_fastpath_enabled`` returns"),
        "torch.nn.MultiheadAttention",
    ],
    symptom="torch.backends.mha.get_fastpath_enabled() is True, and attention is no faster",
    priority=3,
)
# Torch 2.10 to 2.12 warn on every start that events are cleared at the end of a cycle.
@pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")
class TestAttentionFastPathHasConditions:
    """``get_fastpath_enabled()`` says that the fast path is allowed, not that it is taken.

    It is taken in eval mode without gradients, among other conditions: in a training loop never.
    """

    def test_trap_with_gradients_it_is_not_taken(self, seeded):
        net = nn.MultiheadAttention(4, 2, batch_first=True).eval()
        found = operations(net, torch.ones(1, 2, 4))
        assert [torch.backends.mha.get_fastpath_enabled(), "aten::_native_multi_head_attention" in found] == [
            True,
            False,
        ]

    def test_fix_without_gradients_in_eval_mode(self, seeded):
        net = nn.MultiheadAttention(4, 2, batch_first=True).eval()
        with torch.no_grad():
            found = operations(net, torch.ones(1, 2, 4))
        assert "aten::_native_multi_head_attention" in found
