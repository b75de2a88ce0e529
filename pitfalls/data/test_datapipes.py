"""Data pipes: iterators that end each other, items that are shared, and maps that become streams."""

import warnings

import pytest
from torch.utils.data import IterDataPipe
from torch.utils.data.datapipes.iter import IterableWrapper, grouping
from torch.utils.data.datapipes.map import SequenceWrapper

from pitfalls import observe, pitfall


@pitfall(
    "data-pipe-has-one-iterator",
    docs=[("torch.utils.data.IterDataPipe", "will invalidate the first one")],
    symptom="RuntimeError: This iterator has been invalidated because another iterator has been created",
    error="This iterator has been invalidated because another iterator has been created",
    changed={"2.10": "torch.utils.data.datapipes.iter.grouping no longer has SHARDING_PRIORITIES"},
    priority=3,
)
class TestDataPipeHasOneIterator:
    """A second iterator on an ``IterDataPipe`` ends the first one, at the latest as both are used.

    Nested loops on one pipe, or a look at its first item in the middle of an epoch, break it. ``fork`` makes
    independent branches.
    """

    def test_trap_the_first_iterator_is_invalid(self):
        pipe = IterableWrapper([7, 8, 9])
        with pytest.raises(RuntimeError, match="This iterator has been invalidated because another iterator"):
            for _ in pipe:
                next(iter(pipe))

    def test_fix_fork_it(self):
        first, second = IterableWrapper([7, 8, 9]).fork(num_instances=2)
        assert list(zip(first, second, strict=True)) == [(7, 7), (8, 8), (9, 9)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # while it was there, it warned of its move to the module `sharding`
            observe(grouping_has_sharding_priorities=hasattr(grouping, "SHARDING_PRIORITIES"))


@pitfall(
    "data-pipe-branches-share-their-items",
    docs=[
        "torch.utils.data.datapipes.iter.Forker",
        "torch.utils.data.datapipes.iter.IterableWrapper",
        "torch.utils.data.datapipes.map.SequenceWrapper",
    ],
    symptom="one branch of a forked pipe changes an item, and the other branch sees it",
    priority=3,
)
class TestDataPipeBranchesShareTheirItems:
    """The branches of ``fork`` hand out the same objects; the wrappers at the source make a deep copy of theirs.

    So an item that is changed in place in one branch is changed in the other. With ``deepcopy=False`` the wrapped data
    itself is handed out, and changed.
    """

    def test_trap_both_branches_have_the_same_object(self):
        first, second = IterableWrapper([[7]]).fork(num_instances=2)
        assert next(iter(first)) is next(iter(second))

    @pytest.mark.parametrize("wrap", [IterableWrapper, SequenceWrapper], ids=["IterableWrapper", "SequenceWrapper"])
    def test_trap_without_deepcopy_it_is_the_data_itself(self, wrap):
        data = [[7]]
        assert next(iter(wrap(data, deepcopy=False))) is data[0]

    @pytest.mark.parametrize("wrap", [IterableWrapper, SequenceWrapper], ids=["IterableWrapper", "SequenceWrapper"])
    def test_fix_by_default_it_is_a_copy(self, wrap):
        data = [[7]]
        assert next(iter(wrap(data))) is not data[0]


@pitfall(
    "shuffled-map-pipe-is-a-stream",
    docs=["torch.utils.data.datapipes.map.Shuffler", "torch.utils.data.IterDataPipe"],
    symptom="a MapDataPipe can't be indexed after shuffle()",
    priority=3,
)
class TestShuffledMapPipeIsAStream:
    """``shuffle()`` makes an ``IterDataPipe`` of a ``MapDataPipe``: it can be iterated, and not indexed.

    Index before you shuffle, or shuffle indices.
    """

    def test_trap_it_is_no_map_any_more(self):
        assert isinstance(SequenceWrapper([7, 8]).shuffle(), IterDataPipe)
        with pytest.raises(NotImplementedError, match=r"^$|__getitem__"):
            SequenceWrapper([7, 8]).shuffle()[0]

    def test_fix_index_before(self):
        assert SequenceWrapper([7, 8])[1] == 8
