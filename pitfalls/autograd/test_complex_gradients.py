"""Gradients of complex tensors: of what, by which convention, and why they point the right way."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "complex-gradient-is-conjugate",
    docs=["notes/autograd#autograd-for-complex-numbers", "complex_numbers"],
    symptom="the gradient of z ** 2 is 2 * conj(z); JAX gives the conjugate of what torch gives",
    priority=2,
)
class TestComplexGradientIsConjugate:
    """The gradient of a real loss by ``z = x + iy`` is ``dL/dx + i dL/dy``: the direction of steepest ascent.

    So ``|z| ** 2`` has the gradient ``2 z``, and a step against it leads to 0. For a holomorphic function that makes
    ``grad`` the conjugate of the derivative: pass the vector, and take the conjugate.
    """

    @pytest.mark.parametrize(
        ("loss", "gradient"),
        [
            pytest.param(lambda z: z.abs() ** 2, 6 + 8j, id="|z| ** 2"),
            pytest.param(lambda z: (z * z.conj()).real, 6 + 8j, id="z times conj z"),
            pytest.param(lambda z: torch.view_as_real(z).square().sum(), 6 + 8j, id="squares of the parts"),
            pytest.param(lambda z: z.real, 1, id="real part"),
            pytest.param(lambda z: z.imag, 1j, id="imaginary part"),
            pytest.param(lambda z: (z**2).real, 6 - 8j, id="real part of z ** 2"),
        ],
    )
    def test_trap_derivatives_by_both_parts(self, device, loss, gradient):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        loss(z).backward()
        torch.testing.assert_close(z.grad, torch.tensor(gradient, dtype=z.dtype, device=device))

    def test_trap_a_holomorphic_derivative_comes_out_conjugate(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (z**2).backward(torch.tensor(1 + 0j, device=device))
        assert z.grad.item() == 6 - 8j

    def test_fix_a_step_against_it_descends(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (z.abs() ** 2).backward()
        assert abs((z - 0.5 * z.grad).item()) < 1e-5

    def test_fix_conjugate_for_the_derivative(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(z**2, z, torch.tensor(1 + 0j, device=device))
        assert grad.conj().item() == 6 + 8j


@pitfall(
    "complex-result-is-no-loss",
    docs=["torch.Tensor.backward", "notes/autograd#autograd-for-complex-numbers"],
    symptom="RuntimeError: grad can be implicitly created only for real scalar outputs but got torch.complex64",
    error="grad can be implicitly created only for real scalar outputs",
    changed={"2.1": "backward() of a complex scalar is refused; it had differentiated the real part without a word"},
    priority=3,
)
class TestComplexResultIsNoLoss:
    """A complex number can't be minimised: ``backward()`` without a vector is refused for it, since torch 2.1.

    Before, the vector was 1, which gives the gradient of the real part alone. Take ``abs()``, ``.real`` or another real
    number, or pass a vector, which must be complex.
    """

    @since("2.1")
    def test_trap_it_is_refused(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for real scalar outputs"):
            (z**2).backward()

    @before("2.1")
    def test_trap_it_was_the_gradient_of_the_real_part(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (z**2).backward()
        assert z.grad.item() == 6 - 8j

    def test_trap_the_vector_must_be_complex(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="required to have the same dtype"):
            (z**2).backward(torch.tensor(1.0, device=device))

    def test_fix_a_real_number_is_one(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (z**2).imag.backward()
        assert z.grad.item() == 8 + 6j


@pitfall(
    "real-leaf-has-a-real-gradient",
    docs=["notes/autograd#autograd-for-complex-numbers", "torch.exp"],
    symptom="part of the gradient seems to be missing after a complex computation",
    priority=3,
)
class TestRealLeafHasARealGradient:
    """A real leaf gets the ordinary real gradient, whatever complex numbers lie on the way to the loss.

    The imaginary part of what comes back is dropped, as it has to be: a real number can't move that way. For two
    degrees of freedom make the leaf complex, or use two leaves.
    """

    @pytest.mark.parametrize(
        ("part", "slope"),
        [
            pytest.param(lambda z: z.real, lambda x: -x.sin(), id="real part"),
            pytest.param(lambda z: z.imag, lambda x: x.cos(), id="imaginary part"),
            pytest.param(lambda z: (z * z).real, lambda x: -2 * (2 * x).sin(), id="real part of the square"),
        ],
    )
    def test_trap_the_gradient_is_the_ordinary_one(self, device, part, slope):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        part(torch.exp(1j * x)).backward()
        torch.testing.assert_close(x.grad, slope(x.detach()))

    def test_fix_a_complex_leaf_moves_both_ways(self, device):
        z = torch.tensor(2 + 0j, device=device, requires_grad=True)
        (z * 1j).imag.backward()
        assert z.grad.item() == 1
        z.grad = None
        (z * 1j).real.backward()
        assert z.grad.item() == -1j
