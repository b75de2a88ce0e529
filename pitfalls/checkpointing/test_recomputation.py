"""A checkpoint runs its function again in backward: what happens twice, and what must come out the same."""

import pytest
import torch
from torch import nn
from torch.utils import checkpoint as checkpoints
from torch.utils.checkpoint import checkpoint

from pitfalls import before, pitfall, since

pytestmark = [  # torch 2.4 warns of its own backward, torch 2.1 of what it imports at the first call
    pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast.args:FutureWarning"),
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated"),
]


@pitfall(
    "checkpoint-repeats-side-effects",
    docs=[("torch.utils.checkpoint.checkpoint", "recomputed by re-invoking"), "checkpoint"],
    symptom="counters count double, and running statistics are off, since I checkpoint",
    priority=2,
)
class TestCheckpointRepeatsSideEffects:
    """The function of a checkpoint runs twice, and so does all that it does besides: counters, prints, statistics.

    Batch norm inside moves its running statistics in forward and again in backward. Leave it outside the checkpoint, or
    choose its momentum for two steps a batch.
    """

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_trap_batch_norm_counts_a_batch_twice(self, device, reentrant):
        norm = nn.BatchNorm1d(1, device=device)
        x = torch.tensor([[1.0], [3.0]], device=device, requires_grad=True)
        checkpoint(norm, x, use_reentrant=reentrant).sum().backward()
        assert norm.num_batches_tracked.item() == 2

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_trap_its_running_mean_moves_twice(self, device, reentrant):
        norm = nn.BatchNorm1d(1, momentum=0.5, device=device)
        x = torch.tensor([[1.0], [3.0]], device=device, requires_grad=True)
        checkpoint(norm, x, use_reentrant=reentrant).sum().backward()
        assert norm.running_mean.item() == 1.5  # from 0 to 1 and on to 1.5, of a batch whose mean is 2

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_fix_leave_it_outside(self, device, reentrant):
        norm = nn.BatchNorm1d(1, momentum=0.5, device=device)
        x = torch.tensor([[1.0], [3.0]], device=device, requires_grad=True)
        checkpoint(torch.exp, norm(x), use_reentrant=reentrant).sum().backward()
        assert norm.num_batches_tracked.item() == 1
        assert norm.running_mean.item() == 1

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_fix_without_backward_it_runs_once(self, device, reentrant):
        norm = nn.BatchNorm1d(1, device=device)
        x = torch.tensor([[1.0], [3.0]], device=device, requires_grad=True)
        checkpoint(norm, x, use_reentrant=reentrant)
        assert norm.num_batches_tracked.item() == 1


@pitfall(
    "checkpoint-stops-early",
    docs=[("torch.utils.checkpoint.checkpoint", "recomputation as soon as")],
    symptom="a hook or counter at the end of a checkpointed function runs once, one at its start twice",
    changed={"2.1": "non-reentrant checkpoint stops recomputing as soon as it has what backward needs"},
)
class TestCheckpointStopsEarly:
    """Since 2.1 a non-reentrant checkpoint breaks its second run off as soon as backward has all it needs.

    Side effects after that point happen once, those before it twice. ``set_checkpoint_early_stop(False)`` around the
    forward lets it run to the end; the reentrant form always does.
    """

    @since("2.1")
    def test_trap_the_end_is_not_reached_again(self, device):
        def function(x):
            reached.append("start")
            y = x.exp()
            reached.append("end")
            return y

        reached = []
        x = torch.ones(2, device=device, requires_grad=True)
        checkpoint(function, x, use_reentrant=False).sum().backward()
        assert reached == ["start", "end", "start"]

    @before("2.1")
    def test_trap_the_end_used_to_be_reached_again(self, device):
        def function(x):
            reached.append("start")
            y = x.exp()
            reached.append("end")
            return y

        reached = []
        x = torch.ones(2, device=device, requires_grad=True)
        checkpoint(function, x, use_reentrant=False).sum().backward()
        assert reached == ["start", "end", "start", "end"]

    @since("2.1")
    def test_fix_run_to_the_end(self, device):
        def function(x):
            reached.append("start")
            y = x.exp()
            reached.append("end")
            return y

        reached = []
        x = torch.ones(2, device=device, requires_grad=True)
        with checkpoints.set_checkpoint_early_stop(False):
            y = checkpoint(function, x, use_reentrant=False)
        y.sum().backward()
        assert reached == ["start", "end", "start", "end"]


@pitfall(
    "checkpoint-restores-the-random-state",
    docs=[("torch.utils.checkpoint.checkpoint", "Omit stashing and restoring"), "checkpoint"],
    symptom="gradients do not fit the outputs of a checkpointed model with dropout",
    priority=2,
)
class TestCheckpointRestoresTheRandomState:
    """With ``preserve_rng_state=False`` the second run draws other random numbers: gradients through another mask.

    Nothing raises. The default restores the state, so that dropout drops the same elements; it costs little. Generators
    of Python, of NumPy and of one's own are not restored.
    """

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_trap_another_mask_in_backward(self, device, seeded, reentrant):
        x = torch.ones(64, device=device, requires_grad=True)
        y = checkpoint(nn.functional.dropout, x, use_reentrant=reentrant, preserve_rng_state=False)
        y.sum().backward()
        assert not torch.equal(x.grad, y)

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_fix_the_default_keeps_the_mask(self, device, seeded, reentrant):
        x = torch.ones(64, device=device, requires_grad=True)
        y = checkpoint(nn.functional.dropout, x, use_reentrant=reentrant)
        y.sum().backward()
        assert torch.equal(x.grad, y)

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_trap_a_generator_of_ones_own_goes_on(self, device, reentrant):
        generator = torch.Generator(device=device).manual_seed(0)
        x = torch.ones(64, device=device, requires_grad=True)
        y = checkpoint(lambda x: x * torch.rand(64, generator=generator, device=device), x, use_reentrant=reentrant)
        y.sum().backward()
        assert not torch.equal(x.grad, y)


