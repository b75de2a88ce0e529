"""Loading and copying optimizers: what a state dict brings along, and to which parameter each part goes."""

import copy
import pickle

import pytest
import torch
from torch import nn

from pitfalls import on, pitfall

OPTIMIZERS = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]


@pitfall(
    "loaded-learning-rate-wins",
    docs=[
        ("torch.optim.Optimizer.state_dict", "a List containing all parameter groups"),
        "torch.optim.Optimizer.load_state_dict",
    ],
    symptom="I resume from a checkpoint with another learning rate, and training goes on with the old one",
    priority=1,
)
class TestLoadedLearningRateWins:
    """``optimizer.load_state_dict`` replaces every option of the groups: the learning rate that was saved wins.

    Momentum, weight decay and the rest of what you gave to the constructor are replaced as well. Set
    ``group["lr"]`` and whatever else is to differ after loading.
    """

    @pytest.mark.parametrize("optimizer_class", OPTIMIZERS, ids=lambda cls: cls.__name__)
    def test_trap_saved_options_win(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old = optimizer_class([w], lr=0.5, weight_decay=0.25)
        new = optimizer_class([w], lr=0.125, weight_decay=0.0)
        new.load_state_dict(old.state_dict())
        group = new.param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (0.5, 0.25)

    def test_fix_set_it_after_loading(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        old, new = torch.optim.SGD([w], lr=0.5), torch.optim.SGD([w], lr=0.125)
        new.load_state_dict(old.state_dict())
        for group in new.param_groups:
            group["lr"] = 0.125
        w.grad = torch.tensor([2.0], device=device)
        new.step()
        assert w.item() == 3.75


@pitfall(
    "loaded-state-goes-by-position",
    docs=[
        ("torch.optim.Optimizer.state_dict", "match state WITHOUT additional verification"),
        "torch.optim.Optimizer.load_state_dict",
    ],
    symptom="ValueError: loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
    error="loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
)
class TestLoadedStateGoesByPosition:
    """A loaded optimizer state is matched to the parameters by their order alone: another order swaps it silently.

    Only the number of groups and of parameters in each is checked. Shapes and the class of the optimizer are not, so
    that a mismatch fails at the next step, or never. Build the optimizer from the same parameters in the same order.
    """

    def test_trap_other_order_swaps_the_state(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        w.grad, b.grad = torch.tensor([3.0], device=device), torch.tensor([5.0], device=device)
        old = torch.optim.SGD([w, b], lr=0.5, momentum=0.5)
        old.step()
        new = torch.optim.SGD([b, w], lr=0.5, momentum=0.5)
        new.load_state_dict(old.state_dict())
        assert [new.state[p]["momentum_buffer"].item() for p in (w, b)] == [5, 3]

    def test_trap_other_shape_fails_at_the_step(self, device):
        w, v = torch.zeros(2, device=device, requires_grad=True), torch.zeros(3, device=device, requires_grad=True)
        w.grad, v.grad = torch.ones(2, device=device), torch.ones(3, device=device)
        old, new = (torch.optim.SGD([p], lr=0.5, momentum=0.5, foreach=False) for p in (w, v))
        old.step()
        new.load_state_dict(old.state_dict())
        with pytest.raises(RuntimeError, match=r"The size of tensor a \(2\) must match the size of tensor b \(3\)"):
            new.step()

    def test_trap_other_class_fails_at_the_step(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([3.0], device=device)
        new = torch.optim.Adam([w], lr=0.5)
        new.load_state_dict(torch.optim.SGD([w], lr=0.5).state_dict())
        with pytest.raises(KeyError, match="betas"):
            new.step()

    def test_fix_number_of_parameters_is_checked(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        old, new = torch.optim.SGD([w], lr=0.5), torch.optim.SGD([w, b], lr=0.5)
        with pytest.raises(ValueError, match="contains a parameter group that doesn't match the size of optimizer's"):
            new.load_state_dict(old.state_dict())

    def test_fix_number_of_groups_is_checked(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        old, new = torch.optim.SGD([w], lr=0.5), torch.optim.SGD([{"params": [w]}, {"params": [b]}], lr=0.5)
        with pytest.raises(ValueError, match="loaded state dict has a different number of parameter groups"):
            new.load_state_dict(old.state_dict())


@pitfall(
    "loaded-state-takes-the-parameters-dtype",
    docs=["torch.optim.Optimizer.load_state_dict", "torch.Tensor.to"],
    symptom="float32 averages of Adam lose digits when the checkpoint is loaded for a model in half precision",
)
class TestLoadedStateTakesTheParametersDtype:
    """Loading converts floating-point state to each parameter's dtype and device; only the step counter is left alone.

    So a checkpoint from another device needs no ``map_location`` for the optimizer, but averages saved in float32 are
    rounded where the parameters are half. State is copied on the way, so the old optimizer keeps its own.
    """

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
    @pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.AdamW], ids=lambda cls: cls.__name__)
    def test_trap_averages_are_converted(self, device, optimizer_class, dtype):
        w = torch.ones(1, device=device, requires_grad=True)
        v = torch.ones(1, dtype=dtype, device=device, requires_grad=True)
        w.grad = torch.ones(1, device=device)
        old, new = optimizer_class([w], lr=0.5), optimizer_class([v], lr=0.5)
        old.step()
        new.load_state_dict(old.state_dict())
        assert new.state[v]["exp_avg"].dtype == dtype
        assert new.state[v]["step"].dtype == torch.float32

    def test_trap_digits_are_lost(self, device):
        w = torch.ones(1, device=device, requires_grad=True)
        v = torch.ones(1, dtype=torch.bfloat16, device=device, requires_grad=True)
        w.grad = torch.tensor([1.00390625], device=device)
        old, new = (torch.optim.SGD([p], lr=0.5, momentum=0.5) for p in (w, v))
        old.step()
        new.load_state_dict(old.state_dict())
        assert new.state[v]["momentum_buffer"].item() == 1

    @on("cuda")
    def test_fix_state_moves_to_its_parameter(self, device):
        w, v = torch.ones(1, requires_grad=True), torch.ones(1, device=device, requires_grad=True)
        w.grad = torch.ones(1)
        old, new = (torch.optim.SGD([p], lr=0.5, momentum=0.5) for p in (w, v))
        old.step()
        new.load_state_dict(old.state_dict())
        assert new.state[v]["momentum_buffer"].device.type == device.type

    def test_fix_keep_the_parameters_in_float32(self, device):
        w, v = (torch.ones(1, device=device, requires_grad=True) for _ in range(2))
        w.grad = torch.tensor([1.00390625], device=device)
        old, new = (torch.optim.SGD([p], lr=0.5, momentum=0.5) for p in (w, v))
        old.step()
        new.load_state_dict(old.state_dict())
        assert new.state[v]["momentum_buffer"].item() == 1.00390625


@pitfall(
    "converted-model-leaves-optimizer-state",
    docs=["optim#constructing-it", "torch.nn.Module.to"],
    symptom="after net.double() or net.to(device) in the middle of training optimizer.step() fails",
    error="expected dtype float for `end` but got dtype double",
)
class TestConvertedModelLeavesOptimizerState:
    """Moving or converting a model changes its parameters in place, but not the state that an optimizer has for them.

    Before the first step that is harmless for most optimizers, since there is no state yet; no new optimizer is needed.
    Later, load the optimizer's own ``state_dict()`` back into it: that converts the state to the parameters.
    """

    def test_trap_momentum_stays_behind(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.5)
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        net.double()
        assert net.weight.dtype == torch.float64
        assert optimizer.state[net.weight]["momentum_buffer"].dtype == torch.float32

    def test_trap_adam_fails_at_the_next_step(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.5, foreach=False)
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        net.double()
        net.weight.grad = torch.ones_like(net.weight)
        with pytest.raises(RuntimeError, match=r"expected dtype float for `end`|needs_dynamic_casting"):
            optimizer.step()

    @on("cuda")
    def test_trap_so_does_momentum_on_another_device(self, device, seeded):
        net = nn.Linear(1, 1, bias=False)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.5, foreach=False)
        net(torch.ones(1)).backward()
        optimizer.step()
        net.to(device)
        net.weight.grad = torch.ones_like(net.weight)
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            optimizer.step()

    def test_fix_before_the_first_step_it_is_harmless(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
        net.double()
        net(torch.ones(1, dtype=torch.float64, device=device)).backward()
        optimizer.step()
        assert optimizer.state[net.weight]["exp_avg"].dtype == torch.float64

    def test_fix_load_its_own_state(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.5)
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        net.double()
        optimizer.load_state_dict(optimizer.state_dict())
        assert optimizer.state[net.weight]["exp_avg"].dtype == torch.float64


COPIES = [
    pytest.param(copy.deepcopy, id="deepcopy"),
    pytest.param(lambda optimizer: pickle.loads(pickle.dumps(optimizer)), id="pickle"),
]


@pitfall(
    "copied-optimizer-has-other-parameters",
    docs=["torch.optim.Optimizer.load_state_dict", "torch.optim.Optimizer.state_dict"],
    symptom="a copied or unpickled optimizer steps, but the model does not change",
)
class TestCopiedOptimizerHasOtherParameters:
    """A deep copy of an optimizer, pickled or not, holds copies of the parameters: its steps never reach the model.

    Copy model and optimizer together in one ``deepcopy``, so that they share the copies, or build a new optimizer and
    load the state dict into it.
    """

    @pytest.mark.parametrize("duplicate", COPIES)
    def test_trap_it_steps_other_tensors(self, device, duplicate):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        copied = duplicate(torch.optim.SGD([w], lr=0.5))
        inner = copied.param_groups[0]["params"][0]
        inner.grad = torch.tensor([2.0], device=device)
        copied.step()
        assert (w.item(), inner.item()) == (4, 3)

    def test_fix_copy_them_together(self, device):
        norm = nn.LayerNorm(1, device=device)
        copied, optimizer = copy.deepcopy((norm, torch.optim.SGD(norm.parameters(), lr=0.5)))
        copied.weight.grad = torch.tensor([1.0], device=device)
        optimizer.step()
        assert copied.weight.item() == 0.5

    def test_fix_load_the_state_into_a_new_one(self, device):
        norm = nn.LayerNorm(1, device=device)
        optimizer = torch.optim.SGD(norm.parameters(), lr=0.5)
        copied = copy.deepcopy(norm)
        other = torch.optim.SGD(copied.parameters(), lr=0.125)
        other.load_state_dict(optimizer.state_dict())
        copied.weight.grad = torch.tensor([1.0], device=device)
        other.step()
        assert copied.weight.item() == 0.5
