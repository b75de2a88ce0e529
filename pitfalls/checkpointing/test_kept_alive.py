"""What keeps tensors, and their memory, alive longer than expected: variables, exceptions, saved activations."""

import weakref

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from pitfalls import observe, pitfall

pytestmark = [  # torch 2.4 warns of its own backward, torch 2.1 of what it imports at the first call
    pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast.args:FutureWarning"),
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated"),
]


@pitfall(
    "loop-variable-outlives-its-loop",
    docs=["notes/faq"],
    symptom="out of memory after the loop, or in its second iteration, though one batch fits",
    priority=2,
)
class TestLoopVariableOutlivesItsLoop:
    """The last value of a variable stays after its loop, and until it is assigned anew within: two batches at once.

    Python ends a variable with its function, not with a block. ``del`` it, or put the body into a function.
    """

    def test_trap_it_is_there_after_the_loop(self, device):
        for scale in (1, 2):
            hidden = torch.ones(3, device=device) * scale
            last = weakref.ref(hidden)
        assert last().tolist() == [2, 2, 2]

    def test_trap_the_old_value_is_there_while_the_new_one_is_made(self, device):
        def load(number):
            alive.append([batch().item() for batch in made if batch() is not None])
            batch = torch.tensor(number, device=device)
            made.append(weakref.ref(batch))
            return batch

        made, alive = [], []
        for number in (1, 2, 3):
            batch = load(number)
        assert alive == [[], [1], [2]]
        assert batch.item() == 3

    def test_fix_delete_it(self, device):
        for scale in (1, 2):
            hidden = torch.ones(3, device=device) * scale
            last = weakref.ref(hidden)
            del hidden
        assert last() is None

    def test_fix_a_function_ends_it(self, device):
        def step(scale):
            hidden = torch.ones(3, device=device) * scale
            return weakref.ref(hidden)

        last = [step(scale) for scale in (1, 2)][-1]
        assert last() is None


@pitfall(
    "exception-keeps-the-tensors-of-its-frames",
    docs=["notes/faq"],
    symptom="the retry with a smaller batch inside `except` runs out of memory as well",
    error="out of memory",
    priority=2,
)
class TestExceptionKeepsTheTensorsOfItsFrames:
    """Inside ``except`` the exception still holds the frames that it came through, with all their tensors.

    Recovery from running out of memory belongs after the ``except`` block: set a flag there, retry below.
    """

    def test_trap_inside_except_they_are_alive(self, device):
        def step():
            hidden = torch.ones(3, device=device)
            made.append(weakref.ref(hidden))
            raise RuntimeError("out of memory")

        made = []
        try:
            step()
        except RuntimeError:
            alive = made[0]().tolist()
        assert alive == [1, 1, 1]

    def test_fix_after_it_they_are_gone(self, device):
        def step():
            hidden = torch.ones(3, device=device)
            made.append(weakref.ref(hidden))
            raise RuntimeError("out of memory")

        made = []
        try:
            step()
        except RuntimeError:
            retry = True
        assert (retry, made[0]()) == (True, None)


@pitfall(
    "activations-are-saved-for-backward",
    docs=[("torch.utils.checkpoint.checkpoint", "tensors computed during the forward pass are kept"), "checkpoint"],
    symptom="training takes several times the memory of inference, and more with each layer",
    changed={
        "2.1": "saved-tensor hooks see the inputs of a checkpoint that is not reentrant, and an empty tensor",
        "2.12": "saved-tensor hooks no longer see an empty tensor in a checkpoint that is not reentrant",
    },
)
class TestActivationsAreSavedForBackward:
    """Forward keeps what each operation needs for its derivative until backward is through.

    A checkpoint keeps the inputs of its function, and computes the rest again. Without a gradient in sight, under
    ``no_grad``, nothing is kept.
    """

    def test_trap_one_for_each_operation(self, device):
        x = torch.ones(3, device=device, requires_grad=True)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
            x.exp().exp().exp().exp()
        assert len(kept) == 4

    def test_fix_a_checkpoint_keeps_the_input(self, device):
        x = torch.ones(3, device=device, requires_grad=True)
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
            checkpoint(lambda x: x.exp().exp().exp().exp(), x, use_reentrant=True)
        assert len(kept) == 1
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
            checkpoint(lambda x: x.exp().exp().exp().exp(), x, use_reentrant=False)
        observe(kept_by_a_checkpoint_that_is_not_reentrant=len(kept))

    def test_fix_nothing_under_no_grad(self, device):
        x = torch.ones(3, device=device, requires_grad=True)
        kept = []
        with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape), lambda t: t):
            x.exp().exp()
        assert kept == []
