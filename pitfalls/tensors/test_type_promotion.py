"""Type promotion: the dtype of a result, from those of its operands and from the kinds of numbers beside them."""

import operator

import numpy as np
import pytest
import torch

from pitfalls import pitfall

# Which dtype two tensors of at least one dimension make together: each row is one of them, each column the other.
COLUMNS = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128"
LATTICE = {
    "bool": "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "uint8": "uint8 uint8 int16 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "int8": "int8 int16 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "int16": "int16 int16 int16 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "int32": "int32 int32 int32 int32 int32 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "int64": "int64 int64 int64 int64 int64 int64 float16 bfloat16 float32 float64 complex64 complex128",
    "float16": "float16 float16 float16 float16 float16 float16 float16 float32 float32 float64 complex64 complex128",
    "bfloat16": "bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 bfloat16 float32 bfloat16 float32 float64 complex64"
    " complex128",
    "float32": "float32 float32 float32 float32 float32 float32 float32 float32 float32 float64 complex64 complex128",
    "float64": "float64 float64 float64 float64 float64 float64 float64 float64 float64 float64 complex128 complex128",
    "complex64": "complex64 complex64 complex64 complex64 complex64 complex64 complex64 complex64 complex64 complex128"
    " complex64 complex128",
    "complex128": "complex128 complex128 complex128 complex128 complex128 complex128 complex128 complex128 complex128"
    " complex128 complex128 complex128",
}


@pitfall(
    "two-dtypes-meet-at-a-third",
    docs=[("torch.promote_types", "with the smallest size and scalar kind"), "tensor_attributes#torch-dtype"],
    symptom="uint8 plus int8 is int16, and float16 plus bfloat16 is float32, which neither of my tensors was",
)
class TestTwoDtypesMeetAtAThird:
    """Two dtypes promote to the smallest one that holds both kinds, which may be neither: uint8 with int8 is int16.

    Kinds rank bool, integer, float, complex; within one, the range that holds both is taken. float16 and bfloat16 hold
    different numbers and meet at float32. ``torch.promote_types`` tells beforehand; convert explicitly to decide.
    """

    @pytest.mark.parametrize("row", LATTICE)
    def test_trap_promote_types(self, row):
        one = getattr(torch, row)
        others = [getattr(torch, column) for column in COLUMNS.split()]
        assert [str(torch.promote_types(one, other)) for other in others] == [
            f"torch.{x}" for x in LATTICE[row].split()
        ]

    @pytest.mark.parametrize("row", LATTICE)
    def test_trap_a_sum_follows(self, device, row):
        x = torch.ones(2, dtype=getattr(torch, row), device=device)
        others = [torch.ones(2, dtype=getattr(torch, column), device=device) for column in COLUMNS.split()]
        assert [str((x + y).dtype) for y in others] == [f"torch.{x}" for x in LATTICE[row].split()]

    def test_fix_convert_to_decide(self, device):
        x = torch.ones(2, dtype=torch.float16, device=device)
        y = torch.ones(2, dtype=torch.bfloat16, device=device)
        assert (x.bfloat16() + y).dtype == torch.bfloat16


@pitfall(
    "float-outranks-every-integer",
    docs=[("torch.promote_types", "with the smallest size and scalar kind"), "tensor_attributes#torch-dtype"],
    symptom="int64 ids plus a float16 tensor are inf; large integers change when they meet float32",
)
class TestFloatOutranksEveryInteger:
    """An integer tensor that meets a float tensor takes the float's dtype, however few integers that can hold.

    int64 with float16 is float16, which ends at 65504; with float32 it is float32, exact up to 2**24. NumPy widens to
    float64 instead. Convert the float first where the integers are large.
    """

    @pytest.mark.parametrize(
        ("integer", "dtype", "result"),
        [
            (70000, torch.float16, float("inf")),
            (2049, torch.float16, 2048.0),
            (257, torch.bfloat16, 256.0),
            (2**24 + 1, torch.float32, 2.0**24),
        ],
        ids=str,
    )
    def test_trap_the_integer_is_rounded(self, device, integer, dtype, result):
        x = torch.tensor([integer], device=device) + torch.zeros(1, dtype=dtype, device=device)
        assert x.dtype == dtype
        assert x.item() == result

    def test_fix_widen_the_float_as_numpy_does(self, device):
        x = torch.tensor([2**24 + 1], device=device) + torch.zeros(1, device=device).double()
        assert x.item() == (np.array([2**24 + 1]) + np.zeros(1, np.float32)).item()


