"""Matrices with NaN or infinity, and factors that are not contiguous: what ``torch.linalg`` does not promise."""

import pytest
import torch

from pitfalls import observe, on, pitfall

NAN = float("nan")


@pitfall(
    "linalg-of-nan-raises-or-spreads",
    docs=["notes/numerical_accuracy", "torch.linalg.svd", "torch.linalg.eig"],
    symptom="linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values",
    error="because the input matrix contained non-finite values | input tensor should not contain infs or NaNs",
    priority=3,
)
class TestLinalgOfNanRaisesOrSpreads:
    """A matrix with a NaN makes some functions of ``torch.linalg`` raise, while others return NaN without a word.

    No function promises either, and the libraries underneath differ by device. Ask ``x.isfinite().all()`` before you
    decompose what a training step has computed.
    """

    @on("cpu")
    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(torch.linalg.svd, id="svd"),
            pytest.param(torch.linalg.svdvals, id="svdvals"),
            pytest.param(torch.linalg.pinv, id="pinv"),
            pytest.param(torch.linalg.cond, id="cond"),
        ],
    )
    def test_trap_singular_values_raise(self, device, compute):
        a = torch.tensor([[NAN, 1.0], [1.0, 1.0]], device=device)
        with pytest.raises(torch.linalg.LinAlgError, match="because the input matrix contained non-finite values"):
            compute(a)

    @on("cpu")
    def test_trap_eig_raises(self, device):
        a = torch.tensor([[NAN, 1.0], [1.0, 1.0]], device=device)
        with pytest.raises(RuntimeError, match="input tensor should not contain infs or NaNs"):
            torch.linalg.eig(a)

    @on("cpu")
    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(torch.linalg.inv, id="inv"),
            pytest.param(torch.linalg.det, id="det"),
            pytest.param(lambda a: torch.linalg.slogdet(a).logabsdet, id="slogdet"),
            pytest.param(lambda a: torch.linalg.solve(a, torch.ones_like(a)), id="solve"),
        ],
    )
    def test_trap_others_return_nan(self, device, compute):
        a = torch.tensor([[NAN, 1.0], [1.0, 1.0]], device=device)
        assert compute(a).isnan().all().item()

    @on("cpu")
    def test_trap_infinity_may_pass_unseen(self, device):
        a = torch.tensor([[float("inf"), 0.0], [0.0, 1.0]], device=device)
        observe(inverse=[str(x) for x in torch.linalg.inv(a).flatten().tolist()])
        assert torch.linalg.det(a).item() == float("inf")

    def test_fix_ask_before(self, device):
        a = torch.tensor([[NAN, 1.0], [1.0, 1.0]], device=device)
        assert a.isfinite().all().item() is False


@pitfall(
    "svd-returns-u-by-columns",
    docs=["torch.svd", "torch.linalg.svd"],
    symptom="U.view(-1) raises after torch.svd, or U.is_contiguous() is False",
    error="view size is not compatible with input tensor's size and stride",
    priority=3,
)
class TestSvdReturnsUByColumns:
    """The ``U`` of an SVD lies in memory column by column, as LAPACK leaves it, and so is not contiguous.

    The numbers are right; it is ``view`` and code that reads the memory that notice. Call ``contiguous()``, or use
    ``reshape``.
    """

    @on("cpu")
    @pytest.mark.parametrize("svd", [torch.svd, lambda a: torch.linalg.svd(a, False)], ids=["svd", "linalg.svd"])
    def test_trap_columns_first(self, device, svd):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
        assert svd(a)[0].stride() == (1, 3)

    @on("cpu")
    def test_trap_a_view_raises(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
        with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
            torch.svd(a).U.view(-1)

    def test_fix_contiguous(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
        assert torch.svd(a).U.contiguous().view(-1).shape == (6,)
