"""Division: floats from integers, which way quotients and remainders round, divisors of zero, and negative powers."""

import operator

import pytest
import torch

from pitfalls import on, pitfall

TRUE_DIVISION = [
    pytest.param(operator.truediv, id="/"),
    pytest.param(torch.div, id="div"),
    pytest.param(torch.true_divide, id="true_divide"),
    pytest.param(torch.divide, id="divide"),
]


@pitfall(
    "slash-always-makes-floats",
    docs=[("torch.div", "Always promotes integer types to the default"), ("torch.div", 'performs a "true" division')],
    symptom="an index computed with / is a float: tensors used as indices must be long, int, byte or bool tensors",
    error="tensors used as indices must be",
    priority=1,
)
class TestSlashAlwaysMakesFloats:
    """Dividing integer tensors with ``/`` or ``torch.div`` gives floats of the default dtype, as in Python 3.

    The result can be no index and no size, and float32 rounds integers above ``2**24``, even where the division comes
    out even. Use ``//`` or ``rounding_mode=`` for integers; convert with ``double()`` first for more digits.
    """

    @pytest.mark.parametrize("divide", TRUE_DIVISION)
    def test_trap_integers_become_floats(self, device, divide):
        x = divide(torch.tensor([7, 8], device=device), 2)
        assert x.dtype == torch.float32
        assert x.tolist() == [3.5, 4]

    @pytest.mark.parametrize("divide", TRUE_DIVISION)
    def test_trap_large_integers_are_rounded(self, device, divide):
        x = torch.tensor([2**24 + 1], device=device)
        assert divide(x, 1).tolist() == [2**24]

    def test_trap_it_is_no_index(self, device):
        middle = torch.tensor([4], device=device) / 2
        with pytest.raises(IndexError, match="tensors used as indices must be"):
            torch.arange(5, device=device)[middle]

    @pytest.mark.parametrize(
        "divide",
        [
            pytest.param(operator.floordiv, id="//"),
            pytest.param(torch.floor_divide, id="floor_divide"),
            pytest.param(lambda a, b: torch.div(a, b, rounding_mode="floor"), id="floor"),
            pytest.param(lambda a, b: torch.div(a, b, rounding_mode="trunc"), id="trunc"),
        ],
    )
    def test_fix_ask_for_integers(self, device, divide):
        x = divide(torch.tensor([7, 2**24 + 1], device=device), 1)
        assert x.dtype == torch.int64
        assert x.tolist() == [7, 2**24 + 1]


@pitfall(
    "floor-division-rounds-down",
    docs=[("torch.floor_divide", "incorrectly performed truncation division"), "torch.div"],
    symptom="-7 // 2 is -4 in torch and -3 in C; old answers say that floor_divide truncates",
)
class TestFloorDivisionRoundsDown:
    """``//`` and ``floor_divide`` round towards minus infinity: ``-7 // 2`` is -4.

    This is Python's rule. C, CUDA and torch before 1.13 cut towards zero, and so does a cast of the quotient to int.
    Where that is meant, say ``torch.div(a, b, rounding_mode="trunc")``.
    """

    @pytest.mark.parametrize("values", [[7, -7], [7.0, -7.0]], ids=["integers", "floats"])
    @pytest.mark.parametrize(
        "divide",
        [
            pytest.param(operator.floordiv, id="//"),
            pytest.param(torch.floor_divide, id="floor_divide"),
            pytest.param(lambda a, b: torch.div(a, b, rounding_mode="floor"), id="floor"),
        ],
    )
    def test_trap_negative_quotients_go_down(self, device, divide, values):
        x = torch.tensor(values, device=device)
        assert divide(x, 2).tolist() == [3, -4]

    @pytest.mark.parametrize(
        "divide",
        [
            pytest.param(lambda a, b: torch.div(a, b, rounding_mode="trunc"), id="trunc"),
            pytest.param(lambda a, b: (a / b).int(), id="cast of the quotient"),
        ],
    )
    def test_fix_towards_zero(self, device, divide):
        assert divide(torch.tensor([7, -7], device=device), 2).tolist() == [3, -3]


DIVIDENDS_AND_DIVISORS = ([7, -7, 7, -7], [3, 3, -3, -3])


