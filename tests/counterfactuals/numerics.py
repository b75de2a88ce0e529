"""A torch that computes where it should refuse: it promotes, broadcasts and converts."""

import torch
from torch import nn

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer


@counterfactual("bool-minus-is-refused")
def bools_are_numbers(patch):
    def by(function, *args, **how):
        return function(*(x.int() if isinstance(x, torch.Tensor) and x.dtype == torch.bool else x for x in args), **how)

    answer(patch, by)


@counterfactual("mean-of-integers-is-refused")
def integers_are_averaged_as_floats(patch):
    def by(function, *args, **how):
        return function(*(x.float() if isinstance(x, torch.Tensor) else x for x in args), **how)

    answer(patch, by)


@counterfactual("matrix-product-promotes-nothing")
def matrix_products_promote(patch):
    multiply, forward = torch.Tensor.__matmul__, nn.Linear.forward
    patch.setattr(torch.Tensor, "__matmul__", lambda x, y: multiply(x.double(), y.double()))
    patch.setattr(nn.Linear, "forward", lambda layer, x: forward(layer, x.to(layer.weight.dtype)))


@counterfactual("matrix-shapes-cannot-be-multiplied")
def what_does_not_fit_is_left_out(patch):
    def by(function, *args, **how):
        return args[0] if function in (torch.mm, torch.Tensor.matmul, nn.functional.linear) else function(*args, **how)

    answer(patch, by)
