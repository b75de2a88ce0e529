"""What ``torch.compile`` returns, when it compiles, and what makes it compile again."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


@since("2.1")
@pitfall(
    "compiled-module-is-a-wrapper",
    docs=["torch.compile", "torch.nn.Module.compile"],
    symptom="state_dict keys start with _orig_mod. after torch.compile",
    error="_orig_mod.",
    priority=1,
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestCompiledModuleIsAWrapper:
    """``torch.compile(module)`` returns a wrapper around the module, with other names in its state.

    The parameters are shared, the names in ``state_dict()`` begin with ``_orig_mod.``, and the module itself is not
    compiled. Save and load the original, or compile in place with ``module.compile()``.
    """

    def test_trap_names_of_the_state_are_longer(self, compiler, seeded):
        compiled = torch.compile(nn.Linear(1, 1), backend="eager")
        assert list(compiled.state_dict()) == ["_orig_mod.weight", "_orig_mod.bias"]

    def test_trap_its_state_does_not_fit_the_original(self, compiler, seeded):
        layer = nn.Linear(1, 1)
        compiled = torch.compile(layer, backend="eager")
        with pytest.raises(RuntimeError, match=r"_orig_mod\.weight"):
            layer.load_state_dict(compiled.state_dict())

    def test_fix_the_original_has_the_names_and_the_weights(self, compiler, seeded):
        layer = nn.Linear(1, 1)
        compiled = torch.compile(layer, backend="eager")
        assert list(layer.state_dict()) == ["weight", "bias"]
        assert compiled.weight is layer.weight

    @since("2.2")
    def test_fix_compile_in_place(self, compiler, seeded):
        layer = nn.Linear(1, 1)
        layer.compile(backend="eager")
        assert list(layer.state_dict()) == ["weight", "bias"]


@since("2.1")
@pitfall(
    "compilation-waits-for-the-first-call",
    docs=["torch.compile", "torch.compiler.reset"],
    symptom="torch.compile returns at once and the first batch takes a minute",
    priority=2,
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestCompilationWaitsForTheFirstCall:
    """``torch.compile`` compiles nothing: the first call does, and again for each new kind of input.

    A benchmark that times it measures the compiler, and errors of compilation appear at the call. Call it once with
    inputs like the real ones first. ``torch.compiler.reset()`` throws what was compiled away.
    """

    def test_trap_the_first_call_compiles(self, device, compiler):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        double = torch.compile(lambda x: x * 2, backend=count)
        seen = [len(graphs)]
        double(torch.ones(2, device=device))
        seen.append(len(graphs))
        assert seen == [0, 1]

    def test_trap_reset_throws_it_away(self, device, compiler):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        double = torch.compile(lambda x: x * 2, backend=count)
        double(torch.ones(2, device=device))
        torch.compiler.reset()
        double(torch.ones(2, device=device))
        assert len(graphs) == 2

    def test_fix_a_second_call_does_not_compile(self, device, compiler):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        double = torch.compile(lambda x: x * 2, backend=count)
        results = [double(torch.ones(2, device=device)).tolist() for _ in range(3)]
        assert results == [[2, 2]] * 3
        assert len(graphs) == 1


@since("2.1")
@pitfall(
    "new-values-recompile",
    docs=["torch.compile", "torch.compiler_troubleshooting"],
    symptom="torch.compile recompiles at every step; the log says that a guard failed",
    priority=2,
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestNewValuesRecompile:
    """Whatever a graph was specialised on is guarded: another dtype, length of a list, string or grad mode recompiles.

    Sizes are made dynamic at the second one that is seen, unless ``dynamic=False``. Keep what varies in tensors.
    """

    @pytest.mark.parametrize(
        ("inputs", "compiled"),
        [
            pytest.param([(torch.float32, 2), (torch.float64, 2)], 2, id="another dtype"),
            pytest.param([(torch.float32, "a"), (torch.float32, "bb"), (torch.float32, "ccc")], 3, id="strings"),
            pytest.param([(torch.float32, True), (torch.float32, False)], 2, id="flags"),
            pytest.param([(torch.float32, [1]), (torch.float32, [1, 2]), (torch.float32, [1, 2, 3])], 3, id="lists"),
        ],
    )
    def test_trap_each_compiles(self, device, compiler, inputs, compiled):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        @torch.compile(backend=count)
        def step(x, how):
            return x * len(str(how))

        for dtype, how in inputs:
            step(torch.ones(2, dtype=dtype, device=device), how)
        assert len(graphs) == compiled

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
    def test_trap_another_grad_mode_compiles(self, device, compiler, mode):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        double = torch.compile(lambda x: x * 2, backend=count)
        x = torch.ones(2, device=device, requires_grad=True)
        double(x)
        with mode():
            double(x)
        assert len(graphs) == 2

    @pytest.mark.parametrize(("training", "compiled"), [([True, False], 2), ([True, True], 1)], ids=["eval", "same"])
    def test_trap_eval_compiles(self, device, compiler, training, compiled):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        layer = nn.Dropout(0.0)
        drop = torch.compile(layer, backend=count)
        for mode in training:
            layer.train(mode)
            drop(torch.ones(2, device=device) * 2)
        assert len(graphs) == compiled

    @pytest.mark.parametrize(
        ("dynamic", "compiled"), [(None, 2), (False, 4), (True, 1)], ids=["default", "dynamic=False", "dynamic=True"]
    )
    def test_trap_sizes_become_dynamic_at_the_second(self, device, compiler, dynamic, compiled):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        double = torch.compile(lambda x: x * 2, backend=count, dynamic=dynamic)
        for size in (3, 4, 5, 6):
            double(torch.ones(size, device=device))
        assert len(graphs) == compiled

    def test_fix_a_tensor_is_not_specialised(self, device, compiler):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        scale = torch.compile(lambda x, factor: x * factor, backend=count)
        for factor in (2.0, 3.0, 4.0):
            scale(torch.ones(2, device=device), torch.tensor(factor, device=device))
        assert len(graphs) == 1