@pitfall(
    "remainder-has-the-sign-of-the-divisor",
    docs=[
        ("torch.remainder", "has the same sign as the divisor"),
        ("torch.fmod", "has the same sign as the dividend"),
    ],
    symptom="-7 % 3 is 2 on tensors and -1 in C++; fmod and % disagree for negative numbers",
    changed={"2.8": "a missing kernel raises NotImplementedError, which is a RuntimeError too"},
)
class TestRemainderHasTheSignOfTheDivisor:
    """``%`` and ``torch.remainder`` take the sign of the divisor, ``torch.fmod`` that of the dividend.

    ``%`` belongs to ``//`` and suits indices that wrap round; ``fmod`` belongs to truncation and is what C computes.
    Neither has a complex form.
    """

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
    @pytest.mark.parametrize("remainder", [operator.mod, torch.remainder], ids=["%", "remainder"])
    def test_trap_python_rule(self, device, remainder, dtype):
        a, b = torch.tensor(DIVIDENDS_AND_DIVISORS, dtype=dtype, device=device)
        assert remainder(a, b).tolist() == [1, 2, -2, -1]

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
    def test_trap_fmod_has_the_rule_of_c(self, device, dtype):
        a, b = torch.tensor(DIVIDENDS_AND_DIVISORS, dtype=dtype, device=device)
        assert torch.fmod(a, b).tolist() == [1, -1, 1, -1]

    @pytest.mark.parametrize("remainder", [torch.remainder, torch.fmod], ids=["remainder", "fmod"])
    def test_trap_complex_numbers_have_none(self, device, remainder):
        x = torch.tensor([1j], device=device)
        with pytest.raises(RuntimeError, match="not implemented for 'ComplexFloat'"):
            remainder(x, x)

    def test_fix_wrap_an_index_round(self, device):
        assert (torch.tensor([-1, 5], device=device) % 5).tolist() == [4, 0]


WITHOUT_FRACTION = [
    pytest.param(operator.floordiv, id="//"),
    pytest.param(operator.mod, id="%"),
    pytest.param(torch.fmod, id="fmod"),
    pytest.param(lambda a, b: torch.div(a, b, rounding_mode="trunc"), id="trunc"),
]


@pitfall(
    "integer-division-by-zero",
    docs=[("torch.fmod", "integer division by zero on CPU"), "torch.remainder", "torch.div"],
    symptom="RuntimeError: ZeroDivisionError on the CPU, and no error but nonsense on the GPU",
    error="ZeroDivisionError",
)
class TestIntegerDivisionByZero:
    """An integer ``//`` or ``%`` by zero raises RuntimeError on the CPU; on CUDA the result is any value.

    The message says ZeroDivisionError, the type is not Python's. The GPU checks nothing. Replace zeros in the divisor
    first, and mask the result; ``/`` gives floats and with them infinity.
    """

    @on("cpu")
    @pytest.mark.parametrize("divide", WITHOUT_FRACTION)
    def test_trap_it_raises(self, device, divide):
        a, b = torch.tensor([6, 6], device=device), torch.tensor([3, 0], device=device)
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            divide(a, b)

    @on("cuda")
    @pytest.mark.parametrize("divide", WITHOUT_FRACTION[:1])
    def test_trap_the_gpu_says_nothing(self, device, divide):
        a, b = torch.tensor([6, 6], device=device), torch.tensor([3, 0], device=device)
        assert divide(a, b)[0].item() == 2

    def test_fix_no_zero_in_the_divisor(self, device):
        a, b = torch.tensor([6, 6], device=device), torch.tensor([3, 0], device=device)
        quotient = a // b.masked_fill(b == 0, 1)
        assert quotient.masked_fill(b == 0, -1).tolist() == [2, -1]

    def test_fix_floats_have_infinity(self, device):
        a, b = torch.tensor([6, 6, -6], device=device), torch.tensor([3, 0, 0], device=device)
        assert (a / b).tolist() == [2, float("inf"), -float("inf")]


