"""Limits of process groups: barriers of other backends, sizes of subgroups, groups that start by themselves, ZeRO."""

import importlib
import sys
import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn

from pitfalls import before, on, pitfall, since


@pytest.fixture
def zero(group):
    """``ZeroRedundancyOptimizer``, whose module compiles functions as it is imported, and warns of that."""
    validated = torch.distributions.Distribution._validate_args  # switched off when the compiler is imported
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        optimizer = importlib.import_module("torch.distributed.optim").ZeroRedundancyOptimizer
        optimizer([nn.Parameter(torch.ones(1))], torch.optim.SGD, lr=1.0)  # imports the rest
    yield optimizer
    torch.distributions.Distribution.set_default_validate_args(validated)


@pitfall(
    "new-subgroups-needs-a-size-that-divides",
    docs=[("torch.distributed.new_subgroups", "the world size must be divisible by")],
    symptom="ValueError from dist.new_subgroups() on machines without a GPU, or with an odd number of ranks",
    error="must not exceed the world size | Default group size only takes effect when CUDA",
    changed={"2.1": "subgroups can be made without a GPU, if group_size is given"},
    priority=3,
)
class TestNewSubgroupsNeedsASizeThatDivides:
    """``new_subgroups`` takes the number of GPUs for its size, and raises where there are none; say ``group_size=``.

    The world size must be a multiple of it: with uneven machines, or on the CPU, the default is never what you want.
    """

    @since("2.1")
    @on("cpu")
    def test_trap_without_a_gpu_it_has_no_size(self, group):
        with pytest.raises(ValueError, match="Default group size only takes effect when CUDA"):
            dist.new_subgroups()

    @before("2.1")
    @on("cpu")
    def test_trap_it_needed_a_gpu(self, group):
        with pytest.raises(ValueError, match="Subgroups can only be created when CUDA is available"):
            dist.new_subgroups(group_size=1)

    @since("2.1")
    def test_trap_larger_than_the_world(self, group):
        with pytest.raises(ValueError, match=r"'group_size' \(2\) must not exceed the world size \(1\)"):
            dist.new_subgroups(group_size=2)

    @since("2.1")
    def test_fix_a_size_that_divides(self, group):
        own, groups = dist.new_subgroups(group_size=1)
        assert [dist.get_world_size(own), len(groups)] == [1, 1]


@pytest.fixture
def environment(monkeypatch):
    """What a launcher would set for one rank; afterwards there is no group."""
    hook = sys.excepthook
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    yield
    dist.destroy_process_group()
    sys.excepthook = hook


@since("2.4")
@pitfall(
    "device-mesh-starts-a-process-group",
    docs=["torch.distributed.init_device_mesh"],
    symptom="trying to initialize the default process group twice, where init_process_group comes after a device mesh",
    error="trying to initialize the default process group twice",
    priority=3,
)
class TestDeviceMeshStartsAProcessGroup:
    """``init_device_mesh`` makes the default process group if there is none, from the environment and with defaults.

    A later ``init_process_group`` raises, and its backend and timeout are never used. Call it first.
    """

    def test_trap_there_is_a_group_afterwards(self, environment):
        dist.init_device_mesh("cpu", (1,))
        assert dist.is_initialized() is True

    def test_trap_another_group_is_refused(self, environment):
        dist.init_device_mesh("cpu", (1,))
        with pytest.raises(ValueError, match="trying to initialize the default process group twice"):
            dist.init_process_group("gloo")

    def test_fix_make_the_group_first(self, environment):
        dist.init_process_group("gloo")
        dist.init_device_mesh("cpu", (1,))
        assert dist.get_backend() == "gloo"


