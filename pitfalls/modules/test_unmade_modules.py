"""Modules whose weights are not there yet: on the meta device, from ``skip_init``, and lazy ones."""

import pytest
import torch
from torch import nn

from pitfalls import before, pitfall, since


@pitfall(
    "meta-module-loads-nothing",
    docs=["torch.nn.Module.load_state_dict", "torch.nn.Module.to_empty", "meta"],
    symptom="UserWarning: copying from a non-meta parameter in the checkpoint to a meta parameter, which is a no-op",
    error="to a meta parameter in the current model, which is a no-op",
    changed={"2.1": "loading into a meta module warns; it had done nothing without a word"},
)
class TestMetaModuleLoadsNothing:
    """Loading a state dict into a module on the meta device leaves it there, without values.

    Parameters are written to in place, and a meta tensor has no memory to write to. Load with ``assign=True`` (since
    torch 2.1), or give the module memory with ``to_empty`` first.
    """

    @before("2.1")
    def test_trap_nothing_was_loaded(self, device):
        net = nn.Linear(1, 1, bias=False, device="meta")
        net.load_state_dict({"weight": torch.ones(1, 1, device=device)})
        assert net.weight.is_meta

    @since("2.1")
    def test_trap_nothing_is_loaded(self, device):
        net = nn.Linear(1, 1, bias=False, device="meta")
        with pytest.warns(UserWarning, match="to a meta parameter in the current model, which is a no-op"):
            net.load_state_dict({"weight": torch.ones(1, 1, device=device)})
        assert net.weight.is_meta

    @since("2.1")
    def test_fix_assign(self, device):
        net = nn.Linear(1, 1, bias=False, device="meta")
        net.load_state_dict({"weight": torch.full((1, 1), 3.0, device=device)}, assign=True)
        assert net(torch.ones(1, device=device)).tolist() == [3]

    def test_fix_make_room_first(self, device):
        net = nn.Linear(1, 1, bias=False, device="meta").to_empty(device=device)
        net.load_state_dict({"weight": torch.full((1, 1), 3.0)})
        assert net(torch.ones(1, device=device)).tolist() == [3]


@pitfall(
    "meta-module-cannot-be-moved",
    docs=[("torch.nn.Module.to_empty", "without copying storage"), "torch.Tensor.is_meta", "meta"],
    symptom="NotImplementedError: Cannot copy out of meta tensor; no data!",
    error="Cannot copy out of meta tensor; no data!",
)
class TestMetaModuleCannotBeMoved:
    """A module made under ``torch.device("meta")`` can't be moved with ``to``; ``to_empty`` gives it memory as it is.

    What is then in the parameters and buffers is whatever was there, so each must be initialised or loaded:
    ``reset_parameters()`` of a layer initialises its own. Whatever is made in the block is a meta tensor, buffers
    included, unless it names a device.
    """

    @pytest.mark.parametrize(
        "move",
        [
            pytest.param(lambda net, d: net.to(d), id="to"),
            pytest.param(lambda net, d: net.to(d, torch.float64), id="to with dtype"),
        ],
    )
    def test_trap_to_raises(self, device, move):
        net = nn.Linear(1, 1, device="meta")
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
            move(net, device)

    def test_trap_everything_in_the_block_is_meta(self, device, seeded):
        with torch.device("meta"):
            norm, placed = nn.BatchNorm1d(1), nn.Linear(1, 1, device=device)
        assert [tensor.is_meta for tensor in norm.state_dict().values()] == [True] * 5
        assert not placed.weight.is_meta

    def test_trap_the_output_is_meta(self):
        net = nn.Linear(2, 3, device="meta")
        y = net(torch.ones(5, 2, device="meta"))
        assert (y.device.type, y.shape) == ("meta", (5, 3))

    def test_fix_to_empty_and_reset(self, device):
        net = nn.BatchNorm1d(2, device="meta").to_empty(device=device)
        net.reset_parameters()
        assert (net.weight.tolist(), net.running_mean.tolist(), net.running_var.tolist()) == ([1, 1], [0, 0], [1, 1])


@pitfall(
    "skip-init-leaves-parameters-uninitialised",
    docs=[("torch.nn.utils.skip_init", "without initializing parameters"), "torch.nn.Module.to_empty"],
    symptom="RuntimeError: Module must support a 'device' arg to skip initialization",
    error="Module must support a 'device' arg to skip initialization",
    priority=3,
)
class TestSkipInitLeavesParametersUninitialised:
    """``skip_init(nn.Linear, 2, 3)`` initialises nothing: the parameters hold whatever was in memory.

    It draws no random numbers, so what is initialised after it comes out otherwise. It takes the class and its
    arguments, not an instance, and the class must accept ``device``. Initialise or load each parameter afterwards.
    """

    def test_trap_no_random_numbers_are_drawn(self, device, seeded):
        nn.utils.skip_init(nn.Linear, 2, 3, device=device)
        after = torch.rand(1, device=device)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(1, device=device), after)

    def test_trap_the_class_must_take_a_device(self):
        class Net(nn.Module):
            pass

        with pytest.raises(RuntimeError, match="Module must support a 'device' arg to skip initialization"):
            nn.utils.skip_init(Net)

    def test_fix_initialise_afterwards(self, device):
        net = nn.utils.skip_init(nn.Linear, 2, 1, bias=False, device=device)
        nn.init.constant_(net.weight, 3.0)
        assert net.weight.tolist() == [[3, 3]]


@pitfall(
    "lazy-module-has-no-weights-yet",
    docs=[
        "torch.nn.LazyLinear",
        ("torch.nn.modules.lazy.LazyModuleMixin", "dry runs"),
        ("torch.nn.parameter.UninitializedParameter", "the shape of the data is"),
    ],
    symptom="Attempted to use an uninitialized parameter; Can't access the shape of an uninitialized parameter",
    error="uninitialized parameter",
    changed={"2.4": "making a lazy module no longer warns"},
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
class TestLazyModuleHasNoWeightsYet:
    """The parameters of a lazy module have neither shape nor values until its first call, which looks at the input.

    They can't be counted, initialised or shared before, though an optimizer accepts them; the first batch fixes the
    sizes for good, and turns the module into an ordinary one. Run one dry batch right after making the model.
    """

    @before("2.4")
    def test_trap_making_one_warned(self, device):
        with pytest.warns(UserWarning, match="Lazy modules are a new feature under heavy development"):
            net = nn.LazyLinear(2, device=device)
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            net.weight.numel()

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda p: p.numel(), id="numel"),
            pytest.param(lambda p: nn.init.ones_(p), id="init"),
            pytest.param(lambda p: p * 2, id="times 2"),
        ],
    )
    def test_trap_parameters_cannot_be_used(self, device, use):
        net = nn.LazyLinear(2, device=device)
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            use(net.weight)

    def test_trap_they_have_no_shape(self, device):
        net = nn.LazyLinear(2, device=device)
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter or buffer"):
            net.weight.shape

    def test_trap_the_first_input_fixes_the_sizes(self, device, seeded):
        net = nn.LazyLinear(2, device=device)
        net(torch.ones(5, 3, device=device))
        with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
            net(torch.ones(5, 4, device=device))

    def test_trap_the_first_call_changes_the_class(self, device, seeded):
        net = nn.LazyLinear(2, device=device)
        net(torch.ones(5, 3, device=device))
        assert type(net) is nn.Linear

    def test_fix_run_one_batch_first(self, device, seeded):
        net = nn.LazyLinear(2, device=device)
        net(torch.ones(5, 3, device=device))
        assert sum(p.numel() for p in net.parameters()) == 8
