"""Low-rank and iterative methods: what they draw at random, centre, and refuse."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "lowrank-svd-is-random",
    docs=[("torch.svd_lowrank", "This is a randomized method"), ("torch.pca_lowrank", "To obtain repeatable results")],
    symptom="svd_lowrank and pca_lowrank give other results for the same input each time",
    priority=3,
)
class TestLowrankSvdIsRandom:
    """``svd_lowrank`` and ``pca_lowrank`` start from random vectors: they repeat only with the seed set before each.

    They advance the global generator too, so that what is drawn afterwards changes. Where the matrix is dense and not
    large, ``torch.linalg.svd`` is exact, and faster.
    """

    METHODS = [
        pytest.param(lambda a: torch.svd_lowrank(a, q=2)[1], id="svd_lowrank"),
        pytest.param(lambda a: torch.pca_lowrank(a, q=2)[1], id="pca_lowrank"),
    ]

    @pytest.mark.parametrize("values", METHODS)
    def test_trap_other_values_each_time(self, device, seeded, values):
        a = torch.rand(20, 20, device=device)
        assert not torch.equal(values(a), values(a))

    @pytest.mark.parametrize("values", METHODS)
    def test_fix_seed_before_each(self, device, seeded, values):
        a = torch.rand(20, 20, device=device)
        torch.manual_seed(0)
        first = values(a)
        torch.manual_seed(0)
        torch.testing.assert_close(values(a), first)

    @pytest.mark.parametrize("method", [torch.svd_lowrank, torch.pca_lowrank], ids=["svd_lowrank", "pca_lowrank"])
    def test_trap_six_values_by_default(self, device, seeded, method):
        assert method(torch.rand(8, 8, device=device))[1].shape == (6,)


@pitfall(
    "pca-lowrank-centres",
    docs=[("torch.pca_lowrank", "if True, center the input tensor"), "torch.pca_lowrank"],
    symptom="pca_lowrank and svd of the same matrix have other singular values",
    priority=3,
)
class TestPcaLowrankCentres:
    """``pca_lowrank`` subtracts the mean of each column first; its values are those of the centred matrix.

    ``S ** 2 / (m - 1)`` are then the variances along the components. With ``center=False`` it is the SVD of the matrix
    as it stands.
    """

    def test_trap_a_constant_column_counts_for_nothing(self, device, seeded):
        a = torch.tensor([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0]], device=device)
        _, s, _ = torch.pca_lowrank(a, q=1)
        torch.testing.assert_close(s**2 / 2, torch.tensor([4.0], device=device))

    def test_fix_leave_the_centre(self, device, seeded):
        a = torch.tensor([[1.0, 7.0], [3.0, 7.0], [5.0, 7.0]], device=device)
        _, s, _ = torch.pca_lowrank(a, q=2, center=False)
        torch.testing.assert_close(s, torch.linalg.svdvals(a))


@pitfall(
    "lobpcg-limits",
    docs=[
        ("torch.lobpcg", "is smaller than 3x the number of requested"),
        ("torch.lobpcg", "does not support sparse and complex inputs"),
    ],
    symptom="LPBPCG algorithm is not applicable when the number of A rows is smaller than 3 x the number of requested",
    error="is smaller than 3 x the number of requested eigenpairs",
    priority=3,
)
class TestLobpcgLimits:
    """``torch.lobpcg`` wants three rows for each eigenpair, and differentiates dense real matrices without ``B`` only.

    If the matrix requires grad it is made symmetric first, so that the gradient is symmetric even where the input is
    not. For a matrix that fits in memory use ``torch.linalg.eigh``.
    """

    def test_trap_too_few_rows(self, device, seeded):
        with pytest.raises(ValueError, match="is smaller than 3 x the number of requested eigenpairs"):
            torch.lobpcg(torch.eye(5, device=device), k=2)

    def test_trap_no_backward_with_b(self, device, seeded):
        a = torch.diag(torch.arange(1.0, 10.0, device=device)).requires_grad_()
        with pytest.raises(ValueError, match="does not support backward with B != I"):
            torch.lobpcg(a, k=1, B=torch.eye(9, device=device))[0].sum().backward()

    def test_trap_no_backward_to_a_sparse_matrix(self, device, seeded):
        a = torch.diag(torch.arange(1.0, 10.0, device=device)).to_sparse().requires_grad_()
        with pytest.raises(ValueError, match="backward does not support sparse input"):
            torch.lobpcg(a, k=1)[0].sum().backward()

    def test_trap_the_gradient_is_symmetric(self, device, seeded):
        a = torch.diag(torch.arange(1.0, 10.0, device=device))
        a[7, 8] = 2.0
        a.requires_grad_()
        torch.lobpcg(a, k=1, niter=100)[0].sum().backward()
        assert a.grad[7, 8].item() > 0.1
        torch.testing.assert_close(a.grad, a.grad.mT)

    def test_fix_eigh_needs_no_rows(self, device):
        a = torch.diag(torch.arange(1.0, 6.0, device=device))
        assert torch.linalg.eigvalsh(a)[-2:].tolist() == [4, 5]


@pitfall(
    "tensorinv-splits-dimensions",
    docs=[("torch.linalg.tensorinv", "this function expects"), "torch.linalg.tensorinv"],
    symptom="Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind])",
    error="Expected self to satisfy the requirement prod(self.shape[ind:])",
    priority=3,
)
class TestTensorinvSplitsDimensions:
    """``tensorinv`` sees a tensor as a matrix with its first ``ind`` dimensions as rows, two of them by default.

    A matrix needs ``ind=1``, which is ``torch.linalg.inv``; with the default it raises.
    """

    def test_trap_a_matrix_is_refused(self, device):
        with pytest.raises(RuntimeError, match=r"requirement prod\(self.shape\[ind:\]\)"):
            torch.linalg.tensorinv(torch.eye(2, device=device))

    def test_trap_rows_come_last_in_the_result(self, device):
        assert torch.linalg.tensorinv(torch.eye(6, device=device).view(2, 3, 6)).shape == (6, 2, 3)

    def test_fix_one_dimension_of_rows(self, device):
        a = torch.tensor([[2.0, 0.0], [0.0, 4.0]], device=device)
        assert torch.linalg.tensorinv(a, ind=1).tolist() == [[0.5, 0], [0, 0.25]]
