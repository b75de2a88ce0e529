"""Generators: streams of their own, states that are saved and put back, and copies of them."""

import copy
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from pitfalls import before, observe, on, pitfall, since


@pitfall(
    "generator-is-a-stream-of-its-own",
    docs=["torch.Generator", "torch.Generator.manual_seed", "torch.initial_seed"],
    symptom="torch.manual_seed doesn't make the shuffling repeat that has a generator",
)
class TestGeneratorIsAStreamOfItsOwn:
    """A ``torch.Generator`` has a state of its own: the global seed doesn't reach it, and its draws move nothing else.

    It starts with a fixed seed, so that two new ones give the same numbers. Seed it: ``Generator().manual_seed(0)``,
    with ``device=`` of the tensors it fills.
    """

    def test_trap_the_global_seed_does_not_reach_it(self, device, seeded):
        generator = torch.Generator(device=device).manual_seed(0)
        first = torch.rand(3, device=device, generator=generator)
        torch.manual_seed(0)
        assert not torch.equal(torch.rand(3, device=device, generator=generator), first)

    def test_trap_initial_seed_is_that_of_the_default_generator(self, device, seeded):
        torch.manual_seed(3)
        torch.Generator(device=device).manual_seed(5)
        assert torch.initial_seed() == 3
        observe(seed_of_a_new_generator=torch.Generator(device=device).initial_seed())

    @on("cuda")
    def test_trap_it_must_be_on_the_device(self, device, seeded):
        with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
            torch.rand(3, device=device, generator=torch.Generator())

    def test_fix_its_draws_leave_the_global_sequence_alone(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(3, device=device)
        torch.manual_seed(0)
        torch.rand(3, device=device, generator=torch.Generator(device=device).manual_seed(7))
        assert torch.equal(torch.rand(3, device=device), first)

    def test_fix_seed_it_to_repeat(self, device):
        generator = torch.Generator(device=device)
        first = torch.rand(3, device=device, generator=generator.manual_seed(7))
        assert torch.equal(torch.rand(3, device=device, generator=generator.manual_seed(7)), first)


@pitfall(
    "generator-copies",
    docs=["torch.Generator.get_state", "torch.Generator.set_state", "torch.Generator"],
    symptom="TypeError: cannot pickle 'torch._C.Generator' object, from deepcopy or a DataLoader worker",
    error="cannot pickle 'torch._C.Generator' object",
    changed={"2.4": "a generator can be copied with copy.deepcopy, and pickled"},
    priority=3,
)
class TestGeneratorCopies:
    """Since torch 2.4 a generator can be copied and pickled, and the copy goes on from the same state.

    Before, what holds a generator (a dataset, a sampler) was refused with it. Two copies give the same numbers, which
    is rarely meant. A state from ``get_state`` can be given to a new generator in every release.
    """

    COPIES = [
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda generator: pickle.loads(pickle.dumps(generator)), id="pickle"),
    ]

    @before("2.4")
    @pytest.mark.parametrize("duplicate", COPIES)
    def test_trap_it_could_not_be_copied(self, duplicate):
        with pytest.raises(TypeError, match=r"cannot pickle 'torch._C.Generator' object"):
            duplicate(torch.Generator())

    @since("2.4")
    @pytest.mark.parametrize("duplicate", COPIES)
    def test_trap_both_go_on_alike(self, duplicate):
        generator = torch.Generator().manual_seed(7)
        torch.rand(1, generator=generator)
        other = duplicate(generator)
        assert torch.equal(torch.rand(3, generator=other), torch.rand(3, generator=generator))

    def test_fix_hand_on_the_state(self, device):
        generator = torch.Generator(device=device).manual_seed(7)
        other = torch.Generator(device=device)
        other.set_state(generator.get_state())
        first = torch.rand(3, device=device, generator=generator)
        assert torch.equal(torch.rand(3, device=device, generator=other), first)


