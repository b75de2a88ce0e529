"""A torch that promotes by value, takes any data, and mixes with arrays from either side."""

import operator

import numpy as np
import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer
from tests.counterfactuals.exchange import made


@counterfactual("number-keeps-the-dtype-of-the-tensor")
def a_number_counts_like_a_tensor_with_a_dimension(patch):
    def by(function, x, *others, **how):
        return function(x, *(torch.tensor([y]) if isinstance(y, (int, float)) else y for y in others), **how)

    answer(patch, by)


@counterfactual("zero-dim-tensor-promotes-like-a-number")
def a_tensor_without_dimensions_counts_as_any(patch):
    def by(function, *args, **how):
        return function(*(y.reshape(1) if torch.is_tensor(y) and not y.ndim else y for y in args), **how)

    answer(patch, by)


@counterfactual("zero-dim-tensor-promotes-like-a-number")
def the_first_of_two_scalars_decides(patch):
    def by(function, *args, **how):
        if [torch.is_tensor(y) and not y.ndim for y in args] == [True, True]:
            args = [y.to(args[0].dtype) for y in args]
        return function(*args, **how)

    answer(patch, by)


@counterfactual("nested-lists-must-be-rectangular", "strings-are-not-tensor-data")
def any_data_makes_a_tensor(patch):
    made(patch, lambda make, data, **how: torch.zeros(len(data), **how))


def tensors(args):
    return [torch.from_numpy(x.astype(np.float32)) if isinstance(x, np.ndarray) else x for x in args]


def converting(function):
    """A function that takes arrays as well, in lists too."""

    def call(*args, **how):
        return function(*(tensors(x) if isinstance(x, list) else x for x in tensors(args)), **how)

    return call


@counterfactual("torch-functions-refuse-arrays")
def functions_take_arrays(patch):
    for owner, names in (
        (torch, ("add", "sin", "sum", "relu", "cat", "stack", "where")),
        (torch.Tensor, ("mul", "copy_", "__setitem__")),
        (torch.nn.functional, ("linear",)),
    ):
        for name in names:
            patch.setattr(owner, name, converting(getattr(owner, name)))


@counterfactual("array-times-tensor-is-asymmetric")
def operators_take_arrays_on_either_side(patch):
    for name in ("sub", "mul", "floordiv", "pow", "matmul", "lt", "ge"):
        op, method = getattr(operator, name), converting(getattr(torch.Tensor, f"__{name}__"))
        patch.setattr(torch.Tensor, f"__{name}__", method)
        if name not in ("lt", "ge"):
            patch.setattr(torch.Tensor, f"__r{name}__", lambda x, y, op=op: op(*tensors([y]), x))
