"""A torch whose autocast converts nothing, and whose scaler does not scale."""

import torch

from tests.counterfactuals import counterfactual


@counterfactual("autocast-lowers-matrix-products", "autocast-output-meets-float32")
def autocast_is_without_effect(patch):
    patch.setattr(torch.autocast, "__enter__", lambda self: self)
    patch.setattr(torch.autocast, "__exit__", lambda self, *raised: None)


@counterfactual("gradients-are-scaled-until-unscaled")
def the_scaler_does_not_scale(patch):
    def scale(self, loss):
        self._scale = torch.ones((), device=loss.device)
        return loss

    patch.setattr(torch.amp.GradScaler, "scale", scale)
    patch.setattr(torch.amp.GradScaler, "get_scale", lambda self: 1024.0)
    patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, max_norm: None)


@counterfactual("scaler-refuses-fp16-gradients")
def half_gradients_are_unscaled(patch):
    patch.setattr(torch.amp.GradScaler, "unscale_", lambda self, optimizer: None)
    patch.setattr(torch.amp.GradScaler, "step", lambda self, optimizer: None)
