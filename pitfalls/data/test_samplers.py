"""Samplers: which indices they give, how often, and what a sampler of your own needs."""

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from pitfalls import before, pitfall, since


@pitfall(
    "weighted-sampler-is-per-sample",
    docs=[("torch.utils.data.WeightedRandomSampler", "Samples elements from"), "data"],
    symptom="WeightedRandomSampler with my class weights draws only the first few samples of the dataset",
    priority=1,
)
class TestWeightedSamplerIsPerSample:
    """``WeightedRandomSampler`` wants one weight for each sample, not for each class, and draws with replacement.

    Given two class weights it draws the samples 0 and 1 and no others. Look up the weight of each label:
    ``weights[labels]``. With replacement an epoch repeats some samples and leaves others out.
    """

    def test_trap_class_weights_draw_the_first_samples(self, seeded):
        drawn = list(WeightedRandomSampler([0.5, 0.5], num_samples=100))
        assert set(drawn) == {0, 1}

    def test_trap_samples_repeat(self, seeded):
        assert len(set(WeightedRandomSampler([1.0] * 100, num_samples=100))) < 100

    def test_fix_look_up_the_weight_of_each_label(self, seeded):
        labels = torch.tensor([0, 0, 0, 0, 0, 0, 0, 1])
        weights = (1 / labels.bincount())[labels]
        drawn = torch.tensor(list(WeightedRandomSampler(weights, num_samples=1000)))
        assert 0.4 < labels[drawn].float().mean().item() < 0.6

    def test_fix_without_replacement_none_repeats(self, seeded):
        drawn = list(WeightedRandomSampler([1.0] * 100, num_samples=100, replacement=False))
        assert sorted(drawn) == list(range(100))


@pitfall(
    "random-sampler-goes-round-again",
    docs=[("torch.utils.data.RandomSampler", "number of samples to draw, default=`len(dataset)`"), "data"],
    symptom="RandomSampler(num_samples=n) without replacement repeats samples",
    priority=3,
)
class TestRandomSamplerGoesRoundAgain:
    """``RandomSampler`` with ``num_samples`` above the length shuffles again and again: each round has every sample.

    So "without replacement" holds within a round only. With ``replacement=True`` each draw is independent, and some
    samples never come.
    """

    def test_trap_it_repeats_in_rounds(self, seeded):
        assert sorted(RandomSampler(range(5), num_samples=10)) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]

    def test_fix_ask_for_no_more_than_there_are(self, seeded):
        assert len(set(RandomSampler(range(5), num_samples=3))) == 3


@pitfall(
    "empty-dataset-with-shuffle",
    docs=["torch.utils.data.RandomSampler", ("torch.utils.data.DataLoader", "have the data reshuffled at every epoch")],
    symptom="ValueError: num_samples should be a positive integer value, but got num_samples=0",
    error="num_samples should be a positive integer value, but got num_samples=0",
)
class TestEmptyDatasetWithShuffle:
    """Shuffling an empty dataset raises as the loader is made; in order an empty one just gives no batches.

    Mostly a path or a pattern of file names found nothing: look at ``len(dataset)`` first.
    """

    def test_trap_shuffling_nothing_is_refused(self, seeded):
        with pytest.raises(ValueError, match="num_samples should be a positive integer value, but got num_samples=0"):
            list(DataLoader([], shuffle=True))

    def test_trap_in_order_nothing_happens(self, seeded):
        assert list(DataLoader([])) == []

    def test_fix_shuffle_if_there_is_something(self, seeded):
        dataset = []
        assert list(DataLoader(dataset, shuffle=len(dataset) > 0)) == []


