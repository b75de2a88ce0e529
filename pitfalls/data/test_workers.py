"""Worker processes of a `DataLoader`: what each of them copies, what comes back, and which numbers they draw."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from pitfalls import pitfall

# Python 3.12 and later warn of every fork beside threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

TWO_WORKERS = {"batch_size": None, "num_workers": 2, "multiprocessing_context": "fork", "timeout": 60}
ONE_WORKER = {"batch_size": None, "num_workers": 1, "multiprocessing_context": "fork", "timeout": 60}


class Augmented(Dataset):
    """Each item is one number of torch, one of Python and one of NumPy's global generator."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.rand(()).item(), random.random(), np.random.rand()


@pitfall(
    "numpy-workers-are-seeded-apart",
    docs=["notes/faq", "data", "torch.utils.data.DataLoader", "notes/randomness#dataloader"],
    contradicts={"notes/faq": "forked workers return the same NumPy and Python numbers unless worker_init_fn seeds"},
    symptom="do all workers draw the same NumPy numbers? my np.random.seed does not reach the workers",
    priority=1,
)
class TestNumpyWorkersAreSeededApart:
    """Workers draw different numbers from torch, ``random`` and ``np.random``; torch's seed alone decides which.

    Forked workers once repeated NumPy's numbers; by now each seeds all three global generators from the base seed that
    the parent draws from torch, and no ``worker_init_fn`` is needed. ``torch.manual_seed`` makes the numbers repeat.
    """

    def test_trap_no_generator_repeats_in_the_other_worker(self, seeded):
        loader = DataLoader(Augmented(), **TWO_WORKERS)
        assert [len(set(numbers)) for numbers in zip(*loader, strict=True)] == [2, 2, 2]

    def test_fix_the_seed_of_torch_repeats_them_all(self, seeded):
        loader = DataLoader(Augmented(), **ONE_WORKER)
        first = list(loader)
        torch.manual_seed(0)
        assert list(loader) == first


class OwnGenerator(Dataset):
    """Each item is one number of a NumPy generator that the dataset holds."""

    def __init__(self):
        self.generator = np.random.default_rng(0)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.generator.random()


class GeneratorOfTheWorker(OwnGenerator):
    """Makes its generator in the worker, from the seed that torch gave to it."""

    def __getitem__(self, index):
        return np.random.default_rng(get_worker_info().seed).random()


@pitfall(
    "generator-object-is-copied-to-workers",
    docs=["data", ("torch.utils.data.get_worker_info", "the random seed set for the current worker")],
    symptom="augmentations are the same in all workers and in every epoch",
)
class TestGeneratorObjectIsCopiedToWorkers:
    """A generator that the dataset holds is copied: each worker draws the same numbers, and again in each epoch.

    The seeding of workers covers global generators, not objects such as ``np.random.default_rng()``. Make the generator
    in the worker, from ``get_worker_info().seed``.
    """

    def test_trap_both_workers_draw_the_same(self, seeded):
        assert len(set(DataLoader(OwnGenerator(), **TWO_WORKERS))) == 1

    def test_trap_the_next_epoch_draws_it_again(self, seeded):
        loader = DataLoader(OwnGenerator(), **ONE_WORKER)
        first = list(loader)
        assert list(loader) == first

    def test_fix_seed_it_in_the_worker(self, seeded):
        assert len(set(DataLoader(GeneratorOfTheWorker(), **TWO_WORKERS))) == 2


class Counting(Dataset):
    """Each item is the value of the dataset, and how often it was asked so far."""

    def __init__(self):
        self.value, self.asked = "old", 0

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.asked += 1
        return self.value, self.asked


@pitfall(
    "worker-has-its-own-dataset",
    docs=["data", ("torch.utils.data.get_worker_info", "in the main process")],
    symptom="the attribute that __getitem__ sets is unchanged after the epoch; my cache stays empty",
    priority=1,
)
class TestWorkerHasItsOwnDataset:
    """A worker has a copy of the dataset: what ``__getitem__`` changes in it never reaches the main process.

    Counters, caches and lists that workers fill are lost with them. Return what you need as part of the sample, load
    without workers, or fill the cache before.
    """

    def test_trap_the_parent_sees_no_change(self, seeded):
        dataset = Counting()
        assert [dataset.asked for _ in DataLoader(dataset, **ONE_WORKER)] == [0]

    def test_fix_return_it_with_the_sample(self, seeded):
        assert list(DataLoader(Counting(), **ONE_WORKER)) == [["old", 1]]

    def test_fix_without_workers_it_is_one_object(self, seeded):
        dataset = Counting()
        assert [dataset.asked for _ in DataLoader(dataset, batch_size=None)] == [1]


