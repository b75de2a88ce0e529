"""Resizing images and volumes: where the sample points lie, which modes overshoot, and what the old names do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import before, on, pitfall, since

CORNERS = [
    pytest.param("linear", (1, 1, 2), id="linear"),
    pytest.param("bilinear", (1, 1, 1, 2), id="bilinear"),
    pytest.param("trilinear", (1, 1, 1, 1, 2), id="trilinear"),
]


@pitfall(
    "align-corners-depends-on-the-size",
    docs=[
        ("torch.nn.Upsample", "output values can depend on the input size"),
        ("torch.nn.functional.interpolate", "align_corners"),
    ],
    symptom="upsampled images are shifted against another framework; results change with the size of the crop",
)
class TestAlignCornersDependsOnTheSize:
    """``align_corners=True`` stretches corner to corner, so the scale ``(n - 1) / (m - 1)`` changes with the size.

    The default, False, treats pixels as squares: enlarging twice has the same weights for every size. Checkpoints of
    segmentation networks were trained with one of the two; use that one.
    """

    @pytest.mark.parametrize(("mode", "sizes"), CORNERS)
    def test_trap_corners_are_stretched(self, device, mode, sizes):
        x = torch.tensor([0.0, 3.0], device=device).reshape(sizes)
        y = F.interpolate(x, scale_factor=(1.0,) * (len(sizes) - 3) + (2.0,), mode=mode, align_corners=True)
        torch.testing.assert_close(y.flatten(), torch.tensor([0.0, 1.0, 2.0, 3.0], device=device))

    def test_trap_weights_depend_on_the_size(self, device):
        seen = []
        for n in (2, 3, 5):
            x = torch.arange(float(n), device=device).reshape(1, 1, n)
            seen.append(F.interpolate(x, scale_factor=2.0, mode="linear", align_corners=True)[0, 0, 1])
        torch.testing.assert_close(torch.stack(seen), torch.tensor([1 / 3, 2 / 5, 4 / 9], device=device))

    @pytest.mark.parametrize("mode", ["nearest", "area", "nearest-exact"])
    def test_trap_other_modes_refuse_it(self, device, mode):
        with pytest.raises(ValueError, match="align_corners option can only be set with the interpolating modes"):
            F.interpolate(torch.ones(1, 1, 2, device=device), 4, mode=mode, align_corners=False)

    @pytest.mark.parametrize(("mode", "sizes"), CORNERS)
    def test_fix_the_default_treats_pixels_as_squares(self, device, mode, sizes):
        x = torch.tensor([0.0, 4.0], device=device).reshape(sizes)
        y = F.interpolate(x, scale_factor=(1.0,) * (len(sizes) - 3) + (2.0,), mode=mode)
        assert y.flatten().tolist() == [0, 1, 3, 4]

    def test_fix_weights_are_the_same_for_every_size(self, device):
        seen = []
        for n in (2, 3, 5):
            x = torch.arange(float(n), device=device).reshape(1, 1, n)
            seen.append(F.interpolate(x, scale_factor=2.0, mode="linear")[0, 0, 1].item())
        assert seen == [0.25, 0.25, 0.25]


DEPRECATED = [
    pytest.param(lambda x: F.upsample(x, scale_factor=2), id="F.upsample"),
    pytest.param(lambda x: F.upsample_bilinear(x, scale_factor=2), id="F.upsample_bilinear"),
    pytest.param(lambda x: F.upsample_nearest(x, scale_factor=2), id="F.upsample_nearest"),
]


@pitfall(
    "upsample-has-other-defaults",
    docs=[
        ("torch.nn.UpsamplingBilinear2d", "It is equivalent to"),
        "torch.nn.functional.upsample_bilinear",
        ("torch.nn.Upsample", "the upsampling algorithm: one of"),
    ],
    symptom="nn.functional.upsample is deprecated. Use nn.functional.interpolate instead; Upsample gives blocks",
    error="nn.functional.upsample is deprecated",
)
class TestUpsampleHasOtherDefaults:
    """``UpsamplingBilinear2d`` and ``F.upsample_bilinear`` align corners, which ``interpolate`` does not by default.

    ``nn.Upsample`` and ``interpolate`` repeat pixels unless a mode is given. The functions named ``upsample`` warn. Say
    mode and ``align_corners`` in full.
    """

    def test_trap_the_layer_aligns_corners(self, device):
        x = torch.tensor([[[[0.0, 3.0]]]], device=device)
        torch.testing.assert_close(
            nn.UpsamplingBilinear2d(scale_factor=2)(x)[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 3.0], device=device)
        )

    def test_trap_the_old_function_too(self, device):
        x = torch.tensor([[[[0.0, 3.0]]]], device=device)
        with pytest.warns(UserWarning, match=r"nn\.functional\.upsample_bilinear.? is deprecated"):
            y = F.upsample_bilinear(x, scale_factor=2)
        torch.testing.assert_close(y[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 3.0], device=device))

    def test_trap_upsample_aligns_corners_if_asked(self, device):
        x = torch.tensor([[[[0.0, 3.0]]]], device=device)
        with pytest.warns(UserWarning, match=r"nn\.functional\.upsample.? is deprecated"):
            y = F.upsample(x, scale_factor=2, mode="bilinear", align_corners=True)
        torch.testing.assert_close(y[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 3.0], device=device))

    @pytest.mark.parametrize("upsample", DEPRECATED)
    def test_trap_the_old_names_warn(self, device, upsample):
        with pytest.warns(UserWarning, match=r"nn\.functional\.upsample\w*.? is deprecated"):
            y = upsample(torch.ones(1, 1, 2, 2, device=device))
        assert y.shape == (1, 1, 4, 4)

    def test_trap_upsample_repeats(self, device):
        x = torch.tensor([[[0.0, 4.0]]], device=device)
        assert nn.Upsample(scale_factor=2)(x).tolist() == [[[0, 0, 4, 4]]]

    def test_fix_say_the_mode(self, device):
        x = torch.tensor([[[[0.0, 4.0]]]], device=device)
        y = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(x)
        assert y[0, 0, 0].tolist() == [0, 1, 3, 4]


@pitfall(
    "nearest-is-not-the-nearest",
    docs=[("torch.nn.functional.interpolate", "Mode ``mode='nearest-exact'`` matches Scikit-Image and PIL")],
    symptom="a label image resized with mode='nearest' is shifted against PIL or scikit-image",
)
class TestNearestIsNotTheNearest:
    """``mode="nearest"`` takes the pixel at ``floor(i * scale)``, the upper left one; ``"nearest-exact"`` the nearest.

    Shrinking by two it thus keeps the first of each pair, and others are shifted by half a pixel against PIL and
    scikit-image. Use ``"nearest-exact"``, for labels as well as for images.
    """

    @pytest.mark.parametrize(
        ("size", "nearest", "exact"), [(2, [0, 3], [1, 4]), (4, [0, 1, 3, 4], [0, 2, 3, 5])], ids=["to 2", "to 4"]
    )
    def test_trap_it_rounds_down(self, device, size, nearest, exact):
        x = torch.arange(6.0, device=device).reshape(1, 1, 6)
        assert F.interpolate(x, size, mode="nearest").flatten().tolist() == nearest

    @pytest.mark.parametrize(
        ("size", "nearest", "exact"), [(2, [0, 3], [1, 4]), (4, [0, 1, 3, 4], [0, 2, 3, 5])], ids=["to 2", "to 4"]
    )
    def test_fix_nearest_exact(self, device, size, nearest, exact):
        x = torch.arange(6.0, device=device).reshape(1, 1, 6)
        assert F.interpolate(x, size, mode="nearest-exact").flatten().tolist() == exact


@pitfall(
    "bicubic-overshoots",
    docs=[
        ("torch.nn.functional.interpolate", "possible to cause overshoot"),
        ("torch.nn.functional.grid_sample", "the range of values it's interpolating"),
    ],
    symptom="negative pixels, or values above 1, after resizing with mode='bicubic'",
    changed={
        "2.1": "bicubic takes uint8 images without antialias; with it they have other pixels",
        "2.3": "bicubic interpolation of uint8 images gives slightly other pixels",
    },
)
class TestBicubicOvershoots:
    """Bicubic interpolation gives values outside the range of its input; only uint8 images are clipped to theirs.

    Next to an edge floats go below the dark and above the bright side. ``clamp`` afterwards, as image libraries do;
    bilinear interpolation never overshoots.
    """

    def test_trap_floats_leave_their_range(self, device):
        x = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]], device=device)
        y = F.interpolate(x, size=(1, 8), mode="bicubic")
        assert y.min().item() < -0.05
        assert y.max().item() > 1.05

    def test_trap_grid_sample_does_too(self, device):
        x = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]], device=device)
        grid = torch.tensor([[[[0.6, 0.0]]]], device=device)
        y = F.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=True)
        assert y.item() > 1.05

    def test_trap_upsample_does_too(self, device):
        x = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]], device=device)
        with pytest.warns(UserWarning, match=r"nn\.functional\.upsample.? is deprecated"):
            y = F.upsample(x, size=(1, 8), mode="bicubic", align_corners=False)
        assert y.max().item() > 1.05

    @before("2.1")
    @on("cpu")
    def test_trap_bytes_were_refused(self, device):
        x = torch.tensor([[[[0, 255]]]], dtype=torch.uint8, device=device)
        with pytest.raises(RuntimeError, match="not implemented for 'Byte'"):
            F.interpolate(x, size=(1, 4), mode="bicubic")

    @on("cpu")
    @pytest.mark.parametrize(
        "y",
        [
            pytest.param([0, 59, 196, 255], id="to 2.2", marks=[since("2.1"), before("2.3")]),
            pytest.param([0, 58, 197, 255], id="from 2.3", marks=since("2.3")),
        ],
    )
    def test_trap_bytes_are_clipped(self, device, y):
        x = torch.tensor([[[[0, 255]]]], dtype=torch.uint8, device=device)
        assert F.interpolate(x, size=(1, 4), mode="bicubic").flatten().tolist() == y

    @on("cpu")
    @pytest.mark.parametrize(
        "y",
        [
            pytest.param([0, 0, 0, 64, 191, 255, 255, 255], id="to 2.0", marks=before("2.1")),
            pytest.param([0, 0, 0, 52, 203, 255, 255, 255], id="from 2.1", marks=since("2.1")),
        ],
    )
    def test_trap_antialiased_bytes_are_clipped(self, device, y):
        x = torch.tensor([[[[0, 0, 255, 255]]]], dtype=torch.uint8, device=device)
        assert F.interpolate(x, size=(1, 8), mode="bicubic", antialias=True).flatten().tolist() == y

    def test_fix_clamp(self, device):
        x = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]], device=device)
        y = F.interpolate(x, size=(1, 8), mode="bicubic").clamp(0, 1)
        assert (y.min().item(), y.max().item()) == (0, 1)


@pitfall(
    "shrinking-skips-pixels",
    docs=[("torch.nn.functional.interpolate", "flag to apply anti-aliasing"), "torch.nn.Upsample"],
    symptom="shrunken images flicker or look jagged; the thumbnail differs from that of PIL",
    error="Anti-alias option is",
)
class TestShrinkingSkipsPixels:
    """``interpolate`` reads two pixels a dimension however far it shrinks, unless ``antialias=True``.

    What lies between is lost, and fine patterns turn into false ones. Antialiasing, as PIL does it always, is there for
    bilinear and bicubic images; ``mode="area"`` averages instead.
    """

    def test_trap_most_pixels_are_not_read(self, device):
        x = torch.tensor([[[[9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 9.0]]]], device=device)
        assert F.interpolate(x, size=(1, 2), mode="bilinear").tolist() == [[[[0, 0]]]]

    @pytest.mark.parametrize("mode", ["nearest", "area"])
    def test_trap_other_modes_refuse_antialiasing(self, device, mode):
        with pytest.raises(ValueError, match="Anti-alias option is"):
            F.interpolate(torch.ones(1, 1, 4, 4, device=device), 2, mode=mode, antialias=True)

    def test_fix_antialias(self, device):
        x = torch.tensor([[[[9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 9.0]]]], device=device)
        assert F.interpolate(x, size=(1, 2), mode="bilinear", antialias=True).round().tolist() == [[[[4, 4]]]]

    def test_fix_area(self, device):
        x = torch.tensor([[[[9.0, 0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 9.0]]]], device=device)
        assert F.interpolate(x, size=(1, 2), mode="area").tolist() == [[[[4.5, 4.5]]]]
