"""A torch whose custom functions and checkpoints lack the traps that the catalogue states of them."""

from types import SimpleNamespace

import torch
from torch.autograd.function import BackwardCFunction
from torch.utils import checkpoint

from tests.counterfactuals import counterfactual


@counterfactual("tensor-on-ctx-escapes-the-version-check")
def ctx_keeps_copies(patch):
    def keep(ctx, name, value):
        copy = value.detach().clone() if isinstance(value, torch.Tensor) else value
        super(BackwardCFunction, ctx).__setattr__(name, copy)

    patch.setattr(BackwardCFunction, "__setattr__", keep)


@counterfactual("reentrant-checkpoint-needs-an-input-with-grad")
def a_reentrant_checkpoint_records_the_graph(patch):
    run = SimpleNamespace(apply=lambda function, preserve, *args: function(*args))
    patch.setattr(checkpoint, "CheckpointFunction", run)
