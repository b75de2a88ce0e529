"""`GradScaler`: gradients that are scaled, steps that are skipped, and the order of its calls."""

import pytest
import torch

from pitfalls import pitfall, since


@since("2.3")
@pitfall(
    "gradients-are-scaled-until-unscaled",
    docs=[
        "notes/amp_examples#working-with-unscaled-gradients",
        "torch.amp.GradScaler.unscale_",
        "torch.amp.GradScaler",
    ],
    symptom="with mixed precision clipping makes all gradients tiny, and their norms are in the thousands",
    priority=1,
)
class TestGradientsAreScaledUntilUnscaled:
    """After ``scaler.scale(loss).backward()`` the gradients are multiplied by the scale, 65536 at first.

    Clipping, logging and penalties see the scaled values. Call ``scaler.unscale_(optimizer)`` first; ``step`` then does
    not divide again. Gradients of ``torch.autograd.grad`` are divided by hand.
    """

    def test_trap_the_gradient_is_scaled(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        scaler = torch.amp.GradScaler(device.type, init_scale=1024.0)
        scaler.scale(w * 3).backward()
        assert w.grad.item() == 3072

    def test_trap_clipping_hits_the_scaled_gradient(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=1024.0)
        scaler.scale(w * 0.5).backward()
        torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
        scaler.step(optimizer)
        assert w.item() > 0.99  # a step of 0.5 was meant, which no clipping would touch

    def test_trap_so_is_that_of_autograd_grad(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        scaler = torch.amp.GradScaler(device.type, init_scale=1024.0)
        (grad,) = torch.autograd.grad(scaler.scale(w * 3), w)
        assert (grad / scaler.get_scale()).item() == 3

    def test_fix_unscale_before_clipping(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=1024.0)
        scaler.scale(w * 0.5).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_([w], max_norm=1.0)
        scaler.step(optimizer)
        assert w.item() == 0.5


@since("2.3")
@pitfall(
    "scaler-skips-steps-on-inf",
    docs=[
        "torch.amp.GradScaler.step",
        "torch.amp.GradScaler.update",
        "notes/amp_examples#typical-mixed-precision-training",
    ],
    symptom="the scale shrinks, steps are skipped, and the scheduler warns that it was called before optimizer.step()",
)
class TestScalerSkipsStepsOnInf:
    """``scaler.step`` skips the optimizer's step if a gradient is infinite or NaN, and ``update`` halves the scale.

    A few such steps at the start are normal. Step the scheduler only if the scale has not gone down, and count the
    skips: a NaN of the model itself is skipped forever.
    """

    @pytest.mark.parametrize("bad", [float("inf"), float("nan")], ids=str)
    def test_trap_the_parameters_stay(self, device, bad):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * bad).backward()
        scaler.step(optimizer)
        scaler.update()
        assert w.item() == 1
        assert scaler.get_scale() == 2

    def test_trap_the_scheduler_goes_on(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * float("inf")).backward()
        scaler.step(optimizer)
        scaler.update()
        with pytest.warns(UserWarning, match=r"lr_scheduler.step\(\)` before `optimizer.step\(\)"):
            scheduler.step()
        assert scheduler.get_last_lr() == [0.5]

    def test_trap_the_scale_falls_below_one(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=1.0)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(w * float("nan")).backward()
            scaler.step(optimizer)
            scaler.update()
        assert scaler.get_scale() == 0.125

    @pytest.mark.parametrize(("slope", "stepped"), [(float("inf"), False), (1.0, True)], ids=["skipped", "stepped"])
    def test_fix_compare_the_scales(self, device, slope, stepped):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * slope).backward()
        scaler.step(optimizer)
        before = scaler.get_scale()
        scaler.update()
        assert (scaler.get_scale() >= before) is stepped


