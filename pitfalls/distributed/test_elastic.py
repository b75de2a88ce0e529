"""Elastic launching: logs that never come, ports that nobody holds, keys that stay in a store, a dash in an option."""

import argparse
import io
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
import torch.distributed as dist
from torch.distributed import launch, run
from torch.distributed.elastic.multiprocessing.tail_log import TailLog, tail_logfile
from torch.distributed.elastic.utils.distributed import get_free_port
from torch.distributed.elastic.utils.store import barrier, synchronize

from pitfalls import pitfall, since


@pitfall(
    "tail-log-waits-for-its-file",
    docs=[("torch.distributed.elastic.multiprocessing.tail_log.TailLog", "wait indefinitely for the log file")],
    symptom="nothing is printed of a worker whose log file has a misspelt path, and nothing complains",
    priority=3,
)
class TestTailLogWaitsForItsFile:
    """``TailLog`` waits for a log file that does not exist, without a limit and without a message, until it is stopped.

    A worker that dies before it opens its file, or a wrong path, both look like silence. Create the files first.
    """

    def test_trap_it_waits_and_says_nothing(self, tmp_path):
        finished = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(tail_logfile, "rank 0", str(tmp_path / "missing.log"), io.StringIO(), finished, 0.01)
            still_reading = wait([reading], timeout=0.1).not_done
            finished.set()
        assert still_reading == {reading}

    def test_fix_create_the_file_first(self, tmp_path):
        (tmp_path / "0.log").write_text("step 1\n")
        printed = io.StringIO()
        tail = TailLog("rank", {0: str(tmp_path / "0.log")}, printed, interval_sec=0.01).start()
        tail.stop()
        assert printed.getvalue() == "[rank0]:step 1\n"


@pitfall(
    "free-port-is-not-reserved",
    docs=["torch.distributed.elastic.utils.distributed.get_free_port"],
    symptom="Address already in use, for a port that get_free_port() gave a moment ago",
    error="Address already in use",
    priority=3,
)
class TestFreePortIsNotReserved:
    """``get_free_port`` says which port was free; it keeps nobody from taking it before you do.

    Let the one that listens ask the system for a port instead, with port 0, and tell the others which one it got.
    """

    def test_trap_somebody_else_can_take_it(self):
        with socket.socket() as other:
            assert other.bind(("localhost", get_free_port())) is None


@since("2.4")  # a rank had to be given before
@pitfall(
    "elastic-barrier-holds-once-for-a-prefix",
    docs=["torch.distributed.elastic.utils.store.barrier"],
    symptom="the second barrier lets a worker pass although the others have not arrived",
    priority=3,
)
class TestElasticBarrierHoldsOnceForAPrefix:
    """The barrier of elastic's store leaves its keys behind: a second one with the same ``key_prefix`` is open.

    Give each barrier a prefix of its own, with the number of the round in it.
    """

    def test_trap_the_second_barrier_is_open(self):
        store = dist.HashStore()
        with ThreadPoolExecutor(2) as pool:  # two workers
            list(pool.map(lambda _: barrier(store, 2, "round", 2), range(2)))
        assert barrier(store, 2, "round", 0.05) is None  # one worker alone

    def test_fix_a_prefix_for_each_round(self):
        store = dist.HashStore()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: barrier(store, 2, "round 1", 2), range(2)))
        with pytest.raises(RuntimeError, match=r"(?i)wait timeout"):
            barrier(store, 2, "round 2", 0.05)


def exchange(store, prefix):
    """Two workers exchange a letter each."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda rank: synchronize(store, b"AB"[rank : rank + 1], rank, 2, prefix, 2), range(2)))


@pitfall(
    "elastic-synchronize-gives-old-data",
    docs=["torch.distributed.elastic.utils.store.synchronize"],
    symptom="the second exchange gives what a worker sent in the first one",
    changed={"2.2": "what comes too late raises DistStoreError, which is a RuntimeError too"},
    priority=3,
)
class TestElasticSynchronizeGivesOldData:
    """``synchronize`` leaves its data in the store: with a ``key_prefix`` used before, a worker may read the old data.

    It does not wait either for the others then. Use a new prefix for each exchange.
    """

    def test_trap_what_the_other_sent_before(self):
        store = dist.HashStore()
        exchange(store, "data")
        assert synchronize(store, b"C", 0, 2, "data", 0.05) == [b"C", b"B"]  # rank 1 is elsewhere

    def test_fix_a_prefix_for_each_exchange(self):
        store = dist.HashStore()
        exchange(store, "data 1")
        with pytest.raises(RuntimeError, match=r"(?i)wait timeout"):
            synchronize(store, b"C", 0, 2, "data 2", 0.05)


def passed_to_the_script(*options):
    """What the launcher would pass to a script."""
    _, _, command = run.config_from_args(launch.parse_args([*options, "train.py", "--epochs=1"]))
    return command[2:]


@pitfall(
    "launcher-spells-local-rank-with-a-dash",
    docs=[("torch.distributed.launch", "error: unrecognized arguments: --local-rank=<rank>")],
    symptom="error: unrecognized arguments: --local-rank=0",
    error="unrecognized arguments: --local-rank=",
    priority=3,
)
class TestLauncherSpellsLocalRankWithADash:
    """``torch.distributed.launch`` passes ``--local-rank`` to the script since torch 2.0, no longer ``--local_rank``.

    A parser that knows the underscore alone does not recognise it. Declare both, or read ``LOCAL_RANK`` from the
    environment, as under ``torchrun``, which passes no argument.
    """

    def test_trap_the_underscore_is_not_recognised(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("--local_rank")
        assert parser.parse_known_args(passed_to_the_script())[1] == ["--local-rank=${local_rank}", "--epochs=1"]

    def test_fix_declare_both(self):
        parser = argparse.ArgumentParser()
        parser.add_argument("--local-rank", "--local_rank")
        parser.add_argument("--epochs")
        assert parser.parse_args(passed_to_the_script()).local_rank == "${local_rank}"

    def test_fix_read_the_environment(self):
        assert passed_to_the_script("--use-env") == ["--epochs=1"]
