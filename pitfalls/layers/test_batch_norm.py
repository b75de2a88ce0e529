"""Batch norm: which statistics it divides by, how it keeps them, and which inputs have none."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall


@pitfall(
    "batch-norm-uses-the-batch-in-training",
    docs=[("torch.nn.BatchNorm1d", "which are then used for normalization during"), "torch.nn.Module.eval"],
    symptom="the result of a sample depends on the other samples of its batch; training and evaluation disagree",
    priority=1,
)
class TestBatchNormUsesTheBatchInTraining:
    """In training mode batch norm divides by the statistics of the batch, in eval mode by the running ones.

    So one sample has another result in every batch while training. After ``eval()`` it is independent of its
    neighbours, but only as good as the running statistics are, which start at mean 0 and variance 1.
    """

    def test_trap_the_neighbours_count(self, device):
        norm = nn.BatchNorm1d(1, eps=1e-12, device=device)
        seen = [norm(torch.tensor([[3.0], [other]], device=device))[0].round().item() for other in (1, 5)]
        assert seen == [1, -1]

    def test_trap_a_constant_batch_is_zero(self, device):
        norm = nn.BatchNorm1d(1, device=device)
        assert norm(torch.tensor([[7.0], [7.0]], device=device)).round().tolist() == [[0], [0]]

    def test_trap_eval_at_once_changes_nothing(self, device):
        norm = nn.BatchNorm1d(1, device=device).eval()
        y = norm(torch.tensor([[3.0], [5.0]], device=device))
        torch.testing.assert_close(y, torch.tensor([[3.0], [5.0]], device=device), rtol=1e-4, atol=0)

    def test_fix_eval_after_training(self, device):
        norm = nn.BatchNorm1d(1, momentum=1.0, device=device)
        norm(torch.tensor([[1.0], [2.0], [3.0]], device=device))  # mean 2, unbiased variance 1
        seen = [norm.eval()(torch.tensor([[3.0], [other]], device=device))[0].round().item() for other in (1, 5)]
        assert seen == [1, 1]


@pitfall(
    "batch-norm-needs-more-than-one-value",
    docs=["torch.nn.BatchNorm1d", "torch.nn.BatchNorm2d", "torch.nn.InstanceNorm1d"],
    symptom="ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 3])",
    error="Expected more than 1 value per channel when training",
    priority=1,
)
class TestBatchNormNeedsMoreThanOneValue:
    """Batch norm in training mode refuses a batch that has one value per channel: it has no variance.

    It is usually the last batch of an epoch, of one sample, or a 1x1 feature map. ``drop_last=True`` in the loader, a
    larger batch, ``eval()`` for inference, or another norm are the ways out.
    """

    @pytest.mark.parametrize(
        ("norm", "sizes"),
        [
            pytest.param(nn.BatchNorm1d, (1, 3), id="one sample"),
            pytest.param(nn.BatchNorm1d, (1, 3, 1), id="one sample of length one"),
            pytest.param(nn.BatchNorm2d, (1, 3, 1, 1), id="one pixel"),
            pytest.param(nn.BatchNorm3d, (1, 3, 1, 1, 1), id="one voxel"),
        ],
    )
    def test_trap_it_raises(self, device, norm, sizes):
        with pytest.raises(ValueError, match="Expected more than 1 value per channel when training, got input size"):
            norm(3, device=device)(torch.ones(sizes, device=device))

    @pytest.mark.parametrize("norm", [nn.InstanceNorm1d, nn.InstanceNorm2d], ids=["1d", "2d"])
    def test_trap_instance_norm_of_one_value_too(self, device, norm):
        x = torch.ones(8, 3, *[1] * (1 if norm is nn.InstanceNorm1d else 2), device=device)
        with pytest.raises(ValueError, match="Expected more than 1 spatial element when training"):
            norm(3)(x)

    def test_fix_drop_the_last_batch(self, device, seeded):
        loader = torch.utils.data.DataLoader(torch.arange(5.0)[:, None], batch_size=2, drop_last=True)
        norm = nn.BatchNorm1d(1, device=device)
        assert [norm(x.to(device)).shape[0] for x in loader] == [2, 2]

    def test_fix_eval_mode(self, device):
        y = nn.BatchNorm1d(3, device=device).eval()(torch.zeros(1, 3, device=device))
        assert y.tolist() == [[0, 0, 0]]

    def test_fix_layer_norm_needs_one_sample(self, device):
        y = nn.LayerNorm(2, device=device)(torch.tensor([[1.0, 3.0]], device=device))
        assert y.round().tolist() == [[-1, 1]]


@pitfall(
    "batch-norm-momentum-weighs-the-new-value",
    docs=[("torch.nn.BatchNorm1d", "is different from one used in optimizer"), "torch.nn.functional.batch_norm"],
    symptom="running statistics hardly move with momentum=0.1, or follow each batch with momentum=0.99",
)
class TestBatchNormMomentumWeighsTheNewValue:
    """The ``momentum`` of batch norm is the weight of the new batch: 0.1 keeps nine tenths of the old statistic.

    Optimizers, and other frameworks, call momentum what is kept: their 0.99 is 0.01 here. ``momentum=None`` averages
    over all batches equally, and ``reset_running_stats()`` begins anew.
    """

    @pytest.mark.parametrize(("momentum", "means"), [(0.25, [1, 1.75]), (1.0, [4, 4]), (0.0, [0, 0])], ids=str)
    def test_trap_the_new_batch_has_this_weight(self, device, momentum, means):
        norm = nn.BatchNorm1d(1, momentum=momentum, device=device)
        seen = []
        for _ in range(2):
            norm(torch.tensor([[3.0], [5.0]], device=device))
            seen.append(norm.running_mean.item())
        assert seen == means

    def test_fix_none_is_the_plain_average(self, device):
        norm = nn.BatchNorm1d(1, momentum=None, device=device)
        for mean in (4, 8, 3):
            norm(torch.tensor([[mean - 1.0], [mean + 1.0]], device=device))
        assert norm.running_mean.item() == 5
        assert norm.num_batches_tracked.item() == 3

    def test_fix_begin_anew(self, device):
        norm = nn.BatchNorm1d(1, momentum=1.0, device=device)
        norm(torch.tensor([[3.0], [5.0]], device=device))
        norm.reset_running_stats()
        assert (norm.running_mean.item(), norm.running_var.item()) == (0, 1)


@pitfall(
    "batch-norm-has-two-variances",
    docs=[
        ("torch.nn.BatchNorm1d", "moving average of the variance is calculated via"),
        "torch.var",
    ],
    symptom="my own batch norm gives another running variance, or other outputs in training than in eval mode",
    priority=3,
)
class TestBatchNormHasTwoVariances:
    """Batch norm divides by the biased variance of the batch, but keeps the unbiased one for evaluation.

    For small batches the two differ: for two values by a factor of two. ``torch.var`` is the unbiased one by default;
    pass ``correction=0`` for the other.
    """

    def test_trap_the_kept_one_is_unbiased(self, device):
        norm = nn.BatchNorm1d(1, momentum=1.0, device=device)
        norm(torch.tensor([[0.0], [4.0]], device=device))
        assert norm.running_var.item() == 8

    def test_trap_the_divisor_is_biased(self, device):
        y = nn.BatchNorm1d(1, eps=1e-12, device=device)(torch.tensor([[0.0], [4.0]], device=device))
        torch.testing.assert_close(y, torch.tensor([[-1.0], [1.0]], device=device))

    def test_fix_both_by_hand(self, device):
        x = torch.tensor([[0.0], [4.0]], device=device)
        assert (x.var(0).item(), x.var(0, correction=0).item()) == (8, 4)


@pitfall(
    "batch-norm-without-running-statistics",
    docs=[("torch.nn.BatchNorm1d", "When these buffers are ``None``, this module always")],
    symptom="results in eval mode depend on the batch; running_mean must be defined in evaluation mode",
    error="running_mean must be defined in evaluation mode",
)
class TestBatchNormWithoutRunningStatistics:
    """With ``track_running_stats=False`` batch norm uses the batch in eval mode too; setting it later does nothing.

    The flag is read when the buffers are made. The functional form has no buffers and raises without statistics unless
    ``training=True``.
    """

    def test_trap_eval_depends_on_the_batch(self, device):
        norm = nn.BatchNorm1d(1, track_running_stats=False, device=device).eval()
        seen = [norm(torch.tensor([[3.0], [other]], device=device))[0].round().item() for other in (1, 5)]
        assert seen == [1, -1]

    def test_trap_setting_it_later_keeps_the_buffers(self, device):
        norm = nn.BatchNorm1d(1, device=device).eval()
        norm.track_running_stats = False
        y = norm(torch.tensor([[3.0], [5.0]], device=device))
        torch.testing.assert_close(y, torch.tensor([[3.0], [5.0]], device=device), rtol=1e-4, atol=0)

    def test_trap_the_function_needs_statistics(self, device):
        with pytest.raises(RuntimeError, match="running_mean must be defined in evaluation mode"):
            F.batch_norm(torch.tensor([[3.0], [5.0]], device=device), None, None)

    def test_fix_the_function_on_the_batch(self, device):
        y = F.batch_norm(torch.tensor([[3.0], [5.0]], device=device), None, None, training=True)
        assert y.round().tolist() == [[-1], [1]]


@pitfall(
    "batch-norm-sees-each-micro-batch",
    docs=[("torch.nn.BatchNorm1d", "keeps running estimates of its"), "notes/autograd"],
    symptom="gradient accumulation gives another model than the large batch, although the loss is scaled",
)
class TestBatchNormSeesEachMicroBatch:
    """Gradient accumulation does not accumulate batch norm: each micro-batch is normalised and counted on its own.

    Forward passes under ``no_grad``, such as a validation without ``eval()`` or a second pass for activation
    checkpointing, are counted as well. Layer or group norm don't depend on how the batch is cut.
    """

    def test_trap_micro_batches_are_normalised_apart(self, device):
        x = torch.tensor([[1.0], [3.0], [101.0], [103.0]], device=device)
        whole = nn.BatchNorm1d(1, device=device)(x)
        parts = torch.cat([nn.BatchNorm1d(1, device=device)(part) for part in x.split(2)])
        assert whole.round().flatten().tolist() == [-1, -1, 1, 1]
        assert parts.round().flatten().tolist() == [-1, 1, -1, 1]

    def test_trap_each_forward_pass_is_counted(self, device):
        norm = nn.BatchNorm1d(1, momentum=0.5, device=device)
        for _ in range(3):
            with torch.no_grad():
                norm(torch.tensor([[7.0], [9.0]], device=device))
        assert (norm.running_mean.item(), norm.num_batches_tracked.item()) == (7, 3)

    @pytest.mark.parametrize("make", [lambda: nn.LayerNorm(2), lambda: nn.GroupNorm(1, 2)], ids=["layer", "group"])
    def test_fix_norms_within_a_sample(self, device, make):
        norm, x = make().to(device), torch.tensor([[1.0, 3.0], [103.0, 101.0]], device=device)
        assert torch.cat([norm(part) for part in x.split(1)]).round().tolist() == [[-1, 1], [1, -1]]


@pitfall(
    "batch-norm-wants-its-rank",
    docs=["torch.nn.BatchNorm1d", "torch.nn.BatchNorm2d"],
    symptom="expected 4D input (got 3D input); running_mean should contain 3 elements not 4",
    error="expected 4D input (got 3D input) | running_mean should contain 3 elements not 4",
)
class TestBatchNormWantsItsRank:
    """Batch norm layers take no unbatched input, and read the channels in dimension 1, of sequences too.

    A sequence ``(N, L, C)`` must be transposed for ``BatchNorm1d``; if L happens to be C it is normalised over the
    wrong dimension without a word. Add a missing batch dimension with ``unsqueeze(0)``.
    """

    def test_trap_no_unbatched_image(self, device):
        with pytest.raises(ValueError, match=r"expected 4D input \(got 3D input\)"):
            nn.BatchNorm2d(3, device=device)(torch.ones(3, 4, 4, device=device))

    def test_trap_features_last_are_refused(self, device):
        with pytest.raises(RuntimeError, match="running_mean should contain 5 elements not 3"):
            nn.BatchNorm1d(3, device=device)(torch.ones(2, 5, 3, device=device))

    def test_trap_square_sequences_are_misread(self, device):
        x = torch.tensor([[[1.0, 5.0], [1.0, 5.0]]], device=device)  # N, L, C: each channel is constant
        assert nn.BatchNorm1d(2, device=device)(x).round().tolist() == [[[-1, 1], [-1, 1]]]

    def test_fix_transpose_there_and_back(self, device):
        x = torch.tensor([[[1.0, 5.0], [1.0, 5.0]]], device=device)
        y = nn.BatchNorm1d(2, device=device)(x.transpose(1, 2)).transpose(1, 2)
        assert y.tolist() == [[[0, 0], [0, 0]]]
