"""State dicts and whole models: what a saved model is made of, and what it takes to load it again."""

import io
import pickle
import sys
import types

import pytest
import torch
from torch import nn

from pitfalls import observe, pitfall

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


def saved(content):
    """A file in memory that holds `content`."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file


@pytest.fixture
def script(monkeypatch):
    """A module ``train_script`` that defines a class Net, as the script does that trains and saves it."""
    script = types.ModuleType("train_script")
    script.Net = type("Net", (nn.Linear,), {"__module__": "train_script"})
    monkeypatch.setitem(sys.modules, "train_script", script)
    return script


@pitfall(
    "pickled-model-needs-its-class",
    docs=["torch.save", "notes/serialization#saving-and-loading-torch-nn-modules"],
    symptom="AttributeError: Can't get attribute 'Net' on <module '__main__'>; ModuleNotFoundError on torch.load",
    error="Can't get attribute",
    priority=1,
)
class TestPickledModelNeedsItsClass:
    """A model saved whole holds the name of its class, not its code, and loads only where that name can be imported.

    Moving, renaming or not importing the file that defines the class breaks every such checkpoint. Save
    ``model.state_dict()``, build the model from its code, and load the numbers into it.
    """

    def test_trap_the_module_is_gone(self, seeded, script, monkeypatch):
        file = saved(script.Net(1, 1))
        monkeypatch.delitem(sys.modules, "train_script")
        with pytest.raises(ModuleNotFoundError, match="No module named 'train_script'"):
            torch.load(file, weights_only=False)

    def test_trap_the_class_was_renamed(self, seeded, script):
        file = saved(script.Net(1, 1))
        script.Network, script.Net = script.Net, None
        del script.Net
        with pytest.raises(AttributeError, match="Can't get attribute 'Net'"):
            torch.load(file, weights_only=False)

    def test_fix_a_state_dict_needs_no_class(self, seeded, script, monkeypatch):
        file = saved(script.Net(1, 1).state_dict())
        monkeypatch.delitem(sys.modules, "train_script")
        assert list(torch.load(file, weights_only=True)) == ["weight", "bias"]


@pitfall(
    "pickled-model-runs-the-code-of-today",
    docs=["torch.save", "notes/serialization#saving-and-loading-torch-nn-modules"],
    symptom="an old model loads without an error and computes something else",
)
class TestPickledModelRunsTheCodeOfToday:
    """A model saved whole keeps its attributes, but its methods are those that its class has when it is loaded.

    ``__init__`` isn't run again: an attribute that newer code sets there is missing, and changed code runs on old
    numbers. A state dict fails loudly instead, on the keys that don't match.
    """

    def test_trap_changed_code_runs_on_old_weights(self, seeded, script):
        script.Net.answer = lambda _: 1
        file = saved(script.Net(1, 1))
        script.Net.answer = lambda _: 2
        assert torch.load(file, weights_only=False).answer() == 2

    def test_trap_a_new_attribute_is_missing(self, seeded, script):
        file = saved(script.Net(1, 1))

        def init(net):
            nn.Linear.__init__(net, 1, 1)
            net.scale = 2

        script.Net.__init__ = init
        with pytest.raises(AttributeError, match="no attribute 'scale'"):
            torch.load(file, weights_only=False).scale


@pitfall(
    "model-with-a-lambda-cannot-be-saved",
    docs=["torch.save", "notes/serialization"],
    symptom="AttributeError: Can't pickle local object, or PicklingError, as torch.save is given the model",
    error="pickle local object | Can't get local object",
)
class TestModelWithALambdaCannotBeSaved:
    """A model that holds a lambda or a local class can't be saved whole: pickle finds no name for them.

    Pickle writes the name under which a function or class can be imported, and these have none. The ``state_dict()`` of
    the model doesn't hold them: save that.
    """

    def test_trap_a_lambda_as_an_attribute(self, seeded):
        net = nn.Linear(1, 1)
        net.activation = lambda x: x.relu()
        with pytest.raises((AttributeError, pickle.PicklingError), match="<locals>"):
            torch.save(net, io.BytesIO())

    def test_trap_a_class_defined_in_a_function(self, seeded):
        class Net(nn.Linear):
            pass

        with pytest.raises((AttributeError, pickle.PicklingError), match="<locals>"):
            torch.save(Net(1, 1), io.BytesIO())

    def test_fix_its_state_dict_can(self, seeded):
        net = nn.Linear(1, 1)
        net.activation = lambda x: x.relu()
        assert list(torch.load(saved(net.state_dict()), weights_only=True)) == ["weight", "bias"]


@pitfall(
    "state-dict-holds-no-settings",
    docs=[("torch.nn.Module.state_dict", "Both parameters and persistent buffers"), "notes/serialization"],
    symptom="after load_state_dict the frozen layers train again, or the model is in another mode than the saved one",
)
class TestStateDictHoldsNoSettings:
    """``state_dict()`` holds the numbers of parameters and persistent buffers, nothing else.

    Sizes, dropout rates, the mode of ``train`` and ``eval``, ``requires_grad`` and plain tensors are not in it. Save
    what the constructor needs beside it, and set the rest again after loading.
    """

    def test_trap_plain_tensors_and_temporary_buffers_are_left_out(self, device):
        net = nn.Module()
        net.weight = nn.Parameter(torch.ones(1, device=device))
        net.plain = torch.ones(1, device=device)
        net.register_buffer("mean", torch.ones(1, device=device))
        net.register_buffer("cache", torch.ones(1, device=device), persistent=False)
        assert list(net.state_dict()) == ["weight", "mean"]

    def test_trap_batch_norm_counts_its_batches_in_it(self, device):
        keys = list(nn.BatchNorm1d(2, device=device).state_dict())
        assert keys == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]

    def test_trap_the_mode_is_not_in_it(self, device, seeded):
        net = nn.Dropout(1.0)
        net.load_state_dict(nn.Dropout(1.0).eval().state_dict())
        assert net(torch.ones(2, device=device)).tolist() == [0, 0]

    def test_trap_frozen_is_not_in_it(self, device, seeded):
        frozen, net = nn.Linear(1, 1, device=device).requires_grad_(False), nn.Linear(1, 1, device=device)
        net.load_state_dict(frozen.state_dict())
        assert net.weight.requires_grad is True

    def test_fix_save_the_settings_beside_it(self, seeded):
        file = saved({"sizes": [3, 2], "state": nn.Linear(3, 2).state_dict()})
        checkpoint = torch.load(file, weights_only=True)
        net = nn.Linear(*checkpoint["sizes"])
        net.load_state_dict(checkpoint["state"])
        assert net.weight.equal(checkpoint["state"]["weight"])


@pitfall(
    "state-dict-entries-are-detached",
    docs=[("torch.nn.Module.state_dict", "returned in the state dict are detached"), "torch.nn.Module.state_dict"],
    symptom="the tensors of a state_dict have requires_grad=False; backward through them fails",
)
class TestStateDictEntriesAreDetached:
    """The tensors of a ``state_dict()`` don't require grad, unless ``keep_vars=True`` asks for the parameters.

    They share memory with the parameters all the same. A parameter that is saved on its own keeps its ``requires_grad``
    and its type.
    """

    def test_trap_they_require_no_grad(self, device, seeded):
        state = nn.Linear(1, 1, device=device).state_dict()
        assert state["weight"].requires_grad is False

    def test_trap_a_saved_parameter_keeps_the_flag(self, device):
        weight = torch.load(saved(nn.Parameter(torch.ones(1, device=device))), weights_only=True)
        assert weight.requires_grad is True
        assert type(weight) is nn.Parameter

    def test_trap_a_saved_result_becomes_a_leaf(self, device):
        w = torch.ones(1, device=device, requires_grad=True)
        loaded = torch.load(saved(w * 2), weights_only=True)
        assert loaded.is_leaf is True
        observe(requires_grad=loaded.requires_grad)

    def test_fix_keep_vars_gives_the_parameters(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        assert net.state_dict(keep_vars=True)["weight"] is net.weight


@pitfall(
    "state-dict-without-parentheses",
    docs=["torch.nn.Module.load_state_dict", "torch.nn.Module.state_dict"],
    symptom="TypeError: Expected state_dict to be dict-like, got <class 'method'>",
    error="Expected state_dict to be dict-like",
)
class TestStateDictWithoutParentheses:
    """``model.state_dict`` without ``()`` is a method: saving it pickles the whole model, and loading it fails.

    ``torch.save`` takes it silently, because a bound method can be pickled, with the model it is bound to. Call it.
    """

    def test_trap_load_state_dict_refuses_it(self, seeded):
        net = nn.Linear(1, 1)
        with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
            net.load_state_dict(net.state_dict)

    def test_trap_save_takes_the_whole_model(self, seeded):
        loaded = torch.load(saved(nn.Linear(1, 1).state_dict), weights_only=False)
        assert type(loaded.__self__) is nn.Linear

    def test_fix_call_it(self, seeded):
        net = nn.Linear(1, 1)
        assert str(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
