"""A torch with other recurrent layers and another attention: batch first, with memory, and all masks alike."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.counterfactuals import counterfactual


@counterfactual("recurrent-layers-are-sequence-first")
def recurrent_layers_are_batch_first(patch):
    for layer in (nn.RNN, nn.GRU, nn.LSTM):
        forward = layer.forward

        def batch_first(module, x, state=None, forward=forward):
            module.batch_first = True
            return forward(module, x, state)

        patch.setattr(layer, "forward", batch_first)


@counterfactual("recurrent-layers-forget-between-calls")
def recurrent_layers_remember(patch):
    forward = nn.RNN.forward

    def remember(module, x, state=None):
        output, module.__dict__["kept"] = forward(module, x, module.__dict__.get("kept") if state is None else state)
        return output, module.__dict__["kept"]

    patch.setattr(nn.RNN, "forward", remember)


@counterfactual("padding-runs-through-the-state")
def recurrent_layers_skip_zeros_at_the_end(patch):
    for layer in (nn.RNN, nn.GRU):
        forward = layer.forward

        def skip(module, x, state=None, forward=forward):
            if isinstance(x, torch.Tensor):
                x = x[:, : int(x.ne(0).any(0).any(-1).nonzero().max()) + 1]
            return forward(module, x, state)

        patch.setattr(layer, "forward", skip)


@counterfactual("attention-masks-have-two-meanings")
def true_means_the_opposite_in_the_function(patch):
    attend = F.scaled_dot_product_attention
    patch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, attn_mask: attend(q, k, v, attn_mask=~attn_mask))


@counterfactual("attention-masks-have-two-meanings")
def true_means_the_opposite_in_the_layers(patch):
    forward = nn.MultiheadAttention.forward

    def inverted(module, q, k, v, key_padding_mask=None, attn_mask=None, **how):
        masks = [None if mask is None else mask == 0 for mask in (key_padding_mask, attn_mask)]
        return forward(module, q, k, v, key_padding_mask=masks[0], attn_mask=masks[1], **how)

    patch.setattr(nn.MultiheadAttention, "forward", inverted)


@counterfactual("multihead-attention-is-sequence-first")
def multihead_attention_is_batch_first(patch):
    forward = nn.MultiheadAttention.forward

    def batch_first(module, *args, **how):
        module.batch_first = True
        return forward(module, *args, **how)

    patch.setattr(nn.MultiheadAttention, "forward", batch_first)


@counterfactual("attention-function-always-drops")
def attention_never_drops(patch):
    attend = F.scaled_dot_product_attention
    patch.setattr(F, "scaled_dot_product_attention", lambda q, k, v, dropout_p: attend(q, k, v))


@counterfactual("stacked-layers-start-equal")
def stacks_initialise_their_copies(patch):
    for stack in (nn.TransformerEncoder, nn.TransformerDecoder):
        initialise = stack.__init__

        def anew(module, *args, initialise=initialise):
            initialise(module, *args)
            for layer in module.layers:
                layer.linear1.reset_parameters()

        patch.setattr(stack, "__init__", anew)
