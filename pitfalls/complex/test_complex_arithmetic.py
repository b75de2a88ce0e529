"""Complex arithmetic: roots of negative numbers, lost imaginary parts, infinities, angles and optimizers."""

import math

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "sqrt-of-negative-is-nan",
    docs=["torch.sqrt", "torch.log", "torch.acos", "torch.pow"],
    symptom="NaN from torch.sqrt, log, acos or a fractional power of a negative number",
)
class TestSqrtOfNegativeIsNan:
    """A real tensor stays real: ``sqrt``, ``log``, ``acos`` and fractional powers of what has no real result are NaN.

    No warning says so. Convert to complex for the complex result, and mind that the cube root of a negative number is
    complex too; ``x.sign() * x.abs() ** (1 / 3)`` is the real one.
    """

    @pytest.mark.parametrize(
        ("function", "x"),
        [(torch.sqrt, -1.0), (torch.log, -1.0), (torch.acos, 1.5), (torch.log1p, -2.0)],
        ids=["sqrt", "log", "acos", "log1p"],
    )
    def test_trap_real_input_gives_nan(self, device, function, x):
        assert function(torch.tensor(x, device=device)).isnan().item()

    def test_trap_a_fractional_power_too(self, device):
        assert (torch.tensor(-8.0, device=device) ** (1 / 3)).isnan().item()

    @pytest.mark.parametrize(
        ("function", "expected"), [(torch.sqrt, 1j), (torch.log, math.pi * 1j)], ids=["sqrt", "log"]
    )
    def test_fix_convert_to_complex(self, device, function, expected):
        found = function(torch.tensor(-1 + 0j, device=device))
        torch.testing.assert_close(found.item(), expected, rtol=1e-5, atol=1e-5)

    def test_fix_the_real_cube_root(self, device):
        x = torch.tensor(-8.0, device=device)
        torch.testing.assert_close((x.sign() * x.abs() ** (1 / 3)).item(), -2.0, rtol=1e-5, atol=0.0)


@pitfall(
    "casting-drops-the-imaginary-part",
    docs=["complex_numbers", "torch.can_cast", "torch.Tensor.to"],
    symptom="UserWarning: Casting complex values to real discards the imaginary part",
    error="Casting complex values to real discards the imaginary part",
)
class TestCastingDropsTheImaginaryPart:
    """``to``, ``float()`` and ``copy_`` turn complex into real numbers by dropping the imaginary part, with a warning.

    An in-place operator and ``item()`` raise instead. Say what you mean: ``x.real``, or ``x.abs()``.
    """

    @pytest.mark.parametrize(
        "cast",
        [
            pytest.param(lambda x: x.to(torch.float32), id="to"),
            pytest.param(lambda x: x.float(), id="float"),
            pytest.param(lambda x: torch.zeros(2, device=x.device).copy_(x), id="copy_"),
        ],
    )
    def test_trap_it_is_dropped_with_a_warning(self, device, cast):
        x = torch.tensor([3 + 4j, 1j], device=device)
        with pytest.warns(UserWarning, match="Casting complex values to real discards the imaginary part"):
            y = cast(x)
        assert y.tolist() == [3, 0]

    def test_trap_in_place_is_refused(self, device):
        x = torch.ones(2, device=device)
        with pytest.raises(
            RuntimeError, match="result type ComplexFloat can't be cast to the desired output type Float"
        ):
            x += torch.tensor([3 + 4j, 1j], device=device)

    @pytest.mark.parametrize("number", [float, int], ids=["float", "int"])
    def test_trap_a_number_is_refused(self, device, number):
        with pytest.raises(RuntimeError, match=r"value cannot be converted to type .* without overflow"):
            number(torch.tensor(3 + 4j, device=device))

    @pytest.mark.parametrize(("part", "expected"), [(torch.real, [3, 0]), (torch.abs, [5, 1])], ids=["real", "abs"])
    def test_fix_say_which(self, device, part, expected):
        assert part(torch.tensor([3 + 4j, 1j], device=device)).tolist() == expected


@pitfall(
    "complex-infinity-has-two-parts",
    docs=[("torch.isinf", "when their real or imaginary part is infinite"), "torch.isnan", "torch.isfinite"],
    symptom="NaN appears in one part when an infinite complex number is multiplied",
    priority=3,
)
class TestComplexInfinityHasTwoParts:
    """A complex number is infinite, or NaN, as soon as one of its parts is; multiplication mixes the parts to NaN.

    Infinity times ``1j`` has zero times infinity in it. Check with ``isfinite`` before you compute on.
    """

    @pytest.mark.parametrize("x", [complex(math.inf, 0), complex(0, math.inf)], ids=["real part", "imaginary part"])
    def test_trap_one_part_is_enough(self, device, x):
        assert torch.isinf(torch.tensor(x, device=device)).item()

    def test_trap_the_product_is_nan_in_a_part(self, device):
        x = torch.tensor(complex(math.inf, 0), device=device) * torch.tensor(1j, device=device)
        assert x.isnan().item()

    @pytest.mark.parametrize(
        ("x", "finite"), [(1 + 1j, True), (complex(0, math.inf), False), (complex(math.nan, 0), False)], ids=str
    )
    def test_fix_ask_isfinite(self, device, x, finite):
        assert torch.isfinite(torch.tensor(x, device=device)).item() is finite


