"""SVD, QR and LU: which of the factors come back, in which form, and what backward makes of a dependent column."""

import pytest
import torch

from pitfalls import on, pitfall


@pitfall(
    "svd-returns-vh",
    docs=[("torch.svd", "will be removed in a future PyTorch release"), "torch.linalg.svd"],
    symptom="U @ diag(S) @ V.T is not my matrix after I replaced torch.svd by torch.linalg.svd; shapes don't match",
    priority=1,
)
class TestSvdReturnsVh:
    """``torch.linalg.svd`` returns ``Vh``, ready to multiply, and full squares; ``torch.svd`` returned a reduced ``V``.

    Both differences raise nothing for a square matrix, where the result is just wrong. Multiply by ``Vh`` as it is, and
    pass ``full_matrices=False`` for factors that fit ``diag(S)``.
    """

    def test_trap_the_new_one_needs_no_transpose(self, device):
        a = torch.tensor([[0.0, 0.0, 3.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], device=device)
        u, s, vh = torch.linalg.svd(a)
        assert not torch.allclose(u @ torch.diag(s) @ vh.mT, a)
        torch.testing.assert_close(u @ torch.diag(s) @ vh, a)

    def test_trap_the_old_one_needs_it(self, device):
        a = torch.tensor([[0.0, 0.0, 3.0], [2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], device=device)
        u, s, v = torch.svd(a)
        assert not torch.allclose(u @ torch.diag(s) @ v, a)
        torch.testing.assert_close(u @ torch.diag(s) @ v.mT, a)

    def test_trap_the_new_one_is_full_by_default(self, device):
        a = torch.ones(3, 2, device=device)
        assert torch.linalg.svd(a).U.shape == (3, 3)
        assert torch.svd(a).U.shape == (3, 2)

    def test_trap_without_vectors_the_old_one_gives_zeros(self, device):
        a = torch.tensor([[2.0, 1.0], [0.0, 3.0]], device=device)
        assert torch.svd(a, compute_uv=False).U.tolist() == [[0, 0], [0, 0]]

    def test_fix_reduced_factors_fit(self, device):
        a = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], device=device)
        u, s, vh = torch.linalg.svd(a, full_matrices=False)
        torch.testing.assert_close(u @ torch.diag(s) @ vh, a)

    @pytest.mark.parametrize(
        "values",
        [pytest.param(torch.linalg.svdvals, id="svdvals"), pytest.param(lambda a: torch.svd(a).S, id="torch.svd")],
    )
    def test_fix_singular_values_descend(self, device, values):
        a = torch.tensor([[1.0, 0.0], [0.0, -3.0]], device=device)
        torch.testing.assert_close(values(a), torch.tensor([3.0, 1.0], device=device))


@pitfall(
    "extra-singular-vectors-have-no-gradient",
    docs=[("torch.linalg.svd", "will be ignored, as those vectors can be"), "torch.svd"],
    symptom="the gradient through the null space that svd gives is zero",
    priority=3,
)
class TestExtraSingularVectorsHaveNoGradient:
    """The vectors that only the full SVD has can be any basis, and what a loss takes from them counts as constant.

    No error says so: the gradient is zero. A projector on the null space, ``1 - u @ u.mT`` with the reduced ``u``, has
    the gradient that is meant.
    """

    @pytest.mark.parametrize(
        "full",
        [
            pytest.param(lambda a: torch.linalg.svd(a).U, id="torch.linalg.svd"),
            pytest.param(lambda a: torch.svd(a, some=False).U, id="torch.svd"),
        ],
    )
    def test_trap_the_gradient_is_zero(self, device, full):
        a = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]], device=device, requires_grad=True)
        full(a)[0, 2].backward()
        assert a.grad.tolist() == [[0, 0], [0, 0], [0, 0]]

    def test_fix_take_the_projector(self, device):
        a = torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]], device=device, requires_grad=True)
        u = torch.linalg.svd(a, full_matrices=False).U
        (torch.eye(3, device=device) - u @ u.mT)[0, 2].backward()
        assert a.grad.abs().max().item() > 0.1


@pitfall(
    "qr-sign-is-not-fixed",
    docs=[("torch.linalg.qr", "are not necessarily positive"), "torch.qr"],
    symptom="QR gives negative numbers on the diagonal of R; my random rotation is biased; other signs on the GPU",
)
class TestQrSignIsNotFixed:
    """The diagonal of R may be negative: QR is unique up to the signs of its rows, and torch doesn't normalize them.

    Other platforms may give other signs. Multiply Q and R by the signs of the diagonal to get the one with a positive
    diagonal; a random rotation needs this to be uniform.
    """

    def test_trap_a_positive_column_has_a_negative_r(self, device):
        a = torch.tensor([[3.0, 1.0], [4.0, 2.0]], device=device)
        torch.testing.assert_close(torch.linalg.qr(a).R[0, 0], torch.tensor(-5.0, device=device))

    def test_fix_make_the_diagonal_positive(self, device):
        a = torch.tensor([[3.0, 1.0], [4.0, 2.0]], device=device)
        q, r = torch.linalg.qr(a)
        signs = r.diagonal().sign()
        q, r = q * signs, r * signs[:, None]
        assert (r.diagonal() > 0).all().item()
        torch.testing.assert_close(q @ r, a)


