"""Functions at the edges of what they are defined for: poles, angles of real numbers, negative zero, and 0 log 0."""

import math

import pytest
import torch

from pitfalls import before, observe, on, pitfall, since


@pitfall(
    "angle-of-a-real-number",
    docs=[("torch.angle", "angle returns pi for negative real")],
    symptom="torch.angle of a real tensor is 3.14 in places, not 0",
)
class TestAngleOfARealNumber:
    """``angle`` of a real tensor is pi for negative numbers, 0 for the others, and NaN for NaN.

    It is the angle in the complex plane. For a sign use ``sign`` or ``signbit``, for the angle of a point ``atan2``,
    which takes y first.
    """

    @pytest.mark.parametrize(("x", "angle"), [(-2.0, math.pi), (0.0, 0), (3.0, 0)], ids=str)
    def test_trap_pi_for_negative_numbers(self, device, x, angle):
        assert torch.tensor(x, device=device).angle().item() == pytest.approx(angle)

    def test_trap_nan_stays(self, device):
        assert torch.tensor(float("nan"), device=device).angle().isnan().item()

    def test_fix_sign(self, device):
        assert torch.tensor([-2.0, 0.0, 3.0], device=device).sign().tolist() == [-1, 0, 1]


@pitfall(
    "negative-zero-has-a-sign",
    docs=[("torch.signbit", "handles signed zeros, so negative zero"), ("torch.copysign", "copysign handles signed")],
    symptom="1 / x is -inf for x that prints as 0; signbit is True for a zero",
    priority=3,
)
class TestNegativeZeroHasASign:
    """``-0.0`` equals ``0.0``, yet ``signbit``, ``copysign`` and a division tell the two apart.

    It comes from rounding and from multiplying zero by something negative. Adding ``0.0`` removes the sign.
    """

    def test_trap_it_is_equal(self, device):
        x = torch.tensor([-0.0, 0.0], device=device)
        assert torch.equal(x, x.flip(0)) is True

    @pytest.mark.parametrize(
        ("ask", "answers"),
        [
            pytest.param(torch.signbit, [True, False], id="signbit"),
            pytest.param(lambda x: torch.copysign(torch.ones_like(x), x), [-1, 1], id="copysign"),
            pytest.param(lambda x: 1 / x, [-float("inf"), float("inf")], id="divide"),
        ],
    )
    def test_trap_it_has_a_sign(self, device, ask, answers):
        assert ask(torch.tensor([-0.0, 0.0], device=device)).tolist() == answers

    def test_fix_add_zero(self, device):
        assert (torch.tensor([-0.0, 0.0], device=device) + 0.0).signbit().tolist() == [False, False]


@pitfall(
    "poles-give-infinity-or-nan",
    docs=[
        ("torch.atanh", "values outside this range will be mapped"),
        ("torch.acosh", "values outside this range will be mapped"),
        ("torch.special.digamma", "the digamma function returns"),
        "torch.logit",
    ],
    symptom="inf or nan from atanh, logit or log of a probability that rounding took to 1 or beyond",
)
class TestPolesGiveInfinityOrNan:
    """At the end of their domain functions give infinity, and beyond it NaN, where Python's ``math`` raises.

    A tanh or a sigmoid that rounds to 1 sends its inverse to infinity, one rounding error more to NaN. Clamp into the
    open interval first; ``logit`` has ``eps=`` for it.
    """

    @pytest.mark.parametrize(
        ("function", "x", "value"),
        [
            pytest.param(torch.atanh, 1.0, float("inf"), id="atanh(1)"),
            pytest.param(torch.atanh, -1.0, -float("inf"), id="atanh(-1)"),
            pytest.param(torch.acosh, float("inf"), float("inf"), id="acosh(inf)"),
            pytest.param(torch.logit, 1.0, float("inf"), id="logit(1)"),
            pytest.param(torch.log, 0.0, -float("inf"), id="log(0)"),
            pytest.param(torch.erfinv, 1.0, float("inf"), id="erfinv(1)"),
            pytest.param(torch.special.digamma, 0.0, -float("inf"), id="digamma(0)"),
            pytest.param(torch.lgamma, 0.0, float("inf"), id="lgamma(0)"),
        ],
    )
    def test_trap_infinity_at_the_end(self, device, function, x, value):
        assert function(torch.tensor(x, device=device)).item() == value

    @pytest.mark.parametrize(
        ("function", "x"),
        [
            pytest.param(torch.atanh, 1.1, id="atanh(1.1)"),
            pytest.param(torch.acosh, 0.9, id="acosh(0.9)"),
            pytest.param(torch.acos, 1.0000002, id="acos(1.0000002)"),
            pytest.param(torch.logit, 1.1, id="logit(1.1)"),
            pytest.param(torch.erfinv, 1.1, id="erfinv(1.1)"),
            pytest.param(torch.special.digamma, -1.0, id="digamma(-1)"),
        ],
    )
    def test_trap_nan_beyond(self, device, function, x):
        assert function(torch.tensor(x, device=device)).isnan().item()

    @pytest.mark.parametrize(
        "inverse",
        [
            pytest.param(lambda x: x.clamp(-1 + 1e-6, 1 - 1e-6).atanh(), id="clamp"),
            pytest.param(lambda x: x.logit(eps=1e-6), id="logit with eps"),
        ],
    )
    def test_fix_clamp_first(self, device, inverse):
        assert inverse(torch.tensor([1.0, 1.1, 0.5], device=device)).isfinite().tolist() == [True, True, True]


