"""Iterable datasets: how workers repeat them, what their length means, and what they can't be combined with."""

import pytest
import torch
from torch.utils.data import ChainDataset, ConcatDataset, DataLoader, IterableDataset, get_worker_info
from torch.utils.data.datapipes.iter import IterableWrapper

from pitfalls import pitfall

# Python 3.12 and later warn of every fork beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

TWO_WORKERS = {"collate_fn": list, "num_workers": 2, "multiprocessing_context": "fork", "timeout": 60}


class Stream(IterableDataset):
    """Gives 0, 1, 2 and no more."""

    def __iter__(self):
        return iter(range(3))


class SharedStream(Stream):
    """The same, where each worker gives its share."""

    def __iter__(self):
        info = get_worker_info()
        return iter(range(3)) if info is None else iter(range(info.id, 3, info.num_workers))


class ShortStream(Stream):
    """Says that it is shorter than it is."""

    def __len__(self):
        return 2


@pitfall(
    "iterable-dataset-repeats-per-worker",
    docs=[
        ("torch.utils.data.IterableDataset", "to avoid having duplicate data returned from the"),
        "torch.utils.data.IterDataPipe",
    ],
    symptom="with num_workers=4 an epoch of my IterableDataset is four times as long, each sample comes four times",
    priority=1,
)
class TestIterableDatasetRepeatsPerWorker:
    """Each worker iterates its own copy of an ``IterableDataset``: without a split, every sample comes once per worker.

    Only map-style datasets have their indices dealt out. Split by ``get_worker_info()`` in ``__iter__``, as here, or in
    ``worker_init_fn``; in distributed training by rank as well.
    """

    @pytest.mark.parametrize("make", [Stream, lambda: IterableWrapper(range(3))], ids=["dataset", "data pipe"])
    def test_trap_each_worker_gives_all(self, seeded, make):
        assert list(DataLoader(make(), batch_size=3, **TWO_WORKERS)) == [[0, 1, 2], [0, 1, 2]]

    def test_fix_split_by_worker(self, seeded):
        assert list(DataLoader(SharedStream(), batch_size=3, **TWO_WORKERS)) == [[0, 2], [1]]


@pitfall(
    "iterable-drop-last-is-per-worker",
    docs=["data", ("torch.utils.data.DataLoader", "more than one batch worth of samples")],
    symptom="drop_last=True drops more than one batch; small batches come in the middle of an epoch",
    priority=3,
)
class TestIterableDropLastIsPerWorker:
    """Each worker makes batches of its own from an ``IterableDataset``, so each has a smaller last one to drop.

    With many workers and large batches ``drop_last=True`` loses a lot. Have the stream make its batches, or take fewer
    workers.
    """

    def test_trap_every_worker_drops(self, seeded):
        assert list(DataLoader(SharedStream(), batch_size=2, drop_last=True, **TWO_WORKERS)) == [[0, 2]]

    def test_fix_one_process_drops_once(self, seeded):
        batches = DataLoader(SharedStream(), batch_size=1, drop_last=True)
        assert [x.tolist() for x in batches] == [[0], [1], [2]]


@pitfall(
    "iterable-length-is-an-estimate",
    docs=[("torch.utils.data.DataLoader", "it instead returns an estimate based on"), "data"],
    symptom="UserWarning: Length of IterableDataset was reported to be 2, but 3 samples have been fetched",
    error="was reported to be 3 (when accessing len(dataloader)), but 4 samples have been fetched",
)
class TestIterableLengthIsAnEstimate:
    """The length of a loader on an ``IterableDataset`` is ``len(dataset) / batch_size``, true or not.

    A stream that has no ``__len__`` has a loader without. One that gives more than it said is not cut off: the loader
    goes on, and warns if it was asked for its length. Count what comes.
    """

    def test_trap_without_len_there_is_none(self):
        with pytest.raises(TypeError, match=r"object of type 'Stream' has no len\(\)"):
            len(DataLoader(Stream()))

    def test_trap_more_samples_than_said_come_with_a_warning(self, seeded):
        loader = DataLoader(ShortStream())
        assert len(loader) == 2
        with pytest.warns(UserWarning, match=r"Length of IterableDataset .* was reported to be 2"):
            list(loader)

    def test_fix_count_what_comes(self, seeded):
        assert sum(len(batch) for batch in DataLoader(ShortStream(), batch_size=2)) == 3


@pitfall(
    "iterable-dataset-is-not-shuffled",
    docs=["data", "torch.utils.data.IterableDataset", "torch.utils.data.DataLoader"],
    symptom="DataLoader with IterableDataset: expected unspecified shuffle option, but got shuffle=True",
    error="DataLoader with IterableDataset: expected unspecified sampler option",
)
class TestIterableDatasetIsNotShuffled:
    """A loader can't shuffle an ``IterableDataset`` or sample from it: the stream alone decides the order.

    ``shuffle=True``, ``sampler`` and ``batch_sampler`` are refused. Shuffle in ``__iter__``: the list of files, and a
    buffer of samples. A stream has no items to index either.
    """

    OPTIONS = [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}]

    @pytest.mark.parametrize("option", OPTIONS, ids=["shuffle", "sampler", "batch_sampler"])
    def test_trap_the_option_is_refused(self, option):
        with pytest.raises(ValueError, match="DataLoader with IterableDataset: expected unspecified"):
            DataLoader(Stream(), **option)

    def test_trap_it_has_no_items(self):
        with pytest.raises(NotImplementedError, match=r"^$|__getitem__"):
            Stream()[0]

    def test_fix_shuffle_a_list_of_it(self, seeded):
        assert sorted(x.item() for x in DataLoader(list(Stream()), shuffle=True)) == [0, 1, 2]


@pitfall(
    "streams-are-chained-maps-concatenated",
    docs=[("torch.utils.data.ChainDataset", "Dataset for chaining multiple"), "torch.utils.data.ConcatDataset"],
    symptom="AssertionError: ConcatDataset does not support IterableDataset",
    error="ConcatDataset does not support IterableDataset | ChainDataset only supports IterableDataset",
    priority=3,
)
class TestStreamsAreChainedMapsConcatenated:
    """``ConcatDataset`` joins datasets that are indexed, ``ChainDataset`` those that are iterated; neither takes both.

    The chain finds a wrong part only as it gets there. ``a + b`` chooses the right one of the two.
    """

    def test_trap_a_stream_is_not_concatenated(self):
        with pytest.raises(AssertionError, match="ConcatDataset does not support IterableDataset"):
            ConcatDataset([Stream()])

    def test_trap_a_list_is_not_chained(self):
        with pytest.raises(AssertionError, match="ChainDataset only supports IterableDataset"):
            list(ChainDataset([Stream(), [7, 8]]))

    def test_fix_chain_streams(self, seeded):
        assert torch.cat(list(DataLoader(Stream() + Stream()))).tolist() == [0, 1, 2, 0, 1, 2]
