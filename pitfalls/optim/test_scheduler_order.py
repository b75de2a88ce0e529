"""When a scheduler sets the rate: as soon as it is built, at each step, and over what you set yourself."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler, swa_utils

from pitfalls import pitfall

HALVING = [
    pytest.param(lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch), id="LambdaLR"),
    pytest.param(lambda optimizer: lr_scheduler.MultiplicativeLR(optimizer, lambda _: 0.5), id="MultiplicativeLR"),
    pytest.param(lambda optimizer: lr_scheduler.StepLR(optimizer, 1, 0.5), id="StepLR"),
    pytest.param(lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [1, 2, 3], 0.5), id="MultiStepLR"),
    pytest.param(lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.5), id="ExponentialLR"),
]


@pitfall(
    "scheduler-before-optimizer-skips-a-rate",
    docs=[
        ("torch.optim.lr_scheduler.LRScheduler.step", "Call this method after calling the optimizer's"),
        "optim#how-to-adjust-learning-rate",
    ],
    symptom="UserWarning: Detected call of `lr_scheduler.step()` before `optimizer.step()`",
    error="Detected call of `lr_scheduler.step()` before `optimizer.step()`",
    priority=1,
)
class TestSchedulerBeforeOptimizerSkipsARate:
    """``scheduler.step()`` goes after ``optimizer.step()``: the other way round the first learning rate is never used.

    The scheduler has set the rate of epoch 0 already when it was built. Most warn at their first step if no step of the
    optimizer came before; ``CosineAnnealingWarmRestarts`` says nothing, and no scheduler warns later on.
    """

    @pytest.mark.parametrize("make", HALVING)
    def test_trap_it_warns(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = make(torch.optim.SGD([w], lr=1.0))
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler\.step\(\)` before `optimizer\.step\(\)`"):
            scheduler.step()

    @pytest.mark.parametrize("make", HALVING)
    def test_trap_first_rate_is_not_used(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        used = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(3):
                scheduler.step()
                used.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
        assert used == [0.5, 0.25, 0.125]

    def test_trap_warm_restarts_skip_it_silently(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2)
        used = []
        for _ in range(3):
            scheduler.step()
            used.append(round(optimizer.param_groups[0]["lr"], 6))
            optimizer.step()
        assert used == [0.5, 1, 0.5]

    @pytest.mark.parametrize("make", HALVING)
    def test_fix_optimizer_first(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        used = []
        for _ in range(3):
            used.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert used == [1, 0.5, 0.25]


BUILT = [
    pytest.param(lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda _: 0.25), id="LambdaLR"),
    pytest.param(lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=0.25), id="ConstantLR"),
    pytest.param(lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=0.25), id="LinearLR"),
    pytest.param(lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.25, 1.0, cycle_momentum=False), id="CyclicLR"),
    pytest.param(
        lambda optimizer: lr_scheduler.OneCycleLR(
            optimizer, 1.0, total_steps=9, div_factor=4, cycle_momentum=False, anneal_strategy="linear"
        ),
        id="OneCycleLR",
    ),
]


@pitfall(
    "scheduler-sets-the-rate-when-built",
    docs=[("torch.optim.lr_scheduler.LRScheduler", "Initializing a scheduler overwrites its optimizer's"), "optim"],
    symptom="the learning rate is another one than I gave to the optimizer, before any step",
)
class TestSchedulerSetsTheRateWhenBuilt:
    """Building a scheduler makes its first step: the optimizer has the rate of epoch 0 from then on.

    So two schedulers on one optimizer both act on the rate as soon as they exist, whichever you mean to use first. The
    rate that you gave stays in the group as ``initial_lr``; ``CyclicLR`` and ``OneCycleLR`` overwrite that as well.
    """

    @pytest.mark.parametrize("make", BUILT)
    def test_trap_rate_is_set_at_once(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        assert (scheduler.last_epoch, optimizer.param_groups[0]["lr"]) == (0, 0.25)

    def test_trap_two_of_them_both_act(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        lr_scheduler.ConstantLR(optimizer, factor=0.5)
        lr_scheduler.LinearLR(optimizer, start_factor=0.25)
        assert optimizer.param_groups[0]["lr"] == 0.125

    @pytest.mark.parametrize("make", BUILT[:3])
    def test_fix_given_rate_is_kept_as_initial(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        make(optimizer)
        assert optimizer.param_groups[0]["initial_lr"] == 1


LOADED = [
    pytest.param(lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda e: 0.5**e), 0.25, 1, id="LambdaLR"),
    pytest.param(lambda optimizer: lr_scheduler.ConstantLR(optimizer, 0.5), 0.5, 0.25, id="ConstantLR"),
    pytest.param(lambda optimizer: lr_scheduler.LinearLR(optimizer, 0.25, 1.0, 3), 0.75, 0.1875, id="LinearLR"),
    pytest.param(
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4),
        0.5,
        1,
        id="CosineAnnealingWarmRestarts",
    ),
]


@pitfall(
    "scheduler-built-after-loading",
    docs=[
        ("torch.optim.Optimizer.load_state_dict", "Make sure this method is called after initializing"),
        ("torch.optim.lr_scheduler.LRScheduler", "overwriting the loaded learning rates"),
    ],
    symptom="after resuming from a checkpoint the learning rate is that of the start again, or far too small",
)
class TestSchedulerBuiltAfterLoading:
    """A scheduler that is built after ``optimizer.load_state_dict`` overwrites the learning rate that was loaded.

    Loading the scheduler's own state afterwards does not bring it back: that sets the scheduler's attributes, not the
    optimizer's rate. Build optimizer and scheduler first, and load both states then.
    """

    @pytest.mark.parametrize(("make", "loaded", "overwritten"), LOADED)
    def test_trap_loaded_rate_is_lost(self, device, make, loaded, overwritten):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = (torch.optim.SGD([w], lr=1.0) for _ in range(2))
        scheduler = make(old)
        for _ in range(2):
            old.step()
            scheduler.step()
        new.load_state_dict(old.state_dict())
        make(new).load_state_dict(scheduler.state_dict())
        assert round(new.param_groups[0]["lr"], 6) == overwritten

    @pytest.mark.parametrize(("make", "loaded", "overwritten"), LOADED)
    def test_fix_build_it_first(self, device, make, loaded, overwritten):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = (torch.optim.SGD([w], lr=1.0) for _ in range(2))
        scheduler, resumed = make(old), make(new)
        for _ in range(2):
            old.step()
            scheduler.step()
        new.load_state_dict(old.state_dict())
        resumed.load_state_dict(scheduler.state_dict())
        assert round(new.param_groups[0]["lr"], 6) == loaded


@pitfall(
    "get-lr-outside-step",
    docs=["torch.optim.lr_scheduler.LRScheduler.get_last_lr", "torch.optim.lr_scheduler.LRScheduler.get_lr"],
    symptom="UserWarning: To get the last learning rate computed by the scheduler, please use `get_last_lr()`",
    error="To get the last learning rate computed by the scheduler, please use `get_last_lr()`",
)
class TestGetLrOutsideStep:
    """``scheduler.get_lr()`` computes the rate for use within ``step()``; called elsewhere it warns and may be wrong.

    Most schedulers compute it from the present rate of the optimizer, so that asking applies the factor once more. The
    rate in use is ``get_last_lr()``, one for each parameter group, or ``optimizer.param_groups[0]["lr"]``.
    """

    @pytest.mark.parametrize(
        "make",
        [
            *HALVING[1:],
            pytest.param(
                lambda optimizer: swa_utils.SWALR(optimizer, 0.0, anneal_epochs=2, anneal_strategy="linear"), id="SWALR"
            ),
        ],
    )
    def test_trap_it_warns_and_is_wrong(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        optimizer.step()
        scheduler.step()
        with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`"):
            rates = scheduler.get_lr()
        assert optimizer.param_groups[0]["lr"] == 0.5
        assert rates[0] < 0.5

    @pytest.mark.parametrize("make", HALVING)
    def test_fix_get_last_lr(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        seen = [scheduler.get_last_lr()]
        optimizer.step()
        scheduler.step()
        seen.append(scheduler.get_last_lr())
        assert seen == [[1], [0.5]]


@pitfall(
    "rate-set-by-hand-under-a-scheduler",
    docs=[
        ("torch.optim.lr_scheduler.LambdaLR", "is set to the initial lr"),
        ("torch.optim.lr_scheduler.MultiStepLR", "such decay can happen simultaneously with other changes"),
    ],
    symptom='the learning rate that I set in optimizer.param_groups[0]["lr"] is gone after the next scheduler.step()',
)
class TestRateSetByHandUnderAScheduler:
    """A rate set by hand is overwritten by schedulers that compute from the initial rate, and scaled by the others.

    ``LambdaLR`` and ``CosineAnnealingWarmRestarts`` remember ``base_lrs`` from when they were built. ``StepLR`` and
    most others multiply the present rate. Set ``base_lrs`` too, or build the scheduler after the change.
    """

    @pytest.mark.parametrize(
        "make",
        [
            HALVING[0],
            pytest.param(
                lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2),
                id="CosineAnnealingWarmRestarts",
            ),
            pytest.param(
                lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.0, 1.0, 2, cycle_momentum=False), id="CyclicLR"
            ),
        ],
    )
    def test_trap_it_is_overwritten(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        optimizer.param_groups[0]["lr"] = 8.0
        optimizer.step()
        scheduler.step()
        assert round(optimizer.param_groups[0]["lr"], 6) == 0.5

    @pytest.mark.parametrize("make", HALVING[1:])
    def test_trap_others_scale_it(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        optimizer.param_groups[0]["lr"] = 8.0
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == 4

    def test_fix_set_the_base_rate_too(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        scheduler.base_lrs = [8.0]
        optimizer.step()
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] == 4