@pitfall(
    "zero-times-log-zero",
    docs=[("torch.special.xlogy", "At least one of"), "torch.special.entr"],
    symptom="the entropy of a one-hot distribution is nan",
)
class TestZeroTimesLogZero:
    """``p * p.log()`` is NaN for ``p = 0``; ``xlogy`` and ``entr`` give the limit, 0.

    Zero times minus infinity is not zero in floating point. ``xlogy(p, q)`` wants a tensor on at least one side, and is
    NaN where ``q`` is.
    """

    def test_trap_the_entropy_is_nan(self, device):
        p = torch.tensor([1.0, 0.0], device=device)
        assert (p * p.log()).sum().isnan().item()

    def test_trap_two_numbers_are_refused(self):
        with pytest.raises(TypeError, match="received an invalid combination of arguments"):
            torch.special.xlogy(0.0, 0.0)

    def test_trap_a_nan_stays(self, device):
        assert torch.special.xlogy(0.0, torch.tensor(float("nan"), device=device)).isnan().item()

    @pytest.mark.parametrize(
        "entropy",
        [
            pytest.param(lambda p: -torch.special.xlogy(p, p).sum(), id="xlogy"),
            pytest.param(lambda p: torch.special.entr(p).sum(), id="entr"),
        ],
    )
    def test_fix_the_limit(self, device, entropy):
        assert entropy(torch.tensor([1.0, 0.0], device=device)).item() == 0


@pitfall(
    "gamma-functions-have-gaps",
    docs=[
        ("torch.special.polygamma", "is implemented only for nonnegative"),
        ("torch.special.gammainc", "not yet supported"),
        ("torch.special.zeta", "Riemann zeta function corresponds"),
    ],
    symptom="the derivative for 'igamma: input' is not implemented; polygamma(n, x) does not support negative n",
    error="the derivative for 'igamma: input' is not implemented",
    priority=3,
)
class TestGammaFunctionsHaveGaps:
    """``gammainc`` has no gradient by its first argument, and ``polygamma`` no negative order.

    The gradient by the second argument exists, so the shape of a gamma distribution can't be fitted through its
    distribution function, its rate can. ``zeta`` is that of Hurwitz: pass 1 as second argument for Riemann's.
    """

    @pytest.mark.parametrize(
        "function", [torch.special.gammainc, torch.special.gammaincc], ids=["gammainc", "gammaincc"]
    )
    def test_trap_no_gradient_by_the_first(self, device, function):
        a = torch.tensor(2.0, device=device, requires_grad=True)
        y = function(a, torch.tensor(1.0, device=device))
        with pytest.raises(NotImplementedError, match=r"the derivative for 'igammac?: input' is not implemented"):
            y.backward()

    def test_trap_no_negative_order(self, device):
        with pytest.raises(RuntimeError, match="does not support negative n"):
            torch.special.polygamma(-1, torch.ones(1, device=device))

    def test_fix_gradient_by_the_second(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        torch.special.gammainc(torch.tensor(2.0, device=device), x).backward()
        assert x.grad.item() == pytest.approx(math.exp(-1))

    def test_fix_riemann_zeta(self, device):
        x = torch.special.zeta(torch.tensor([2.0, 4.0], device=device), 1)
        assert x.tolist() == pytest.approx([math.pi**2 / 6, math.pi**4 / 90])


@pitfall(
    "cosh-overflows-early",
    docs=[
        ("torch.cosh", "rounds very large results to infinity"),
        ("torch.sinh", "rounds very large results to infinity"),
    ],
    symptom="cosh(89) is inf for a long tensor and 2.2e38 for a short one",
    changed={"2.14": "cosh and sinh on the CPU are finite up to the largest float32"},
    priority=3,
)
class TestCoshOverflowsEarly:
    """``cosh`` and ``sinh`` of a float32 tensor on the CPU may be infinite where the result would still fit.

    The vectorized code goes through ``exp``, which ends at 88.7 already, and a single number takes another path. Beyond
    89.4 it is infinity in any case. Compute in float64 there.
    """

    @before("2.14")
    @on("cpu")
    @pytest.mark.parametrize("function", [torch.cosh, torch.sinh], ids=["cosh", "sinh"])
    def test_trap_one_number_fits(self, device, function):
        assert function(torch.tensor(89.0, device=device)).item() == pytest.approx(2.2448e38, rel=1e-4)
        # How much is vectorized is up to the processor.
        observe(in_a_long_tensor=str(function(torch.full((64,), 89.0, device=device))[0].item())[:5])

    @since("2.14")
    @pytest.mark.parametrize("function", [torch.cosh, torch.sinh], ids=["cosh", "sinh"])
    def test_trap_the_largest_float_is_reached(self, device, function):
        x = function(torch.full((64,), 89.0, device=device))
        assert x.tolist() == pytest.approx([2.2448e38] * 64, rel=1e-4)

    @pytest.mark.parametrize("function", [torch.cosh, torch.sinh], ids=["cosh", "sinh"])
    def test_trap_then_it_is_infinite(self, device, function):
        assert function(torch.full((64,), 90.0, device=device)).isinf().all().item()

    @pytest.mark.parametrize("function", [torch.cosh, torch.sinh], ids=["cosh", "sinh"])
    def test_fix_float64(self, device, function):
        x = torch.full((64,), 89.0, dtype=torch.float64, device=device)
        assert function(x)[0].item() == pytest.approx(2.2448e38, rel=1e-4)