@since("2.3")
@pitfall(
    "unscale-once-per-step",
    docs=[
        ("torch.amp.GradScaler.unscale_", "should only be called once per optimizer per"),
        "torch.amp.GradScaler.step",
    ],
    symptom="RuntimeError: unscale_() has already been called on this optimizer since the last update()",
    error="unscale_() has already been called on this optimizer since the last update()",
)
class TestUnscaleOncePerStep:
    """``unscale_`` and ``step`` may each be called once an optimizer between two calls of ``update``, in this order.

    A second division would give the wrong gradients. The usual cause is a missing ``update()``, or clipping twice.
    ``step`` unscales by itself only if that was not done.
    """

    def test_trap_a_second_unscale_raises(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 2).backward()
        scaler.unscale_(optimizer)
        with pytest.raises(RuntimeError, match=r"unscale_\(\) has already been called on this optimizer"):
            scaler.unscale_(optimizer)

    def test_trap_after_the_step_it_is_too_late(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 2).backward()
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match=r"unscale_\(\) is being called after step\(\)"):
            scaler.unscale_(optimizer)

    def test_trap_a_second_step_raises(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 2).backward()
        scaler.step(optimizer)
        with pytest.raises(RuntimeError, match=r"step\(\) has already been called since the last update"):
            scaler.step(optimizer)

    def test_fix_update_closes_the_iteration(self, device):
        w = torch.tensor([8.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(w * 2).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        assert w.item() == 2


@since("2.3")
@pitfall(
    "scaler-needs-gradients-to-check",
    docs=["torch.amp.GradScaler.update", "torch.amp.GradScaler.step"],
    symptom="AssertionError: No inf checks were recorded for this optimizer, or: prior to update",
    error="No inf checks were recorded",
)
class TestScalerNeedsGradientsToCheck:
    """``step`` and ``update`` of a scaler raise where there was no gradient to check for infinities.

    ``step`` does so if no parameter of the optimizer has a gradient: another model's, frozen, or no ``backward()`` yet.
    ``update`` comes once an iteration, after every optimizer's ``step``.
    """

    def test_trap_no_gradient_in_the_optimizer(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([torch.tensor([1.0], device=device, requires_grad=True)], lr=1.0)
        scaler = torch.amp.GradScaler(device.type)
        scaler.scale(w * 2).backward()
        with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
            scaler.step(optimizer)

    def test_trap_update_without_a_step(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        scaler = torch.amp.GradScaler(device.type)
        scaler.scale(w * 2).backward()
        with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
            scaler.update()

    def test_trap_a_loss_that_was_not_scaled(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type)
        (w * 2).backward()
        with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
            scaler.step(optimizer)

    def test_fix_one_update_after_every_step(self, device):
        w, v = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        first, second = torch.optim.SGD([w], lr=1.0), torch.optim.SGD([v], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 0.5).backward()
        scaler.scale(v * float("inf")).backward()
        scaler.step(first)
        scaler.step(second)  # each optimizer decides for itself whether it steps
        scaler.update()
        assert [w.item(), v.item(), scaler.get_scale()] == [0.5, 1, 2]


@since("2.3")
@pitfall(
    "scaler-refuses-fp16-gradients",
    docs=["torch.amp.GradScaler.unscale_", "amp#gradient-scaling"],
    symptom="ValueError: Attempting to unscale FP16 gradients",
    error="Attempting to unscale FP16 gradients",
    priority=1,
)
class TestScalerRefusesFp16Gradients:
    """``GradScaler`` wants parameters in float32: a model that was made ``half()`` has gradients that it refuses.

    Mixed precision means that autocast lowers the computation while parameters and gradients stay float32. Load the
    model in float32, without ``half()`` or ``torch_dtype=float16``.
    """

    @pytest.mark.parametrize("explicit", [True, False], ids=["unscale_", "step"])
    def test_trap_half_parameters(self, device, explicit):
        w = torch.tensor([1.0], dtype=torch.float16, device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 2).backward()
        with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
            scaler.unscale_(optimizer) if explicit else scaler.step(optimizer)

    def test_fix_float32_parameters_under_autocast(self, device):
        w = torch.eye(2, device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = (torch.ones(1, 2, device=device) @ w).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        assert w.tolist() == [[0, -1], [-1, 0]]
