"""``nn.Transformer``: three hints that say something of a mask, and that are believed."""

import warnings

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


@pytest.fixture
def net(device, seeded):
    """A small transformer, without dropout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "enable_nested_tensor is True")
        return nn.Transformer(4, 2, 1, 1, 8, dropout=0.0).to(device)


@since("2.1")
@pitfall(
    "transformer-believes-three-hints",
    docs=["torch.nn.Transformer.forward"],
    symptom="the mask that I pass to nn.Transformer has no effect beside src_is_causal or tgt_is_causal",
    error="Need attn_mask if specifying the is_causal hint",
    priority=3,
)
class TestTransformerBelievesThreeHints:
    """``src_is_causal``, ``tgt_is_causal`` and ``memory_is_causal`` of ``nn.Transformer`` do not look at the mask.

    With another mask than the causal one the hint wins; without a mask it raises. Leave the hints alone, or set them
    only beside ``generate_square_subsequent_mask``.
    """

    @pytest.mark.parametrize("which", ["src", "tgt", "memory"])
    def test_trap_the_hint_wins_over_the_mask(self, device, net, which):
        x, causal = torch.rand(3, 2, 4, device=device), net.generate_square_subsequent_mask(3).to(device)
        hinted = net(x, x, **{f"{which}_mask": torch.zeros(3, 3, device=device), f"{which}_is_causal": True})
        torch.testing.assert_close(hinted, net(x, x, **{f"{which}_mask": causal}))

    @pytest.mark.parametrize("which", ["src", "tgt", "memory"])
    def test_trap_without_a_mask_it_raises(self, device, net, which):
        x = torch.rand(3, 2, 4, device=device)
        with pytest.raises(RuntimeError, match="Need attn_mask if specifying the is_causal hint"):
            net(x, x, **{f"{which}_is_causal": True})

    @pytest.mark.parametrize("which", ["src", "tgt", "memory"])
    def test_fix_without_the_hint_the_mask_counts(self, device, net, which):
        x = torch.rand(3, 2, 4, device=device)
        masked = net(x, x, **{f"{which}_mask": torch.zeros(3, 3, device=device)})
        torch.testing.assert_close(masked, net(x, x))
