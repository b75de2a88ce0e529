"""Old names of linear algebra: which raise, which warn, and how the arguments of their successors are turned round."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "removed-linalg-names",
    docs=["torch.linalg.eigh", "torch.linalg.eig", "torch.linalg.lstsq", "torch.linalg.solve", "torch.linalg.qr"],
    symptom="RuntimeError: This function was deprecated since version 1.9 and is now removed",
    error="This function was deprecated since version 1.9 and is now removed",
    changed={"2.14": "torch.qr and torch.cholesky raise, as do the methods of these names; they had warned"},
)
class TestRemovedLinalgNames:
    """``torch.symeig``, ``eig``, ``solve``, ``lstsq``, ``matrix_rank``, and now ``qr`` and ``cholesky``, only raise.

    The names are still there to say where to go: to ``torch.linalg``, whose ``solve`` and ``lstsq`` take the matrix
    first. ``symeig`` read the upper triangle, and ``eigh`` reads the lower one.
    """

    @pytest.mark.parametrize(
        "gone",
        [
            pytest.param(lambda a: torch.symeig(a), id="symeig"),
            pytest.param(lambda a: torch.eig(a), id="eig"),
            pytest.param(lambda a: torch.solve(a, a), id="solve"),
            pytest.param(lambda a: torch.lstsq(a, a), id="lstsq"),
            pytest.param(lambda a: torch.matrix_rank(a), id="matrix_rank"),
            pytest.param(lambda a: a.symeig(), id="Tensor.symeig"),
            pytest.param(lambda a: a.eig(), id="Tensor.eig"),
            pytest.param(lambda a: a.solve(a), id="Tensor.solve"),
            pytest.param(lambda a: a.lstsq(a), id="Tensor.lstsq"),
            pytest.param(lambda a: torch.qr(a), id="qr", marks=since("2.14")),
            pytest.param(lambda a: torch.cholesky(a), id="cholesky", marks=since("2.14")),
            pytest.param(lambda a: a.qr(), id="Tensor.qr", marks=since("2.14")),
            pytest.param(lambda a: a.cholesky(), id="Tensor.cholesky", marks=since("2.14")),
        ],
    )
    def test_trap_they_only_raise(self, device, gone):
        with pytest.raises(RuntimeError, match=r"This function was deprecated since version 1\.9 and is now removed"):
            gone(torch.eye(2, device=device))

    @before("2.14")
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param(lambda a: torch.qr(a).R, lambda a: torch.linalg.qr(a).R, id="qr"),
            pytest.param(
                lambda a: torch.qr(a, some=False).R, lambda a: torch.linalg.qr(a, mode="complete").R, id="qr full"
            ),
            pytest.param(lambda a: torch.cholesky(a), lambda a: torch.linalg.cholesky(a), id="cholesky"),
            pytest.param(
                lambda a: torch.cholesky(a, upper=True), lambda a: torch.linalg.cholesky(a).mH, id="cholesky upper"
            ),
        ],
    )
    def test_trap_qr_and_cholesky_warned(self, device, old, new):
        a = torch.tensor([[4.0, 2.0], [2.0, 5.0]], device=device)
        with pytest.warns(UserWarning, match="is deprecated in favor of torch.linalg"):
            found = old(a)
        torch.testing.assert_close(found, new(a))

    def test_fix_the_matrix_comes_first(self, device):
        a, b = torch.tensor([[2.0, 0.0], [0.0, 4.0]], device=device), torch.tensor([[2.0], [2.0]], device=device)
        assert torch.linalg.solve(a, b).tolist() == [[1.0], [0.5]]


@pitfall(
    "deprecated-linalg-names",
    docs=[
        ("torch.lu", "is deprecated in favor of"),
        ("torch.lu_solve", "is deprecated in favor of"),
        ("torch.triangular_solve", "has its arguments reversed"),
        ("torch.chain_matmul", "is deprecated and will be removed"),
    ],
    symptom="UserWarning: torch.triangular_solve is deprecated in favor of torch.linalg.solve_triangular",
    error="is deprecated in favor of torch.linalg",
    priority=3,
)
class TestDeprecatedLinalgNames:
    """``torch.lu``, ``lu_solve``, ``triangular_solve`` and ``chain_matmul`` still work, with a warning.

    Their successors take the arguments in another order: ``linalg.solve_triangular(a, b, upper=...)`` the matrix first,
    ``linalg.lu_solve(lu, pivots, b)`` the right-hand side last, ``linalg.multi_dot`` a list.
    """

    @pytest.mark.parametrize(
        ("old", "expected"),
        [
            pytest.param(lambda a, _: torch.lu(a)[0], [[2, 1], [0, 4]], id="lu"),
            pytest.param(lambda a, b: torch.lu_solve(b, *torch.linalg.lu_factor(a)), [[1], [2]], id="lu_solve"),
            pytest.param(lambda a, b: torch.triangular_solve(b, a).solution, [[1], [2]], id="triangular_solve"),
            pytest.param(lambda a, b: torch.chain_matmul(a, b), [[16], [32]], id="chain_matmul"),
        ],
    )
    def test_trap_they_work_and_warn(self, device, old, expected):
        a, b = torch.tensor([[2.0, 1.0], [0.0, 4.0]], device=device), torch.tensor([[4.0], [8.0]], device=device)
        with pytest.warns(UserWarning, match="is deprecated"):
            found = old(a, b)
        torch.testing.assert_close(found, torch.tensor(expected, device=device).float())

    @pytest.mark.parametrize(
        ("new", "expected"),
        [
            pytest.param(lambda a, _: torch.linalg.lu_factor(a).LU, [[2, 1], [0, 4]], id="lu_factor"),
            pytest.param(
                lambda a, b: torch.linalg.lu_solve(*torch.linalg.lu_factor(a), b), [[1], [2]], id="linalg.lu_solve"
            ),
            pytest.param(
                lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), [[1], [2]], id="solve_triangular"
            ),
            pytest.param(lambda a, b: torch.linalg.multi_dot([a, b]), [[16], [32]], id="multi_dot"),
        ],
    )
    def test_fix_take_the_successor(self, device, new, expected):
        a, b = torch.tensor([[2.0, 1.0], [0.0, 4.0]], device=device), torch.tensor([[4.0], [8.0]], device=device)
        torch.testing.assert_close(new(a, b), torch.tensor(expected, device=device).float())
