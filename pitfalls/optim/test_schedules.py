"""The shapes of schedules: where each starts, what it multiplies, where it ends, and what else it changes."""

import pytest
import torch
from torch.optim import lr_scheduler

from pitfalls import before, pitfall, since


@pitfall(
    "cosine-annealing-climbs-again",
    docs=["torch.optim.lr_scheduler.CosineAnnealingLR", "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts"],
    symptom="the learning rate rises again after T_max steps of CosineAnnealingLR",
)
class TestCosineAnnealingClimbsAgain:
    """``CosineAnnealingLR`` follows the whole cosine: after ``T_max`` steps it climbs back, as slowly as it fell.

    It neither stops at ``eta_min`` nor restarts. ``T_max`` is therefore the number of all scheduler steps: of batches,
    if it steps once a batch. ``CosineAnnealingWarmRestarts`` is the one that jumps back to the start.
    """

    def test_trap_it_climbs_after_t_max(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
        seen = [1.0]
        for _ in range(5):
            optimizer.step()
            scheduler.step()
            seen.append(round(optimizer.param_groups[0]["lr"], 6))
        assert seen == [1, 0.5, 0, 0.5, 1, 0.5]

    def test_fix_t_max_of_all_steps(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
        seen = [1.0]
        for _ in range(6):
            optimizer.step()
            scheduler.step()
            seen.append(round(optimizer.param_groups[0]["lr"], 2))
        assert seen == [1, 0.93, 0.75, 0.5, 0.25, 0.07, 0]

    def test_fix_restarts_jump_back(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
        seen = [1.0]
        for _ in range(5):
            optimizer.step()
            scheduler.step()
            seen.append(round(optimizer.param_groups[0]["lr"], 6))
        assert seen == [1, 0.5, 1, 0.5, 1, 0.5]


@pitfall(
    "one-cycle-has-an-end",
    docs=[
        ("torch.optim.lr_scheduler.OneCycleLR", "changes the learning rate after every batch"),
        ("torch.optim.lr_scheduler.OneCycleLR", "The total number of steps in the cycle"),
    ],
    symptom="ValueError: Tried to step 1001 times. The specified number of total steps is 1000",
    error="The specified number of total steps is",
)
class TestOneCycleHasAnEnd:
    """``OneCycleLR`` counts batches, and raises when it is stepped more often than it was told.

    Typical are a last batch that is smaller but counts, a run that is continued for more epochs, and ``total_steps``
    computed before gradient accumulation. Stepped once an epoch it merely stays in the warm-up. Give it
    ``epochs * len(loader)`` and step it once for each step of the optimizer.
    """

    def test_trap_step_past_the_end(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
        scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=1, steps_per_epoch=2)
        for _ in range(2):
            optimizer.step()
            scheduler.step()
        with pytest.raises(ValueError, match=r"Tried to step 3 times\. The specified number of total steps is 2"):
            scheduler.step()

    def test_trap_it_must_be_told_the_number(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
        with pytest.raises(ValueError, match=r"must define either total_steps OR \(epochs AND steps_per_epoch\)"):
            lr_scheduler.OneCycleLR(optimizer, 1.0)

    def test_fix_epochs_times_batches(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
        scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=2, steps_per_epoch=3)
        for _ in range(6):
            optimizer.step()
            scheduler.step()
        assert scheduler.last_epoch == 6


@pitfall(
    "cyclic-schedules-change-momentum",
    docs=[
        ("torch.optim.lr_scheduler.CyclicLR", "momentum is cycled inversely"),
        ("torch.optim.lr_scheduler.OneCycleLR", "momentum is cycled inversely"),
    ],
    symptom="the momentum or the betas that I set are not used; ValueError: optimizer must support momentum",
    error="optimizer must support momentum with `cycle_momentum` option enabled",
    changed={"2.3": "CyclicLR cycles the first beta of Adam; it had refused optimizers without an option momentum"},
)
class TestCyclicSchedulesChangeMomentum:
    """``CyclicLR`` and ``OneCycleLR`` set not only the learning rate but also the momentum, or the first beta of Adam.

    ``cycle_momentum`` is True by default, and both values of the optimizer are overwritten as soon as the scheduler is
    built. Pass ``cycle_momentum=False`` to keep yours.
    """

    def test_trap_cyclic_sets_both(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=8.0, momentum=0.5)
        lr_scheduler.CyclicLR(optimizer, 0.25, 1.0)
        group = optimizer.param_groups[0]
        assert (round(group["lr"], 6), round(group["momentum"], 6)) == (0.25, 0.9)

    def test_trap_one_cycle_sets_both(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=8.0, momentum=0.5)
        lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9, div_factor=4)
        group = optimizer.param_groups[0]
        assert (round(group["lr"], 6), round(group["momentum"], 6)) == (0.25, 0.95)

    @before("2.3")
    def test_trap_cyclic_refused_adam(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=8.0)
        with pytest.raises(ValueError, match="optimizer must support momentum with `cycle_momentum` option enabled"):
            lr_scheduler.CyclicLR(optimizer, 0.25, 1.0)

    @since("2.3")
    def test_trap_cyclic_sets_the_first_beta(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=8.0, betas=(0.5, 0.75))
        lr_scheduler.CyclicLR(optimizer, 0.25, 1.0)
        assert optimizer.param_groups[0]["betas"] == (0.9, 0.75)

    def test_trap_one_cycle_sets_the_first_beta(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.Adam([w], lr=8.0, betas=(0.5, 0.75))
        lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=9)
        assert optimizer.param_groups[0]["betas"] == (0.95, 0.75)

    def test_fix_leave_momentum_alone(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=8.0, momentum=0.5)
        lr_scheduler.CyclicLR(optimizer, 0.25, 1.0, cycle_momentum=False)
        group = optimizer.param_groups[0]
        assert (round(group["lr"], 6), group["momentum"]) == (0.25, 0.5)


@pitfall(
    "lambda-multiplies-the-initial-rate",
    docs=[
        ("torch.optim.lr_scheduler.LambdaLR", "is set to the initial lr"),
        ("torch.optim.lr_scheduler.MultiplicativeLR", "by the factor given in the specified function"),
    ],
    symptom="LambdaLR gives a far too small rate; LambdaLR(optimizer, lambda epoch: 0.95) does not decay",
)
class TestLambdaMultipliesTheInitialRate:
    """``LambdaLR`` sets the initial rate times what the function returns: not that value itself, nor the last rate.

    A function that returns learning rates makes them too small by the initial one; a constant factor is no decay. For
    a factor on the rate before use ``MultiplicativeLR``; for absolute rates build the optimizer with ``lr=1``.
    """

    @pytest.mark.parametrize(
        ("function", "rates"),
        [
            pytest.param(lambda _: 0.25, [0.0625, 0.0625, 0.0625], id="absolute rate"),
            pytest.param(lambda _: 0.5, [0.125, 0.125, 0.125], id="factor"),
            pytest.param(lambda epoch: 0.5**epoch, [0.25, 0.125, 0.0625], id="power"),
        ],
    )
    def test_trap_initial_rate_times_the_function(self, device, function, rates):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.25)
        scheduler = lr_scheduler.LambdaLR(optimizer, function)
        seen = []
        for _ in range(3):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert seen == rates

    def test_fix_factor_on_the_rate_before(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.25)
        scheduler = lr_scheduler.MultiplicativeLR(optimizer, lambda _: 0.5)
        seen = []
        for _ in range(3):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert seen == [0.25, 0.125, 0.0625]


@pitfall(
    "warm-up-starts-at-a-third",
    docs=[
        ("torch.optim.lr_scheduler.LinearLR", "multiply learning rate in the first epoch"),
        ("torch.optim.lr_scheduler.ConstantLR", "multiply learning rate until the milestone"),
    ],
    symptom="LinearLR or ConstantLR with default arguments: the rate starts at a third and then goes up",
)
class TestWarmUpStartsAtAThird:
    """``LinearLR`` and ``ConstantLR`` begin at a third of the rate by default and are back at the full rate after five.

    Despite their names the one is a warm-up, and the other is not constant: it lets go of its factor. To decay give
    ``LinearLR`` a ``start_factor=1.0`` and an ``end_factor`` below; both count scheduler steps, not epochs.
    """

    @pytest.mark.parametrize(
        ("make", "rates"),
        [
            pytest.param(lr_scheduler.LinearLR, [3, 4.2, 5.4, 6.6, 7.8, 9, 9], id="LinearLR"),
            pytest.param(lr_scheduler.ConstantLR, [3, 3, 3, 3, 3, 9, 9], id="ConstantLR"),
        ],
    )
    def test_trap_default_goes_up(self, device, make, rates):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=9.0)
        scheduler = make(optimizer)
        seen = []
        for _ in range(7):
            seen.append(round(optimizer.param_groups[0]["lr"], 6))
            optimizer.step()
            scheduler.step()
        assert seen == rates

    def test_fix_factors_for_a_decay(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=9.0)
        scheduler = lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.5, total_iters=2)
        seen = []
        for _ in range(4):
            seen.append(round(optimizer.param_groups[0]["lr"], 6))
            optimizer.step()
            scheduler.step()
        assert seen == [9, 6.75, 4.5, 4.5]


@pitfall(
    "repeated-milestone-counts-twice",
    docs=[("torch.optim.lr_scheduler.MultiStepLR", "List of epoch indices. Must be increasing")],
    symptom="the learning rate falls by gamma twice at one milestone",
    priority=3,
)
class TestRepeatedMilestoneCountsTwice:
    """A milestone that is listed twice makes ``MultiStepLR`` multiply by ``gamma`` twice at that epoch.

    Neither repetition nor order is checked, though the list is documented as increasing. Drop duplicates with
    ``sorted(set(milestones))`` where the list is computed.
    """

    @pytest.mark.parametrize(
        ("milestones", "rates"), [([2, 2], [1, 0.25, 0.25]), ([3, 1], [0.5, 0.5, 0.25])], ids=["repeated", "unordered"]
    )
    def test_trap_nothing_is_checked(self, device, milestones, rates):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.5)
        seen = []
        for _ in range(3):
            optimizer.step()
            scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == rates

    def test_fix_drop_duplicates(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        milestones = [2, 2]
        scheduler = lr_scheduler.MultiStepLR(optimizer, sorted(set(milestones)), gamma=0.5)
        seen = []
        for _ in range(3):
            optimizer.step()
            scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [1, 0.5, 0.5]
