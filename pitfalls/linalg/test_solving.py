"""Solving: singular matrices, least squares of dependent columns, tolerances, determinants, and NaN in the input."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "singular-is-exact",
    docs=[
        ("torch.linalg.inv", "if the matrix is not invertible"),
        "torch.linalg.solve",
        "torch.linalg.inv_ex",
        "torch.linalg.cond",
    ],
    symptom="LinAlgError: The solver failed because the input matrix is singular; or huge numbers and no error at all",
    error="The solver failed because the input matrix is singular",
    priority=1,
)
class TestSingularIsExact:
    """``inv`` and ``solve`` raise only for a pivot that is exactly zero; a nearly singular matrix gives huge numbers.

    One bad matrix in a batch makes the whole call raise. Ask ``torch.linalg.cond`` beforehand, take ``inv_ex`` or
    ``solve_ex``, whose ``info`` says which matrices failed, or ``lstsq`` and ``pinv``, which need no inverse.
    """

    def test_trap_inv_raises(self, device):
        with pytest.raises(torch.linalg.LinAlgError, match="the input matrix is singular"):
            torch.linalg.inv(torch.ones(2, 2, device=device))

    def test_trap_solve_raises_for_a_batch_with_one(self, device):
        a = torch.stack([torch.eye(2, device=device), torch.ones(2, 2, device=device)])
        with pytest.raises(torch.linalg.LinAlgError, match=r"\(Batch element 1\).*the input matrix is singular"):
            torch.linalg.solve(a, torch.ones(2, 2, 1, device=device))

    def test_trap_nearly_singular_passes(self, device):
        a = torch.tensor([[1.0, 1.0], [1.0, 1.0 + 2**-20]], device=device)
        assert torch.linalg.inv(a).abs().max().item() > 1e5

    def test_fix_look_at_info(self, device):
        a = torch.stack([torch.eye(2, device=device), torch.ones(2, 2, device=device)])
        assert (torch.linalg.inv_ex(a).info == 0).tolist() == [True, False]

    def test_fix_look_at_the_condition_number(self, device):
        a = torch.tensor([[1.0, 1.0], [1.0, 1.0 + 2**-20]], device=device)
        assert torch.linalg.cond(a).item() > 1e5


@pitfall(
    "solve-takes-a-batch-of-vectors",
    docs=[("torch.linalg.solve", "(a batch of vectors)")],
    symptom="torch.linalg.solve(A, B) takes the rows of B as right-hand sides, where I meant its columns",
)
class TestSolveTakesABatchOfVectors:
    """For a batch of ``n`` matrices and a ``B`` of shape ``(n, n)``, ``solve`` sees one vector for each matrix in it.

    Otherwise such a ``B`` is one matrix for all of them, so that the meaning depends on the size of the batch. Say
    which with ``B[:, :, None]`` for vectors, and ``B.expand(n, n, n)`` for a matrix.
    """

    def test_trap_two_matrices_take_two_vectors(self, device):
        a = torch.stack([torch.eye(2, device=device), 2 * torch.eye(2, device=device)])
        b = torch.tensor([[2.0, 4.0], [6.0, 8.0]], device=device)
        assert torch.linalg.solve(a, b).tolist() == [[2, 4], [3, 4]]

    def test_trap_three_matrices_take_one_matrix(self, device):
        a = torch.stack([torch.eye(2, device=device)] * 3)
        b = torch.tensor([[2.0, 4.0], [6.0, 8.0]], device=device)
        assert torch.linalg.solve(a, b).tolist() == [[[2, 4], [6, 8]]] * 3

    def test_fix_say_that_it_is_a_matrix(self, device):
        a = torch.stack([torch.eye(2, device=device), 2 * torch.eye(2, device=device)])
        b = torch.tensor([[2.0, 4.0], [6.0, 8.0]], device=device)
        assert torch.linalg.solve(a, b.expand(2, 2, 2)).tolist() == [[[2, 4], [6, 8]], [[1, 2], [3, 4]]]


@pitfall(
    "lstsq-driver-and-rank",
    docs=[("torch.linalg.lstsq", "which assumes that"), ("torch.linalg.lstsq", "otherwise, it is an empty tensor")],
    symptom="lstsq works on the CPU and gives garbage on the GPU; residuals is an empty tensor",
    error="The least squares solution could not be computed because the input matrix does not have full rank",
)
class TestLstsqDriverAndRank:
    """``lstsq`` handles dependent columns on the CPU only; on CUDA its one driver, ``gels``, assumes full rank.

    Which of ``residuals``, ``rank`` and ``singular_values`` are filled depends on the driver too; the rest is empty.
    Where the columns may be dependent, use ``torch.linalg.pinv(a) @ b``, which is the same on every device.
    """

    @on("cpu")
    def test_trap_the_default_driver_copes(self, device):
        a, b = torch.ones(3, 2, device=device), torch.tensor([[1.0], [2.0], [3.0]], device=device)
        found = torch.linalg.lstsq(a, b)
        torch.testing.assert_close(found.solution, torch.ones(2, 1, device=device))
        assert found.rank.item() == 1

    @on("cpu")
    def test_trap_gels_refuses_dependent_columns(self, device):
        a, b = torch.ones(3, 2, device=device), torch.tensor([[1.0], [2.0], [3.0]], device=device)
        with pytest.raises(torch.linalg.LinAlgError, match="the input matrix does not have full rank"):
            torch.linalg.lstsq(a, b, driver="gels")

    @on("cuda")
    def test_trap_cuda_has_one_driver(self, device):
        a, b = torch.ones(3, 2, device=device), torch.ones(3, 1, device=device)
        with pytest.raises(RuntimeError, match="`driver` other than `gels` is not supported on CUDA"):
            torch.linalg.lstsq(a, b, driver="gelsd")

    @on("cpu")
    @pytest.mark.parametrize(
        ("driver", "residuals", "values"), [("gelsy", [], []), ("gels", [9], []), ("gelsd", [9], [1, 1])], ids=str
    )
    def test_trap_the_driver_decides_what_is_filled(self, device, driver, residuals, values):
        a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], device=device)
        found = torch.linalg.lstsq(a, torch.tensor([[1.0], [2.0], [3.0]], device=device), driver=driver)
        torch.testing.assert_close(found.residuals, torch.tensor(residuals, device=device).float())
        torch.testing.assert_close(found.singular_values, torch.tensor(values, device=device).float())

    @pytest.mark.parametrize("a", [[[1.0, 1.0]] * 3, [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]], ids=["dependent", "full"])
    def test_fix_pinv_needs_no_driver(self, device, a):
        a, b = torch.tensor(a, device=device), torch.tensor([[1.0], [2.0], [3.0]], device=device)
        fitted = a @ (torch.linalg.pinv(a) @ b)
        torch.testing.assert_close(a.mT @ fitted, a.mT @ b)

    def test_fix_full_rank_is_the_same_everywhere(self, device):
        a = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], device=device)
        b = torch.tensor([[1.0], [2.0], [4.0]], device=device)
        torch.testing.assert_close(torch.linalg.lstsq(a, b).solution, torch.linalg.pinv(a) @ b)


@pitfall(
    "rank-tolerance-depends-on-dtype",
    docs=["torch.linalg.matrix_rank", "torch.linalg.pinv", ("torch.linalg.pinv", "use of the positional argument")],
    symptom="matrix_rank is smaller in float32 than in float64; pinv gives zeros for small singular values",
)
class TestRankToleranceDependsOnDtype:
    """``matrix_rank`` and ``pinv`` count singular values below ``max(m, n) * eps`` of the largest as zero.

    So a value of ``1e-8`` beside 1 exists in float64 and not in float32. The threshold is relative unless you pass
    ``atol``; the positional argument of ``matrix_rank`` is absolute, that of ``pinv`` relative. Name them.
    """

    @pytest.mark.parametrize(("dtype", "rank"), [(torch.float32, 1), (torch.float64, 2)], ids=["float32", "float64"])
    def test_trap_the_rank_depends_on_the_dtype(self, device, dtype, rank):
        a = torch.tensor([[1.0, 0.0], [0.0, 1e-8]], dtype=dtype, device=device)
        assert torch.linalg.matrix_rank(a).item() == rank

    @pytest.mark.parametrize(("dtype", "last"), [(torch.float32, 0), (torch.float64, 1e8)], ids=["float32", "float64"])
    def test_trap_pinv_drops_what_is_small(self, device, dtype, last):
        a = torch.tensor([[1.0, 0.0], [0.0, 1e-8]], dtype=dtype, device=device)
        torch.testing.assert_close(torch.linalg.pinv(a)[1, 1].item(), float(last))

    def test_trap_small_throughout_is_full_rank(self, device):
        a = torch.tensor([[1e-20, 0.0], [0.0, 1e-20]], device=device)
        assert torch.linalg.matrix_rank(a).item() == 2

    def test_trap_positional_tolerances_differ(self, device):
        a = torch.tensor([[10.0, 0.0], [0.0, 0.5]], device=device)
        assert torch.linalg.matrix_rank(a, 0.1).item() == 2
        torch.testing.assert_close(torch.linalg.pinv(a, 0.1)[1, 1].item(), 0.0)

    @pytest.mark.parametrize(("how", "rank"), [({"atol": 0.1}, 2), ({"rtol": 0.1}, 1)], ids=["atol", "rtol"])
    def test_fix_say_which(self, device, how, rank):
        a = torch.tensor([[10.0, 0.0], [0.0, 0.5]], device=device)
        assert torch.linalg.matrix_rank(a, **how).item() == rank
        assert torch.linalg.pinv(a, **how).count_nonzero().item() == rank


@pitfall(
    "det-overflows",
    docs=[
        ("torch.linalg.slogdet", "natural logarithm of the absolute value"),
        ("torch.logdet", "negative determinant"),
    ],
    symptom="the determinant is inf or 0 though the matrix is fine; logdet is NaN",
)
class TestDetOverflows:
    """``det`` overflows to infinity, or underflows to zero, for matrices that are perfectly well conditioned.

    A determinant grows like a power of the size. ``torch.linalg.slogdet`` gives the sign and the logarithm apart, which
    holds for any size; ``torch.logdet`` has no sign, so that it is NaN for a negative determinant.
    """

    @pytest.mark.parametrize(("scale", "det"), [(1e4, float("inf")), (1e-4, 0.0)], ids=["large", "small"])
    def test_trap_it_is_infinite_or_zero(self, device, scale, det):
        assert torch.linalg.det(scale * torch.eye(20, device=device)).item() == det

    def test_trap_logdet_of_a_negative_determinant(self, device):
        a = torch.tensor([[0.0, 1.0], [1.0, 0.0]], device=device)
        assert torch.logdet(a).isnan().item()

    @pytest.mark.parametrize(("power", "logarithm"), [(4, 184.2068), (-4, -184.2068)], ids=["large", "small"])
    def test_fix_slogdet(self, device, power, logarithm):
        found = torch.linalg.slogdet(10.0**power * torch.eye(20, device=device))
        torch.testing.assert_close(found.logabsdet.item(), logarithm, rtol=1e-5, atol=0.0)

    def test_fix_slogdet_has_the_sign(self, device):
        sign, logabsdet = torch.linalg.slogdet(torch.tensor([[0.0, 2.0], [2.0, 0.0]], device=device))
        assert sign.item() == -1
        torch.testing.assert_close(logabsdet.exp().item(), 4.0, rtol=1e-5, atol=0.0)


@pitfall(
    "logdet-of-a-singular-matrix",
    docs=[("torch.logdet", "internally uses SVD results when"), "torch.linalg.slogdet"],
    symptom="infinite gradient through logdet; LinAlgError in backward with create_graph=True",
    error="The solver failed because the input matrix is singular",
    priority=3,
)
class TestLogdetOfASingularMatrix:
    """``logdet`` of a singular matrix is minus infinity with a gradient that isn't finite, and has no second one.

    With ``create_graph=True`` the backward pass solves with the matrix itself, which raises. Add a little to the
    diagonal of a matrix that may be singular.
    """

    @pytest.mark.parametrize(
        "logarithm",
        [
            pytest.param(torch.logdet, id="logdet"),
            pytest.param(lambda a: torch.linalg.slogdet(a).logabsdet, id="slogdet"),
        ],
    )
    def test_trap_the_gradient_is_not_finite(self, device, logarithm):
        a = torch.ones(2, 2, device=device, requires_grad=True)
        logarithm(a).backward()
        assert not a.grad.isfinite().any().item()

    def test_trap_a_graph_of_it_is_refused(self, device):
        a = torch.ones(2, 2, device=device, requires_grad=True)
        with pytest.raises(torch.linalg.LinAlgError, match="the input matrix is singular"):
            torch.autograd.grad(torch.logdet(a), a, create_graph=True)

    def test_fix_add_to_the_diagonal(self, device):
        a = torch.ones(2, 2, device=device, requires_grad=True)
        torch.logdet(a + torch.eye(2, device=device)).backward()
        torch.testing.assert_close(a.grad, torch.tensor([[2.0, -1.0], [-1.0, 2.0]], device=device) / 3)


@pitfall(
    "linalg-of-integers",
    docs=["torch.linalg.inv", "torch.linalg.det", "torch.linalg.norm"],
    symptom="RuntimeError: linalg.inv: Expected a floating point or complex tensor as input. Got Long",
    error="Expected a floating point or complex tensor as input. Got Long",
    changed={"2.15": "an integer matrix raises NotImplementedError; it had been RuntimeError itself"},
)
class TestLinalgOfIntegers:
    """``torch.linalg`` computes with floating point and complex numbers only; integers raise instead of converting.

    NumPy converts to float64 by itself. Here say ``a.double()`` or ``a.float()``.
    """

    ALL = [
        pytest.param(torch.linalg.det, id="det"),
        pytest.param(torch.linalg.inv, id="inv"),
        pytest.param(torch.linalg.svd, id="svd"),
        pytest.param(torch.linalg.norm, id="norm"),
        pytest.param(torch.norm, id="torch.norm"),
    ]

    @before("2.15")
    @pytest.mark.parametrize("compute", ALL)
    def test_trap_integers_were_refused(self, device, compute):
        with pytest.raises(RuntimeError, match="Expected a floating point or complex tensor as input"):
            compute(torch.tensor([[1, 2], [3, 4]], device=device))

    @since("2.15")
    @pytest.mark.parametrize("compute", ALL)
    def test_trap_integers_are_refused(self, device, compute):
        with pytest.raises(NotImplementedError, match="Expected a floating point or complex tensor as input"):
            compute(torch.tensor([[1, 2], [3, 4]], device=device))

    def test_fix_convert(self, device):
        a = torch.tensor([[1, 2], [3, 4]], device=device)
        torch.testing.assert_close(torch.linalg.det(a.double()).item(), -2.0)
