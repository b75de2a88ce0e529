"""What optimizers and schedulers keep: the entries of their state, their types, and what loading them does."""

import copy

import pytest
import torch
from torch.optim import lr_scheduler

from pitfalls import before, observe, pitfall, since


@pitfall(
    "sgd-without-momentum-has-no-state",
    docs=[
        ("torch.optim.SGD", "momentum factor (default: 0)"),
        ("torch.optim.Optimizer.state_dict", "Its content differs between optimizer classes"),
    ],
    symptom="KeyError: 'momentum_buffer', or KeyError: 0, on the state of SGD",
    changed={"2.4": "SGD without momentum keeps no state; it had kept {'momentum_buffer': None} for each parameter"},
)
class TestSgdWithoutMomentumHasNoState:
    """Plain ``SGD`` keeps no state, however often it steps; only with ``momentum`` is there a ``momentum_buffer``.

    Before torch 2.4 there was an entry for each parameter all the same, with ``None`` in it, so code that looks into
    the state (to shard it, to move it, to count it) meets two layouts. Read it with ``get``.
    """

    @before("2.4")
    @pytest.mark.parametrize("steps", [1, 3], ids=["one step", "three steps"])
    def test_trap_state_was_none(self, device, steps):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        w.grad = torch.tensor([2.0], device=device)
        for _ in range(steps):
            optimizer.step()
        assert optimizer.state_dict()["state"] == {0: {"momentum_buffer": None}}

    @since("2.4")
    @pytest.mark.parametrize("steps", [1, 3], ids=["one step", "three steps"])
    def test_trap_state_stays_empty(self, device, steps):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        w.grad = torch.tensor([2.0], device=device)
        for _ in range(steps):
            optimizer.step()
        assert optimizer.state_dict()["state"] == {}

    @pytest.mark.parametrize(("momentum", "buffer"), [(0, None), (0.5, [2])], ids=["plain", "momentum"])
    def test_fix_read_it_with_get(self, device, momentum, buffer):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5, momentum=momentum)
        w.grad = torch.tensor([2.0], device=device)
        optimizer.step()
        found = optimizer.state.get(w, {}).get("momentum_buffer")
        assert (None if found is None else found.tolist()) == buffer


STEPPED = [
    torch.optim.Adadelta,
    torch.optim.Adagrad,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.ASGD,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
]
LATE = [
    torch.optim.Adadelta,
    torch.optim.RMSprop,
    torch.optim.Rprop,
]


