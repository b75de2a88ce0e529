"""Several schedulers on one optimizer, and the rate that a scheduler reports."""

import pytest
import torch
from torch.optim import lr_scheduler

from pitfalls import before, pitfall, since


@pitfall(
    "chained-schedulers-multiply",
    docs=[
        "optim#how-to-adjust-learning-rate",
        ("torch.optim.lr_scheduler.MultiStepLR", "such decay can happen simultaneously with other changes"),
    ],
    symptom="with two schedulers the learning rate is the product of both, or one of them has no effect",
)
class TestChainedSchedulersMultiply:
    """Two schedulers stepped in turn multiply: each works on the rate that the other left, where it works on that.

    A scheduler that computes from the initial rate, as ``LambdaLR``, undoes what came before it. ``get_last_lr()`` is
    the rate after that scheduler's own step. To run one after the other use ``SequentialLR``.
    """

    @pytest.mark.parametrize(
        "step",
        [
            pytest.param(lambda first, second: (first.step(), second.step()), id="in turn"),
            pytest.param(lambda *both: lr_scheduler.ChainedScheduler(list(both)).step(), id="ChainedScheduler"),
        ],
    )
    def test_trap_factors_multiply(self, device, step):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        first = lr_scheduler.ExponentialLR(optimizer, 0.5)
        second = lr_scheduler.StepLR(optimizer, 1, 0.25)
        optimizer.step()
        step(first, second)
        assert optimizer.param_groups[0]["lr"] == 0.125

    def test_trap_last_rate_is_one_of_several(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        first = lr_scheduler.ExponentialLR(optimizer, 0.5)
        second = lr_scheduler.StepLR(optimizer, 1, 0.25)
        optimizer.step()
        first.step()
        second.step()
        assert first.get_last_lr() == [0.5]

    def test_trap_lambda_undoes_the_other(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        schedulers = [lr_scheduler.ExponentialLR(optimizer, 0.5), lr_scheduler.LambdaLR(optimizer, lambda _: 0.75)]
        for _ in range(3):
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        assert optimizer.param_groups[0]["lr"] == 0.75

    def test_fix_lambda_first(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        schedulers = [lr_scheduler.LambdaLR(optimizer, lambda _: 0.75), lr_scheduler.ExponentialLR(optimizer, 0.5)]
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        assert optimizer.param_groups[0]["lr"] == 0.375


MAKES = [
    pytest.param(lambda optimizer, **how: lr_scheduler.StepLR(optimizer, 1, 0.5, **how), id="StepLR"),
    pytest.param(lambda optimizer, **how: lr_scheduler.ExponentialLR(optimizer, 0.5, **how), id="ExponentialLR"),
    pytest.param(lambda optimizer, **how: lr_scheduler.MultiStepLR(optimizer, [1], 0.5, **how), id="MultiStepLR"),
]


@pitfall(
    "scheduler-verbose-is-gone",
    docs=["torch.optim.lr_scheduler.LRScheduler.get_last_lr"],
    symptom="TypeError: StepLR.__init__() got an unexpected keyword argument 'verbose'",
    error="got an unexpected keyword argument 'verbose'",
    changed={
        "2.2": "the argument verbose of schedulers gives a UserWarning",
        "2.7": "schedulers refuse the argument verbose",
    },
)
class TestSchedulerVerboseIsGone:
    """Schedulers take no ``verbose`` any more: it printed each change, warned since torch 2.2 and is gone since 2.7.

    Print ``scheduler.get_last_lr()`` where you want to see the rate.
    """

    @before("2.2")
    @pytest.mark.parametrize("make", MAKES)
    def test_trap_it_was_kept_in_the_state(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = make(torch.optim.SGD([w], lr=1.0), verbose=True)
        assert scheduler.state_dict()["verbose"] is True

    @since("2.2")
    @before("2.7")
    @pytest.mark.parametrize("make", MAKES)
    def test_trap_it_warned(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="The verbose parameter is deprecated"):
            make(torch.optim.SGD([w], lr=1.0), verbose=False)

    @since("2.7")
    @pytest.mark.parametrize("make", MAKES)
    def test_trap_it_is_refused(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'verbose'"):
            make(torch.optim.SGD([w], lr=1.0), verbose=True)

    def test_fix_ask_for_the_rate(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.StepLR(optimizer, 1, 0.5)
        optimizer.step()
        scheduler.step()
        assert scheduler.get_last_lr() == [0.5]