@pitfall(
    "checkpoint-recomputes-with-what-is-there",
    docs=[("torch.utils.checkpoint.checkpoint", "leading to silently incorrect gradients")],
    symptom="gradients change when a global, or an attribute of the module, changes between forward and backward",
    changed={"2.1": "backward through a non-reentrant checkpoint raises if an input was changed in place"},
)
class TestCheckpointRecomputesWithWhatIsThere:
    """The second run reads globals and attributes as they are by then: a changed number gives wrong gradients.

    Pass as an argument whatever may change. A tensor among the arguments that was changed in place raises, as it does
    without a checkpoint; up to 2.0 the non-reentrant form went on with the new values.
    """

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_trap_a_changed_number_is_silently_used(self, device, reentrant):
        factor = 1.0
        x = torch.ones(2, device=device, requires_grad=True)
        y = checkpoint(lambda x: (factor * x) ** 2, x, use_reentrant=reentrant)
        factor = 10.0
        y.sum().backward()
        assert x.grad.tolist() != [2, 2]

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_fix_pass_it_as_an_argument(self, device, reentrant):
        factor = 1.0
        x = torch.ones(2, device=device, requires_grad=True)
        y = checkpoint(lambda x, factor: (factor * x) ** 2, x, factor, use_reentrant=reentrant)
        factor = 10.0
        y.sum().backward()
        assert x.grad.tolist() == [2, 2]

    @pytest.mark.parametrize(
        "reentrant",
        [pytest.param(False, marks=since("2.1"), id="not reentrant"), pytest.param(True, id="reentrant")],
    )
    def test_trap_a_changed_input_raises(self, device, reentrant):
        x = torch.ones(2, device=device, requires_grad=True).clone()
        y = checkpoint(torch.square, x, use_reentrant=reentrant)
        with torch.no_grad():
            x.zero_()
        with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
            y.sum().backward()

    @before("2.1")
    def test_trap_a_changed_input_is_silently_used(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        x = w.clone()
        y = checkpoint(torch.square, x, use_reentrant=False)
        with torch.no_grad():
            x.fill_(5)
        y.sum().backward()
        assert w.grad.tolist() == [10, 10]


@pitfall(
    "checkpoint-checks-what-it-recomputes",
    docs=[("torch.utils.checkpoint.checkpoint", "compares the shapes, dtypes, and devices")],
    symptom="CheckpointError: recomputed values have different metadata, or a different number of tensors was saved",
    error="torch.utils.checkpoint: Recomputed values for the following tensors have different metadata",
    changed={"2.1": "non-reentrant checkpoint raises CheckpointError where the recomputation differs in form"},
)
class TestCheckpointChecksWhatItRecomputes:
    """Since 2.1 a non-reentrant checkpoint raises if the second run gives tensors of another shape, dtype or number.

    Values are not compared. Earlier a wrong shape gave a wrong gradient, silently, and so it does with
    ``determinism_check="none"``. The reentrant form has no such check.
    """

    @since("2.1")
    def test_trap_another_shape_raises(self, device):
        shapes = [(2, 1), (1, 2)]
        x = torch.ones(2, device=device, requires_grad=True)
        y = checkpoint(lambda x: x.view(shapes.pop()).exp(), x, use_reentrant=False)
        with pytest.raises(checkpoints.CheckpointError, match="have different metadata than during the forward pass"):
            y.sum().backward()

    @since("2.1")
    def test_trap_fewer_tensors_raise(self, device):
        times = [1, 2]

        def function(x):
            for _ in range(times.pop()):
                x = x.exp()
            return x

        y = checkpoint(function, torch.ones(2, device=device, requires_grad=True), use_reentrant=False)
        with pytest.raises(checkpoints.CheckpointError, match="A different number of tensors was saved"):
            y.sum().backward()

    @before("2.1")
    def test_trap_another_shape_goes_unnoticed(self, device):
        shapes = [(2, 1), (1, 2)]
        x = torch.zeros(2, device=device, requires_grad=True)
        checkpoint(lambda x: x.view(shapes.pop()).exp(), x, use_reentrant=False).sum().backward()
        assert x.grad.tolist() == [2, 2]  # of [1, 1]: (1, 2) and (2, 1) were broadcast

    @since("2.1")
    def test_trap_without_the_check_it_goes_unnoticed(self, device):
        shapes = [(2, 1), (1, 2)]
        x = torch.zeros(2, device=device, requires_grad=True)
        y = checkpoint(lambda x: x.view(shapes.pop()).exp(), x, use_reentrant=False, determinism_check="none")
        y.sum().backward()
        assert x.grad.tolist() == [2, 2]  # of [1, 1]: (1, 2) and (2, 1) were broadcast

    def test_fix_the_same_both_times(self, device):
        x = torch.zeros(2, device=device, requires_grad=True)
        checkpoint(lambda x: x.view(1, 2).exp(), x, use_reentrant=False).sum().backward()
        assert x.grad.tolist() == [1, 1]
