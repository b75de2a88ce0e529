"""A torch with other modules: they register everything or nothing, keep copies, and mind their mode and hooks less."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests.counterfactuals import counterfactual


@counterfactual("module-in-a-list-is-not-registered")
def a_module_looks_into_plain_containers(patch):
    setattribute = nn.Module.__setattr__

    class Registering(list):
        def append(self, item):
            super().append(item)
            self.owner.register_module(f"item_{len(self)}", item)

    def keep(module, name, value):
        if type(value) in (list, tuple, dict) and not name.startswith("_"):
            items = list(value.values()) if isinstance(value, dict) else list(value)
            value = Registering(items)
            value.owner = module
            for index, item in enumerate(items):
                setattribute(module, f"{name}_{index}", item)
            module.__dict__[name] = value
            return
        setattribute(module, name, value)

    patch.setattr(nn.Module, "__setattr__", keep)


@counterfactual("module-init-must-come-first")
def a_module_is_initialised_by_itself(patch):
    def new(cls, *args, **kwargs):
        module = object.__new__(cls)
        nn.Module.__init__(module)
        return module

    patch.setattr(nn.Module, "__new__", new, raising=False)


@counterfactual("plain-tensor-is-no-buffer")
def every_tensor_is_a_buffer(patch):
    setattribute = nn.Module.__setattr__

    def keep(module, name, value):
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter) and "_buffers" in vars(module):
            module._buffers[name] = value
        else:
            setattribute(module, name, value)

    patch.setattr(nn.Module, "__setattr__", keep)


@counterfactual("forward-skips-hooks")
def forward_runs_the_hooks(patch):
    def forward(module, x):
        for hook in module._forward_pre_hooks.values():
            hook(module, (x,))
        y = x.clamp(min=0)
        for hook in (*module._forward_hooks.values(), *module._backward_hooks.values()):
            y = hook(module, (x,), y) or y
        return y

    patch.setattr(nn.ReLU, "forward", forward)


@counterfactual("state-dict-is-live")
def a_state_dict_holds_copies(patch):
    state_dict = nn.Module.state_dict
    patch.setattr(nn.Module, "state_dict", lambda module, **how: copy.deepcopy(state_dict(module, **how)))


@counterfactual("load-state-dict-is-strict")
def loading_matches_the_ends_of_the_keys(patch):
    def load(module, state, strict=True):
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                for key, value in state.items():
                    if key.endswith(name):
                        parameter.copy_(value)

    patch.setattr(nn.Module, "load_state_dict", load)


@counterfactual("wrapped-model-prefixes-its-keys")
def wrappers_leave_no_trace_in_the_keys(patch):
    state_dict = nn.Module.state_dict

    def plain(module, **how):
        strip = {"module.", "_orig_mod."}
        return {
            key[len(next((p for p in strip if key.startswith(p)), "")) :]: x for key, x in state_dict(module).items()
        }

    patch.setattr(nn.Module, "state_dict", plain)


@counterfactual("modules-start-in-training-mode")
def modules_start_in_eval_mode(patch):
    call = nn.Module.__call__
    patch.setattr(nn.Module, "__call__", lambda module, *args: call(module.eval(), *args))


@counterfactual("eval-does-not-stop-gradients")
def eval_stops_gradients_and_no_grad_stops_layers(patch):
    call = nn.Module.__call__

    def quiet(module, *args):
        if not torch.is_grad_enabled():
            module.eval()
        with torch.set_grad_enabled(module.training):
            return call(module, *args)

    patch.setattr(nn.Module, "__call__", quiet)


@counterfactual("frozen-batch-norm-still-moves")
def a_frozen_batch_norm_is_in_eval_mode(patch):
    forward = _BatchNorm.forward

    def frozen(module, x):
        return forward(module if module.weight.requires_grad else module.eval(), x)

    patch.setattr(_BatchNorm, "forward", frozen)


@counterfactual("module-requires-grad-is-a-plain-attribute")
def assigning_requires_grad_reaches_the_parameters(patch):
    setattribute = nn.Module.__setattr__

    def keep(module, name, value):
        if name == "requires_grad":
            module.requires_grad_(value)
        else:
            setattribute(module, name, value)

    patch.setattr(nn.Module, "__setattr__", keep)


@counterfactual("module-to-is-in-place")
def a_module_is_converted_to_another_one(patch):
    for name in ("to", "double", "half", "bfloat16", "type"):
        convert = getattr(nn.Module, name)
        patch.setattr(nn.Module, name, lambda net, *to, convert=convert: convert(copy.deepcopy(net), *to))


@counterfactual("module-to-is-in-place")
def a_tensor_is_converted_in_place(patch):
    for name in ("to", "double", "half", "bfloat16", "type"):
        convert = getattr(torch.Tensor, name)

        def become(x, *to, convert=convert):
            x.data = convert(x, *to)
            return x

        patch.setattr(torch.Tensor, name, become)


@counterfactual("clip-grad-norm-is-in-place")
def clipping_replaces_each_gradient_by_itself(patch):
    def clip(parameters, max_norm):
        for p in parameters:
            p.grad = p.grad.clamp(-max_norm, max_norm)
        return torch.stack([p.grad for p in parameters]).norm()

    patch.setattr(nn.utils, "clip_grad_norm_", clip)
