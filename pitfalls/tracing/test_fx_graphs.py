"""Graphs of ``torch.fx`` under change: dead code that was alive, nodes behind the output, another order, no answer."""

import operator

import pytest
import torch
from torch import fx
from torch.fx.passes.tools_common import legalize_graph

from pitfalls import pitfall, since


@pitfall(
    "dead-code-elimination-drops-writes",
    docs=[("torch.fx.Graph.eliminate_dead_code", "you should assume that this method is not")],
    symptom="after eliminate_dead_code() a module no longer writes into its input, or no longer logs",
    changed={"2.5": "eliminate_dead_code(is_impure_node=...) lets you say which nodes have effects"},
    priority=3,
)
class TestDeadCodeEliminationDropsWrites:
    """``eliminate_dead_code`` removes each node whose result nobody uses, also one that writes in place.

    It spares assertions and a few more, but not ``print``. Say which nodes have effects with
    ``is_impure_node=``, or make the graph use their results.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x: x.add_(1), id="method"),
            pytest.param(lambda x: operator.iadd(x, 1), id="operator"),
        ],
    )
    def test_trap_a_write_is_gone(self, device, write):
        module = fx.symbolic_trace(lambda x: (write(x), x)[1])
        module.graph.eliminate_dead_code()
        module.recompile()
        assert module(torch.zeros(1, device=device)).item() == 0

    def test_trap_a_function_with_an_effect_is_gone(self):
        graph = fx.Graph()
        x = graph.placeholder("x")
        graph.call_function(print, (x,))
        graph.output(x)
        graph.eliminate_dead_code()
        assert [node.op for node in graph.nodes] == ["placeholder", "output"]

    @since("2.5")
    def test_fix_say_what_has_effects(self, device):
        module = fx.symbolic_trace(lambda x: (x.add_(1), x)[1])
        module.graph.eliminate_dead_code(is_impure_node=lambda node: node.is_impure() or node.target == "add_")
        module.recompile()
        assert module(torch.zeros(1, device=device)).item() == 1

    def test_fix_use_the_result(self, device):
        module = fx.symbolic_trace(lambda x: x.add_(1))
        module.graph.eliminate_dead_code()
        module.recompile()
        assert module(torch.zeros(1, device=device)).item() == 1


@pitfall(
    "fx-inserts-behind-the-output",
    docs=["torch.fx.Graph.inserting_before", "torch.fx.Graph.call_function"],
    symptom="a node that I added to a traced graph has no effect, or its name is unknown when the module runs",
    priority=3,
)
class TestFxInsertsBehindTheOutput:
    """A new node goes to the end of its graph, which in a finished graph is behind the output, where nothing runs.

    Say where it belongs: ``with graph.inserting_before(node):``.
    """

    def test_trap_it_comes_last(self):
        graph = fx.Graph()
        x = graph.placeholder("x")
        graph.output(x)
        graph.call_function(torch.neg, (x,))
        assert [node.op for node in graph.nodes] == ["placeholder", "output", "call_function"]

    def test_trap_the_output_cannot_use_it(self, device):
        module = fx.symbolic_trace(lambda x: x + 1)
        *_, added, output = module.graph.nodes
        output.args = (module.graph.call_function(torch.neg, (added,)),)
        module.recompile()
        with pytest.raises(UnboundLocalError, match="'neg'"):
            module(torch.ones(1, device=device))

    def test_fix_insert_before_the_output(self, device):
        module = fx.symbolic_trace(lambda x: x + 1)
        *_, added, output = module.graph.nodes
        with module.graph.inserting_before(output):
            output.args = (module.graph.call_function(torch.neg, (added,)),)
        module.recompile()
        assert module(torch.ones(1, device=device)).item() == -2


@pitfall(
    "legalize-graph-changes-the-order",
    docs=["torch.fx.passes.tools_common.legalize_graph"],
    symptom="after legalize_graph() the nodes run in another order, though the graph was in a right one",
    priority=3,
)
class TestLegalizeGraphChangesTheOrder:
    """``legalize_graph`` sorts anew: nodes come as soon as their inputs are there, not where they were written.

    Also a graph in a right order is rearranged. ``graph.lint()`` tells whether that is needed at all.
    """

    def test_trap_the_order_is_another(self):
        module = fx.symbolic_trace(lambda x: x.neg().exp() + x.abs())
        legalize_graph(module)
        assert [node.target for node in module.graph.nodes][1:4] == ["neg", "abs", "exp"]

    def test_fix_lint_says_whether_it_is_needed(self):
        graph = fx.Graph()
        x = graph.placeholder("x")
        output = graph.output(x)
        output.append(x)  # moves it behind what uses it
        with pytest.raises(RuntimeError, match="used before it has been defined"):
            graph.lint()


@pytest.fixture(autouse=True)
def validation():
    """Whether distributions check their arguments, which the import of the module switches off."""
    validated = torch.distributions.Distribution._validate_args
    yield
    torch.distributions.Distribution.set_default_validate_args(validated)


@since("2.8")
@pitfall(
    "statically-known-is-not-the-opposite",
    docs=[
        ("torch.fx.experimental.symbolic_shapes.statically_known_true", "doesn't introduce new guards"),
        "torch.fx.experimental.symbolic_shapes.statically_known_false",
    ],
    symptom="a branch is taken for a size that is not known at all",
    priority=3,
)
@pytest.mark.slow  # the import takes seconds
class TestStaticallyKnownIsNotTheOpposite:
    """``statically_known_true`` gives False for what is false and for what nobody knows, and so does its counterpart.

    They add no guard, so that the condition may turn out either way when the program runs. Ask both, or state the fact
    with ``torch._check`` first.
    """

    def test_trap_it_is_not_known_to_be_true(self):
        from torch.fx.experimental.symbolic_shapes import ShapeEnv, statically_known_true

        assert statically_known_true(ShapeEnv().create_unbacked_symint() > 4) is False

    def test_trap_it_is_not_known_to_be_false(self):
        from torch.fx.experimental.symbolic_shapes import ShapeEnv, statically_known_false

        assert statically_known_false(ShapeEnv().create_unbacked_symint() > 4) is False

    def test_fix_state_it(self):
        from torch.fx.experimental.symbolic_shapes import ShapeEnv, statically_known_true

        size = ShapeEnv().create_unbacked_symint()
        torch._check(size > 4)
        assert statically_known_true(size > 4) is True
