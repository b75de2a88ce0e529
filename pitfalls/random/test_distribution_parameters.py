"""Distributions by parameters: which one is meant, what is checked, and what is normalised."""

import pytest
import torch
from torch import distributions

from pitfalls import pitfall


@pitfall(
    "distribution-parameters-differ-from-the-textbook",
    docs=[
        ("torch.distributions.Normal", "standard deviation of the distribution"),
        ("torch.distributions.Gamma", "rate = 1 / scale"),
        ("torch.distributions.LogNormal", "mean of log of distribution"),
        ("torch.distributions.MultivariateNormal", "a mean vector and a covariance matrix"),
    ],
    symptom="samples of Normal(0, variance) spread too far; the mean of Exponential(4) is 0.25",
    priority=1,
)
class TestDistributionParametersDifferFromTheTextbook:
    """``Normal`` takes a standard deviation, ``MultivariateNormal`` a covariance, ``Exponential`` and ``Gamma`` a rate.

    ``LogNormal`` takes mean and standard deviation of the logarithm. Check ``.mean`` and ``.variance`` of what you have
    made: they cost nothing.
    """

    @pytest.mark.parametrize(
        ("make", "mean", "variance"),
        [
            pytest.param(lambda x: distributions.Normal(x - 4, x), 0, 16, id="Normal"),
            pytest.param(
                lambda x: distributions.MultivariateNormal(x.view(1) - 4, x.view(1, 1)), 0, 4, id="MultivariateNormal"
            ),
            pytest.param(
                lambda x: distributions.MultivariateNormal(x.view(1) - 4, scale_tril=x.view(1, 1)),
                0,
                16,
                id="with scale_tril",
            ),
            pytest.param(lambda x: distributions.Exponential(x), 0.25, 0.0625, id="Exponential"),
            pytest.param(lambda x: distributions.Gamma(x - 2, x), 0.5, 0.125, id="Gamma"),
            pytest.param(lambda x: distributions.Laplace(x - 4, x), 0, 32, id="Laplace"),
        ],
    )
    def test_trap_four_means_another_thing_each_time(self, device, make, mean, variance):
        made = make(torch.tensor(4.0, device=device))
        assert made.mean.item() == mean
        assert made.variance.item() == variance

    def test_trap_a_log_normal_of_mean_zero_has_another_mean(self, device):
        x = distributions.LogNormal(torch.tensor(0.0, device=device), torch.tensor(2.0, device=device))
        torch.testing.assert_close(x.mean.log().item(), 2.0)

    def test_fix_take_the_root_of_a_variance(self, device):
        assert distributions.Normal(0.0, torch.tensor(4.0, device=device).sqrt()).variance.item() == 4


@pitfall(
    "categorical-normalises-what-it-is-given",
    docs=[
        ("torch.distributions.Categorical", "will return this normalized value"),
        "torch.distributions.OneHotCategorical",
        "torch.distributions.Multinomial",
    ],
    symptom=".logits of a Categorical are not the logits that I passed; positional logits are refused or misread",
)
class TestCategoricalNormalisesWhatItIsGiven:
    """``Categorical`` normalises: ``.probs`` sum to one and ``.logits`` are log-probabilities, whatever was passed.

    The first argument is ``probs``: logits that are passed without their name are read as weights. Say ``logits=``.
    Differences between logits stay, so keep the original where its level matters.
    """

    KINDS = [
        pytest.param(distributions.Categorical, id="Categorical"),
        pytest.param(distributions.OneHotCategorical, id="OneHotCategorical"),
        pytest.param(distributions.Multinomial, id="Multinomial"),
    ]

    @pytest.mark.parametrize("kind", KINDS)
    def test_trap_probs_are_divided_by_their_sum(self, device, kind):
        assert kind(probs=torch.tensor([2.0, 6.0], device=device)).probs.tolist() == [0.25, 0.75]

    @pytest.mark.parametrize("kind", KINDS)
    def test_trap_logits_are_shifted(self, device, kind):
        found = kind(logits=torch.tensor([3.0, 3.0], device=device)).logits
        torch.testing.assert_close(found, torch.tensor([0.5, 0.5], device=device).log())

    def test_trap_logits_without_their_name_are_weights(self, device):
        logits = torch.tensor([1.0, 3.0], device=device)
        assert distributions.Categorical(logits).probs.tolist() == [0.25, 0.75]

    def test_fix_name_them(self, device):
        logits = torch.tensor([1.0, 3.0], device=device)
        torch.testing.assert_close(distributions.Categorical(logits=logits).probs, logits.softmax(0))

    def test_fix_a_bernoulli_keeps_its_logits(self, device):
        assert distributions.Bernoulli(logits=torch.tensor(2.0, device=device)).logits.item() == 2