@pitfall(
    "distributed-sampler-needs-set-epoch",
    docs=[("torch.utils.data.DistributedSampler", "the same ordering will be always used")],
    symptom="every epoch of distributed training sees the samples in the same order",
    priority=1,
)
class TestDistributedSamplerNeedsSetEpoch:
    """``DistributedSampler`` shuffles by its seed and epoch alone: without ``set_epoch`` each epoch has the same order.

    All processes must draw the same permutation, so the global generator is not asked. Call
    ``sampler.set_epoch(epoch)`` before each epoch, in every process.
    """

    def test_trap_the_next_epoch_is_the_same(self, seeded):
        sampler = DistributedSampler(range(100), num_replicas=2, rank=0)
        first = list(sampler)
        assert list(sampler) == first

    def test_trap_manual_seed_does_not_change_it(self, seeded):
        sampler = DistributedSampler(range(100), num_replicas=2, rank=0)
        first = list(sampler)
        torch.manual_seed(7)
        assert list(sampler) == first

    def test_fix_set_the_epoch(self):
        sampler = DistributedSampler(range(100), num_replicas=2, rank=0)
        first = list(sampler)
        sampler.set_epoch(1)
        assert list(sampler) != first


@pitfall(
    "distributed-sampler-pads",
    docs=[("torch.utils.data.DistributedSampler", "will add extra indices to make")],
    symptom="the accuracy over all processes is slightly off; some validation samples are counted twice",
)
class TestDistributedSamplerPads:
    """``DistributedSampler`` gives all processes equally many samples, and repeats the first ones for that.

    An evaluation counts those twice. With ``drop_last=True`` the tail is left out instead, so neither sees each sample
    once. Evaluate the last samples in one process, or drop the repeated ones from the gathered results.
    """

    def test_trap_the_first_sample_comes_again(self):
        how = {"num_replicas": 2, "shuffle": False}
        assert [list(DistributedSampler(range(5), rank=rank, **how)) for rank in (0, 1)] == [[0, 2, 4], [1, 3, 0]]

    def test_trap_drop_last_loses_the_tail(self):
        how = {"num_replicas": 2, "shuffle": False, "drop_last": True}
        assert [list(DistributedSampler(range(5), rank=rank, **how)) for rank in (0, 1)] == [[0, 2], [1, 3]]

    def test_fix_a_length_that_divides(self):
        how = {"num_replicas": 2, "shuffle": False}
        assert [list(DistributedSampler(range(4), rank=rank, **how)) for rank in (0, 1)] == [[0, 2], [1, 3]]


@pitfall(
    "distributed-sampler-wants-a-group",
    docs=[("torch.utils.data.DistributedSampler", "is retrieved from the current distributed group")],
    symptom="Default process group has not been initialized, from DistributedSampler(dataset)",
    error="Default process group has not been initialized",
    changed={"2.2": "DistributedSampler without a process group raises ValueError, not RuntimeError"},
)
class TestDistributedSamplerWantsAGroup:
    """``DistributedSampler`` asks the process group for its size and rank, and raises where there is none.

    Initialise the group first, or say ``num_replicas`` and ``rank``, which also serves to look at the parts in one
    process.
    """

    @since("2.2")
    def test_trap_without_a_group_value_error(self):
        with pytest.raises(ValueError, match="Default process group has not been initialized"):
            DistributedSampler(range(4))

    @before("2.2")
    def test_trap_without_a_group_runtime_error(self):
        with pytest.raises(RuntimeError, match="Default process group has not been initialized"):
            DistributedSampler(range(4))

    def test_fix_say_them(self):
        assert list(DistributedSampler(range(4), num_replicas=2, rank=1, shuffle=False)) == [1, 3]


class Evens(Sampler):
    """Hands its data on to the base class, as was once asked for."""

    def __init__(self, data):
        super().__init__(data)
        self.data = data

    def __iter__(self):
        return iter(range(0, len(self.data), 2))


class OwnEvens(Evens):
    """Hands nothing on."""

    def __init__(self, data):
        self.data = data


