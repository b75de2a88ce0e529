"""Training with a `GradScaler`: why gradients are scaled, accumulation, closures and checkpoints."""

import pytest
import torch

from pitfalls import pitfall, since


@since("2.3")
@pitfall(
    "unscaling-between-micro-batches-mixes-scales",
    docs=["notes/amp_examples#gradient-accumulation", "torch.amp.GradScaler.unscale_"],
    symptom="gradient accumulation with a GradScaler gives gradients that are too small",
)
class TestUnscalingBetweenMicroBatchesMixesScales:
    """While gradients accumulate, an ``unscale_`` in between adds scaled gradients to unscaled ones.

    Scale every micro-batch with the same scale, and unscale, clip, step and ``update`` once, after the last.
    """

    def test_trap_the_first_gradient_drowns(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 8).backward()
        scaler.unscale_(optimizer)
        scaler.scale(w * 8).backward()
        assert w.grad.item() == 8 + 32

    def test_fix_unscale_after_the_last(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        for _ in range(2):
            scaler.scale(w * 8).backward()
        scaler.unscale_(optimizer)
        assert w.grad.item() == 16


@since("2.3")
@pitfall(
    "scaler-step-takes-no-closure",
    docs=[("torch.amp.GradScaler.step", "Closure use is not currently supported"), "torch.optim.LBFGS"],
    symptom="RuntimeError: Closure use is not currently supported if GradScaler is enabled, with LBFGS",
    error="Closure use is not currently supported if GradScaler is enabled",
    priority=3,
)
class TestScalerStepTakesNoClosure:
    """``scaler.step(optimizer, closure=...)`` raises: the gradients of a new evaluation would never be unscaled.

    So optimizers that need a closure, such as LBFGS, don't go with an enabled scaler. Use bfloat16 or float32.
    """

    def test_trap_a_closure_is_refused(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 2).backward()
        with pytest.raises(RuntimeError, match="Closure use is not currently supported if GradScaler is enabled"):
            scaler.step(optimizer, closure=lambda: w * 2)

    def test_fix_a_disabled_scaler_passes_it_on(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, enabled=False)
        scaler.scale(w * 2).backward()
        assert scaler.step(optimizer, closure=lambda: 7) == 7


@since("2.3")
@pitfall(
    "half-gradients-underflow",
    docs=["amp#gradient-scaling", "torch.amp.GradScaler"],
    symptom="training in float16 without a GradScaler stalls: many gradients are exactly zero",
)
class TestHalfGradientsUnderflow:
    """Gradients below 6e-8 are zero in float16: scale the loss up before ``backward()``, and down before the step.

    That is all that ``GradScaler`` does. bfloat16 has the range of float32, and needs no scaler.
    """

    def test_trap_a_small_gradient_is_zero(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w.half() * 1).float().mul(1e-8).backward()
        assert w.grad.item() == 0

    def test_fix_scaled_it_survives(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        scaler = torch.amp.GradScaler(device.type, init_scale=65536.0)
        scaler.scale((w.half() * 1).float().mul(1e-8)).backward()
        assert (w.grad / scaler.get_scale()).item() == pytest.approx(1e-8, rel=1e-2)

    def test_fix_bfloat16_needs_no_scaler(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w.bfloat16() * 1).float().mul(1e-8).backward()
        assert w.grad.item() == pytest.approx(1e-8, rel=1e-2)


@since("2.3")
@pitfall(
    "scaler-state-belongs-in-the-checkpoint",
    docs=["torch.amp.GradScaler.state_dict", "torch.amp.GradScaler.load_state_dict"],
    symptom="RuntimeError: The source state dict is empty, possibly because it was saved from a disabled GradScaler",
    error="The source state dict is empty, possibly because it was saved",
    priority=3,
)
class TestScalerStateBelongsInTheCheckpoint:
    """The scale is state: a scaler that is not saved starts at 65536 again, and skips steps until it is back.

    A disabled scaler has an empty state, which an enabled one refuses to load. Save ``scaler.state_dict()`` after
    ``update()``, and load it only if it isn't empty.
    """

    def test_trap_a_disabled_scaler_saves_nothing(self, device):
        saved = torch.amp.GradScaler(device.type, enabled=False).state_dict()
        assert saved == {}
        with pytest.raises(RuntimeError, match="The source state dict is empty, possibly because it was saved"):
            torch.amp.GradScaler(device.type).load_state_dict(saved)

    def test_fix_save_and_load_the_scale(self, device):
        saved = torch.amp.GradScaler(device.type, init_scale=8.0).state_dict()
        scaler = torch.amp.GradScaler(device.type)
        scaler.load_state_dict(saved)
        assert scaler.get_scale() == 8
