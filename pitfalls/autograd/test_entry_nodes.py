"""``grad_fn``, the entry into the graph: who has one, and where it leads."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "grad-fn-is-the-entry-to-the-graph",
    docs=["notes/autograd#how-autograd-encodes-the-history", "torch.autograd.graph.Node.next_functions"],
    symptom="grad_fn of my tensor is None",
    priority=3,
)
class TestGradFnIsTheEntryToTheGraph:
    """A tensor has a ``grad_fn`` if autograd has recorded the operation that made it, and None otherwise.

    None have leaves, results of inputs that require no grad, and what is computed under ``no_grad``. From there
    ``next_functions`` leads back; at its ends stand nodes that hold the leaves and accumulate into ``.grad``.
    """

    @pytest.mark.parametrize(
        "tensor",
        [
            pytest.param(lambda x, w: w, id="leaf"),
            pytest.param(lambda x, w: x * 2, id="result without grad"),
            pytest.param(lambda x, w: (x * w).detach(), id="detached"),
        ],
    )
    def test_trap_no_entry(self, device, tensor):
        x, w = torch.tensor(3.0, device=device), torch.tensor(2.0, device=device, requires_grad=True)
        assert tensor(x, w).grad_fn is None

    def test_trap_no_entry_under_no_grad(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        with torch.no_grad():
            y = w * 3
        assert y.grad_fn is None

    def test_trap_the_entry_is_the_last_operation(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        y = (w * 3).exp()
        assert [y.grad_fn.name(), y.grad_fn.next_functions[0][0].name()] == ["ExpBackward0", "MulBackward0"]

    def test_fix_find_the_leaf(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        assert (w * 3).grad_fn.next_functions[0][0].variable is w

    def test_fix_an_input_that_needs_none_leads_nowhere(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        assert (w * torch.tensor(3.0, device=device)).grad_fn.next_functions[1][0] is None