@pitfall(
    "distributions-validate-their-arguments",
    docs=[
        "distributions",
        ("torch.distributions.Distribution.set_default_validate_args", "validation is on by default"),
    ],
    symptom="ValueError: Expected parameter scale to satisfy the constraint GreaterThan(lower_bound=0.0)",
    error="to satisfy the constraint",
)
class TestDistributionsValidateTheirArguments:
    """Distributions check their parameters, and the values given to ``log_prob``, and raise ValueError.

    NaN in ``loc`` or logits of a model that diverged surfaces here. With ``validate_args=False`` nothing is checked,
    and what comes out for such values is left open. ``python -O`` switches the checks off as well.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: distributions.Normal(x, -1.0), id="negative scale"),
            pytest.param(lambda x: distributions.Normal(x, 0.0), id="scale of zero"),
            pytest.param(lambda x: distributions.Normal(x * torch.nan, 1.0), id="NaN"),
            pytest.param(lambda x: distributions.Bernoulli(x + 1.5), id="probability above one"),
            pytest.param(lambda x: distributions.Categorical(torch.stack([x - 1, x + 2])), id="negative weight"),
            pytest.param(lambda x: distributions.MultivariateNormal(x.view(1), x.view(1, 1)), id="no covariance"),
        ],
    )
    def test_trap_parameters_are_checked(self, device, make):
        with pytest.raises(ValueError, match="to satisfy the constraint"):
            make(torch.tensor(0.0, device=device))

    @pytest.mark.parametrize(
        ("make", "value"),
        [
            pytest.param(lambda x: distributions.Uniform(x, x + 1), 2.0, id="Uniform"),
            pytest.param(lambda x: distributions.Bernoulli(x + 0.5), 0.5, id="Bernoulli"),
            pytest.param(lambda x: distributions.Poisson(x + 1), 0.5, id="Poisson"),
            pytest.param(lambda x: distributions.Categorical(torch.stack([x + 1, x + 1])), 2.0, id="Categorical"),
            pytest.param(lambda x: distributions.HalfNormal(x + 1), -1.0, id="HalfNormal"),
        ],
    )
    def test_trap_values_are_checked(self, device, make, value):
        with pytest.raises(ValueError, match=r"to be within the support"):
            make(torch.tensor(0.0, device=device)).log_prob(torch.tensor(value, device=device))

    def test_fix_unchecked_where_it_is_meant(self, device):
        zero = torch.tensor(0.0, device=device)
        assert distributions.Uniform(zero, zero + 1, validate_args=False).log_prob(zero + 2).item() == -torch.inf


@pitfall(
    "one-parameter-of-several-forms",
    docs=[
        ("torch.distributions.MultivariateNormal", "can be specified"),
        "torch.distributions.Wishart",
        ("torch.distributions.Bernoulli", "(but not both)"),
    ],
    symptom="Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified",
    error="Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.",
    priority=3,
)
class TestOneParameterOfSeveralForms:
    """A distribution takes exactly one form of its parameter: ``probs`` or ``logits``, a covariance or its root.

    The normal one has ``covariance_matrix``, ``precision_matrix`` and ``scale_tril``. The last is what the others are
    turned into, by a Cholesky decomposition: pass it where there is one.
    """

    MATRICES = ["covariance_matrix", "precision_matrix", "scale_tril"]

    @pytest.mark.parametrize("names", [[], MATRICES[:2], MATRICES[1:], MATRICES], ids=["none", "two", "others", "all"])
    def test_trap_normal_takes_exactly_one(self, device, names):
        with pytest.raises(ValueError, match="Exactly one of covariance_matrix or precision_matrix or scale_tril"):
            distributions.MultivariateNormal(
                torch.zeros(2, device=device), **{name: torch.eye(2, device=device) for name in names}
            )

    @pytest.mark.parametrize("names", [[], MATRICES[:2], MATRICES], ids=["none", "two", "all"])
    def test_trap_wishart_takes_exactly_one(self, device, names):
        with pytest.raises(AssertionError, match="Exactly one of covariance_matrix or precision_matrix or scale_tril"):
            distributions.Wishart(
                torch.tensor(3.0, device=device), **{name: torch.eye(2, device=device) for name in names}
            )

    @pytest.mark.parametrize("names", [[], ["probs", "logits"]], ids=["none", "both"])
    @pytest.mark.parametrize(
        "kind", [distributions.Bernoulli, distributions.Categorical], ids=["Bernoulli", "Categorical"]
    )
    def test_trap_probs_or_logits(self, device, kind, names):
        with pytest.raises(ValueError, match="Either `probs` or `logits` must be specified, but not both"):
            kind(**{name: torch.ones(2, device=device) for name in names})

    @pytest.mark.parametrize("name", MATRICES)
    def test_fix_one_of_them(self, device, name):
        normal = distributions.MultivariateNormal(torch.zeros(2, device=device), **{name: torch.eye(2, device=device)})
        assert normal.variance.tolist() == [1, 1]


@pitfall(
    "simplex-has-one-dimension-less",
    docs=[
        ("torch.distributions.constraint_registry", "they have different guarantees on bijectivity"),
        "distributions",
    ],
    symptom="biject_to(simplex) gives one element more than it was given",
    priority=3,
)
class TestSimplexHasOneDimensionLess:
    """For the simplex ``transform_to`` is a softmax, while ``biject_to`` maps n numbers to n + 1 probabilities.

    Adding a constant doesn't change a softmax, so it is no bijection and has no log-determinant. Optimise through
    ``transform_to``, sample through ``biject_to``.
    """

    def test_trap_biject_to_adds_an_element(self, device):
        simplex = distributions.constraints.simplex
        found = distributions.biject_to(simplex)(torch.zeros(3, device=device))
        torch.testing.assert_close(found, torch.full((4,), 0.25, device=device))

    def test_trap_transform_to_forgets_the_level(self, device):
        to_simplex = distributions.transform_to(distributions.constraints.simplex)
        x = torch.tensor([1.0, 2.0, 4.0], device=device)
        torch.testing.assert_close(to_simplex(x + 8), to_simplex(x))

    def test_fix_biject_to_comes_back(self, device):
        to_simplex = distributions.biject_to(distributions.constraints.simplex)
        x = torch.tensor([0.5, -1.0], device=device)
        torch.testing.assert_close(to_simplex.inv(to_simplex(x)), x)


@pitfall(
    "kl-divergence-has-an-order",
    docs=["torch.distributions.kl.kl_divergence", "distributions"],
    symptom="NotImplementedError: No KL(p || q) is implemented for p type Normal and q type Cauchy",
    error="No KL(p || q) is implemented for",
    priority=3,
)
class TestKlDivergenceHasAnOrder:
    """``kl_divergence(p, q)`` averages over p: the other order gives another number, and not every pair is implemented.

    Where it isn't, average ``p.log_prob(x) - q.log_prob(x)`` over samples x of p. It is infinite where q rules out what
    p allows.
    """

    def test_trap_the_order_matters(self, device):
        one = distributions.Exponential(torch.tensor(1.0, device=device))
        two = distributions.Exponential(torch.tensor(2.0, device=device))
        assert distributions.kl_divergence(one, two).item() > distributions.kl_divergence(two, one).item()

    def test_trap_not_every_pair_is_there(self, device):
        zero, one = torch.tensor(0.0, device=device), torch.tensor(1.0, device=device)
        with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\) is implemented for p type Normal and q type"):
            distributions.kl_divergence(distributions.Normal(zero, one), distributions.Cauchy(zero, one))

    def test_trap_infinite_where_q_rules_it_out(self, device):
        fair = distributions.Categorical(torch.tensor([0.5, 0.5], device=device))
        sure = distributions.Categorical(torch.tensor([1.0, 0.0], device=device))
        assert distributions.kl_divergence(fair, sure).item() == torch.inf

    def test_fix_average_over_samples(self, device, seeded):
        one, two = distributions.Normal(torch.zeros((), device=device), 1.0), distributions.Normal(0.0, 2.0)
        x = one.sample((10_000,))
        exact = distributions.kl_divergence(one, two).item()
        estimate = (one.log_prob(x) - two.log_prob(x)).mean().item()
        assert abs(estimate - exact) < 0.02
