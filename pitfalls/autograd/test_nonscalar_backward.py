"""Backward of what is not a scalar: vector-Jacobian products, their shapes, and sums and means as the way out."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "implicit-grad-needs-a-scalar",
    docs=[("torch.Tensor.backward", "the function additionally requires specifying"), "torch.autograd.backward"],
    symptom="RuntimeError: grad can be implicitly created only for scalar outputs",
    error="grad can be implicitly created only for scalar outputs",
    priority=1,
    changed={"2.1": "backward of a complex scalar needs a vector, too"},
)
class TestImplicitGradNeedsAScalar:
    """``backward()`` without an argument works for tensors of one element only; others need a vector.

    A forgotten reduction (``reduction="none"``, a loss per sample) ends here. Reduce with ``sum()`` or ``mean()``, or
    pass ``gradient=`` of the shape of the output.
    """

    @pytest.mark.parametrize("shape", [(2,), (2, 3), (1, 2), (0,)], ids=str)
    @pytest.mark.parametrize(
        "differentiate",
        [
            pytest.param(lambda y, _: y.backward(), id="backward"),
            pytest.param(lambda y, _: torch.autograd.backward(y), id="autograd.backward"),
            pytest.param(lambda y, x: torch.autograd.grad(y, x), id="autograd.grad"),
        ],
    )
    def test_trap_many_elements_are_refused(self, device, differentiate, shape):
        x = torch.zeros(shape, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
            differentiate(torch.clone(x), x)

    @pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)], ids=str)
    def test_trap_one_element_counts_as_a_scalar(self, device, shape):
        x = torch.ones(shape, device=device, requires_grad=True)
        (x + 2).backward()
        assert x.grad.tolist() == torch.ones(shape).tolist()

    @since("2.1")
    def test_trap_a_complex_scalar_is_refused_too(self, device):
        z = torch.tensor(1 + 1j, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="only for real scalar outputs"):
            (z * z).backward()

    @before("2.1")
    def test_trap_a_complex_scalar_was_let_through(self, device):
        z = torch.tensor(1 + 1j, device=device, requires_grad=True)
        (z * z).backward()
        assert z.grad.item() == 2 - 2j

    def test_fix_sum_gives_each_its_gradient(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.tolist() == [2, 4]

    def test_fix_mean_divides_it_by_the_count(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (x * x).mean().backward()
        assert x.grad.tolist() == [1, 2]

    def test_fix_a_vector_of_ones_is_the_sum(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (x * x).backward(torch.ones(2, device=device))
        assert x.grad.tolist() == [2, 4]


@pitfall(
    "backward-is-a-vector-jacobian-product",
    docs=[("torch.autograd.backward", "Jacobian-vector product"), "torch.Tensor.backward"],
    symptom="x.grad is not the Jacobian but some weighted sum of its rows",
    priority=1,
)
class TestBackwardIsAVectorJacobianProduct:
    """``y.backward(v)`` computes ``v @ J``: the rows of the Jacobian, weighed by ``v`` and summed.

    No call of it gives the Jacobian itself; one call with each unit vector gives its rows, as do
    ``torch.autograd.functional.jacobian`` and ``torch.func.jacrev``.
    """

    def test_trap_the_rows_are_weighed_and_summed(self, device):
        x = torch.tensor([2.0, 3.0], device=device, requires_grad=True)
        y = torch.stack([x[0] * x[1], x[0] * 10])
        y.backward(torch.tensor([1.0, 0.5], device=device))
        assert x.grad.tolist() == [8, 2]  # [3, 2] + 0.5 * [10, 0]

    def test_fix_one_row_at_a_time(self, device):
        x = torch.tensor([2.0, 3.0], device=device, requires_grad=True)
        y = torch.stack([x[0] * x[1], x[0] * 10])
        rows = [torch.autograd.grad(y, x, unit, retain_graph=True)[0].tolist() for unit in torch.eye(2, device=device)]
        assert rows == [[3, 2], [10, 0]]

    def test_fix_all_rows_at_once(self, device):
        x = torch.tensor([2.0, 3.0], device=device, requires_grad=True)
        y = torch.stack([x[0] * x[1], x[0] * 10])
        (rows,) = torch.autograd.grad(y, x, torch.eye(2, device=device), is_grads_batched=True)
        assert rows.tolist() == [[3, 2], [10, 0]]

    @pytest.mark.parametrize(
        "jacobian",
        [
            pytest.param(lambda f, x: torch.autograd.functional.jacobian(f, x), id="functional.jacobian"),
            pytest.param(lambda f, x: torch.func.jacrev(f)(x), id="jacrev"),
        ],
    )
    def test_fix_ask_for_the_jacobian(self, device, jacobian):
        x = torch.tensor([2.0, 3.0], device=device)
        assert jacobian(lambda x: torch.stack([x[0] * x[1], x[0] * 10]), x).tolist() == [[3, 2], [10, 0]]


@pitfall(
    "gradient-has-the-shape-of-the-output",
    docs=["torch.Tensor.backward", ("torch.autograd.backward", "sequence of matching length")],
    symptom="Mismatch in shape: grad_output[0] has a shape of ... and output[0] has a shape of ...",
    error="Mismatch in shape: grad_output[0] has a shape of",
    priority=1,
)
class TestGradientHasTheShapeOfTheOutput:
    """The vector passed to ``backward`` has the shape of the output, exactly: it is not broadcast.

    A single number in its place is refused, and so is a complex vector for a real output.
    ``torch.ones_like(y)`` fits always.
    """

    @pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (1, 2)], ids=str)
    def test_trap_another_shape_is_refused(self, device, shape):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"Mismatch in shape: grad_output\[0\] has a shape of"):
            (x * 2).backward(torch.ones(shape, device=device))

    def test_trap_a_complex_vector_is_refused_for_a_real_output(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="For complex Tensors, both grad_output and output are required"):
            (x * 2).backward(torch.ones(2, dtype=torch.complex64, device=device))

    def test_fix_ones_like_the_output(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        y = x * 2
        y.backward(torch.ones_like(y))
        assert x.grad.tolist() == [2, 2]
