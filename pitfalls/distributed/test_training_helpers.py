"""Around data parallel training: uneven inputs, compressed gradients, averaged models, rebuilt buckets."""

from collections import OrderedDict

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms import Join, Joinable, JoinHook
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState
from torch.distributed.algorithms.model_averaging.hierarchical_model_averager import HierarchicalModelAverager
from torch.nn.parallel import DistributedDataParallel

from pitfalls import pitfall, since


class Shard(Joinable):
    """A part of a training step that ranks may leave early."""

    def __init__(self, group=None):
        super().__init__()
        self.process_group, self.was_last = group, []

    def join_hook(self, **kwargs):
        """What notes, when all have left, whether this rank was among the last."""
        hook = JoinHook()
        hook.post_hook = self.was_last.append
        return hook

    join_device = torch.device("cpu")

    @property
    def join_process_group(self):
        """The group that was passed, or the default one."""
        return self.process_group or dist.group.WORLD


@pitfall(
    "join-wants-one-process-group",
    docs=[("torch.distributed.algorithms.Join", "process_group"), "torch.distributed.algorithms.Joinable"],
    symptom="ValueError: Using join context manager with multiple process groups",
    error="Using join context manager with multiple process groups",
    priority=3,
)
class TestJoinWantsOneProcessGroup:
    """``Join`` takes parts of one process group only: those of two groups raise as the context is made.

    Its check of who is still there is one collective for all of them. Nest two contexts, or give all one group.
    """

    def test_trap_two_groups_are_refused(self, group):
        with pytest.raises(ValueError, match="Using join context manager with multiple process groups"):
            Join([Shard(), Shard(dist.new_group([0]))])

    def test_fix_one_group(self, group):
        first, second = Shard(), Shard()
        with Join([first, second]):
            pass
        assert first.was_last + second.was_last == [True, True]


@pitfall(
    "join-hears-from-the-first",
    docs=[
        ("torch.distributed.algorithms.Join", "notify_join_context"),
        "torch.distributed.algorithms.Join.notify_join_context",
    ],
    symptom="training with uneven inputs hangs under Join with a module of my own",
    priority=3,
)
class TestJoinHearsFromTheFirst:
    """Only a part that calls ``Join.notify_join_context(self)`` before its collectives takes part in the check.

    Of several parts the first alone sends the message that those who have left wait for: for the others, and outside
    the context, the call does nothing. A part that never calls it leaves them waiting.
    """

    def test_trap_only_the_first_is_heard(self, group):
        first, second = Shard(), Shard()
        with Join([first, second]):
            sent = [Join.notify_join_context(shard) is not None for shard in (first, second)]
        assert sent == [True, False]

    def test_trap_nothing_outside(self, group):
        assert Join.notify_join_context(Shard()) is None


@pitfall(
    "power-sgd-waits-two-iterations",
    docs=[
        (
            "torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook.PowerSGDState",
            "the minimum value of ``start_powerSGD_iter`` allowed in DDP",
        )
    ],
    symptom="ValueError: Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled",
    error="Expect `start_powerSGD_iter` > 1 if `use_error_feedback` or `warm_start` is enabled",
    priority=3,
)
class TestPowerSgdWaitsTwoIterations:
    """``PowerSGDState`` with error feedback or a warm start refuses to start before iteration 2.

    DDP rebuilds its buckets after the first iteration, and what was kept for the old ones would not fit. Start later,
    or switch both off.
    """

    @pytest.mark.parametrize(
        "kept", [{}, {"use_error_feedback": False}, {"warm_start": False}], ids=["both", "warm start", "error feedback"]
    )
    @pytest.mark.parametrize("start", [0, 1], ids=str)
    def test_trap_an_early_start_is_refused(self, kept, start):
        with pytest.raises(ValueError, match="Expect `start_powerSGD_iter` > 1"):
            PowerSGDState(None, start_powerSGD_iter=start, **kept)

    def test_fix_start_later(self):
        assert PowerSGDState(None, start_powerSGD_iter=2).start_powerSGD_iter == 2

    def test_fix_keep_nothing(self):
        state = PowerSGDState(None, start_powerSGD_iter=1, use_error_feedback=False, warm_start=False)
        assert state.start_powerSGD_iter == 1


@pitfall(
    "averager-ends-with-all-ranks",
    docs=[
        (
            "torch.distributed.algorithms.model_averaging.hierarchical_model_averager.HierarchicalModelAverager",
            "The last group size in the dict must",
        )
    ],
    symptom="ValueError: The last value in arg ``period_group_size_dict`` must be equal to the size of arg",
    error="must be equal to the size of arg ``process_group``",
    priority=3,
)
class TestAveragerEndsWithAllRanks:
    """The last group of a ``HierarchicalModelAverager`` must be the whole world; any other last size raises.

    So a configuration for eight GPUs fails on four. Take the last size from ``dist.get_world_size()``.
    """

    def test_trap_another_size_is_refused(self, group):
        with pytest.raises(ValueError, match="must be equal to the size of arg ``process_group`` 1"):
            HierarchicalModelAverager(OrderedDict([(2, 2)]))

    def test_fix_ask_for_the_size(self, group):
        averager = HierarchicalModelAverager(OrderedDict([(2, dist.get_world_size())]))
        w = nn.Parameter(torch.tensor([3.0]))
        w.grad = torch.zeros(1)  # it averages the parameters that are trained
        averager.average_parameters([w])
        assert [averager.step, w.item()] == [1, 3]


def buckets_of_three_iterations():
    """Of each iteration: the index of each bucket, and which of two layers have their weights in it."""
    net = nn.Sequential(nn.Linear(200, 200, bias=False), nn.Linear(200, 200, bias=False))
    model = DistributedDataParallel(net, bucket_cap_mb=0.1)
    seen = []

    def note(state, bucket):
        seen[-1].append(
            (bucket.index(), [[p is layer.weight for layer in net].index(True) for p in bucket.parameters()])
        )
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    model.register_comm_hook(None, note)
    for _ in range(3):
        seen.append([])
        model(torch.ones(1, 200)).sum().backward()
    return seen


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-rebuilds-its-buckets",
    docs=[
        ("torch.distributed.GradBucket.index", "the buckets are rebuilt after the first iteration"),
        "torch.nn.parallel.DistributedDataParallel.register_comm_hook",
    ],
    symptom="what my communication hook kept for bucket 0 does not fit the bucket 0 of the next iteration",
    priority=3,
)
class TestDdpRebuildsItsBuckets:
    """After the first iteration DDP builds its buckets anew, in the order in which gradients come: index 0 is another.

    What a hook keeps by index belongs to other parameters from then on, in buckets of other sizes. Begin to keep it in
    the third iteration, or key it by parameter.
    """

    def test_trap_index_0_becomes_another(self, group, seeded):
        seen = buckets_of_three_iterations()
        assert seen[:2] == [[(0, [0, 1])], [(0, [1]), (1, [0])]]

    def test_fix_from_the_second_on_they_stay(self, group, seeded):
        seen = buckets_of_three_iterations()
        assert seen[2] == [(0, [1]), (1, [0])]
