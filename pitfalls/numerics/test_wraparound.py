"""Integers in narrow dtypes: sums that wrap round, minus and abs that don't change the sign, and bits for "not"."""

import operator

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "integers-wrap-round",
    docs=["type_info#torch-iinfo", "tensor_attributes#torch-dtype", "torch.add"],
    symptom="the difference of two uint8 images is 255 where it should be -1; a product turns negative",
    priority=1,
)
class TestIntegersWrapRound:
    """Integer arithmetic that leaves its dtype wraps round without an error: uint8 200 + 100 is 44.

    A Python number on the other side doesn't widen the tensor, as it would widen an int, so bytes of an image wrap the
    soonest. Convert first: ``image.int()`` or ``image.float()``.
    """

    @pytest.mark.parametrize(
        ("compute", "dtype", "value"),
        [
            pytest.param(lambda x: x + x, torch.uint8, 144, id="uint8 plus"),
            pytest.param(lambda x: x + 100, torch.uint8, 44, id="uint8 plus a number"),
            pytest.param(lambda x: x * 2, torch.uint8, 144, id="uint8 times"),
            pytest.param(lambda x: 1 - x, torch.uint8, 57, id="uint8 minus"),
            pytest.param(lambda x: -x, torch.uint8, 56, id="uint8 negated"),
            pytest.param(lambda x: x**2, torch.uint8, 64, id="uint8 squared"),
            pytest.param(lambda x: x.sum(dtype=torch.int8), torch.int16, -56, id="sum in int8"),
            pytest.param(lambda x: x * 200, torch.int16, -25536, id="int16 times"),
            pytest.param(lambda x: x * 2**31, torch.int32, 0, id="int32 times"),
            pytest.param(lambda x: x**9, torch.int64, 200**9 - 28 * 2**64, id="int64 to a power"),
        ],
    )
    def test_trap_the_result_wraps(self, device, compute, dtype, value):
        x = compute(torch.tensor([200], dtype=dtype, device=device))
        assert x.flatten().tolist() == [value]

    def test_trap_the_dtype_stays(self, device):
        x = torch.tensor([200], dtype=torch.uint8, device=device)
        assert (x + 100).dtype == torch.uint8

    @pytest.mark.parametrize("dtype", [torch.int32, torch.float32], ids=str)
    def test_fix_convert_first(self, device, dtype):
        a, b = torch.tensor([[1, 200], [2, 100]], dtype=torch.uint8, device=device).to(dtype)
        assert (a - b).tolist() == [-1, 100]
        assert (a + b).tolist() == [3, 300]


@pitfall(
    "smallest-integer-has-no-opposite",
    docs=["type_info#torch-iinfo", ("torch.abs", "Computes the absolute value of each element")],
    symptom="abs() returned a negative number; a hash taken with abs() % n is negative",
    priority=3,
)
class TestSmallestIntegerHasNoOpposite:
    """``abs`` and minus of the smallest integer of a signed dtype give that negative number back.

    There is one negative number more than positive ones: int8 ends at 127, so 128 wraps round to -128. Widen before,
    and take a hash with ``%``, which is never negative for a positive divisor.
    """

    @pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
    @pytest.mark.parametrize("turn", [torch.abs, torch.neg], ids=["abs", "minus"])
    def test_trap_it_stays_negative(self, device, turn, dtype):
        smallest = torch.iinfo(dtype).min
        assert turn(torch.tensor(smallest, dtype=dtype, device=device)).item() == smallest

    @pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32], ids=str)
    def test_fix_widen(self, device, dtype):
        smallest = torch.iinfo(dtype).min
        assert torch.tensor(smallest, dtype=dtype, device=device).long().abs().item() == -smallest

    def test_fix_a_hash_with_modulo(self, device):
        assert (torch.tensor(-(2**63), device=device) % 10).item() == 2


@pitfall(
    "tilde-on-integers-flips-bits",
    docs=[("torch.bitwise_not", "For bool tensors, it computes the logical"), "torch.logical_not"],
    symptom="~mask is 254 and 255; the inverted mask selects everything, or indexes with -1 and -2",
)
class TestTildeOnIntegersFlipsBits:
    """``~`` inverts bool tensors, but flips all bits of integers: ``~1`` is 254 in uint8 and -2 in int64.

    Both are true. A mask that came as bytes (from a file, or from an image) has to become bool first; or use
    ``logical_not``, which gives bool for every dtype.
    """

    @pytest.mark.parametrize("invert", [operator.invert, torch.bitwise_not], ids=["~", "bitwise_not"])
    @pytest.mark.parametrize(
        ("dtype", "values"), [(torch.uint8, [255, 254]), (torch.int64, [-1, -2])], ids=["uint8", "int64"]
    )
    def test_trap_bits_are_flipped(self, device, invert, dtype, values):
        x = invert(torch.tensor([0, 1], dtype=dtype, device=device))
        assert x.tolist() == values

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
    def test_trap_the_inverse_is_true_everywhere(self, device, dtype):
        x = ~torch.tensor([0, 1], dtype=dtype, device=device)
        assert x.bool().tolist() == [True, True]

    @pytest.mark.parametrize(
        "invert",
        [
            pytest.param(lambda mask: ~mask.bool(), id="bool first"),
            pytest.param(lambda mask: mask.logical_not(), id="logical_not"),
            pytest.param(lambda mask: mask == 0, id="compare with 0"),
        ],
    )
    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32], ids=str)
    def test_fix_logical(self, device, invert, dtype):
        mask = invert(torch.tensor([0, 1], dtype=dtype, device=device))
        assert mask.dtype is torch.bool
        assert mask.tolist() == [True, False]


@pitfall(
    "greatest-common-divisor-of-zeros",
    docs=[("torch.gcd", "This defines"), ("torch.lcm", "This defines")],
    symptom="torch.gcd(0, 0) is 0, and dividing by it fails",
    changed={"2.8": "a missing kernel raises NotImplementedError, which is a RuntimeError too"},
    priority=3,
)
class TestGreatestCommonDivisorOfZeros:
    """``gcd(0, 0)`` and every ``lcm`` with a zero are 0, not an error; floats are refused.

    Reducing a fraction by the gcd then divides by zero. Raise it to 1 with ``clamp(min=1)``.
    """

    @pytest.mark.parametrize(
        ("combine", "values"), [(torch.gcd, [0, 5, 2]), (torch.lcm, [0, 0, 12])], ids=["gcd", "lcm"]
    )
    def test_trap_zero_comes_out(self, device, combine, values):
        a, b = torch.tensor([0, 0, 4], device=device), torch.tensor([0, 5, 6], device=device)
        assert combine(a, b).tolist() == values

    @pytest.mark.parametrize("combine", [torch.gcd, torch.lcm], ids=["gcd", "lcm"])
    def test_trap_floats_have_none(self, device, combine):
        with pytest.raises(RuntimeError, match="not implemented for 'Float'"):
            combine(torch.ones(1, device=device), torch.ones(1, device=device))

    def test_fix_at_least_one(self, device):
        a, b = torch.tensor([0, 4], device=device), torch.tensor([0, 6], device=device)
        assert (a // torch.gcd(a, b).clamp(min=1)).tolist() == [0, 2]
