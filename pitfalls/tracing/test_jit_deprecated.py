"""TorchScript on its way out: which of its functions say so, and how loudly."""

import pytest
import torch

from pitfalls import before, pitfall, since


def double(x: torch.Tensor) -> torch.Tensor:
    """Something to compile."""
    return x * 2


CALLS = [
    pytest.param(lambda: torch.jit.script(double), "script", id="script", marks=since("2.10")),
    pytest.param(lambda: torch.jit.trace(double, torch.ones(1)), "trace", id="trace", marks=since("2.10")),
    pytest.param(lambda: torch.jit.fork(double, torch.ones(1)), "fork", id="fork", marks=since("2.13")),
]


@pitfall(
    "torchscript-is-deprecated",
    docs=["torch.jit.fork", "torch.jit.script", "torch.jit.trace", "jit"],
    symptom="FutureWarning: `torch.jit.script` is deprecated. Please switch to `torch.compile` or `torch.export`",
    error="is deprecated. Please switch to `torch.compile` or `torch.export`",
    changed={
        "2.10": "torch.jit.script, trace, save and load give a DeprecationWarning",
        "2.13": "torch.jit.fork, wait and freeze warn as well",
        "2.14": "the warnings are FutureWarnings, which everybody sees",
    },
    priority=3,
)
class TestTorchscriptIsDeprecated:
    """``torch.jit`` is deprecated, by its documentation since torch 2.5; its functions say so from 2.10 on.

    Up to 2.13 it is a ``DeprecationWarning``, which Python hides outside of ``__main__`` and tests. Compile with
    ``torch.compile``; save and serve with ``torch.export``.
    """

    @since("2.10")
    @before("2.14")
    @pytest.mark.parametrize(("call", "name"), CALLS)
    def test_trap_it_is_deprecated_quietly(self, call, name):
        with pytest.warns(DeprecationWarning, match=f"`torch.jit.{name}` is deprecated"):
            call()

    @since("2.14")
    @pytest.mark.parametrize(("call", "name"), CALLS)
    def test_trap_it_is_deprecated_loudly(self, call, name):
        with pytest.warns(FutureWarning, match=f"`torch.jit.{name}` is deprecated"):
            call()

    @before("2.10")
    def test_trap_it_was_silent(self):
        assert torch.jit.script(double)(torch.ones(1)).item() == 2
