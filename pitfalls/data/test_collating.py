"""Batches: what `default_collate` makes of samples, what it refuses, and loading without batches."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, default_collate, default_convert

from pitfalls import pitfall

Point = namedtuple("Point", ["x", "y"])


@pitfall(
    "collate-wants-equal-sizes",
    docs=[("torch.utils.data.default_collate", "with an additional outer dimension - batch size"), "data"],
    symptom="RuntimeError: stack expects each tensor to be equal size, but got [3, 32] at entry 0",
    error="stack expects each tensor to be equal size | each element in list of batch should be of equal size",
    priority=1,
)
class TestCollateWantsEqualSizes:
    """A batch is made by stacking: all its samples must have the same shape, and lists the same length.

    Sentences, boxes and images of different sizes need a ``collate_fn`` that pads them, or that returns a list.
    """

    @pytest.mark.parametrize("row", [torch.zeros, np.zeros], ids=["tensors", "arrays"])
    def test_trap_other_shapes_are_refused(self, row):
        with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size, but got"):
            default_collate([row(2), row(3)])

    def test_trap_so_are_lists_of_other_lengths(self):
        with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
            default_collate([[1, 2], [3]])

    def test_trap_the_error_comes_with_the_first_bad_batch(self, seeded):
        batches = iter(DataLoader([torch.ones(2), torch.ones(2), torch.ones(2), torch.ones(3)], batch_size=2))
        assert next(batches).shape == (2, 2)
        with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
            next(batches)

    def test_fix_pad_in_collate_fn(self, seeded):
        def pad(samples):
            return torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)

        (batch,) = DataLoader([torch.tensor([1, 2]), torch.tensor([3])], batch_size=2, collate_fn=pad)
        assert batch.tolist() == [[1, 2], [3, 0]]

    def test_fix_keep_a_list(self, seeded):
        (batch,) = DataLoader([torch.tensor([1, 2]), torch.tensor([3])], batch_size=2, collate_fn=list)
        assert [x.tolist() for x in batch] == [[1, 2], [3]]


@pitfall(
    "collate-rejects-none",
    docs=[("torch.utils.data.default_collate", "The exact output type can be a"), "data"],
    symptom="default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found NoneType",
    error="batch must contain tensors, numpy arrays, numbers, dicts or lists | Could not infer dtype of NoneType",
)
class TestCollateRejectsNone:
    """``default_collate`` refuses None, objects, sets and arrays of strings: there is no tensor to make of them.

    A dataset that returns None for a sample that it can't read therefore fails. Filter in a ``collate_fn``, or better
    leave such samples out of the indices beforehand.
    """

    @pytest.mark.parametrize(
        "samples",
        [
            pytest.param([None, 1], id="None"),
            pytest.param([(1, None), (2, None)], id="None in a tuple"),
            pytest.param([object()], id="an object"),
            pytest.param([{1, 2}], id="a set"),
            pytest.param([np.array(["cat"])], id="an array of strings"),
        ],
    )
    def test_trap_it_is_refused(self, samples):
        with pytest.raises(TypeError, match="batch must contain tensors, numpy arrays, numbers, dicts or lists; found"):
            default_collate(samples)

    def test_trap_none_after_a_number_says_something_else(self):
        with pytest.raises(RuntimeError, match="Could not infer dtype of NoneType"):
            default_collate([1, None])

    def test_fix_leave_it_out(self, seeded):
        def without_none(samples):
            return default_collate([sample for sample in samples if sample is not None])

        assert [x.tolist() for x in DataLoader([1, None, 3], batch_size=3, collate_fn=without_none)] == [[1, 3]]


@pitfall(
    "collate-transposes-lists",
    docs=[("torch.utils.data.default_collate", "`Sequence[V1_i, V2_i, ...]` -> `Sequence["), "data"],
    symptom="my label is a list of 3 numbers, and the batch is a list of 3 tensors, not one of shape (batch, 3)",
    priority=1,
)
class TestCollateTransposesLists:
    """A sample that is a list or tuple is a row of fields: its batch is a list with one tensor for each position.

    So ``[1, 2, 3]`` as a label becomes three tensors of the length of the batch. Return ``torch.tensor([1, 2, 3])`` or
    an array to have it stacked. Strings and bytes stay as they are, also in there.
    """

    @pytest.mark.parametrize("kind", [list, tuple], ids=["lists", "tuples"])
    def test_trap_one_tensor_for_each_position(self, kind):
        batch = default_collate([kind([1, 2, 3]), kind([4, 5, 6])])
        assert [x.tolist() for x in batch] == [[1, 4], [2, 5], [3, 6]]

    def test_trap_strings_stay(self):
        numbers, names = default_collate([(1, "cat"), (2, "dog")])
        assert numbers.tolist() == [1, 2]
        assert list(names) == ["cat", "dog"]

    @pytest.mark.parametrize("make", [torch.tensor, np.array], ids=["tensors", "arrays"])
    def test_fix_return_a_tensor_or_an_array(self, make):
        assert default_collate([make([1, 2, 3]), make([4, 5, 6])]).tolist() == [[1, 2, 3], [4, 5, 6]]


@pitfall(
    "collate-makes-float64-of-floats",
    docs=[("torch.utils.data.default_collate", "* `float` -> :class:`torch.Tensor`"), "data"],
    symptom="expected m1 and m2 to have the same dtype, but got double != float, with targets from a DataLoader",
    priority=1,
)
class TestCollateMakesFloat64OfFloats:
    """Python floats are collated to float64, not to the default dtype; integers to int64; arrays keep their dtype.

    Targets that are Python floats thus don't fit a float32 model. Which it is is decided by the first sample of the
    batch alone. Return ``torch.tensor(y, dtype=torch.float32)``, or convert the batch.
    """

    @pytest.mark.parametrize(
        ("samples", "dtype"),
        [
            pytest.param([1.0, 2.0], torch.float64, id="floats"),
            pytest.param([1, 2], torch.int64, id="ints"),
            pytest.param([True, False], torch.bool, id="bools"),
            pytest.param([np.float64(1), np.float64(2)], torch.float64, id="float64 scalars"),
            pytest.param([np.ones(2), np.ones(2)], torch.float64, id="float64 arrays"),
        ],
    )
    def test_trap_the_dtype_of_a_batch(self, samples, dtype):
        assert default_collate(samples).dtype == dtype

    def test_trap_the_first_sample_decides(self):
        assert default_collate([1.5, 2]).dtype == torch.float64
        assert default_collate([2, 1.5]).dtype == torch.float32

    @pytest.mark.parametrize(
        "make", [lambda x: torch.tensor(x, dtype=torch.float32), np.float32], ids=["tensor", "np.float32"]
    )
    def test_fix_return_float32(self, make):
        assert default_collate([make(1.5), make(2.0)]).dtype == torch.float32


@pitfall(
    "collate-takes-the-keys-of-the-first",
    docs=["torch.utils.data.default_collate", "data"],
    symptom="a field of some samples is missing in the batch; KeyError in collate.py",
)
class TestCollateTakesTheKeysOfTheFirst:
    """Dictionaries and named tuples keep their form in a batch, with the keys of its first sample.

    Fields that only later samples have are dropped without a word; one that a later sample lacks raises KeyError. Give
    all samples the same keys.
    """

    def test_trap_further_keys_are_dropped(self):
        assert list(default_collate([{"x": 1}, {"x": 2, "y": 3}])) == ["x"]

    def test_trap_a_missing_key_raises(self):
        with pytest.raises(KeyError, match="y"):
            default_collate([{"x": 1, "y": 3}, {"x": 2}])

    def test_fix_the_same_keys_in_all(self):
        batch = default_collate([{"x": 1, "y": 3}, {"x": 2, "y": 4}])
        assert batch["x"].tolist() == [1, 2]
        assert batch["y"].tolist() == [3, 4]

    def test_fix_named_tuples_too(self):
        batch = default_collate([Point(1, 3), Point(2, 4)])
        assert batch.x.tolist() == [1, 2]
        assert batch.y.tolist() == [3, 4]


@pitfall(
    "batch-size-none-does-not-batch",
    docs=[("torch.utils.data.default_convert", "If the input is not a NumPy array,"), "data"],
    symptom="with batch_size=None the loader gives ints and floats instead of tensors, without a batch dimension",
)
class TestBatchSizeNoneDoesNotBatch:
    """``batch_size=None`` hands the samples through one by one; only NumPy arrays in them become tensors.

    ``batch_size=1``, the default, adds a dimension of size one and makes tensors of numbers. None is for datasets that
    make their batches themselves, and doesn't go with ``drop_last``.
    """

    def test_trap_numbers_stay_numbers(self, seeded):
        assert list(DataLoader([7, 0.5, "cat", None], batch_size=None)) == [7, 0.5, "cat", None]

    def test_trap_default_convert_makes_tensors_of_arrays_only(self):
        number, array = default_convert([7, np.array([8, 9])])
        assert number == 7
        assert array.tolist() == [8, 9]

    def test_trap_drop_last_is_refused(self):
        with pytest.raises(ValueError, match="mutually exclusive with drop_last"):
            DataLoader([1, 2], batch_size=None, drop_last=True)

    def test_fix_batches_of_one(self, seeded):
        assert [x.tolist() for x in DataLoader([7, 8], batch_size=1)] == [[7], [8]]


@pitfall(
    "last-batch-is-smaller",
    docs=[("torch.utils.data.DataLoader", "to drop the last incomplete batch"), "data"],
    symptom="a size mismatch, or an error of batch norm, in the last step of an epoch only",
    priority=1,
)
class TestLastBatchIsSmaller:
    """The last batch holds what is left over, unless ``drop_last=True`` leaves it out.

    A shape that is written as the batch size breaks there, batch norm refuses a batch of one, and a mean over batch
    losses weighs the last samples too much. Take sizes from the batch; drop it in training, never in evaluation.
    """

    def test_trap_what_is_left_over(self, seeded):
        assert [len(x) for x in DataLoader(range(5), batch_size=2)] == [2, 2, 1]

    def test_trap_dropping_loses_samples(self, seeded):
        assert torch.cat(list(DataLoader(range(5), batch_size=2, drop_last=True))).tolist() == [0, 1, 2, 3]

    def test_trap_a_dataset_below_the_batch_size_gives_nothing(self, seeded):
        assert list(DataLoader(range(5), batch_size=8, drop_last=True)) == []

    def test_fix_the_length_counts_batches(self):
        assert len(DataLoader(range(5), batch_size=2)) == 3
        assert len(DataLoader(range(5), batch_size=2, drop_last=True)) == 2
