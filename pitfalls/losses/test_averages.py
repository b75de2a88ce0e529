"""Over what a loss averages: class weights, ignored targets, padding, empty batches, and the old arguments."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall


@pitfall(
    "all-ignored-is-nan",
    docs=[
        ("torch.nn.CrossEntropyLoss", "the loss is averaged over non-ignored targets"),
        ("torch.nn.NLLLoss", "does not contribute to the input gradient"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="the loss is NaN for some batches, those in which every label is padding",
    priority=1,
)
class TestAllIgnoredIsNan:
    """The mean loss of a batch whose targets are all ignored is NaN, because it divides by the number of the others.

    The gradient is zero, so the parameters survive; what spoils is the running average, and a sum with other losses.
    Skip such a batch, or use ``reduction="sum"`` and divide by the count, at least 1.
    """

    @pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss], ids=["cross_entropy", "nll_loss"])
    def test_trap_the_mean_is_nan(self, device, loss):
        x, y = torch.ones(2, 3, device=device), torch.tensor([-100, -100], device=device)
        assert loss(x, y).isnan().item()

    def test_trap_weights_of_zero_do_it_too(self, device):
        x, y = torch.ones(2, 3, device=device), torch.tensor([0, 0], device=device)
        assert F.cross_entropy(x, y, weight=torch.tensor([0.0, 1.0, 1.0], device=device)).isnan().item()

    def test_trap_an_epoch_average_is_lost(self, device):
        x = torch.zeros(2, 2, device=device)
        batches = [torch.tensor([0, 1], device=device), torch.tensor([-100, -100], device=device)]
        losses = torch.stack([F.cross_entropy(x, y) for y in batches])
        assert losses.isnan().tolist() == [False, True]
        assert losses.mean().isnan().item()

    def test_fix_the_gradient_is_zero(self, device):
        x = torch.ones(2, 3, device=device, requires_grad=True)
        F.cross_entropy(x, torch.tensor([-100, -100], device=device)).backward()
        assert x.grad.tolist() == [[0, 0, 0], [0, 0, 0]]

    def test_fix_sum_and_count(self, device):
        x, y = torch.ones(2, 3, device=device), torch.tensor([-100, -100], device=device)
        loss = F.cross_entropy(x, y, reduction="sum") / (y != -100).sum().clamp(min=1)
        assert loss.item() == 0


@pitfall(
    "empty-batch-has-a-nan-loss",
    docs=[
        ("torch.nn.MSELoss", "divided by the number of elements"),
        "torch.nn.functional.cross_entropy",
        "torch.nn.functional.binary_cross_entropy_with_logits",
    ],
    symptom="the loss is NaN when a mask selects nothing",
)
class TestEmptyBatchHasANanLoss:
    """The mean loss of no elements is NaN, without an error; the sum is zero.

    A mask that selects nothing, or the last part of a split, leaves an empty batch. Use ``reduction="sum"`` and divide
    by the count, at least 1.
    """

    @pytest.mark.parametrize(
        "loss",
        [
            F.mse_loss,
            F.l1_loss,
            F.smooth_l1_loss,
            F.huber_loss,
            F.binary_cross_entropy,
            F.binary_cross_entropy_with_logits,
        ],
        ids=lambda loss: loss.__name__,
    )
    def test_trap_the_mean_of_nothing_is_nan(self, device, loss):
        x = torch.tensor([0.25, 0.5], device=device)
        chosen = x > 1
        assert loss(x[chosen], x[chosen]).isnan().item()

    def test_trap_cross_entropy_of_no_rows(self, device):
        x = torch.zeros(0, 3, device=device)
        assert F.cross_entropy(x, torch.zeros(0, dtype=torch.int64, device=device)).isnan().item()

    def test_fix_sum_and_count(self, device):
        x = torch.tensor([0.25, 0.5], device=device)
        chosen = x > 1
        loss = F.mse_loss(x[chosen], x[chosen], reduction="sum") / chosen.sum().clamp(min=1)
        assert loss.item() == 0


@pitfall(
    "ignored-targets-leave-the-mean",
    docs=[
        ("torch.nn.CrossEntropyLoss", "the loss is averaged over non-ignored targets"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="reduction='none' followed by mean() gives a smaller loss than reduction='mean'",
)
class TestIgnoredTargetsLeaveTheMean:
    """The mean of ``cross_entropy`` leaves ignored targets out; ``reduction="none"`` keeps them, as zeros.

    So the mean of the unreduced losses is too small, and batches with unequal padding don't average to the loss of the
    whole. Sum the losses, count the labels, and divide once.
    """

    def test_trap_zeros_stay_in_the_unreduced_loss(self, device):
        x, y = torch.zeros(4, 2, device=device), torch.tensor([0, 1, -100, -100], device=device)
        each = F.cross_entropy(x, y, reduction="none")
        assert each[2:].tolist() == [0, 0]
        torch.testing.assert_close(each.mean(), F.cross_entropy(x, y) / 2)

    def test_trap_the_mean_of_two_batches_is_another(self, device):
        x = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 100.0]], device=device)
        y = torch.tensor([-100, 0, 0], device=device)
        halves = torch.stack([F.cross_entropy(x[:2], y[:2]), F.cross_entropy(x[2:], y[2:])])
        uneven = torch.stack([F.cross_entropy(x[:1], torch.tensor([0], device=device)), F.cross_entropy(x[1:], y[1:])])
        assert halves.mean().item() == pytest.approx(50.3466, rel=1e-5)
        assert uneven.mean().item() == pytest.approx(25.5199, rel=1e-5)

    def test_fix_divide_once(self, device):
        x, y = torch.zeros(4, 2, device=device), torch.tensor([0, 1, -100, -100], device=device)
        each = F.cross_entropy(x, y, reduction="none")
        torch.testing.assert_close(each.sum() / (y != -100).sum(), F.cross_entropy(x, y))


@pitfall(
    "ignore-index-is-for-class-indices",
    docs=[
        ("torch.nn.CrossEntropyLoss", "applicable when the target contains class indices"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="RuntimeError: ignore_index is not supported for floating point target",
    error="ignore_index is not supported for floating point target",
)
class TestIgnoreIndexIsForClassIndices:
    """``ignore_index`` works for class indices only: with class probabilities it raises, or is silently without effect.

    A row of zeros as target costs nothing, but still counts in the mean. Select the rows before the loss.
    """

    def test_trap_a_class_cannot_be_ignored(self, device):
        x, target = torch.zeros(2, 2, device=device), torch.eye(2, device=device)
        with pytest.raises(RuntimeError, match="ignore_index is not supported for floating point target"):
            F.cross_entropy(x, target, ignore_index=0)

    def test_trap_a_row_of_zeros_still_counts(self, device):
        x = torch.zeros(2, 2, device=device)
        target = torch.tensor([[1.0, 0.0], [0.0, 0.0]], device=device)
        assert F.cross_entropy(x, target).item() == pytest.approx(0.693147 / 2, rel=1e-5)

    def test_fix_select_the_rows(self, device):
        x = torch.zeros(2, 2, device=device)
        target = torch.tensor([[1.0, 0.0], [0.0, 0.0]], device=device)
        labelled = target.sum(1) > 0
        assert F.cross_entropy(x[labelled], target[labelled]).item() == pytest.approx(0.693147, rel=1e-5)


@pitfall(
    "class-weights-cancel-in-mean",
    docs=[
        ("torch.nn.CrossEntropyLoss", "the weighted mean of the output is taken"),
        ("torch.nn.NLLLoss", "the weighted mean of the output is taken"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="changing the class weights does not change the loss",
)
class TestClassWeightsCancelInMean:
    """With class weights the mean divides by the sum of the weights of the targets, not by their number.

    So scaling all weights changes nothing, and in a batch of one class, or of one sample, the weight cancels
    altogether. With class probabilities as target it divides by the number of rows. Use ``reduction="sum"`` for weights
    that count.
    """

    @pytest.mark.parametrize("weight", [1, 10, 1000], ids=str)
    def test_trap_one_class_cancels(self, device, weight):
        x, y = torch.zeros(3, 2, device=device), torch.tensor([0, 0, 0], device=device)
        loss = F.cross_entropy(x, y, weight=torch.tensor([weight, 1.0], device=device))
        assert loss.item() == pytest.approx(0.693147, rel=1e-5)

    def test_trap_unreduced_they_count(self, device):
        x, y = torch.tensor([[0.0, 8.0], [8.0, 0.0]], device=device), torch.tensor([0, 0], device=device)
        each = F.cross_entropy(x, y, weight=torch.tensor([4.0, 1.0], device=device), reduction="none")
        weighted = F.cross_entropy(x, y, weight=torch.tensor([4.0, 1.0], device=device))
        torch.testing.assert_close(each.mean(), 4 * weighted)

    def test_trap_probabilities_divide_by_the_rows(self, device):
        x, y = torch.zeros(3, 2, device=device), torch.tensor([0, 0, 0], device=device)
        loss = F.cross_entropy(x, F.one_hot(y, 2).float(), weight=torch.tensor([10.0, 1.0], device=device))
        assert loss.item() == pytest.approx(6.93147, rel=1e-5)

    def test_fix_sum_and_divide_by_the_number(self, device):
        x, y = torch.zeros(3, 2, device=device), torch.tensor([0, 0, 0], device=device)
        loss = F.cross_entropy(x, y, weight=torch.tensor([10.0, 1.0], device=device), reduction="sum") / len(y)
        assert loss.item() == pytest.approx(6.93147, rel=1e-5)


@pitfall(
    "mean-loss-counts-padding",
    docs=[
        ("torch.nn.MSELoss", "still operates over all the elements"),
        ("torch.nn.functional.mse_loss", "'mean'"),
        "torch.nn.functional.l1_loss",
    ],
    symptom="the loss gets smaller the more padding a batch has, or the more outputs a model has",
)
class TestMeanLossCountsPadding:
    """``reduction="mean"`` divides by the number of all elements, padding and features included, not by the batch.

    Masked positions that were set to zero still count. Multiply the unreduced loss by the mask, and divide by the sum
    of the mask; divide a sum by ``len(x)`` for a mean over the samples.
    """

    @pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss], ids=["mse_loss", "l1_loss"])
    def test_trap_padding_dilutes(self, device, loss):
        x, mask = torch.full((1, 4), 1.0, device=device), torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=device)
        assert loss(x * mask, torch.zeros(1, 4, device=device)).item() == 0.25

    def test_trap_features_divide_too(self, device):
        x = torch.ones(2, 4, device=device)
        target = torch.zeros(2, 4, device=device)
        assert F.mse_loss(x, target).item() == 1
        assert F.mse_loss(x, target, reduction="sum").item() / len(x) == 4

    def test_fix_divide_by_the_mask(self, device):
        x, mask = torch.full((1, 4), 1.0, device=device), torch.tensor([[1.0, 0.0, 0.0, 0.0]], device=device)
        each = F.mse_loss(x, torch.zeros(1, 4, device=device), reduction="none")
        assert ((each * mask).sum() / mask.sum()).item() == 1


@pitfall(
    "size-average-overrides-reduction",
    docs=[
        ("torch.nn.functional.kl_div", "specifying either of those two args will override"),
        ("torch.nn.MSELoss", "specifying either of those two args will override"),
        "torch.nn.L1Loss",
    ],
    symptom="nn.MSELoss('sum') averages; UserWarning: size_average and reduce args will be deprecated",
    error="size_average and reduce args will be deprecated",
    priority=3,
)
class TestSizeAverageOverridesReduction:
    """The old arguments ``size_average`` and ``reduce`` win over ``reduction``, and come before it.

    So a reduction passed by position lands in ``size_average``, where any string is true: a mean, with a warning that
    speaks of deprecation. Spell ``reduction="sum"`` out.
    """

    @pytest.mark.parametrize("module", [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.SoftMarginLoss])
    def test_trap_by_position_it_is_a_mean(self, device, module):
        x, y = torch.tensor([1.0, 3.0], device=device), torch.zeros(2, device=device)
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            criterion = module("sum")
        torch.testing.assert_close(criterion(x, y), module(reduction="mean")(x, y))

    def test_trap_the_function_likewise(self, device):
        x = torch.tensor([1.0, 3.0], device=device)
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            loss = F.l1_loss(x, torch.zeros(2, device=device), "sum")
        assert loss.item() == 2

    @pytest.mark.parametrize(
        ("old", "loss"), [({"size_average": False}, 4), ({"reduce": True}, 2)], ids=["size_average", "reduce"]
    )
    def test_trap_the_old_argument_wins(self, device, old, loss):
        x = torch.tensor([1.0, 3.0], device=device)
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            assert F.l1_loss(x, torch.zeros(2, device=device), **old, reduction="none").item() == loss

    def test_fix_by_name(self, device):
        x = torch.tensor([1.0, 3.0], device=device)
        assert nn.L1Loss(reduction="sum")(x, torch.zeros(2, device=device)).item() == 4
