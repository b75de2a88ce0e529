"""Layer, group, instance and RMS norm: over which dimensions each goes, and which parameters it has."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import before, pitfall, since


@pitfall(
    "layer-norm-goes-over-the-last-dimensions",
    docs=[("torch.nn.LayerNorm", "are calculated over the last `D` dimensions"), "torch.nn.functional.layer_norm"],
    symptom="RuntimeError: Given normalized_shape=[3], expected input with shape [*, 3], but got input of size[2, 4]",
    error="Given normalized_shape=",
)
class TestLayerNormGoesOverTheLastDimensions:
    """``LayerNorm`` goes over as many last dimensions as ``normalized_shape`` has, with a weight for each element.

    For images ``(N, C, H, W)`` that is not the channels: ``LayerNorm(C)`` is refused, or goes over the width if that is
    C. Permute the channels to the end, or take ``GroupNorm(1, C)``, which has a weight for each channel.
    """

    def test_trap_channels_first_are_refused(self, device):
        with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[3\], expected input with shape \[\*, 3\]"):
            nn.LayerNorm(3, device=device)(torch.ones(2, 3, 4, 4, device=device))

    def test_trap_the_width_may_fit(self, device):
        x = torch.tensor([[[[1.0, 3.0]], [[101.0, 103.0]]]], device=device)  # N, C, H, W with C = W = 2
        assert nn.LayerNorm(2, device=device)(x).round().flatten().tolist() == [-1, 1, -1, 1]

    @pytest.mark.parametrize(("sizes", "y"), [((2,), [-1, 1, -1, 1]), ((2, 2), [-1, -1, 1, 1])], ids=str)
    def test_trap_as_many_as_the_shape_has(self, device, sizes, y):
        x = torch.tensor([[1.0, 3.0], [101.0, 103.0]], device=device)
        assert F.layer_norm(x, sizes).round().flatten().tolist() == y

    def test_trap_a_weight_for_each_element(self, device):
        assert nn.LayerNorm((2, 3), device=device).weight.shape == (2, 3)

    def test_fix_permute_the_channels(self, device):
        x = torch.tensor([[[[1.0, 3.0]], [[101.0, 103.0]]]], device=device)
        y = nn.LayerNorm(2, device=device)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        assert y.round().flatten().tolist() == [-1, -1, 1, 1]

    def test_fix_one_group_of_channels(self, device):
        norm = nn.GroupNorm(1, 3, device=device)
        assert norm(torch.ones(2, 3, 4, 4, device=device)).shape == (2, 3, 4, 4)
        assert norm.weight.shape == (3,)


@pitfall(
    "group-norm-divides-the-channels",
    docs=[("torch.nn.GroupNorm", "must be divisible by"), "torch.nn.functional.group_norm"],
    symptom="ValueError: num_channels must be divisible by num_groups",
    error="num_channels must be divisible by num_groups",
)
class TestGroupNormDividesTheChannels:
    """``GroupNorm`` needs a number of channels that its number of groups divides; it never looks at the batch.

    The groups come first among its arguments. One group is a layer norm over the sample, as many groups as channels
    are an instance norm, both with a weight for each channel.
    """

    @pytest.mark.parametrize("groups", [3, 8], ids=["not a divisor", "groups and channels swapped"])
    def test_trap_it_must_divide(self, device, groups):
        with pytest.raises(ValueError, match=r"num_channels .*must be divisible by num_groups"):
            nn.GroupNorm(groups, 4, device=device)

    def test_trap_the_function_has_another_message(self, device):
        with pytest.raises(RuntimeError, match="Expected number of channels in input to be divisible by num_groups"):
            F.group_norm(torch.ones(2, 4, device=device), 3)

    @pytest.mark.parametrize(
        ("groups", "y"), [(1, [-1, -1, 1, 1]), (2, [-1, 1, -1, 1])], ids=["one group", "a group for each channel"]
    )
    def test_fix_both_ends(self, device, groups, y):
        x = torch.tensor([[[1.0, 3.0], [101.0, 103.0]]], device=device)
        assert F.group_norm(x, groups).round().flatten().tolist() == y


INSTANCE_NORMS = [
    pytest.param(nn.InstanceNorm1d, (1, 2, 4), id="1d"),
    pytest.param(nn.InstanceNorm2d, (1, 2, 4, 4), id="2d"),
    pytest.param(nn.InstanceNorm3d, (1, 2, 4, 4, 4), id="3d"),
]


@pitfall(
    "instance-norm-has-no-parameters",
    docs=[
        ("torch.nn.InstanceNorm2d", "usually doesn't apply affine"),
        "torch.nn.InstanceNorm1d",
        "torch.nn.InstanceNorm3d",
    ],
    symptom="AttributeError: 'NoneType' object has no attribute 'data' for instance_norm.weight in an init function",
)
class TestInstanceNormHasNoParameters:
    """Instance norm has by default neither weight and bias nor running statistics, unlike batch and layer norm.

    So its ``weight`` is None, its state dict is empty, and eval mode changes nothing. Pass ``affine=True`` and
    ``track_running_stats=True`` for what batch norm has.
    """

    @pytest.mark.parametrize(("norm", "sizes"), INSTANCE_NORMS)
    def test_trap_nothing_to_learn_or_save(self, device, norm, sizes):
        norm = norm(2, device=device)
        assert norm.weight is None
        assert list(norm.state_dict()) == []

    @pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
    def test_trap_eval_mode_is_the_same(self, device, training):
        norm = nn.InstanceNorm1d(1, device=device).train(training)
        assert norm(torch.tensor([[[5.0, 9.0]]], device=device)).round().tolist() == [[[-1, 1]]]

    @pytest.mark.parametrize(("norm", "sizes"), INSTANCE_NORMS)
    def test_fix_ask_for_them(self, device, norm, sizes):
        norm = norm(2, affine=True, track_running_stats=True, device=device)
        assert norm.weight.tolist() == [1, 1]
        assert norm.running_mean.tolist() == [0, 0]


@pitfall(
    "instance-norm-ignores-its-number-of-features",
    docs=["torch.nn.InstanceNorm1d", "torch.nn.InstanceNorm2d"],
    symptom="UserWarning: input's size at dim=1 does not match num_features",
    error="does not match num_features | to match num_features",
    changed={"2.1": "a wrong number of channels warns, and with affine=True raises ValueError instead of RuntimeError"},
)
class TestInstanceNormIgnoresItsNumberOfFeatures:
    """An instance norm without parameters takes any number of channels, whatever ``num_features`` says.

    Since torch 2.1 it warns. With ``affine=True`` the number must fit. Give it the number of the previous layer.
    """

    @before("2.1")
    @pytest.mark.parametrize(("norm", "sizes"), INSTANCE_NORMS)
    def test_trap_any_number_was_taken(self, device, norm, sizes):
        assert norm(3, device=device)(torch.ones(sizes, device=device)).shape == sizes

    @since("2.1")
    @pytest.mark.parametrize(("norm", "sizes"), INSTANCE_NORMS)
    def test_trap_any_number_is_taken_with_a_warning(self, device, norm, sizes):
        with pytest.warns(UserWarning, match="input's size at dim=1 does not match num_features"):
            y = norm(3, device=device)(torch.ones(sizes, device=device))
        assert y.shape == sizes

    @pytest.mark.parametrize(
        ("exception", "message"),
        [
            pytest.param(RuntimeError, "weight should contain 2 elements not 3", id="old", marks=before("2.1")),
            pytest.param(
                ValueError, r"expected input's size at dim=1 to match num_features", id="new", marks=since("2.1")
            ),
        ],
    )
    def test_trap_with_parameters_it_must_fit(self, device, exception, message):
        with pytest.raises(exception, match=message):
            nn.InstanceNorm1d(3, affine=True, device=device)(torch.ones(1, 2, 4, device=device))

    @pytest.mark.parametrize(("norm", "sizes"), INSTANCE_NORMS)
    def test_fix_the_number_of_channels(self, device, norm, sizes):
        y = norm(sizes[1], affine=True, device=device)(torch.zeros(sizes, device=device))
        assert y.unique().tolist() == [0]


@since("2.4")
@pitfall(
    "rms-norm-subtracts-no-mean",
    docs=["torch.nn.RMSNorm", "torch.nn.functional.rms_norm"],
    symptom="the output of RMSNorm has a mean; it has no bias to load",
    priority=3,
)
class TestRmsNormSubtractsNoMean:
    """``RMSNorm`` divides by the root mean square and subtracts no mean, so that it is no layer norm without a bias.

    It has a weight and no bias. For inputs of mean zero the two agree.
    """

    def test_trap_the_mean_stays(self, device):
        x = torch.tensor([[1.0, 7.0]], device=device)  # mean 4, deviation 3, root mean square 5
        torch.testing.assert_close(F.rms_norm(x, (2,)), torch.tensor([[0.2, 1.4]], device=device))

    def test_trap_there_is_no_bias(self, device):
        assert list(nn.RMSNorm(2, device=device).state_dict()) == ["weight"]

    def test_fix_layer_norm_subtracts_it(self, device):
        x = torch.tensor([[1.0, 7.0]], device=device)
        torch.testing.assert_close(F.layer_norm(x, (2,)), torch.tensor([[-1.0, 1.0]], device=device))
