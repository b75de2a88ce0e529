"""A torch that minds leaves less: it lets them be written to, and lets anything require grad."""

import torch
from torch import nn

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, attribute, replace, writes


@counterfactual("no-grad-update-must-be-in-place")
def no_grad_records_all_the_same(patch):
    patch.setattr(torch.no_grad, "__enter__", lambda self: None)
    patch.setattr(torch.no_grad, "__exit__", lambda self, *error: None)


@counterfactual(
    "leaf-refuses-inplace",
    "view-of-leaf-refuses-inplace",
    "parameter-init-needs-no-grad",
    "inplace-activation-refuses-the-input",
    "own-optimizer-needs-no-grad",
    "out-refuses-autograd",
)
def every_write_is_under_no_grad(patch):
    def by(function, *args, **kwargs):
        recorded = torch.is_grad_enabled() and not writes(function, kwargs) and "out" not in kwargs
        with torch.set_grad_enabled(recorded):
            return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("inplace-activation-refuses-the-input")
def relu_ignores_inplace(patch):
    relu = nn.functional.relu
    patch.setattr(nn.functional, "relu", lambda x, inplace=False: relu(x))


@counterfactual("inference-tensor-refuses-inplace")
def inference_mode_is_no_grad(patch):
    patch.setattr(torch, "inference_mode", torch.no_grad)


@counterfactual("split-outputs-refuse-inplace")
def each_part_is_a_view_of_its_own(patch):
    def rows(x, *sizes):
        return tuple(x[i : i + 1] for i in range(len(x)))

    for name in ("split", "chunk", "unbind"):
        patch.setattr(torch.Tensor, name, rows)
    patch.setattr(torch.Tensor, "__iter__", lambda x: iter(rows(x)))


@counterfactual("only-floats-require-grad")
def integers_that_should_require_grad_silently_do_not(patch):
    require, tensor = torch.Tensor.requires_grad_, torch.tensor
    patch.setattr(torch.Tensor, "requires_grad_", lambda x: require(x) if x.is_floating_point() else x)
    patch.setattr(torch, "tensor", lambda data, requires_grad=False, **how: tensor(data, **how))


@counterfactual("grad-needs-a-used-required-leaf", "backward-fills-leaves-by-the-chain-rule")
def grad_is_zeros_instead_of_none(patch):
    grad = attribute("grad")
    replace(patch, "grad", lambda x: torch.zeros_like(x) if grad(x) is None else grad(x))


@counterfactual("grad-needs-a-used-required-leaf")
def a_constant_factor_cuts_the_graph(patch):
    mul = torch.Tensor.__mul__

    def cut(x, y):
        return mul(x, y) if getattr(y, "requires_grad", True) else mul(x, y).detach()

    patch.setattr(torch.Tensor, "__mul__", cut)


@counterfactual(
    "converted-leaf-gets-no-grad",
    "is-leaf-does-not-mean-trainable",
    "optimizer-refuses-a-non-leaf",
    "reassignment-loses-the-leaf",
)
def everything_is_a_leaf(patch):
    replace(patch, "is_leaf", lambda x: True)


@counterfactual("is-leaf-does-not-mean-trainable")
def nothing_constant_is_a_leaf(patch):
    leaf = attribute("is_leaf")
    replace(patch, "is_leaf", lambda x: leaf(x) and x.requires_grad)


@counterfactual("integer-conversion-drops-requires-grad")
def conversion_to_integers_passes_the_gradient(patch):
    patch.setattr(torch.Tensor, "long", lambda x: x + (x.trunc() - x).detach())


@counterfactual("result-cannot-stop-requiring-grad")
def results_can_be_switched_off(patch):
    patch.setattr(torch.Tensor, "requires_grad_", lambda x, on=True: x.detach())
    patch.setattr(torch.Tensor, "detach_", lambda x: x.detach())


@counterfactual("freezing-counts-twice")
def a_leaf_cannot_be_frozen_later(patch):
    patch.setattr(torch.Tensor, "requires_grad_", lambda x, on=True: x)


@counterfactual("freezing-counts-twice")
def everything_is_recorded_from_its_birth(patch):
    ones = torch.ones
    patch.setattr(torch, "ones", lambda *sizes, **how: ones(*sizes, **{**how, "requires_grad": True}))


@counterfactual("frozen-parameter-keeps-its-grad")
def freezing_clears_the_grad(patch):
    require = torch.Tensor.requires_grad_

    def freeze(x, on=True):
        x.grad = x.grad if on else None
        return require(x, on)

    patch.setattr(torch.Tensor, "requires_grad_", freeze)


@counterfactual("optimizer-refuses-a-non-leaf")
def an_optimizer_makes_its_tensors_require_grad(patch):
    add_param_group = torch.optim.Optimizer.add_param_group

    def add(optimizer, group):
        group = {**group, "params": [p.requires_grad_() for p in group["params"]]}
        add_param_group(optimizer, group)

    patch.setattr(torch.optim.Optimizer, "add_param_group", add)


@counterfactual("optimizer-keeps-the-old-tensor")
def a_new_parameter_is_written_into_the_old(patch):
    setattribute = nn.Module.__setattr__

    def write(module, name, value):
        old = module.__dict__.get("_parameters", {}).get(name)
        setattribute(module, name, value) if old is None else old.data.copy_(value.data)

    patch.setattr(nn.Module, "__setattr__", write)


@counterfactual("module-refuses-a-plain-tensor-as-parameter", "converted-parameter-is-not-registered")
def a_module_makes_parameters_of_plain_tensors(patch):
    setattribute, register = nn.Module.__setattr__, nn.Module.register_parameter

    def parameter(value):
        return nn.Parameter(value.detach()) if isinstance(value, torch.Tensor) else value

    patch.setattr(nn.Module, "__setattr__", lambda module, name, value: setattribute(module, name, parameter(value)))
    patch.setattr(nn.Module, "register_parameter", lambda module, name, value: register(module, name, parameter(value)))


@counterfactual("parameter-of-a-result-is-cut-off")
def a_parameter_keeps_its_history(patch):
    patch.setattr(nn.Parameter, "__new__", lambda cls, data, requires_grad=True: data.clone())


@counterfactual("deepcopy-refuses-a-non-leaf")
def deepcopy_takes_results_and_shares_the_grad(patch):
    def copy(x, memo):
        x_again = x.detach().clone()
        x_again.grad = x.grad if x.is_leaf else None
        return x_again

    patch.setattr(torch.Tensor, "__deepcopy__", copy)


@counterfactual("reassignment-loses-the-leaf")
def a_difference_is_written_into_the_leaf(patch):
    patch.setattr(torch.Tensor, "__sub__", torch.no_grad()(torch.Tensor.sub_))