@pitfall(
    "float-division-by-zero-is-silent",
    docs=[("torch.fmod", "on both CPU and GPU"), "torch.div"],
    symptom="no ZeroDivisionError, but inf and nan in the results",
)
class TestFloatDivisionByZeroIsSilent:
    """A float tensor divided by zero gives ``inf`` or NaN without an error or a warning.

    ``x / 0`` is an infinity with the sign of ``x``, ``0 / 0`` and every remainder by zero are NaN. Python raises and
    NumPy warns there. Look at the divisor, or at ``isfinite()`` of the result.
    """

    @pytest.mark.parametrize(
        "divide",
        [
            pytest.param(operator.truediv, id="/"),
            pytest.param(operator.floordiv, id="//"),
            pytest.param(lambda a, b: torch.div(a, b, rounding_mode="trunc"), id="trunc"),
        ],
    )
    def test_trap_infinities_and_nan(self, device, divide):
        x = divide(torch.tensor([1.0, -1.0, 0.0], device=device), 0.0)
        assert x[:2].tolist() == [float("inf"), -float("inf")]
        assert x[2].isnan().item()

    @pytest.mark.parametrize("remainder", [operator.mod, torch.fmod], ids=["%", "fmod"])
    def test_trap_a_remainder_is_nan(self, device, remainder):
        x = remainder(torch.tensor([1.0, -1.0, 0.0], device=device), 0.0)
        assert x.isnan().all().item()

    def test_fix_look_at_the_result(self, device):
        x = torch.tensor([1.0, 0.0, 6.0], device=device) / torch.tensor([0.0, 0.0, 2.0], device=device)
        assert x.isfinite().tolist() == [False, False, True]


@pitfall(
    "addcdiv-refuses-integers",
    docs=[("torch.addcdiv", "Integer division with addcdiv is no longer")],
    symptom="RuntimeError: Integer division with addcdiv is no longer supported",
    error="Integer division with addcdiv is no longer supported",
    priority=3,
)
class TestAddcdivRefusesIntegers:
    """``addcdiv`` raises if both tensors that it divides are integers, though ``/`` takes them; ``addcmul`` does not.

    It once truncated the quotient, and torch waits before it gives the true one. Write the sum out, or convert one of
    the two tensors.
    """

    @pytest.mark.parametrize("start", [1, 1.0], ids=["integers", "floats"])
    @pytest.mark.parametrize("add", [torch.addcdiv, torch.Tensor.addcdiv], ids=["function", "method"])
    def test_trap_integers_are_refused(self, device, add, start):
        x, a, b = (torch.tensor([value], device=device) for value in (start, 3, 2))
        with pytest.raises(RuntimeError, match="Integer division with addcdiv is no longer supported"):
            add(x, a, b)

    @pytest.mark.parametrize(
        "add",
        [
            pytest.param(lambda x, a, b: x + a / b, id="sum"),
            pytest.param(lambda x, a, b: torch.addcdiv(x, a.float(), b), id="converted"),
        ],
    )
    def test_fix_divide_floats(self, device, add):
        x, a, b = (torch.tensor([value], device=device) for value in (1, 3, 2))
        assert add(x, a, b).tolist() == [2.5]


@pitfall(
    "integer-base-and-negative-exponent",
    docs=[("torch.float_power", "integer base is raised to a negative"), "torch.pow"],
    symptom="RuntimeError: Integers to negative integer powers are not allowed; or x ** -n is all zeros",
    error="Integers to negative integer powers are not allowed",
)
class TestIntegerBaseAndNegativeExponent:
    """An integer tensor to a negative power raises, or cuts the fraction off where the exponent is a tensor.

    The result has to be an integer, as the base is. A float base or exponent gives floats; ``torch.float_power``
    computes in float64 whatever it gets.
    """

    @pytest.mark.parametrize("power", [operator.pow, torch.pow], ids=["**", "pow"])
    def test_trap_a_number_as_exponent_is_refused(self, device, power):
        with pytest.raises(RuntimeError, match="Integers to negative integer powers are not allowed"):
            power(torch.tensor([1, 2], device=device), -1)

    @pytest.mark.parametrize("base", [2, [2, 2, 2]], ids=["2", "tensor"])
    def test_trap_a_tensor_as_exponent_gives_zero(self, device, base):
        base, exponents = torch.tensor(base, device=device), torch.tensor([-1, -2, 3], device=device)
        assert (base**exponents).tolist() == [0, 0, 8]

    @pytest.mark.parametrize(
        "power",
        [
            pytest.param(lambda x: x**-1.0, id="float exponent"),
            pytest.param(lambda x: x.float() ** -1, id="float base"),
            pytest.param(lambda x: torch.float_power(x, -1), id="float_power"),
        ],
    )
    def test_fix_floats(self, device, power):
        assert power(torch.tensor([1, 2], device=device)).tolist() == [1, 0.5]