@pitfall(
    "rng-state-is-that-of-the-cpu",
    docs=["torch.get_rng_state", "torch.set_rng_state", "random"],
    symptom="resuming with the saved rng state does not repeat the run on the GPU",
)
class TestRngStateIsThatOfTheCpu:
    """``get_rng_state`` and ``set_rng_state`` are about the default generator of the CPU, and no other.

    A checkpoint that is to resume exactly holds the states of every GPU (``torch.cuda.get_rng_state_all``), of own
    generators, of NumPy and of Python, too.
    """

    def test_trap_other_generators_go_on(self, device, seeded):
        generator = torch.Generator(device=device).manual_seed(7)
        state = torch.get_rng_state()
        first = torch.rand(3, device=device, generator=generator)
        torch.set_rng_state(state)
        assert not torch.equal(torch.rand(3, device=device, generator=generator), first)

    @on("cuda")
    def test_trap_the_gpu_goes_on(self, device, seeded):
        state = torch.get_rng_state()
        first = torch.rand(3, device=device)
        torch.set_rng_state(state)
        assert not torch.equal(torch.rand(3, device=device), first)

    def test_fix_on_the_cpu_it_repeats(self, seeded):
        state = torch.get_rng_state()
        first = torch.rand(3)
        torch.set_rng_state(state)
        assert torch.equal(torch.rand(3), first)

    @on("cuda")
    def test_fix_the_gpu_has_its_own(self, device, seeded):
        state = torch.cuda.get_rng_state(device)
        first = torch.rand(3, device=device)
        torch.cuda.set_rng_state(state, device)
        assert torch.equal(torch.rand(3, device=device), first)


@pitfall(
    "fork-rng-undoes-draws-and-seeds",
    docs=[("torch.random.fork_rng", "the RNG is reset to the state"), "random"],
    symptom="a seed that was set inside a helper or a test has no effect afterwards",
    priority=3,
)
class TestForkRngUndoesDrawsAndSeeds:
    """After ``with torch.random.fork_rng():`` the generators stand where they stood before, whatever happened inside.

    Good for an evaluation that must not change the training; a ``manual_seed`` inside is undone as well. Own
    generators are not included.
    """

    def test_trap_a_seed_inside_is_undone(self, device, seeded):
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(7)
            first = torch.rand(3, device=device)
        assert not torch.equal(torch.rand(3, device=device), first)

    def test_trap_own_generators_are_not_included(self, device):
        generator = torch.Generator(device=device).manual_seed(7)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            first = torch.rand(3, device=device, generator=generator)
        assert not torch.equal(torch.rand(3, device=device, generator=generator), first)

    def test_fix_draws_inside_cost_nothing(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(3, device=device)
        torch.manual_seed(0)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.rand(5, device=device)
        assert torch.equal(torch.rand(3, device=device), first)


@pitfall(
    "data-loader-draws-from-the-global-generator",
    docs=["torch.utils.data.DataLoader", "notes/randomness#dataloader", "data"],
    symptom="iterating a DataLoader once more, even without shuffling, changes the numbers of the whole run",
)
class TestDataLoaderDrawsFromTheGlobalGenerator:
    """Each iteration of a ``DataLoader`` draws from the global generator, also without shuffling and without workers.

    It draws the base seed of its workers, and the seed of the shuffling. An evaluation in between thus changes the
    training after it. Give it a ``generator=`` of its own, which also fixes its order.
    """

    @pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
    def test_trap_iterating_moves_the_global_sequence(self, seeded, shuffle):
        loader = DataLoader([1, 2, 3], shuffle=shuffle)
        torch.manual_seed(0)
        first = torch.rand(3)
        torch.manual_seed(0)
        list(loader)
        assert not torch.equal(torch.rand(3), first)

    def test_fix_with_a_generator_the_global_one_rests(self, seeded):
        loader = DataLoader([1, 2, 3], shuffle=True, generator=torch.Generator().manual_seed(7))
        torch.manual_seed(0)
        first = torch.rand(3)
        torch.manual_seed(0)
        list(loader)
        assert torch.equal(torch.rand(3), first)

    def test_fix_the_generator_fixes_the_order(self):
        data = list(range(100))
        first = list(DataLoader(data, shuffle=True, generator=torch.Generator().manual_seed(7)))
        second = list(DataLoader(data, shuffle=True, generator=torch.Generator().manual_seed(7)))
        assert torch.equal(torch.cat(first), torch.cat(second))
