"""``DistributedDataParallel`` and its surroundings: checkpointing inside it, what hooks return, renamed arguments."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from pitfalls import pitfall, since


class Twice(nn.Module):
    """A layer that is checkpointed twice, after another one."""

    def __init__(self, reentrant):
        super().__init__()
        self.first, self.shared, self.reentrant = nn.Linear(1, 1), nn.Linear(1, 1), reentrant

    def forward(self, x):
        """Three layers, of which the last two are one."""
        x = checkpoint(self.shared, self.first(x), use_reentrant=self.reentrant)
        return checkpoint(self.shared, x, use_reentrant=self.reentrant)


class Unused(nn.Module):
    """A checkpointed layer, and one that is left out."""

    def __init__(self, reentrant):
        super().__init__()
        self.used, self.unused, self.reentrant = nn.Linear(1, 1), nn.Linear(1, 1), reentrant

    def forward(self, x):
        """Use one of the two."""
        return checkpoint(self.used, x, use_reentrant=self.reentrant)


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-trips-over-reentrant-checkpoints",
    docs=["torch.nn.parallel.DistributedDataParallel", "torch.utils.checkpoint.checkpoint"],
    symptom="Expected to mark a variable ready only once, as soon as I use checkpointing under DDP",
    error="Expected to mark a variable ready only once",
    priority=3,
)
class TestDdpTripsOverReentrantCheckpoints:
    """Under DDP a reentrant checkpoint fails for a layer that is used twice, and where parameters go unused.

    It runs a backward pass of its own, so that a gradient is ready more than once, or is thought to be unused. Pass
    ``use_reentrant=False``; or ``static_graph=True`` to DDP where the same parameters are used in each step.
    """

    def test_trap_a_layer_used_twice(self, group, seeded):
        model, x = DistributedDataParallel(Twice(True)), torch.ones(1, 1, requires_grad=True)
        with pytest.raises(RuntimeError, match="Expected to mark a variable ready only once"):
            model(x).backward()

    def test_trap_an_unused_parameter(self, group, seeded):
        model = DistributedDataParallel(Unused(True), find_unused_parameters=True)
        with pytest.raises(RuntimeError, match="Expected to mark a variable ready only once"):
            model(torch.ones(1, 1, requires_grad=True)).backward()

    def test_fix_not_reentrant(self, group, seeded):
        model = DistributedDataParallel(Unused(False), find_unused_parameters=True)
        model(torch.ones(1, 1)).backward()
        assert model.module.used.weight.grad.item() == 1

    def test_fix_a_static_graph(self, group, seeded):
        model = DistributedDataParallel(Unused(True), static_graph=True)
        for _ in range(2):
            model(torch.ones(1, 1, requires_grad=True)).backward()
        assert model.module.used.weight.grad.item() == 2


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-hook-returns-a-future-of-one-tensor",
    docs=["torch.nn.parallel.DistributedDataParallel.register_comm_hook", "torch.distributed.GradBucket.buffer"],
    symptom="DDP communication hook's callback must return a torch.futures.Future; Unable to cast",
    error="callback must return a torch.futures.Future",
    priority=3,
)
class TestDdpHookReturnsAFutureOfOneTensor:
    """A communication hook returns a future, and the future holds one tensor: not a list of it, and not nothing.

    Futures of torch's collectives hold a list, so that a hook which hands on ``all_reduce(...).get_future()`` fails.
    Take the tensor out with ``then``.
    """

    def test_trap_a_tensor_is_no_future(self, group, seeded):
        model = DistributedDataParallel(nn.Linear(1, 1))
        model.register_comm_hook(None, lambda _, bucket: bucket.buffer())
        with pytest.raises(RuntimeError, match="hook's callback must return a torch"):
            model(torch.ones(1, 1)).sum().backward()

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            pytest.param(lambda x: [x], "Unable to cast .* to Tensor", id="list"),
            pytest.param(lambda x: None, "Expected a proper Tensor but got None", id="nothing"),
        ],
    )
    def test_trap_it_holds_no_tensor(self, group, seeded, value, message):
        def hook(_, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            done = torch.futures.Future()
            done.set_result(value(bucket.buffer()))
            return done

        model = DistributedDataParallel(nn.Linear(1, 1))
        model.register_comm_hook(None, hook)
        with pytest.raises(RuntimeError, match=message):
            model(torch.ones(1, 1)).sum().backward()

    def test_fix_take_the_tensor_out(self, group, seeded):
        def hook(_, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            done = torch.futures.Future()
            done.set_result([bucket.buffer() * 10])
            return done.then(lambda done: done.value()[0])

        model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
        model.register_comm_hook(None, hook)
        model(torch.ones(1, 1)).sum().backward()
        assert model.module.weight.grad.item() == 10


@since("2.13")
@pitfall(
    "broadcast-buffers-is-deprecated",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="FutureWarning: `broadcast_buffers` is deprecated. Use `forward_sync_buffers` instead",
    error="`broadcast_buffers` is deprecated",
    changed={"2.13": "DDP takes forward_sync_buffers, and warns of broadcast_buffers"},
    priority=3,
)
class TestBroadcastBuffersIsDeprecated:
    """``broadcast_buffers=`` of DDP warns since torch 2.13 and has become ``forward_sync_buffers=``.

    Where both are given the new one counts. They are not quite the same: the old one, if False, left the buffers out
    of the synchronisation at the start as well.
    """

    @pytest.mark.parametrize("value", [True, False], ids=str)
    def test_trap_it_warns(self, group, seeded, value):
        with pytest.warns(FutureWarning, match="`broadcast_buffers` is deprecated. Use `forward_sync_buffers`"):
            DistributedDataParallel(nn.Linear(1, 1), broadcast_buffers=value)

    def test_trap_both_warn_that_the_old_one_is_ignored(self, group, seeded):
        with pytest.warns(FutureWarning, match="is ignored when `forward_sync_buffers` is provided"):
            DistributedDataParallel(nn.Linear(1, 1), broadcast_buffers=True, forward_sync_buffers=False)

    def test_fix_the_new_one(self, group, seeded):
        model = DistributedDataParallel(nn.Linear(1, 1), forward_sync_buffers=False)
        assert model.broadcast_buffers is False