@pitfall(
    "sampler-base-takes-no-data",
    docs=[("torch.utils.data.Sampler", "Every Sampler subclass has to provide an")],
    symptom="TypeError: object.__init__() takes exactly one argument, from super().__init__(data_source) in a Sampler",
    error="object.__init__() takes exactly one argument",
    changed={
        "2.1": "super().__init__(data_source) in a Sampler warns",
        "2.10": "super().__init__(data_source) in a Sampler raises TypeError",
    },
)
class TestSamplerBaseTakesNoData:
    """A sampler keeps its data itself: handing it to ``Sampler.__init__`` warns from torch 2.1 on and raises from 2.10.

    Torch 2.0 demanded the argument. A subclass that doesn't call the initialiser of ``Sampler`` works with all.
    """

    @before("2.1")
    def test_trap_the_base_takes_it(self):
        assert list(Evens(range(5))) == [0, 2, 4]

    @since("2.1")
    @before("2.10")
    def test_trap_the_base_warns(self):
        with pytest.warns(UserWarning, match="`data_source` argument is not used and will be removed"):
            Evens(range(5))

    @since("2.10")
    def test_trap_the_base_refuses_it(self):
        with pytest.raises(TypeError, match=r"object.__init__\(\) takes exactly one argument"):
            Evens(torch.arange(5))

    def test_fix_keep_it_yourself(self, seeded):
        assert torch.cat(list(DataLoader(range(5), sampler=OwnEvens(range(5))))).tolist() == [0, 2, 4]


@pitfall(
    "sampler-without-len-has-a-loader-without",
    docs=[("torch.utils.data.Sampler", "returns the length of the returned iterators"), "torch.utils.data.DataLoader"],
    symptom="TypeError: object of type 'MySampler' has no len(), from len(loader) or a progress bar",
    error="has no len()",
    priority=3,
)
class TestSamplerWithoutLenHasALoaderWithout:
    """A sampler without ``__len__`` serves a loader well until somebody asks for ``len(loader)``.

    Progress bars and schedulers do. The length of a loader comes from its sampler, not from its dataset.
    """

    def test_trap_the_length_is_missing(self):
        with pytest.raises(TypeError, match=r"object of type 'OwnEvens' has no len\(\)"):
            len(DataLoader(range(5), sampler=OwnEvens(range(5))))

    def test_trap_the_length_is_that_of_the_sampler(self):
        assert len(DataLoader(range(5), sampler=[0, 1])) == 2

    def test_fix_iterating_needs_none(self, seeded):
        assert len(list(DataLoader(range(5), sampler=OwnEvens(range(5))))) == 3


@pitfall(
    "batch-sampler-gives-lists",
    docs=[("torch.utils.data.BatchSampler", "Wraps another sampler to yield a mini-batch"), "data"],
    symptom="TypeError: list indices must be integers or slices, not list",
)
class TestBatchSamplerGivesLists:
    """A ``BatchSampler`` yields lists of indices: it belongs to ``batch_sampler=``, which fetches one after another.

    As ``sampler=`` with ``batch_size=None`` each list is handed to the dataset whole: quick where the dataset takes
    lists, as a tensor or an array does, and an error where it doesn't.
    """

    def test_trap_as_a_sampler_the_dataset_gets_a_list(self, seeded):
        batches = BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False)
        with pytest.raises(TypeError, match="list indices must be integers or slices, not list"):
            list(DataLoader([5, 6, 7, 8, 9], sampler=batches, batch_size=None))

    def test_fix_as_a_batch_sampler(self, seeded):
        batches = BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False)
        loaded = DataLoader([5, 6, 7, 8, 9], batch_sampler=batches)
        assert [x.tolist() for x in loaded] == [[5, 6], [7, 8], [9]]

    def test_fix_a_tensor_takes_the_list(self, device, seeded):
        batches = BatchSampler(SequentialSampler(range(5)), batch_size=2, drop_last=False)
        loaded = DataLoader(torch.tensor([5, 6, 7, 8, 9], device=device), sampler=batches, batch_size=None)
        assert [x.tolist() for x in loaded] == [[5, 6], [7, 8], [9]]
