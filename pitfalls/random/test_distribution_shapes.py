"""Distributions by shape: what one sample is, what ``log_prob`` sums, and what it is the logarithm of."""

import pytest
import torch
from torch import distributions

from pitfalls import pitfall


@pitfall(
    "log-prob-can-be-positive",
    docs=[
        ("torch.distributions.Distribution.log_prob", "log of the probability density/mass function"),
        "distributions",
    ],
    symptom="log_prob is greater than zero, the probability greater than one",
    priority=1,
)
class TestLogProbCanBePositive:
    """``log_prob`` of a continuous distribution is the log of a density, which may exceed one: it can be positive.

    A density is no probability; only its integral is. For the probability of an interval subtract two values of
    ``cdf``. A negative entropy, or a negative loss, is no error for the same reason. Of a discrete distribution it is
    the log of a probability.
    """

    @pytest.mark.parametrize(
        ("make", "density"),
        [
            pytest.param(lambda x: distributions.Uniform(x, x + 0.25), 4.0, id="Uniform"),
            pytest.param(lambda x: distributions.Normal(x, 0.1), 3.9894, id="Normal"),
            pytest.param(lambda x: distributions.Exponential(x + 8), 8.0, id="Exponential"),
            pytest.param(lambda x: distributions.Laplace(x, 0.125), 4.0, id="Laplace"),
        ],
    )
    def test_trap_a_density_may_exceed_one(self, device, make, density):
        zero = torch.tensor(0.0, device=device)
        torch.testing.assert_close(make(zero).log_prob(zero).exp().item(), density, rtol=1e-4, atol=0)

    def test_trap_entropy_may_be_negative(self, device):
        narrow = distributions.Uniform(torch.tensor(0.0, device=device), torch.tensor(0.25, device=device))
        assert narrow.entropy().exp().item() == 0.25

    def test_trap_of_a_discrete_one_it_is_a_probability(self, device):
        coin = distributions.Categorical(torch.tensor([0.25, 0.75], device=device))
        assert coin.log_prob(torch.tensor(0, device=device)).exp().item() == 0.25

    def test_fix_subtract_two_values_of_cdf(self, device):
        narrow = distributions.Uniform(torch.tensor(0.0, device=device), torch.tensor(0.5, device=device))
        low, high = torch.tensor(0.125, device=device), torch.tensor(0.25, device=device)
        assert (narrow.cdf(high) - narrow.cdf(low)).item() == 0.25


@pitfall(
    "log-prob-sums-events-only",
    docs=[
        "torch.distributions.Independent",
        ("torch.distributions.Independent", "changing the shape of the result of"),
    ],
    symptom="log_prob of a Normal gives a value for each dimension, where I expected one for each sample",
)
class TestLogProbSumsEventsOnly:
    """``log_prob`` gives one value for each distribution in the batch: dimensions of the batch are not summed.

    ``Normal`` with a vector of means is a batch of many, not one in many dimensions. ``MultivariateNormal`` has events
    of one dimension. ``Independent(base, 1)`` makes the last dimension of the batch one of the event.
    """

    @pytest.mark.parametrize(
        ("make", "batch", "event"),
        [
            pytest.param(lambda x: distributions.Normal(x, 1.0), (2, 3), (), id="Normal"),
            pytest.param(lambda x: distributions.Bernoulli(logits=x), (2, 3), (), id="Bernoulli"),
            pytest.param(lambda x: distributions.Categorical(logits=x), (2,), (), id="Categorical"),
            pytest.param(lambda x: distributions.OneHotCategorical(logits=x), (2,), (3,), id="OneHotCategorical"),
            pytest.param(lambda x: distributions.Dirichlet(x + 1), (2,), (3,), id="Dirichlet"),
            pytest.param(
                lambda x: distributions.MultivariateNormal(x, scale_tril=torch.eye(3, device=x.device)),
                (2,),
                (3,),
                id="MultivariateNormal",
            ),
            pytest.param(
                lambda x: distributions.Independent(distributions.Normal(x, 1.0), 1), (2,), (3,), id="Independent"
            ),
        ],
    )
    def test_trap_one_value_for_each_of_the_batch(self, device, seeded, make, batch, event):
        many = make(torch.zeros(2, 3, device=device))
        assert many.sample().shape == batch + event
        assert many.log_prob(many.sample()).shape == batch

    def test_trap_values_are_broadcast(self, device):
        three = distributions.Normal(torch.zeros(3, device=device), 1.0)
        assert three.log_prob(torch.zeros(2, 1, device=device)).shape == (2, 3)

    def test_fix_independent_sums(self, device):
        normal = distributions.Normal(torch.zeros(3, device=device), 1.0)
        value = torch.tensor([1.0, 2.0, 3.0], device=device)
        together = distributions.Independent(normal, 1).log_prob(value)
        torch.testing.assert_close(together, normal.log_prob(value).sum())


