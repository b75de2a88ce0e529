"""Samples of distributions: what ``Categorical`` draws, and matrices of ``Wishart`` that have no inverse."""

import warnings

import pytest
import torch
from torch.distributions import Categorical, Wishart

from pitfalls import pitfall


@pitfall(
    "categorical-draws-like-multinomial",
    docs=[("torch.distributions.Categorical", "equivalent to the distribution that")],
    symptom="distributions.Multinomial gives counts where I wanted classes",
    priority=3,
)
class TestCategoricalDrawsLikeMultinomial:
    """The counterpart of ``torch.multinomial`` is ``Categorical``, not ``distributions.Multinomial``: it gives classes.

    ``Multinomial`` gives how often each class came up. From one seed the first two draw the same, with replacement.
    """

    def test_trap_categorical_gives_the_same_classes(self, device, seeded):
        weights = torch.tensor([3.0, 5.0, 2.0], device=device)
        state = torch.random.get_rng_state() if device.type == "cpu" else torch.cuda.get_rng_state(device)
        drawn = Categorical(weights).sample((20,)).tolist()
        torch.random.set_rng_state(state) if device.type == "cpu" else torch.cuda.set_rng_state(state, device)
        assert torch.multinomial(weights, 20, replacement=True).tolist() == drawn

    def test_trap_multinomial_gives_counts(self, device, seeded):
        weights = torch.tensor([0.0, 1.0, 0.0], device=device)
        assert torch.distributions.Multinomial(20, weights).sample().tolist() == [0, 20, 0]

    def test_fix_count_the_classes(self, device, seeded):
        weights = torch.tensor([0.0, 1.0, 0.0], device=device)
        assert Categorical(weights).sample((20,)).bincount(minlength=3).tolist() == [0, 20, 0]


@pytest.fixture(autouse=True)
def quiet():
    """No warning of singular samples; one test below asks for it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Singular sample detected")
        yield


def few_degrees_of_freedom(device):
    """A distribution of matrices with just enough degrees of freedom to be one, of which it warns."""
    with pytest.warns(UserWarning, match="Low df values detected"):
        return Wishart(torch.tensor(1.01, device=device), torch.eye(2, device=device), validate_args=False)


@pitfall(
    "wishart-samples-may-be-singular",
    docs=[("torch.distributions.Wishart.rsample", "may end up returning singular matrix samples")],
    symptom="UserWarning: Singular sample detected, and then log_prob() is -inf or refuses the sample",
    error="Singular sample detected | Low df values detected",
    priority=3,
)
class TestWishartSamplesMayBeSingular:
    """With few degrees of freedom ``Wishart`` draws matrices that are singular in floating point.

    It warns, and draws a few times more. What is left has infinite ``log_prob``, or is refused where arguments are
    checked. Use more degrees of freedom, or float64.
    """

    def test_trap_the_density_is_infinite(self, device, seeded):
        low = few_degrees_of_freedom(device)
        assert low.log_prob(low.rsample((200,), max_try_correction=0)).isinf().any().item()

    def test_trap_it_warns(self, device, seeded):
        low = few_degrees_of_freedom(device)
        with pytest.warns(UserWarning, match="Singular sample detected"):
            low.rsample((200,))

    def test_fix_more_degrees_of_freedom(self, device, seeded):
        high = Wishart(torch.tensor(8.0, device=device), torch.eye(2, device=device))
        assert high.log_prob(high.rsample((200,))).isfinite().all().item()