@pitfall(
    "qr-backward-needs-independent-columns",
    docs=[("torch.linalg.qr", "columns of every matrix in"), "torch.qr"],
    symptom="The QR decomposition is not differentiable when mode='complete'; NaN gradient through qr",
    error="The QR decomposition is not differentiable",
    priority=3,
)
class TestQrBackwardNeedsIndependentColumns:
    """QR of dependent columns raises nothing, but its gradient is not finite; two of its modes have none at all.

    ``mode="complete"`` is differentiable for wide and square matrices only, and ``mode="r"`` never, since the
    derivative needs Q. Take ``mode="reduced"``, the default, of a matrix of full rank.
    """

    def test_trap_dependent_columns_give_no_finite_gradient(self, device):
        a = torch.ones(2, 2, device=device, requires_grad=True)
        torch.linalg.qr(a).R.sum().backward()
        assert not a.grad.isfinite().all().item()

    def test_trap_complete_has_no_gradient(self, device):
        a = torch.tensor([[3.0, 1.0], [4.0, 2.0], [0.0, 1.0]], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="The QR decomposition is not differentiable when mode='complete'"):
            torch.linalg.qr(a, mode="complete").R.sum().backward()

    def test_trap_without_q_there_is_none(self, device):
        a = torch.tensor([[3.0, 1.0], [4.0, 2.0]], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="depends on Q, which is not computed when mode='r'"):
            torch.linalg.qr(a, mode="r").R.sum().backward()

    def test_fix_reduced_has_one(self, device):
        a = torch.tensor([[3.0, 1.0], [4.0, 2.0], [0.0, 1.0]], device=device, requires_grad=True)
        torch.linalg.qr(a).R.sum().backward()
        assert a.grad.isfinite().all().item()


@pitfall(
    "lu-pivots-count-from-one",
    docs=[("torch.linalg.lu_factor", "represented by a 1-indexed vector"), "torch.lu_unpack", "torch.lu"],
    symptom="indexing rows by the pivots of lu_factor gives the wrong order, or an index out of range",
    priority=3,
)
class TestLuPivotsCountFromOne:
    """The pivots of ``lu_factor`` count rows from 1, and are swaps to be done one after the other, not a permutation.

    That is LAPACK's form. Let ``torch.lu_unpack`` or ``torch.linalg.lu`` make the permutation matrix, and hand the pair
    as it is to ``torch.linalg.lu_solve``.
    """

    def test_trap_the_largest_pivot_is_out_of_range(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        assert torch.linalg.lu_factor(a).pivots.tolist() == [2, 2]

    @on("cpu")
    @pytest.mark.parametrize("factor", [torch.linalg.lu_factor, torch.linalg.lu], ids=["lu_factor", "lu"])
    def test_trap_pivoting_cannot_be_left_out_on_the_cpu(self, device, factor):
        with pytest.raises(RuntimeError, match="LU without pivoting is not implemented on the CPU"):
            factor(torch.eye(2, device=device), pivot=False)

    def test_fix_unpack_them(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        p, lower, u = torch.lu_unpack(*torch.linalg.lu_factor(a))
        assert p.tolist() == [[0, 1], [1, 0]]
        torch.testing.assert_close(p @ lower @ u, a)


@pitfall(
    "lu-of-a-singular-matrix",
    docs=[("torch.linalg.lu", "no error will be thrown"), "torch.linalg.lu_factor", "torch.linalg.lu_factor_ex"],
    symptom="NaN gradient through torch.linalg.lu; U[2,2] is zero and using it on lu_solve would result in a division",
    error="is zero and using it on lu_solve would result in a division by zero",
    priority=3,
)
class TestLuOfASingularMatrix:
    """``torch.linalg.lu`` factors a singular matrix without a word, and its gradient is NaN; ``lu_factor`` raises.

    ``lu_factor_ex`` tells in ``info`` which pivot is zero, so that you can decide before backward runs.
    """

    @pytest.mark.parametrize("factor", ["L", "U"])
    def test_trap_the_gradient_is_not_finite(self, device, factor):
        a = torch.ones(2, 2, device=device, requires_grad=True)
        getattr(torch.linalg.lu(a), factor).sum().backward()
        assert not a.grad.isfinite().all().item()

    def test_trap_lu_factor_ex_has_no_finite_gradient_either(self, device):
        a = torch.ones(2, 2, device=device, requires_grad=True)
        torch.linalg.lu_factor_ex(a).LU.sum().backward()
        assert not a.grad.isfinite().all().item()

    def test_trap_lu_factor_raises(self, device):
        with pytest.raises(RuntimeError, match=r"U\[2,2\] is zero and using it on lu_solve would result in"):
            torch.linalg.lu_factor(torch.ones(2, 2, device=device))

    def test_fix_look_at_info(self, device):
        a = torch.stack([torch.eye(2, device=device), torch.ones(2, 2, device=device)])
        assert torch.linalg.lu_factor_ex(a).info.tolist() == [0, 2]


@pitfall(
    "householder-product-gradient",
    docs=[("torch.linalg.householder_product", "no error will be thrown, but the gradient"), "torch.geqrf"],
    symptom="NaN gradient through torch.linalg.householder_product",
    priority=3,
)
class TestHouseholderProductGradient:
    """The gradient of ``householder_product`` is NaN where ``tau`` is one over the squared length of its vector.

    The first element of each vector counts as 1, whatever stands there. ``torch.linalg.qr`` has a gradient of its own;
    differentiate through that instead.
    """

    def test_trap_it_is_nan(self, device):
        a = torch.tensor([[1.0], [2.0]], device=device, requires_grad=True)
        torch.linalg.householder_product(a, torch.tensor([0.2], device=device)).sum().backward()
        assert a.grad.isnan().any().item()

    def test_fix_another_tau(self, device):
        a = torch.tensor([[1.0], [2.0]], device=device, requires_grad=True)
        torch.linalg.householder_product(a, torch.tensor([0.4], device=device)).sum().backward()
        assert a.grad.isfinite().all().item()
