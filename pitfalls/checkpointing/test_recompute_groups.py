"""Which part of a checkpoint is saved or recomputed: policies, and groups of backward passes."""

from functools import partial

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from pitfalls import on, pitfall, since


def sines(x, calls):
    """Two results of one checkpointed region, which notes its calls."""
    calls.append(x)
    return x.sin(), x.cos()


@since("2.13")
@pitfall(
    "graph-exec-group-spares-no-reentrant-checkpoint",
    docs=["torch.utils.checkpoint.GraphExecGroup"],
    symptom="a checkpoint is computed again for each backward pass, in spite of GraphExecGroup",
    priority=3,
)
class TestGraphExecGroupSparesNoReentrantCheckpoint:
    """``GraphExecGroup`` makes several backward passes share one recomputation, if the checkpoint is not reentrant.

    A reentrant one recomputes in each backward pass as ever, without a warning. Pass ``use_reentrant=False``. The
    passes of a group may not need the same saved tensor twice.
    """

    @pytest.mark.parametrize(("reentrant", "times"), [(True, 3), (False, 2)], ids=["reentrant", "not reentrant"])
    def test_trap_calls_of_the_function(self, device, reentrant, times):
        x, calls = torch.ones(1, device=device, requires_grad=True), []
        sine, cosine = checkpoint(sines, x, calls, use_reentrant=reentrant)
        with torch.utils.checkpoint.GraphExecGroup():
            sine.backward(retain_graph=True)
            cosine.backward()
        assert len(calls) == times

    def test_trap_without_a_group_each_pass_recomputes(self, device):
        x, calls = torch.ones(1, device=device, requires_grad=True), []
        sine, cosine = checkpoint(sines, x, calls, use_reentrant=False)
        sine.backward(retain_graph=True)
        cosine.backward()
        assert len(calls) == 3


def kept(forward, device):
    """The bytes that are still in use after a forward pass over 1,024 numbers."""
    x = torch.ones(1024, device=device, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        y = forward(x)
    y.backward()
    return sum(event.self_cpu_memory_usage for event in measured.key_averages())


def chain(x):
    """Four results, of which autograd needs that of ``exp`` alone."""
    return x.neg().exp().neg().neg().sum()


@since("2.5")
@pitfall(
    "prefer-save-saves-more-than-autograd",
    docs=["torch.utils.checkpoint.CheckpointPolicy", "torch.utils.checkpoint.create_selective_checkpoint_contexts"],
    symptom="selective checkpointing needs more memory than no checkpointing",
    priority=3,
)
class TestPreferSaveSavesMoreThanAutograd:
    """A policy that answers ``PREFER_SAVE`` to everything keeps every result, whether its gradient needs it or not.

    Autograd by itself keeps only what some backward formula asks for. Save the results that are dear to compute, such
    as those of matrix products, and answer ``PREFER_RECOMPUTE`` to all else.
    """

    # Torch 2.10 to 2.12 warn once that events are cleared at the end of a cycle.
    pytestmark = pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")

    @on("cpu")
    def test_trap_more_than_without_a_checkpoint(self, device):
        policy = lambda *_, **__: torch.utils.checkpoint.CheckpointPolicy.PREFER_SAVE  # noqa: E731
        contexts = partial(torch.utils.checkpoint.create_selective_checkpoint_contexts, policy)
        saved = kept(lambda x: checkpoint(chain, x, use_reentrant=False, context_fn=contexts), device)
        assert saved > 3 * kept(chain, device)

    @on("cpu")
    def test_fix_prefer_to_recompute(self, device):
        policy = lambda *_, **__: torch.utils.checkpoint.CheckpointPolicy.PREFER_RECOMPUTE  # noqa: E731
        contexts = partial(torch.utils.checkpoint.create_selective_checkpoint_contexts, policy)
        saved = kept(lambda x: checkpoint(chain, x, use_reentrant=False, context_fn=contexts), device)
        assert saved < 2 * kept(chain, device)
