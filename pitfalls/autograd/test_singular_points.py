"""Gradients at zero and beyond the domain: infinite, NaN, huge, or finite where nothing is defined."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since


@pitfall(
    "hand-written-norm-has-nan-gradient",
    docs=["torch.linalg.vector_norm", "torch.sqrt", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="NaN gradients as soon as two points coincide or a vector is zero",
    priority=2,
)
class TestHandWrittenNormHasNanGradient:
    """``(x ** 2).sum().sqrt()`` has a NaN gradient at zero, where ``norm`` and its kin have gradient zero.

    ``sqrt`` is infinitely steep at 0, and that slope times the 0 of the square is NaN. A distance of a point to itself,
    a constant feature and a zero vector all get there. Use torch's own functions, or add an epsilon under the root.
    """

    @pytest.mark.parametrize(
        "root",
        [pytest.param(torch.sqrt, id="sqrt"), pytest.param(lambda x: x**0.5, id="power of 0.5")],
    )
    def test_trap_the_root_is_infinitely_steep(self, device, root):
        x = torch.zeros(1, device=device, requires_grad=True)
        root(x).sum().backward()
        assert x.grad.tolist() == [torch.inf]

    @pytest.mark.parametrize(
        "length",
        [
            pytest.param(lambda x: (x**2).sum().sqrt(), id="root of squares"),
            pytest.param(lambda x: (x * x).sum() ** 0.5, id="power of 0.5"),
            pytest.param(lambda x: (x @ x).sqrt(), id="root of the dot product"),
            pytest.param(lambda x: x.var().sqrt(), id="root of the variance"),
            pytest.param(lambda x: torch.hypot(x[0], x[1]), id="hypot"),
        ],
    )
    def test_trap_the_gradient_is_nan(self, device, length):
        x = torch.zeros(2, device=device, requires_grad=True)
        length(x).backward()
        assert x.grad.isnan().tolist() == [True, True]

    @pytest.mark.parametrize(
        "length",
        [
            pytest.param(lambda x: x.norm(), id="norm"),
            pytest.param(lambda x: x.norm(3), id="norm of order 3"),
            pytest.param(torch.linalg.norm, id="linalg.norm"),
            pytest.param(torch.linalg.vector_norm, id="linalg.vector_norm"),
            pytest.param(lambda x: torch.linalg.matrix_norm(x[None]), id="linalg.matrix_norm"),
            pytest.param(lambda x: x.std(), id="std"),
            pytest.param(lambda x: torch.cdist(x[None], torch.zeros_like(x)[None]), id="cdist"),
            pytest.param(lambda x: F.pairwise_distance(x, torch.zeros_like(x), eps=0.0), id="pairwise_distance"),
            pytest.param(lambda x: (x.square().sum() + 1e-12).sqrt(), id="an epsilon under the root"),
        ],
    )
    def test_fix_a_function_of_torch(self, device, length):
        x = torch.zeros(2, device=device, requires_grad=True)
        length(x).sum().backward()
        assert x.grad.tolist() == [0, 0]


@pitfall(
    "normalized-zero-has-a-huge-gradient",
    docs=["torch.nn.functional.normalize", ("torch.nn.functional.normalize", "small value to avoid division by zero")],
    symptom="the gradient norm jumps to 1e12 when an embedding is zero",
    priority=2,
)
class TestNormalizedZeroHasAHugeGradient:
    """``F.normalize`` of a zero vector is zero, and its gradient is ``1 / eps``, by default 1e12.

    ``eps`` keeps the division finite, not the gradient small: padding rows and dead units spoil the whole step, or the
    whole clipped norm. A larger ``eps`` limits it; selecting the rows before the normalization avoids it.
    """

    @pytest.mark.parametrize(
        ("normalize", "slope"),
        [
            pytest.param(F.normalize, 1e12, id="normalize"),
            pytest.param(lambda x: x / x.norm(dim=1, keepdim=True).clamp(min=1e-6), 1e6, id="written out"),
        ],
    )
    def test_trap_one_over_eps(self, device, normalize, slope):
        x = torch.zeros(1, 2, dtype=torch.float64, device=device, requires_grad=True)
        normalize(x).sum().backward()
        torch.testing.assert_close(x.grad, torch.full_like(x, slope))

    def test_fix_a_larger_eps(self, device):
        x = torch.zeros(1, 2, device=device, requires_grad=True)
        F.normalize(x, eps=0.5).sum().backward()
        assert x.grad.tolist() == [[2, 2]]

    def test_fix_only_rows_that_have_a_length(self, device):
        x = torch.tensor([[0.0, 0.0], [0.0, 2.0]], device=device, requires_grad=True)
        F.normalize(x[x.detach().norm(dim=1) > 0]).sum().backward()
        assert x.grad.tolist() == [[0, 0], [0.5, 0]]


@pitfall(
    "gradient-outside-the-domain",
    docs=["notes/autograd#gradients-for-non-differentiable-functions", "torch.log", "torch.pow"],
    symptom="the loss is NaN and the gradients are finite, or the other way round",
    priority=2,
)
class TestGradientOutsideTheDomain:
    """Where a function is not defined its gradient is arbitrary: ``log(-1)`` is NaN and has gradient -1.

    The formula of the derivative is evaluated all the same. So neither do finite gradients mean that the loss was
    finite, nor does a finite loss mean finite gradients. Check the loss, and keep the input inside.
    """

    @pytest.mark.parametrize(
        ("function", "slope"),
        [
            pytest.param(torch.log, -1, id="log"),
            pytest.param(torch.log2, -1.4427, id="log2"),
            pytest.param(lambda x: torch.log1p(x - 1), -1, id="log1p"),
            pytest.param(lambda x: torch.atanh(2 * x), -0.6667, id="atanh"),
        ],
    )
    def test_trap_nan_with_a_finite_gradient(self, device, function, slope):
        x = torch.tensor(-1.0, device=device, requires_grad=True)
        y = function(x)
        y.backward()
        assert y.isnan()
        assert round(x.grad.item(), 4) == slope

    @pytest.mark.parametrize(
        "function",
        [
            pytest.param(torch.sqrt, id="sqrt"),
            pytest.param(lambda x: x**0.5, id="power of 0.5"),
            pytest.param(torch.rsqrt, id="rsqrt"),
            pytest.param(lambda x: torch.acos(2 * x), id="acos"),
        ],
    )
    def test_trap_nan_with_a_gradient_of_nan(self, device, function):
        x = torch.tensor(-1.0, device=device, requires_grad=True)
        function(x).backward()
        assert x.grad.isnan()

    def test_trap_a_finite_power_with_a_gradient_of_nan(self, device):
        base = torch.tensor(-2.0, device=device, requires_grad=True)
        exponent = torch.tensor(2.0, device=device, requires_grad=True)
        y = base**exponent
        y.backward()
        assert y.item() == 4
        assert base.grad.item() == -4
        assert exponent.grad.isnan()  # the derivative is y times the logarithm of the base

    @pytest.mark.parametrize(
        ("function", "slope"),
        [
            pytest.param(torch.relu, 1, id="relu"),
            pytest.param(torch.abs, 0, id="abs"),
            pytest.param(lambda x: x.clamp(0, 1), 0, id="clamp"),
        ],
    )
    def test_trap_nan_may_have_a_finite_gradient(self, device, function, slope):
        x = torch.tensor(torch.nan, device=device, requires_grad=True)
        function(x).backward()
        assert x.grad.item() == slope

    def test_fix_keep_the_input_inside(self, device):
        x = torch.tensor([-1.0, 2.0], device=device, requires_grad=True)
        x.clamp(min=0.5).log().sum().backward()
        assert x.grad.tolist() == [0, 0.5]


@pitfall(
    "product-through-logarithms",
    docs=["torch.prod", "torch.xlogy", "notes/autograd#division-by-zero-in-autograd"],
    symptom="NaN gradient of an entropy or of a product with a factor of zero",
    priority=3,
)
class TestProductThroughLogarithms:
    """``prod`` has the right gradient with zeros among its factors; a product through logarithms has NaN.

    ``prod`` does not divide by its factors where one is zero. Rewritten with logarithms, 0 meets an infinite slope,
    and so it does in ``x * log(x)``. ``xlogy`` takes care of weights that are zero.
    """

    @pytest.mark.parametrize(
        "rewritten",
        [
            pytest.param(lambda x: x.log().sum().exp(), id="exp of summed logarithms"),
            pytest.param(lambda x: (x * x.log()).sum(), id="x times log x"),
        ],
    )
    def test_trap_logarithms_of_zero(self, device, rewritten):
        x = torch.tensor([0.0, 2.0, 3.0], device=device, requires_grad=True)
        rewritten(x).backward()
        assert x.grad[0].isnan()

    @pytest.mark.parametrize(
        ("factors", "gradient"),
        [
            pytest.param([0.0, 2.0, 3.0], [6, 0, 0], id="one zero"),
            pytest.param([0.0, 0.0, 3.0], [0, 0, 0], id="two zeros"),
        ],
    )
    def test_fix_prod(self, device, factors, gradient):
        x = torch.tensor(factors, device=device, requires_grad=True)
        x.prod().backward()
        assert x.grad.tolist() == gradient

    def test_fix_xlogy_of_zero_weights(self, device):
        x = torch.tensor([0.0, 2.0], device=device, requires_grad=True)
        torch.xlogy(torch.tensor([0.0, 4.0], device=device), x + 1).sum().backward()
        assert x.grad.tolist() == [0, pytest.approx(4 / 3)]


@pitfall(
    "atan2-gradient-at-the-origin",
    docs=["torch.atan2", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="NaN gradients of an angle, for a vector of zeros",
    changed={"2.10": "the gradient of atan2 at the origin became 0; it had been NaN"},
    priority=3,
)
class TestAtan2GradientAtTheOrigin:
    """The gradient of ``atan2`` at the origin, where no angle exists, was NaN and has become zero.

    One vector of zeros in a batch, such as a padded one, was enough to spoil a model. Before, replace such vectors by a
    constant before the call.
    """

    @before("2.10")
    def test_trap_it_was_nan(self, device):
        y = torch.zeros(1, device=device, requires_grad=True)
        x = torch.zeros(1, device=device, requires_grad=True)
        torch.atan2(y, x).sum().backward()
        assert y.grad.isnan().all()
        assert x.grad.isnan().all()

    @since("2.10")
    def test_trap_it_is_zero(self, device):
        y = torch.zeros(1, device=device, requires_grad=True)
        x = torch.zeros(1, device=device, requires_grad=True)
        torch.atan2(y, x).sum().backward()
        assert y.grad.tolist() == [0]
        assert x.grad.tolist() == [0]

    def test_fix_replace_the_origin_before(self, device):
        points = torch.tensor([[0.0, 0.0], [0.0, 2.0]], device=device, requires_grad=True)
        origin = (points == 0).all(1)
        y, x = points[:, 0], points[:, 1].masked_fill(origin, 1.0)
        torch.atan2(y, x).masked_fill(origin, 0.0).sum().backward()
        assert points.grad.tolist() == [[0, 0], [0.5, 0]]
