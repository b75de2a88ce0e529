"""Dropout: what it scales, who turns it off, and whether it drops elements or channels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import observe, pitfall


@pitfall(
    "dropout-scales-what-it-keeps",
    docs=[
        ("torch.nn.Dropout", "probability of an element to be zeroed"),
        ("torch.nn.Dropout", "are scaled by a factor of"),
    ],
    symptom="Dropout(0.9) drops nearly everything; the values that it keeps are larger than before",
    priority=1,
)
class TestDropoutScalesWhatItKeeps:
    """``p`` is the probability of dropping, and what is kept is multiplied by 1 / (1 - p) while training.

    The expected value is the same as without dropout, so evaluation needs no correction. Papers that state the
    probability of keeping mean 1 - p.
    """

    @pytest.mark.parametrize(("p", "kept"), [(0.5, 2), (0.75, 4), (0.875, 8)], ids=str)
    def test_trap_kept_values_grow(self, device, seeded, p, kept):
        y = F.dropout(torch.ones(1000, device=device), p)
        assert y.unique().tolist() == [0, kept]

    @pytest.mark.parametrize("p", [0.25, 0.75], ids=str)
    def test_trap_p_is_the_share_that_is_dropped(self, device, seeded, p):
        y = F.dropout(torch.ones(10_000, device=device), p)
        assert abs((y == 0).float().mean().item() - p) < 0.05

    def test_trap_p_of_one_leaves_nothing(self, device):
        assert F.dropout(torch.ones(3, device=device), 1.0).tolist() == [0, 0, 0]

    def test_fix_evaluation_needs_no_correction(self, device, seeded):
        x = torch.ones(10_000, device=device)
        assert torch.equal(nn.Dropout(0.75).eval()(x), x)
        assert abs(nn.Dropout(0.75)(x).mean().item() - 1) < 0.1


ON_BY_DEFAULT = [
    pytest.param(F.dropout, (1, 100), id="dropout"),
    pytest.param(F.dropout1d, (1, 100, 1), id="dropout1d"),
    pytest.param(F.dropout2d, (1, 100, 1, 1), id="dropout2d"),
    pytest.param(F.dropout3d, (1, 100, 1, 1, 1), id="dropout3d"),
]
OFF_BY_DEFAULT = [
    pytest.param(F.alpha_dropout, id="alpha_dropout"),
    pytest.param(F.feature_alpha_dropout, id="feature_alpha_dropout"),
    pytest.param(F.rrelu, id="rrelu"),
]


@pitfall(
    "functional-dropout-ignores-eval",
    docs=["torch.nn.functional.dropout", "torch.nn.functional.dropout2d", "torch.nn.functional.alpha_dropout"],
    symptom="the model gives another result on each call, also after model.eval()",
    priority=1,
)
class TestFunctionalDropoutIgnoresEval:
    """``F.dropout`` drops unless it is told ``training=False``; it doesn't know of ``model.eval()``.

    The default of ``F.alpha_dropout``, ``F.feature_alpha_dropout`` and ``F.rrelu`` is the other way round. Pass
    ``training=self.training``, or use the module.
    """

    @pytest.mark.parametrize(("drop", "sizes"), ON_BY_DEFAULT)
    def test_trap_it_drops_in_eval_mode(self, device, seeded, drop, sizes):
        class Net(nn.Module):
            def forward(self, x):
                return drop(x, 0.5)

        assert Net().eval()(torch.ones(sizes, device=device)).unique().tolist() == [0, 2]

    @pytest.mark.parametrize("function", OFF_BY_DEFAULT)
    def test_trap_others_are_off_while_training(self, device, function):
        x = torch.full((1, 100), -1.0, device=device)
        assert function(x).unique().numel() == 1

    @pytest.mark.parametrize(("drop", "sizes"), ON_BY_DEFAULT)
    def test_fix_pass_the_mode(self, device, seeded, drop, sizes):
        class Net(nn.Module):
            def forward(self, x):
                return drop(x, 0.5, training=self.training)

        assert Net().eval()(torch.ones(sizes, device=device)).unique().tolist() == [1]
        assert Net()(torch.ones(sizes, device=device)).unique().tolist() == [0, 2]


@pitfall(
    "dropout2d-drops-whole-channels",
    docs=[
        ("torch.nn.Dropout2d", "Randomly zero out entire channels"),
        ("torch.nn.functional.dropout2d", "Randomly zero out entire channels"),
    ],
    symptom="Dropout2d zeroes whole feature maps; UserWarning: Received a 3D input to dropout2d",
    error=r"Received a 3D input to dropout2d | Received a 2-D input to dropout2d",
)
class TestDropout2dDropsWholeChannels:
    """``Dropout2d`` drops channels, and reads a 3-D input as ``(N, C, L)``, not as one image ``(C, H, W)``.

    For an unbatched image it would drop rows, and it warns. ``Dropout1d`` is for sequences, and ``Dropout`` drops
    single elements of any shape. Add the batch dimension of one image.
    """

    def test_trap_a_channel_is_kept_or_dropped(self, device, seeded):
        y = nn.Dropout2d(0.5)(torch.ones(1, 100, 2, 2, device=device))
        assert y.sum((2, 3)).unique().tolist() == [0, 8]

    def test_trap_rows_of_an_unbatched_image_are_dropped(self, device, seeded):
        with pytest.warns(UserWarning, match="Received a 3D input to dropout2d"):
            y = nn.Dropout2d(0.5)(torch.ones(1, 100, 2, device=device))
        assert y.sum(2).unique().tolist() == [0, 4]

    @pytest.mark.parametrize("sizes", [(10, 10), (2, 3, 1, 1, 1)], ids=["two dimensions", "five dimensions"])
    def test_trap_other_ranks_warn(self, device, seeded, sizes):
        with pytest.warns(UserWarning, match=rf"Received a {len(sizes)}-D input to dropout2d, which is deprecated"):
            y = F.dropout2d(torch.ones(sizes, device=device), 0.5)
        assert y.shape == sizes

    def test_fix_one_image_with_its_batch_dimension(self, device, seeded):
        image = torch.ones(100, 2, 2, device=device)
        y = nn.Dropout2d(0.5)(image[None])[0]
        assert y.sum((1, 2)).unique().tolist() == [0, 8]

    def test_fix_dropout_drops_elements(self, device, seeded):
        y = nn.Dropout(0.5)(torch.ones(1, 100, 2, 2, device=device))
        assert y.sum((2, 3)).unique().tolist() == [0, 2, 4, 6, 8]


@pitfall(
    "alpha-dropout-sets-no-zeros",
    docs=[("torch.nn.AlphaDropout", "maintains the self-normalizing property"), "torch.nn.SELU"],
    symptom="AlphaDropout gives -0.78 and 1.67 for an input of ones, and no zero",
    priority=3,
)
class TestAlphaDropoutSetsNoZeros:
    """``AlphaDropout`` replaces what it drops by a negative value and shifts the rest, so mean and variance stay.

    It is made for inputs of mean zero and unit variance, as ``SELU`` gives them. Elsewhere use ``Dropout``.
    """

    def test_trap_no_element_is_zero(self, device, seeded):
        y = nn.AlphaDropout(0.5)(torch.ones(1000, device=device))
        observe(values=[round(value, 4) for value in y.unique().tolist()])
        assert (y == 0).sum().item() == 0

    def test_trap_mean_and_deviation_stay(self, device, seeded):
        y = nn.AlphaDropout(0.5)(torch.randn(100_000, device=device))
        assert abs(y.mean().item()) < 0.05
        assert abs(y.std().item() - 1) < 0.05

    def test_fix_dropout_sets_zeros(self, device, seeded):
        y = nn.Dropout(0.5)(torch.ones(1000, device=device))
        assert y.unique().tolist() == [0, 2]