@since("2.13")
@pitfall(
    "reduce-scatter-tensor-has-a-new-name",
    docs=["torch.distributed.reduce_scatter_tensor", "torch.distributed.reduce_scatter_single"],
    symptom="FutureWarning: torch.distributed.reduce_scatter_tensor is deprecated",
    error="reduce_scatter_tensor` is deprecated",
    changed={"2.15": "reduce_scatter_tensor no longer warns"},
    priority=3,
)
class TestReduceScatterTensorHasANewName:
    """``reduce_scatter_tensor`` is deprecated in torch 2.13 and 2.14, for ``reduce_scatter_single``, not in 2.15.

    Both do the same. The new name is missing in older releases.
    """

    @before("2.15")
    def test_trap_it_warns(self, group):
        with pytest.warns(FutureWarning, match="`torch.distributed.reduce_scatter_tensor` is deprecated"):
            dist.reduce_scatter_tensor(torch.zeros(2), torch.ones(2))

    @since("2.15")
    def test_trap_it_warns_no_more(self, group):
        x = torch.zeros(2)
        dist.reduce_scatter_tensor(x, torch.ones(2))
        assert x.tolist() == [1, 1]

    def test_fix_the_new_name(self, group):
        x = torch.zeros(2)
        dist.reduce_scatter_single(x, torch.ones(2))
        assert x.tolist() == [1, 1]


@pitfall(
    "zero-takes-one-dense-type",
    docs=["distributed.optim"],
    symptom="ValueError: ZeroRedundancyOptimizer only supports using the same dense type for all parameters",
    error="ZeroRedundancyOptimizer only supports using the same dense type for all parameters",
    priority=3,
)
@pytest.mark.slow  # its module takes seconds to import
class TestZeroTakesOneDenseType:
    """``ZeroRedundancyOptimizer`` refuses parameters of several dtypes, and sparse ones.

    Give each dtype an optimizer of its own.
    """

    @pytest.mark.parametrize(
        "second",
        [
            pytest.param(lambda: torch.ones(1, dtype=torch.float64), id="another dtype"),
            pytest.param(lambda: torch.ones(1).to_sparse(), id="sparse"),
        ],
    )
    def test_trap_it_raises(self, zero, second):
        with pytest.raises(ValueError, match="only supports using the same dense type for all parameters"):
            zero([nn.Parameter(torch.ones(1)), nn.Parameter(second())], torch.optim.SGD, lr=1.0)

    def test_fix_an_optimizer_for_each_dtype(self, zero):
        p = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = zero([p], torch.optim.SGD, lr=1.0)
        p.grad = torch.ones(1, dtype=torch.float64)
        optimizer.step()
        assert p.item() == 0


def stepped(zero):
    """An optimizer with a parameter that has a gradient."""
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    return zero([p], torch.optim.SGD, lr=1.0, momentum=0.5)


@pitfall(
    "zero-state-is-that-of-the-last-consolidation",
    docs=["distributed.optim"],
    symptom="RuntimeError: Optimizer state has not been consolidated on this rank; or a checkpoint with older state",
    error="Optimizer state has not been consolidated on this rank",
    priority=3,
)
@pytest.mark.slow  # its module takes seconds to import
class TestZeroStateIsThatOfTheLastConsolidation:
    """``state_dict()`` of ``ZeroRedundancyOptimizer`` gives what ``consolidate_state_dict()`` gathered, however old.

    Before the first time it raises; later it doesn't notice that steps were taken since. Consolidate before each save,
    on all ranks.
    """

    def test_trap_before_it_raises(self, zero):
        with pytest.raises(RuntimeError, match="Optimizer state has not been consolidated on this rank"):
            stepped(zero).state_dict()

    def test_trap_steps_since_are_missing(self, zero):
        optimizer = stepped(zero)
        optimizer.consolidate_state_dict()
        optimizer.step()
        assert optimizer.state_dict()["state"] == {}

    def test_fix_consolidate_before_each_save(self, zero):
        optimizer = stepped(zero)
        optimizer.step()
        optimizer.consolidate_state_dict()
        assert optimizer.state_dict()["state"][0]["momentum_buffer"].item() == 1
