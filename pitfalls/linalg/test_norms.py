"""Norms: which of them sees a matrix, which flattens, and which axis a product of vectors runs along."""

import math

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "norm-flattens",
    docs=[
        ("torch.norm", "is deprecated and may be removed in a"),
        ("torch.linalg.norm", "will be flattened to 1D"),
        ("torch.linalg.vector_norm", "does not necessarily treat multidimensional"),
        "torch.linalg.matrix_norm",
    ],
    symptom="torch.norm(a, 2) is not the spectral norm that NumPy gives; other numbers after moving to torch.linalg",
    priority=1,
)
class TestNormFlattens:
    """``torch.norm(a, 1)`` and ``vector_norm`` flatten a matrix; ``torch.linalg.norm(a, 1)`` takes its matrix norm.

    The same ``ord`` thus means the sum of all magnitudes or the largest column sum, and 2 the root of the squares or
    the largest singular value. Without ``ord`` all of them agree. Say ``vector_norm`` or ``matrix_norm``.
    """

    @pytest.mark.parametrize(("order", "flat"), [(1, 6.0), (2, math.sqrt(14)), (math.inf, 3.0)], ids=str)
    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(lambda a, order: torch.norm(a, order), id="torch.norm"),
            pytest.param(lambda a, order: a.norm(order), id="Tensor.norm"),
            pytest.param(lambda a, order: torch.linalg.vector_norm(a, order), id="vector_norm"),
        ],
    )
    def test_trap_these_flatten(self, device, norm, order, flat):
        a = torch.tensor([[1.0, 0.0], [2.0, -3.0]], device=device)
        torch.testing.assert_close(norm(a, order).item(), flat)

    @pytest.mark.parametrize(("order", "matrix"), [(1, 3.0), (2, 3.6503), (math.inf, 5.0)], ids=str)
    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(lambda a, order: torch.linalg.norm(a, order), id="linalg.norm"),
            pytest.param(lambda a, order: torch.linalg.matrix_norm(a, order), id="matrix_norm"),
        ],
    )
    def test_trap_these_take_the_matrix_norm(self, device, norm, order, matrix):
        a = torch.tensor([[1.0, 0.0], [2.0, -3.0]], device=device)
        torch.testing.assert_close(norm(a, order).item(), matrix, rtol=1e-4, atol=0.0)

    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(torch.norm, id="torch.norm"),
            pytest.param(torch.linalg.norm, id="linalg.norm"),
            pytest.param(torch.linalg.vector_norm, id="vector_norm"),
            pytest.param(torch.linalg.matrix_norm, id="matrix_norm"),
        ],
    )
    def test_fix_without_an_order_they_agree(self, device, norm):
        a = torch.tensor([[1.0, 0.0], [2.0, -3.0]], device=device)
        torch.testing.assert_close(norm(a).item(), math.sqrt(14))


@pitfall(
    "norm-of-a-batch",
    docs=[("torch.linalg.matrix_norm", "will be treated as batch dimensions"), "torch.linalg.norm", "torch.norm"],
    symptom="linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got 3D.",
    error="If dim is not specified but ord is, the input must be 1D or 2D",
)
class TestNormOfABatch:
    """Only ``matrix_norm`` takes a batch as a batch; ``norm`` and ``vector_norm`` make one number of all of it.

    With an order ``torch.linalg.norm`` refuses more than two dimensions, also ``"fro"``, which ``torch.norm`` flattens.
    Say which dimensions with ``dim``.
    """

    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(torch.norm, id="torch.norm"),
            pytest.param(lambda x: torch.norm(x, p="fro"), id="torch.norm fro"),
            pytest.param(torch.linalg.norm, id="linalg.norm"),
            pytest.param(torch.linalg.vector_norm, id="vector_norm"),
        ],
    )
    def test_trap_one_number_for_the_batch(self, device, norm):
        x = torch.ones(4, 2, 2, device=device)
        torch.testing.assert_close(norm(x), torch.tensor(4.0, device=device))

    @pytest.mark.parametrize("order", [1, 2, "fro"], ids=str)
    def test_trap_linalg_norm_refuses_an_order(self, device, order):
        with pytest.raises(RuntimeError, match="If dim is not specified but ord is, the input must be 1D or 2D"):
            torch.linalg.norm(torch.ones(4, 2, 2, device=device), order)

    @pytest.mark.parametrize("order", ["fro", "nuc"])
    def test_trap_a_vector_has_no_matrix_norm(self, device, order):
        with pytest.raises(RuntimeError, match="must have at least 2 dimensions"):
            torch.linalg.norm(torch.ones(4, device=device), order)

    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(torch.linalg.matrix_norm, id="matrix_norm"),
            pytest.param(lambda x: torch.linalg.vector_norm(x, dim=(1, 2)), id="vector_norm of dim"),
            pytest.param(lambda x: torch.norm(x, p="nuc", dim=(1, 2)), id="torch.norm nuc of dim"),
        ],
    )
    def test_fix_one_number_a_matrix(self, device, norm):
        x = torch.ones(4, 2, 2, device=device)
        torch.testing.assert_close(norm(x), torch.full((4,), 2.0, device=device))


@pitfall(
    "cdist-of-a-point-with-itself",
    docs=[("torch.cdist", "if P > 25 or R > 25")],
    symptom="the distance of a point to itself is not zero; cdist is inaccurate for many points far from the origin",
)
class TestCdistOfAPointWithItself:
    """With more than 25 points ``cdist`` computes by matrix products, and close points lose their distance in rounding.

    The squares of large coordinates cancel, so that the distance is off by more than itself. Pass
    ``compute_mode="donot_use_mm_for_euclid_dist"``, or move the points near the origin first.
    """

    @pytest.mark.parametrize(("points", "exact"), [(25, True), (26, False)], ids=["25 points", "26 points"])
    def test_trap_the_way_depends_on_the_number(self, device, points, exact):
        x = 10000.0 + torch.arange(points, device=device)[:, None] / 16.0
        neighbours = torch.cdist(x, x).diagonal(1)
        assert torch.allclose(neighbours, torch.full_like(neighbours, 1 / 16.0)) == exact

    @pytest.mark.parametrize(
        "distances",
        [
            pytest.param(lambda x: torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"), id="compute_mode"),
            pytest.param(lambda x: torch.cdist(x - x[0], x - x[0]), id="near the origin"),
        ],
    )
    def test_fix_exact(self, device, distances):
        x = 10000.0 + torch.arange(26, device=device)[:, None] / 16.0
        neighbours = distances(x).diagonal(1)
        torch.testing.assert_close(neighbours, torch.full_like(neighbours, 1 / 16.0))