@pitfall(
    "optimizer-step-counter-is-a-tensor",
    docs=[
        ("torch.optim.Optimizer.state_dict", "a Dict holding current optimization state"),
        ("torch.optim.Optimizer.state_dict", "Its content differs between optimizer classes"),
    ],
    symptom="the step number that I saved from an optimizer's state changes by itself, or is a tensor, not an int",
    changed={"2.4": "the step counters of Adadelta, RMSprop and Rprop are tensors; they had been ints"},
)
class TestOptimizerStepCounterIsATensor:
    """The ``step`` in an optimizer's state is a tensor that counts on in place, also in a state dict taken earlier.

    ``state_dict()`` refers to the state's tensors, it doesn't copy them. A few optimizers kept an ``int`` until torch
    2.4, and ``SparseAdam`` still does. Take ``int(step)`` of what you want to keep, and ``copy.deepcopy`` of a dict.
    """

    @before("2.4")
    @pytest.mark.parametrize("optimizer_class", LATE, ids=lambda cls: cls.__name__)
    def test_trap_some_counters_were_numbers(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = optimizer_class([w])
        w.grad = torch.tensor([2.0], device=device)
        optimizer.step()
        kept = optimizer.state_dict()["state"][0]["step"]
        optimizer.step()
        assert type(kept) is int
        assert kept == 1

    @pytest.mark.parametrize(
        "optimizer_class",
        [pytest.param(cls, marks=since("2.4")) if cls in LATE else cls for cls in STEPPED],
        ids=lambda cls: cls.__name__,
    )
    def test_trap_kept_counter_counts_on(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = optimizer_class([w])
        w.grad = torch.tensor([2.0], device=device)
        optimizer.step()
        kept = optimizer.state_dict()["state"][0]["step"]
        optimizer.step()
        assert kept.item() == 2

    @pytest.mark.parametrize("optimizer_class", STEPPED, ids=lambda cls: cls.__name__)
    def test_fix_keep_an_int(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = optimizer_class([w])
        w.grad = torch.tensor([2.0], device=device)
        optimizer.step()
        step = optimizer.state[w]["step"]
        observe(type_of_step=type(step).__name__)
        kept = int(step)
        optimizer.step()
        assert kept == 1

    @pytest.mark.parametrize("optimizer_class", STEPPED, ids=lambda cls: cls.__name__)
    def test_fix_copy_the_state_dict(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = optimizer_class([w])
        w.grad = torch.tensor([2.0], device=device)
        optimizer.step()
        kept = copy.deepcopy(optimizer.state_dict())
        optimizer.step()
        assert kept["state"][0]["step"] == 1


SAVED = [
    pytest.param(lambda optimizer, gamma: lr_scheduler.StepLR(optimizer, 1, gamma), id="StepLR"),
    pytest.param(lambda optimizer, gamma: lr_scheduler.MultiStepLR(optimizer, [1], gamma), id="MultiStepLR"),
    pytest.param(lr_scheduler.ExponentialLR, id="ExponentialLR"),
]


@pitfall(
    "scheduler-state-holds-every-attribute",
    docs=[
        ("torch.optim.lr_scheduler.LRScheduler.state_dict", "It contains an entry for every variable in"),
        "torch.optim.lr_scheduler.LRScheduler.load_state_dict",
    ],
    symptom="a scheduler resumed with a new gamma or step size goes on with the old one",
    changed={
        "2.7": "the key 'verbose' is gone from the state dict, as the argument is from the schedulers",
        "2.8": "the state dict has a key '_is_initial'",
    },
)
class TestSchedulerStateHoldsEveryAttribute:
    """A scheduler's ``state_dict()`` is all its attributes but the optimizer, and loading it sets them all.

    The hyperparameters are among them: what you gave to the constructor of the resumed scheduler is overwritten. So are
    private attributes, which come and go with torch's releases. Set what is to differ after ``load_state_dict``.
    """

    @pytest.mark.parametrize("make", SAVED)
    def test_trap_attributes_of_your_own_are_saved(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = make(torch.optim.SGD([w], lr=1.0), 0.5)
        observe(keys=sorted(scheduler.state_dict()))
        scheduler.comment = "mine"
        assert scheduler.state_dict()["comment"] == "mine"

    @before("2.7")
    @pytest.mark.parametrize("make", SAVED)
    def test_trap_verbose_was_saved(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        scheduler = make(torch.optim.SGD([w], lr=1.0), 0.5)
        assert scheduler.state_dict()["verbose"] is False

    @pytest.mark.parametrize("make", SAVED)
    def test_trap_loaded_gamma_wins(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old = make(torch.optim.SGD([w], lr=1.0), 0.5)
        new = make(torch.optim.SGD([w], lr=1.0), 0.25)
        new.load_state_dict(old.state_dict())
        new.optimizer.step()
        new.step()
        assert new.get_last_lr() == [0.5]

    @pytest.mark.parametrize("make", SAVED)
    def test_fix_set_it_after_loading(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old = make(torch.optim.SGD([w], lr=1.0), 0.5)
        new = make(torch.optim.SGD([w], lr=1.0), 0.5)
        new.load_state_dict(old.state_dict())
        new.gamma = 0.25
        new.optimizer.step()
        new.step()
        assert new.get_last_lr() == [0.25]


RESUMED = [
    pytest.param(lambda optimizer, **k: lr_scheduler.LambdaLR(optimizer, lambda e: 0.5**e, **k), id="LambdaLR"),
    pytest.param(lambda optimizer, **k: lr_scheduler.StepLR(optimizer, 1, 0.5, **k), id="StepLR"),
    pytest.param(lambda optimizer, **k: lr_scheduler.MultiStepLR(optimizer, [1, 2, 3, 4], 0.5, **k), id="MultiStepLR"),
]
LAGGING = [
    pytest.param(lambda optimizer, **k: lr_scheduler.ExponentialLR(optimizer, 0.5, **k), id="ExponentialLR"),
    pytest.param(
        lambda optimizer, **k: lr_scheduler.MultiplicativeLR(optimizer, lambda _: 0.5, **k), id="MultiplicativeLR"
    ),
    pytest.param(lambda optimizer, **k: lr_scheduler.PolynomialLR(optimizer, 3, **k), id="PolynomialLR"),
]


@pitfall(
    "scheduler-resumed-by-last-epoch",
    docs=[
        ("torch.optim.lr_scheduler.LRScheduler", "Only use a non-default value when restoring"),
        "torch.optim.lr_scheduler.LRScheduler.load_state_dict",
    ],
    symptom="KeyError: \"param 'initial_lr' is not specified in param_groups[0] when resuming\"",
    error="param 'initial_lr' is not specified in param_groups[0] when resuming",
    changed={
        "2.8": "ExponentialLR, MultiplicativeLR and PolynomialLR count on to the next epoch, but keep the loaded rate",
        "2.10": "the error for a missing initial_lr explains when it happens",
    },
)
class TestSchedulerResumedByLastEpoch:
    """A scheduler with ``last_epoch`` needs ``initial_lr`` in the parameter groups, which a new optimizer lacks.

    The first scheduler of an optimizer writes it there, and the optimizer's state dict carries it over. Even then the
    constructor goes on to the next epoch, some schedulers (since torch 2.8) without the change of the rate, so that
    they lag behind. Build the scheduler without ``last_epoch``, then load its state and, after it, the optimizer's.
    """

    @pytest.mark.parametrize("make", [*RESUMED, *LAGGING])
    def test_trap_new_optimizer_has_no_initial_lr(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        with pytest.raises(KeyError, match=r"param 'initial_lr' is not specified in param_groups\[0\]") as caught:
            make(optimizer, last_epoch=2)
        observe(message=caught.value.args[0])

    @pytest.mark.parametrize("make", RESUMED)
    def test_trap_it_goes_on_to_the_next_epoch(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = (torch.optim.SGD([w], lr=1.0) for _ in range(2))
        scheduler = make(old)
        for _ in range(2):
            old.step()
            scheduler.step()
        new.load_state_dict(old.state_dict())
        resumed = make(new, last_epoch=scheduler.last_epoch)
        old.step()
        scheduler.step()
        assert resumed.get_last_lr() == scheduler.get_last_lr()

    @before("2.8")
    @pytest.mark.parametrize("make", LAGGING)
    def test_trap_others_went_on_to_the_next_epoch(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = (torch.optim.SGD([w], lr=1.0) for _ in range(2))
        scheduler = make(old)
        for _ in range(2):
            old.step()
            scheduler.step()
        new.load_state_dict(old.state_dict())
        resumed = make(new, last_epoch=scheduler.last_epoch)
        old.step()
        scheduler.step()
        assert resumed.get_last_lr() == scheduler.get_last_lr()

    @since("2.8")
    @pytest.mark.parametrize("make", LAGGING)
    def test_trap_some_lag_an_epoch_behind(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = (torch.optim.SGD([w], lr=1.0) for _ in range(2))
        scheduler = make(old)
        for _ in range(2):
            old.step()
            scheduler.step()
        new.load_state_dict(old.state_dict())
        resumed = make(new, last_epoch=scheduler.last_epoch)
        assert resumed.last_epoch == scheduler.last_epoch + 1
        assert resumed.get_last_lr() == scheduler.get_last_lr()

    @pytest.mark.parametrize("make", [*RESUMED, *LAGGING])
    def test_fix_load_both_states(self, device, make):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = (torch.optim.SGD([w], lr=1.0) for _ in range(2))
        scheduler, resumed = make(old), make(new)
        for _ in range(2):
            old.step()
            scheduler.step()
        resumed.load_state_dict(scheduler.state_dict())
        new.load_state_dict(old.state_dict())
        for optimizer, schedule in ((old, scheduler), (new, resumed)):
            optimizer.step()
            schedule.step()
        assert resumed.last_epoch == 3
        assert new.param_groups[0]["lr"] == old.param_groups[0]["lr"]
