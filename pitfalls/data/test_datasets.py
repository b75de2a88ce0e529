"""Datasets: what they must offer, how they are split and joined, and what `TensorDataset` and `Subset` check."""

import itertools

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split
from torch.utils.data.datapipes.map import SequenceWrapper

from pitfalls import before, observe, pitfall, since


class Squares(Dataset):
    """A dataset that does not say how long it is."""

    def __getitem__(self, index):
        return index * index


@pitfall(
    "dataset-without-len-needs-a-sampler",
    docs=[("torch.utils.data.Dataset", "which is expected to return the size"), "torch.utils.data.DataLoader"],
    symptom="TypeError: object of type 'MyDataset' has no len()",
    error="object of type 'Dataset' has no len()",
)
class TestDatasetWithoutLenNeedsASampler:
    """``Dataset`` has no ``__len__``: without one of your own, a loader with the default sampler fails.

    It counts up to ``len(dataset)``, or shuffles so many. With a sampler of your own the dataset's length isn't asked
    for; for a stream write an ``IterableDataset``.
    """

    def test_trap_in_order_it_fails_as_it_is_iterated(self, seeded):
        loader = DataLoader(Squares())
        with pytest.raises(TypeError, match=r"object of type 'Squares' has no len\(\)"):
            list(loader)

    def test_trap_shuffled_it_fails_at_once(self):
        with pytest.raises(TypeError, match=r"object of type 'Squares' has no len\(\)"):
            DataLoader(Squares(), shuffle=True)

    def test_fix_bring_a_sampler(self, seeded):
        assert torch.cat(list(DataLoader(Squares(), sampler=range(4)))).tolist() == [0, 1, 4, 9]
        observe(plain_iteration=list(itertools.islice(Squares(), 3)))  # Python's protocol: until IndexError


@pitfall(
    "default-sampler-yields-integers",
    docs=[("torch.utils.data.Dataset", "sampler that yields integral indices"), "torch.utils.data.MapDataPipe"],
    symptom="KeyError: 0 from a dataset that has names as keys",
)
class TestDefaultSamplerYieldsIntegers:
    """A ``DataLoader`` asks for the keys 0, 1, 2 and so on; a dataset with other keys needs a sampler of them.

    A dictionary has a length and items, so it is accepted until the first key is looked up. Any iterable of keys will
    do as ``sampler=``.
    """

    @pytest.mark.parametrize("make", [dict, SequenceWrapper], ids=["dict", "MapDataPipe"])
    def test_trap_names_are_not_found(self, seeded, make):
        with pytest.raises(KeyError, match="0"):
            list(DataLoader(make({"cat": 7, "dog": 8})))

    def test_fix_give_the_keys(self, seeded):
        names = ["dog", "cat"]
        assert torch.cat(list(DataLoader({"cat": 7, "dog": 8}, sampler=names))).tolist() == [8, 7]


@pitfall(
    "tensor-dataset-checks-lengths",
    docs=[("torch.utils.data.TensorDataset", "have the same size of the first dimension")],
    symptom="AssertionError: Size mismatch between tensors",
    error="Size mismatch between tensors",
    changed={"2.10": "tensors of different lengths are accepted, by mistake", "2.11": "they are refused again"},
)
class TestTensorDatasetChecksLengths:
    """``TensorDataset`` wants tensors with the same first dimension; each sample is a tuple, also of one tensor.

    Only torch 2.10 accepts different lengths. It applies no transform: write a small ``Dataset`` for that.
    """

    @before("2.10")
    def test_trap_other_lengths_are_refused(self):
        with pytest.raises(AssertionError, match="Size mismatch between tensors"):
            TensorDataset(torch.zeros(2, 5), torch.zeros(3))

    @since("2.10")
    @before("2.11")
    def test_trap_other_lengths_are_accepted(self):
        assert len(TensorDataset(torch.zeros(2, 5), torch.zeros(3))) == 2

    @since("2.11")
    def test_trap_other_lengths_are_refused_again(self):
        with pytest.raises(AssertionError, match="Size mismatch between tensors"):
            TensorDataset(torch.zeros(2, 5), torch.zeros(3))

    def test_trap_a_sample_is_a_tuple(self, device):
        assert TensorDataset(torch.tensor([7, 8], device=device))[1] == (8,)

    def test_fix_the_same_length(self, device, seeded):
        dataset = TensorDataset(torch.tensor([7, 8], device=device), torch.tensor([0, 1], device=device))
        ((inputs, labels),) = DataLoader(dataset, batch_size=2)
        assert inputs.tolist() == [7, 8]
        assert labels.tolist() == [0, 1]


class Negated(Subset):
    """Overrides `__getitem__` alone."""

    def __getitem__(self, index):
        return -super().__getitem__(index)


class NegatedBatches(Negated):
    """Overrides both."""

    def __getitems__(self, indices):
        return [self[index] for index in indices]


