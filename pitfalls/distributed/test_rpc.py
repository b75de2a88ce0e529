"""Remote calls, from a worker that calls itself: references that can't be saved, and errors that come late."""

import io
import operator
import pickle
import sys
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed.rpc as rpc

from pitfalls import pitfall

pytestmark = pytest.mark.skipif(not rpc.is_available(), reason="this torch has no RPC")


@pytest.fixture
def descriptors():
    """Room for the descriptors that RPC opens: where there is too little it ends the process, or waits for ever."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sum(1 for _ in Path("/dev/fd").iterdir()) + 300
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"RPC opens some 200 descriptors, and this process may have only {hard}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def worker(monkeypatch, descriptors):
    """The name of the only worker, this process."""
    hook = sys.excepthook
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "0")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are using a Backend")
        rpc.init_rpc("worker", rank=0, world_size=1)
    yield "worker"
    rpc.shutdown()
    sys.excepthook = hook


@pitfall(
    "rref-cannot-be-pickled",
    docs=["torch.distributed.rpc.PyRRef", "rpc"],
    symptom="RuntimeError: Can not pickle rref in python pickler, rref can only be pickled when using RPC",
    error="Can not pickle rref in python pickler",
    priority=3,
)
class TestRrefCannotBePickled:
    """A remote reference travels in remote calls only: ``pickle`` and ``torch.save`` refuse it.

    Who owns the value has to know who refers to it, which a file can't tell. Save what ``to_here()`` gives.
    """

    @pytest.mark.parametrize(
        "save",
        [
            pytest.param(lambda reference: pickle.dumps(reference), id="pickle"),
            pytest.param(lambda reference: torch.save(reference, io.BytesIO()), id="torch.save"),
        ],
    )
    def test_trap_it_is_refused(self, worker, save):
        with pytest.raises(RuntimeError, match="Can not pickle rref in python pickler"):
            save(rpc.RRef(torch.ones(1)))

    def test_fix_save_the_value(self, worker):
        assert pickle.loads(pickle.dumps(rpc.RRef(torch.ones(1)).to_here())).tolist() == [1]


@pitfall(
    "rpc-remote-raises-later",
    docs=["torch.distributed.rpc.remote", "rpc"],
    symptom="a remote call fails and nothing is raised, until its value is fetched, if ever",
    priority=3,
)
class TestRpcRemoteRaisesLater:
    """``rpc.remote`` returns a reference at once, also to a value that could not be made: fetching it raises.

    Nobody who never fetches hears of the error. ``rpc_sync`` raises where it is called.
    """

    def test_trap_the_call_itself_succeeds(self, worker):
        reference = rpc.remote(worker, operator.add, args=(torch.ones(2), torch.ones(3)))
        assert reference.owner_name() == worker

    def test_trap_fetching_raises(self, worker):
        reference = rpc.remote(worker, operator.add, args=(torch.ones(2), torch.ones(3)))
        with pytest.raises(RuntimeError, match=r"The size of tensor a \(2\) must match"):
            reference.to_here()

    def test_fix_rpc_sync_raises_at_once(self, worker):
        with pytest.raises(RuntimeError, match=r"The size of tensor a \(2\) must match"):
            rpc.rpc_sync(worker, operator.add, args=(torch.ones(2), torch.ones(3)))
