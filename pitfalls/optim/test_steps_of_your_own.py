"""Around and beneath ``step()``: hooks that change its arguments, how it runs by default, and steps as functions."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pitfalls import on, pitfall, since


@since("2.3")  # in 2.1 and 2.2 no hook is called any more once the compiler is imported
@pitfall(
    "step-pre-hook-replaces-the-arguments",
    docs=["torch.optim.Optimizer.register_step_pre_hook", "optim"],
    symptom="AttributeError: 'function' object has no attribute 'param_groups', after my hook returned new arguments",
    error="must return None or a tuple of (new_args, new_kwargs)",
    priority=3,
)
class TestStepPreHookReplacesTheArguments:
    """What a pre-hook of ``step`` returns replaces the arguments of ``step``, and the optimizer is the first of them.

    It must be a pair of positional and keyword arguments; anything else but None raises. Return
    ``((optimizer, closure), {})``, and nothing at all where the hook but looks on.
    """

    def test_trap_something_else_raises(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        optimizer.register_step_pre_hook(lambda *_: "seen")
        with pytest.raises(RuntimeError, match=r"must return None or a tuple of \(new_args, new_kwargs\)"):
            optimizer.step()

    def test_trap_the_first_is_the_optimizer(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        seen, optimizer = [], torch.optim.SGD([w], lr=0.5)
        optimizer.register_step_pre_hook(lambda _, args, kwargs: seen.append((args, kwargs)))
        optimizer.step()
        assert seen == [((optimizer,), {})]

    def test_fix_give_a_closure(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        optimizer.register_step_pre_hook(lambda optimizer, *_: ((optimizer, lambda: 7), {}))
        assert optimizer.step() == 7


class Operations(TorchDispatchMode):
    """Notes the names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def operations_of_a_step(device, **settings):
    """The operations in one step of SGD over two parameters."""
    weights = [torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2)]
    for w in weights:
        w.grad = torch.ones_like(w)
    optimizer = torch.optim.SGD(weights, lr=0.5, **settings)
    with Operations() as seen:
        optimizer.step()
    return [name for name in seen.names if "add" in name]


@pitfall(
    "foreach-is-the-default-on-gpus-only",
    docs=["torch.optim.SGD", "optim"],
    symptom="the same optimizer loops over the parameters on the CPU, and needs more memory on the GPU",
    priority=3,
)
class TestForeachIsTheDefaultOnGpusOnly:
    """With ``foreach=None`` an optimizer loops over its parameters, unless all of them are on the GPU.

    There it updates them all at once, in less time, with temporary copies as large as the parameters. Pass
    ``foreach=True`` or ``foreach=False`` for the same on both.
    """

    @on("cpu")
    def test_trap_on_the_cpu_it_loops(self, device):
        assert operations_of_a_step(device) == ["add_", "add_"]

    @on("cuda")
    def test_trap_on_the_gpu_it_takes_all_at_once(self, device):
        assert operations_of_a_step(device) == ["_foreach_add_"]

    def test_fix_ask_for_all_at_once(self, device):
        assert operations_of_a_step(device, foreach=True) == ["_foreach_add_"]

    def test_fix_ask_for_the_loop(self, device):
        assert operations_of_a_step(device, foreach=False) == ["add_", "add_"]


def sgd(params, grads, buffers, momentum):
    """A step of SGD as a function."""
    torch.optim.functional.sgd(
        params,
        grads,
        buffers,
        lr=0.5,
        momentum=momentum,
        weight_decay=0.0,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        foreach=False,
    )


@since("2.15")  # torch.optim.functional is new there
@pitfall(
    "functional-optimizers-write-in-place",
    docs=["optim"],
    symptom="torch.optim.functional.sgd returns None, and my parameters have changed",
    priority=3,
)
class TestFunctionalOptimizersWriteInPlace:
    """A functional optimizer returns nothing: it writes to the parameters and lists that it is given.

    Functional means only that it keeps no state. The caller holds the buffers and hands them in anew for each step; a
    list of None is filled. Give clones where the old parameters are still needed.
    """

    def test_trap_the_parameters_change(self, device):
        w = torch.tensor([4.0], device=device)
        sgd([w], [torch.tensor([2.0], device=device)], [None], momentum=0.0)
        assert w.item() == 3

    def test_trap_without_its_buffer_it_forgets(self, device):
        w = torch.tensor([4.0], device=device)
        for _ in range(2):
            sgd([w], [torch.tensor([2.0], device=device)], [None], momentum=0.5)
        assert w.item() == 2  # two steps of 0.5 * 2

    def test_fix_keep_the_buffers(self, device):
        w, buffers = torch.tensor([4.0], device=device), [None]
        for _ in range(2):
            sgd([w], [torch.tensor([2.0], device=device)], buffers, momentum=0.5)
        assert (w.item(), buffers[0].item()) == (1.5, 3)
