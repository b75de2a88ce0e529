"""Calls that wait for the GPU without looking like it: the scale of a GradScaler, and where elements are."""

import pytest
import torch

from pitfalls import on, pitfall, since


@pytest.fixture
def waits_refused():
    """Operations that wait for the GPU raise, until the end of the test."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@since("2.3")
@pitfall(
    "reading-the-scale-waits",
    docs=[
        ("torch.amp.GradScaler.get_scale", "incurs a CPU-GPU sync"),
        ("torch.amp.GradScaler.unscale_", "does not incur a CPU-GPU sync"),
        "torch.cuda.set_sync_debug_mode",
    ],
    symptom="logging scaler.get_scale() in every step makes training slower",
    error="called a synchronizing CUDA operation",
    priority=3,
)
class TestReadingTheScaleWaits:
    """``scaler.get_scale()`` waits until the GPU has done all that was queued, since the scale lives there.

    ``scale`` and ``unscale_`` don't wait. Log the scale every hundred steps, not in each.
    """

    @on("cuda")
    def test_trap_get_scale_waits(self, device, waits_refused):
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(torch.ones(1, device=device))  # makes the scale on the GPU
        with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
            scaler.get_scale()

    @on("cuda")
    def test_fix_unscale_does_not(self, device):
        w = torch.ones(1, device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=1.0)
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(w * 3).backward()
        torch.cuda.set_sync_debug_mode("error")
        try:
            scaler.unscale_(optimizer)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert w.grad.item() == 3

    @on("cpu")
    def test_trap_it_is_a_python_number(self, device):
        scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
        scaler.scale(torch.ones(1, device=device))
        assert scaler.get_scale() == 4


@pitfall(
    "argwhere-waits-for-the-gpu",
    docs=[("torch.argwhere", "this function causes host-device synchronization"), "torch.cuda.set_sync_debug_mode"],
    symptom="torch.argwhere on the GPU is slow whatever the size of the tensor",
    error="called a synchronizing CUDA operation",
    priority=3,
)
class TestArgwhereWaitsForTheGpu:
    """``argwhere`` waits for the GPU: how many rows it returns depends on the values, and the CPU must know.

    Keep a mask of fixed size and multiply by it, or use ``torch.where`` with three arguments.
    """

    @on("cuda")
    def test_trap_it_waits(self, device, waits_refused):
        x = torch.ones(3, device=device)
        with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
            torch.argwhere(x)

    @on("cpu")
    def test_trap_the_size_depends_on_the_values(self, device):
        sizes = [len(torch.argwhere(torch.tensor(x, device=device))) for x in ([0, 1, 1], [0, 0, 1])]
        assert sizes == [2, 1]

    def test_fix_a_mask_of_fixed_size(self, device):
        x = torch.tensor([-1.0, 2.0, 3.0], device=device)
        assert torch.where(x > 0, x, 0 * x).sum().item() == 5
