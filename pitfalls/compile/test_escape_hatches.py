"""Ways out of the compiler's rules: guards that are dropped, functions that are swapped, branches and budgets."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall, since

# The first compilation in a process takes seconds.
pytestmark = pytest.mark.slow


@since("2.10")
@pitfall(
    "skipped-guards-reuse-wrong-code",
    docs=[("torch.compiler.skip_all_guards_unsafe", "drop all the safety guarantees"), "torch.compile"],
    symptom="a compiled model gives wrong results for inputs of another kind, without recompiling",
    priority=3,
)
class TestSkippedGuardsReuseWrongCode:
    """With ``skip_all_guards_unsafe`` the code of the first call serves all later ones, whatever they are called with.

    A number, a shape or a flag that has changed is not looked at. Leave the guards in, or drop those that you have
    proved needless with a ``guard_filter_fn`` of your own.
    """

    def test_trap_a_number_stays(self, device, compiler):
        options = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
        scale = torch.compile(lambda x, factor: x * factor, backend="eager", options=options)
        x = torch.ones(1, device=device)
        assert [scale(x, factor).item() for factor in (2, 5)] == [2, 2]

    def test_trap_a_shape_stays(self, device, compiler):
        options = {"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}
        total = torch.compile(lambda x: x[0] * len(x), backend="eager", options=options)
        assert [total(torch.ones(length, device=device)).item() for length in (2, 5)] == [2, 2]

    def test_fix_keep_the_guards(self, device, compiler):
        scale = torch.compile(lambda x, factor: x * factor, backend="eager")
        x = torch.ones(1, device=device)
        assert [scale(x, factor).item() for factor in (2, 5)] == [2, 5]


@since("2.5")
@pitfall(
    "substitutes-are-for-tracing-only",
    docs=[
        ("torch.compiler.substitute_in_graph", "is only used when inlining the original function"),
    ],
    symptom="a function behaves differently under torch.compile than outside of it",
    priority=3,
)
class TestSubstitutesAreForTracingOnly:
    """What ``substitute_in_graph`` registers replaces the function while torch traces, never in a plain call.

    Nothing compares the two, so that a substitute which does something else changes results under ``torch.compile``
    only. Test it against the original.
    """

    def test_trap_two_functions_under_one_name(self, device, compiler):
        def double(x):
            return x * 2

        @torch.compiler.substitute_in_graph(double)
        def double_in_graph(x):
            return x * 200

        x = torch.ones(1, device=device)
        compiled = torch.compile(lambda x: double(x), backend="eager", fullgraph=True)
        assert [double(x).item(), compiled(x).item()] == [2, 200]

    def test_fix_one_that_does_the_same(self, device, compiler):
        def double(x):
            return x * 2

        @torch.compiler.substitute_in_graph(double)
        def double_in_graph(x):
            return x + x

        x = torch.ones(1, device=device)
        compiled = torch.compile(lambda x: double(x), backend="eager", fullgraph=True)
        assert [double(x).item(), compiled(x).item()] == [2, 2]


@since("2.3")
@pitfall(
    "wrapped-numpy-has-no-gradient-until-compiled",
    docs=[("torch.compiler.wrap_numpy", "This decorator does not work without"), "torch.compile"],
    symptom="Can't call numpy() on Tensor that requires grad, from a function under torch.compiler.wrap_numpy",
    error="Can't call numpy() on Tensor that requires grad",
    contradicts={"torch.compiler.wrap_numpy": "without torch.compile it works for tensors that don't require grad"},
    priority=3,
)
class TestWrappedNumpyHasNoGradientUntilCompiled:
    """A function under ``wrap_numpy`` gives tensors without ``torch.compile`` as well, but only compiled a gradient.

    Uncompiled it goes through NumPy, which refuses a tensor that requires grad, and any that is not on the CPU.
    """

    def test_trap_uncompiled_it_works(self):
        square = torch.compiler.wrap_numpy(lambda x: np.square(x))
        assert square(torch.tensor([3.0])).tolist() == [9]

    def test_trap_but_not_with_a_gradient(self):
        square = torch.compiler.wrap_numpy(lambda x: np.square(x))
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
            square(torch.tensor([3.0], requires_grad=True))

    def test_fix_compile_it(self, device, compiler):
        square = torch.compile(torch.compiler.wrap_numpy(lambda x: np.square(x)), backend="aot_eager", fullgraph=True)
        x = torch.tensor([3.0], device=device, requires_grad=True)
        square(x).sum().backward()
        assert x.grad.tolist() == [6]


@since("2.4")
@pitfall(
    "cond-returns-new-tensors",
    docs=[("torch.cond", "share object identity with the original inputs"), "cond"],
    symptom="torch.cond raises that higher order ops do not support aliasing",
    error="doesn't work unless it is captured completely with torch.compile",
    changed={"2.8": "a branch that returns its input unchanged is refused"},
    priority=3,
)
class TestCondReturnsNewTensors:
    """``torch.cond`` on a tensor gives a new tensor; a branch that returns its input as it is doesn't compile.

    With a Python ``bool`` as the predicate it is an ordinary call of the branch, whose result may be the input. Clone
    in the branch that changes nothing.
    """

    @since("2.8")
    def test_trap_a_branch_that_does_nothing_is_refused(self, device, compiler):
        x = torch.ones(1, device=device)
        with pytest.raises(RuntimeError, match="doesn't work unless it is captured completely with"):
            torch.cond(x.sum() > 0, lambda x: x, lambda x: x + 1, (x,))

    @since("2.6")
    @pytest.mark.filterwarnings("ignore:Pred is a Python constant:UserWarning")
    def test_trap_a_python_bool_calls_the_branch(self, device, compiler):
        x = torch.ones(1, device=device)
        assert torch.cond(True, lambda x: x, lambda x: x + 1, (x,)) is x

    def test_fix_clone(self, device, compiler):
        x = torch.ones(1, device=device)
        y = torch.cond(x.sum() > 0, lambda x: x.clone(), lambda x: x + 1, (x,))
        assert [y.item(), y.data_ptr() == x.data_ptr()] == [1, False]


@since("2.13")
@pitfall(
    "memory-budget-covers-the-graph",
    docs=[
        ("torch.autograd.graph.region_activation_memory_budget", "must cover every forward op in the graph"),
    ],
    symptom="region_activation_memory_budget: must cover the entire forward of a graph",
    error="must cover the entire forward of a graph | conflicting budgets within a single joint graph",
    priority=3,
)
class TestMemoryBudgetCoversTheGraph:
    """``region_activation_memory_budget`` must hold all of the forward pass of one compiled graph, with one budget.

    A part of it, or a second budget, raises at the first call. Between regions that are to differ put a graph break,
    ``torch._dynamo.graph_break()``, which makes two graphs of one.
    """

    def test_trap_a_part_is_refused(self, device, compiler):
        @torch.compile(backend="aot_eager_decomp_partition")
        def loss(x):
            with torch.autograd.graph.region_activation_memory_budget(0.5):
                y = x.exp()
            return y.sin().sum()

        with pytest.raises(RuntimeError, match="must cover the entire forward of a graph"):
            loss(torch.ones(2, device=device, requires_grad=True))

    def test_trap_two_budgets_are_refused(self, device, compiler):
        @torch.compile(backend="aot_eager_decomp_partition")
        def loss(x):
            with torch.autograd.graph.region_activation_memory_budget(0.5):
                y = x.exp()
            with torch.autograd.graph.region_activation_memory_budget(0.2):
                return y.sin().sum()

        with pytest.raises(RuntimeError, match="conflicting budgets within a single joint graph"):
            loss(torch.ones(2, device=device, requires_grad=True))

    def test_fix_all_of_it(self, device, compiler):
        @torch.compile(backend="aot_eager_decomp_partition")
        def loss(x):
            with torch.autograd.graph.region_activation_memory_budget(0.5):
                return (x * 2).sum()

        x = torch.ones(2, device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(loss(x), x)
        assert grad.tolist() == [2, 2]
