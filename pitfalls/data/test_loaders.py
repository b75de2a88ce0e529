"""The `DataLoader` itself: what its options exclude, what iterating it twice gives, and what stays fixed."""

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

from pitfalls import on, pitfall


@pitfall(
    "shuffle-and-sampler-exclude-each-other",
    docs=[("torch.utils.data.DataLoader", ":attr:`shuffle` must not be specified"), "data"],
    symptom="ValueError: sampler option is mutually exclusive with shuffle",
    error="sampler option is mutually exclusive with",
)
class TestShuffleAndSamplerExcludeEachOther:
    """A sampler decides the order alone: ``shuffle=True`` beside it is refused, and so is most else beside batches.

    ``batch_sampler`` excludes ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``, except where they are said
    to be what they are by default. Let the sampler shuffle, say ``SubsetRandomSampler`` or ``RandomSampler``.
    """

    def test_trap_a_sampler_beside_shuffle(self):
        with pytest.raises(ValueError, match="sampler option is mutually exclusive with shuffle"):
            DataLoader([7, 8, 9], sampler=[0, 2], shuffle=True)

    @pytest.mark.parametrize(
        "beside", [{"batch_size": 2}, {"shuffle": True}, {"sampler": [0]}, {"drop_last": True}], ids=str
    )
    def test_trap_a_batch_sampler_beside_anything(self, beside):
        with pytest.raises(ValueError, match="batch_sampler option is mutually exclusive with"):
            DataLoader([7, 8, 9], batch_sampler=[[0, 2]], **beside)

    def test_fix_the_sampler_decides(self, seeded):
        assert [x.tolist() for x in DataLoader([7, 8, 9], sampler=[2, 0], batch_size=2)] == [[9, 7]]
        assert [x.tolist() for x in DataLoader([7, 8, 9], batch_sampler=[[2], [0, 1]])] == [[9], [7, 8]]


@pitfall(
    "loader-is-not-indexable",
    docs=[("torch.utils.data.DataLoader", "provides an iterable over the given dataset"), "data"],
    symptom="TypeError: 'DataLoader' object is not subscriptable; 'DataLoader' object is not an iterator",
    error="'DataLoader' object is not subscriptable | 'DataLoader' object is not an iterator",
    priority=1,
)
class TestLoaderIsNotIndexable:
    """A ``DataLoader`` can only be iterated: it has no items, and it is no iterator itself.

    Use ``next(iter(loader))`` for one batch, and ``loader.dataset[i]`` for one sample.
    """

    def test_trap_it_has_no_items(self):
        with pytest.raises(TypeError, match="'DataLoader' object is not subscriptable"):
            DataLoader([7, 8])[0]

    def test_trap_it_has_no_next(self):
        with pytest.raises(TypeError, match="'DataLoader' object is not an iterator"):
            next(DataLoader([7, 8]))

    def test_fix_make_an_iterator(self, seeded):
        assert next(iter(DataLoader([7, 8]))).tolist() == [7]

    def test_fix_index_the_dataset(self, seeded):
        assert DataLoader(torch.tensor([7, 8])).dataset[1].item() == 8


@pitfall(
    "next-iter-starts-over",
    docs=["data", ("torch.utils.data.DataLoader", "have the data reshuffled at every epoch")],
    symptom="next(iter(loader)) gives the first batch again and again; StopIteration in the middle of training",
    priority=1,
)
class TestNextIterStartsOver:
    """Each ``iter(loader)`` begins a new epoch: ``next(iter(loader))`` in a loop never gets beyond its first batch.

    With shuffling it is a first batch of another order each time. Keep the iterator; at its end it raises StopIteration
    and stays exhausted, and a new one is needed.
    """

    def test_trap_the_first_batch_again(self, seeded):
        loader = DataLoader([7, 8, 9])
        assert [next(iter(loader)).item() for _ in range(3)] == [7, 7, 7]

    def test_trap_an_iterator_ends_for_good(self, seeded):
        batches = iter(DataLoader([7]))
        next(batches)
        with pytest.raises(StopIteration, match=r"^$"):
            next(batches)
        assert list(batches) == []

    def test_fix_keep_the_iterator(self, seeded):
        batches = iter(DataLoader([7, 8, 9]))
        assert [next(batches).item() for _ in range(3)] == [7, 8, 9]


@pitfall(
    "shuffled-epochs-differ",
    docs=["data", ("torch.utils.data.DataLoader", "have the data reshuffled at every epoch"), "notes/randomness"],
    symptom="I gave the DataLoader a seeded generator, and the second epoch has another order",
)
class TestShuffledEpochsDiffer:
    """A seeded ``generator=`` makes the run repeatable, not the epochs alike: each epoch draws on from where it stands.

    To see the same order again, seed the generator again before the epoch. Resuming in epoch n needs the state that
    the generator had then, or a seed for each epoch.
    """

    def test_trap_the_next_epoch_has_another_order(self):
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(range(100), batch_size=None, shuffle=True, generator=generator)
        first = list(loader)
        assert list(loader) != first

    def test_fix_seed_it_again(self):
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(range(100), batch_size=None, shuffle=True, generator=generator)
        first = list(loader)
        generator.manual_seed(3)
        assert list(loader) == first


