"""Stacks of transformer layers: equal copies, what isn't masked by itself, and the shapes of both sides."""

import warnings

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "stacked-layers-start-equal",
    docs=["torch.nn.TransformerEncoder", "torch.nn.TransformerDecoder", "torch.nn.Transformer"],
    symptom="all layers of a TransformerEncoder have the same weights at the start",
    priority=1,
)
class TestStackedLayersStartEqual:
    """``TransformerEncoder`` and ``TransformerDecoder`` copy the layer that they are given: all layers start equal.

    The layer itself is not among them. Initialise the stack anew, as ``nn.Transformer`` does.
    """

    STACKS = [
        pytest.param(
            lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2), id="encoder"
        ),
        pytest.param(lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8), 2), id="decoder"),
    ]

    @pytest.mark.parametrize("make", STACKS)
    def test_trap_layers_are_equal(self, seeded, make):
        first, second = make().layers
        torch.testing.assert_close(first.linear1.weight, second.linear1.weight, rtol=0, atol=0)

    @pytest.mark.parametrize("make", STACKS)
    def test_fix_initialise_the_stack(self, seeded, make):
        stack = make()
        for weight in stack.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
        first, second = stack.layers
        assert not torch.equal(first.linear1.weight, second.linear1.weight)

    def test_fix_transformer_does_so(self, seeded):
        first, second = nn.Transformer(4, 2, 2, 1, 8, batch_first=True).encoder.layers
        assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pitfall(
    "transformer-sees-the-future",
    docs=["torch.nn.Transformer.forward", "torch.nn.Transformer.generate_square_subsequent_mask"],
    symptom="a transformer trains to a loss of almost nothing and generates garbage",
)
class TestTransformerSeesTheFuture:
    """No part of ``nn.Transformer`` is causal by itself: without ``tgt_mask`` the decoder reads what it is to predict.

    The padding of the source has to be masked in the decoder once more, as ``memory_key_padding_mask``.
    """

    def test_trap_first_output_depends_on_the_last_target(self, device, seeded):
        model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0, batch_first=True, device=device)
        tgt = torch.rand(1, 2, 4, device=device, requires_grad=True)
        model(torch.rand(1, 3, 4, device=device), tgt)[0, 0, 0].backward()
        assert (tgt.grad != 0).any(2).tolist() == [[True, True]]

    def test_fix_give_a_causal_mask(self, device, seeded):
        model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0, batch_first=True, device=device)
        tgt = torch.rand(1, 2, 4, device=device, requires_grad=True)
        mask = torch.ones(2, 2, dtype=torch.bool, device=device).triu(1)
        model(torch.rand(1, 3, 4, device=device), tgt, tgt_mask=mask)[0, 0, 0].backward()
        assert (tgt.grad != 0).any(2).tolist() == [[True, False]]

    def test_trap_decoder_reads_the_padding_of_the_source(self, device, seeded):
        model = nn.Transformer(4, 2, 1, 1, 8, dropout=0.0, batch_first=True, device=device)
        src, padding = torch.rand(1, 2, 4, device=device, requires_grad=True), torch.tensor([[False, True]])
        y = model(src, torch.rand(1, 1, 4, device=device), src_key_padding_mask=padding.to(device))
        y[0, 0, 0].backward()
        assert (src.grad != 0).any(2).tolist() == [[True, True]]


@pitfall(
    "transformer-output-is-as-long-as-the-target",
    docs=["torch.nn.Transformer.forward", "torch.nn.Transformer"],
    symptom="RuntimeError: the batch number of src and tgt must be equal",
    error="the batch number of src and tgt must be equal",
)
class TestTransformerOutputIsAsLongAsTheTarget:
    """Source and target of ``nn.Transformer`` share batch and features; the output has the target's length.

    The default layout is sequence first, so batch-first data of two lengths is refused, and of equal lengths is not.
    """

    def test_trap_length_of_the_target(self, device, seeded):
        model = nn.Transformer(4, 2, 1, 1, 8, batch_first=True, device=device)
        assert model(torch.rand(2, 3, 4, device=device), torch.rand(2, 5, 4, device=device)).shape == (2, 5, 4)

    def test_trap_batch_first_data_is_refused(self, device, seeded):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="enable_nested_tensor is True")
            model = nn.Transformer(4, 2, 1, 1, 8, device=device)
        with pytest.raises(RuntimeError, match="the batch number of src and tgt must be equal"):
            model(torch.rand(2, 3, 4, device=device), torch.rand(2, 5, 4, device=device))

    def test_trap_features_must_be_those_of_the_model(self, device, seeded):
        model = nn.Transformer(4, 2, 1, 1, 8, batch_first=True, device=device)
        with pytest.raises(RuntimeError, match="the feature number of src and tgt must be equal to d_model"):
            model(torch.rand(2, 3, 5, device=device), torch.rand(2, 3, 5, device=device))
