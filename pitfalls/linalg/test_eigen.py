"""Eigenvalues: complex results, the triangle that is read, signs that nobody promises, and gradients that are NaN."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "eig-is-complex",
    docs=[("torch.linalg.eig", "eigenvectors of a real matrix may be complex"), "torch.linalg.eigvals"],
    symptom="the eigenvalues of my real matrix are complex64; expected scalar type Float but found ComplexFloat",
    priority=1,
)
class TestEigIsComplex:
    """``torch.linalg.eig`` always returns complex tensors, also for a real matrix whose eigenvalues are all real.

    NumPy gives real arrays where it can; torch can't let a dtype depend on values. For a symmetric or Hermitian matrix
    take ``eigh``, whose eigenvalues are real and in ascending order; otherwise take ``.real`` where you know they are.
    """

    VALUES = [
        pytest.param(torch.linalg.eigvals, id="eigvals"),
        pytest.param(lambda x: torch.linalg.eig(x).eigenvalues, id="eig"),
    ]

    @pytest.mark.parametrize("values", VALUES)
    def test_trap_real_eigenvalues_come_as_complex_numbers(self, device, values):
        a = torch.tensor([[2.0, 0.0], [0.0, 3.0]], device=device)
        assert values(a).dtype == torch.complex64

    @pytest.mark.parametrize(
        ("dtype", "complex_dtype"),
        [(torch.float32, torch.complex64), (torch.float64, torch.complex128)],
        ids=["float32", "float64"],
    )
    def test_trap_so_do_the_eigenvectors(self, device, dtype, complex_dtype):
        a = torch.eye(2, dtype=dtype, device=device)
        assert torch.linalg.eig(a).eigenvectors.dtype == complex_dtype

    @pytest.mark.parametrize("values", VALUES)
    def test_trap_a_rotation_has_no_real_eigenvalues(self, device, values):
        quarter_turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], device=device)
        torch.testing.assert_close(values(quarter_turn).imag.abs(), torch.ones(2, device=device))

    @pytest.mark.parametrize("a", [[[2.0, 1.0], [1.0, 2.0]], [[2.0, -1j], [1j, 2.0]]], ids=["symmetric", "Hermitian"])
    def test_fix_eigh_is_real_and_ascending(self, device, a):
        found = torch.linalg.eigh(torch.tensor(a, device=device)).eigenvalues
        torch.testing.assert_close(found, torch.tensor([1.0, 3.0], device=device))


@pitfall(
    "one-triangle-is-read",
    docs=[
        ("torch.linalg.eigvalsh", "but this is not checked internally"),
        "torch.linalg.eigh",
        "torch.linalg.cholesky",
        "torch.linalg.matrix_rank",
    ],
    symptom="eigh and cholesky raise nothing for a matrix that isn't symmetric, and the result is wrong",
    priority=1,
)
class TestOneTriangleIsRead:
    """``eigh`` and ``cholesky`` read one triangle, the lower one by default, and never check for symmetry.

    What stands in the other triangle is ignored, even NaN. Symmetrize first with ``(a + a.mT) / 2`` where rounding made
    it slightly unsymmetric, or take ``eig`` if it isn't symmetric at all.
    """

    @pytest.mark.parametrize("upper", [9.0, -5.0, float("nan")], ids=str)
    def test_trap_eigh_ignores_the_upper_triangle(self, device, upper):
        a = torch.tensor([[2.0, upper], [1.0, 2.0]], device=device)
        torch.testing.assert_close(torch.linalg.eigvalsh(a), torch.tensor([1.0, 3.0], device=device))

    def test_trap_uplo_says_which_triangle(self, device):
        a = torch.tensor([[2.0, 9.0], [1.0, 2.0]], device=device)
        found = torch.linalg.eigh(a, UPLO="U").eigenvalues
        torch.testing.assert_close(found, torch.tensor([-7.0, 11.0], device=device))

    @pytest.mark.parametrize("upper", [9.0, -5.0, float("nan")], ids=str)
    def test_trap_cholesky_ignores_the_upper_triangle(self, device, upper):
        a = torch.tensor([[4.0, upper], [2.0, 5.0]], device=device)
        torch.testing.assert_close(torch.linalg.cholesky(a), torch.tensor([[2.0, 0.0], [1.0, 2.0]], device=device))

    def test_trap_hermitian_rank_sees_one_triangle(self, device):
        a = torch.tensor([[0.0, 1.0], [0.0, 0.0]], device=device)
        assert torch.linalg.matrix_rank(a, hermitian=True).item() == 0

    def test_fix_symmetrize(self, device):
        a = torch.tensor([[2.0, 3.0], [1.0, 2.0]], device=device)
        found = torch.linalg.eigvalsh((a + a.mT) / 2)
        torch.testing.assert_close(found, torch.tensor([0.0, 4.0], device=device))


@pitfall(
    "eig-of-a-defective-matrix",
    docs=[("torch.linalg.eig", "is not diagonalizable, the returned eigenvalues will")],
    symptom="V @ diag(L) @ inv(V) is not the matrix, though eig raised nothing",
    priority=3,
)
class TestEigOfADefectiveMatrix:
    """``torch.linalg.eig`` raises nothing for a matrix that can't be diagonalized; its eigenvectors are dependent then.

    The eigenvalues are right, but no matrix of eigenvectors leads back to the input. Compare the reconstruction, or use
    a decomposition that every matrix has: ``svd`` or ``qr``.
    """

    def test_trap_it_cannot_be_put_together_again(self, device):
        a = torch.tensor([[1.0, 1.0], [0.0, 1.0]], device=device)
        values, vectors = torch.linalg.eig(a)
        again = vectors @ torch.diag(values) @ torch.linalg.pinv(vectors)
        assert not torch.allclose(again.real, a, atol=0.1)

    def test_trap_the_eigenvectors_are_dependent(self, device):
        a = torch.tensor([[1.0, 1.0], [0.0, 1.0]], device=device)
        assert torch.linalg.matrix_rank(torch.linalg.eig(a).eigenvectors).item() == 1

    def test_fix_svd_always_exists(self, device):
        a = torch.tensor([[1.0, 1.0], [0.0, 1.0]], device=device)
        u, s, vh = torch.linalg.svd(a)
        torch.testing.assert_close(u @ torch.diag(s) @ vh, a)


@pitfall(
    "eigenvectors-have-no-sign",
    docs=[
        ("torch.linalg.eigh", "the loss function shall not depend on"),
        ("torch.linalg.svd", "This is checked for complex inputs"),
        "torch.linalg.eig",
    ],
    symptom="eigenvectors flip their sign between machines; The specified loss function depends on this quantity",
    error="in the complex case are specified up to multiplication by e^{i phi}",
    priority=2,
)
class TestEigenvectorsHaveNoSign:
    """Eigenvectors and singular vectors are unique up to a sign or phase only, and a loss must not depend on it.

    For complex results backward checks this and raises; for real ones a loss that depends on the sign passes unnoticed,
    and differs between CPU, GPU and releases. Use what the sign cancels out of, such as ``v.abs()`` or ``v @ v.mH``.
    """

    @pytest.mark.parametrize(
        "vectors",
        [
            pytest.param(lambda a: torch.linalg.eig(a).eigenvectors, id="eig"),
            pytest.param(lambda a: torch.linalg.eigh(a).eigenvectors, id="eigh"),
            pytest.param(lambda a: torch.linalg.svd(a).U, id="svd"),
            pytest.param(lambda a: torch.svd(a).V, id="torch.svd"),
        ],
    )
    def test_trap_a_loss_that_depends_on_the_phase_is_refused(self, device, vectors):
        a = torch.tensor([[2.0, 1j], [-1j, 3.0]], device=device, requires_grad=True)
        with pytest.raises(
            RuntimeError, match=r"in the complex case are specified up to multiplication by e\^\{i phi\}"
        ):
            vectors(a).sum().imag.backward()

    def test_trap_eig_refuses_it_for_real_matrices_too(self, device):
        a = torch.tensor([[0.0, -1.0], [1.0, 0.0]], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="The specified loss function depends on this quantity"):
            torch.linalg.eig(a).eigenvectors.sum().abs().backward()

    def test_trap_a_real_loss_that_depends_on_the_sign_passes(self, device):
        a = torch.tensor([[2.0, 1.0], [1.0, 3.0]], device=device, requires_grad=True)
        torch.linalg.eigh(a).eigenvectors.sum().backward()
        assert a.grad.abs().sum().item() > 0.1

    @pytest.mark.parametrize(
        "vectors",
        [
            pytest.param(lambda a: torch.linalg.eigh(a).eigenvectors, id="eigh"),
            pytest.param(lambda a: torch.linalg.svd(a).U, id="svd"),
        ],
    )
    def test_fix_magnitudes_have_a_gradient(self, device, vectors):
        a = torch.tensor([[2.0, 1j], [-1j, 3.0]], device=device, requires_grad=True)
        vectors(a)[0, 0].abs().backward()
        assert a.grad.isfinite().all().item()


VECTORS = [
    pytest.param(lambda a: torch.linalg.eigh(a).eigenvectors, id="eigh"),
    pytest.param(lambda a: torch.linalg.eig(a).eigenvectors.abs(), id="eig"),
    pytest.param(lambda a: torch.linalg.svd(a).U, id="svd U"),
    pytest.param(lambda a: torch.linalg.svd(a).Vh, id="svd Vh"),
    pytest.param(lambda a: torch.svd(a).V, id="torch.svd V"),
]


@pitfall(
    "gradient-of-equal-eigenvalues",
    docs=[
        ("torch.linalg.eigh", "tensor will only be finite when"),
        ("torch.linalg.svd", "does not have repeated singular values"),
        "torch.linalg.eig",
        "torch.svd",
    ],
    symptom="NaN gradient through torch.linalg.svd or eigh, for example from an identity or covariance matrix",
    priority=1,
)
class TestGradientOfEqualEigenvalues:
    """Gradients through eigenvectors and singular vectors are NaN where two eigenvalues or singular values are equal.

    The gradient has their difference as divisor; nearly equal values make it huge. The gradient of the values alone is
    finite: use ``eigvalsh`` or ``svdvals`` where they suffice, or keep values apart before you decompose.
    """

    @pytest.mark.parametrize("vectors", VECTORS)
    def test_trap_vectors_of_the_identity(self, device, vectors):
        a = torch.eye(2, device=device, requires_grad=True)
        vectors(a).sum().backward()
        assert not a.grad.isfinite().all().item()

    @pytest.mark.parametrize("a", [[[0.0] * 3] * 2, [[1.0, 0.0, 0.0], [0.0] * 3]], ids=["two zeros", "one zero"])
    def test_trap_a_zero_singular_value_of_a_rectangle(self, device, a):
        a = torch.tensor(a, device=device, requires_grad=True)
        torch.linalg.svd(a, full_matrices=False).Vh.sum().backward()
        assert not a.grad.isfinite().all().item()

    def test_trap_nearly_equal_values_make_it_huge(self, device):
        a = torch.tensor([[1.0, 0.0], [0.0, 1.0001]], dtype=torch.float64, device=device, requires_grad=True)
        torch.svd(a).U[0, 0].backward()
        assert a.grad.abs().max().item() > 1000

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param(torch.linalg.eigvalsh, id="eigvalsh"),
            pytest.param(torch.linalg.svdvals, id="svdvals"),
            pytest.param(lambda a: torch.linalg.eigh(a).eigenvalues, id="eigh"),
            pytest.param(lambda a: torch.linalg.svd(a).S, id="svd S"),
            pytest.param(lambda a: torch.svd(a, compute_uv=False).S, id="torch.svd without vectors"),
        ],
    )
    def test_fix_values_have_a_gradient(self, device, values):
        a = torch.eye(2, device=device, requires_grad=True)
        values(a).sum().backward()
        torch.testing.assert_close(a.grad, torch.eye(2, device=device))

    @pytest.mark.parametrize("vectors", VECTORS)
    def test_fix_keep_the_values_apart(self, device, vectors):
        a = torch.tensor([[1.0, 0.0], [0.0, 2.0]], device=device, requires_grad=True)
        vectors(a).sum().backward()
        assert a.grad.isfinite().all().item()