@pitfall(
    "loader-generator-misses-your-sampler",
    docs=[("torch.utils.data.DataLoader", "to generate random indexes"), "torch.utils.data.RandomSampler"],
    symptom="DataLoader(sampler=..., generator=g) gives another order in each run although g is seeded",
)
class TestLoaderGeneratorMissesYourSampler:
    """The ``generator`` of a ``DataLoader`` reaches the sampler that it makes for ``shuffle=True``, not yours.

    A sampler of your own draws from the global generator unless it gets one itself: ``RandomSampler(data,
    generator=g)``, and likewise for the other samplers.
    """

    def test_trap_the_order_follows_the_global_seed(self, seeded):
        generator = torch.Generator().manual_seed(3)
        first = list(DataLoader(range(100), batch_size=None, sampler=RandomSampler(range(100)), generator=generator))
        torch.manual_seed(7)
        generator.manual_seed(3)
        second = DataLoader(range(100), batch_size=None, sampler=RandomSampler(range(100)), generator=generator)
        assert list(second) != first

    def test_fix_give_it_to_the_sampler(self, seeded):
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(range(100), batch_size=None, sampler=RandomSampler(range(100), generator=generator))
        first = list(loader)
        torch.manual_seed(7)
        generator.manual_seed(3)
        assert list(loader) == first


@pitfall(
    "loader-attributes-are-frozen",
    docs=["torch.utils.data.DataLoader", "data"],
    symptom="ValueError: batch_size attribute should not be set after DataLoader is initialized",
    error="attribute should not be set after DataLoader is initialized",
    priority=3,
)
class TestLoaderAttributesAreFrozen:
    """``batch_size``, ``sampler``, ``batch_sampler``, ``drop_last`` and ``dataset`` of a loader can't be set again.

    They went into its samplers as it was made. Make a new ``DataLoader``: it costs next to nothing before it is
    iterated. ``collate_fn`` may be set.
    """

    @pytest.mark.parametrize("name", ["batch_size", "sampler", "batch_sampler", "drop_last", "dataset"], ids=str)
    def test_trap_it_can_not_be_set(self, name):
        with pytest.raises(ValueError, match="attribute should not be set after DataLoader is initialized"):
            setattr(DataLoader([7, 8]), name, None)

    def test_fix_make_a_new_one(self, seeded):
        loader = DataLoader([7, 8, 9])
        larger = DataLoader(loader.dataset, batch_size=3)
        assert [x.tolist() for x in larger] == [[7, 8, 9]]


class Pair:
    """A batch of a type that torch does not know."""

    def __init__(self, samples):
        self.inputs = torch.stack(samples)


class PinnedPair(Pair):
    """The same, with a method that pins it."""

    def pin_memory(self):
        self.inputs = self.inputs.pin_memory()
        return self


@pitfall(
    "custom-batches-need-a-pin-memory-method",
    docs=[("torch.utils.data.DataLoader", "returns a batch that is a custom type"), "data"],
    symptom="pin_memory=True has no effect: the tensors in my batch object are not pinned",
)
class TestCustomBatchesNeedAPinMemoryMethod:
    """``pin_memory=True`` pins tensors in lists, tuples and dictionaries; an object of your own is left as it is.

    Give it a method ``pin_memory`` that returns the pinned object. Without an accelerator nothing is pinned at all, and
    the method isn't called.
    """

    @on("cpu")
    def test_trap_without_the_option_it_is_not_called(self, device, seeded):
        (batch,) = DataLoader(torch.ones(2, 3, device=device), batch_size=2, collate_fn=PinnedPair)
        assert batch.inputs.is_pinned() is False

    @on("cuda")
    def test_trap_an_object_is_left_alone(self, device, seeded):
        (batch,) = DataLoader(torch.ones(2, 3), batch_size=2, collate_fn=Pair, pin_memory=True)
        assert batch.inputs.to(device).tolist() == [[1, 1, 1], [1, 1, 1]]
        assert batch.inputs.is_pinned() is False

    @on("cuda")
    def test_fix_its_own_method_is_called(self, device, seeded):
        (batch,) = DataLoader(torch.ones(2, 3), batch_size=2, collate_fn=PinnedPair, pin_memory=True)
        assert batch.inputs.to(device).tolist() == [[1, 1, 1], [1, 1, 1]]
        assert batch.inputs.is_pinned() is True

    @on("cuda")
    @pytest.mark.parametrize(
        "make",
        [pytest.param(lambda x: [x], id="list"), pytest.param(lambda x: {"x": x}, id="dict")],
    )
    def test_fix_known_containers_are_pinned(self, device, seeded, make):
        (batch,) = DataLoader([make(torch.ones(2))], pin_memory=True)
        (found,) = batch.values() if isinstance(batch, dict) else batch
        assert found.is_pinned() is True
