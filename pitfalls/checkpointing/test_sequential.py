"""`checkpoint_sequential`, checkpoints within checkpoints, and `checkpoint` as a decorator."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from pitfalls import before, pitfall, since

pytestmark = [  # torch 2.4 warns of its own backward, torch 2.1 of what it imports at the first call
    pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast.args:FutureWarning"),
    pytest.mark.filterwarnings("ignore:pkg_resources is deprecated"),
]


@pitfall(
    "checkpoint-sequential-keeps-its-last-segment",
    docs=[("torch.utils.checkpoint.checkpoint_sequential", "All segments except the last will not store")],
    symptom="checkpoint_sequential with one segment saves no memory",
    priority=3,
)
class TestCheckpointSequentialKeepsItsLastSegment:
    """``checkpoint_sequential`` checkpoints all segments but the last: with one segment it checkpoints nothing.

    Of four layers in two segments the first two run again in backward. What remains after an even division is added to
    the last segment, which is kept.
    """

    @pytest.mark.parametrize(
        ("layers", "segments", "again"),
        [(4, 1, []), (4, 2, [0, 1]), (4, 4, [0, 1, 2]), (5, 2, [0, 1]), (5, 3, [0, 1])],
        ids=["4 in 1", "4 in 2", "4 in 4", "5 in 2", "5 in 3"],
    )
    def test_trap_which_layers_run_again(self, device, layers, segments, again):
        class Layer(nn.Module):
            def __init__(self, number):
                super().__init__()
                self.number = number

            def forward(self, x):
                ran.append(self.number)
                return x.exp()

        ran = []
        x = torch.zeros(1, device=device, requires_grad=True)
        y = checkpoint_sequential([Layer(number) for number in range(layers)], segments, x, use_reentrant=False)
        ran.clear()
        y.sum().backward()
        assert sorted(ran) == again

    def test_fix_checkpoint_the_whole(self, device):
        ran = []
        x = torch.zeros(1, device=device, requires_grad=True)
        y = checkpoint(lambda x: ran.append("layer") or x.exp(), x, use_reentrant=False)
        y.sum().backward()
        assert ran == ["layer", "layer"]


@pitfall(
    "checkpoint-sequential-passes-one-tensor",
    docs=["torch.utils.checkpoint.checkpoint_sequential", ("torch.utils.checkpoint.checkpoint_sequential", "only one")],
    symptom="TypeError: forward() missing a positional argument, under checkpoint_sequential",
    error="missing 1 required positional argument",
    priority=3,
)
class TestCheckpointSequentialPassesOneTensor:
    """``checkpoint_sequential`` hands one thing from layer to layer, as ``nn.Sequential`` does, and spreads no tuple.

    Let the layers take a tuple, or checkpoint each yourself.
    """

    def test_trap_a_pair_is_not_spread(self, device):
        class Both(nn.Module):
            def forward(self, x):
                return x, x

        class Sum(nn.Module):
            def forward(self, x, y):
                return x + y

        x = torch.ones(1, device=device, requires_grad=True)
        with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'y'"):
            checkpoint_sequential([Both(), Sum()], 2, x, use_reentrant=False)

    def test_fix_take_a_tuple(self, device):
        class Both(nn.Module):
            def forward(self, x):
                return x, x

        class Sum(nn.Module):
            def forward(self, pair):
                return pair[0] + pair[1]

        x = torch.ones(1, device=device, requires_grad=True)
        checkpoint_sequential([Both(), Sum()], 2, x, use_reentrant=False).backward()
        assert x.grad.tolist() == [2]


@pitfall(
    "nested-checkpoints-multiply-the-work",
    docs=["torch.utils.checkpoint.checkpoint"],
    symptom="a checkpoint within a checkpoint makes training far slower",
    priority=3,
)
class TestNestedCheckpointsMultiplyTheWork:
    """Checkpoints may be nested, and a function in the inner one runs three times: each level runs it once more.

    The gradients are right, in any mixture of both forms. One level of about the square root of the depth is mostly
    enough.
    """

    FORMS = [
        pytest.param(False, False, id="neither is reentrant"),
        pytest.param(False, True, id="inner is"),
        pytest.param(True, False, id="outer is"),
        pytest.param(True, True, id="both are reentrant"),
    ]

    @pytest.mark.parametrize(("outer", "inner"), FORMS)
    def test_trap_the_inner_one_runs_three_times(self, device, outer, inner):
        def function(x):
            ran.append("inner")
            return x.square()

        ran = []
        x = torch.tensor(3.0, device=device, requires_grad=True)
        checkpoint(lambda x: checkpoint(function, x, use_reentrant=inner).square(), x, use_reentrant=outer).backward()
        assert len(ran) == 3

    @pytest.mark.parametrize(("outer", "inner"), FORMS)
    def test_fix_the_gradient_is_right(self, device, outer, inner):
        x = torch.tensor(3.0, device=device, requires_grad=True)
        checkpoint(
            lambda x: checkpoint(torch.square, x, use_reentrant=inner).square(), x, use_reentrant=outer
        ).backward()
        assert x.grad.item() == 108  # 4 x**3


@pitfall(
    "checkpoint-as-decorator-since-2-14",
    docs=["torch.utils.checkpoint.checkpoint"],
    symptom="TypeError: checkpoint() missing 1 required positional argument: 'function'",
    error="checkpoint() missing 1 required positional argument: 'function'",
    priority=3,
    changed={"2.14": "checkpoint(use_reentrant=False) without a function returns a decorator"},
)
class TestCheckpointAsDecoratorSince214:
    """Before 2.14 ``checkpoint`` needs a function and calls it at once; since then it makes a decorator without one.

    A small function that calls ``checkpoint`` does the same in every release.
    """

    @before("2.14")
    def test_trap_a_function_is_needed(self):
        with pytest.raises(TypeError, match=r"checkpoint\(\) missing 1 required positional argument: 'function'"):
            checkpoint(use_reentrant=False)

    @since("2.14")
    def test_trap_without_a_function_it_decorates(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        checkpoint(use_reentrant=False)(torch.square)(x).sum().backward()
        assert x.grad.tolist() == [2, 2]

    def test_fix_wrap_it_yourself(self, device):
        def square(x):
            return checkpoint(torch.square, x, use_reentrant=False)

        x = torch.ones(2, device=device, requires_grad=True)
        square(x).sum().backward()
        assert x.grad.tolist() == [2, 2]
