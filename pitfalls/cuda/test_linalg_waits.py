"""Linear algebra that waits for the GPU to see whether it went well, and the functions that leave this to you."""

import pytest
import torch

from pitfalls import on, pitfall

UNCHECKED = [
    pytest.param(lambda a, check: torch.linalg.cholesky_ex(a, check_errors=check), id="cholesky_ex"),
    pytest.param(lambda a, check: torch.linalg.inv_ex(a, check_errors=check), id="inv_ex"),
    pytest.param(lambda a, check: torch.linalg.lu_factor_ex(a, check_errors=check), id="lu_factor_ex"),
    pytest.param(lambda a, check: torch.linalg.solve_ex(a, a, check_errors=check), id="solve_ex"),
]


@pytest.fixture
def waits_refused():
    """Operations that wait for the GPU raise, until the end of the test."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pitfall(
    "linalg-waits-for-the-gpu",
    docs=[
        ("torch.linalg.inv", "this function synchronizes that device with the CPU"),
        ("torch.linalg.inv_ex", "this function synchronizes only when"),
        "torch.linalg.cholesky",
        "torch.linalg.eig",
        "torch.linalg.ldl_factor",
        "torch.linalg.lu_factor",
        "torch.linalg.pinv",
        "torch.linalg.solve",
    ],
    symptom="a training step with torch.linalg.inv or cholesky leaves the GPU idle",
    error="called a synchronizing CUDA operation",
    priority=3,
)
class TestLinalgWaitsForTheGpu:
    """Most of ``torch.linalg`` waits for the GPU, because it raises where a matrix is singular, and has to look.

    The functions that end in ``_ex`` give ``info`` instead, and wait only with ``check_errors=True``. Look at ``info``
    when the GPU is waited for anyway.
    """

    @on("cuda")
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda a: torch.linalg.cholesky(a), id="cholesky"),
            pytest.param(lambda a: torch.linalg.eig(a), id="eig"),
            pytest.param(lambda a: torch.linalg.eigh(a), id="eigh"),
            pytest.param(lambda a: torch.linalg.eigvals(a), id="eigvals"),
            pytest.param(lambda a: torch.linalg.inv(a), id="inv"),
            pytest.param(lambda a: torch.linalg.ldl_factor(a), id="ldl_factor"),
            pytest.param(lambda a: torch.linalg.lu_factor(a), id="lu_factor"),
            pytest.param(lambda a: torch.linalg.pinv(a), id="pinv"),
            pytest.param(lambda a: torch.linalg.solve(a, a), id="solve"),
        ],
    )
    def test_trap_it_waits(self, device, waits_refused, call):
        a = torch.ones(2, 2, device=device) + torch.eye(2, device=device)
        with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
            call(a)

    @on("cuda")
    @pytest.mark.parametrize("call", UNCHECKED)
    def test_trap_checking_waits(self, device, waits_refused, call):
        a = torch.ones(2, 2, device=device) + torch.eye(2, device=device)
        with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
            call(a, True)

    @on("cuda")
    @pytest.mark.parametrize("call", UNCHECKED)
    def test_fix_without_checking_it_does_not(self, device, call):
        a = torch.ones(2, 2, device=device) + torch.eye(2, device=device)
        torch.cuda.set_sync_debug_mode("error")
        try:
            *_, info = call(a, False)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert info.item() == 0

    @pytest.mark.parametrize("call", UNCHECKED)
    def test_fix_info_tells_later(self, device, call):
        *_, info = call(-torch.ones(2, 2, device=device), False)
        assert info.item() > 0
