"""Two ranks that train together: what ``DistributedDataParallel`` averages and copies, and what it leaves apart."""

import functools
import os
import sys
import tempfile
from datetime import timedelta
from multiprocessing import forkserver

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pitfalls import pitfall

# Whichever test is the first starts the ranks; torch.load of 2.0 warns of itself.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")]


def on_one_rank(rank, folder):
    """What each of the two processes does: join the group, do all the work in order, leave the results in a file."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # for what gloo says of the refusals that are wanted
    torch.set_num_threads(1)
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


def work_backward(rank):
    """The gradient of a loss that is ``rank + 1`` times the weight."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    model(torch.full((1, 1), rank + 1.0)).sum().backward()
    return model.module.weight.grad


def work_backward_of_a_multiple(rank):
    """The same, with the loss times the number of ranks."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    (model(torch.full((1, 1), rank + 1.0)).sum() * dist.get_world_size()).backward()
    return model.module.weight.grad


@pitfall(
    "ddp-averages-gradients",
    docs=["torch.nn.parallel.DistributedDataParallel", "notes/ddp#internal-design"],
    symptom="with a summed loss the gradients under DDP are smaller than in one process, by the number of ranks",
    priority=2,
)
class TestDdpAveragesGradients:
    """After ``backward()`` each rank holds the mean over the ranks of their gradients, not the sum.

    That is right for a loss which is a mean over the batch, if all batches are of one size. A summed loss must be
    multiplied by the world size to give what one process would.
    """

    def test_trap_it_is_the_mean(self, ranks):
        assert [grad.item() for grad in ranks[work_backward]] == [1.5, 1.5]

    def test_fix_multiply_a_summed_loss(self, ranks):
        assert [grad.item() for grad in ranks[work_backward_of_a_multiple]] == [3, 3]


def work_wrap(rank):
    """The weight that a rank has after wrapping, which was ``rank + 1`` before."""
    net = nn.Linear(1, 1)
    nn.init.constant_(net.weight, rank + 1)
    return DistributedDataParallel(net).module.weight.detach()


def work_change_after_wrapping(rank):
    """The weight, changed to ``rank + 1`` after wrapping: after a backward pass, and after rank 0 sent its own."""
    model = DistributedDataParallel(nn.Linear(1, 1))
    nn.init.constant_(model.module.weight, rank + 1)
    model(torch.ones(1, 1)).sum().backward()
    weight = model.module.weight.detach().clone()
    dist.broadcast(model.module.weight.detach(), src=0)
    return torch.stack([weight, model.module.weight.detach()])


@pitfall(
    "ddp-copies-rank-0-once",
    docs=["torch.nn.parallel.DistributedDataParallel", "notes/ddp#internal-design"],
    symptom="the weights that I loaded on one rank are gone; or the ranks drift apart and nobody complains",
    priority=2,
)
class TestDdpCopiesRank0Once:
    """The constructor of DDP gives all ranks the parameters of rank 0; after that parameters are never compared.

    What was loaded on another rank is overwritten. A change that one rank alone makes later stays: ranks are equal only
    because they start equal and apply equal gradients. Load before you wrap, and change on all ranks.
    """

    def test_trap_rank_0_wins_at_the_start(self, ranks):
        assert [weight.item() for weight in ranks[work_wrap]] == [1, 1]

    def test_trap_a_later_change_is_not_seen(self, ranks):
        assert [weights[0].item() for weights in ranks[work_change_after_wrapping]] == [1, 2]

    def test_fix_broadcast_after_a_change(self, ranks):
        assert [weights[1].item() for weights in ranks[work_change_after_wrapping]] == [1, 1]


def work_no_sync_around_backward(rank):
    """The gradient, with the forward pass outside ``no_sync()``."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    loss = model(torch.full((1, 1), rank + 1.0)).sum()
    with model.no_sync():
        loss.backward()
    return model.module.weight.grad


def work_no_sync_around_both(rank):
    """The gradient, with both passes inside ``no_sync()``."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    with model.no_sync():
        model(torch.full((1, 1), rank + 1.0)).sum().backward()
    return model.module.weight.grad


@pitfall(
    "no-sync-must-hold-the-forward",
    docs=[("torch.nn.parallel.DistributedDataParallel.no_sync", "forward pass should be included inside the")],
    symptom="no_sync() around backward() saves no communication",
    priority=2,
)
class TestNoSyncMustHoldTheForward:
    """``no_sync()`` works on the forward passes that are inside it: around ``backward()`` alone it does nothing.

    Put both inside. The gradients of the rank then add up, and are reduced in the first backward pass outside.
    """

    def test_trap_around_backward_alone(self, ranks):
        assert [grad.item() for grad in ranks[work_no_sync_around_backward]] == [1.5, 1.5]

    def test_fix_around_both(self, ranks):
        assert [grad.item() for grad in ranks[work_no_sync_around_both]] == [1, 2]


def work_autograd_grad(rank):
    """The gradient that ``torch.autograd.grad`` returns, and its mean over the ranks, reduced by hand."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    loss = model(torch.full((1, 1), rank + 1.0)).sum()
    (grad,) = torch.autograd.grad(loss, model.module.weight)
    total = grad.clone()
    dist.all_reduce(total)
    return torch.stack([grad, total / dist.get_world_size()])


