"""``torch.load`` and ``weights_only``: what a checkpoint may hold, what the default is, and how to allow more."""

import io
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from pitfalls import before, observe, pitfall, since

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


class Config:
    """Settings, as people put them into their checkpoints."""

    def __init__(self, width):
        self.width = width


#: What checkpoints of older projects hold beside tensors.
MORE = [
    pytest.param(lambda: torch.nn.Linear(1, 1), id="whole module"),
    pytest.param(lambda: {"config": Config(8)}, id="object of a class"),
    pytest.param(lambda: {"loss": np.float64(0.5)}, id="NumPy scalar"),
    pytest.param(lambda: {"history": np.ones(2)}, id="NumPy array"),
    pytest.param(lambda: {"activation": torch.nn.functional.relu}, id="function"),
]


def saved(content, **how):
    """A file in memory that holds `content`."""
    file = io.BytesIO()
    torch.save(content, file, **how)
    file.seek(0)
    return file


@pitfall(
    "load-defaults-to-weights-only",
    docs=[("torch.load", "Indicates whether unpickler should be restricted to"), "notes/serialization"],
    symptom="_pickle.UnpicklingError: Weights only load failed, for a checkpoint that loaded before the upgrade",
    error="Weights only load failed. This file can still be loaded, to do so you have two options",
    changed={
        "2.4": "without weights_only=, torch.load warns that its default will change",
        "2.5": "the message of weights_only=True says to trust the source first",
        "2.6": "weights_only defaults to True: whatever is no tensor or plain container raises UnpicklingError",
    },
    priority=1,
)
class TestLoadDefaultsToWeightsOnly:
    """Since torch 2.6 ``torch.load`` unpickles tensors and plain containers only, unless ``weights_only=False``.

    A pickle can run any code as it is loaded, which is why the default changed. Whole modules, NumPy values, and
    objects of your own classes no longer load. Save state dicts and plain values; allow single classes; and pass
    ``weights_only=False`` for files alone that you trust as you trust a program.
    """

    @before("2.4")
    @pytest.mark.parametrize("make", MORE)
    def test_trap_anything_was_unpickled(self, seeded, make):
        content = make()
        assert type(torch.load(saved(content))) is type(content)

    @since("2.4")
    @before("2.6")
    @pytest.mark.parametrize("make", MORE)
    def test_trap_anything_is_unpickled_with_a_warning(self, seeded, make):
        content = make()
        with pytest.warns(FutureWarning, match="You are using `torch.load` with `weights_only=False`"):
            loaded = torch.load(saved(content))
        assert type(loaded) is type(content)

    @since("2.6")
    @pytest.mark.parametrize("make", MORE)
    def test_trap_more_than_weights_is_refused(self, seeded, make):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(make()))

    @pytest.mark.parametrize("make", MORE)
    def test_trap_asked_for_it_every_release_refuses(self, seeded, make):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(make()), weights_only=True)

    def test_trap_the_message_names_what_is_refused(self):
        with pytest.raises(pickle.UnpicklingError, match=r"(?s)Unsupported (global|class|operand).*Config") as refused:
            torch.load(saved(Config(8)), weights_only=True)
        observe(message=str(refused.value))

    @pytest.mark.parametrize(
        "content",
        [
            {"weight": torch.ones(2), "bias": torch.zeros(1)},
            OrderedDict(weight=torch.ones(2)),
            {"epoch": 3, "lr": 0.1, "name": "small", "best": None, "done": False},
            [1, (2, 3)],
            torch.nn.Parameter(torch.ones(1)),
        ],
        ids=["state dict", "OrderedDict", "plain values", "list and tuple", "Parameter"],
    )
    def test_fix_save_tensors_and_plain_values(self, content):
        assert str(torch.load(saved(content), weights_only=True)) == str(content)

    def test_fix_say_that_you_trust_the_file(self):
        assert torch.load(saved(Config(8)), weights_only=False).width == 8

    def test_fix_convert_numpy_values_before_saving(self):
        file = saved({"loss": float(np.float64(0.5)), "history": torch.from_numpy(np.ones(2))})
        assert torch.load(file, weights_only=True)["loss"] == 0.5


@since("2.4")
@pitfall(
    "safe-globals-allow-a-class",
    docs=["torch.serialization.add_safe_globals", "notes/serialization"],
    symptom="WeightsUnpickler error: Unsupported global: my class was not an allowed global by default",
    error="was not an allowed global by default",
    changed={
        "2.4": "torch.serialization.add_safe_globals came",
        "2.5": "torch.serialization.safe_globals, which allows for the time of a with block, came",
    },
    priority=2,
)
class TestSafeGlobalsAllowAClass:
    """A class that is on torch's list of safe globals may be in a file that is loaded with ``weights_only=True``.

    ``add_safe_globals`` puts it there for the whole process, so that every later load in it may make such objects; the
    context ``safe_globals`` does for a ``with`` block. What the class's own ``__setstate__`` does is run, too.
    """

    def test_trap_a_class_is_refused_by_default(self):
        with pytest.raises(pickle.UnpicklingError, match=r"(?s)Unsupported (global|class).*Config"):
            torch.load(saved(Config(8)), weights_only=True)

    def test_trap_it_is_allowed_for_the_whole_process(self):
        kept = list(torch.serialization.get_safe_globals())
        torch.serialization.add_safe_globals([Config])
        try:
            assert torch.load(saved(Config(8)), weights_only=True).width == 8
            assert Config in torch.serialization.get_safe_globals()
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(kept)

    @since("2.5")
    def test_fix_allow_it_for_a_block(self):
        with torch.serialization.safe_globals([Config]):
            assert torch.load(saved(Config(8)), weights_only=True).width == 8
        assert Config not in torch.serialization.get_safe_globals()


@pitfall(
    "weights-only-wants-pickle-protocol-2",
    docs=["torch.save", "torch.load"],
    symptom="UserWarning: Detected pickle protocol 4 in the checkpoint, which was not the default pickle protocol",
    error="Detected pickle protocol",
    changed={
        "2.4": "loading with weights_only=True warns of the protocol before it fails",
        "2.6": "weights_only defaults to True: files saved with pickle_protocol=4 no longer load by default",
    },
    priority=3,
)
class TestWeightsOnlyWantsPickleProtocol2:
    """A file that ``torch.save`` wrote with ``pickle_protocol=4`` can't be loaded with ``weights_only=True``.

    torch's restricted unpickler knows the operations of protocol 2, which is the default of ``torch.save``. A newer one
    gains nothing for tensors, whose data is not pickled. Leave it out.
    """

    @before("2.4")
    def test_trap_it_was_refused(self):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved({"w": torch.ones(2)}, pickle_protocol=4), weights_only=True)

    @since("2.4")
    def test_trap_it_is_refused_with_a_warning(self):
        file = saved({"w": torch.ones(2)}, pickle_protocol=4)
        with pytest.warns(UserWarning, match="Detected pickle protocol 4 in the checkpoint"):
            with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
                torch.load(file, weights_only=True)

    @since("2.6")
    def test_trap_the_default_refuses_it(self):
        file = saved({"w": torch.ones(2)}, pickle_protocol=4)
        with pytest.warns(UserWarning, match="Detected pickle protocol 4 in the checkpoint"):
            with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
                torch.load(file)

    def test_fix_leave_the_protocol_alone(self):
        assert torch.load(saved({"w": torch.ones(2)}), weights_only=True)["w"].tolist() == [1, 1]
