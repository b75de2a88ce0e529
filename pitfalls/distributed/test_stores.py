"""Stores and names: keys that count or stay, deletions that say nothing, and a collective that was renamed."""

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from pitfalls import before, pitfall, since


def tcp_store(path):
    """A store on the loopback interface, on a port that is free."""
    return dist.TCPStore("127.0.0.1", 0, 1, True, timeout=timedelta(seconds=5))


def file_store(path):
    """A store in a file of the folder, for this process alone."""
    return dist.FileStore(str(path / "store"), 1)


def hash_store(path):
    """A store in memory."""
    return dist.HashStore()


@pitfall(
    "num-keys-counts-a-key-of-the-store",
    docs=["torch.distributed.Store.num_keys", "torch.distributed.TCPStore", "torch.distributed.FileStore"],
    symptom="store.num_keys() is one more than the keys that I set, but not with a HashStore",
    priority=3,
)
class TestNumKeysCountsAKeyOfTheStore:
    """``num_keys()`` of a ``TCPStore`` and of a ``FileStore`` counts a key of the store's own, that of a HashStore not.

    It is there before you set any. Compare with the number at the start, or count with ``store.add``.
    """

    @pytest.mark.parametrize(
        ("make", "num_keys", "counted"),
        [
            pytest.param(tcp_store, dist.TCPStore.num_keys, 2, id="TCPStore"),
            pytest.param(file_store, dist.FileStore.num_keys, 2, id="FileStore"),
            pytest.param(hash_store, dist.HashStore.num_keys, 1, id="HashStore"),
        ],
    )
    def test_trap_one_key_is_set(self, make, num_keys, counted, tmp_path):
        store = make(tmp_path)
        store.set("mine", "1")
        assert num_keys(store) == counted

    @pytest.mark.parametrize(
        ("make", "add"),
        [
            pytest.param(tcp_store, dist.TCPStore.add, id="TCPStore"),
            pytest.param(file_store, dist.FileStore.add, id="FileStore"),
            pytest.param(hash_store, dist.HashStore.add, id="HashStore"),
        ],
    )
    def test_fix_count_yourself(self, make, add, tmp_path):
        store = make(tmp_path)
        assert [add(store, "count", 1), add(store, "count", 1)] == [1, 2]


@pitfall(
    "file-store-keeps-its-keys",
    docs=[
        ("torch.distributed.Store.num_keys", "another store is created with the same file"),
        "torch.distributed.FileStore",
    ],
    symptom="the second run of a job with the same FileStore reads values of the first, or hangs",
    priority=2,
)
class TestFileStoreKeepsItsKeys:
    """A ``FileStore`` on a file that another one has left behind has the keys of that one.

    The file goes when the last of ``world_size`` stores is closed; a run that was killed leaves it. Give each run a
    file of its own, or delete it first.
    """

    @pytest.mark.parametrize("get", [dist.FileStore.get], ids=["get"])
    def test_trap_values_of_the_run_before(self, get, tmp_path):
        path = str(tmp_path / "store")
        first = dist.FileStore(path, 2)  # of two processes, one of which never comes
        first.set("epoch", "7")
        del first
        assert get(dist.FileStore(path, 2), "epoch") == b"7"

    @pytest.mark.parametrize(
        ("world_size", "workers"), [pytest.param(2, 2, id="one is missing"), pytest.param(1, 1, id="all were there")]
    )
    @pytest.mark.parametrize("add", [dist.FileStore.add], ids=["add"])
    def test_trap_counters_go_on_unless_all_were_there(self, add, world_size, workers, tmp_path):
        path = str(tmp_path / "store")
        first = dist.FileStore(path, world_size)
        add(first, "workers", 1)
        del first
        assert add(dist.FileStore(path, world_size), "workers", 1) == workers

    @pytest.mark.parametrize("add", [dist.FileStore.add], ids=["add"])
    def test_fix_delete_the_file_first(self, add, tmp_path):
        path = tmp_path / "store"
        first = dist.FileStore(str(path), 2)
        add(first, "workers", 1)
        del first
        path.unlink()
        assert add(dist.FileStore(str(path), 2), "workers", 1) == 1


