"""Operations that autocast leaves alone, because they promote by themselves."""

import pytest
import torch

from pitfalls import pitfall


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "combine",
    [
        pytest.param(lambda x, y: x + y, id="add"),
        pytest.param(lambda x, y: x - y, id="sub"),
        pytest.param(lambda x, y: x * y, id="mul"),
        pytest.param(lambda x, y: x / y, id="div"),
    ],
)
@pitfall(
    "autocast-leaves-promotion-to-the-operands",
    docs=["amp", "torch.autocast"],
    symptom="under autocast a sum of a half and a float32 tensor is float32",
    priority=3,
)
class TestAutocastLeavesPromotionToTheOperands:
    """``+``, ``*`` and their kin are on no list of autocast: they promote to the wider dtype, with it and without.

    A half activation plus a float32 tensor is thus float32, and so is all that follows elementwise. Convert the float32
    operand where the result should stay in half precision.
    """

    def test_trap_the_wider_dtype_wins(self, device, combine, dtype):
        half, single = torch.ones(2, dtype=dtype, device=device), torch.ones(2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            assert combine(half, single).dtype == torch.float32

    def test_trap_as_without_autocast(self, device, combine, dtype):
        half, single = torch.ones(2, dtype=dtype, device=device), torch.ones(2, device=device)
        assert combine(half, single).dtype == torch.float32

    def test_fix_convert_the_operand(self, device, combine, dtype):
        half, single = torch.ones(2, dtype=dtype, device=device), torch.ones(2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            assert combine(half, single.to(dtype)).dtype == dtype
