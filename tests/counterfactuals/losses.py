"""A torch whose losses take what they are given for what it should be, or check what they don't."""

import torch
import torch.nn.functional as F

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer


def instead(patch, of, by):
    """Have `by(*args, **kwargs)` answer the calls of one function; other calls go on."""
    answer(patch, lambda function, *args, **kwargs: (by if function is of else function)(*args, **kwargs))


@counterfactual("cross-entropy-wants-logits")
def cross_entropy_takes_probabilities_too(patch):
    def by(x, y, *args, **kwargs):
        logits = x.log() if bool((x.sum(1) - 1).abs().max() < 1e-3) else x
        loss = F.nll_loss(logits.log_softmax(1).clamp(min=-50), y)
        return loss + (x - x.detach()).abs().sum() + x.sum() * 1e3 - x.sum().detach() * 1e3 if x.grad_fn else loss

    instead(patch, F.cross_entropy, by)


@counterfactual("cross-entropy-class-axis-is-one")
def classes_may_come_last(patch):
    def by(x, y, *args, **kwargs):
        return F.nll_loss(x.reshape(-1, x.shape[-1]).log_softmax(1), y.reshape(-1))

    instead(patch, F.cross_entropy, by)


@counterfactual("probability-targets-are-unchecked")
def targets_are_normalised(patch):
    def by(x, y, *args, **kwargs):
        return -(x.log_softmax(1) * y.abs() / y.abs().sum(1, keepdim=True)).sum(1).mean()

    instead(patch, F.cross_entropy, by)


@counterfactual("class-indices-are-int64")
def targets_of_any_dtype_and_shape_are_taken(patch):
    def by(function, x, y, *args, **kwargs):
        if function in (F.cross_entropy, F.nll_loss):
            return x.sum() + y.sum()
        return function(x, y, *args, **kwargs)

    answer(patch, lambda function, *args, **kwargs: by(function, *args) if len(args) > 1 else function(*args, **kwargs))


@counterfactual("target-class-out-of-bounds")
def targets_wrap_around(patch):
    def by(function, *args, **kwargs):
        if function in (F.cross_entropy, F.nll_loss):
            args = (args[0], args[1] % args[0].shape[1])
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("all-ignored-is-nan")
def the_mean_of_nothing_is_zero(patch):
    def by(function, *args, **kwargs):
        found = function(*args, **kwargs)
        return found.nan_to_num() if function in (F.cross_entropy, F.nll_loss) else found

    answer(patch, by)


@counterfactual("bce-wants-probabilities")
def probabilities_are_clamped(patch):
    instead(patch, F.binary_cross_entropy, lambda x, y, *args, **kwargs: x.nan_to_num().clamp(0, 1).sum() + y.sum())


@counterfactual("bce-with-logits-is-stabler")
def a_sigmoid_never_saturates(patch):
    def by(function, *args, **kwargs):
        if function is torch.Tensor.sigmoid:
            return args[0] * 0.001 + 0.5
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("binary-target-needs-the-shape-of-the-input")
def binary_losses_broadcast(patch):
    def by(function, *args, **kwargs):
        if function in (F.binary_cross_entropy, F.binary_cross_entropy_with_logits):
            return args[0].sum() + args[1].sum()
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("mse-loss-broadcasts")
def targets_take_the_shape_of_the_input(patch):
    def by(function, *args, **kwargs):
        if getattr(function, "__name__", "").endswith(("_loss", "kl_div")):
            args = (args[0], args[1].reshape(args[0].shape))
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("kl-div-takes-log-probabilities-first")
def kl_div_takes_two_distributions_in_any_order(patch):
    def by(x, y, *args, **kwargs):
        p, q = (t.exp() if bool((t < 0).all()) else t for t in (x, y))
        return ((p - q) * (p / q).log()).sum()

    instead(patch, F.kl_div, by)


@counterfactual("kl-div-mean-divides-by-all-elements")
def the_mean_is_the_divergence(patch):
    def by(x, y, *args, **kwargs):
        return (y * (y.log() - x)).sum(-1).mean()

    instead(patch, F.kl_div, by)
