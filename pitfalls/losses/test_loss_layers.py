"""Loss layers whose arguments some releases take and others refuse."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import before, pitfall, since

GAUSSIAN = [
    pytest.param(lambda x, y, var: F.gaussian_nll_loss(x, y, var), id="function"),
    pytest.param(lambda x, y, var: nn.GaussianNLLLoss()(x, y, var), id="layer"),
]


@pitfall(
    "gaussian-loss-with-a-fixed-variance",
    docs=["torch.nn.functional.gaussian_nll_loss", "torch.nn.GaussianNLLLoss"],
    symptom="AttributeError: 'float' object has no attribute 'size' from GaussianNLLLoss",
    error="'float' object has no attribute 'size'",
    changed={"2.6": "gaussian_nll_loss takes one number for the variance; before, it had to be a tensor"},
    priority=3,
)
class TestGaussianLossWithAFixedVariance:
    """The Gaussian loss takes a Python number for a fixed variance since torch 2.6, and before that a tensor only.

    A tensor works in every release, and must have the shape of the input, or one value in place of the last dimension.
    """

    @before("2.6")
    @pytest.mark.parametrize("loss", GAUSSIAN)
    def test_trap_a_number_was_refused(self, device, loss):
        x, y = torch.tensor([1.0], device=device), torch.tensor([3.0], device=device)
        with pytest.raises(AttributeError, match="'float' object has no attribute 'size'"):
            loss(x, y, 4.0)

    @since("2.6")
    @pytest.mark.parametrize("loss", GAUSSIAN)
    def test_trap_a_number_is_taken(self, device, loss):
        x, y = torch.tensor([1.0], device=device), torch.tensor([3.0], device=device)
        assert loss(x, y, 1.0).item() == 2

    @pytest.mark.parametrize("loss", GAUSSIAN)
    def test_trap_a_tensor_must_fit(self, device, loss):
        x, y = torch.ones(2, 3, device=device), torch.ones(2, 3, device=device)
        with pytest.raises(ValueError, match="var is of incorrect size"):
            loss(x, y, torch.ones(2, 2, device=device))

    @pytest.mark.parametrize("loss", GAUSSIAN)
    def test_fix_a_tensor(self, device, loss):
        x, y = torch.tensor([1.0], device=device), torch.tensor([3.0], device=device)
        assert loss(x, y, torch.full_like(x, 1.0)).item() == 2