@pitfall(
    "sample-shape-comes-first",
    docs=["torch.distributions.Distribution.sample", "distributions"],
    symptom="TypeError: 'int' object is not iterable, from sample(5); samples have a dimension in front",
    error="'int' object is not iterable",
    priority=3,
)
class TestSampleShapeComesFirst:
    """``sample(shape)`` puts the dimensions of ``shape`` in front of those of the distribution; it takes no number.

    It is how many samples, not how large one is: that follows from the parameters. For five write ``sample((5,))``.
    """

    def test_trap_a_number_is_refused(self, device, seeded):
        with pytest.raises(TypeError, match="'int' object is not iterable"):
            distributions.Normal(torch.zeros(3, device=device), 1.0).sample(5)

    def test_trap_the_shape_is_put_in_front(self, device, seeded):
        assert distributions.Normal(torch.zeros(3, device=device), 1.0).sample((5, 3)).shape == (5, 3, 3)

    def test_fix_a_tuple_of_one(self, device, seeded):
        assert distributions.Normal(torch.zeros(3, device=device), 1.0).sample((5,)).shape == (5, 3)


@pitfall(
    "sample-stops-gradients",
    docs=[("torch.distributions.Distribution.rsample", "reparameterized"), "torch.distributions.Distribution.sample"],
    symptom="the parameters of a distribution get no gradient through its samples",
)
class TestSampleStopsGradients:
    """``sample()`` has no gradient; ``rsample()`` has one, for the distributions whose samples can be reparameterized.

    ``Categorical``, ``Bernoulli`` and the other discrete ones have no ``rsample``: use ``log_prob`` of the sample (the
    score function), or a relaxed distribution. ``has_rsample`` tells.
    """

    def test_trap_sample_is_cut_off(self, device, seeded):
        mean = torch.tensor(0.0, device=device, requires_grad=True)
        assert distributions.Normal(mean, 1.0).sample().requires_grad is False

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(distributions.Bernoulli, id="Bernoulli"),
            pytest.param(distributions.Categorical, id="Categorical"),
            pytest.param(distributions.OneHotCategorical, id="OneHotCategorical"),
            pytest.param(distributions.Geometric, id="Geometric"),
            pytest.param(distributions.Poisson, id="Poisson"),
        ],
    )
    def test_trap_discrete_ones_have_no_rsample(self, device, make):
        with pytest.raises(NotImplementedError, match=r"^$"):  # torch says no more
            make(torch.full((2,), 0.5, device=device)).rsample()

    def test_fix_rsample_reaches_the_parameters(self, device, seeded):
        mean = torch.tensor(0.0, device=device, requires_grad=True)
        distributions.Normal(mean, 1.0).rsample().backward()
        assert mean.grad.item() == 1

    def test_fix_log_prob_of_a_sample(self, device, seeded):
        logits = torch.zeros(2, device=device, requires_grad=True)
        (-distributions.Categorical(logits=logits).log_prob(torch.tensor(0, device=device))).backward()
        assert logits.grad.tolist() == [-0.5, 0.5]
