"""``torch.testing.assert_close``: what counts as close, and what is compared besides the values."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "assert-close-compares-types-first",
    docs=[
        ("torch.testing.assert_close", "Python scalars of different types can be checked"),
        "torch.testing.assert_close",
    ],
    symptom="assert_close(1, 1.0) fails; No comparison pair was able to handle inputs of type",
    error="No comparison pair was able to handle inputs | do not match: ",
    priority=2,
)
class TestAssertCloseComparesTypesFirst:
    """``assert_close`` wants both sides of one kind: same dtype and shape, and no tensor beside a number or an array.

    Nothing is promoted or broadcast, unlike ``torch.allclose`` or ``==``. ``check_dtype=False`` lets the dtypes and the
    types of Python numbers differ; turn the expected value into a tensor for the rest.
    """

    @pytest.mark.parametrize(
        ("actual", "expected"),
        [
            pytest.param(lambda d: 1, lambda d: 1.0, id="int and float"),
            pytest.param(lambda d: 1.0, lambda d: 1 + 0j, id="float and complex"),
            pytest.param(
                lambda d: torch.ones(2, device=d), lambda d: torch.ones(2, dtype=torch.float64, device=d), id="dtypes"
            ),
            pytest.param(lambda d: torch.ones(2, device=d), lambda d: torch.ones(1, device=d), id="shapes"),
        ],
    )
    def test_trap_equal_values_of_another_type_fail(self, device, actual, expected):
        with pytest.raises(AssertionError, match="do not match: "):
            torch.testing.assert_close(actual(device), expected(device))

    @pytest.mark.parametrize(
        "expected",
        [pytest.param(1.0, id="number"), pytest.param([1.0], id="list"), pytest.param(np.ones(1), id="array")],
    )
    def test_trap_a_tensor_beside_something_else(self, device, expected):
        with pytest.raises(TypeError, match="No comparison pair was able to handle inputs of type"):
            torch.testing.assert_close(torch.ones(1, device=device), expected)

    @pytest.mark.parametrize("factor", [1, 2])
    def test_fix_check_dtype_false(self, device, factor):
        x = torch.full((2,), factor, device=device)
        torch.testing.assert_close(x, torch.full((2,), factor, dtype=torch.float64, device=device), check_dtype=False)
        torch.testing.assert_close(x[0].item(), float(factor), check_dtype=False)


@pitfall(
    "assert-close-is-not-equality",
    docs=[
        "torch.testing.assert_close",
        ("torch.testing.assert_close", "default values based on the"),
    ],
    symptom="a test with assert_close passes although the numbers differ; or float64 results fail by 1e-6",
    error="Tensor-likes are not close",
    priority=2,
)
class TestAssertCloseIsNotEquality:
    """``assert_close`` allows a difference that depends on the dtype: none for integers, about 1e-6 for float32.

    Half precision may differ by a thousandth and more, and near zero 1e-5 is allowed whatever the scale of your data.
    NaN is close to nothing unless ``equal_nan=True``. For exact equality pass ``rtol=0, atol=0``, always both.
    """

    @pytest.mark.parametrize(
        ("dtype", "off"),
        [(torch.float16, 1.0005), (torch.bfloat16, 1.0078125), (torch.float32, 1.000001), (torch.float64, 1.00000005)],
        ids=str,
    )
    def test_trap_other_numbers_pass(self, device, dtype, off):
        x = torch.tensor(1.0, dtype=dtype, device=device)
        torch.testing.assert_close(x * off, x)
        with pytest.raises(AssertionError, match="not equal"):
            torch.testing.assert_close(x * (1 + 4 * (off - 1)), x, rtol=0, atol=0)

    def test_trap_small_numbers_are_close_to_zero(self, device):
        torch.testing.assert_close(torch.tensor(9e-6, device=device), torch.tensor(0.0, device=device))

    def test_trap_nan_is_not_close_to_nan(self, device):
        x = torch.tensor([float("nan")], device=device)
        with pytest.raises(AssertionError, match="Tensor-likes are not close"):
            torch.testing.assert_close(x, x.clone())

    def test_trap_one_tolerance_alone_raises(self, device):
        x = torch.ones(1, device=device)
        with pytest.raises(ValueError, match="Both 'rtol' and 'atol' must be either specified or omitted"):
            torch.testing.assert_close(x, x, rtol=0)

    def test_fix_both_tolerances_zero(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        torch.testing.assert_close(x * 3, torch.tensor([3.0, 6.0], device=device), rtol=0, atol=0)

    def test_fix_equal_nan(self, device):
        x = torch.tensor([1.0, float("nan")], device=device)
        torch.testing.assert_close(x * 2, torch.tensor([2.0, float("nan")], device=device), equal_nan=True)


@pitfall(
    "assert-allclose-is-deprecated",
    docs=[("torch.testing.assert_allclose", "is deprecated since"), "torch.testing.assert_close"],
    symptom="FutureWarning: `torch.testing.assert_allclose()` is deprecated since 1.12",
    error="torch.testing.assert_allclose()` is deprecated",
    priority=3,
)
class TestAssertAllcloseIsDeprecated:
    """``torch.testing.assert_allclose`` warns; its successor ``assert_close`` is stricter about types.

    The old function turns its arguments into tensors and ignores their dtypes.
    """

    def test_trap_it_warns(self, device):
        with pytest.warns(FutureWarning, match="assert_allclose.* is deprecated since"):
            torch.testing.assert_allclose(torch.ones(2, device=device), [1.0, 1.0])

    def test_fix_assert_close(self, device):
        x = torch.ones(1, device=device)
        torch.testing.assert_close(x + 1, torch.full((1,), 2.0, device=device))
