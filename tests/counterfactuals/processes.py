"""A torch whose tensors are in shared memory from the start."""

import torch

from tests.counterfactuals import counterfactual

ZEROS, FROM_NUMPY = torch.zeros, torch.from_numpy


@counterfactual("fork-does-not-share-tensors")
def every_tensor_is_shared(patch):
    patch.setattr(torch, "zeros", lambda *sizes, **how: ZEROS(*sizes, **how).share_memory_())
    patch.setattr(torch, "from_numpy", lambda array: FROM_NUMPY(array).share_memory_())
