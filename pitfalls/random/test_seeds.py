"""Seeds: what ``manual_seed`` repeats, what it leaves alone, and what else decides which numbers come."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from pitfalls import observe, on, pitfall


@pytest.fixture
def other_generators():
    """The generators of Python and NumPy are put back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(0)
    yield
    random.setstate(python)
    np.random.set_state(numpy)


@pitfall(
    "seed-restarts-a-sequence",
    docs=["torch.manual_seed", "notes/randomness"],
    symptom="I set the seed, and the second call gives other numbers than the first",
)
class TestSeedRestartsASequence:
    """``manual_seed`` restarts one sequence of numbers: every draw takes the next ones, whatever draws them.

    A layer that is initialised, or a shuffle, before a draw changes what comes after it. Seed again right before what
    is to repeat, or give that a generator of its own.
    """

    def test_trap_the_next_call_gives_the_next_numbers(self, device, seeded):
        torch.manual_seed(0)
        assert not torch.equal(torch.rand(3, device=device), torch.rand(3, device=device))

    def test_trap_a_new_layer_moves_the_sequence_on(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(3, device=device)
        torch.manual_seed(0)
        nn.Linear(1, 1, device=device)
        assert not torch.equal(torch.rand(3, device=device), first)

    def test_fix_seed_again(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(3, device=device)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(3, device=device), first)


@pitfall(
    "manual-seed-leaves-numpy-and-random",
    docs=["torch.manual_seed", "notes/randomness#python"],
    symptom="augmentations differ from run to run although torch.manual_seed was called",
)
class TestManualSeedLeavesNumpyAndRandom:
    """``torch.manual_seed`` seeds torch alone, neither NumPy nor Python's ``random``.

    Libraries that draw from those need their own seeds: ``random.seed(0)`` and ``np.random.seed(0)``; a NumPy
    ``Generator`` gets its seed as it is made.
    """

    DRAWS = [
        pytest.param(lambda: torch.tensor(random.random()), id="random"),
        pytest.param(lambda: torch.from_numpy(np.random.rand(3)), id="numpy"),
    ]

    @pytest.mark.parametrize("draw", DRAWS)
    def test_trap_their_sequences_go_on(self, seeded, other_generators, draw):
        torch.manual_seed(0)
        first = draw()
        torch.manual_seed(0)
        assert not torch.equal(draw(), first)

    @pytest.mark.parametrize("draw", DRAWS)
    def test_fix_seed_each_of_them(self, other_generators, draw):
        random.seed(0)
        np.random.seed(0)
        first = draw()
        random.seed(0)
        np.random.seed(0)
        assert torch.equal(draw(), first)


@on("cpu")
@pitfall(
    "draws-depend-on-how-they-are-asked-for",
    docs=["notes/randomness", "torch.manual_seed"],
    symptom="the same seed gives other numbers with another batch size, dtype or memory layout",
)
class TestDrawsDependOnHowTheyAreAskedFor:
    """The same seed gives other numbers for another size, dtype or memory layout: only the very same calls repeat.

    Sixteen normal numbers are not eight and eight more. The numbers are no function of the seed and the position.
    What must not depend on such things is drawn once, in one place, and stored.
    """

    def test_trap_two_small_draws_are_not_one_large(self, device, seeded):
        torch.manual_seed(0)
        at_once = torch.randn(16, device=device)
        torch.manual_seed(0)
        assert not torch.equal(torch.cat([torch.randn(8, device=device), torch.randn(8, device=device)]), at_once)

    def test_trap_a_longer_draw_begins_otherwise(self, device, seeded):
        torch.manual_seed(0)
        short = torch.randn(8, device=device)
        torch.manual_seed(0)
        assert not torch.equal(torch.randn(16, device=device)[:8], short)

    def test_trap_another_dtype_gets_other_numbers(self, device, seeded):
        torch.manual_seed(0)
        single = torch.rand(3, device=device)
        torch.manual_seed(0)
        assert not torch.allclose(torch.rand(3, dtype=torch.float64, device=device).float(), single)

    def test_trap_memory_is_filled_in_its_order(self, device, seeded):
        torch.manual_seed(0)
        rows = torch.zeros(2, 3, device=device).normal_()
        torch.manual_seed(0)
        assert not torch.equal(torch.zeros(3, 2, device=device).t().normal_(), rows)

    def test_fix_draw_in_one_way_and_convert(self, device, seeded):
        torch.manual_seed(0)
        single = torch.rand(3, device=device)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(3, device=device).double().float(), single)


