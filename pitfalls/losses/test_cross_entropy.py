"""Cross entropy: logits and the class dimension, and the mistakes that pass without a word."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import observe, pitfall

CROSS_ENTROPY = [
    pytest.param(F.cross_entropy, id="cross_entropy"),
    pytest.param(lambda x, y: nn.CrossEntropyLoss()(x, y), id="CrossEntropyLoss"),
]


@pitfall(
    "cross-entropy-wants-logits",
    docs=[
        ("torch.nn.CrossEntropyLoss", "expected to contain the unnormalized logits"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="the loss stays far above zero although the accuracy is perfect; should I apply softmax before it?",
    priority=1,
)
class TestCrossEntropyWantsLogits:
    """``cross_entropy`` applies log-softmax itself: the model returns logits, and a softmax before it counts twice.

    Probabilities lie between 0 and 1, so the second softmax can never become sure: with three classes the loss stays
    above 0.55, and the gradient is faint. Return the logits, and apply ``softmax`` only to look at probabilities.
    """

    @pytest.mark.parametrize("loss", CROSS_ENTROPY)
    def test_trap_a_perfect_answer_still_costs(self, device, loss):
        x = torch.tensor([[200.0, 0.0, 0.0]], device=device).softmax(1)
        y = torch.tensor([0], device=device)
        assert x.tolist() == [[1, 0, 0]]
        assert 0.55 < loss(x, y).item() < 0.56

    def test_trap_the_gradient_vanishes_where_the_model_is_wrong(self, device):
        x = torch.tensor([[20.0, 0.0, 0.0]], device=device, requires_grad=True)
        F.cross_entropy(x.softmax(1), torch.tensor([1], device=device)).backward()
        assert x.grad.abs().max().item() < 1e-6

    @pytest.mark.parametrize("loss", CROSS_ENTROPY)
    def test_fix_logits(self, device, loss):
        x = torch.tensor([[100.0, 0.0, 0.0]], device=device)
        assert loss(x, torch.tensor([0], device=device)).item() == 0

    def test_fix_log_softmax_and_nll_loss_are_the_same(self, device):
        x = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], device=device)
        y = torch.tensor([0, 1], device=device)
        torch.testing.assert_close(F.cross_entropy(x, y), F.nll_loss(x.log_softmax(1), y))


@pitfall(
    "nll-loss-wants-log-probabilities",
    docs=[("torch.nn.NLLLoss", "log-probabilities of each class"), "torch.nn.functional.nll_loss"],
    symptom="the loss is negative and goes on falling",
)
class TestNllLossWantsLogProbabilities:
    """``nll_loss`` takes no logarithm: it picks one number of each row, negates it, and averages.

    Given probabilities or logits it is negative and still trains something, since nothing is checked. Give it the
    output of ``log_softmax``, or give the logits to ``cross_entropy``.
    """

    @pytest.mark.parametrize(
        ("x", "loss"), [([[0.5, 0.25, 0.25]], -0.5), ([[5.0, -3.0, 2.0]], -5)], ids=["probabilities", "logits"]
    )
    def test_trap_nothing_is_checked(self, device, x, loss):
        y = torch.tensor([0], device=device)
        assert F.nll_loss(torch.tensor(x, device=device), y).item() == loss

    def test_fix_log_probabilities(self, device):
        x = torch.tensor([[0.5, 0.25, 0.25]], device=device).log()
        loss = F.nll_loss(x, torch.tensor([0], device=device))
        assert loss.item() == pytest.approx(0.693147, rel=1e-5)


@pitfall(
    "cross-entropy-class-axis-is-one",
    docs=[
        ("torch.nn.CrossEntropyLoss", r"or :math:`(minibatch, C, d_1, d_2, ..., d_K)` with"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="RuntimeError: Expected target size [2, 3], got [2, 4], for the outputs of a sequence model",
    error="Expected target size",
    priority=1,
)
class TestCrossEntropyClassAxisIsOne:
    """``cross_entropy`` has the classes in dimension 1, right behind the batch, not in the last one.

    A sequence model returns ``(batch, length, classes)``, and an image in channels-last order has its classes last too.
    Move them: ``x.transpose(1, 2)``, ``x.movedim(-1, 1)``, or flatten to ``(batch * length, classes)``.
    """

    @pytest.mark.parametrize("loss", CROSS_ENTROPY)
    def test_trap_classes_in_the_last_dimension(self, device, loss):
        x = torch.zeros(2, 4, 3, device=device)
        y = torch.zeros(2, 4, dtype=torch.int64, device=device)
        with pytest.raises(RuntimeError, match=r"Expected target size \[2, 3\], got \[2, 4\]"):
            loss(x, y)

    def test_trap_images_with_channels_last(self, device):
        x = torch.zeros(2, 4, 5, 3, device=device)
        y = torch.zeros(2, 4, 5, dtype=torch.int64, device=device)
        with pytest.raises(RuntimeError, match=r"size mismatch \(got input: \[2, 4, 5, 3\] , target: \[2, 4, 5\]"):
            F.cross_entropy(x, y)

    @pytest.mark.parametrize(
        "flat",
        [
            pytest.param(lambda x, y: (x.transpose(1, 2), y), id="transpose"),
            pytest.param(lambda x, y: (x.movedim(-1, 1), y), id="movedim"),
            pytest.param(lambda x, y: (x.reshape(-1, 3), y.reshape(-1)), id="flatten"),
        ],
    )
    def test_fix_classes_second(self, device, flat):
        y = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]], device=device)
        x = 100 * F.one_hot(y, 3).float()
        assert F.cross_entropy(*flat(x, y)).item() == 0


@pitfall(
    "class-axis-mistake-is-silent-when-square",
    docs=["torch.nn.CrossEntropyLoss", "torch.nn.functional.cross_entropy"],
    symptom="the sequence loss runs but the model does not learn, and only for one sequence length",
)
class TestClassAxisMistakeIsSilentWhenSquare:
    """``(batch, length, classes)`` is accepted by ``cross_entropy`` where the length equals the number of classes.

    The softmax then runs over the positions, and a perfect answer is a bad one. No shape can tell; test the loss with a
    length that is no number of classes, and with a perfect answer, whose loss must be zero.
    """

    def test_trap_a_perfect_answer_is_a_bad_one(self, device):
        y = torch.tensor([[0, 0, 1]], device=device)
        x = 100 * F.one_hot(y, 3).float()
        assert F.cross_entropy(x, y).item() > 30

    def test_fix_transpose(self, device):
        y = torch.tensor([[0, 0, 1]], device=device)
        x = 100 * F.one_hot(y, 3).float()
        assert F.cross_entropy(x.transpose(1, 2), y).item() == 0


@pitfall(
    "one-output-cross-entropy-is-zero",
    docs=["torch.nn.CrossEntropyLoss", "torch.nn.BCEWithLogitsLoss", "torch.nn.functional.cross_entropy"],
    symptom="a binary classifier with one output has loss 0.0 from the first step, and learns nothing",
)
class TestOneOutputCrossEntropyIsZero:
    """Cross entropy over one class is zero whatever the output: the softmax of one number is 1.

    A binary classifier has either one output and ``binary_cross_entropy_with_logits``, or two outputs and
    ``cross_entropy``. With labels of 1 and one output it raises, since class 1 doesn't exist.
    """

    def test_trap_neither_loss_nor_gradient(self, device):
        x = torch.tensor([[5.0], [-2.0]], device=device, requires_grad=True)
        loss = F.cross_entropy(x, torch.tensor([0, 0], device=device))
        loss.backward()
        assert loss.item() == 0
        assert x.grad.tolist() == [[0], [0]]

    def test_trap_float_labels_do_not_help(self, device):
        x = torch.tensor([[5.0], [-2.0]], device=device, requires_grad=True)
        F.cross_entropy(x, torch.tensor([[0.0], [1.0]], device=device)).backward()
        assert x.grad.tolist() == [[0], [0]]

    def test_fix_binary_cross_entropy_with_logits(self, device):
        x = torch.zeros(2, 1, device=device, requires_grad=True)
        F.binary_cross_entropy_with_logits(x, torch.tensor([[0.0], [1.0]], device=device)).backward()
        assert x.grad.tolist() == [[0.25], [-0.25]]

    def test_fix_two_outputs(self, device):
        x = torch.zeros(2, 2, device=device, requires_grad=True)
        F.cross_entropy(x, torch.tensor([0, 1], device=device)).backward()
        assert x.grad.tolist() == [[-0.25, 0.25], [0.25, -0.25]]


@pitfall(
    "label-smoothing-keeps-the-loss-up",
    docs=[
        ("torch.nn.CrossEntropyLoss", "The targets become a mixture of the"),
        ("torch.nn.functional.cross_entropy", "where 0.0 means no smoothing"),
    ],
    symptom="with label_smoothing the loss never reaches zero, and grows as the model becomes surer",
)
class TestLabelSmoothingKeepsTheLossUp:
    """With ``label_smoothing`` every class gets a part of the target, so a sure answer costs more than a modest one.

    Each of C classes gets ``label_smoothing / C``, the right one too. Losses with and without smoothing can't be
    compared: measure validation with a criterion of its own, or by accuracy.
    """

    def test_trap_a_sure_answer_is_expensive(self, device):
        y = torch.tensor([0], device=device)
        modest = F.cross_entropy(torch.tensor([[3.0, 0.0, 0.0]], device=device), y, label_smoothing=0.3)
        sure = F.cross_entropy(torch.tensor([[100.0, 0.0, 0.0]], device=device), y, label_smoothing=0.3)
        observe(modest=round(modest.item(), 3))
        assert sure.item() == pytest.approx(20)
        assert modest.item() < 1

    def test_trap_the_right_class_has_a_share_of_the_rest(self, device):
        x = torch.tensor([[1.0, 2.0, 3.0]], device=device)
        smoothed = F.cross_entropy(x, torch.tensor([0], device=device), label_smoothing=0.3)
        target = torch.tensor([[0.7 + 0.1, 0.1, 0.1]], device=device)
        torch.testing.assert_close(smoothed, F.cross_entropy(x, target))

    def test_fix_validate_without(self, device):
        criterion = nn.CrossEntropyLoss()
        x = torch.tensor([[100.0, 0.0, 0.0]], device=device)
        assert criterion(x, torch.tensor([0], device=device)).item() == 0
