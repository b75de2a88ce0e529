"""`ReduceLROnPlateau`: which metrics it takes for no improvement, and in which direction it looks."""

import pytest
import torch
from torch.optim import lr_scheduler

from pitfalls import pitfall


@pitfall(
    "plateau-looks-for-a-minimum",
    docs=[("torch.optim.lr_scheduler.ReduceLROnPlateau", "when a metric has stopped improving")],
    symptom="ReduceLROnPlateau lowers the learning rate although the accuracy keeps growing",
)
class TestPlateauLooksForAMinimum:
    """``ReduceLROnPlateau`` takes its metric for a loss: with an accuracy every better epoch counts as a bad one.

    ``mode="min"`` is the default. Pass ``mode="max"`` for what is to grow. ``step()`` needs the metric each time.
    """

    def test_trap_growing_accuracy_lowers_the_rate(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        seen = []
        for accuracy in (0.5, 0.75, 0.875):
            optimizer.step()
            scheduler.step(accuracy)
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [1, 0.5, 0.25]

    def test_trap_step_needs_the_metric(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([w], lr=1.0))
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'metrics'"):
            scheduler.step()

    def test_fix_mode_max(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", patience=0, factor=0.5)
        seen = []
        for accuracy in (0.5, 0.75, 0.875, 0.75):
            optimizer.step()
            scheduler.step(accuracy)
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [1, 1, 1, 0.5]


@pitfall(
    "plateau-needs-a-real-improvement",
    docs=[
        ("torch.optim.lr_scheduler.ReduceLROnPlateau", "to only focus on significant changes"),
        ("torch.optim.lr_scheduler.ReduceLROnPlateau", "If the performance improves or remains the same"),
    ],
    symptom="ReduceLROnPlateau lowers the learning rate although the loss still falls, a little",
    contradicts={
        "torch.optim.lr_scheduler.ReduceLROnPlateau": "the rate is documented to stay if the metric remains the same, "
        "but an epoch without improvement counts as a bad one and lowers it"
    },
)
class TestPlateauNeedsARealImprovement:
    """``ReduceLROnPlateau`` counts an epoch as bad unless the metric is better than the best by one in ten thousand.

    Standing still is bad, and so is a nan. The rate falls with the bad epoch after ``patience`` of them. Set
    ``threshold=0`` to let any improvement count.
    """

    @pytest.mark.parametrize("loss", [1.0, 0.99995, float("nan")], ids=["the same", "hardly better", "nan"])
    def test_trap_these_lower_the_rate(self, device, loss):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        for metric in (1.0, loss):
            optimizer.step()
            scheduler.step(metric)
        assert optimizer.param_groups[0]["lr"] == 0.5

    @pytest.mark.parametrize("patience", [0, 1, 3], ids=str)
    def test_trap_one_more_than_patience(self, device, patience):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=patience, factor=0.5)
        epochs = 0
        while optimizer.param_groups[0]["lr"] == 1 and epochs < 9:
            optimizer.step()
            scheduler.step(1.0)
            epochs += 1
        assert epochs == 1 + patience + 1  # the first epoch sets the mark

    def test_fix_threshold_of_zero(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.0)
        seen = []
        for metric in (1.0, 0.99995, 0.9999, 0.9999):
            optimizer.step()
            scheduler.step(metric)
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [1, 1, 1, 0.5]
