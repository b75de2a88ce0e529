"""`torch.autograd.functional`: Jacobians and Hessians of functions, their shapes, and what they are cut off from."""

import pytest
import torch
from torch.autograd.functional import hessian, hvp, jacobian, jvp, vjp

from pitfalls import pitfall


@pitfall(
    "jacobian-of-a-batch-crosses-samples",
    docs=["torch.autograd.functional.jacobian", "torch.func.jacrev", "torch.func.vmap"],
    symptom="the Jacobian of my network for a batch has shape (batch, out, batch, in) and eats all memory",
    priority=2,
)
class TestJacobianOfABatchCrossesSamples:
    """``jacobian`` knows no batches: its shape is that of the output, followed by that of the input.

    For a batch it holds the derivative of each sample by every other, which is zero almost everywhere. Sum the outputs
    over the batch first, or put ``torch.func.vmap`` around ``jacrev``.
    """

    def test_trap_every_sample_by_every_other(self, device):
        x = torch.ones(3, 2, device=device)
        assert jacobian(lambda x: x**2, x).shape == (3, 2, 3, 2)

    def test_trap_across_samples_it_is_zero(self, device):
        x = torch.tensor([[1.0], [2.0]], device=device)
        assert jacobian(lambda x: x**2, x)[:, 0, :, 0].tolist() == [[2, 0], [0, 4]]

    def test_fix_sum_over_the_batch(self, device):
        x = torch.tensor([[1.0], [2.0]], device=device)
        assert jacobian(lambda x: (x**2).sum(0), x).tolist() == [[[2], [4]]]

    def test_fix_vmap_over_the_batch(self, device):
        x = torch.tensor([[1.0], [2.0]], device=device)
        assert torch.func.vmap(torch.func.jacrev(lambda x: x**2))(x).tolist() == [[[2]], [[4]]]


@pitfall(
    "jacobian-is-a-constant",
    docs=["torch.autograd.functional.jacobian", ("torch.autograd.functional.jacobian", "in a differentiable manner")],
    symptom="a penalty on the Jacobian has no effect on the weights, or raises",
    priority=2,
)
class TestJacobianIsAConstant:
    """What ``torch.autograd.functional`` returns is cut off from the graph, unless ``create_graph=True``.

    Neither the input nor the parameters in the function get a gradient through it. The function is called with a copy
    of the input, and no ``.grad`` is filled.
    """

    @pytest.mark.parametrize(
        "differentiate",
        [
            pytest.param(lambda f, x: jacobian(f, x), id="jacobian"),
            pytest.param(lambda f, x: hessian(f, x), id="hessian"),
            pytest.param(lambda f, x: vjp(f, x)[1], id="vjp"),
            pytest.param(lambda f, x: jvp(f, x, torch.ones_like(x))[1], id="jvp"),
            pytest.param(lambda f, x: hvp(f, x, torch.ones_like(x))[1], id="hvp"),
        ],
    )
    def test_trap_no_gradient_comes_through(self, device, differentiate):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        x = torch.tensor(2.0, device=device, requires_grad=True)
        assert not differentiate(lambda x: w * x**3, x).requires_grad

    def test_trap_the_input_is_a_copy(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
            jacobian(lambda _: torch.autograd.grad(_ * 3, x)[0], x)

    def test_fix_create_graph(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        x = torch.tensor(2.0, device=device)
        jacobian(lambda x: w * x**2, x, create_graph=True).backward()
        assert w.grad.item() == 4


@pitfall(
    "independent-output-gives-zeros",
    docs=[
        ("torch.autograd.functional.jacobian", "which is the expected mathematical value"),
        "torch.autograd.functional.hessian",
    ],
    symptom="the Jacobian is all zeros, because the function detached its input",
    priority=2,
)
class TestIndependentOutputGivesZeros:
    """``jacobian`` and ``hessian`` give zeros where the graph is cut: that is no different from a true zero.

    A ``detach()``, an ``item()`` or a rounding to integers in the function goes unnoticed. ``strict=True`` raises
    instead, also for a function that is truly constant, and does not go with ``vectorize=True``.
    """

    CUT = [
        pytest.param(lambda x: x.detach() ** 2, id="detach"),
        pytest.param(lambda x: torch.tensor(x.tolist(), device=x.device), id="tolist"),
        pytest.param(lambda x: x.long().to(x.dtype), id="integers in between"),
    ]

    @pytest.mark.parametrize("function", CUT)
    def test_trap_zeros_without_a_word(self, device, function):
        x = torch.tensor([1.0, 2.0], device=device)
        assert jacobian(function, x).tolist() == [[0, 0], [0, 0]]

    def test_trap_strict_does_not_go_with_vectorize(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(RuntimeError, match="are not supported together"):
            jacobian(lambda x: x**2, x, strict=True, vectorize=True)

    @pytest.mark.parametrize("function", CUT)
    def test_fix_strict_raises(self, device, function):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(RuntimeError, match="does not require gradients"):
            jacobian(function, x, strict=True)

    def test_fix_strict_finds_a_missing_second_derivative(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(RuntimeError, match="is independent of the input"):
            hessian(lambda x: (x * 3).sum(), x, strict=True)


@pitfall(
    "functional-api-wants-tensors",
    docs=["torch.autograd.functional.jacobian", "torch.autograd.functional.hessian", "torch.autograd.functional.vjp"],
    symptom="TypeError: The inputs given to jacobian must be either a Tensor or a tuple of Tensors",
    error="must be either a Tensor or a tuple of Tensors",
    priority=3,
)
class TestFunctionalApiWantsTensors:
    """``torch.autograd.functional`` takes and returns tensors and tuples of them: no lists, no numbers, no dicts.

    ``hessian`` wants one element as output, and ``vjp`` and ``jvp`` a vector wherever theirs has more than one.
    ``torch.func`` takes nested containers.
    """

    @pytest.mark.parametrize(
        "inputs",
        [
            pytest.param(lambda x: [x], id="a list"),
            pytest.param(lambda x: {"x": x}, id="a dict"),
            pytest.param(lambda _: 2.0, id="a number"),
        ],
    )
    def test_trap_other_inputs_are_refused(self, device, inputs):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(TypeError, match="inputs given to jacobian must be either a Tensor or a tuple of Tensors"):
            jacobian(lambda x: x, inputs(x))

    @pytest.mark.parametrize(
        "outputs", [lambda x: [x], lambda x: {"y": x}, lambda x: x.sum().item()], ids=["a list", "a dict", "a number"]
    )
    def test_trap_other_outputs_are_refused(self, device, outputs):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(TypeError, match="must be either a Tensor or a tuple of Tensors"):
            jacobian(outputs, x)

    def test_trap_a_hessian_is_of_one_number(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(RuntimeError, match="should contain a single element"):
            hessian(lambda x: x**2, x)

    @pytest.mark.parametrize("product", [vjp, jvp], ids=["vjp", "jvp"])
    def test_trap_a_product_needs_its_vector(self, device, product):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(RuntimeError, match="The vector v can only be None if"):
            product(lambda x: x**2, x)

    def test_fix_a_tuple(self, device):
        x, w = torch.tensor(2.0, device=device), torch.tensor(3.0, device=device)
        by_x, by_w = jacobian(lambda x, w: x * w, (x, w))
        assert (by_x.item(), by_w.item()) == (3, 2)

    def test_fix_func_takes_containers(self, device):
        params = {"w": torch.tensor(3.0, device=device)}
        by_params = torch.func.jacrev(lambda params: {"y": params["w"] ** 2})(params)
        assert by_params["y"]["w"].item() == 6