@pitfall(
    "seeded-numbers-change-with-the-release",
    docs=["notes/randomness", "torch.manual_seed"],
    symptom="after an upgrade of torch the same seed gives other masks, samples or results",
    changed={
        "2.2": "VonMises draws other numbers for the same seed",
        "2.7": "dropout, exponential_, multinomial, gumbel_softmax and attention dropout draw others on the CPU",
    },
)
class TestSeededNumbersChangeWithTheRelease:
    """One seed repeats within one release, platform and device; it promises nothing across them.

    Several functions draw other numbers than they did some releases ago. Tests against stored numbers break with it:
    store the inputs as well, or compare statistics with a tolerance.
    """

    @pytest.mark.parametrize(
        "draw",
        [
            pytest.param(lambda d: torch.rand(4, device=d), id="rand"),
            pytest.param(lambda d: torch.randn(4, device=d), id="randn"),
            pytest.param(lambda d: torch.randn(17, device=d), id="randn of many"),
            pytest.param(lambda d: torch.randint(100, (4,), device=d), id="randint"),
            pytest.param(lambda d: torch.randperm(9, device=d), id="randperm"),
            pytest.param(lambda d: torch.full((4,), 0.5, device=d).bernoulli(), id="bernoulli"),
            pytest.param(lambda d: torch.zeros(4, device=d).bernoulli_(0.5), id="bernoulli_"),
            pytest.param(lambda d: torch.zeros(4, device=d).exponential_(), id="exponential_"),
            pytest.param(lambda d: torch.zeros(4, device=d).cauchy_(), id="cauchy_"),
            pytest.param(lambda d: torch.zeros(4, device=d).geometric_(0.1), id="geometric_"),
            pytest.param(lambda d: torch.poisson(torch.full((4,), 9.0, device=d)), id="poisson"),
            pytest.param(lambda d: torch.ones(9, device=d).multinomial(4), id="multinomial"),
            pytest.param(lambda d: torch.ones(9, device=d).multinomial(4, replacement=True), id="with replacement"),
            pytest.param(lambda d: nn.functional.dropout(torch.ones(12, device=d)), id="dropout"),
            pytest.param(lambda d: nn.functional.gumbel_softmax(torch.zeros(3, device=d)), id="gumbel_softmax"),
            pytest.param(lambda d: nn.Linear(2, 2, device=d).weight.detach(), id="Linear"),
            pytest.param(lambda d: torch.distributions.VonMises(torch.zeros(2, device=d), 1.0).sample(), id="VonMises"),
            pytest.param(lambda d: torch.distributions.Gamma(torch.ones(3, device=d), 1.0).sample(), id="Gamma"),
        ],
    )
    def test_trap_only_this_release_repeats_them(self, device, seeded, draw):
        torch.manual_seed(0)
        first = draw(device)
        torch.manual_seed(0)
        assert torch.equal(draw(device), first)
        observe(numbers=[round(x, 4) for x in first.flatten().tolist()])

    def test_trap_dropout_of_attention(self, device, seeded):
        x = torch.ones(1, 1, 4, 2, device=device)
        torch.manual_seed(0)
        first = nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5)
        torch.manual_seed(0)
        torch.testing.assert_close(nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5), first)
        observe(numbers=[round(x, 4) for x in first.flatten().tolist()])


@pitfall(
    "devices-have-streams-of-their-own",
    docs=["notes/randomness", "torch.cuda.manual_seed", "torch.manual_seed"],
    symptom="the same seed gives other numbers on the GPU than on the CPU",
)
class TestDevicesHaveStreamsOfTheirOwn:
    """``torch.manual_seed`` seeds every device, but each has its own generator and gives its own numbers for that seed.

    ``torch.cuda.manual_seed`` is for the current GPU alone. To get the same numbers everywhere, draw on the CPU and
    move them: ``torch.rand(3).to(device)``.
    """

    @on("cuda")
    def test_trap_one_seed_two_sequences(self, device, seeded):
        torch.manual_seed(0)
        on_the_cpu = torch.rand(3)
        assert not torch.equal(torch.rand(3, device=device).cpu(), on_the_cpu)

    @on("cuda")
    def test_trap_manual_seed_is_for_every_device(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(3, device=device)
        torch.manual_seed(0)
        torch.rand(3)
        assert torch.equal(torch.rand(3, device=device), first)

    @on("cuda")
    def test_trap_cuda_seed_leaves_the_cpu_alone(self, device, seeded):
        torch.manual_seed(0)
        torch.cuda.manual_seed(7)
        torch.cuda.seed()
        assert torch.initial_seed() == 0

    def test_fix_draw_on_the_cpu_and_move(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(3).to(device)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(3).to(device), first)


@pitfall(
    "seed-range",
    docs=["torch.manual_seed", "torch.Generator.manual_seed"],
    symptom="Overflow when unpacking long: a hash or a product as a seed is refused",
    error="Overflow when unpacking long",
    changed={"2.9": "a seed out of range raises ValueError, before it was RuntimeError"},
    priority=3,
    contradicts={"torch.manual_seed": "a negative seed -n stands for 0xffff_ffff_ffff_ffff - n, which is one less"},
)
class TestSeedRange:
    """A seed has 64 bits, and a negative one counts from 2**64: -1 and 2**64 - 1 are the same.

    A larger one is refused: take the remainder, ``seed % 2**64``.
    """

    @pytest.mark.parametrize(("seed", "same"), [(-1, 2**64 - 1), (-2, 2**64 - 2)], ids=["-1", "-2"])
    def test_trap_two_spellings_of_one_seed(self, device, seed, same):
        generator = torch.Generator(device=device)
        first = torch.rand(3, device=device, generator=generator.manual_seed(seed))
        assert torch.equal(torch.rand(3, device=device, generator=generator.manual_seed(same)), first)

    def test_fix_take_the_remainder(self, device):
        generator = torch.Generator(device=device)
        try:
            generator.manual_seed(2**64 + 5)
        except (RuntimeError, ValueError) as error:
            observe(too_large=type(error).__name__)
        first = torch.rand(3, device=device, generator=generator.manual_seed((2**64 + 5) % 2**64))
        assert torch.equal(torch.rand(3, device=device, generator=generator.manual_seed(5)), first)