@pitfall(
    "number-keeps-the-dtype-of-the-tensor",
    docs=["tensor_attributes#torch-dtype", ("torch.result_type", "that would result from performing an arithmetic")],
    symptom="uint8 plus 300 stays uint8 and wraps; float16 times 1e5 is inf; 0.1 has only seven digits",
    priority=1,
)
class TestNumberKeepsTheDtypeOfTheTensor:
    """A Python number beside a tensor adds its kind at most, never its size: uint8 plus 300 stays uint8.

    Its value isn't looked at, so it is wrapped or rounded to the tensor's dtype, and the result with it. Convert the
    tensor first if the result needs more room.
    """

    @pytest.mark.parametrize(
        ("dtype", "compute", "result"),
        [
            pytest.param(torch.uint8, lambda x: x + 300, 45, id="uint8 + 300"),
            pytest.param(torch.uint8, lambda x: x - 2, 255, id="uint8 - 2"),
            pytest.param(torch.int8, lambda x: x + 200, -55, id="int8 + 200"),
            pytest.param(torch.int32, lambda x: x + 2**32, 1, id="int32 + 2**32"),
            pytest.param(torch.float16, lambda x: x * 1e5, float("inf"), id="float16 * 1e5"),
            pytest.param(torch.bfloat16, lambda x: x + 0.001, 1, id="bfloat16 + 0.001"),
            pytest.param(torch.float32, lambda x: x + 1e-9, 1, id="float32 + 1e-9"),
            pytest.param(torch.float64, lambda x: x + 1e-9, 1 + 1e-9, id="float64 + 1e-9"),
            pytest.param(torch.complex64, lambda x: x + 1j, 1 + 1j, id="complex64 + 1j"),
            pytest.param(torch.int32, lambda x: x + True, 2, id="int32 + True"),
        ],
    )
    def test_trap_the_dtype_stays(self, device, dtype, compute, result):
        x = compute(torch.ones(2, dtype=dtype, device=device))
        assert x.dtype == dtype
        assert x.tolist() == [result, result]

    def test_trap_result_type_does_not_look_at_the_value(self, device):
        x = torch.ones(2, dtype=torch.uint8, device=device)
        assert torch.result_type(x, 300) == torch.uint8

    @pytest.mark.parametrize(
        ("widen", "compute", "result"),
        [
            pytest.param(torch.Tensor.int, lambda x: x + 300, 301, id="int"),
            pytest.param(torch.Tensor.float, lambda x: x * 1e5, 1e5, id="float"),
        ],
    )
    def test_fix_convert_the_tensor(self, device, widen, compute, result):
        x = torch.ones(2, dtype=torch.uint8, device=device)
        assert compute(widen(x)).tolist() == [result, result]


@pitfall(
    "number-of-a-higher-kind-brings-the-default",
    docs=["tensor_attributes#torch-dtype", ("torch.result_type", "that would result from performing an arithmetic")],
    symptom="an int64 tensor plus 0.5 is float32 and its large values are rounded",
)
class TestNumberOfAHigherKindBringsTheDefault:
    """A number of a higher kind than the tensor brings the default dtype of that kind: int64 plus 0.5 is float32.

    That is ``torch.get_default_dtype()`` for floats, int64 for integers beside bools, and the complex dtype of the
    same precision for ``1j``. float32 is exact for integers up to 2**24 only: go to ``double()`` first.
    """

    @pytest.mark.parametrize(
        ("dtype", "number", "result"),
        [
            (torch.bool, 1, torch.int64),
            (torch.bool, 0.5, torch.float32),
            (torch.uint8, 0.5, torch.float32),
            (torch.int64, 0.5, torch.float32),
            (torch.bool, 1j, torch.complex64),
            (torch.int64, 1j, torch.complex64),
            (torch.float32, 1j, torch.complex64),
            (torch.float64, 1j, torch.complex128),
        ],
        ids=str,
    )
    def test_trap_the_kind_of_the_number_decides(self, device, dtype, number, result):
        assert (torch.ones(2, dtype=dtype, device=device) + number).dtype == result

    def test_trap_large_integers_are_rounded(self, device):
        assert (torch.tensor([2**24 + 1], device=device) + 0.5).item() == 2**24

    @pytest.mark.parametrize(
        ("number", "dtype"), [(5, torch.int64), (0.5, torch.float32), (1j, torch.complex64)], ids=str
    )
    def test_trap_two_numbers_make_a_tensor(self, number, dtype):
        x = torch.add(5, number)
        assert x.dtype == dtype
        assert x.item() == 5 + number

    def test_fix_convert_to_double_first(self, device):
        assert (torch.tensor([2**24 + 1], device=device).double() + 0.5).item() == 2**24 + 1.5


