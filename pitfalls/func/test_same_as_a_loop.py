"""Functions of modules and tensors that are no more than what they replace: ``vmap`` and an old ``functional_call``."""

import pytest
import torch
from torch import nn
from torch.nn.utils import stateless

from pitfalls import before, pitfall, since


@pitfall(
    "vmap-equals-a-loop-for-pure-functions",
    docs=["torch.func.vmap", "func.ux_limitations"],
    symptom="vmap(f) gives another result than a loop over the batch",
    priority=3,
)
class TestVmapEqualsALoopForPureFunctions:
    """``vmap(f)(x)`` is ``torch.stack([f(row) for row in x])`` if ``f`` is pure; a function with side effects differs.

    ``f`` is called once, on all rows together. What it does besides returning, such as counting, happens once and not
    for each row.
    """

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda row: row.sum(), id="sum"),
            pytest.param(lambda row: row.flip(0), id="flip"),
            pytest.param(lambda row: row.cumsum(0) * row[0], id="cumsum"),
            pytest.param(lambda row: row @ row, id="product"),
        ],
    )
    def test_trap_the_same_for_a_pure_function(self, device, f):
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=device)
        assert torch.func.vmap(f)(x).tolist() == torch.stack([f(row) for row in x]).tolist()

    def test_trap_side_effects_happen_once(self, device):
        calls = []
        torch.func.vmap(lambda row: calls.append(1) or row)(torch.ones(3, 2, device=device))
        assert calls == [1]


@pitfall(
    "stateless-functional-call-is-deprecated",
    docs=["torch.nn.utils.stateless.functional_call", "torch.func.functional_call"],
    symptom="`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0",
    error="is deprecated as of PyTorch 2.0 and will be removed",
    changed={"2.4": "it warns with a FutureWarning; it had been a UserWarning"},
    priority=3,
)
class TestStatelessFunctionalCallIsDeprecated:
    """``torch.nn.utils.stateless.functional_call`` warns since torch 2.0: it has become ``torch.func.functional_call``.

    The new one behaves alike, also in that writes to buffers land in the dictionary that was given.
    """

    @since("2.4")
    def test_trap_it_warns(self, device, seeded):
        layer, state = nn.Linear(1, 1, bias=False, device=device), {"weight": torch.tensor([[3.0]], device=device)}
        with pytest.warns(FutureWarning, match=r"is deprecated as of PyTorch 2\.0 and will be removed"):
            y = stateless.functional_call(layer, state, torch.tensor([2.0], device=device))
        assert y.item() == 6

    @before("2.4")
    def test_trap_it_warned(self, device, seeded):
        layer, state = nn.Linear(1, 1, bias=False, device=device), {"weight": torch.tensor([[3.0]], device=device)}
        with pytest.warns(UserWarning, match=r"is deprecated as of PyTorch 2\.0 and will be removed"):
            y = stateless.functional_call(layer, state, torch.tensor([2.0], device=device))
        assert y.item() == 6

    def test_trap_writes_land_in_the_dictionary(self, device):
        norm, x = nn.BatchNorm1d(1, momentum=1.0, device=device), torch.tensor([[1.0], [3.0]], device=device)
        state = {"running_mean": torch.zeros(1, device=device)}
        with pytest.warns((FutureWarning, UserWarning), match=r"is deprecated as of PyTorch 2\.0"):
            stateless.functional_call(norm, state, x)
        assert (state["running_mean"].item(), norm.running_mean.item()) == (2, 0)

    def test_fix_the_new_one(self, device, seeded):
        layer, state = nn.Linear(1, 1, bias=False, device=device), {"weight": torch.tensor([[3.0]], device=device)}
        assert torch.func.functional_call(layer, state, torch.tensor([2.0], device=device)).item() == 6
