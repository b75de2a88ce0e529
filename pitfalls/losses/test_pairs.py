"""Losses of pairs and triplets: targets of 1 and -1, lists of classes, and embeddings that collapse."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since


@pitfall(
    "ranking-targets-are-plus-and-minus-one",
    docs=[
        ("torch.nn.MarginRankingLoss", "(containing 1 or -1)"),
        ("torch.nn.HingeEmbeddingLoss", "(containing 1 or -1)"),
        ("torch.nn.SoftMarginLoss", "(containing 1 or -1)"),
        ("torch.nn.CosineEmbeddingLoss", "with values 1 or -1"),
    ],
    symptom="negative pairs do not train, though the labels are right: 0 and 1",
)
class TestRankingTargetsArePlusAndMinusOne:
    """Losses of pairs want targets of 1 and -1; with 0 the negative pairs cost nothing or a constant, without an error.

    A label of 0 multiplies the distance by zero, or is in neither of the two cases. Convert: ``2 * y - 1``.
    """

    LOSSES = [
        pytest.param(lambda x, y: F.margin_ranking_loss(x, torch.zeros_like(x), y), id="margin_ranking_loss"),
        pytest.param(lambda x, y: F.hinge_embedding_loss(x, y), id="hinge_embedding_loss"),
        pytest.param(lambda x, y: F.soft_margin_loss(x, y), id="soft_margin_loss"),
        pytest.param(
            lambda x, y: F.cosine_embedding_loss(torch.stack([x, 1 - x], 1), torch.ones_like(x).diag(), y),
            id="cosine_embedding_loss",
        ),
    ]

    @pytest.mark.parametrize("loss", LOSSES[:1] + LOSSES[2:])
    def test_trap_zero_gives_no_gradient(self, device, loss):
        x = torch.tensor([0.75, 0.5], device=device, requires_grad=True)
        loss(x, torch.zeros(2, device=device)).backward()
        assert x.grad.tolist() == [0, 0]

    def test_trap_zero_is_in_both_cases_of_the_hinge(self, device):
        x = torch.tensor([0.75, 0.5], device=device)
        assert F.hinge_embedding_loss(x, torch.zeros(2, device=device), reduction="none").tolist() == [1, 1]

    @pytest.mark.parametrize("loss", LOSSES)
    def test_fix_minus_one(self, device, loss):
        x = torch.tensor([0.75, 0.5], device=device, requires_grad=True)
        y = torch.tensor([0, 0], device=device)
        loss(x, 2 * y - 1).backward()
        assert (x.grad != 0).all().item()


@pitfall(
    "margin-ranking-without-a-margin-is-happy-with-ties",
    docs=[
        ("torch.nn.MarginRankingLoss", "Has a default value of :math:`0`"),
        "torch.nn.functional.margin_ranking_loss",
    ],
    symptom="the ranking loss is zero, and all scores are equal",
    priority=3,
)
class TestMarginRankingWithoutAMarginIsHappyWithTies:
    """The default margin of ``margin_ranking_loss`` is 0, so equal scores cost nothing, in whatever order they belong.

    A model that returns one constant has loss zero. Give a positive ``margin``.
    """

    @pytest.mark.parametrize("y", [1.0, -1.0], ids=str)
    def test_trap_a_tie_costs_nothing(self, device, y):
        score = torch.tensor([3.0], device=device)
        assert F.margin_ranking_loss(score, score, torch.tensor([y], device=device)).item() == 0

    def test_fix_a_margin(self, device):
        score = torch.tensor([3.0], device=device)
        assert F.margin_ranking_loss(score, score, torch.tensor([1.0], device=device), margin=0.5).item() == 0.5


@pitfall(
    "triplet-loss-stays-at-its-margin",
    docs=[
        ("torch.nn.TripletMarginLoss", "a margin with a value greater than"),
        ("torch.nn.functional.triplet_margin_loss", "triplet loss"),
    ],
    symptom="the triplet loss stays at exactly the margin: all embeddings have become equal",
    error="margin must be greater than 0",
    changed={"2.4": "a margin of 0 or below raises"},
)
class TestTripletLossStaysAtItsMargin:
    """A triplet loss equal to its margin means that all embeddings are the same, and there the gradient is zero.

    Nothing pulls the model out again. Lower the learning rate, choose harder triplets later, or normalise. A margin of
    zero would be content with the collapse, and is refused.
    """

    def test_trap_the_collapse_has_no_gradient(self, device):
        x = torch.ones(2, 3, device=device, requires_grad=True)
        loss = F.triplet_margin_loss(x, x, x, margin=0.5)
        loss.backward()
        assert loss.item() == 0.5
        assert x.grad.abs().max().item() == 0

    @since("2.4")
    @pytest.mark.parametrize("margin", [0.0, -1.0], ids=str)
    def test_trap_a_margin_of_zero_is_refused(self, device, margin):
        x = torch.ones(2, 3, device=device)
        with pytest.raises(ValueError, match="margin must be greater than 0"):
            F.triplet_margin_loss(x, x, x, margin=margin)

    @before("2.4")
    def test_trap_a_margin_of_zero_was_accepted(self, device):
        x = torch.ones(2, 3, device=device)
        assert F.triplet_margin_loss(x, x, x, margin=0.0).item() == 0

    def test_fix_apart_it_pulls_and_pushes(self, device):
        anchor = torch.zeros(1, 2, device=device, requires_grad=True)
        positive, negative = torch.tensor([[0.5, 0.0]], device=device), torch.tensor([[0.0, 1.0]], device=device)
        F.triplet_margin_loss(anchor, positive, negative).backward()
        torch.testing.assert_close(anchor.grad, torch.tensor([[-1.0, 1.0]], device=device))


@pitfall(
    "multilabel-margin-takes-a-list-of-classes",
    docs=[
        ("torch.nn.MultiLabelMarginLoss", "contiguous block of non-negative targets that starts at"),
        "torch.nn.functional.multilabel_margin_loss",
    ],
    symptom="MultiLabelMarginLoss of a multi-hot target trains the wrong classes",
    priority=3,
)
class TestMultilabelMarginTakesAListOfClasses:
    """``multilabel_margin_loss`` takes the indices of the classes, ended by -1; a multi-hot row is read as indices.

    So ``[1, 0, 0, 1]`` means the classes 1 and 0, instead of 0 and 3. ``multilabel_soft_margin_loss`` is the one that
    takes zeros and ones.
    """

    def test_trap_ones_are_read_as_class_one(self, device):
        x = torch.tensor([[0.0, 8.0, 8.0, 0.0]], device=device, requires_grad=True)
        F.multilabel_margin_loss(x, torch.tensor([[0, 1, 1, 0]], device=device)).backward()
        assert x.grad[0, 0].item() < 0  # class 0 is raised, though its entry is 0

    def test_trap_the_list_ends_at_minus_one(self, device):
        x = torch.tensor([[8.0, 0.0, 8.0]], device=device)
        ended = F.multilabel_margin_loss(x, torch.tensor([[2, -1, 1]], device=device))
        assert ended.item() == F.multilabel_margin_loss(x, torch.tensor([[2, -1, -1]], device=device)).item()

    def test_fix_the_soft_margin_takes_zeros_and_ones(self, device):
        x = torch.tensor([[-200.0, 200.0, 200.0]], device=device)
        assert F.multilabel_soft_margin_loss(x, torch.tensor([[0.0, 1.0, 1.0]], device=device)).item() == 0
