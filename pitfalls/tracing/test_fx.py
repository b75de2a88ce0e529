"""``torch.fx``: proxies that have no values, graphs that wait for ``recompile()``, and dead code."""

import operator

import pytest
import torch
from torch import fx

from pitfalls import pitfall


@pitfall(
    "fx-proxies-have-no-values",
    docs=["torch.fx.symbolic_trace", "torch.fx.Tracer"],
    symptom="torch.fx.proxy.TraceError: symbolically traced variables cannot be used as inputs to control flow",
    error="symbolically traced variables cannot be used as inputs to control flow",
    priority=2,
)
class TestFxProxiesHaveNoValues:
    """``torch.fx.symbolic_trace`` runs the function on proxies: nothing of them can decide a branch or a loop.

    Shapes are proxies as well. Fix the flag with ``concrete_args=``, make the function a leaf with ``torch.fx.wrap``,
    or trace with ``torch.export``, which has example inputs.
    """

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda x: x if x.sum() > 0 else -x, id="value"),
            pytest.param(lambda x: x if x.shape[0] > 1 else -x, id="shape"),
            pytest.param(lambda x: x.dim() > 1 and x, id="dim"),
        ],
    )
    def test_trap_a_branch_is_refused(self, f):
        with pytest.raises(fx.proxy.TraceError, match="cannot be used as inputs to control flow"):
            fx.symbolic_trace(f)

    def test_trap_a_loop_is_refused(self):
        with pytest.raises(fx.proxy.TraceError, match="Proxy object cannot be iterated"):
            fx.symbolic_trace(lambda x: sum(row for row in x))

    def test_trap_len_is_refused(self):
        with pytest.raises(RuntimeError, match="'len' is not supported in symbolic tracing"):
            fx.symbolic_trace(lambda x: x * len(x))

    def test_fix_a_flag_can_be_fixed(self, device):
        def scale(x, twice):
            return x * 2 if twice else x

        traced = fx.symbolic_trace(scale, concrete_args={"twice": True})
        assert traced(torch.ones(1, device=device), True).item() == 2


@pitfall(
    "graph-module-waits-for-recompile",
    docs=["torch.fx.GraphModule", "torch.fx.GraphModule.recompile"],
    symptom="I changed the nodes of a GraphModule and its results stay the same",
    priority=2,
)
class TestGraphModuleWaitsForRecompile:
    """Editing the graph of a ``GraphModule`` changes nothing until ``recompile()``: its code was generated before.

    Assigning ``module.graph = graph`` generates it as well.
    """

    def test_trap_the_edit_has_no_effect(self, device):
        module = fx.symbolic_trace(lambda x: x + 1)
        for node in module.graph.nodes:
            if node.target is operator.add:
                node.target = operator.sub
        assert module(torch.ones(1, device=device)).item() == 2

    def test_fix_recompile(self, device):
        module = fx.symbolic_trace(lambda x: x + 1)
        for node in module.graph.nodes:
            if node.target is operator.add:
                node.target = operator.sub
        module.recompile()
        assert module(torch.ones(1, device=device)).item() == 0
