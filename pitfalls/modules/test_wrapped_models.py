"""Models inside a wrapper: data parallel and compiled ones, and the keys of their state dicts."""

import warnings

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


@pytest.fixture
def compiler():
    """The compiler, imported; skipped where this torch has none for this Python."""
    validated = torch.distributions.Distribution._validate_args  # switched off when the compiler is imported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from torch._inductor import config

            with config.patch(compile_threads=1):  # torch 2.3 starts its workers when it is imported
                torch.compile(nn.ReLU(), backend="eager")
        except RuntimeError as error:
            pytest.skip(str(error).splitlines()[0])
        yield
    torch.distributions.Distribution.set_default_validate_args(validated)


@pitfall(
    "wrapped-model-prefixes-its-keys",
    docs=[
        ("torch.nn.modules.utils.consume_prefix_in_state_dict_if_present", "Strip the prefix in state_dict in place"),
        "torch.nn.DataParallel",
        "torch.compile",
    ],
    symptom="Missing key(s): conv1.weight, Unexpected key(s): module.conv1.weight (or _orig_mod.conv1.weight)",
    error='Unexpected key(s) in state_dict: "module.',
    changed={"2.1": "torch.compile runs on Python 3.11"},
    priority=1,
)
class TestWrappedModelPrefixesItsKeys:
    """A wrapped model saves its weights as ``module.*`` (data parallel) or ``_orig_mod.*`` (compiled).

    The wrapper holds the model as a child, so each key gets the child's name, and the plain model refuses them. Save
    ``wrapper.module.state_dict()``, or strip the prefix with
    ``torch.nn.modules.utils.consume_prefix_in_state_dict_if_present``, which changes the dictionary and returns None.
    """

    def test_trap_data_parallel_prefixes_module(self, device, seeded):
        net = nn.DataParallel(nn.Linear(1, 1, device=device))
        assert list(net.state_dict()) == ["module.weight", "module.bias"]

    def test_trap_the_plain_model_refuses_them(self, device, seeded):
        state = nn.DataParallel(nn.Linear(1, 1, device=device)).state_dict()
        with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "module.weight", "module.bias"'):
            nn.Linear(1, 1, device=device).load_state_dict(state)

    @since("2.1")
    @pytest.mark.slow  # importing the compiler takes seconds
    def test_trap_compile_prefixes_orig_mod(self, device, seeded, compiler):
        net = torch.compile(nn.Linear(1, 1, device=device), backend="eager")
        assert list(net.state_dict()) == ["_orig_mod.weight", "_orig_mod.bias"]

    def test_fix_save_the_model_inside(self, device, seeded):
        net = nn.DataParallel(nn.Linear(1, 1, device=device))
        assert list(net.module.state_dict()) == ["weight", "bias"]

    def test_fix_strip_the_prefix_in_place(self, device, seeded):
        state = nn.DataParallel(nn.Linear(1, 1, device=device)).state_dict()
        nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
        assert sorted(state) == ["bias", "weight"]
