"""What is drawn: bounds that are left out, parameters that are read otherwise, and values that don't fit a dtype."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "randint-leaves-out-its-upper-end",
    docs=[("torch.randint", "One above the highest integer"), "torch.Tensor.random_", "torch.randperm"],
    symptom="the highest class is never drawn; random_ expects 'from' to be less than 'to'",
    error="random_ expects 'from' to be less than 'to'",
    priority=2,
)
class TestRandintLeavesOutItsUpperEnd:
    """``torch.randint(low, high, size)`` draws integers below ``high``; Python's ``random.randint`` includes it.

    With one number it is ``high``, and ``low`` is 0: ``randint(10, (3,))``. Both must be integers. The ends of
    ``random_(low, high)`` and ``randperm(n)`` are left out likewise.
    """

    DRAWS = [
        pytest.param(lambda device: torch.randint(3, 5, (100,), device=device), id="randint"),
        pytest.param(lambda device: torch.randint_like(torch.zeros(100, device=device), 3, 5), id="randint_like"),
        pytest.param(lambda device: torch.zeros(100, device=device).random_(3, 5), id="random_"),
    ]

    @pytest.mark.parametrize("draw", DRAWS)
    def test_trap_the_end_is_not_drawn(self, device, seeded, draw):
        assert draw(device).unique().tolist() == [3, 4]

    def test_trap_one_number_is_the_end(self, device, seeded):
        assert torch.randint(2, (100,), device=device).unique().tolist() == [0, 1]

    def test_trap_nothing_is_left_between_equal_ends(self, device, seeded):
        with pytest.raises(RuntimeError, match="random_ expects 'from' to be less than 'to'"):
            torch.randint(3, 3, (1,), device=device)

    def test_trap_the_end_is_no_float(self, device, seeded):
        with pytest.raises(TypeError, match="invalid combination of arguments"):
            torch.randint(2.0, (1,), device=device)

    def test_trap_a_permutation_ends_below_n(self, device, seeded):
        assert torch.randperm(4, device=device).sort().values.tolist() == [0, 1, 2, 3]

    def test_fix_add_one(self, device, seeded):
        assert torch.randint(3, 5 + 1, (100,), device=device).unique().tolist() == [3, 4, 5]


@pitfall(
    "random-integers-must-fit-their-dtype",
    docs=["torch.randint", "torch.randperm", ("torch.Tensor.random_", "only bounded by")],
    symptom="RuntimeError: to - 1 is out of bounds for signed char",
    error="is out of bounds for",
    priority=3,
)
class TestRandomIntegersMustFitTheirDtype:
    """``randint`` refuses ends that the dtype can't hold; ``random_()`` without ends goes up to its largest.

    Integers are drawn from 0 on, never negative, floats up to the last integer before gaps begin: 2**24 for float32,
    2**11 for float16.
    """

    @pytest.mark.parametrize(
        ("low", "high", "dtype"),
        [
            pytest.param(0, 300, torch.int8, id="too large for int8"),
            pytest.param(-1, 5, torch.uint8, id="negative for uint8"),
            pytest.param(0, 3, torch.bool, id="two for bool"),
        ],
    )
    def test_trap_ends_out_of_range_are_refused(self, device, seeded, low, high, dtype):
        with pytest.raises(RuntimeError, match="is out of bounds for"):
            torch.randint(low, high, (3,), dtype=dtype, device=device)

    @pytest.mark.parametrize(
        ("dtype", "largest"),
        [(torch.int8, 127), (torch.uint8, 255), (torch.float16, 2**11), (torch.bfloat16, 2**8)],
        ids=["int8", "uint8", "float16", "bfloat16"],
    )
    def test_trap_without_ends_it_goes_up_to_the_largest(self, device, seeded, dtype, largest):
        x = torch.zeros(20_000, dtype=dtype, device=device).random_()
        assert x.min().item() == 0
        assert largest - 1 <= x.max().item() <= largest

    def test_fix_a_larger_dtype(self, device, seeded):
        assert torch.randint(0, 300, (3,), dtype=torch.int16, device=device).dtype == torch.int16


@pitfall(
    "bernoulli-takes-probabilities",
    docs=[("torch.bernoulli", "should be a tensor containing probabilities"), "torch.Tensor.bernoulli_"],
    symptom="x.bernoulli_() ignores the probabilities that are in x",
)
class TestBernoulliTakesProbabilities:
    """``torch.bernoulli(p)`` reads its input as probabilities; ``x.bernoulli_()`` overwrites x, with ``p=0.5``.

    Nothing in x matters to the in-place form: give the probabilities as its argument. ``torch.bernoulli`` wants
    floats between 0 and 1.
    """

    def test_trap_the_in_place_form_ignores_its_tensor(self, device, seeded):
        x = torch.zeros(1000, device=device).bernoulli_()
        assert 400 < x.sum().item() < 600

    @pytest.mark.parametrize("p", [0.0, 1.0])
    def test_trap_the_argument_counts(self, device, seeded, p):
        x = torch.full((3,), 1 - p, device=device)
        assert x.bernoulli_(p).tolist() == [p, p, p]

    @on("cpu")  # on a GPU the check ends the process
    @pytest.mark.parametrize("p", [1.5, -0.5])
    def test_trap_out_of_range_is_refused(self, device, seeded, p):
        with pytest.raises(RuntimeError, match="Expected p_in >= 0 && p_in <= 1"):
            torch.bernoulli(torch.tensor([p], device=device))

    def test_fix_probabilities_as_the_argument(self, device, seeded):
        p = torch.tensor([0.0, 1.0, 1.0], device=device)
        assert torch.zeros(3, device=device).bernoulli_(p).tolist() == [0, 1, 1]
        assert torch.bernoulli(p).tolist() == [0, 1, 1]


@pitfall(
    "normal-takes-the-standard-deviation",
    docs=[("torch.normal", "standard deviation"), "torch.Tensor.normal_", "torch.Tensor.log_normal_"],
    symptom="torch.normal(0, variance) spreads too far",
)
class TestNormalTakesTheStandardDeviation:
    """The second parameter of ``torch.normal`` and ``normal_`` is the standard deviation, not the variance.

    Those of ``log_normal_`` are the mean and the standard deviation of the logarithm. For a variance take its root.
    """

    @pytest.mark.parametrize(
        "draw",
        [
            pytest.param(lambda device: torch.normal(0.0, 4.0, (10_000,), device=device), id="torch.normal"),
            pytest.param(lambda device: torch.zeros(10_000, device=device).normal_(0.0, 4.0), id="normal_"),
            pytest.param(
                lambda device: torch.zeros(10_000, device=device).log_normal_(0.0, 4.0).log(), id="log_normal_"
            ),
        ],
    )
    def test_trap_four_is_the_standard_deviation(self, device, seeded, draw):
        assert 3.8 < draw(device).std().item() < 4.2

    def test_trap_a_negative_one_is_refused(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"normal expects std >= 0.0, but found std"):
            torch.normal(0.0, -1.0, (1,), device=device)

    def test_fix_take_the_root_of_a_variance(self, device, seeded):
        x = torch.normal(0.0, 4.0**0.5, (10_000,), device=device)
        assert 3.8 < x.var().item() < 4.2


@pitfall(
    "normal-shapes-must-broadcast",
    docs=["torch.normal", "notes/broadcasting"],
    symptom="The size of tensor a must match the size of tensor b, from torch.normal",
    error="must match the size of tensor b",
    priority=3,
)
class TestNormalShapesMustBroadcast:
    """``torch.normal(mean, std)`` broadcasts its tensors; equal numbers of elements in other shapes are refused.

    The documentation promises otherwise: that the shape of ``mean`` is taken then. Give ``std`` that shape yourself.
    """

    def test_trap_equal_counts_are_not_enough(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"size of tensor a \(3\) must match the size of tensor b \(6\)"):
            torch.normal(torch.zeros(2, 3, device=device), torch.ones(6, device=device))

    def test_trap_they_are_broadcast(self, device, seeded):
        assert torch.normal(torch.zeros(2, 1, device=device), torch.ones(3, device=device)).shape == (2, 3)

    def test_fix_view_it_in_the_shape_of_the_mean(self, device, seeded):
        mean = torch.zeros(2, 3, device=device)
        assert torch.normal(mean, torch.zeros(6, device=device).view_as(mean)).tolist() == [[0] * 3] * 2


NEARLY_ONE = 1 - 2**-20  # nearly every trial is a success


@pitfall(
    "geometric-counts-from-one-or-from-zero",
    docs=["torch.Tensor.geometric_", "torch.distributions.Geometric"],
    symptom="the mean of geometric_ is one higher than that of distributions.Geometric",
)
class TestGeometricCountsFromOneOrFromZero:
    """``x.geometric_(p)`` counts trials up to the success, from 1; ``distributions.Geometric(p)`` failures, from 0.

    Their means are ``1 / p`` and ``1 / p - 1``. Subtract 1, or add it. The distribution takes ``p = 1``, the method
    doesn't.
    """

    def test_trap_the_method_counts_trials(self, device, seeded):
        assert torch.zeros(3, device=device).geometric_(NEARLY_ONE).tolist() == [1, 1, 1]

    def test_trap_the_distribution_counts_failures(self, device, seeded):
        p = torch.full((3,), NEARLY_ONE, device=device)
        assert torch.distributions.Geometric(p).sample().tolist() == [0, 0, 0]

    def test_trap_means_differ_by_one(self, device, seeded):
        drawn = torch.zeros(10_000, device=device).geometric_(0.25).mean().item()
        assert 3.8 < drawn < 4.2
        assert torch.distributions.Geometric(torch.tensor(0.25, device=device)).mean.item() == 3

    def test_trap_certain_success_is_for_the_distribution_alone(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"geometric_ expects p to be in \(0, 1\)"):
            torch.zeros(3, device=device).geometric_(1.0)

    def test_fix_subtract_one(self, device, seeded):
        assert torch.zeros(3, device=device).geometric_(NEARLY_ONE).sub(1).tolist() == [0, 0, 0]


@pitfall(
    "uniform-may-reach-its-upper-end",
    docs=[("torch.distributions.Uniform", "half-open interval"), "torch.Tensor.uniform_"],
    symptom="a uniform sample equals high, although high is exclusive, and log_prob of it is -inf",
    changed={"2.12": "uniform_ on the CPU never gives its upper end; before, rounding could"},
    priority=3,
)
class TestUniformMayReachItsUpperEnd:
    """``distributions.Uniform(low, high)`` can give ``high`` itself, which is documented as exclusive.

    It scales and shifts numbers below 1, and where floats lie far apart the result rounds up. ``uniform_`` did so
    before torch 2.12, too. Where ``high`` must not come, clamp below it, or draw from a wider dtype.
    """

    def test_trap_the_distribution_rounds_up_to_the_end(self, device, seeded):
        low = torch.tensor(2.0**24, device=device)
        assert torch.distributions.Uniform(low, low + 2).sample((1000,)).max().item() == 2**24 + 2

    def test_trap_the_end_has_no_density(self, device, seeded):
        low = torch.tensor(2.0**24, device=device)
        assert torch.distributions.Uniform(low, low + 2).log_prob(low + 2).item() == -torch.inf

    @on("cpu")
    @before("2.12")
    def test_trap_uniform_in_place_rounded_up_too(self, device, seeded):
        assert torch.zeros(1000, device=device).uniform_(2**24, 2**24 + 2).max().item() == 2**24 + 2

    @since("2.12")
    def test_fix_uniform_in_place_stays_below(self, device, seeded):
        assert torch.zeros(1000, device=device).uniform_(2**24, 2**24 + 2).max().item() == 2**24

    def test_fix_a_wider_dtype(self, device, seeded):
        low = torch.tensor(2.0**24, dtype=torch.float64, device=device)
        assert torch.distributions.Uniform(low, low + 2).sample((1000,)).max().item() < 2**24 + 2