@pitfall(
    "zero-dim-tensor-promotes-like-a-number",
    docs=["tensor_attributes#torch-dtype", ("torch.result_type", "that would result from performing an arithmetic")],
    symptom="float32 plus a float64 scalar tensor is float32, but plus the same scalar in a list it is float64",
    priority=1,
)
class TestZeroDimTensorPromotesLikeANumber:
    """A tensor without dimensions gives way to the dtype of one that has some, unless it is of a higher kind.

    A float64 scalar beside a float32 vector is rounded; the same value with one dimension raises the result to float64.
    Of a higher kind, a scalar brings its own dtype. ``reshape(1)`` makes it count, ``to()`` decides.
    """

    @pytest.mark.parametrize(
        ("vector", "scalar", "result"),
        [
            (torch.int32, torch.int64, torch.int32),
            (torch.uint8, torch.int64, torch.uint8),
            (torch.float32, torch.float64, torch.float32),
            (torch.float16, torch.float64, torch.float16),
            (torch.bfloat16, torch.float16, torch.bfloat16),
            (torch.float32, torch.int64, torch.float32),
            (torch.complex64, torch.float64, torch.complex64),
            (torch.complex64, torch.complex128, torch.complex64),
            # Of a higher kind than the vector: the dtype of the scalar counts.
            (torch.int64, torch.float16, torch.float16),
            (torch.int32, torch.float64, torch.float64),
            (torch.bool, torch.int16, torch.int16),
        ],
        ids=str,
    )
    def test_trap_the_vector_decides_within_a_kind(self, device, vector, scalar, result):
        x = torch.ones(2, dtype=vector, device=device)
        y = torch.tensor(1, dtype=scalar, device=device)
        assert (x + y).dtype == result

    def test_trap_the_scalar_is_rounded(self, device):
        x = torch.zeros(1, device=device) + torch.tensor(1 + 1e-9, dtype=torch.float64, device=device)
        assert x.item() == 1

    def test_trap_two_scalars_promote_in_full(self, device):
        x = torch.tensor(0.0, device=device) + torch.tensor(1 + 1e-9, dtype=torch.float64, device=device)
        assert x.item() == 1 + 1e-9

    @pytest.mark.parametrize(
        "count",
        [
            pytest.param(lambda x, y: x + y.reshape(1), id="one dimension"),
            pytest.param(lambda x, y: x.to(y.dtype) + y, id="convert"),
        ],
    )
    def test_fix_give_it_a_dimension_or_convert(self, device, count):
        y = torch.tensor(1 + 1e-9, dtype=torch.float64, device=device)
        assert count(torch.zeros(1, device=device), y).item() == 1 + 1e-9


@pitfall(
    "comparison-converts-first",
    docs=["tensor_attributes#torch-dtype", "torch.eq", "torch.gt"],
    symptom="x > -1 is False for every pixel of a uint8 image; x == 257 finds the ones",
)
class TestComparisonConvertsFirst:
    """A comparison promotes like arithmetic: a number is first turned into the tensor's dtype, and may wrap or round.

    For uint8, -1 is 255 and 257 is 1. float32 0.1 equals the Python number 0.1, but not the float64 tensor of it.
    Convert the tensor to a dtype that holds both sides.
    """

    @pytest.mark.parametrize(
        ("values", "dtype", "compare", "result"),
        [
            pytest.param([0, 200], torch.uint8, lambda x: x > -1, [False, False], id="uint8 > -1"),
            pytest.param([1, 2], torch.uint8, lambda x: x == 257, [True, False], id="uint8 == 257"),
            pytest.param([1, 200], torch.uint8, lambda x: x < 300, [True, False], id="uint8 < 300"),
            pytest.param([1, -1], torch.int8, lambda x: x >= 255, [True, True], id="int8 >= 255"),
            pytest.param([2.0**24], torch.float32, lambda x: x == 2**24 + 1, [True], id="float32 == 2**24 + 1"),
            pytest.param([0.1], torch.float32, lambda x: x == 0.1, [True], id="float32 == 0.1"),
        ],
    )
    def test_trap_the_number_is_converted(self, device, values, dtype, compare, result):
        assert compare(torch.tensor(values, dtype=dtype, device=device)).tolist() == result

    def test_trap_a_float64_tensor_is_not(self, device):
        x = torch.tensor([0.1], device=device)
        y = torch.tensor([0.1], dtype=torch.float64, device=device)
        assert (x == y).tolist() == [False]

    def test_trap_integers_become_floats(self, device):
        assert (torch.tensor([2**24 + 1], device=device) == torch.tensor([2.0**24], device=device)).tolist() == [True]

    @pytest.mark.parametrize(
        ("compare", "number", "result"),
        [(operator.gt, -1, [True, True]), (operator.eq, 257, [False, False]), (operator.lt, 300, [True, True])],
        ids=["greater", "equal", "less"],
    )
    def test_fix_widen_the_tensor(self, device, compare, number, result):
        x = torch.tensor([1, 200], dtype=torch.uint8, device=device)
        assert compare(x.int(), number).tolist() == result
