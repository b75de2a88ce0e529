"""What compiled code no longer looks at: assumed constants, allowed functions, and the limit of recompilations."""

import pytest
import torch

from pitfalls import pitfall, since


@since("2.1")
@pitfall(
    "assumed-constants-are-never-checked",
    docs=["torch.compiler.assume_constant_result", "torch.compiler.disable"],
    symptom="a flag that is read in a compiled function never changes",
    priority=2,
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestAssumedConstantsAreNeverChecked:
    """``assume_constant_result`` puts the first result of a function into the graph, and never asks again.

    Nothing guards it: the compiled code goes on with what it saw, without a word. A plain global is guarded, and
    ``torch.compiler.disable`` calls the function each time.
    """

    def test_trap_the_first_result_stays(self, device, compiler):
        factors = [2]
        factor = torch.compiler.assume_constant_result(lambda: factors[-1])
        scale = torch.compile(lambda x: x * factor(), backend="eager")
        seen = [scale(torch.ones(1, device=device)).item()]
        factors.append(5)
        seen.append(scale(torch.ones(1, device=device)).item())
        assert seen == [2, 2]

    def test_fix_what_is_read_plainly_is_guarded(self, device, compiler):
        factors = [2]
        scale = torch.compile(lambda x: x * factors[-1], backend="eager")
        seen = [scale(torch.ones(1, device=device)).item()]
        factors.append(5)
        seen.append(scale(torch.ones(1, device=device)).item())
        assert seen == [2, 5]


@since("2.4")
@pitfall(
    "allowed-functions-are-not-looked-into",
    docs=["torch.compiler.allow_in_graph", "torch.compiler.disable"],
    symptom="a function that I allowed in the graph goes on with an old value of a variable",
    priority=2,
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestAllowedFunctionsAreNotLookedInto:
    """``allow_in_graph`` puts a function into the graph unseen: what it reads from outside is guarded by nothing.

    A value that it captured is baked in, and what it changes happens when it is traced. Pass all that it needs as
    arguments, or leave it out of the graph with ``torch.compiler.disable``.
    """

    def test_trap_a_captured_value_is_baked_in(self, device, compiler):
        factors = [2]
        scale = torch.compiler.allow_in_graph(lambda x: x * factors[-1])
        compiled = torch.compile(lambda x: scale(x), backend="aot_eager")
        seen = [compiled(torch.ones(1, device=device)).item()]
        factors.append(5)
        seen.append(compiled(torch.ones(1, device=device)).item())
        assert seen == [2, 2]

    def test_fix_leave_it_out(self, device, compiler):
        factors = [2]
        scale = torch.compiler.disable(lambda x: x * factors[-1])
        compiled = torch.compile(lambda x: scale(x), backend="aot_eager")
        seen = [compiled(torch.ones(1, device=device)).item()]
        factors.append(5)
        seen.append(compiled(torch.ones(1, device=device)).item())
        assert seen == [2, 5]


@since("2.2")
@pitfall(
    "recompile-limit-falls-back",
    docs=["torch.compile", "torch.compiler_troubleshooting"],
    symptom="torch._dynamo hit config.recompile_limit (8); the function is slow again",
    error="torch._dynamo hit config.recompile_limit | torch._dynamo hit config.cache_size_limit",
    priority=2,
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestRecompileLimitFallsBack:
    """After eight versions of a function ``torch.compile`` gives up on it: further kinds of input run uncompiled.

    Only the log says so. Find what varies with ``TORCH_LOGS=recompiles``, and make it a tensor.
    """

    def test_trap_the_ninth_kind_is_not_compiled(self, device, compiler, monkeypatch):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        monkeypatch.setattr(torch._dynamo.convert_frame.log, "disabled", True)  # it says so in the log
        scale = torch.compile(lambda x, text: x * len(text), backend=count)
        results = [scale(torch.ones(1, device=device), "a" * n).item() for n in range(12)]
        assert (results, len(graphs)) == (list(range(12)), 8)

    def test_fix_a_tensor_is_of_one_kind(self, device, compiler):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        scale = torch.compile(lambda x, length: x * length, backend=count)
        for n in range(12):
            scale(torch.ones(1, device=device), torch.tensor(n, device=device))
        assert len(graphs) == 1
