"""Results whose dtype is not that of their operands: sums, ``all``, powers, and comparisons of whole tensors."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "integer-sums-are-int64",
    docs=["torch.sum", "torch.prod", "torch.cumsum", ("torch.sum", "useful for preventing data type overflows")],
    symptom="the sum of a uint8 mask is int64, while its maximum is uint8 and its dot product wraps",
)
class TestIntegerSumsAreInt64:
    """``sum``, ``prod``, ``cumsum`` and ``cumprod`` make int64 of integers and bools; ``max`` keeps the dtype.

    So a sum of bytes doesn't wrap, but a product with ``@`` or ``dot`` does. Floats are summed in their own dtype. Say
    ``dtype=`` to have another.
    """

    SUMS = [
        pytest.param(torch.sum, id="sum"),
        pytest.param(torch.prod, id="prod"),
        pytest.param(lambda x: torch.cumsum(x, 0), id="cumsum"),
        pytest.param(lambda x: torch.cumprod(x, 0), id="cumprod"),
    ]

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
    @pytest.mark.parametrize("add", SUMS)
    def test_trap_integers_become_int64(self, device, add, dtype):
        assert add(torch.ones(3, dtype=dtype, device=device)).dtype == torch.int64

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("add", SUMS)
    def test_trap_floats_stay(self, device, add, dtype):
        assert add(torch.ones(3, dtype=dtype, device=device)).dtype == dtype

    @pytest.mark.parametrize("pick", [torch.max, torch.min, torch.median], ids=["max", "min", "median"])
    def test_trap_what_picks_an_element_keeps_its_dtype(self, device, pick):
        assert pick(torch.ones(3, dtype=torch.uint8, device=device)).dtype == torch.uint8

    def test_trap_the_sum_does_not_wrap(self, device):
        assert torch.full((3,), 200, dtype=torch.uint8, device=device).sum().item() == 600

    def test_fix_say_the_dtype(self, device):
        x = torch.ones(3, dtype=torch.uint8, device=device)
        assert torch.sum(x, dtype=torch.int32).dtype == torch.int32


@pitfall(
    "all-of-uint8-is-uint8",
    docs=[("torch.all", "the dtype of output is `uint8` itself"), "torch.any"],
    symptom="~mask.all() of a uint8 mask is 254, which is true",
)
class TestAllOfUint8IsUint8:
    """``all`` and ``any`` of a uint8 tensor give uint8, of every other dtype bool.

    ``~`` then flips bits: ``~mask.all()`` of an old byte mask is 254 or 255, true either way. Convert masks to bool.
    """

    @pytest.mark.parametrize("ask", [torch.all, torch.any], ids=["all", "any"])
    def test_trap_bytes_stay_bytes(self, device, ask):
        assert ask(torch.ones(2, dtype=torch.uint8, device=device)).dtype == torch.uint8

    @pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int64, torch.float32], ids=str)
    @pytest.mark.parametrize("ask", [torch.all, torch.any], ids=["all", "any"])
    def test_trap_all_others_give_bool(self, device, ask, dtype):
        assert ask(torch.ones(2, dtype=dtype, device=device)).dtype == torch.bool

    def test_trap_not_all_is_always_true(self, device):
        mask = torch.ones(2, dtype=torch.uint8, device=device)
        assert (~mask.all()).item() == 254

    def test_fix_convert_the_mask(self, device):
        mask = torch.ones(2, dtype=torch.uint8, device=device)
        assert (~mask.bool().all()).item() is False


@pitfall(
    "float-power-is-double",
    docs=[("torch.float_power", "always computes in double precision"), "torch.pow"],
    symptom="torch.float_power turned my float16 tensor into float64",
)
class TestFloatPowerIsDouble:
    """``float_power`` computes and returns float64, or complex128 of complex numbers, whatever it is given.

    That is what lets it raise integers to negative powers; ``pow`` keeps to the usual promotion. Convert the result
    back, or use ``pow`` on floats.
    """

    @pytest.mark.parametrize(
        ("dtype", "result"),
        [
            (torch.uint8, torch.float64),
            (torch.int64, torch.float64),
            (torch.float16, torch.float64),
            (torch.float32, torch.float64),
            (torch.complex64, torch.complex128),
        ],
        ids=str,
    )
    def test_trap_the_result_is_double(self, device, dtype, result):
        assert torch.float_power(torch.ones(2, dtype=dtype, device=device), 2).dtype == result

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float16, torch.complex64], ids=str)
    def test_fix_pow_promotes_as_usual(self, device, dtype):
        assert torch.pow(torch.ones(2, dtype=dtype, device=device), 2).dtype == dtype

    def test_fix_it_takes_negative_powers_of_integers(self, device):
        assert torch.float_power(torch.tensor([2, 4], device=device), -1).tolist() == [0.5, 0.25]


@pitfall(
    "reciprocal-of-integers-is-float",
    docs=[("torch.reciprocal", "supports integral inputs"), "torch.sqrt", "tensor_attributes#torch-dtype"],
    symptom="torch.reciprocal of integers gives floats, where np.reciprocal gives zeros",
    priority=3,
)
class TestReciprocalOfIntegersIsFloat:
    """Functions that give fractions make floats of integers: ``reciprocal``, ``sqrt``, ``exp`` and ``sin``.

    The dtype is the default one, so integers beyond 2**24 lose digits. Their in-place forms are refused. Convert to
    ``double()`` first if the digits matter.
    """

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64], ids=str)
    @pytest.mark.parametrize(
        "function", [torch.reciprocal, torch.sqrt, torch.exp, torch.sin], ids=["reciprocal", "sqrt", "exp", "sin"]
    )
    def test_trap_the_result_is_float32(self, device, function, dtype):
        assert function(torch.ones(2, dtype=dtype, device=device)).dtype == torch.float32

    def test_trap_zero_becomes_inf(self, device):
        assert torch.reciprocal(torch.tensor([2, 0], device=device)).tolist() == [0.5, float("inf")]

    def test_fix_double_first(self, device):
        x = torch.tensor([2**52], device=device)
        assert torch.sqrt(x.double()).item() == 2**26


@pitfall(
    "equal-ignores-dtypes",
    docs=[("torch.equal", "differentiate between the data types of the tensors"), "torch.testing.assert_close"],
    symptom="torch.equal says True, but the one is int64 and the other bool",
)
class TestEqualIgnoresDtypes:
    """``torch.equal`` compares values: tensors of different dtypes are equal if their values are after promotion.

    Promotion may even round them to the same value. ``torch.testing.assert_close`` checks the dtypes too.
    """

    @pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float64, torch.complex64], ids=str)
    def test_trap_dtypes_do_not_count(self, device, dtype):
        x = torch.tensor([0, 1], device=device)
        assert torch.equal(x, x.to(dtype))

    def test_trap_promotion_may_round(self, device):
        assert torch.equal(torch.tensor([2**24 + 1], device=device), torch.tensor([2.0**24], device=device))

    def test_fix_assert_close_checks_the_dtype(self, device):
        x = torch.tensor([0, 1], device=device)
        with pytest.raises(AssertionError, match="The values for attribute 'dtype' do not match"):
            torch.testing.assert_close(x.double(), x)

    @pytest.mark.parametrize(("dtype", "same"), [(torch.int64, True), (torch.float64, False)], ids=str)
    def test_fix_compare_the_dtypes(self, device, dtype, same):
        x = torch.tensor([0, 1], device=device)
        y = x.to(dtype)
        assert (x.dtype == y.dtype and torch.equal(x, y)) is same


@pitfall(
    "isin-wants-a-tensor",
    docs=[("torch.isin", "can be a scalar, but not both"), "torch.eq"],
    symptom="torch.isin(1, [1, 2]) raises TypeError: received an invalid combination of arguments",
    priority=3,
)
class TestIsinWantsATensor:
    """``torch.isin`` wants a tensor on at least one side: two numbers are refused, and so is a list.

    The result has the shape of the first argument. Make a tensor of the list.
    """

    @pytest.mark.parametrize("elements", [1, [1, 2]], ids=str)
    def test_trap_no_tensor_is_refused(self, elements):
        with pytest.raises(TypeError, match=r"isin\(\) received an invalid combination of arguments"):
            torch.isin(elements, 1)

    def test_trap_a_list_is_refused(self, device):
        with pytest.raises(TypeError, match=r"isin\(\) received an invalid combination of arguments"):
            torch.isin(torch.tensor([1, 2], device=device), [1])

    def test_fix_one_number_beside_a_tensor(self, device):
        x = torch.tensor([1, 2], device=device)
        assert torch.isin(x, 1).tolist() == [True, False]
        assert torch.isin(1, x).item() is True
