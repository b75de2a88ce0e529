"""A torch with other gradients: they are overwritten, kept where nobody asked, or of another kind."""

import warnings

import torch
import torch.nn.functional as F
from torch import nn

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, attribute, leaves, replace


@counterfactual("grad-accumulates", "kept-grad-changes", "micro-batches-sum-their-means")
def backward_overwrites_the_grad(patch):
    backward = torch.Tensor.backward

    def overwrite(y, *args, **kwargs):
        for leaf in leaves(y):
            leaf.grad = None
        return backward(y, *args, **kwargs)

    patch.setattr(torch.Tensor, "backward", overwrite)


@counterfactual("shared-weights-add-up")
def only_the_first_use_counts(patch):
    used = set()

    def by(function, *args, **kwargs):
        if function in (torch.Tensor.mul, F.linear):
            again = [id(x) in used for x in args]
            used.update(id(x) for x in args if isinstance(x, torch.Tensor) and x.is_leaf)
            args = [x.detach() if known else x for x, known in zip(args, again, strict=True)]
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("shared-weights-add-up")
def a_tied_weight_is_a_copy(patch):
    setattribute = nn.Module.__setattr__

    def copy(module, name, value):
        setattribute(module, name, nn.Parameter(value.clone()) if isinstance(value, nn.Parameter) else value)

    patch.setattr(nn.Module, "__setattr__", copy)


@counterfactual("zero-grad-sets-none")
def zero_grad_writes_zeros(patch):
    for owner in (torch.optim.Optimizer, nn.Module):
        clear = owner.zero_grad
        patch.setattr(owner, "zero_grad", lambda self, set_to_none=False, clear=clear: clear(self, set_to_none))


@counterfactual("zero-grads-still-step")
def a_grad_of_zero_reads_as_none(patch):
    grad = attribute("grad")

    def read(x):
        return grad(x) if grad(x) is not None and grad(x).any() else None

    replace(patch, "grad", read)


@counterfactual("autograd-grad-leaves-grad-alone")
def autograd_grad_fills_the_grad_as_well(patch):
    grad = torch.autograd.grad

    def fill(outputs, inputs):
        inputs.grad = grad(outputs, inputs)[0]
        return (inputs.grad,)

    patch.setattr(torch.autograd, "grad", fill)


@counterfactual("autograd-grad-leaves-grad-alone", "backward-fills-leaves-by-the-chain-rule")
def backward_returns_the_grads_of_all_leaves(patch):
    backward = torch.Tensor.backward

    def give(y, inputs=None):
        backward(y)
        return [leaf.grad for leaf in leaves(y)]

    patch.setattr(torch.Tensor, "backward", give)


@counterfactual("grad-must-match-its-tensor", "assigned-grad-must-match")
def any_grad_is_accepted(patch):
    replace(patch, "grad", write=lambda x, grad: None)


@counterfactual("grad-must-match-its-tensor")
def grad_is_always_float32(patch):
    grad = attribute("grad")
    replace(patch, "grad", lambda x: None if grad(x) is None else grad(x).real.float())


@counterfactual(
    "intermediate-grad-is-not-kept",
    "grad-needs-a-used-required-leaf",
    "reassignment-loses-the-leaf",
    "scaled-at-creation-is-no-leaf",
)
def every_result_retains_its_grad(patch):
    def by(function, *args, **kwargs):
        result = function(*args, **kwargs)
        if isinstance(result, torch.Tensor) and result.requires_grad:
            result.retain_grad()
        return result

    answer(patch, by)


@counterfactual("intermediate-grad-is-not-kept")
def retain_grad_takes_constants(patch):
    retain = torch.Tensor.retain_grad
    patch.setattr(torch.Tensor, "retain_grad", lambda x: retain(x) if x.requires_grad else None)


@counterfactual("clone-stays-in-the-graph")
def clone_leaves_the_graph(patch):
    clone = torch.clone
    patch.setattr(torch, "clone", lambda x: clone(x).detach().requires_grad_())


@counterfactual("clone-stays-in-the-graph")
def detach_copies_and_stays_in_the_graph(patch):
    patch.setattr(torch.Tensor, "detach", torch.Tensor.clone)


