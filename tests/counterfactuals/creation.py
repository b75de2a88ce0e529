"""A torch that makes other tensors: with other values, dtypes and histories."""

import torch

from tests.counterfactuals import counterfactual

TENSOR = torch.tensor


@counterfactual("empty-is-uninitialized")
def empty_ignores_its_dtype(patch):
    empty = torch.empty
    patch.setattr(torch, "empty", lambda *sizes, **how: empty(*sizes, **{**how, "dtype": torch.float32}))


@counterfactual("deterministic-mode-fills-empty")
def fresh_memory_is_zero(patch):
    patch.setattr(torch, "empty", torch.zeros)
    patch.setattr(torch, "empty_like", torch.zeros_like)
    patch.setattr(torch.Tensor, "new_empty", torch.Tensor.new_zeros)


@counterfactual("tensor-infers-dtype")
def tensor_makes_floats_of_integers(patch):
    patch.setattr(torch, "tensor", lambda data, **how: TENSOR(data, **how) * 1.0)


@counterfactual("tensor-of-a-tensor-detaches")
def tensor_of_a_tensor_stays_in_the_graph(patch):
    patch.setattr(torch, "tensor", lambda data, **how: data.clone() if torch.is_tensor(data) else TENSOR(data, **how))
    patch.setattr(torch.Tensor, "new_tensor", lambda x, data: data.clone())


@counterfactual("tensor-of-tensors-needs-stack")
def tensor_stacks_a_list_of_tensors(patch):
    def stack(data, **how):
        listed = isinstance(data, list) and torch.is_tensor(data[0])
        return torch.stack(data) if listed else TENSOR(data, **how)

    patch.setattr(torch, "tensor", stack)


@counterfactual("default-dtype-is-float32")
def floats_are_float64(patch):
    for name in ("ones", "zeros", "eye", "linspace", "full", "rand", "tensor"):
        make = getattr(torch, name)
        patch.setattr(torch, name, lambda *data, make=make, **how: make(*data, **{"dtype": torch.float64, **how}))


@counterfactual("set-default-dtype-scope")
def set_default_dtype_takes_any_and_changes_nothing(patch):
    patch.setattr(torch, "set_default_dtype", lambda dtype: None)


@counterfactual("set-default-dtype-scope")
def integers_follow_the_default_dtype(patch):
    for name in ("tensor", "arange", "full"):
        make = getattr(torch, name)
        patch.setattr(torch, name, lambda *data, make=make, **how: make(*data, **how) * 1.0)


@counterfactual("factory-dtype-follows-its-arguments")
def factories_make_floats_of_integers(patch):
    for name in ("full", "full_like", "arange", "zeros_like", "ones_like", "empty_like"):
        make = getattr(torch, name)
        patch.setattr(torch, name, lambda *data, make=make, **how: make(*data, **how).float())


@counterfactual("tensor-class-is-not-torch-tensor")
def the_tensor_class_copies_data_as_it_is(patch):
    patch.setattr(torch.Tensor, "__new__", lambda cls, data, *more, **how: torch.asarray(data, copy=True, **how))