@pitfall(
    "workers-start-anew-each-epoch",
    docs=["data", ("torch.utils.data.DataLoader", "maintain the workers `Dataset` instances alive")],
    symptom="caching in the dataset has no effect from the second epoch on; each epoch begins with a pause",
)
class TestWorkersStartAnewEachEpoch:
    """Each iteration of a ``DataLoader`` starts new workers, whose datasets know nothing of the epoch before.

    What a worker cached is gone, and files are opened again. ``persistent_workers=True`` keeps the workers and their
    datasets.
    """

    def test_trap_the_second_epoch_starts_from_the_parents_copy(self, seeded):
        loader = DataLoader(Counting(), **ONE_WORKER)
        assert [asked for epoch in range(2) for _, asked in loader] == [1, 1]

    def test_fix_persistent_workers_remember(self, seeded):
        loader = DataLoader(Counting(), **ONE_WORKER, persistent_workers=True)
        assert [asked for epoch in range(2) for _, asked in loader] == [1, 2]


@pitfall(
    "persistent-workers-keep-the-old-dataset",
    docs=["data", ("torch.utils.data.DataLoader", "will not shut down the worker processes")],
    symptom="I changed an attribute of the dataset between epochs, and the samples are as before",
)
class TestPersistentWorkersKeepTheOldDataset:
    """Persistent workers go on with the dataset that they were started with, whatever the parent changes later.

    A curriculum, a new crop size or an epoch number that is set on the dataset reaches only workers that are started
    after it. Do without ``persistent_workers`` there, or make a new loader.
    """

    def test_trap_the_change_is_not_seen(self, seeded):
        dataset = Counting()
        loader = DataLoader(dataset, **ONE_WORKER, persistent_workers=True)
        list(loader)
        dataset.value = "new"
        assert [value for value, _ in loader] == ["old"]

    def test_fix_new_workers_see_it(self, seeded):
        dataset = Counting()
        loader = DataLoader(dataset, **ONE_WORKER)
        list(loader)
        dataset.value = "new"
        assert [value for value, _ in loader] == ["new"]


class Described(Dataset):
    """Each item says what the worker knows of itself."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        info = get_worker_info()
        return info.id, info.num_workers, info.dataset is self, info.seed == torch.initial_seed()


class Seeds(Described):
    """Each item is the seed of the worker."""

    def __getitem__(self, index):
        return get_worker_info().seed


@pitfall(
    "worker-info-is-none-in-the-main-process",
    docs=[("torch.utils.data.get_worker_info", "When called in the main process, this returns")],
    symptom="AttributeError: 'NoneType' object has no attribute 'id', with num_workers=0",
    error="'NoneType' object has no attribute 'id'",
)
class TestWorkerInfoIsNoneInTheMainProcess:
    """``get_worker_info()`` is None unless a worker calls it, so also in a dataset that is loaded without workers.

    Handle None as the only worker. In a worker it knows its ``id``, ``num_workers``, its ``seed``, which is the base
    seed plus the id, and its copy of the dataset.
    """

    def test_trap_it_is_none(self):
        assert get_worker_info() is None

    def test_trap_without_workers_the_dataset_gets_none(self, seeded):
        with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'id'"):
            list(DataLoader(Described()))

    def test_fix_in_a_worker_it_describes_that(self, seeded):
        loader = DataLoader(Described(), **TWO_WORKERS)
        assert list(loader) == [[0, 2, True, True], [1, 2, True, True]]

    def test_trap_seeds_differ_by_the_id(self, seeded):
        seeds = torch.tensor(list(DataLoader(Seeds(), **TWO_WORKERS)))
        assert seeds.diff().tolist() == [1]
