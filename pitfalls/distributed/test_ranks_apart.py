"""What one of two ranks does alone: weights and orders of its own, hooks before the mean, a barrier that it skips."""

import functools
import os
import sys
import tempfile
import warnings
from datetime import timedelta
from multiprocessing import forkserver

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pitfalls import pitfall, since

# Whichever test is the first starts the ranks; torch.load of 2.0 warns of itself.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")]


def on_one_rank(rank, folder):
    """What each of the two processes does: join the group, do all the work in order, leave the results in a file."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for what gloo says of the refusals that are wanted
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # that broadcast_buffers is deprecated
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=20))
    results = dict.fromkeys(name for name in globals() if name.startswith("work_"))
    for name in results:
        torch.manual_seed(rank)
        results[name] = globals()[name](rank)
    torch.save(results, f"{folder}/{rank}.pt")
    store.set(f"rank {rank} is done", "")
    store.wait([f"rank {1 - rank} is done"], timedelta(seconds=20))
    dist.destroy_process_group()


@functools.cache
def begin_ahead():
    """Start the process that the ranks are forked from: what DDP imports it imports once, while other pins run."""
    if sys.platform != "win32":
        mp.set_forkserver_preload(["torch._dynamo"])
        forkserver.ensure_running()


@functools.cache
def done_by_two_ranks():
    """What each function ``work_...`` returned on the two ranks, which are started once for all of them."""
    method = mp.get_start_method(allow_none=True)
    begin_ahead()
    start = "spawn" if sys.platform == "win32" else "forkserver"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        children = mp.start_processes(on_one_rank, args=(folder,), nprocs=2, join=False, start_method=start)
        mp.set_start_method(method, force=True)  # which the start has settled
        if not any(children.join(1) for _ in range(60)):
            for child in children.processes:
                child.kill()
            raise TimeoutError("the two ranks did not end within 60 s")
        found = [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(2)]
    return {globals()[name]: [results[name] for results in found] for name in found[0]}


@pytest.fixture
def ranks():
    """What the functions above each class returned on rank 0 and on rank 1."""
    return done_by_two_ranks()


def work_look_into_a_bucket(rank):
    """What a communication hook gets where the gradient is ``rank + 1``, and the gradient where it does nothing."""
    seen = []

    def hook(_, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        seen.append(bucket.buffer().clone())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    model.register_comm_hook(None, hook)
    model(torch.full((1, 1), rank + 1.0)).sum().backward()
    return torch.stack([seen[0], model.module.weight.grad.flatten()])


def work_reduce_in_a_hook(rank):
    """The gradient where the hook sums the buckets, and where it also divides them."""
    grads = []
    for divisor in (1, dist.get_world_size()):

        def hook(_, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            total = bucket.buffer() / divisor  # noqa: B023 - it runs within this round
            return dist.all_reduce(total, async_op=True).get_future().then(lambda done: done.value()[0])

        model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
        model.register_comm_hook(None, hook)
        model(torch.full((1, 1), rank + 1.0)).sum().backward()
        grads.append(model.module.weight.grad.flatten())
    return torch.stack(grads)


@pitfall(
    "ddp-hook-gets-undivided-gradients",
    docs=["torch.nn.parallel.DistributedDataParallel.register_comm_hook", "torch.distributed.GradBucket.buffer"],
    symptom="with my communication hook the gradients are too large, by the number of ranks",
    priority=3,
)
class TestDdpHookGetsUndividedGradients:
    """A communication hook gets the gradients of its rank as they are: DDP neither reduces nor divides them any more.

    A hook that but calls ``all_reduce`` leaves the sum over the ranks, where DDP by itself takes the mean. Divide by
    the world size in the hook.
    """

    def test_trap_it_gets_those_of_the_rank(self, ranks):
        assert [bucket.item() for bucket, _ in ranks[work_look_into_a_bucket]] == [1, 2]

    def test_trap_what_it_returns_is_the_gradient(self, ranks):
        assert [grad.item() for _, grad in ranks[work_look_into_a_bucket]] == [1, 2]

    def test_trap_a_sum_stays_a_sum(self, ranks):
        assert [grads[0].item() for grads in ranks[work_reduce_in_a_hook]] == [3, 3]

    def test_fix_divide(self, ranks):
        assert [grads[1].item() for grads in ranks[work_reduce_in_a_hook]] == [1.5, 1.5]


def work_mix_dtypes(rank):
    """The gradients of a float32 and a float64 parameter, each ``rank + 1``."""
    net = nn.Module()
    net.narrow, net.wide = (nn.Parameter(torch.ones(1, dtype=dtype)) for dtype in (torch.float32, torch.float64))
    net.forward = lambda x: (net.narrow * x + net.wide * x).sum()
    model = DistributedDataParallel(net)
    model(torch.full((1,), rank + 1.0)).backward()
    return [net.narrow.grad, net.wide.grad]


@pitfall(
    "ddp-reduces-each-dtype-apart",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="I convert my model to one dtype for DDP, which is not needed",
    priority=3,
)
class TestDdpReducesEachDtypeApart:
    """Parameters of several dtypes may be in one DDP model: each gradient is reduced in the dtype of its parameter.

    Buckets hold one dtype each. A float64 parameter is thus not rounded on the way, and a half one is summed in half.
    """

    def test_trap_all_are_reduced(self, ranks):
        assert [[grad.item() for grad in grads] for grads in ranks[work_mix_dtypes]] == [[1.5, 1.5], [1.5, 1.5]]

    def test_trap_each_in_its_dtype(self, ranks):
        assert [grad.dtype for grad in ranks[work_mix_dtypes][1]] == [torch.float32, torch.float64]


class Counter(nn.Module):
    """A layer beside a buffer that holds a number of its rank."""

    def __init__(self, rank):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        nn.init.constant_(self.layer.weight, rank + 1)
        self.register_buffer("number", torch.tensor(rank + 1.0))

    def forward(self, x):
        """The layer, which knows nothing of the buffer."""
        return self.layer(x)


def work_keep_buffers_apart(rank):
    """The buffer, which was ``rank + 1``, after wrapping and after a forward pass, without ``broadcast_buffers``."""
    model = DistributedDataParallel(Counter(rank), broadcast_buffers=False)
    after_wrapping = model.module.number.clone()
    model(torch.ones(1, 1))
    return torch.stack([after_wrapping, model.module.number])


def work_keep_buffers_apart_later(rank):
    """The same without ``forward_sync_buffers``, with the buffer set anew after wrapping."""
    if "forward_sync_buffers" not in DistributedDataParallel.__init__.__code__.co_varnames:
        return None
    model = DistributedDataParallel(Counter(rank), forward_sync_buffers=False)
    after_wrapping = model.module.number.clone()
    model.module.number.fill_(rank + 1)
    model(torch.ones(1, 1))
    return torch.stack([after_wrapping, model.module.number])


@since("2.1")  # torch 2.0 copies them at the start all the same
@pitfall(
    "broadcast-buffers-rules-the-start-too",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="with broadcast_buffers=False the ranks start from different running statistics",
    changed={"2.13": "forward_sync_buffers=False leaves the buffers alone only after the start"},
    priority=3,
)
class TestBroadcastBuffersRulesTheStartToo:
    """With ``broadcast_buffers=False`` DDP leaves the buffers alone from the start: each rank keeps its own.

    The parameters are those of rank 0 all the same. ``forward_sync_buffers=False``, its heir since torch 2.13, takes
    the buffers of rank 0 once, at the start, and then leaves them alone.
    """

    def test_trap_they_are_not_even_copied_once(self, ranks):
        assert [numbers[0].item() for numbers in ranks[work_keep_buffers_apart]] == [1, 2]

    def test_trap_nor_later(self, ranks):
        assert [numbers[1].item() for numbers in ranks[work_keep_buffers_apart]] == [1, 2]

    @since("2.13")
    def test_fix_the_new_setting_copies_once(self, ranks):
        assert [numbers[0].item() for numbers in ranks[work_keep_buffers_apart_later]] == [1, 1]

    @since("2.13")
    def test_fix_and_leaves_them_alone_later(self, ranks):
        assert [numbers[1].item() for numbers in ranks[work_keep_buffers_apart_later]] == [1, 2]


def work_wrap_without_the_start(rank):
    """The weight, which was ``rank + 1``, after wrapping without ``init_sync`` and, at last, sent by rank 0."""
    if "init_sync" not in DistributedDataParallel.__init__.__code__.co_varnames:
        return None
    weight = DistributedDataParallel(Counter(rank), init_sync=False).module.layer.weight.detach()
    own = weight.clone()
    dist.broadcast(weight, src=0)
    return torch.stack([own, weight]).flatten()


@since("2.7")
@pitfall(
    "init-sync-false-lets-ranks-differ",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="with init_sync=False the ranks train different models",
    priority=3,
)
class TestInitSyncFalseLetsRanksDiffer:
    """With ``init_sync=False`` DDP copies no weights at the start: ranks that differ go on differing, without a word.

    It also checks no shapes. Use it only where all ranks have loaded the same checkpoint; or send the weights yourself.
    """

    def test_trap_each_keeps_its_own(self, ranks):
        assert [weights[0].item() for weights in ranks[work_wrap_without_the_start]] == [1, 2]

    def test_fix_send_them(self, ranks):
        assert [weights[1].item() for weights in ranks[work_wrap_without_the_start]] == [1, 1]


def work_register_in_another_order(rank):
    """The gradients of ``a`` and ``b``, which should be 1 and 10; rank 1 registers them in the reverse order."""
    net = nn.Module()
    for name in ("a", "b") if rank == 0 else ("b", "a"):
        net.register_parameter(name, nn.Parameter(torch.ones(1)))
    net.forward = lambda x: (net.a * x + net.b * 10 * x).sum()
    model = DistributedDataParallel(net)
    model(torch.ones(1)).backward()
    return torch.cat([net.a.grad, net.b.grad])


@pitfall(
    "ddp-pairs-parameters-by-order",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="under DDP the gradients of two layers of one shape are mixed",
    priority=3,
)
class TestDdpPairsParametersByOrder:
    """DDP pairs the parameters of the ranks by the order of their registration, and not by name.

    Ranks that build the same model in another order average gradients of different parameters; only shapes are
    compared. Build the model by the same code on all ranks, with nothing that depends on the rank or on a set.
    """

    def test_trap_gradients_are_mixed(self, ranks):
        assert [grads.tolist() for grads in ranks[work_register_in_another_order]] == [[5.5, 5.5], [5.5, 5.5]]


def work_all_reduce(rank):
    """The sum of ``rank + 1`` over the ranks."""
    x = torch.tensor(rank + 1.0)
    dist.all_reduce(x)
    return x


def work_skip_a_barrier(rank):
    """Whether a barrier that rank 1 skips raises; the last work, since the group is broken afterwards."""
    try:
        if rank == 0:
            dist.monitored_barrier(timeout=timedelta(seconds=0.3))
    except RuntimeError as error:
        return torch.tensor("Rank 1 failed to pass monitoredBarrier" in str(error))
    return torch.tensor(False)


@pitfall(
    "every-rank-must-call-the-collective",
    docs=["torch.distributed.monitored_barrier", "torch.distributed.barrier"],
    symptom="training hangs, with all GPUs at 100 %, and ends with a timeout after half an hour",
    error="failed to pass monitoredBarrier",
    priority=2,
)
class TestEveryRankMustCallTheCollective:
    """A collective waits for all ranks: if one skips it, under ``if rank == 0`` say, the others wait for the timeout.

    All ranks must call the same collectives in the same order. ``monitored_barrier`` (gloo only) raises early and names
    the rank that is missing.
    """

    def test_trap_the_others_wait_for_a_rank_that_skips_it(self, ranks):
        assert [raised.item() for raised in ranks[work_skip_a_barrier]] == [True, False]

    def test_fix_all_ranks_call_it(self, ranks):
        assert [x.item() for x in ranks[work_all_reduce]] == [3, 3]