@pitfall(
    "delete-key-differs-by-store",
    docs=[
        ("torch.distributed.Store.delete_key", "FileStore` will result in an exception"),
        "torch.distributed.HashStore",
        "torch.distributed.TCPStore",
        "torch.distributed.FileStore",
    ],
    symptom="delete_key returns True for a key that was never set",
    contradicts={"torch.distributed.Store.delete_key": "a FileStore deletes keys as well; it does not raise"},
    priority=3,
)
class TestDeleteKeyDiffersByStore:
    """``delete_key`` says whether the key was there, except that of a ``FileStore``, which always says ``True``.

    All three delete: the documentation has a ``FileStore`` raise, which it does not.
    """

    STORES = [
        pytest.param(tcp_store, dist.TCPStore.delete_key, False, id="TCPStore"),
        pytest.param(hash_store, dist.HashStore.delete_key, False, id="HashStore"),
        pytest.param(file_store, dist.FileStore.delete_key, True, id="FileStore"),
    ]

    @pytest.mark.parametrize("num_keys", [dist.Store.num_keys], ids=["num_keys"])
    @pytest.mark.parametrize(("make", "delete_key", "missing"), STORES)
    def test_trap_all_of_them_delete(self, make, delete_key, missing, num_keys, tmp_path):
        store = make(tmp_path)
        store.set("mine", "1")
        full = num_keys(store)
        delete_key(store, "mine")
        assert full - num_keys(store) == 1

    @pytest.mark.parametrize(("make", "delete_key", "missing"), STORES)
    def test_trap_a_file_store_has_deleted_anything(self, make, delete_key, missing, tmp_path):
        assert delete_key(make(tmp_path), "never set") is missing


@pitfall(
    "all-gather-into-tensor-is-renamed",
    docs=["torch.distributed.all_gather_into_tensor", "torch.distributed.all_gather"],
    symptom="FutureWarning: `torch.distributed.all_gather_into_tensor` is deprecated",
    error="`torch.distributed.all_gather_into_tensor` is deprecated",
    changed={
        "2.2": "all_gather_into_tensor works with gloo",
        "2.13": "all_gather_into_tensor warns, all_gather_single is new",
        "2.15": "all_gather_into_tensor warns no longer, and both names stay",
    },
    priority=3,
)
class TestAllGatherIntoTensorIsRenamed:
    """``all_gather_into_tensor`` was deprecated in torch 2.13 in favour of ``all_gather_single``; 2.15 took that back.

    Both do the same. Code for several releases calls the old name, and filters the warning.
    """

    @since("2.13")
    @before("2.15")
    def test_trap_the_old_name_warns(self, group):
        got = torch.zeros(2)
        with pytest.warns(FutureWarning, match="all_gather_into_tensor` is deprecated"):
            dist.all_gather_into_tensor(got, torch.tensor([1.0, 2.0]))
        assert got.tolist() == [1, 2]

    @since("2.15")
    def test_trap_it_is_silent_again(self, group):
        got = torch.zeros(2)
        dist.all_gather_into_tensor(got, torch.tensor([1.0, 2.0]))
        assert got.tolist() == [1, 2]

    @before("2.2")
    def test_trap_gloo_had_none(self, group):
        with pytest.raises(RuntimeError, match="no support for _allgather_base in Gloo process group"):
            dist.all_gather_into_tensor(torch.zeros(2), torch.ones(2))

    @since("2.13")
    def test_fix_the_new_name(self, group):
        got = torch.zeros(2)
        dist.all_gather_single(got, torch.tensor([1.0, 2.0]))
        assert got.tolist() == [1, 2]
