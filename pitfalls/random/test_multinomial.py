"""``torch.multinomial``: weights, draws without replacement, and what it refuses."""

import pytest
import torch

from pitfalls import on, pitfall


@pitfall(
    "multinomial-takes-weights-not-logits",
    docs=[("torch.multinomial", "must be non-negative, finite and have"), "torch.distributions.Categorical"],
    symptom="probability tensor contains either `inf`, `nan` or element < 0",
    error="probability tensor contains either `inf`, `nan` or element < 0",
)
class TestMultinomialTakesWeightsNotLogits:
    """``torch.multinomial`` takes non-negative weights that need not sum to one; logits are none, and are refused.

    On a GPU the check is an assertion on the device, after which the process is of no use. ``softmax`` makes weights
    of logits; ``distributions.Categorical(logits=...)`` takes them as they are. NaN logits end here, too.
    """

    def test_trap_weights_need_no_sum_of_one(self, device, seeded):
        assert torch.multinomial(torch.tensor([0.0, 10.0, 0.0], device=device), 1).tolist() == [1]

    @on("cpu")
    @pytest.mark.parametrize(
        "weights",
        [
            pytest.param([-1.0, 1.0], id="negative"),
            pytest.param([torch.inf, 1.0], id="infinite"),
            pytest.param([torch.nan, 1.0], id="NaN"),
        ],
    )
    def test_trap_other_values_are_refused(self, device, seeded, weights):
        with pytest.raises(RuntimeError, match="contains either `inf`, `nan` or element < 0"):
            torch.multinomial(torch.tensor(weights, device=device), 1)

    @on("cpu")
    @pytest.mark.parametrize("weights", [[0.0, 0.0], [[1.0, 0.0], [0.0, 0.0]]], ids=["vector", "one row"])
    def test_trap_all_zeros_are_refused(self, device, seeded, weights):
        with pytest.raises(RuntimeError, match=r"invalid multinomial distribution \(sum of probabilities <= 0\)"):
            torch.multinomial(torch.tensor(weights, device=device), 1)

    def test_trap_integers_are_refused(self, device, seeded):
        with pytest.raises(RuntimeError, match="multinomial only supports floating-point dtypes"):
            torch.multinomial(torch.tensor([1, 2], device=device), 1)

    def test_fix_softmax_of_logits(self, device, seeded):
        logits = torch.tensor([-100.0, 0.0, -100.0], device=device)
        assert torch.multinomial(logits.softmax(0), 1).tolist() == [1]


@pitfall(
    "multinomial-draws-without-replacement",
    docs=[("torch.multinomial", "must be lower than number of non-zero elements"), "torch.multinomial"],
    symptom="cannot sample n_sample > prob_dist.size(-1) samples without replacement",
    error="samples without replacement",
    contradicts={"torch.multinomial": "without replacement there must be fewer draws than weights above zero"},
)
class TestMultinomialDrawsWithoutReplacement:
    """``torch.multinomial`` draws each category once unless ``replacement=True``, so there are at most as many draws.

    The documentation wants fewer draws than weights above zero, but the CPU doesn't check: categories of weight zero
    come back once the others are used up.
    """

    def test_trap_each_category_comes_once(self, device, seeded):
        drawn = torch.multinomial(torch.tensor([9.0, 1.0, 1.0], device=device), 3)
        assert drawn.sort().values.tolist() == [0, 1, 2]

    def test_trap_more_draws_than_categories_are_refused(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"cannot sample n_sample > prob_dist.size"):
            torch.multinomial(torch.ones(2, device=device), 3)

    @on("cpu")
    def test_trap_weight_zero_comes_in_the_end(self, device, seeded):
        drawn = torch.multinomial(torch.tensor([0.0, 1.0], device=device), 2)
        assert drawn.tolist() == [1, 0]

    def test_fix_ask_for_replacement(self, device, seeded):
        assert torch.multinomial(torch.tensor([0.0, 1.0], device=device), 3, replacement=True).tolist() == [1, 1, 1]


@pitfall(
    "multinomial-has-a-limit-of-categories",
    docs=["torch.multinomial"],
    symptom="RuntimeError: number of categories cannot exceed 2^24, for weighted sampling from a large data set",
    error="number of categories cannot exceed 2^24",
    priority=3,
)
class TestMultinomialHasALimitOfCategories:
    """``torch.multinomial`` refuses more than 2**24 categories, and so does ``WeightedRandomSampler``, which calls it.

    For a larger data set draw in two steps, block and element, or search uniform numbers in the cumulated weights.
    """

    def test_trap_one_more_is_refused(self, device, seeded):
        weights = torch.ones(1, device=device).expand(2**24 + 1)
        with pytest.raises(RuntimeError, match=r"number of categories cannot exceed 2\^24"):
            torch.multinomial(weights, 1)

    def test_fix_search_the_cumulated_weights(self, device, seeded):
        cumulated = torch.tensor([0.0, 1.0, 0.0], device=device).cumsum(0)
        drawn = torch.rand(3, device=device) * cumulated[-1]
        assert torch.searchsorted(cumulated, drawn, right=True).tolist() == [1, 1, 1]
