"""A torch that loads data otherwise: without workers, into ragged or filled batches, from loaders that are lists."""

import itertools

import numpy as np
import torch
from torch.utils import data
from torch.utils.data._utils import collate

from tests.counterfactuals import counterfactual


@counterfactual("numpy-workers-are-seeded-apart")
def workers_leave_numpy_unseeded(patch):
    patch.setattr(np.random, "seed", lambda *seed: None)


@counterfactual("worker-has-its-own-dataset", "iterable-dataset-repeats-per-worker")
def all_is_loaded_in_the_main_process(patch):
    init = data.DataLoader.__init__

    def alone(self, dataset, **how):
        for name in ("num_workers", "multiprocessing_context", "timeout"):
            how.pop(name, None)
        init(self, dataset, **how)

    patch.setattr(data.DataLoader, "__init__", alone)


@counterfactual("collate-wants-equal-sizes")
def other_sizes_stay_a_list(patch):
    whole = collate.collate

    def lenient(batch, **how):
        try:
            return whole(batch, **how)
        except RuntimeError:
            return batch

    patch.setattr(collate, "collate", lenient)


@counterfactual("collate-transposes-lists")
def lists_are_stacked_and_strings_numbered(patch):
    whole = collate.collate

    def stacked(batch, **how):
        if isinstance(batch[0], str):
            return torch.arange(len(batch))
        if isinstance(batch[0], (list, tuple)) and not isinstance(batch[0][-1], str):
            return torch.tensor([list(sample) for sample in batch])
        return whole(batch, **how)

    patch.setattr(collate, "collate", stacked)


@counterfactual("collate-makes-float64-of-floats")
def every_batch_is_float16(patch):
    whole = collate.collate

    def narrow(batch, **how):
        made = whole(batch, **how)
        return made.to(torch.float16) if isinstance(made, torch.Tensor) else made

    patch.setattr(collate, "collate", narrow)


@counterfactual("last-batch-is-smaller")
def batches_are_filled_up(patch):
    def full(self):
        indices = list(self.sampler)
        endless = itertools.cycle(indices)
        for _ in range(0, len(indices), self.batch_size):
            yield list(itertools.islice(endless, self.batch_size))

    patch.setattr(data.BatchSampler, "__iter__", full)


@counterfactual("loader-is-not-indexable")
def loaders_are_sequences_and_iterators(patch):
    patch.setattr(data.DataLoader, "__getitem__", lambda self, at: list(self)[at], raising=False)
    patch.setattr(data.DataLoader, "__next__", lambda self: next(iter(self)), raising=False)


@counterfactual("next-iter-starts-over")
def a_loader_has_one_iterator_that_never_ends(patch):
    begin = data.DataLoader.__iter__

    def go_on(self):
        if not hasattr(self, "kept"):
            self.kept = itertools.cycle(begin(self))
        return self.kept

    patch.setattr(data.DataLoader, "__iter__", go_on)


@counterfactual("weighted-sampler-is-per-sample")
def every_sample_comes_once(patch):
    patch.setattr(data.WeightedRandomSampler, "__iter__", lambda self: iter(range(self.num_samples)))


@counterfactual("distributed-sampler-needs-set-epoch")
def the_global_generator_shuffles(patch):
    patch.setattr(
        data.DistributedSampler,
        "__iter__",
        lambda self: iter(torch.randperm(len(self.dataset)).tolist()[self.rank :: 2]),
    )
