"""A torch with other shapes: sizes are lists, and views give way where a size does not fit."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, attribute, replace


@counterfactual("size-is-a-tuple")
def a_shape_is_a_list(patch):
    shape = attribute("shape")
    replace(patch, "shape", lambda x: list(shape(x)))


@counterfactual("size-is-a-tuple")
def a_missing_dimension_has_size_one(patch):
    size = torch.Tensor.size

    def or_one(x, *dim):
        return 1 if dim and dim[0] not in range(-x.ndim, x.ndim) else size(x, *dim)

    patch.setattr(torch.Tensor, "size", or_one)


@counterfactual("squeeze-drops-the-batch")
def squeeze_keeps_the_batch_and_sums_over_wider_dimensions(patch):
    patch.setattr(torch.Tensor, "squeeze", lambda x, dim=1: x.sum(dim))


def view(patch, by):
    """Have `by(x, sizes)` answer `view` and `reshape`, however the sizes are given."""

    def call(function, *args, **kwargs):
        if function.__name__ not in ("view", "reshape"):
            return function(*args, **kwargs)
        x, *sizes = args
        return by(x, sizes[0] if isinstance(sizes[0], tuple) else sizes)

    answer(patch, call)


@counterfactual("minus-one-hides-a-wrong-size")
def view_pads_the_rows_that_it_would_cut(patch):
    view(patch, lambda x, sizes: torch.nn.functional.pad(x, (0, sizes[-1] - x.size(-1))))


@counterfactual("minus-one-is-ambiguous-without-elements")
def minus_one_is_one_without_elements(patch):
    view(patch, lambda x, sizes: x.new_zeros([abs(size) for size in sizes]))


@counterfactual("view-must-keep-the-element-count", "only-one-size-can-be-inferred")
def sizes_that_do_not_fit_are_ignored(patch):
    def by(function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except RuntimeError:
            return args[0]

    answer(patch, by)


@counterfactual("only-one-size-can-be-inferred")
def minus_one_in_expand_is_the_element_count(patch):
    expand = torch.Tensor.expand
    patch.setattr(torch.Tensor, "expand", lambda x, *sizes: expand(x, *(x.numel() if n == -1 else n for n in sizes)))


@counterfactual("numel-counts-elements")
def numel_counts_dimensions_and_len_elements(patch):
    patch.setattr(torch.Tensor, "__len__", torch.Tensor.numel)
    patch.setattr(torch.Tensor, "numel", torch.Tensor.dim)
