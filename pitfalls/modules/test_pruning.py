"""Pruning and fusing: masks over weights that go on existing, and layers folded into one."""

import pytest
import torch
from torch import nn
from torch.nn.utils import fusion, prune

from pitfalls import pitfall


@pitfall(
    "prune-remove-makes-it-permanent",
    docs=[
        ("torch.nn.utils.prune.remove", "Pruning itself is NOT undone or reversed"),
        "torch.nn.utils.prune.is_pruned",
    ],
    symptom="prune.remove(layer, 'weight') did not bring the pruned weights back",
)
class TestPruneRemoveMakesItPermanent:
    """``prune.remove`` removes the mask after applying it: the pruned weights are zero for good.

    It turns ``weight_orig`` and ``weight_mask`` into a plain ``weight`` again. To undo pruning, keep a copy of
    ``weight_orig`` and write it back afterwards.
    """

    def test_trap_the_zeros_stay(self, device, seeded):
        layer = nn.Linear(2, 1, bias=False, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
        prune.l1_unstructured(layer, "weight", amount=1)
        prune.remove(layer, "weight")
        assert layer.weight.tolist() == [[0, 2]]

    def test_trap_the_next_pruning_comes_on_top(self, device, seeded):
        layer = nn.Linear(4, 1, bias=False, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
        for _ in range(2):
            prune.l1_unstructured(layer, "weight", amount=0.5)
        assert layer.weight.tolist() == [[0, 0, 0, 4]]

    def test_fix_keep_the_original(self, device, seeded):
        layer = nn.Linear(2, 1, bias=False, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
        prune.l1_unstructured(layer, "weight", amount=1)
        original = layer.weight_orig.detach().clone()
        prune.remove(layer, "weight")
        with torch.no_grad():
            layer.weight.copy_(original)
        assert layer.weight.tolist() == [[1, 2]]


@pitfall(
    "pruned-weight-is-masked-not-gone",
    docs=[
        ("torch.nn.utils.prune.identity", "without actually pruning any units"),
        ("torch.nn.utils.prune.l1_unstructured", "corresponding to the binary mask applied"),
    ],
    symptom="a pruned model is no smaller, and its checkpoint has weight_orig and weight_mask",
)
class TestPrunedWeightIsMaskedNotGone:
    """Pruning adds a mask: the parameter lives on as ``weight_orig``, and ``weight`` is its product with the mask.

    So nothing gets smaller, the keys change even for ``prune.identity``, which masks nothing, and weight decay still
    moves what is pruned. ``weight`` is renewed by each forward pass, and a write to it is lost.
    """

    def test_trap_the_keys_change(self, device, seeded):
        layer = nn.Linear(2, 1, bias=False, device=device)
        prune.identity(layer, "weight")
        assert list(layer.state_dict()) == ["weight_orig", "weight_mask"]
        assert layer.weight_mask.tolist() == [[1, 1]]

    def test_trap_weight_decay_moves_pruned_weights(self, device, seeded):
        layer = nn.Linear(2, 1, bias=False, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
        prune.l1_unstructured(layer, "weight", amount=1)
        layer(torch.zeros(2, device=device)).backward()
        torch.optim.SGD(layer.parameters(), lr=1.0, weight_decay=0.5).step()
        assert layer.weight_orig.tolist() == [[0.5, 1]]

    def test_trap_a_write_is_lost(self, device, seeded):
        layer = nn.Linear(2, 1, bias=False, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
            prune.l1_unstructured(layer, "weight", amount=1)
            layer.weight.fill_(7)
        assert layer(torch.ones(2, device=device)).tolist() == [2]

    def test_fix_write_to_the_original(self, device, seeded):
        layer = nn.Linear(2, 1, bias=False, device=device)
        prune.identity(layer, "weight")
        nn.init.constant_(layer.weight_orig, 7.0)
        assert layer(torch.ones(2, device=device)).tolist() == [14]


@pitfall(
    "fusing-needs-eval-mode",
    docs=[
        ("torch.nn.utils.fusion.fuse_conv_bn_eval", "must be in eval mode, and ``bn`` must"),
        ("torch.nn.utils.fusion.fuse_linear_bn_eval", "must be in eval mode, and ``bn`` must"),
    ],
    symptom="AssertionError: Fusion only for eval!",
    error="Fusion only for eval!",
    priority=3,
)
class TestFusingNeedsEvalMode:
    """Batch norm can be folded into the layer before it in eval mode only: in training mode ``fuse_*_bn_eval`` raises.

    The result is a new layer, computed from the running statistics; the two it was made from stay as they are, and the
    batch norm must be taken out of the model.
    """

    PAIRS = [
        pytest.param(
            fusion.fuse_conv_bn_eval,
            lambda device: (nn.Conv1d(1, 1, 1, device=device), nn.BatchNorm1d(1, device=device)),
            id="conv",
        ),
        pytest.param(
            fusion.fuse_linear_bn_eval,
            lambda device: (nn.Linear(1, 1, device=device), nn.BatchNorm1d(1, device=device)),
            id="linear",
        ),
    ]

    @pytest.mark.parametrize(("fuse", "make"), PAIRS)
    @pytest.mark.parametrize("in_eval", ["neither", "layer", "norm"])
    def test_trap_training_mode_is_refused(self, device, seeded, fuse, make, in_eval):
        layer, norm = make(device)
        layer.train(in_eval != "layer")
        norm.train(in_eval != "norm")
        with pytest.raises(AssertionError, match="Fusion only for eval!"):
            fuse(layer, norm)

    @pytest.mark.parametrize(("fuse", "make"), PAIRS)
    def test_fix_eval_mode(self, device, seeded, fuse, make):
        layer, norm = (module.double() for module in make(device))
        norm.running_mean.fill_(1)
        norm.running_var.fill_(4)
        fused = fuse(layer.eval(), norm.eval())
        x = torch.full((3, 1, 1) if layer.weight.dim() == 3 else (3, 1), 5.0, dtype=torch.float64, device=device)
        torch.testing.assert_close(fused(x), norm(layer(x)))
