"""Ways to run a step: fused, foreach, capturable and differentiable optimizers, tensor rates, closures and hooks."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "step-returns-the-closures-loss",
    docs=[
        ("torch.optim.Optimizer.step", "A closure that reevaluates the model and"),
        "optim#taking-an-optimization-step",
    ],
    symptom="loss = optimizer.step() is None; the loss that step returns is not that of the updated weights",
)
class TestStepReturnsTheClosuresLoss:
    """``step()`` returns None; ``step(closure)`` runs the closure first and returns its loss, from before the update.

    For all but ``LBFGS`` the closure is run once, with gradients enabled even under ``no_grad``. What it does not clear
    and compute is not cleared and computed for it.
    """

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
    def test_trap_loss_is_of_the_old_weights(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = getattr(torch.optim, name)([w], lr=0.5)

        def closure():
            optimizer.zero_grad()
            loss = (w**2).sum()
            loss.backward()
            return loss

        assert optimizer.step(closure).item() == 16
        assert w.item() < 4

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
    def test_trap_without_a_closure_it_is_none(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([1.0], device=device)
        assert getattr(torch.optim, name)([w], lr=0.5).step() is None

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
    def test_trap_gradients_are_enabled_in_it(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = getattr(torch.optim, name)([w], lr=0.5)
        with torch.no_grad():
            assert optimizer.step(lambda: (w * 2).requires_grad) is True


@pitfall(
    "tensor-learning-rate-is-shared",
    docs=[("torch.optim.Adam", "A tensor LR"), "torch.optim.lr_scheduler.LRScheduler.get_last_lr"],
    symptom="ValueError: lr as a Tensor is not supported for capturable=False and foreach=True",
    error="lr as a Tensor is not supported for capturable=False and foreach=True",
    changed={
        "2.1": "foreach Adam and AdamW refuse a tensor rate with a ValueError; it had been a TypeError in the step",
        "2.4": "schedulers write into a tensor rate; they had replaced it by another tensor",
        "2.10": "get_last_lr() returns copies of tensor rates; they had changed with the next step",
    },
)
class TestTensorLearningRateIsShared:
    """A learning rate that is a tensor is kept, not copied: all groups share it, and so does whoever gave it.

    Writing into one group's rate changes the others; assign a new tensor instead. Schedulers write into it in place
    since torch 2.4. Of the foreach implementations those of ``Adam`` and ``AdamW`` refuse it.
    """

    def test_trap_groups_share_it(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([{"params": [w]}, {"params": [b]}], lr=torch.tensor(0.5))
        optimizer.param_groups[0]["lr"].mul_(0.5)
        assert optimizer.param_groups[1]["lr"].item() == 0.25

    @before("2.4")
    def test_trap_scheduler_replaced_it(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        rate = torch.tensor(1.0)
        optimizer = torch.optim.SGD([w], lr=rate)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        optimizer.step()
        scheduler.step()
        assert (rate.item(), optimizer.param_groups[0]["lr"].item()) == (1, 0.5)

    @since("2.4")
    def test_trap_scheduler_writes_into_it(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        rate = torch.tensor(1.0)
        optimizer = torch.optim.SGD([w], lr=rate)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        optimizer.step()
        scheduler.step()
        assert rate.item() == 0.5

    @since("2.4")
    @before("2.10")
    def test_trap_last_rate_changed_with_it(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=torch.tensor(1.0))
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        kept = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        assert kept.item() == 0.5

    @since("2.10")
    def test_fix_last_rate_is_a_copy(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=torch.tensor(1.0))
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        kept = scheduler.get_last_lr()[0]
        optimizer.step()
        scheduler.step()
        assert kept.item() == 1

    @since("2.1")
    @pytest.mark.parametrize("name", ["Adam", "AdamW"])
    def test_trap_foreach_adam_refuses_it(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(ValueError, match="lr as a Tensor is not supported for capturable=False and foreach=True"):
            getattr(torch.optim, name)([w], lr=torch.tensor(0.5), foreach=True)

    def test_fix_assign_a_new_one(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([{"params": [w]}, {"params": [b]}], lr=torch.tensor(0.5))
        optimizer.param_groups[0]["lr"] = torch.tensor(0.25)
        w.grad, b.grad = torch.tensor([2.0], device=device), torch.tensor([2.0], device=device)
        optimizer.step()
        assert (w.item(), b.item()) == (3.5, 3)


@pitfall(
    "fused-optimizer-on-the-cpu",
    docs=[("torch.optim.Adam", "whether the fused implementation"), "optim#algorithms"],
    symptom="RuntimeError: `fused=True` requires all the params to be floating point Tensors of supported devices",
    error="`fused=True` requires all the params to be",
    changed={"2.4": "fused Adam and AdamW run on the CPU; they had been refused there"},
)
class TestFusedOptimizerOnTheCpu:
    """``fused=True`` was for GPUs alone until torch 2.4, and it excludes ``foreach=True``.

    Fused, foreach and the plain loop give the same step up to rounding. Leave both flags at None to let torch choose.
    """

    @on("cpu")
    @before("2.4")
    @pytest.mark.parametrize("name", ["Adam", "AdamW"])
    def test_trap_it_was_refused(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="`fused=True` requires all the params to be"):
            getattr(torch.optim, name)([w], lr=0.5, fused=True)

    @since("2.4")
    @pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
    def test_trap_not_together_with_foreach(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="`fused` and `foreach` cannot be `True` together"):
            getattr(torch.optim, name)([w], lr=0.5, fused=True, foreach=True)

    @pytest.mark.parametrize(
        "how",
        [
            pytest.param({"foreach": False}, id="loop"),
            pytest.param({"foreach": True}, id="foreach"),
            pytest.param({"fused": True}, id="fused", marks=since("2.4")),
        ],
    )
    def test_fix_all_give_the_same_step(self, device, how):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([3.0], device=device)
        optimizer = torch.optim.AdamW([w], lr=0.5, weight_decay=0.5, **how)
        for _ in range(2):
            optimizer.step()
        assert round(w.item(), 4) == 1.375


@pitfall(
    "differentiable-step-needs-non-leaves",
    docs=[("torch.optim.Adam", "whether autograd should"), "torch.optim.Optimizer"],
    symptom="RuntimeError: a leaf Variable that requires grad is being used in an in-place operation, in step",
    error="a leaf Variable that requires grad is being used in an in-place operation",
    priority=3,
)
class TestDifferentiableStepNeedsNonLeaves:
    """With ``differentiable=True`` the step is recorded, so a parameter that is a leaf and requires grad can't take it.

    Give the optimizer clones, through which the gradient of a later loss flows back to the leaf. Without the option
    the step runs under ``no_grad``.
    """

    @pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
    def test_trap_leaf_is_refused(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([2.0], device=device)
        optimizer = getattr(torch.optim, name)([w], lr=0.5, differentiable=True)
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
            optimizer.step()

    def test_fix_give_it_a_clone(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        x = w.clone()
        x.grad = 3 * w
        torch.optim.SGD([x], lr=0.5, differentiable=True).step()
        x.sum().backward()
        assert w.grad.item() == -0.5
