"""A torch that is more obliging with devices: operands that follow each other, CUDA that falls back to the CPU."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.counterfactuals import counterfactual


@counterfactual("operands-must-share-a-device")
def operands_follow_the_first_one(patch):
    def following(function):
        def call(*args, **how):
            tensors = args[0] if isinstance(args[0], list) else args
            where = tensors[0].device
            how = {name: one.to(where) if isinstance(one, torch.Tensor) else one for name, one in how.items()}
            if isinstance(args[0], list):
                return function([one.to(where) for one in tensors], **how)
            return function(*(one.to(where) if isinstance(one, torch.Tensor) else one for one in tensors), **how)

        return call

    for owner, names in ((torch, "add cat stack addmm"), (F, "linear mse_loss cross_entropy layer_norm")):
        for name in names.split():
            patch.setattr(owner, name, following(getattr(owner, name)))


@counterfactual("cuda-needs-a-gpu-when-first-used")
def cuda_falls_back_to_the_cpu(patch):
    def on_the_cpu(function):
        return lambda *args, **how: function(*args, **{**how, "device": "cpu"})

    for name in ("ones", "tensor"):
        patch.setattr(torch, name, on_the_cpu(getattr(torch, name)))
    patch.setattr(nn.PReLU, "__init__", on_the_cpu(nn.PReLU.__init__))
    for owner in (torch.Tensor, nn.Module):
        for name in ("cuda", "to"):
            patch.setattr(owner, name, lambda self, *args: self)
    questions = ("current_device", "current_stream", "get_device_name", "get_device_properties", "mem_get_info")
    for name in ("init", "synchronize", "get_rng_state", *questions):
        patch.setattr(torch.cuda, name, lambda *args: None)


@counterfactual("out-of-memory-can-be-caught")
def there_is_always_memory(patch):
    empty = torch.empty
    patch.setattr(torch, "empty", lambda size, **how: empty(min(size, 8), **how))
