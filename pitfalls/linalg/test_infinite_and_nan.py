"""Matrices with NaN or infinity, and factors that are not contiguous: what ``torch.linalg`` does not promise."""

import pytest
import torch

from pitfalls import observe, on, pitfall

NAN = float("nan")


@pitfall(
    "linalg-of-nan-raises-or-spreads",
    docs=["notes/numerical_accuracy#linear-algebra-torch-linalg", "torch.linalg.svdvals", "torch.linalg.eig"],
    symptom="linalg.svd: The algorithm failed to converge because the input matrix contained non-finite values",
    error="because the input matrix contained non-finite values | input tensor should not contain infs or NaNs",
    priority=3,
)
class TestLinalgOfNanRaisesOrSpreads:
    """A matrix with a NaN makes a function of ``torch.linalg`` raise, or return what is not finite, without a word.

    Which of the two it is none of them promises: the libraries underneath differ by device and by release. Ask
    ``x.isfinite().all()`` before you decompose what a training step has computed.
    """

    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(torch.linalg.inv, id="inv"),
            pytest.param(torch.linalg.det, id="det"),
            pytest.param(lambda a: torch.linalg.solve(a, torch.ones_like(a)), id="solve"),
            pytest.param(torch.linalg.svdvals, id="svdvals"),
            pytest.param(torch.linalg.pinv, id="pinv"),
            pytest.param(torch.linalg.cond, id="cond"),
            pytest.param(lambda a: torch.linalg.eig(a).eigenvalues, id="eig"),
        ],
    )
    def test_trap_nothing_good_comes_of_it(self, device, compute):
        a = torch.tensor([[NAN, 1.0], [1.0, 1.0]], device=device)
        try:
            came = "finite" if compute(a).isfinite().all().item() else "not finite"
        except RuntimeError as error:
            came = type(error).__name__
        observe(came=came)
        assert came != "finite"

    def test_fix_ask_before(self, device):
        a = torch.tensor([[NAN, 1.0], [1.0, 1.0]], device=device)
        assert a.isfinite().all().item() is False


@pitfall(
    "svd-returns-u-by-columns",
    docs=[("torch.svd", "The returned `U` will not be contiguous")],
    symptom="U.view(-1) raises after torch.svd, or U.is_contiguous() is False",
    error="view size is not compatible with input tensor's size and stride",
    priority=3,
)
class TestSvdReturnsUByColumns:
    """The ``U`` of ``torch.svd`` lies in memory column by column, as LAPACK leaves it, and so is not contiguous.

    The numbers are right; it is ``view`` and code that reads the memory that notice. Call ``contiguous()``, or use
    ``reshape``.
    """

    @on("cpu")
    def test_trap_columns_first(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
        assert torch.svd(a).U.stride() == (1, 3)

    @on("cpu")
    def test_trap_a_view_raises(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
        with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
            torch.svd(a).U.view(-1)

    def test_fix_contiguous(self, device):
        a = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], device=device)
        assert torch.svd(a).U.contiguous().view(-1).shape == (6,)
