"""How far a file is trusted: code that loading runs, switches that turn the check off, and what is plain enough."""

import collections
import io
import pickle

import numpy as np
import pytest
import torch

from pitfalls import before, observe, pitfall, since

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading

RUN = []


def run(text):
    """What a file could have loading call: here it only leaves a trace."""
    RUN.append(text)
    return text


class Payload:
    """Is pickled as a call: whoever unpickles it makes the call."""

    def __reduce__(self):
        return run, ("code of the file",)


class Config:
    """Settings, as people put them into their checkpoints."""


class Scaled(torch.Tensor):
    """A subclass of tensor, as people write them."""


def saved(content, **how):
    """A file in memory that holds `content`."""
    file = io.BytesIO()
    torch.save(content, file, **how)
    file.seek(0)
    return file


@pitfall(
    "loading-runs-code-of-the-file",
    docs=[("torch.load", "Indicates whether unpickler should be restricted to"), "notes/serialization"],
    symptom="a downloaded checkpoint ran a program as it was loaded",
    priority=1,
)
class TestLoadingRunsCodeOfTheFile:
    """``torch.load(..., weights_only=False)`` makes the calls that are written in the file, whatever they do.

    A pickle is a program. With ``weights_only=True`` only what builds tensors and plain values is called. Never load a
    file of somebody else without it.
    """

    def test_trap_the_call_is_made(self):
        RUN.clear()
        torch.load(saved({"weight": torch.ones(1), "extra": Payload()}), weights_only=False)
        assert RUN == ["code of the file"]

    def test_fix_weights_only_refuses(self):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved({"weight": torch.ones(1), "extra": Payload()}), weights_only=True)


@since("2.6")
@pitfall(
    "environment-overrides-weights-only",
    docs=["notes/serialization#environment-variables", "torch_environment_variables"],
    symptom="torch.load accepts, or refuses, against what the code says",
    error="Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected",
    changed={"2.6": "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD came"},
)
class TestEnvironmentOverridesWeightsOnly:
    """``TORCH_FORCE_WEIGHTS_ONLY_LOAD`` overrules ``weights_only=False``; the other variable changes the default alone.

    ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` is for old programs whose source can't be changed: it trusts every file that
    is loaded without ``weights_only=``, with a warning. Write ``weights_only=`` at each call.
    """

    def test_trap_force_beats_the_argument(self, monkeypatch):
        monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(Config()), weights_only=False)

    def test_trap_force_no_changes_the_default(self, monkeypatch):
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        with pytest.warns(UserWarning, match="Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD detected"):
            loaded = torch.load(saved(Config()))
        assert type(loaded) is Config

    def test_fix_the_argument_beats_force_no(self, monkeypatch):
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(Config()), weights_only=True)


@since("2.6")
@pitfall(
    "pickle-module-switches-the-check-off",
    docs=["notes/serialization#weights-only-security", "torch.load"],
    symptom="torch.load with pickle_module= unpickles everything, although weights_only is the default",
    error="Can not safely load weights when explicit pickle_module is specified",
    changed={"2.6": "weights_only defaults to True, except where pickle_module= is given"},
    priority=3,
)
class TestPickleModuleSwitchesTheCheckOff:
    """With ``pickle_module=`` the default of ``weights_only`` is False: a pickle module of one's own is trusted.

    Even ``pickle_module=pickle``, which is the default. Both arguments together are refused. Leave it out.
    """

    def test_trap_everything_is_unpickled(self):
        assert type(torch.load(saved(Config()), pickle_module=pickle)) is Config

    def test_trap_both_are_refused(self):
        with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
            torch.load(saved(torch.ones(1)), pickle_module=pickle, weights_only=True)

    def test_fix_leave_it_out(self):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(Config()))


@since("2.6")
@pitfall(
    "unsafe-globals-can-be-listed",
    docs=["torch.serialization.get_unsafe_globals_in_checkpoint", "notes/serialization"],
    symptom="which classes do I have to allow for this checkpoint?",
    changed={"2.6": "torch.serialization.get_unsafe_globals_in_checkpoint came"},
    priority=3,
)
class TestUnsafeGlobalsCanBeListed:
    """``get_unsafe_globals_in_checkpoint`` lists what ``weights_only=True`` would refuse, without running any of it.

    It reads the names in the pickle. One that the pickle would put together while it is run is not found: an empty
    list is no proof that a file is harmless.
    """

    def test_trap_the_error_names_one_at_a_time(self):
        with pytest.raises(pickle.UnpicklingError, match=r"(?s)Unsupported global.*Config"):
            torch.load(saved([Config(), Payload()]), weights_only=True)

    def test_fix_list_them_all(self):
        found = torch.serialization.get_unsafe_globals_in_checkpoint(saved([Config(), Payload(), torch.ones(1)]))
        assert {name.rpartition(".")[2] for name in found} == {"Config", "run"}


