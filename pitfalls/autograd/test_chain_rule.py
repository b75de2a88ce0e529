"""The values that backward leaves, and those that it does not: intermediate results keep no gradient."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "backward-fills-leaves-by-the-chain-rule",
    docs=[("torch.Tensor.backward", "differentiated using the chain rule"), "torch.Tensor.grad"],
    symptom="what does backward compute, and where is the result",
    priority=1,
)
class TestBackwardFillsLeavesByTheChainRule:
    """``backward()`` returns nothing: it writes the derivative of its tensor into ``.grad`` of every leaf.

    The chain rule runs through all intermediate results. ``.grad`` is None before the first call.
    """

    def test_trap_grad_is_none_before(self, device):
        x = torch.ones(1, device=device, requires_grad=True)
        y = x + 2
        assert x.grad is None
        assert y.backward() is None

    @pytest.mark.parametrize(
        ("function", "grad"),
        [
            pytest.param(lambda x: x + 2, 1, id="x + 2"),
            pytest.param(lambda x: (2 * x) ** 2, 8, id="(2x) squared"),
            pytest.param(lambda x: 4 * x**2, 8, id="4x squared"),
        ],
    )
    def test_fix_read_it_from_the_leaf(self, device, function, grad):
        x = torch.ones(1, device=device, requires_grad=True)
        function(x).backward()
        assert x.grad.tolist() == [grad]

    def test_fix_each_input_has_its_own(self, device):
        x1, x2, x3, x4 = (torch.tensor(v, device=device, requires_grad=True) for v in (2.0, 3.0, 1.0, 4.0))
        (x1 * x2 + x3**2 - x4 / x2).backward()
        grads = [x.grad.item() for x in (x1, x2, x3, x4)]
        torch.testing.assert_close(grads, [3.0, 2 + 4 / 9, 2.0, -1 / 3])

    def test_fix_a_product_swaps_its_factors(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = torch.tensor(5.0, device=device, requires_grad=True)
        (x * y).backward()
        assert (x.grad.item(), y.grad.item()) == (5, 2)


@pitfall(
    "intermediate-grad-is-not-kept",
    docs=[("torch.Tensor.retain_grad", "populated during"), "torch.Tensor.is_leaf"],
    symptom="y.grad is None for a result y, with a warning about a non-leaf Tensor",
    error="The .grad attribute of a Tensor that is not a leaf Tensor is being accessed",
    priority=1,
)
class TestIntermediateGradIsNotKept:
    """The gradient of an intermediate result is used and dropped; ``retain_grad()`` before ``backward()`` keeps it.

    Without it ``y.grad`` is None, with a UserWarning. Called after ``backward()`` it comes too late for that gradient.
    """

    def test_trap_it_is_none_with_a_warning(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = 3 * x**2
        (y**4).backward()
        with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
            assert y.grad is None

    def test_trap_after_backward_it_is_too_late(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = 3 * x**2
        (y**4).backward()
        y.retain_grad()
        assert y.grad is None

    def test_trap_a_constant_has_none_to_retain(self, device):
        with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=False"):
            torch.ones(1, device=device).retain_grad()

    def test_fix_retain_grad_before(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = 3 * x**2
        y.retain_grad()
        (y**4).backward()
        assert x.grad.item() == 82944
        assert y.grad.item() == 6912

    def test_fix_a_leaf_keeps_its_own_anyway(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        x.retain_grad()
        (x * 3).backward()
        assert x.grad.item() == 3


@pitfall(
    "clone-stays-in-the-graph",
    docs=[("torch.clone", "This function is differentiable"), "torch.Tensor.detach"],
    symptom="I cloned a tensor to be independent and gradients still flow into the original",
    priority=1,
)
class TestCloneStaysInTheGraph:
    """``clone()`` copies the memory and keeps the graph; ``detach()`` leaves the graph and shares the memory.

    ``x.detach().clone()`` is the copy that has to do with ``x`` no more.
    """

    def test_trap_gradient_flows_through_a_clone(self, device):
        x = torch.ones(2, 3, device=device, requires_grad=True)
        torch.clone(x).sum().backward()
        assert x.grad.tolist() == [[1, 1, 1], [1, 1, 1]]

    def test_trap_a_detached_tensor_shares_its_memory(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        x.detach()[0] = 5
        assert x.tolist() == [5, 1]

    def test_trap_a_detached_tensor_is_out_of_the_graph(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        assert not x.detach().requires_grad

    @pytest.mark.parametrize(
        "copy",
        [
            pytest.param(lambda x: x.detach().clone(), id="detach and clone"),
            pytest.param(lambda x: x.clone().detach(), id="clone and detach"),
        ],
    )
    def test_fix_detach_and_clone(self, device, copy):
        x = torch.ones(2, device=device, requires_grad=True)
        y = copy(x)
        y[0] = 5
        assert x.tolist() == [1, 1]
        assert not y.requires_grad
