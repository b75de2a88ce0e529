"""``torch.export.unflatten``: submodules come back, but not always the way in which they are called."""

import warnings

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


class Add(nn.Module):
    """Takes a pair."""

    def forward(self, pair):
        return pair[0] + pair[1]


class Multiply(nn.Module):
    """To take the place of the other."""

    def forward(self, pair):
        return pair[0] * pair[1]


class Net(nn.Module):
    """A network with a submodule that takes a pair."""

    def __init__(self):
        super().__init__()
        self.join = Add()

    def forward(self, x):
        return self.join((x + 1, x + 2))


@pytest.fixture
def quiet():
    """Without what torch warns of its own old names on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@since("2.5")
@pitfall(
    "unflattened-submodules-have-other-signatures",
    docs=["torch.export.unflatten", "torch.export.export"],
    symptom="forward() takes 2 positional arguments but 3 were given, after a submodule was replaced",
    priority=3,
)
@pytest.mark.usefixtures("quiet")
@pytest.mark.slow  # the first export in a process takes seconds
class TestUnflattenedSubmodulesHaveOtherSignatures:
    """The submodules of ``unflatten`` are called with tensors, taken out of the tuples that the original was given.

    Another module with the original signature doesn't fit in. Name the submodule in ``preserve_module_call_signature=``
    at export, and it can be swapped.
    """

    def test_trap_it_cannot_be_swapped(self, export):
        net = torch.export.unflatten(export(Net(), (torch.zeros(1),)))
        net.join = Multiply()
        with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
            net(torch.zeros(1))

    def test_fix_preserve_the_signature(self, export):
        program = export(Net(), (torch.zeros(1),), preserve_module_call_signature=("join",))
        net = torch.export.unflatten(program)
        net.join = Multiply()
        assert net(torch.zeros(1)).item() == 2
