"""A torch with other memory: views copy, copies share, and a slice is on its own."""

import torch

from tests.counterfactuals import counterfactual

VIEWS = ("view", "reshape", "flatten", "t", "transpose", "permute", "squeeze", "unsqueeze", "detach", "contiguous")


@counterfactual("view-shares-storage", "contiguous-copies-only-if-needed")
def views_copy(patch):
    for name in VIEWS:
        view = getattr(torch.Tensor, name)
        patch.setattr(torch.Tensor, name, lambda x, *how, view=view: view(x, *how).clone())


@counterfactual("view-needs-compatible-strides")
def view_copies_where_it_must(patch):
    patch.setattr(torch.Tensor, "view", torch.Tensor.reshape)


@counterfactual("reshape-may-copy")
def reshape_always_copies(patch):
    reshape = torch.Tensor.reshape
    patch.setattr(torch.Tensor, "reshape", lambda x, *sizes: reshape(x, *sizes).clone())


@counterfactual("reshape-may-copy")
def reshape_puts_its_tensor_in_order_and_shares(patch):
    patch.setattr(torch.Tensor, "reshape", lambda x, *sizes: x.set_(x.contiguous()).view(*sizes))


@counterfactual("contiguous-copies-only-if-needed")
def contiguous_never_copies(patch):
    patch.setattr(torch.Tensor, "contiguous", lambda x: x)


@counterfactual("view-is-not-transpose")
def view_brings_the_last_dimension_to_the_front(patch):
    for name in ("view", "reshape"):
        patch.setattr(torch.Tensor, name, lambda x, *sizes: x.movedim(-1, 0).contiguous().view_as(x.new_empty(sizes)))


@counterfactual("slicing-is-a-view", "augmented-assignment-is-in-place")
def a_slice_is_a_copy(patch):
    get = torch.Tensor.__getitem__
    patch.setattr(torch.Tensor, "__getitem__", lambda x, index: get(x, index).clone())


@counterfactual("advanced-indexing-copies")
def a_list_of_rows_is_a_view(patch):
    get = torch.Tensor.__getitem__

    def view(x, index):
        return get(x, slice(index[0], index[-1] + 1) if index == [0, 1] else index)

    patch.setattr(torch.Tensor, "__getitem__", view)


@counterfactual("repeated-index-counts-once")
def assignment_adds_up_repeats(patch):
    def add(x, index, value):
        x.index_put_((index,), value - x[index], accumulate=True)

    patch.setattr(torch.Tensor, "__setitem__", add)


@counterfactual("tensor-copies-its-data")
def tensor_shares_its_data(patch):
    patch.setattr(torch, "tensor", torch.as_tensor)


@counterfactual("expanded-tensor-shares-elements")
def expand_copies(patch):
    patch.setattr(torch.Tensor, "expand", torch.Tensor.repeat)


@counterfactual("negative-step-is-refused")
def slices_go_backward_too(patch):
    get = torch.Tensor.__getitem__

    def backward(x, index):
        return x.flip(0) if isinstance(index, slice) and index.step == -1 else get(x, index)

    patch.setattr(torch.Tensor, "__getitem__", backward)


@counterfactual("negative-step-is-refused")
def flip_reverses_its_tensor_in_place(patch):
    flip = torch.Tensor.flip
    patch.setattr(torch.Tensor, "flip", lambda x, dim: x.copy_(flip(x, dim)))