@counterfactual("implicit-grad-needs-a-scalar")
def backward_sums_what_is_no_scalar(patch):
    backward = torch.Tensor.backward
    patch.setattr(torch.Tensor, "backward", lambda y: backward(y, torch.ones_like(y)))


@counterfactual("implicit-grad-needs-a-scalar")
def only_a_real_0d_tensor_counts_as_a_scalar(patch):
    backward = torch.Tensor.backward

    def give(y):
        backward(y, torch.zeros_like(y) if y.ndim or y.is_complex() else None)

    patch.setattr(torch.Tensor, "backward", give)


@counterfactual("backward-is-a-vector-jacobian-product", "gradient-has-the-shape-of-the-output")
def backward_takes_ones_for_any_vector(patch):
    backward = torch.Tensor.backward
    patch.setattr(torch.Tensor, "backward", lambda y, vector: backward(y, torch.ones_like(y)))


@counterfactual("hardswish-gradient-at-its-corners")
def hardswish_has_no_slope(patch):
    def by(function, x, *args, **kwargs):
        return F.hardswish(x.detach()) + 0 * x if function is F.hardswish else function(x, *args, **kwargs)

    answer(patch, by)


@counterfactual("batch-norm-has-no-third-derivative")
def batch_norm_has_every_derivative(patch):
    def written_out(x, mean, var, training):
        return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5) ** 0.5

    patch.setattr(F, "batch_norm", written_out)


@counterfactual("special-functions-cut-the-graph")
def special_functions_stay_in_the_graph(patch):
    for name in ("airy_ai", "spherical_bessel_j0"):
        function = getattr(torch.special, name)
        patch.setattr(torch.special, name, lambda x, function=function: function(x) + 0 * x)


@counterfactual("channel-shuffle-backward")
def the_gradient_of_channel_shuffle_is_not_shuffled_back(patch):
    shuffle = F.channel_shuffle
    patch.setattr(F, "channel_shuffle", lambda x, groups: x + (shuffle(x.detach(), groups) - x.detach()))


@counterfactual("python-number-has-no-gradient")
def float_refuses_what_requires_grad(patch):
    def refuse(x):
        raise RuntimeError("a number has no gradient")

    patch.setattr(torch.Tensor, "__float__", refuse)


@counterfactual("python-number-has-no-gradient")
def item_stays_in_the_graph(patch):
    item = torch.Tensor.item
    patch.setattr(torch.Tensor, "item", lambda x: x if x.requires_grad else item(x))


@counterfactual("grad-has-the-strides-of-its-leaf")
def grad_is_always_contiguous(patch):
    grad = attribute("grad")
    replace(patch, "grad", lambda x: None if grad(x) is None else grad(x).contiguous())


@counterfactual("grad-has-the-strides-of-its-leaf")
def grad_is_always_laid_out_by_columns(patch):
    grad = attribute("grad")
    replace(patch, "grad", lambda x: None if grad(x) is None else grad(x).t().contiguous().t())


@counterfactual("grad-has-the-strides-of-its-leaf")
def no_layout_warns(patch):
    warn = torch.Tensor.backward

    def quietly(y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warn(y)

    patch.setattr(torch.Tensor, "backward", quietly)


@counterfactual("sparse-and-dense-gradients-mix-to-dense")
def gradients_stay_sparse(patch):
    grad = attribute("grad")
    replace(patch, "grad", lambda x: None if grad(x) is None else grad(x).to_sparse())


@counterfactual("gradient-has-no-graph-by-default")
def the_graph_of_a_gradient_is_always_made(patch):
    grad = torch.autograd.grad
    patch.setattr(torch.autograd, "grad", lambda y, x, **how: grad(y, x, create_graph=True))


@counterfactual("backward-with-create-graph-leaks")
def backward_never_creates_a_graph(patch):
    backward = torch.Tensor.backward
    patch.setattr(torch.Tensor, "backward", lambda y, create_graph: backward(y))


@counterfactual("backward-releases-what-it-saved")
def backward_keeps_what_was_saved(patch):
    backward = torch.Tensor.backward
    patch.setattr(torch.Tensor, "backward", lambda y, retain_graph=True: backward(y, retain_graph=True))
