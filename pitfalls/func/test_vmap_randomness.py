"""``vmap`` and random numbers: refused by default, one draw for all, or one for each."""

import pytest
import torch
from torch.nn import functional as F

from pitfalls import pitfall

RANDOM = [
    pytest.param(lambda x: x + torch.rand((), device=x.device), id="rand"),
    pytest.param(lambda x: torch.randn_like(x), id="randn_like"),
    pytest.param(lambda x: F.dropout(x, 0.5), id="dropout"),
    pytest.param(lambda x: torch.bernoulli(x * 0 + 0.5), id="bernoulli"),
]


@pitfall(
    "vmap-refuses-randomness",
    docs=["func.ux_limitations#randomness", ("torch.vmap", "If 'error', any calls to random functions")],
    symptom="RuntimeError: vmap: called random operation while in randomness error mode",
    error="called random operation while in randomness error mode",
    priority=2,
)
class TestVmapRefusesRandomness:
    """A random operation under ``vmap`` raises until ``randomness="different"`` or ``"same"`` says what is meant.

    A dropout layer in training mode counts. ``"different"`` draws for each example, ``"same"`` once for all of them.
    """

    @pytest.mark.parametrize("f", RANDOM)
    def test_trap_it_raises(self, device, f):
        with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
            torch.vmap(f)(torch.ones(3, device=device))

    def test_trap_same_draws_once(self, device, seeded):
        x = torch.zeros(4, device=device)
        drawn = torch.vmap(lambda x: x + torch.rand((), device=device), randomness="same")(x)
        assert len(set(drawn.tolist())) == 1

    def test_trap_same_refuses_probabilities_of_each(self, device, seeded):
        chances = torch.tensor([0.25, 0.75], device=device)
        with pytest.raises(RuntimeError, match="does not currently support same randomness with a batched tensor"):
            torch.vmap(torch.bernoulli, randomness="same")(chances)

    def test_fix_different_draws_for_each(self, device, seeded):
        x = torch.zeros(4, device=device)
        drawn = torch.vmap(lambda x: x + torch.rand((), device=device), randomness="different")(x)
        assert len(set(drawn.tolist())) == 4

    def test_fix_draw_outside(self, device, seeded):
        x, noise = torch.zeros(4, device=device), torch.rand(4, device=device)
        assert torch.vmap(torch.add)(x, noise).tolist() == noise.tolist()


@pitfall(
    "vmap-same-holds-for-one-call",
    docs=["func.ux_limitations#randomness", "torch.vmap"],
    symptom='randomness="same" gives other numbers at the next call',
    priority=3,
)
class TestVmapSameHoldsForOneCall:
    """``randomness="same"`` is the same for all examples of one call: the next call draws anew.

    The mode is no seed, and only torch's generators heed it. Seed before each call to repeat it.
    """

    def test_trap_the_next_call_differs(self, device, seeded):
        draw = torch.vmap(lambda x: x + torch.rand((), device=device), randomness="same")
        x = torch.zeros(2, device=device)
        assert draw(x).tolist() != draw(x).tolist()

    def test_trap_python_draws_once_even_so(self, device):
        import random

        generator = random.Random(0)
        drawn = torch.vmap(lambda x: x + generator.random(), randomness="different")(torch.zeros(3, device=device))
        assert len(set(drawn.tolist())) == 1

    def test_fix_seed_before_each(self, device, seeded):
        draw = torch.vmap(lambda x: x + torch.rand((), device=device), randomness="same")
        x = torch.zeros(2, device=device)
        torch.manual_seed(0)
        first = draw(x).tolist()
        torch.manual_seed(0)
        assert draw(x).tolist() == first
