"""`torch.utils.checkpoint`, reentrant or not: what the older, reentrant form cannot do."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from pitfalls import before, observe, pitfall, since

pytestmark = [  # torch 2.4 warns of its own backward, torch 2.1 of what it imports at the first call
    pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast.args:FutureWarning"),
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated"),
]


@pitfall(
    "reentrant-checkpoint-needs-an-input-with-grad",
    docs=[("torch.utils.checkpoint.checkpoint", "If this condition is unmet, the checkpointed part")],
    symptom="the first layers of my checkpointed network are not trained: their grad is None",
    error="None of the inputs have requires_grad=True. Gradients will be None",
    priority=1,
)
class TestReentrantCheckpointNeedsAnInputWithGrad:
    """Under ``use_reentrant=True`` the weights inside get no gradient if no input of the checkpoint requires grad.

    Images and token ids require none, so a checkpoint around the first layers leaves them untrained, with a mere
    warning. ``use_reentrant=False`` has no such condition. ``x.requires_grad_()`` is the old way out.
    """

    def test_trap_the_result_is_a_constant(self, device, seeded):
        net = nn.Linear(2, 1, device=device)
        with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True. Gradients will be None"):
            out = checkpoint(net, torch.ones(2, device=device), use_reentrant=True)
        assert not out.requires_grad

    def test_trap_a_part_of_the_net_is_not_trained(self, device, seeded):
        first, last = nn.Linear(2, 2, device=device), nn.Linear(2, 1, device=device)
        with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True. Gradients will be None"):
            hidden = checkpoint(first, torch.ones(2, device=device), use_reentrant=True)
        last(hidden).backward()
        assert first.weight.grad is None

    def test_fix_not_reentrant(self, device, seeded):
        net = nn.Linear(2, 1, device=device)
        checkpoint(net, torch.ones(2, device=device), use_reentrant=False).backward()
        assert net.weight.grad.tolist() == [[1, 1]]

    def test_fix_let_the_input_require_grad(self, device, seeded):
        net = nn.Linear(2, 1, device=device)
        checkpoint(net, torch.ones(2, device=device, requires_grad=True), use_reentrant=True).backward()
        assert net.weight.grad.tolist() == [[1, 1]]


@pitfall(
    "use-reentrant-should-be-passed",
    docs=[
        ("torch.utils.checkpoint.checkpoint", "parameter should be passed explicitly"),
        ("torch.utils.checkpoint.checkpoint_sequential", "parameter should be passed explicitly"),
    ],
    symptom="a warning that use_reentrant should be passed, and that an exception is to come",
    error="the use_reentrant parameter should be passed explicitly",
    changed={
        "2.1": "checkpoint without use_reentrant warns",
        "2.2": "checkpoint_sequential warns as well",
        "2.3": "the warning announces an exception for 2.4",
        "2.5": "the warning announces the exception for 2.5",
        "2.9": "the warning announces the exception for 2.9",
        "2.15": "the warning announces the exception for some release to come",
    },
    contradicts={"torch.utils.checkpoint.checkpoint": "leaving use_reentrant out is going to raise"},
)
class TestUseReentrantShouldBePassed:
    """``checkpoint(f, x)`` without ``use_reentrant`` is the reentrant form; since 2.1 it warns, and it never raised.

    The warning has announced an exception for 2.4, 2.5 and 2.9, and at last for some day, as the docstring does; none
    has come. Pass ``use_reentrant=False``.
    """

    @since("2.1")
    def test_trap_it_warns(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="use_reentrant") as caught:
            checkpoint(torch.exp, x)
        observe(text=[str(w.message) for w in caught if "use_reentrant" in str(w.message)])

    @since("2.2")
    def test_trap_so_does_the_sequential_form(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="use_reentrant"):
            checkpoint_sequential([torch.exp, torch.exp], 2, x)

    @before("2.1")
    def test_trap_it_is_silent(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        assert checkpoint(torch.square, x).tolist() == [1, 1]

    @since("2.1")
    def test_trap_it_is_the_reentrant_form(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="use_reentrant"):
            out = checkpoint(torch.exp, x)
        with pytest.raises(RuntimeError, match=r"incompatible with .grad|not compatible with .grad"):
            torch.autograd.grad(out.sum(), x)

    @pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])
    def test_fix_pass_it(self, device, reentrant):
        x = torch.ones(2, device=device, requires_grad=True)
        checkpoint(torch.square, x, use_reentrant=reentrant).sum().backward()
        assert x.grad.tolist() == [2, 2]


@pitfall(
    "reentrant-checkpoint-refuses-autograd-grad",
    docs=[("torch.utils.checkpoint.checkpoint", "The reentrant checkpoint only supports the")],
    symptom="torch.autograd.grad, or backward(inputs=...), raises for a checkpointed model",
    error="When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad()",
)
class TestReentrantCheckpointRefusesAutogradGrad:
    """Through a reentrant checkpoint only a plain ``backward()`` leads: ``autograd.grad`` and ``inputs=`` raise.

    The checkpoint calls ``backward`` itself, inside the backward. So there is no second derivative either: under
    ``create_graph=True`` its gradient has no graph. ``use_reentrant=False`` supports all of it.
    """

    WAYS = [
        pytest.param(lambda y, x: torch.autograd.grad(y, x), id="autograd.grad"),
        pytest.param(lambda y, x: y.backward(inputs=[x]), id="backward with inputs"),
    ]

    @pytest.mark.parametrize("differentiate", WAYS)
    def test_trap_it_raises(self, device, differentiate):
        x = torch.ones(2, device=device, requires_grad=True)
        y = checkpoint(torch.exp, x, use_reentrant=True).sum()
        with pytest.raises(RuntimeError, match=r"incompatible with .grad|not compatible with .grad"):
            differentiate(y, x)

    def test_fix_not_reentrant(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        y = checkpoint(torch.square, x, use_reentrant=False).sum()
        y.backward(inputs=[x])
        assert x.grad.tolist() == [2, 2]

    def test_fix_a_second_derivative(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = checkpoint(lambda x: x**3, x, use_reentrant=False)
        (first,) = torch.autograd.grad(y, x, create_graph=True)
        (second,) = torch.autograd.grad(first, x)
        assert second.item() == 12


@pitfall(
    "reentrant-checkpoint-ignores-containers",
    docs=[("torch.utils.checkpoint.checkpoint", "not consider tensors in nested structures")],
    symptom="tensors that I pass to a checkpoint in a list or dict get no gradient",
)
class TestReentrantCheckpointIgnoresContainers:
    """A reentrant checkpoint differentiates only tensors that are arguments themselves, not those in a list or dict.

    If a tensor beside them requires grad there is not even a warning. ``use_reentrant=False`` sees them all.
    """

    @pytest.mark.parametrize("pack", [list, lambda xs: dict(enumerate(xs))], ids=["list", "dict"])
    def test_trap_they_count_as_constants(self, device, pack):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="None of the inputs have requires_grad=True"):
            out = checkpoint(lambda xs: xs[0] * 3, pack([x]), use_reentrant=True)
        assert not out.requires_grad

    @pytest.mark.parametrize("pack", [list, lambda xs: dict(enumerate(xs))], ids=["list", "dict"])
    def test_fix_not_reentrant(self, device, pack):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        checkpoint(lambda xs: xs[0] * 3, pack([x]), use_reentrant=False).backward()
        assert x.grad.item() == 3


@pitfall(
    "reentrant-checkpoint-refuses-keyword-arguments",
    docs=[("torch.utils.checkpoint.checkpoint", "support for keyword arguments input into")],
    symptom="ValueError: Unexpected keyword arguments",
    error="Unexpected keyword arguments:",
)
class TestReentrantCheckpointRefusesKeywordArguments:
    """A reentrant checkpoint passes no keyword arguments on to the function; it raises ``ValueError``.

    ``use_reentrant=False`` passes them on, and so does a function that binds them.
    """

    def test_trap_it_raises(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(ValueError, match="Unexpected keyword arguments: alpha"):
            checkpoint(torch.add, x, x, use_reentrant=True, alpha=3)

    def test_fix_not_reentrant(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        checkpoint(torch.add, x, x, use_reentrant=False, alpha=3).sum().backward()
        assert x.grad.tolist() == [4, 4]

    def test_fix_bind_them(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        checkpoint(lambda x: torch.add(x, x, alpha=3), x, use_reentrant=True).sum().backward()
        assert x.grad.tolist() == [4, 4]


@pitfall(
    "reentrant-checkpoint-marks-all-outputs",
    docs=[("torch.utils.checkpoint.checkpoint", "makes all the outputs require gradients")],
    symptom="a detached output of a checkpoint requires grad; or: this checkpoint() is not necessary",
    error="none of output has requires_grad=True, this checkpoint() is not necessary",
)
class TestReentrantCheckpointMarksAllOutputs:
    """Every floating-point output of a reentrant checkpoint requires grad, also one that was detached inside.

    If all are detached, backward raises. ``use_reentrant=False`` leaves them as they are; or detach outside.
    """

    def test_trap_a_detached_output_requires_grad(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        _, detached = checkpoint(lambda x: (x * 2, x.detach()), x, use_reentrant=True)
        assert detached.requires_grad

    def test_trap_with_nothing_else_backward_raises(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        out = checkpoint(lambda x: x.detach() * 2, x, use_reentrant=True)
        with pytest.raises(RuntimeError, match="none of output has requires_grad=True"):
            out.sum().backward()

    def test_fix_not_reentrant(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        doubled, detached = checkpoint(lambda x: (x * 2, x.detach()), x, use_reentrant=False)
        assert doubled.requires_grad
        assert not detached.requires_grad
