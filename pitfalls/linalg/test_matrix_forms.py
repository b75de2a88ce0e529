"""Forms of a matrix: factors of which there are several, and sparse matrices that few solvers take."""

import warnings

import pytest
import torch

from pitfalls import on, pitfall


@pitfall(
    "lu-factors-are-not-unique",
    docs=[("torch.linalg.lu", "The LU decomposition is almost never unique"), "torch.linalg.lu_factor"],
    symptom="the factors of torch.linalg.lu differ from SciPy's, or from those on the GPU",
    priority=3,
)
class TestLuFactorsAreNotUnique:
    """A matrix has several LU decompositions, by the rows that are swapped: which one you get depends on the platform.

    Each of them multiplies to the same matrix. Compare the products, not the factors.
    """

    def test_trap_two_decompositions_of_a_matrix(self, device):
        a = torch.tensor([[1.0, 2.0], [1.0, 3.0]], device=device)
        swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]], device=device)
        factors = [torch.linalg.lu(a).U.tolist(), torch.linalg.lu(swap @ a).U.tolist()]
        assert sorted(factors) == [[[1, 2], [0, 1]], [[1, 3], [0, -1]]]

    @pytest.mark.parametrize("swapped", [False, True], ids=["as it is", "rows swapped"])
    def test_fix_compare_products(self, device, swapped):
        a = torch.tensor([[1.0, 2.0], [1.0, 3.0]], device=device)
        swap = torch.eye(2, device=device).flip(0) if swapped else torch.eye(2, device=device)
        p, lower, u = torch.linalg.lu(swap @ a)
        torch.testing.assert_close(swap @ p @ lower @ u, a)


def twice_the_unit_matrix(device):
    """Two on the diagonal, as CSR, without the warning that this layout is in beta state."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return (2 * torch.eye(2, device=device)).to_sparse_csr()


@pitfall(
    "sparse-solve-is-missing-on-the-cpu",
    docs=[("torch.linalg.solve", "torch.sparse_csr_tensor")],
    symptom="NotImplementedError: Could not run ... with arguments from the 'SparseCsrCPU' backend",
    error="from the 'SparseCsrCPU' backend",
    contradicts={"torch.linalg.solve": "a CSR matrix is said to be allowed; on the CPU none is."},
    priority=3,
)
class TestSparseSolveIsMissingOnTheCpu:
    """``torch.linalg.solve`` takes a CSR matrix only where a backend can solve it, which the CPU cannot.

    On the GPU it needs a build with cuDSS, and the matrix on the left. Make the matrix dense, if it is small enough, or
    use SciPy's ``spsolve``.
    """

    @on("cpu")
    @pytest.mark.parametrize("shape", [(2,), (2, 1)], ids=["vector", "matrix"])
    def test_trap_csr_is_refused(self, device, shape):
        a = twice_the_unit_matrix(device)
        with pytest.raises(NotImplementedError, match="from the 'SparseCsrCPU' backend"):
            torch.linalg.solve(a, torch.ones(shape, device=device))

    def test_fix_make_it_dense(self, device):
        a = twice_the_unit_matrix(device)
        assert torch.linalg.solve(a.to_dense(), torch.ones(2, device=device)).tolist() == [0.5, 0.5]
