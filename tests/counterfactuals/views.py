"""A torch with other views, masks and assignments: exact chunks, strict dtypes, masks that keep the shape."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, replace


@counterfactual("chunk-may-give-fewer")
def chunk_gives_as_many_as_asked(patch):
    def by(function, *args, **named):
        return (torch.tensor_split if function.__name__ == "chunk" else function)(*args, **named)

    answer(patch, by)


@counterfactual("conversion-may-return-the-tensor-itself")
def conversions_always_copy(patch):
    def by(function, *args, **named):
        found = function(*args, **named)
        return found.clone() if function.__name__ in ("to", "float", "type", "type_as") else found

    answer(patch, by)


@counterfactual("conversion-may-return-the-tensor-itself")
def conversions_change_their_tensor(patch):
    def by(function, *args, **named):
        found = function(*args, **named)
        if function.__name__ in ("to", "float", "type", "type_as"):
            args[0].data = found.to(args[0].dtype).fill_(5)
        return found

    answer(patch, by)


@counterfactual("t-attribute-reverses-all-dimensions")
def t_swaps_the_last_two_and_makes_columns(patch):
    replace(patch, "T", lambda x: x.mT if x.ndim > 1 else x[:, None])


@counterfactual("assignment-casts-silently")
def assignment_rounds(patch):
    def by(function, *args, **named):
        if function.__name__ not in ("__setitem__", "copy_", "fill_", "masked_fill_", "index_fill_"):
            return function(*args, **named)
        x, *place, value = args
        value = torch.as_tensor(value).round().clamp(0, 127)
        return function(x, *place, value.to(x.dtype) if value.ndim else value.item(), **named)

    answer(patch, by)


@counterfactual("repeat-tiles-the-tensor")
def repeat_repeats_elements(patch):
    def repeat(x, *times):
        for dim, n in enumerate(times):
            x = x.repeat_interleave(n, dim)
        return x

    patch.setattr(torch.Tensor, "repeat", repeat)


def select(patch, by):
    """Have `by(x, mask)` answer a selection by mask, however it is spelled."""

    def call(function, *args, **named):
        if function.__name__ in ("__getitem__", "masked_select") and args[1].dtype == torch.bool:
            return by(*args)
        return function(*args, **named)

    answer(patch, call)


@counterfactual("mask-selects-a-flat-copy")
def a_mask_keeps_the_shape(patch):
    select(patch, lambda x, mask: x * mask)


@counterfactual("mask-selects-a-flat-copy")
def a_mask_of_everything_gives_a_view(patch):
    select(patch, lambda x, _mask: x)


@counterfactual("ampersand-binds-tighter-than-comparison")
def a_chain_of_comparisons_takes_the_last(patch):
    patch.setattr(torch.Tensor, "__bool__", lambda x: True)


@counterfactual("ampersand-binds-tighter-than-comparison")
def a_mask_beside_an_ampersand_does_not_count(patch):
    patch.setattr(torch.Tensor, "__and__", lambda _valid, x: x)