def work_past_the_wrapper(rank):
    """The gradient where the forward pass is that of the wrapped module."""
    model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
    model.module(torch.full((1, 1), rank + 1.0)).sum().backward()
    return model.module.weight.grad


@pitfall(
    "ddp-reduces-what-lands-in-grad",
    docs=["torch.nn.parallel.DistributedDataParallel", "notes/ddp#internal-design"],
    symptom="a gradient penalty under DDP is different on each rank",
    priority=2,
)
class TestDdpReducesWhatLandsInGrad:
    """DDP reduces what accumulates in ``.grad``: what ``torch.autograd.grad`` returns is of the rank alone.

    The reduction hangs on the accumulation of each parameter. Call ``backward()``, or reduce the result yourself.
    """

    def test_trap_autograd_grad_is_local(self, ranks):
        assert [grads[0].item() for grads in ranks[work_autograd_grad]] == [1, 2]

    def test_trap_past_the_wrapper_it_is_local_too(self, ranks):
        assert [grad.item() for grad in ranks[work_past_the_wrapper]] == [1, 2]

    def test_fix_reduce_it(self, ranks):
        assert [grads[1].item() for grads in ranks[work_autograd_grad]] == [1.5, 1.5]


def work_add_a_layer(rank):
    """The gradient of a layer that was added after wrapping, over the input that it got."""
    net = nn.Sequential(nn.Linear(1, 1))
    model = DistributedDataParallel(net)
    net.append(nn.Linear(1, 1, bias=False))
    (model(torch.ones(1, 1)) * (rank + 1)).sum().backward()
    return net[1].weight.grad / net[0](torch.ones(1, 1)).detach()


def work_unfreeze_after_wrapping(rank):
    """The gradient of a bias that was frozen at the time of wrapping."""
    net = nn.Linear(1, 1)
    net.bias.requires_grad_(False)
    model = DistributedDataParallel(net)
    net.bias.requires_grad_(True)
    (model(torch.ones(1, 1)) * (rank + 1)).sum().backward()
    return net.bias.grad


def work_unfreeze_before_wrapping(rank):
    """The gradient of a bias that was trainable at the time of wrapping."""
    net = nn.Linear(1, 1)
    model = DistributedDataParallel(net)
    (model(torch.ones(1, 1)) * (rank + 1)).sum().backward()
    return net.bias.grad


@pitfall(
    "ddp-knows-the-parameters-of-its-construction",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="a layer that I added, replaced or unfroze after wrapping trains differently on each rank",
    priority=2,
)
class TestDdpKnowsTheParametersOfItsConstruction:
    """DDP reduces the parameters that required a gradient when it was constructed, and no others.

    A layer that is added or unfrozen later has gradients of its rank only, without an error. Change the model first,
    then wrap it, and wrap it anew after each change.
    """

    def test_trap_an_added_layer_is_not_reduced(self, ranks):
        assert [round(grad.item(), 4) for grad in ranks[work_add_a_layer]] == [1, 2]

    def test_trap_an_unfrozen_parameter_is_not_reduced(self, ranks):
        assert [grad.item() for grad in ranks[work_unfreeze_after_wrapping]] == [1, 2]

    def test_fix_unfreeze_before_wrapping(self, ranks):
        assert [grad.item() for grad in ranks[work_unfreeze_before_wrapping]] == [1.5, 1.5]


def work_running_mean(rank):
    """The running mean after two batches, and after one more forward pass."""
    model = DistributedDataParallel(nn.BatchNorm1d(1, momentum=1))
    for _ in range(2):
        model(torch.tensor([[0.0], [2.0 + 4 * rank]]))
    before = model.module.running_mean.clone()
    model.eval()(torch.zeros(1, 1))
    return torch.stack([before, model.module.running_mean])


def work_normalise(rank):
    """A batch of two, normalised."""
    model = DistributedDataParallel(nn.BatchNorm1d(1, eps=1e-12))
    return model(torch.tensor([[0.0], [2.0 + 4 * rank]])).detach().round()


@pitfall(
    "batch-norm-is-local-to-a-rank",
    docs=["torch.nn.SyncBatchNorm", "torch.nn.parallel.DistributedDataParallel"],
    symptom="batch norm under DDP behaves as with a small batch, and its running statistics are those of rank 0",
    priority=2,
)
class TestBatchNormIsLocalToARank:
    """Under DDP each rank normalises with its own batch, and each forward pass begins with the buffers of rank 0.

    The running statistics of the other ranks are thus thrown away. ``SyncBatchNorm`` takes the statistics over all
    ranks; it needs GPUs.
    """

    def test_trap_the_buffers_of_rank_0_win(self, ranks):
        assert [means.flatten().tolist() for means in ranks[work_running_mean]] == [[1, 1], [3, 1]]

    def test_trap_each_rank_normalises_alone(self, ranks):
        assert [y.flatten().tolist() for y in ranks[work_normalise]] == [[-1, 1], [-1, 1]]
