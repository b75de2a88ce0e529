"""Kernels of custom operators: switched off before they are there, and off they stay."""

import logging

import pytest
import torch

from pitfalls import pitfall, since


@pytest.fixture
def operator():
    """A custom operator that adds one, on every device; torch logs that there is nothing to disable."""
    log = logging.getLogger("torch._library.custom_ops")
    level = log.level
    log.setLevel(logging.ERROR)

    @torch.library.custom_op("pitfalls::increase", mutates_args=())
    def increase(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    yield increase
    increase._lib._destroy()
    log.setLevel(level)


@since("2.6")
@pitfall(
    "disabled-kernel-outlives-its-registration",
    docs=["torch.library.CustomOpDef.set_kernel_enabled"],
    symptom="a kernel that I have registered for a custom operator is not called",
    priority=3,
)
class TestDisabledKernelOutlivesItsRegistration:
    """``set_kernel_enabled`` disables a device, not a function: a kernel that is registered later is disabled too.

    There is but a line in the log. Enable the device again, or leave the ``with`` block, and the new kernel is used.
    """

    def test_trap_it_is_not_called(self, device, operator):
        with operator.set_kernel_enabled(device.type, enabled=False):
            operator.register_kernel(device.type)(lambda x: x + 10)
            assert operator(torch.zeros(1, device=device)).item() == 1

    def test_fix_leave_the_block(self, device, operator):
        with operator.set_kernel_enabled(device.type, enabled=False):
            operator.register_kernel(device.type)(lambda x: x + 10)
        assert operator(torch.zeros(1, device=device)).item() == 10

    def test_fix_enable_it(self, device, operator):
        with operator.set_kernel_enabled(device.type, enabled=False):
            operator.register_kernel(device.type)(lambda x: x + 10)
            with operator.set_kernel_enabled(device.type, enabled=True):
                assert operator(torch.zeros(1, device=device)).item() == 10
