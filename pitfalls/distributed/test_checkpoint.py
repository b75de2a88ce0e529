"""``torch.distributed.checkpoint``: what ``load`` fills, what it replaces, and what it does without a process group."""

import warnings

import pytest
import torch
import torch.distributed.checkpoint as dcp

from pitfalls import pitfall, since


@pytest.fixture
def quiet():
    """Without the warning that there is no process group, and those of torch's own use of old names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Counted:
    """An object with a state, which counts how often it is asked for it."""

    def __init__(self):
        self.asked = torch.zeros(1)
        self.loaded = None

    def state_dict(self):
        """The state to save, or to load into."""
        self.asked += 1
        return {"x": torch.ones(1)}

    def load_state_dict(self, state):
        """Take over what was loaded."""
        self.loaded = state["x"]


@since("2.3")
@pitfall(
    "distributed-load-fills-what-is-there",
    docs=["torch.distributed.checkpoint.load", "distributed.checkpoint"],
    symptom="torch.distributed.checkpoint.load returns None, and an empty dict stays empty",
    priority=2,
)
class TestDistributedLoadFillsWhatIsThere:
    """``torch.distributed.checkpoint.load`` fills the tensors of the dict that you pass, and returns None.

    It loads the keys that are there and no others; a number is replaced in the dict, which the model learns of only by
    ``load_state_dict``. Pass the state of a model that exists, then load that dict into the model.
    """

    def test_trap_the_tensors_are_filled_in_place(self, quiet, tmp_path):
        dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path)
        w = torch.zeros(2)
        dcp.load({"w": w}, checkpoint_id=tmp_path)
        assert w.tolist() == [1, 1]

    def test_trap_an_empty_dict_stays_empty(self, quiet, tmp_path):
        dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path)
        state = {}
        assert [dcp.load(state, checkpoint_id=tmp_path), state] == [None, {}]

    def test_trap_the_dtype_stays_that_of_the_target(self, quiet, tmp_path):
        dcp.save({"w": torch.tensor([1.5])}, checkpoint_id=tmp_path)
        w = torch.zeros(1, dtype=torch.float64)
        dcp.load({"w": w}, checkpoint_id=tmp_path)
        assert torch.equal(w, torch.tensor([1.5], dtype=torch.float64))

    @since("2.4")
    def test_trap_a_number_is_replaced_in_the_dict_only(self, quiet, tmp_path):
        dcp.save({"step": torch.tensor(3).item(), "w": torch.ones(1)}, checkpoint_id=tmp_path)
        step = 0
        state = {"step": step, "w": torch.zeros(1)}
        dcp.load(state, checkpoint_id=tmp_path)
        assert [step, state["step"]] == [0, 3]

    def test_fix_load_the_dict_into_the_model(self, quiet, seeded, tmp_path):
        net = torch.nn.Linear(1, 1)
        dcp.save(torch.nn.Linear(1, 1).state_dict() | {"bias": torch.full((1,), 7.0)}, checkpoint_id=tmp_path)
        state = net.state_dict()
        dcp.load(state, checkpoint_id=tmp_path)
        net.load_state_dict(state)
        assert net.bias.tolist() == [7]


@since("2.3")
@pitfall(
    "distributed-load-asks-for-the-state",
    docs=["torch.distributed.checkpoint.stateful.Stateful", "torch.distributed.checkpoint.load"],
    symptom="my state_dict() runs while a checkpoint is being loaded",
    priority=3,
)
class TestDistributedLoadAsksForTheState:
    """Loading calls ``state_dict()`` of an object too, to know what to fill, and then its ``load_state_dict()``.

    So ``state_dict()`` must work at that time, and have no side effects.
    """

    def test_trap_load_calls_state_dict(self, quiet, tmp_path):
        dcp.save({"part": Counted()}, checkpoint_id=tmp_path)
        part = Counted()
        dcp.load({"part": part}, checkpoint_id=tmp_path)
        assert part.asked.item() >= 1

    def test_trap_load_calls_load_state_dict(self, quiet, tmp_path):
        dcp.save({"part": Counted()}, checkpoint_id=tmp_path)
        part = Counted()
        dcp.load({"part": part}, checkpoint_id=tmp_path)
        assert part.loaded.tolist() == [1]


@since("2.3")
@pitfall(
    "distributed-checkpoint-runs-alone",
    docs=["torch.distributed.checkpoint.save", "torch.distributed.checkpoint.load"],
    symptom="UserWarning: torch.distributed is uninitialized, assuming the intent is to save in a single process",
    error="assuming the intent is to save in a single process",
    priority=3,
)
class TestDistributedCheckpointRunsAlone:
    """Without a process group ``torch.distributed.checkpoint`` saves and loads for this process alone, and warns.

    On several ranks that forgot ``init_process_group``, each writes the whole checkpoint over that of the others.
    """

    def test_trap_save_warns(self, tmp_path):
        with pytest.warns(UserWarning, match="assuming the intent is to save in a single process"):
            dcp.save({"w": torch.ones(2)}, checkpoint_id=tmp_path)
