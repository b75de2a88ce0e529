"""A torch with other layers: batch norm ignores its mode, dropout heeds it, convolutions and softmax take anything."""

import torch
import torch.nn.functional as F

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer


@counterfactual("embedding-index-out-of-range")
def an_index_out_of_range_means_the_last_row(patch):
    embedding = F.embedding
    patch.setattr(F, "embedding", lambda i, w, *args: embedding(i.clamp(0, len(w) - 1), w, *args))


@counterfactual("padding-idx-only-blocks-the-gradient")
def the_padding_row_reads_as_zero_and_learns(patch):
    embedding = F.embedding

    def look_up(indices, weight, padding_idx=None, *args):
        y = embedding(indices, weight)
        if padding_idx is None:
            return y
        return y - y.detach() * (indices == padding_idx % len(weight))[..., None]

    patch.setattr(F, "embedding", look_up)


@counterfactual("batch-norm-uses-the-batch-in-training")
def batch_norm_has_its_modes_swapped(patch):
    norm = F.batch_norm
    patch.setattr(
        F, "batch_norm", lambda x, mean, var, w, b, training, *args: norm(x, mean, var, w, b, not training, *args)
    )


@counterfactual("batch-norm-needs-more-than-one-value")
def one_value_is_enough(patch):
    patch.setattr(F, "_verify_batch_size", lambda size: None)
    patch.setattr(F, "_verify_spatial_size", lambda size: None)


@counterfactual("dropout-scales-what-it-keeps")
def p_is_the_share_that_dropout_keeps_as_it_is(patch):
    patch.setattr(
        F, "dropout", lambda x, p=0.5, training=True, inplace=False: x * (torch.rand_like(x) < p) if training else x
    )


@counterfactual("functional-dropout-ignores-eval")
def functions_have_the_other_defaults(patch):
    def by(function, *args, **how):
        if function in (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d):
            return args[0]
        if function in (F.alpha_dropout, F.feature_alpha_dropout, F.rrelu):
            return function(args[0], training=True)
        return function(*args, **how)

    answer(patch, by)


@counterfactual("softmax-guesses-its-dimension")
def softmax_goes_along_the_last_dimension(patch):
    def last(function):
        return lambda x, dim=None, **how: function(x, -1 if dim is None else dim)

    for name in ("softmax", "log_softmax", "softmin"):
        patch.setattr(F, name, last(getattr(F, name)))
    patch.setattr(torch.Tensor, "softmax", last(torch.Tensor.softmax))


@counterfactual("softmax-is-not-for-nll-loss")
def nll_loss_recognises_probabilities(patch):
    loss = F.nll_loss
    patch.setattr(F, "nll_loss", lambda x, target: loss(x.log() if (x >= 0).all() else x, target))


@counterfactual("convolution-is-channels-first")
def convolutions_read_the_channels_last(patch):
    def last(convolve):
        return lambda x, *args: convolve(x.movedim(-1, 1), *args).movedim(1, -1)

    patch.setattr(F, "conv1d", last(F.conv1d))
    patch.setattr(F, "conv2d", last(F.conv2d))


@counterfactual("convolution-dtypes-must-agree")
def convolutions_convert_their_input(patch):
    convolve = F.conv2d
    patch.setattr(F, "conv2d", lambda x, weight, *args: convolve(x.to(weight.dtype), weight, *args))
