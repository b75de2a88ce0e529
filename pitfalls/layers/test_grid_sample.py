"""Sampling an image at given points: in which order and units coordinates are, and where the corners lie."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import on, pitfall


@pitfall(
    "grid-sample-moves-its-corners",
    docs=[
        ("torch.nn.functional.affine_grid", "behavior has been changed to ``align_corners = False``"),
        ("torch.nn.functional.grid_sample", "are considered as referring to"),
    ],
    symptom="UserWarning: Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0",
    error="Default grid_sample and affine_grid behavior has changed",
)
class TestGridSampleMovesItsCorners:
    """In ``grid_sample`` -1 and 1 are the outer edges of the image, and the corner pixels if ``align_corners=True``.

    The default is False, with a warning if it isn't given. With True the distance of pixels depends on the resolution.
    Pass the same value to ``affine_grid`` and ``grid_sample``; mixing them scales the image.
    """

    @pytest.mark.parametrize(("align_corners", "first"), [(False, -0.5), (True, -1)], ids=["edges", "corner pixels"])
    def test_trap_points_of_the_identity(self, device, align_corners, first):
        theta = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], device=device)
        grid = F.affine_grid(theta, (1, 1, 2, 2), align_corners=align_corners)
        assert grid[0, 0].tolist() == [[first, first], [-first, first]]

    @pytest.mark.parametrize(
        ("align_corners", "y"), [(False, [4, 16]), (True, [16, 64])], ids=["edges", "corner pixels"]
    )
    def test_trap_the_corners_of_the_grid(self, device, align_corners, y):
        image = torch.tensor([[[[16.0, 32.0], [48.0, 64.0]]]], device=device)
        grid = torch.tensor([[[[-1.0, -1.0], [1.0, 1.0]]]], device=device)
        assert F.grid_sample(image, grid, align_corners=align_corners).flatten().tolist() == y

    def test_trap_without_it_both_warn(self, device):
        theta = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], device=device)
        with pytest.warns(UserWarning, match="Default grid_sample and affine_grid behavior has changed"):
            grid = F.affine_grid(theta, (1, 1, 2, 2))
        assert grid[0, 0, 0].tolist() == [-0.5, -0.5]
        with pytest.warns(UserWarning, match="Default grid_sample and affine_grid behavior has changed"):
            y = F.grid_sample(torch.ones(1, 1, 2, 2, device=device), grid * 2)
        assert y[0, 0, 0, 0].item() == 0.25

    def test_trap_a_dimension_of_size_one_is_at_zero(self, device):
        theta = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], device=device)
        with pytest.warns(UserWarning, match="affine_grid behavior has changed for unit-size grids"):
            grid = F.affine_grid(theta, (1, 1, 1, 2), align_corners=True)
        assert grid.flatten().tolist() == [-1, 0, 1, 0]

    @pytest.mark.parametrize("align_corners", [False, True], ids=["edges", "corner pixels"])
    def test_fix_the_same_for_both(self, device, align_corners):
        theta = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], device=device)
        image = torch.arange(16.0, device=device).reshape(1, 1, 4, 4)
        grid = F.affine_grid(theta, image.shape, align_corners=align_corners)
        torch.testing.assert_close(F.grid_sample(image, grid, align_corners=align_corners), image)


@pitfall(
    "grid-sample-takes-x-before-y",
    docs=[
        ("torch.nn.functional.grid_sample", "specifies the sampling pixel locations normalized by"),
        "torch.meshgrid",
    ],
    symptom="grid_sample gives a transposed image, or zeros everywhere for pixel coordinates",
)
class TestGridSampleTakesXBeforeY:
    """The last dimension of the grid is ``(x, y)``, column before row, from -1 to 1 and not in pixels.

    A grid of indices, row first, gives the transposed image, and coordinates in pixels lie outside, where zeros are.
    Scale pixels with ``2 * (x + 0.5) / width - 1``.
    """

    def test_trap_columns_come_first(self, device):
        image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        upper_right = torch.tensor([[[[1.0, -1.0]]]], device=device)
        assert F.grid_sample(image, upper_right, align_corners=True).item() == 2

    def test_trap_pixels_lie_outside(self, device):
        image = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]] * 4]], device=device)
        assert F.grid_sample(image, torch.tensor([[[[3.0, 2.0]]]], device=device), align_corners=False).item() == 0

    def test_trap_indices_transpose(self, device):
        image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        ends = torch.tensor([-1.0, 1.0], device=device)
        grid = torch.stack(torch.meshgrid(ends, ends, indexing="ij"), dim=-1)[None]
        assert F.grid_sample(image, grid, align_corners=True).flatten().tolist() == [1, 3, 2, 4]

    def test_fix_scale_pixels(self, device):
        image = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]] * 4]], device=device)
        x, y = 2 * (2 + 0.5) / 4 - 1, 2 * (1 + 0.5) / 4 - 1
        assert F.grid_sample(image, torch.tensor([[[[x, y]]]], device=device), align_corners=False).item() == 3

    def test_fix_meshgrid_of_xy(self, device):
        image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        ends = torch.tensor([-1.0, 1.0], device=device)
        grid = torch.stack(torch.meshgrid(ends, ends, indexing="xy"), dim=-1)[None]
        assert F.grid_sample(image, grid, align_corners=True).flatten().tolist() == [1, 2, 3, 4]


@pitfall(
    "grid-sample-at-nan",
    docs=[("torch.nn.functional.grid_sample", "NaN values in :attr:`grid` would be interpreted as")],
    symptom="NaN pixels from grid_sample where the grid is NaN, or the value of the upper left corner",
    contradicts={
        "torch.nn.functional.grid_sample": "NaN coordinates are said to act as -1, but with padding_mode='zeros' the "
        "result is NaN (bilinear, bicubic) or 0 (nearest)"
    },
    priority=3,
)
class TestGridSampleAtNan:
    """A NaN coordinate acts as -1 in ``grid_sample`` only where bilinear or nearest meets border or reflection padding.

    The documentation states -1 for all modes. With zeros padding bilinear gives NaN and nearest 0; bicubic gives NaN.
    Clean the grid with ``nan_to_num`` to be sure.
    """

    @on("cpu")
    @pytest.mark.parametrize("padding_mode", ["border", "reflection"])
    @pytest.mark.parametrize("mode", ["bilinear", "nearest"])
    def test_trap_the_corner(self, device, mode, padding_mode):
        image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        grid = torch.full((1, 1, 1, 2), float("nan"), device=device)
        assert F.grid_sample(image, grid, mode, padding_mode, align_corners=True).item() == 1

    @on("cpu")
    @pytest.mark.parametrize(
        ("mode", "y"),
        [("bilinear", "nan"), ("bicubic", "nan"), ("nearest", "0.0")],
        ids=["bilinear", "bicubic", "nearest"],
    )
    def test_trap_with_zeros(self, device, mode, y):
        image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        grid = torch.full((1, 1, 1, 2), float("nan"), device=device)
        assert str(F.grid_sample(image, grid, mode, "zeros", align_corners=True).item()) == y

    def test_fix_clean_the_grid(self, device):
        image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        grid = torch.full((1, 1, 1, 2), float("nan"), device=device).nan_to_num(nan=-1.0)
        assert F.grid_sample(image, grid, align_corners=True).item() == 1
