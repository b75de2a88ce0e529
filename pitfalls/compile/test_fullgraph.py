"""``torch.compile(fullgraph=True)``: what can't be captured in one graph, and what came to be."""

import pytest
import torch

from pitfalls import before, pitfall, since


@since("2.1")
@pitfall(
    "fullgraph-refuses-a-branch-on-data",
    docs=[("torch.compile", "require that the entire function be capturable"), "cond"],
    symptom="torch._dynamo.exc.Unsupported: Data-dependent branching",
    error="Data-dependent branching",
    changed={"2.7": "a branch on a tensor's value raises Unsupported; it had been its subclass UserError"},
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestFullgraphRefusesABranchOnData:
    """An ``if`` on the value of a tensor can't be captured: ``fullgraph=True`` raises, the default compiles around it.

    A graph has no branches, and which way to go is known only when it runs. By default the function is cut in two
    there, without a word. Compute both sides and choose with ``torch.where``, or use ``torch.cond``.
    """

    def test_trap_fullgraph_raises(self, device, compiler):
        @torch.compile(backend="eager", fullgraph=True)
        def step(x):
            return x + 1 if x.sum() > 0 else x - 1

        with pytest.raises(torch._dynamo.exc.Unsupported, match=r"(Data-dependent branching|Dynamic control flow)"):
            step(torch.ones(2, device=device))

    def test_trap_by_default_it_is_cut_in_two(self, device, compiler):
        graphs = []

        def count(graph, _):
            graphs.append(graph)
            return graph.forward

        @torch.compile(backend=count)
        def step(x):
            return x + 1 if x.sum() > 0 else x - 1

        assert step(torch.ones(2, device=device)).tolist() == [2, 2]
        assert len(graphs) == 2

    def test_fix_where_needs_no_branch(self, device, compiler):
        @torch.compile(backend="eager", fullgraph=True)
        def step(x):
            return torch.where(x.sum() > 0, x + 1, x - 1)

        assert step(torch.ones(2, device=device)).tolist() == [2, 2]
        assert step(-torch.ones(2, device=device)).tolist() == [-2, -2]


READS = [
    pytest.param(lambda x: x + x.sum().item(), [3, 3], id="item"),
    pytest.param(lambda x: x.nonzero().flatten(), [0, 1], id="nonzero"),
    pytest.param(lambda x: x[x > 0], [1, 1], id="mask"),
    pytest.param(lambda x: x.unique(), [1], id="unique"),
]


@since("2.1")
@pitfall(
    "fullgraph-and-values-that-become-sizes",
    docs=["torch.compile", "torch.compiler_troubleshooting"],
    symptom="torch._dynamo.exc.Unsupported: Unsupported Tensor.item() call with capture_scalar_outputs=False",
    error="capture_scalar_outputs",
    changed={
        "2.10": "item(), nonzero(), masks and unique() are captured under fullgraph=True; they had raised Unsupported"
    },
)
@pytest.mark.slow  # the first compilation in a process takes seconds
class TestFullgraphAndValuesThatBecomeSizes:
    """``item()``, and operators whose result is as long as the data says, broke ``fullgraph=True`` up to torch 2.9.

    They are captured since torch 2.10, as unknown sizes that may not decide a branch. Up to then, and without
    ``fullgraph``, they cut the graph. Keep the value a tensor of a known shape where a graph has to serve old torches.
    """

    @before("2.10")
    @pytest.mark.parametrize(("read", "values"), READS)
    def test_trap_it_was_not_captured(self, device, compiler, read, values):
        step = torch.compile(read, backend="eager", fullgraph=True)
        with pytest.raises(torch._dynamo.exc.Unsupported, match=r"(Tensor\.item|[Dd]ynamic shape operator)"):
            step(torch.ones(2, device=device))

    @since("2.10")
    @pytest.mark.parametrize(("read", "values"), READS)
    def test_trap_it_is_captured(self, device, compiler, read, values):
        step = torch.compile(read, backend="eager", fullgraph=True)
        assert step(torch.ones(2, device=device)).tolist() == values

    @pytest.mark.parametrize(("read", "values"), READS)
    def test_trap_by_default_the_graph_is_cut(self, device, compiler, read, values):
        step = torch.compile(read, backend="eager")
        assert step(torch.ones(2, device=device)).tolist() == values

    @pytest.mark.parametrize(
        ("read", "values"),
        [
            pytest.param(lambda x: x + x.sum(), [3, 3], id="a tensor, not item"),
            pytest.param(lambda x: torch.where(x > 0, x, 0), [1, 1], id="where, not a mask"),
        ],
    )
    def test_fix_keep_the_shape_known(self, device, compiler, read, values):
        step = torch.compile(read, backend="eager", fullgraph=True)
        assert step(torch.ones(2, device=device)).tolist() == values
