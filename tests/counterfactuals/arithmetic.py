"""A torch that computes otherwise: other broadcasting, other in-place writes, other Python numbers."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer


def two_tensors(args):
    return [isinstance(x, torch.Tensor) for x in args] == [True, True]


@counterfactual("broadcasting-aligns-from-the-right")
def broadcasting_aligns_from_the_left(patch):
    def by(function, *args, **kwargs):
        if two_tensors(args):
            dims = max(x.ndim for x in args)
            args = [x.view(*x.shape, *[1] * (dims - x.ndim)) for x in args]
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("outer-sum-of-row-and-column")
def a_row_meets_a_column_element_by_element(patch):
    def by(function, *args, **kwargs):
        return function(*(x.flatten() for x in args) if two_tensors(args) else args, **kwargs)

    answer(patch, by)


@counterfactual("equality-broadcasts-equal-does-not")
def tensors_of_different_shapes_are_unequal(patch):
    equal = torch.Tensor.__eq__
    patch.setattr(torch.Tensor, "__eq__", lambda x, y: equal(x, y) & (x.shape == y.shape))


@counterfactual("add-scales-by-alpha")
def alpha_is_ignored(patch):
    answer(patch, lambda function, *args, alpha=1, **kwargs: function(*args, **kwargs))


@counterfactual("underscore-mutates-and-returns-self")
def methods_with_an_underscore_work_on_a_copy(patch):
    for name in ("add_", "mul_", "exp_", "fill_", "zero_", "copy_"):
        write = getattr(torch.Tensor, name)
        patch.setattr(torch.Tensor, name, lambda x, *args, write=write: write(x.clone(), *args))


@counterfactual("underscore-mutates-and-returns-self")
def methods_without_an_underscore_write_too(patch):
    for name in ("add", "mul", "exp"):
        patch.setattr(torch.Tensor, name, getattr(torch.Tensor, f"{name}_"))


@counterfactual("inplace-never-broadcasts-its-target", "inplace-keeps-the-dtype")
def a_target_takes_the_shape_and_dtype_of_the_result(patch):
    def become(x, y):
        x.data = x + y
        return x

    patch.setattr(torch.Tensor, "add_", become)
    patch.setattr(torch.Tensor, "__iadd__", become)


@counterfactual("inplace-keeps-the-dtype")
def assignment_rounds(patch):
    for name in ("__setitem__", "fill_", "copy_"):
        write = getattr(torch.Tensor, name)

        def rounding(x, *to, write=write):
            return write(x, *to[:-1], torch.as_tensor(to[-1]).round())

        patch.setattr(torch.Tensor, name, rounding)


@counterfactual("augmented-assignment-is-in-place")
def augmented_assignment_rebinds(patch):
    for name in ("add", "sub", "mul", "truediv"):
        patch.setattr(torch.Tensor, f"__i{name}__", getattr(torch.Tensor, f"__{name}__"))


@counterfactual("augmented-assignment-is-in-place")
def augmented_matmul_is_in_place(patch):
    patch.setattr(torch.Tensor, "__imatmul__", lambda x, y: x.copy_(x @ y), raising=False)


@counterfactual("item-needs-one-element")
def item_gives_lists_as_tolist_does(patch):
    patch.setattr(torch.Tensor, "item", torch.Tensor.tolist)


@counterfactual("python-number-needs-one-element")
def float_counts_the_elements(patch):
    patch.setattr(torch.Tensor, "__float__", lambda x: float(x.numel()))


@counterfactual("truth-value-is-ambiguous")
def a_tensor_is_true_if_it_has_elements(patch):
    patch.setattr(torch.Tensor, "__bool__", lambda x: x.numel() > 0)
