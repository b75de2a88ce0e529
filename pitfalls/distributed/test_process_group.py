"""Process groups, seen from a group of one: how they start, what they wait for, and what their collectives accept."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from pitfalls import before, pitfall, since


class RunsCode:
    """An object whose pickle calls a function of the sender's choice."""

    def __reduce__(self):
        return eval, ("__import__('torch').full((1,), 7.0)",)


@pitfall(
    "process-group-must-be-initialized",
    docs=["torch.distributed.init_process_group", "torch.nn.parallel.DistributedDataParallel", "notes/ddp"],
    symptom="Default process group has not been initialized, please make sure to call init_process_group",
    error="Default process group has not been initialized",
    changed={"2.2": "calls without a process group raise ValueError, not RuntimeError"},
    priority=2,
)
class TestProcessGroupMustBeInitialized:
    """Whatever needs the other ranks, ``DistributedDataParallel`` too, raises until ``init_process_group`` was called.

    A script that is to run alone as well asks ``dist.is_initialized()`` first, or makes a group of one.
    """

    CALLS = [
        pytest.param(lambda: dist.get_rank(), id="get_rank"),
        pytest.param(lambda: dist.get_world_size(), id="get_world_size"),
        pytest.param(lambda: dist.all_reduce(torch.ones(1)), id="all_reduce"),
        pytest.param(lambda: dist.barrier(), id="barrier"),
        pytest.param(lambda: torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1)), id="DDP"),
    ]

    @since("2.2")
    @pytest.mark.parametrize("call", CALLS)
    def test_trap_it_raises(self, seeded, call):
        with pytest.raises(ValueError, match="Default process group has not been initialized"):
            call()

    @before("2.2")
    @pytest.mark.parametrize("call", CALLS)
    def test_trap_it_raised(self, seeded, call):
        with pytest.raises(RuntimeError, match="Default process group has not been initialized"):
            call()

    def test_fix_ask_first(self):
        assert not dist.is_initialized()

    def test_fix_a_group_of_one(self, group):
        x = torch.tensor([3.0])
        dist.all_reduce(x)
        assert x.tolist() == [3]


@pitfall(
    "process-group-is-initialized-once",
    docs=["torch.distributed.init_process_group", "torch.distributed.destroy_process_group"],
    symptom="trying to initialize the default process group twice! in a notebook or a second test",
    error="trying to initialize the default process group twice",
    changed={"2.2": "the second call raises ValueError, not RuntimeError"},
    priority=3,
)
class TestProcessGroupIsInitializedOnce:
    """There is one default process group in a process: a second ``init_process_group`` raises.

    ``destroy_process_group()`` makes room for another, with a store of its own.
    """

    @since("2.2")
    def test_trap_the_second_call_raises(self, group):
        with pytest.raises(ValueError, match="trying to initialize the default process group twice"):
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    @before("2.2")
    def test_trap_the_second_call_raised(self, group):
        with pytest.raises(RuntimeError, match="trying to initialize the default process group twice"):
            dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    def test_fix_destroy_it_first(self, group):
        dist.destroy_process_group()
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        assert dist.get_world_size() == 1


@pitfall(
    "init-waits-for-every-rank",
    docs=["torch.distributed.init_process_group", "torch.distributed.is_initialized"],
    symptom="init_process_group hangs for half an hour, and then ends with a timeout",
    error="wait timeout after | Timed out after waiting for keys",
    changed={"2.2": "DistStoreError is raised, which is a RuntimeError too"},
    priority=2,
)
class TestInitWaitsForEveryRank:
    """``init_process_group`` returns once all ``world_size`` ranks have come; one that is missing means to wait.

    Too large a world size, a rank that is given twice or a process that died at its start all look like a hang, for
    half an hour by default. Pass a shorter ``timeout=`` to see the error sooner.
    """

    def test_trap_a_missing_rank(self):
        with pytest.raises(RuntimeError, match=r"Wait timeout|Timed out"):
            dist.init_process_group(
                "gloo", store=dist.HashStore(), rank=0, world_size=2, timeout=timedelta(milliseconds=100)
            )

    def test_trap_a_rank_beyond_the_world_size(self):
        with pytest.raises(RuntimeError, match=r"rank < size. 5 vs 1"):
            dist.init_process_group("gloo", store=dist.HashStore(), rank=5, world_size=1)

    def test_fix_all_ranks_are_there(self, group):
        assert [dist.get_rank(), dist.get_world_size()] == [0, 1]