@pitfall(
    "polar-makes-complex-numbers",
    docs=[("torch.polar", "does not compute the polar decomposition"), "torch.angle", "torch.abs"],
    symptom="torch.polar(x) fails: it wants two arguments; angle of a negative real number is pi",
    priority=3,
)
class TestPolarMakesComplexNumbers:
    """``torch.polar`` builds complex numbers from magnitude and angle; ``cmath.polar`` takes them apart.

    Taking apart is ``x.abs()`` and ``x.angle()``. The angle of a real tensor is pi where it is negative, else zero.
    """

    def test_trap_it_builds(self, device):
        two, half_pi = torch.tensor([2.0], device=device), torch.tensor([math.pi / 2], device=device)
        torch.testing.assert_close(torch.polar(two, half_pi), torch.tensor([2j], device=device))

    def test_trap_angle_of_real_numbers(self, device):
        found = torch.angle(torch.tensor([-2.0, 0.0, 3.0], device=device))
        torch.testing.assert_close(found, torch.tensor([math.pi, 0.0, 0.0], device=device))

    def test_fix_take_apart_and_together(self, device):
        x = torch.tensor([3 + 4j, -1j], device=device)
        torch.testing.assert_close(torch.polar(x.abs(), x.angle()), x)


@pitfall(
    "complex-parameter-is-two-real-ones",
    docs=["complex_numbers#autograd", "torch.view_as_real", "torch.optim.Adam"],
    symptom="Adam moves a complex parameter in another direction than its gradient",
    priority=3,
)
class TestComplexParameterIsTwoRealOnes:
    """Optimizers treat a complex parameter as the pair of its real and imaginary part, each with statistics of its own.

    So Adam scales the parts apart, and its step is not along the gradient; SGD's is. The result is that of optimizing
    ``view_as_real`` of the parameter.
    """

    def test_trap_adam_scales_the_parts_apart(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (z.abs() ** 2).backward()
        torch.optim.Adam([z], lr=0.5).step()
        torch.testing.assert_close(z.item(), 2.5 + 3.5j, rtol=1e-5, atol=0.0)

    def test_fix_sgd_follows_the_gradient(self, device):
        z = torch.tensor(3 + 4j, device=device, requires_grad=True)
        (z.abs() ** 2).backward()
        torch.optim.SGD([z], lr=0.25).step()
        torch.testing.assert_close(z.item(), 1.5 + 2j, rtol=1e-5, atol=0.0)

    def test_fix_the_pair_does_the_same(self, device):
        pair = torch.tensor([3.0, 4.0], device=device, requires_grad=True)
        (pair**2).sum().backward()
        torch.optim.Adam([pair], lr=0.5).step()
        torch.testing.assert_close(pair.tolist(), [2.5, 3.5], rtol=1e-5, atol=0.0)


@pytest.fixture
def default_dtype():
    """The default dtype is put back afterwards."""
    was = torch.get_default_dtype()
    yield
    torch.set_default_dtype(was)


@pitfall(
    "complex-default-follows-float",
    docs=["complex_numbers", ("torch.set_default_dtype", "complex"), "torch.arange"],
    symptom="torch.tensor(1j) is complex64 here and complex128 there; arange refuses complex ends",
    priority=3,
)
class TestComplexDefaultFollowsFloat:
    """The default complex dtype follows the default float: ``torch.tensor(1j)`` is complex64 unless that was changed.

    NumPy has complex128. ``arange`` makes no complex tensors, though ``linspace`` does.
    """

    @pytest.mark.parametrize(
        ("dtype", "complex_dtype"),
        [(torch.float32, torch.complex64), (torch.float64, torch.complex128)],
        ids=["float32", "float64"],
    )
    def test_trap_it_follows(self, default_dtype, dtype, complex_dtype):
        torch.set_default_dtype(dtype)
        assert torch.tensor(1j).dtype == complex_dtype

    def test_trap_arange_refuses(self, device):
        with pytest.raises(RuntimeError, match="value cannot be converted to type double without overflow"):
            torch.arange(0, 3j, device=device)

    def test_fix_say_the_dtype(self, device):
        assert torch.tensor(1j, dtype=torch.complex128, device=device).dtype == torch.complex128

    def test_fix_linspace_takes_complex_ends(self, device):
        torch.testing.assert_close(torch.linspace(0, 2j, 3, device=device), torch.tensor([0j, 1j, 2j], device=device))