SCALAR_FUNCTION = np.float64(0.5).__reduce__()[0]


@since("2.5")
@pitfall(
    "numpy-scalar-needs-three-globals",
    docs=["notes/serialization#troubleshooting-weights-only", "torch.serialization.safe_globals"],
    symptom="numpy.dtype is allowed, and weights_only=True still refuses: Can only create new object for",
    priority=3,
)
class TestNumpyScalarNeedsThreeGlobals:
    """To allow a NumPy scalar with ``weights_only=True`` takes its function, ``np.dtype`` and the class of its dtype.

    The error names the first two, not the class (``type(np.dtype("float64"))``). Simpler: save ``float(x)``.
    """

    def test_trap_two_are_not_enough(self):
        with torch.serialization.safe_globals([SCALAR_FUNCTION, np.dtype]):
            with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
                torch.load(saved(np.float64(0.5)), weights_only=True)

    def test_fix_allow_the_class_of_the_dtype_too(self):
        with torch.serialization.safe_globals([SCALAR_FUNCTION, np.dtype, type(np.dtype("float64"))]):
            assert torch.load(saved(np.float64(0.5)), weights_only=True) == 0.5

    def test_fix_save_a_float(self):
        assert torch.load(saved(float(np.float64(0.5))), weights_only=True) == 0.5


@pitfall(
    "weights-only-allows-few-types",
    docs=[("torch.load", "loading only tensors, primitive types"), "notes/serialization"],
    symptom="weights_only=True refuses a defaultdict, a Path or a SimpleNamespace in my checkpoint",
    changed={
        "2.4": "torch.device, Counter, bytes and bytearray, and attributes of a Parameter load with weights_only=True",
        "2.6": "sets and complex numbers load with weights_only=True",
    },
)
class TestWeightsOnlyAllowsFewTypes:
    """``weights_only=True`` lets a short list of types through, which grows from release to release.

    Tensors, parameters, dtypes, numbers, strings, lists, tuples, dictionaries and OrderedDict are on it in every one.
    Turn the rest into these before saving: a Path into a string, a namespace into a dictionary.
    """

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(range(3), id="range"),
            pytest.param(collections.defaultdict(int), id="defaultdict"),
            pytest.param(frozenset([1]), id="frozenset"),
            pytest.param(slice(1), id="slice"),
            pytest.param(torch.ones(1).as_subclass(Scaled), id="subclass of Tensor"),
        ],
    )
    def test_trap_others_are_refused(self, content):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(content), weights_only=True)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param({1}, id="set", marks=since("2.6")),
            pytest.param(1j, id="complex", marks=since("2.6")),
            pytest.param(b"ab", id="bytes", marks=since("2.5")),
            pytest.param(collections.Counter("a"), id="Counter", marks=since("2.4")),
            pytest.param(torch.device("cpu"), id="device", marks=since("2.4")),
            pytest.param(torch.float32, id="dtype"),
            pytest.param(torch.Size([2]), id="Size"),
        ],
    )
    def test_fix_these_are_allowed(self, content):
        assert torch.load(saved(content), weights_only=True) == content

    @before("2.4")
    @pytest.mark.parametrize(
        "content", [torch.device("cpu"), collections.Counter("a"), b"ab"], ids=["device", "Counter", "bytes"]
    )
    def test_trap_even_these_were_refused(self, content):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            torch.load(saved(content), weights_only=True)


@pitfall(
    "saved-tensors-keep-their-attributes",
    docs=["torch.save", "notes/extending"],
    symptom="weights_only=True refuses a parameter that has an attribute of its own",
    priority=3,
)
class TestSavedTensorsKeepTheirAttributes:
    """Python attributes of a tensor, and of a subclass, are saved and loaded with it; its ``.grad`` is not.

    They are pickled like anything else: what they hold must be allowed, too. Save them beside the tensor instead, and
    the gradient if it is needed.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: x, id="Tensor"),
            pytest.param(torch.nn.Parameter, id="Parameter"),
            pytest.param(lambda x: x.as_subclass(Scaled), id="subclass"),
        ],
    )
    def test_trap_attributes_come_back(self, make):
        x = make(torch.ones(2))
        x.scale = 0.5
        assert torch.load(saved(x), weights_only=False).scale == 0.5

    def test_trap_the_subclass_comes_back(self):
        assert type(torch.load(saved(torch.ones(1).as_subclass(Scaled)), weights_only=False)) is Scaled

    def test_fix_save_the_gradient_beside_it(self):
        w = torch.ones(1, requires_grad=True)
        w.sum().backward()
        loaded = torch.load(saved({"w": w, "grad": w.grad}), weights_only=True)
        observe(grad_of_the_loaded=loaded["w"].grad)
        assert loaded["grad"].tolist() == [1]
