"""Accuracy: sums that depend on their order, results that overflow on the way, and functions made for the edges."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import observe, on, pitfall


@pytest.fixture
def tf32():
    """TF32 for matrix products, switched off again afterwards."""
    was = torch.get_float32_matmul_precision()
    backends = [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]
    finer = [(backend, backend.fp32_precision) for backend in backends if hasattr(backend, "fp32_precision")]
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(was)
    for backend, precision in finer:
        backend.fp32_precision = precision


@pitfall(
    "float-sums-depend-on-order",
    docs=["notes/numerical_accuracy", ("torch.sum", "preventing data type overflows")],
    symptom="the same numbers in another order, batch size or device give another sum",
    priority=1,
)
class TestFloatSumsDependOnOrder:
    """Float addition is not associative: the order of the terms changes the sum, up to losing some of them.

    float32 has about seven digits, so 1 vanishes beside 1e8. Torch adds in an order of its own, which depends on shape,
    device and threads. Compare with a tolerance; add in float64 where the digits matter.
    """

    def test_trap_brackets_matter(self, device):
        a, b, c = torch.tensor([1e8, -1e8, 1.0], device=device)
        assert ((a + b) + c).item() == 1
        assert (a + (b + c)).item() == 0

    @pytest.mark.parametrize(("terms", "total"), [([1e8, 1.0, -1e8], 0), ([1e8, -1e8, 1.0], 1)], ids=str)
    def test_trap_the_order_matters(self, device, terms, total):
        running = torch.zeros((), device=device)
        for term in torch.tensor(terms, device=device):
            running += term
        assert running.item() == total

    @pytest.mark.parametrize("terms", [[1e8, 1.0, -1e8], [1e8, -1e8, 1.0]], ids=str)
    def test_fix_add_in_float64(self, device, terms):
        assert torch.tensor(terms, device=device).sum(dtype=torch.float64).item() == 1

    def test_fix_compare_with_a_tolerance(self, device):
        x = torch.full((10,), 0.1, device=device)
        torch.testing.assert_close(x.cumsum(0)[-1], torch.tensor(1.0, device=device))


@pitfall(
    "batched-results-differ-in-the-last-bits",
    docs=["notes/numerical_accuracy#batched-computations-or-slice-computations"],
    symptom="the output of a sample changes with the batch that it is in; torch.equal is False",
)
class TestBatchedResultsDifferInTheLastBits:
    """A result of a batch or of a whole tensor need not equal, bit by bit, the one computed for a slice alone.

    Other shapes take other kernels, which add in another order; no seed and no deterministic mode changes that. Compare
    with ``torch.testing.assert_close``.
    """

    @pytest.mark.parametrize(
        ("whole", "alone"),
        [
            pytest.param(lambda a, b: (a @ b)[0], lambda a, b: a[0] @ b[0], id="matrix product"),
            pytest.param(lambda a, b: (a + b).sum(1)[0, 0], lambda a, b: (a + b)[0, :, 0].sum(), id="sum"),
            pytest.param(lambda a, b: F.linear(a, b[0])[0, 0], lambda a, b: F.linear(a[0, 0], b[0]), id="linear"),
        ],
    )
    def test_trap_only_close(self, device, seeded, whole, alone):
        a, b = torch.rand(2, 4, 64, 64, device=device)
        x, y = whole(a, b), alone(a, b)
        torch.testing.assert_close(x, y)
        observe(same_bits=torch.equal(x, y))


@pitfall(
    "result-overflows-on-the-way",
    docs=["notes/numerical_accuracy#extremal-values", "torch.linalg.vector_norm", "torch.hypot"],
    symptom="the norm of finite numbers is inf",
)
class TestResultOverflowsOnTheWay:
    """A step in between may overflow though the result would fit: the norm of ``[1e20, 1e20]`` is inf in float32.

    The squares are beyond 3.4e38. Divide by the largest value first, or compute in float64; ``hypot`` and ``abs`` of
    complex numbers scale by themselves.
    """

    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(lambda x: x.norm(), id="norm"),
            pytest.param(torch.linalg.vector_norm, id="vector_norm"),
            pytest.param(lambda x: x.square().mean().sqrt(), id="root of the mean square"),
            pytest.param(lambda x: (x @ x).sqrt(), id="root of the dot product"),
        ],
    )
    def test_trap_finite_numbers_give_infinity(self, device, norm):
        assert norm(torch.tensor([1e20, 1e20], device=device)).item() == float("inf")

    def test_trap_small_numbers_give_zero(self, device):
        assert torch.tensor([1e-30, 1e-30], device=device).norm().item() == 0

    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(lambda x: x.max() * (x / x.max()).norm(), id="scale"),
            pytest.param(lambda x: x.double().norm(), id="float64"),
            pytest.param(lambda x: torch.linalg.vector_norm(x, dtype=torch.float64), id="dtype"),
            pytest.param(lambda x: torch.hypot(x[0], x[1]), id="hypot"),
        ],
    )
    def test_fix_a_finite_norm(self, device, norm):
        assert norm(torch.tensor([1e20, 1e20], device=device)).item() == pytest.approx(2**0.5 * 1e20)


SMALL_ARGUMENTS = [
    pytest.param(lambda x: (1 + x).log(), torch.log1p, id="log1p"),
    pytest.param(lambda x: x.exp() - 1, torch.special.expm1, id="expm1"),
    pytest.param(lambda x: -(1 - x).log(), lambda x: -torch.log1p(-x), id="log of 1 - x"),
]


@pitfall(
    "small-arguments-need-log1p-and-expm1",
    docs=[
        ("torch.log1p", "more accurate than"),
        ("torch.special.expm1", "greater precision than exp(x) - 1"),
    ],
    symptom="log(1 + x) is 0 for x = 1e-10; a small rate or probability disappears",
)
class TestSmallArgumentsNeedLog1pAndExpm1:
    """``log(1 + x)`` and ``exp(x) - 1`` are 0 for small ``x``, because ``1 + x`` is 1 in float32 below 6e-8.

    ``log1p`` and ``expm1`` don't go through the one and keep all digits.
    """

    @pytest.mark.parametrize(("written_out", "function"), SMALL_ARGUMENTS)
    def test_trap_nothing_is_left(self, device, written_out, function):
        x = torch.tensor(1e-10, device=device)
        assert written_out(x).item() == 0 != function(x).item()

    @pytest.mark.parametrize(("written_out", "function"), SMALL_ARGUMENTS)
    def test_fix_all_digits(self, device, written_out, function):
        x = torch.tensor(1e-10, device=device)
        assert function(x).item() == pytest.approx(1e-10)


UNSTABLE = [
    pytest.param(lambda x: x.softmax(0).log()[0], lambda x: F.log_softmax(x, 0)[0], -200, id="log_softmax"),
    pytest.param(lambda x: (x[0] - x[1]).sigmoid().log(), lambda x: F.logsigmoid(x[0] - x[1]), -200, id="logsigmoid"),
    pytest.param(lambda x: x.exp().sum().log(), lambda x: x.logsumexp(0), 200, id="logsumexp"),
    pytest.param(lambda x: (1 + x[1].exp()).log(), lambda x: F.softplus(x[1]), 200, id="softplus"),
    pytest.param(lambda x: x.softmax(0)[0].log(), lambda x: -F.cross_entropy(x, x.argmin()), -200, id="cross_entropy"),
]


@pitfall(
    "log-of-softmax-is-infinite",
    docs=[
        ("torch.nn.functional.log_softmax", "separately is slower and numerically unstable"),
        ("torch.logsumexp", "The computation is numerically stabilized"),
        "torch.nn.functional.logsigmoid",
    ],
    symptom="the loss is inf or NaN once the model is sure; log(softmax(x)) is -inf",
    priority=1,
)
class TestLogOfSoftmaxIsInfinite:
    """``log(softmax(x))`` is ``-inf`` where the probability underflows; ``log_softmax`` stays finite.

    A difference of 104 between logits is enough in float32. The same goes for the log of a sigmoid and of a sum of
    exponentials, which overflow from 89 on. Use the functions that do both steps at once, on the logits.
    """

    @pytest.mark.parametrize(("in_steps", "at_once", "value"), UNSTABLE)
    def test_trap_in_two_steps_it_is_infinite(self, device, in_steps, at_once, value):
        x = torch.tensor([0.0, 200.0], device=device)
        assert in_steps(x).abs().item() == float("inf")

    def test_trap_a_softmax_by_hand_is_nan(self, device):
        x = torch.tensor([1000.0, 1000.0], device=device)
        assert (x.exp() / x.exp().sum()).isnan().all().item()

    @pytest.mark.parametrize(("in_steps", "at_once", "value"), UNSTABLE)
    def test_fix_at_once(self, device, in_steps, at_once, value):
        assert at_once(torch.tensor([0.0, 200.0], device=device)).item() == value

    def test_fix_softmax_subtracts_the_maximum(self, device):
        assert torch.tensor([1000.0, 1000.0], device=device).softmax(0).tolist() == [0.5, 0.5]


@pitfall(
    "nearly-singular-systems-need-float64",
    docs=["notes/numerical_accuracy#extremal-values-in-linalg", "torch.linalg.cond", "torch.linalg.solve"],
    symptom="torch.linalg.solve returns a wrong solution without an error",
)
class TestNearlySingularSystemsNeedFloat64:
    """``solve`` of an ill-conditioned system returns wrong numbers in float32, without an error.

    The condition number says how many digits are lost: of the seven of float32 none is left beyond 1e7. Compute in
    float64, which has sixteen.
    """

    def test_trap_float32_is_wrong(self, device):
        n = torch.arange(10.0, dtype=torch.float64, device=device)
        hilbert = 1 / (n[:, None] + n + 1)
        x = torch.linalg.solve(hilbert.float(), hilbert.sum(1).float())
        assert (x - 1).abs().max().item() > 0.1  # it should be ten ones

    def test_fix_float64(self, device):
        n = torch.arange(10.0, dtype=torch.float64, device=device)
        hilbert = 1 / (n[:, None] + n + 1)
        x = torch.linalg.solve(hilbert, hilbert.sum(1))
        assert (x - 1).abs().max().item() < 0.01

    def test_fix_ask_for_the_condition(self, device):
        n = torch.arange(10.0, dtype=torch.float64, device=device)
        hilbert = 1 / (n[:, None] + n + 1)
        assert torch.linalg.cond(hilbert).item() > 1e13


@pitfall(
    "tf32-rounds-the-factors",
    docs=[
        "notes/numerical_accuracy#tensorfloat-32-tf32-on-nvidia-ampere-and-later-devices",
        ("torch.set_float32_matmul_precision", '"highest", float32 matrix multiplications use'),
    ],
    symptom="a matrix times the identity differs from itself on the GPU in the fourth digit",
)
class TestTf32RoundsTheFactors:
    """With TF32 the factors of a matrix product keep 10 bits of their fraction: times one is not exact any more.

    ``set_float32_matmul_precision("high")`` or ``"medium"`` turns it on for products, on Ampere and later; the default,
    ``"highest"``, computes in float32. Convolutions on the GPU use it by default.
    """

    @on("cuda")
    def test_trap_times_the_identity_is_not_exact(self, device, tf32):
        if torch.cuda.get_device_capability(device) < (8, 0):
            pytest.skip("TF32 needs compute capability 8.0")
        x = torch.full((64, 64), 1 + 2.0**-20, device=device)
        assert (x @ torch.eye(64, device=device)).unique().tolist() == [1]

    def test_fix_the_default_is_exact(self, device):
        x = torch.full((64, 64), 1 + 2.0**-20, device=device)
        assert (x @ torch.eye(64, device=device)).unique().tolist() == [1 + 2.0**-20]