@pitfall(
    "subset-subclass-needs-getitems",
    docs=["torch.utils.data.Subset", ("torch.utils.data.Dataset", "optionally implement :meth:`__getitems__`")],
    symptom="the transform in my subclass of Subset is not applied by the DataLoader",
    error="overrides __getitem__ but not __getitems__",
    changed={
        "2.1": "a loader fetches batches from a Subset by __getitems__, past an overridden __getitem__",
        "2.11": "a Subset subclass that overrides __getitem__ alone is refused",
    },
)
class TestSubsetSubclassNeedsGetitems:
    """A loader fetches whole batches by ``__getitems__`` where a dataset has it, and ``Subset`` has one since 2.1.

    A subclass that overrides ``__getitem__`` alone was passed by in silence, transform and all, until 2.11 refused it.
    Override both, or wrap the subset in a dataset of your own.
    """

    @before("2.1")
    def test_trap_only_then_was_getitem_enough(self, seeded):
        assert [x.tolist() for x in DataLoader(Negated([7, 8, 9], [1, 2]), batch_size=2)] == [[-8, -9]]

    @since("2.1")
    @before("2.11")
    def test_trap_the_loader_passes_it_by(self, seeded):
        assert [x.tolist() for x in DataLoader(Negated([7, 8, 9], [1, 2]), batch_size=2)] == [[8, 9]]

    @since("2.11")
    def test_trap_it_is_refused(self):
        with pytest.raises(NotImplementedError, match="Negated overrides __getitem__ but not __getitems__"):
            Negated([7, 8, 9], [1, 2])

    def test_fix_override_both(self, seeded):
        assert [x.tolist() for x in DataLoader(NegatedBatches([7, 8, 9], [1, 2]), batch_size=2)] == [[-8, -9]]


class Labelled(Dataset):
    """Has an attribute besides its items."""

    def __init__(self):
        self.transform = str

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.transform(index)


@pitfall(
    "splits-share-their-dataset",
    docs=["torch.utils.data.random_split", ("torch.utils.data.Subset", "Subset of a dataset at specified indices")],
    symptom="the validation set is augmented too; AttributeError: 'Subset' object has no attribute 'classes'",
    error="'Subset' object has no attribute",
)
class TestSplitsShareTheirDataset:
    """The parts of ``random_split`` are ``Subset`` objects on one dataset: a transform that is set on it serves all.

    Attributes of the dataset are found at ``part.dataset``, not at the part. For another transform, make two datasets
    and a ``Subset`` of each with the indices of the split.
    """

    def test_trap_a_transform_for_one_is_for_both(self, seeded):
        train, validation = random_split(Labelled(), [2, 2])
        train.dataset.transform = float
        assert isinstance(validation[0], float)

    def test_trap_attributes_are_not_passed_on(self, seeded):
        train, _ = random_split(Labelled(), [2, 2])
        with pytest.raises(AttributeError, match="'Subset' object has no attribute 'transform'"):
            _ = train.transform

    def test_fix_two_datasets(self, seeded):
        train, validation = random_split(range(4), [2, 2])
        augmented, plain = Subset(Labelled(), train.indices), Subset(Labelled(), validation.indices)
        augmented.dataset.transform = float
        assert isinstance(plain[0], str)


@pitfall(
    "split-lengths-must-add-up",
    docs=[("torch.utils.data.random_split", "a list of fractions that sum up to"), "torch.utils.data.Subset"],
    symptom="ValueError: Sum of input lengths does not equal the length of the input dataset!",
    error="Sum of input lengths does not equal the length of the input dataset",
)
class TestSplitLengthsMustAddUp:
    """``random_split`` wants lengths that add up to that of the dataset, or fractions that add up to one.

    ``int(0.8 * n)`` and ``int(0.2 * n)`` often lose one. Of fractions, what is left over goes to the first parts, and a
    small part may become empty, with a warning. Without ``generator=`` the split differs in each run.
    """

    @pytest.mark.parametrize("lengths", [[8, 2], [2, 2], [0.5, 0.2]], ids=str)
    def test_trap_a_sum_that_is_off(self, seeded, lengths):
        with pytest.raises(ValueError, match="Sum of input lengths does not equal the length of the input dataset"):
            random_split(range(5), lengths)

    def test_trap_a_small_part_is_empty(self, seeded):
        with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
            parts = random_split(range(2), [0.9, 0.1])
        assert [len(part) for part in parts] == [2, 0]

    def test_trap_each_split_is_another(self, seeded):
        first, _ = random_split(range(100), [50, 50])
        second, _ = random_split(range(100), [50, 50])
        assert first.indices != second.indices

    def test_fix_fractions_fill_up_the_first_parts(self, seeded):
        assert [len(part) for part in random_split(range(11), [1 / 3, 1 / 3, 1 / 3])] == [4, 4, 3]

    def test_fix_a_generator_repeats_the_split(self):
        first, _ = random_split(range(100), [0.5, 0.5], generator=torch.Generator().manual_seed(42))
        second, _ = random_split(range(100), [0.5, 0.5], generator=torch.Generator().manual_seed(42))
        assert first.indices == second.indices


@pitfall(
    "concat-dataset-fixes-its-lengths",
    docs=[("torch.utils.data.ConcatDataset", "Dataset as a concatenation of multiple datasets"), "data"],
    symptom="samples that I added to a dataset are missing from the ConcatDataset of it",
    priority=3,
)
class TestConcatDatasetFixesItsLengths:
    """``ConcatDataset`` takes the lengths of its datasets once: what is added to one later is not in it.

    A loader, in contrast, asks for the length as it is iterated. Make the concatenation anew after a change.
    """

    def test_trap_a_later_sample_is_missing(self):
        first, second = [1], [5]
        joined = ConcatDataset([first, second])
        first.append(2)
        assert len(joined) == 2
        assert joined[1] == 5

    def test_fix_concatenate_afterwards(self):
        first, second = [1], [5]
        first.append(2)
        joined = ConcatDataset([first, second])
        assert [joined[i] for i in range(3)] == [1, 2, 5]