@pitfall(
    "init-reads-the-environment",
    docs=["distributed", "torch.distributed.init_process_group"],
    symptom="Error initializing torch.distributed using env:// rendezvous: environment variable RANK expected",
    error="environment variable RANK expected, but not set",
    priority=2,
)
class TestInitReadsTheEnvironment:
    """Without a store or an address ``init_process_group`` reads ``RANK``, ``WORLD_SIZE`` and ``MASTER_*``.

    ``torchrun`` sets them; a script that is started with plain ``python`` has none of them, and raises.
    """

    @pytest.mark.parametrize("missing", ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
    def test_trap_each_of_them_is_needed(self, monkeypatch, missing):
        for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv(missing)
        with pytest.raises(ValueError, match=f"environment variable {missing} expected, but not set"):
            dist.init_process_group("gloo")


@pitfall(
    "all-gather-carries-no-gradient",
    docs=["torch.distributed.all_gather", "distributed"],
    symptom="a contrastive loss over all GPUs does not learn from the samples of the other ranks",
    priority=1,
)
class TestAllGatherCarriesNoGradient:
    """``all_gather`` writes into tensors that know nothing of the graph: a loss on its result trains no rank.

    This holds for the rank's own part as well. Put the own tensor back into its place in the list, which gives the
    gradient of the own samples; for those of the other ranks use a differentiable collective.
    """

    def test_trap_the_graph_ends_there(self, group):
        w = torch.ones(2, requires_grad=True)
        gathered = [torch.zeros(2)]
        dist.all_gather(gathered, w * 2)
        assert [gathered[0].tolist(), gathered[0].requires_grad] == [[2, 2], False]

    def test_fix_put_the_own_part_back(self, group):
        w = torch.ones(2, requires_grad=True)
        features = w * 2
        gathered = [torch.zeros(2)]
        dist.all_gather(gathered, features)
        gathered[dist.get_rank()] = features
        torch.cat(gathered).sum().backward()
        assert w.grad.tolist() == [2, 2]


@pitfall(
    "object-collectives-run-pickles",
    docs=["torch.distributed.all_gather_object", "torch.distributed.broadcast_object_list"],
    symptom="a peer of the process group can make my process call any function",
    priority=2,
)
class TestObjectCollectivesRunPickles:
    """``all_gather_object`` and its kin unpickle what arrives, so whoever sends it decides what runs on the receiver.

    Use them among machines that you trust. Tensors go through the tensor collectives, which execute nothing.
    """

    @pytest.mark.parametrize(
        "exchange",
        [
            pytest.param(lambda sent, got: dist.all_gather_object(got, sent), id="all_gather_object"),
            pytest.param(lambda sent, got: dist.gather_object(sent, got), id="gather_object"),
            pytest.param(lambda sent, got: dist.scatter_object_list(got, [sent]), id="scatter_object_list"),
        ],
    )
    def test_trap_the_sender_chooses_what_runs(self, group, exchange):
        got = [None]
        exchange(RunsCode(), got)
        assert got[0].tolist() == [7]

    def test_fix_send_a_tensor(self, group):
        got = [torch.zeros(1)]
        dist.all_gather(got, torch.ones(1))
        assert got[0].tolist() == [1]


@pitfall(
    "collectives-check-the-lists",
    docs=["torch.distributed.gather", "torch.distributed.scatter", "torch.distributed.all_gather"],
    symptom="ProcessGroupGloo::allgather: invalid tensor size at index 0 (expected (2), got (3))",
    error="invalid tensor size at index | invalid output tensor list",
    priority=3,
)
class TestCollectivesCheckTheLists:
    """``all_gather``, ``gather`` and ``scatter`` take one tensor for each rank, all of one shape and dtype.

    Batches of different lengths are padded to the longest, whose length is exchanged first.
    """

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda: dist.all_gather([torch.ones(3)], torch.ones(2)), id="all_gather"),
            pytest.param(lambda: dist.gather(torch.ones(2), [torch.ones(3)]), id="gather"),
            pytest.param(lambda: dist.scatter(torch.ones(2), [torch.ones(3)]), id="scatter"),
        ],
    )
    def test_trap_shapes_must_agree(self, group, call):
        with pytest.raises(RuntimeError, match="invalid tensor size at index 0"):
            call()

    def test_trap_one_tensor_for_each_rank(self, group):
        with pytest.raises(RuntimeError, match=r"expected length 1, got 2"):
            dist.all_gather([torch.ones(2), torch.ones(2)], torch.ones(2))

    def test_fix_pad_to_one_length(self, group):
        x, longest = torch.ones(2), 3
        got = [torch.empty(longest)]
        dist.all_gather(got, torch.nn.functional.pad(x, (0, longest - len(x))))
        assert got[0].tolist() == [1, 1, 0]
