"""PReLU: to which dimension its slopes belong, and what weight decay does to them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall


@pitfall(
    "prelu-slopes-belong-to-dimension-one",
    docs=[
        ("torch.nn.PReLU", "Channel dim is the 2nd dim of"),
        ("torch.nn.functional.prelu", "in a way that is not possible using"),
    ],
    symptom="Mismatch of parameter numbers and input channel size. Found parameter numbers = 3 and channel size = 4.",
    error="Mismatch of parameter numbers and input channel size",
    priority=3,
)
class TestPreluSlopesBelongToDimensionOne:
    """The slopes of ``PReLU(n)`` go along dimension 1, not along the last one as broadcasting would have it.

    A vector has one channel, so it takes a single slope only. For features in the last dimension of a sequence
    transpose, or write ``torch.where`` with the slopes.
    """

    def test_trap_not_the_last_dimension(self, device):
        x, slopes = torch.full((1, 2, 2), -1.0, device=device), torch.tensor([1.0, 10.0], device=device)
        assert F.prelu(x, slopes).tolist() == [[[-1, -1], [-10, -10]]]

    @pytest.mark.parametrize("sizes", [(3,), (2, 4, 3)], ids=["vector", "features last"])
    def test_trap_others_are_refused(self, device, sizes):
        with pytest.raises(RuntimeError, match="Mismatch of parameter numbers and input channel size"):
            nn.PReLU(3, device=device)(torch.ones(sizes, device=device))

    def test_fix_where_broadcasts(self, device):
        x, slopes = torch.full((1, 2, 2), -1.0, device=device), torch.tensor([1.0, 10.0], device=device)
        assert torch.where(x < 0, x * slopes, x).tolist() == [[[-1, -10], [-1, -10]]]


@pitfall(
    "weight-decay-turns-prelu-into-relu",
    docs=[("torch.nn.PReLU", "weight decay should not be used when")],
    symptom="the slopes of PReLU go to zero in training",
    priority=3,
)
class TestWeightDecayTurnsPreluIntoRelu:
    """The slopes of ``PReLU`` are parameters like others, so weight decay draws them to zero, which makes a ReLU.

    Put them into a parameter group with ``weight_decay=0.0``, as one does with biases and the weights of norms.
    """

    def test_trap_slopes_shrink_without_a_gradient(self, device):
        layer = nn.PReLU(device=device)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, weight_decay=0.5)
        layer(torch.ones(1, device=device)).backward()  # a positive input says nothing about the slope
        optimizer.step()
        assert layer.weight.tolist() == [0.125]

    def test_fix_a_group_without_decay(self, device):
        layer = nn.PReLU(device=device)
        groups = [{"params": layer.parameters(), "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(groups, lr=1.0, weight_decay=0.5)
        layer(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert layer.weight.tolist() == [0.25]
