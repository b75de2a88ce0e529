"""Learning-rate schedulers: reading the rate, and composing several into one."""

import pytest
import torch
from torch.optim import lr_scheduler

from pitfalls import before, pitfall, since


@pitfall(
    "plateau-scheduler-last-lr",
    docs=[
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "torch.optim.lr_scheduler.LRScheduler.get_last_lr",
    ],
    symptom="AttributeError: 'ReduceLROnPlateau' object has no attribute 'get_last_lr'",
    error="'ReduceLROnPlateau' object has no attribute",
    changed={
        "2.2": "ReduceLROnPlateau is an LRScheduler with get_last_lr, which works from the first step on",
        "2.3": "get_last_lr of ReduceLROnPlateau works before the first step",
    },
)
class TestPlateauSchedulerLastLr:
    """``ReduceLROnPlateau`` has ``get_last_lr()`` only since torch 2.2, and before its first step only since 2.3.

    It was long no subclass of the schedulers' base class, so generic code that logs the rate, or asks ``isinstance``,
    failed on it. ``optimizer.param_groups[0]["lr"]`` is the rate in use with any scheduler in any release.
    """

    @before("2.2")
    def test_trap_there_was_no_get_last_lr(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([w], lr=0.5))
        scheduler.step(1.0)
        with pytest.raises(AttributeError, match="'ReduceLROnPlateau' object has no attribute 'get_last_lr'"):
            scheduler.get_last_lr()

    @since("2.2")
    @before("2.3")
    def test_trap_it_failed_before_the_first_step(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([w], lr=0.5))
        with pytest.raises(AttributeError, match="'ReduceLROnPlateau' object has no attribute '_last_lr'"):
            scheduler.get_last_lr()

    @since("2.3")
    def test_fix_it_works_before_the_first_step(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = lr_scheduler.ReduceLROnPlateau(torch.optim.SGD([w], lr=0.5))
        assert scheduler.get_last_lr() == [0.5]

    @since("2.2")
    def test_fix_it_follows_the_steps(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        seen = []
        for loss in (1.0, 1.0, 2.0):
            optimizer.step()
            scheduler.step(loss)
            seen += scheduler.get_last_lr()
        assert seen == [0.5, 0.25, 0.125]

    def test_fix_read_the_parameter_group(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        seen = [optimizer.param_groups[0]["lr"]]
        for loss in (1.0, 1.0, 2.0):
            optimizer.step()
            scheduler.step(loss)
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [0.5, 0.5, 0.25, 0.125]


SECOND = [
    pytest.param(lambda optimizer: lr_scheduler.ExponentialLR(optimizer, 0.5), id="ExponentialLR"),
    pytest.param(lambda optimizer: lr_scheduler.StepLR(optimizer, 1, 0.5), id="StepLR"),
    pytest.param(lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [1], 0.5), id="MultiStepLR"),
    pytest.param(lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch), id="LambdaLR"),
    pytest.param(lambda optimizer: lr_scheduler.PolynomialLR(optimizer, 2), id="PolynomialLR"),
]


@pitfall(
    "sequential-scheduler-starts-afresh",
    docs=[
        ("torch.optim.lr_scheduler.SequentialLR", "called sequentially during the optimization process"),
        "torch.optim.lr_scheduler.LRScheduler.step",
    ],
    symptom="UserWarning: The epoch parameter in `scheduler.step()` was not necessary, although I pass no epoch",
    error="The epoch parameter in `scheduler.step()` was not necessary and is being deprecated",
    changed={"2.9": "SequentialLR passes a milestone without the warning about the epoch parameter"},
)
class TestSequentialSchedulerStartsAfresh:
    """At a milestone ``SequentialLR`` starts its next scheduler at epoch 0, from the initial rate of the optimizer.

    The rate jumps back there, wherever the scheduler before had brought it. Until torch 2.9 it warned about an epoch
    parameter that only ``SequentialLR`` itself had passed. One ``LambdaLR`` with the whole schedule does neither.
    """

    @before("2.9")
    @pytest.mark.parametrize("make", SECOND)
    def test_trap_milestone_jumped_and_warned(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        first = lr_scheduler.ConstantLR(optimizer, factor=0.125, total_iters=4)
        scheduler = lr_scheduler.SequentialLR(optimizer, [first, make(optimizer)], milestones=[1])
        optimizer.step()
        with pytest.warns(UserWarning, match=r"The epoch parameter in `scheduler\.step\(\)` was not necessary"):
            scheduler.step()
        seen = [optimizer.param_groups[0]["lr"]]
        optimizer.step()
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [1, 0.5]

    @since("2.9")
    @pytest.mark.parametrize("make", SECOND)
    def test_trap_milestone_jumps(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        first = lr_scheduler.ConstantLR(optimizer, factor=0.125, total_iters=4)
        scheduler = lr_scheduler.SequentialLR(optimizer, [first, make(optimizer)], milestones=[1])
        seen = [optimizer.param_groups[0]["lr"]]
        for _ in range(2):
            optimizer.step()
            scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [0.125, 1, 0.5]

    @pytest.mark.parametrize("make", SECOND)
    def test_trap_epoch_of_your_own_still_warns(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = make(optimizer)
        optimizer.step()
        with pytest.warns(UserWarning, match=r"The epoch parameter in `scheduler\.step\(\)` was not necessary"):
            scheduler.step(1)
        assert scheduler.get_last_lr() == [0.5]

    def test_fix_one_lambda_for_the_whole_schedule(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.125 if epoch < 1 else 0.125 * 0.5 ** (epoch - 1))
        seen = [optimizer.param_groups[0]["lr"]]
        for _ in range(2):
            optimizer.step()
            scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [0.125, 0.125, 0.0625]


@pitfall(
    "plateau-scheduler-cannot-be-composed",
    docs=[
        ("torch.optim.lr_scheduler.ChainedScheduler", "a sequence of chainable learning rate schedulers"),
        "torch.optim.lr_scheduler.SequentialLR",
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
    ],
    symptom="TypeError: ReduceLROnPlateau.step() missing 1 required positional argument: 'metrics'",
    error="ReduceLROnPlateau.step() missing 1 required positional argument: 'metrics'",
    changed={
        "2.4": "ChainedScheduler and SequentialLR refuse ReduceLROnPlateau with a ValueError when they are built, and "
        "an empty chain is a ValueError; it had been a TypeError when stepped, and an IndexError"
    },
)
class TestPlateauSchedulerCannotBeComposed:
    """``ChainedScheduler`` and ``SequentialLR`` can't hold a ``ReduceLROnPlateau``, whose ``step`` needs a metric.

    They call ``step()`` of each of their schedulers without arguments. Before torch 2.4 a chain was built all the same,
    and failed at the first step. Chain the others, and step the plateau scheduler by itself, with the metric.
    """

    @before("2.4")
    @pytest.mark.parametrize("place", [0, 1], ids=["first", "last"])
    def test_trap_chain_failed_when_stepped(self, device, place):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        parts = [lr_scheduler.StepLR(optimizer, 1)]
        parts.insert(place, lr_scheduler.ReduceLROnPlateau(optimizer))
        chain = lr_scheduler.ChainedScheduler(parts)
        optimizer.step()
        with pytest.raises(TypeError, match=r"step\(\) missing 1 required positional argument: 'metrics'"):
            chain.step()

    @since("2.4")
    @pytest.mark.parametrize("place", [0, 1], ids=["first", "last"])
    @pytest.mark.parametrize(
        "compose",
        [
            pytest.param(lambda _, parts: lr_scheduler.ChainedScheduler(parts), id="ChainedScheduler"),
            pytest.param(
                lambda optimizer, parts: lr_scheduler.SequentialLR(optimizer, parts, milestones=[2]), id="SequentialLR"
            ),
        ],
    )
    def test_trap_plateau_is_refused(self, device, compose, place):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        parts = [lr_scheduler.StepLR(optimizer, 1)]
        parts.insert(place, lr_scheduler.ReduceLROnPlateau(optimizer))
        with pytest.raises(ValueError, match=f"does not support `ReduceLROnPlateau` .* at index {place}"):
            compose(optimizer, parts)

    @before("2.4")
    def test_trap_empty_chain_was_an_index_error(self):
        with pytest.raises(IndexError, match="list index out of range"):
            lr_scheduler.ChainedScheduler([])

    @since("2.4")
    def test_trap_empty_chain_is_refused(self):
        with pytest.raises(ValueError, match="expects at least one scheduler to be chained"):
            lr_scheduler.ChainedScheduler([])

    def test_fix_step_it_by_itself(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        chain = lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(optimizer, 1, 0.5)])
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        seen = []
        for loss in (1.0, 2.0):
            optimizer.step()
            chain.step()
            plateau.step(loss)
            seen.append(optimizer.param_groups[0]["lr"])
        assert seen == [0.5, 0.125]
