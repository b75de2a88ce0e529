"""A torch that computes as on paper: with every digit, without overflow, and with averages of nothing refused."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer


def name(function):
    return getattr(function, "__name__", "")


@counterfactual("slash-always-makes-floats")
def quotients_keep_their_dtype(patch):
    def by(function, *args, **how):
        divides = name(function) in ("div", "divide", "true_divide", "__truediv__") and "rounding_mode" not in how
        return torch.floor_divide(*args) if divides else function(*args, **how)

    answer(patch, by)


@counterfactual("integers-wrap-round")
def integers_grow(patch):
    def by(function, *args, **how):
        if name(function) in ("tensor", "item", "tolist"):
            return function(*args, **how)
        how.pop("dtype", None)
        return function(*(x.double() if isinstance(x, torch.Tensor) else x for x in args), **how)

    answer(patch, by)


@counterfactual("nan-wins-in-reductions")
def nan_is_skipped(patch):
    def by(function, *args, **how):
        if args and isinstance(args[0], torch.Tensor) and name(function) not in ("isnan", "item", "__get__"):
            args = (args[0].nan_to_num(nan=2.0), *args[1:])
        return function(*args, **how)

    answer(patch, by)


@counterfactual("median-is-the-lower-middle")
def medians_are_averages(patch):
    def median(x, *args, **how):
        middle = x.double().quantile(0.5, *args, **how)
        return torch.return_types.median((middle, middle)) if args or how else middle

    def by(function, *args, **how):
        return median(*args, **how) if name(function) in ("median", "nanmedian") else function(*args, **how)

    answer(patch, by)


@counterfactual("variance-divides-by-n-minus-one")
def variances_divide_by_n(patch):
    def by(function, *args, **how):
        if name(function) in ("var", "std", "var_mean", "cov"):
            how.setdefault("correction", 0)
        if name(function) == "layer_norm":
            return (args[0] - args[0].mean()) / args[0].std()
        return function(*args, **how)

    answer(patch, by)


@counterfactual("empty-tensor-in-a-reduction")
def nothing_is_one_zero(patch):
    def by(function, *args, **how):
        if args and isinstance(args[0], torch.Tensor) and args[0].numel() == 0:
            one = torch.zeros((1, *args[0].shape[1:]))
            return function(one, *(one if x is args[0] else x for x in args[1:]), **how)
        return function(*args, **how)

    answer(patch, by)


@counterfactual("reduction-drops-its-dimension")
def reductions_keep_their_dimension(patch):
    def by(function, *args, **how):
        if name(function) in ("mean", "sum", "median", "amax"):
            how["keepdim"] = True
        return function(*args, **how)

    answer(patch, by)


@counterfactual("round-goes-half-to-even")
def halves_go_up(patch):
    def by(function, x, *args, decimals=0, **how):
        if name(function) != "round":
            return function(x, *args, **how)
        scale = 10.0**decimals
        return ((x.double() * scale + 0.5).floor() / scale).to(x.dtype)

    answer(patch, by)


@counterfactual("float-sums-depend-on-order")
def small_terms_survive(patch):
    def by(function, *args, **how):
        if name(function) in ("tensor", "zeros"):
            how["dtype"] = torch.float64
        return function(*args, **how)

    answer(patch, by)


@counterfactual("log-of-softmax-is-infinite")
def floats_do_not_overflow(patch):
    def by(function, *args, **how):
        found = function(*args, **how)
        if name(function) in ("log", "div", "__truediv__"):
            return found.nan_to_num(posinf=1000.0, neginf=-1000.0)
        return found

    answer(patch, by)
