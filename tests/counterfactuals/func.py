"""A torch whose ``vmap`` is a loop over the examples: nothing is mapped at once, so nothing is refused."""

import torch

from tests.counterfactuals import counterfactual


@counterfactual("vmap-refuses-branches-on-values", "vmap-refuses-writes-to-unmapped-tensors")
def vmap_is_a_loop(patch):
    def loop(f):
        return lambda *inputs: torch.stack([torch.as_tensor(f(*example)) for example in zip(*inputs, strict=True)])

    patch.setattr(torch, "vmap", loop)
