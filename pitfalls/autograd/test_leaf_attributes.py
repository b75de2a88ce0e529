"""Attributes of leaves: what requires grad by default, the dtype of a gradient, and what `Variable` has become."""

import pytest
import torch
from torch import nn
from torch.autograd import Variable

from pitfalls import pitfall, since


@pitfall(
    "data-requires-no-grad-by-default",
    docs=["torch.Tensor.requires_grad", "torch.nn.Parameter", "notes/autograd#setting-requires-grad"],
    symptom="RuntimeError: One of the differentiated Tensors does not require grad, for the gradient of an input",
    error="One of the differentiated Tensors does not require grad",
    priority=2,
)
class TestDataRequiresNoGradByDefault:
    """Only an ``nn.Parameter`` requires grad by itself: data, buffers and everything that a factory makes do not.

    For the gradient with respect to an input, as in saliency maps and adversarial examples, call
    ``x.requires_grad_()`` before the forward pass.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda device: torch.ones(1, device=device), id="ones"),
            pytest.param(lambda device: torch.tensor([1.0], device=device), id="tensor"),
            pytest.param(lambda device: nn.BatchNorm1d(1, device=device).running_mean, id="a buffer"),
            pytest.param(lambda device: nn.Parameter(torch.ones(1, device=device)).detach(), id="detached"),
        ],
    )
    def test_trap_it_has_no_gradient(self, device, make):
        x = make(device)
        w = nn.Parameter(torch.ones(1, device=device))
        with pytest.raises(RuntimeError, match="One of the differentiated Tensors does not require grad"):
            torch.autograd.grad(w * x, [w, x])

    def test_trap_a_parameter_has_one(self, device):
        w = nn.Parameter(torch.ones(1, device=device))
        assert w.requires_grad

    def test_fix_requires_grad_before_the_forward_pass(self, device):
        x = torch.tensor([1.0], device=device).requires_grad_()
        w = nn.Parameter(torch.full((1,), 3.0, device=device))
        (grad,) = torch.autograd.grad(w * x, x)
        assert grad.tolist() == [3]


@since("2.10")
@pitfall(
    "grad-dtype-may-differ",
    docs=[("torch.Tensor.grad_dtype", "break downstream systems that assume they match"), "torch.Tensor.grad"],
    symptom="a gradient has another dtype than its parameter",
    priority=3,
)
class TestGradDtypeMayDiffer:
    """``grad_dtype`` lets a leaf keep its gradient in another dtype than its own, so the two need not match.

    A bfloat16 weight may accumulate in float32 that way. Only leaves have the setting, which is then also what an
    assigned gradient must have.
    """

    def test_trap_the_gradient_is_wider_than_its_leaf(self, device):
        w = torch.tensor(2.0, dtype=torch.bfloat16, device=device, requires_grad=True)
        w.grad_dtype = torch.float32
        (w.float() * 3).backward()
        assert w.grad.dtype == torch.float32
        assert w.dtype == torch.bfloat16

    def test_trap_its_own_dtype_is_refused_then(self, device):
        w = torch.tensor(2.0, dtype=torch.bfloat16, device=device, requires_grad=True)
        w.grad_dtype = torch.float32
        with pytest.raises(RuntimeError, match="attempting to assign a gradient with dtype"):
            w.grad = torch.ones_like(w)

    def test_fix_by_default_they_match(self, device):
        w = torch.tensor(2.0, dtype=torch.bfloat16, device=device, requires_grad=True)
        (w.float() * 3).backward()
        assert w.grad_dtype == torch.bfloat16
        assert w.grad.dtype == torch.bfloat16


@pitfall(
    "variable-is-a-tensor",
    docs=["autograd", "torch.Tensor.requires_grad"],
    symptom="code from the days of torch 0.3 wraps everything into Variable",
    priority=3,
)
class TestVariableIsATensor:
    """``Variable(x)`` is a plain tensor, every tensor is an instance of ``Variable``, and ``volatile=True`` only warns.

    So a check with ``isinstance`` says nothing, and evaluation with ``volatile`` records the graph. Leave ``Variable``
    out, and use ``torch.no_grad()``.
    """

    def test_trap_it_is_a_tensor(self, device):
        data = torch.ones(1, device=device)
        x = Variable(data)
        assert not x.requires_grad
        assert x.data_ptr() == data.data_ptr()

    def test_trap_every_tensor_is_one(self, device):
        assert isinstance(torch.ones(1, device=device), Variable)

    def test_trap_volatile_does_nothing(self, device):
        with pytest.warns(UserWarning, match="volatile was removed and now has no effect"):
            x = Variable(torch.ones(1, device=device), volatile=True)
        w = torch.ones(1, device=device, requires_grad=True)
        assert (w * x).requires_grad

    def test_fix_no_grad(self, device):
        w = torch.ones(1, device=device, requires_grad=True)
        with torch.no_grad():
            y = w * torch.ones(1, device=device)
        assert not y.requires_grad
