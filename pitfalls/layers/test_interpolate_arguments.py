"""Arguments of `interpolate`: what a factor means, which dimensions are resized, and what a mode asks for."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, on, pitfall, since


@pitfall(
    "scale-factor-is-not-the-ratio",
    docs=[("torch.nn.functional.interpolate", "recompute the scale_factor for use in the")],
    symptom="interpolate with scale_factor=1.5 and with the size that it gives have other values",
)
class TestScaleFactorIsNotTheRatio:
    """With ``scale_factor`` the size is rounded down, but the positions are computed from the factor as given.

    So the values differ from those for the same ``size``. ``recompute_scale_factor=True`` takes the ratio of the sizes;
    giving ``size`` says the same.
    """

    def test_trap_same_size_other_values(self, device):
        x = torch.tensor([[[0.0, 8.0, 16.0]]], device=device)
        y = F.interpolate(x, scale_factor=1.5, mode="linear")
        assert y.shape == (1, 1, 4)
        torch.testing.assert_close(y[0, 0, 2].item(), 28 / 3, rtol=1e-5, atol=0)

    @pytest.mark.parametrize(
        "how",
        [{"size": 4}, {"scale_factor": 1.5, "recompute_scale_factor": True}],
        ids=["size", "recomputed"],
    )
    def test_fix_the_ratio_of_the_sizes(self, device, how):
        x = torch.tensor([[[0.0, 8.0, 16.0]]], device=device)
        assert F.interpolate(x, mode="linear", **how).tolist() == [[[0, 5, 11, 16]]]


@pitfall(
    "interpolate-wants-a-batch-and-channels",
    docs=["torch.nn.functional.interpolate", "torch.nn.Upsample"],
    symptom="Input and output must have the same number of spatial dimensions; Got 3D input, but bilinear mode needs",
    error="Got 3D input, but bilinear mode needs 4D input | must have the same number of spatial dimensions",
)
class TestInterpolateWantsABatchAndChannels:
    """``interpolate`` takes the first two dimensions for batch and channels, so ``(C, H, W)`` has one to resize.

    With one number for the size it even runs, and resizes the width alone. ``bilinear`` is for four dimensions,
    ``linear`` for three and ``trilinear`` for five. Add the batch with ``image[None]``.
    """

    def test_trap_only_the_width_is_resized(self, device):
        assert F.interpolate(torch.ones(3, 8, 8, device=device), 4).shape == (3, 8, 4)

    def test_trap_two_sizes_are_too_many(self, device):
        with pytest.raises(ValueError, match="must have the same number of spatial dimensions"):
            F.interpolate(torch.ones(3, 8, 8, device=device), size=(4, 4))

    @pytest.mark.parametrize(("mode", "rank"), [("linear", 4), ("bilinear", 3), ("trilinear", 4)], ids=str)
    def test_trap_each_mode_has_its_rank(self, device, mode, rank):
        x = torch.ones((2,) * rank, device=device)
        with pytest.raises(NotImplementedError, match=f"Got {rank}D input, but {mode} mode needs"):
            F.interpolate(x, 4, mode=mode)

    def test_fix_add_the_batch(self, device):
        image = torch.ones(3, 8, 8, device=device)
        assert F.interpolate(image[None], size=(4, 4), mode="bilinear")[0].shape == (3, 4, 4)


@pitfall(
    "lanczos-needs-antialias",
    docs=["torch.nn.functional.interpolate"],
    symptom="ValueError: Lanczos mode requires antialias=True",
    error="Lanczos mode requires antialias=True",
    changed={"2.12": "interpolate has a mode 'lanczos', for images on the CPU and with antialias=True"},
    priority=3,
)
class TestLanczosNeedsAntialias:
    """``mode="lanczos"``, where there is one, needs ``antialias=True``; before torch 2.12 it is refused.

    It is the filter that PIL calls LANCZOS. Antialiased bicubic interpolation is the closest that all releases have.
    """

    @before("2.12")
    def test_trap_there_was_none(self, device):
        with pytest.raises(NotImplementedError, match="got lanczos"):
            F.interpolate(torch.ones(1, 1, 4, 4, device=device), 2, mode="lanczos")

    @since("2.12")
    def test_trap_it_needs_antialias(self, device):
        with pytest.raises(ValueError, match="Lanczos mode requires antialias=True"):
            F.interpolate(torch.ones(1, 1, 4, 4, device=device), 2, mode="lanczos")

    @since("2.12")
    @on("cpu")
    def test_fix_with_antialias(self, device):
        y = F.interpolate(torch.full((1, 1, 4, 4), 3.0, device=device), 2, mode="lanczos", antialias=True)
        torch.testing.assert_close(y, torch.full((1, 1, 2, 2), 3.0, device=device))

    def test_fix_bicubic(self, device):
        y = F.interpolate(torch.full((1, 1, 4, 4), 3.0, device=device), 2, mode="bicubic", antialias=True)
        torch.testing.assert_close(y, torch.full((1, 1, 2, 2), 3.0, device=device))
