"""Normalisation and sampling: arguments that some releases accept and others refuse."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, observe, pitfall, since


@pitfall(
    "batch-norm-eps-zero-in-eval",
    docs=[
        ("torch.nn.BatchNorm1d", "value added to the denominator for numerical stability"),
        "torch.nn.functional.batch_norm",
    ],
    symptom="ValueError: batch_norm eps must be positive, but got 0.0, from a model that is only evaluated",
    error="batch_norm eps must be",
    changed={
        "2.10": "batch_norm refuses an eps that isn't positive, also in eval mode; it had accepted any",
        "2.12": "eval mode accepts eps=0 again, but no negative eps",
    },
    priority=3,
)
class TestBatchNormEpsZeroInEval:
    """In eval mode batch norm takes ``eps=0``, except in torch 2.10 and 2.11, and a constant channel then isn't finite.

    The running variance of a channel that never varies tends to zero, which is what ``eps`` is for. Models converted
    from elsewhere carry ``eps=0`` where it is folded into the variance. Keep the default, or write the division out.
    Training with ``eps=0`` is refused since torch 2.10.
    """

    @since("2.10")
    @before("2.12")
    def test_trap_eps_zero_was_refused(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0], [3.0]], [1.0], [4.0]))
        with pytest.raises(ValueError, match="batch_norm eps must be positive, but got 0"):
            F.batch_norm(x, mean, var, training=False, eps=0)

    @since("2.10")
    @before("2.12")
    @pytest.mark.parametrize("layer", [torch.nn.BatchNorm1d, torch.nn.SyncBatchNorm], ids=["plain", "synchronised"])
    def test_trap_layer_in_eval_mode_was_refused(self, device, layer):
        layer = layer(1, eps=0, device=device).eval()
        x = torch.tensor([[1.0], [3.0]], device=device)
        with pytest.raises(ValueError, match="batch_norm eps must be positive, but got 0"):
            layer(x)

    @before("2.10")
    def test_trap_training_accepted_it_too(self, device):
        x = torch.tensor([[1.0], [3.0]], device=device)
        assert F.batch_norm(x, None, None, training=True, eps=0).tolist() == [[-1], [1]]

    @since("2.10")
    def test_trap_training_refuses_it(self, device):
        x = torch.tensor([[1.0], [3.0]], device=device)
        with pytest.raises(ValueError, match=r"batch_norm eps must be positive( during training)?, but got 0"):
            F.batch_norm(x, None, None, training=True, eps=0)

    @before("2.10")
    def test_trap_negative_eps_was_accepted(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0], [3.0]], [1.0], [4.0]))
        assert F.batch_norm(x, mean, var, training=False, eps=-3.0).tolist() == [[0], [2]]

    @since("2.10")
    def test_trap_negative_eps_is_refused(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0], [3.0]], [1.0], [4.0]))
        with pytest.raises(ValueError, match=r"batch_norm eps must be (positive|non-negative), but got -3"):
            F.batch_norm(x, mean, var, training=False, eps=-3.0)

    @before("2.10")
    def test_trap_constant_channel_was_not_finite(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0, 3.0]], [1.0, 1.0], [0.0, 4.0]))
        y = F.batch_norm(x, mean, var, training=False, eps=0)
        assert y.isfinite().tolist() == [[False, True]]

    @since("2.12")
    def test_trap_constant_channel_is_not_finite(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0, 3.0]], [1.0, 1.0], [0.0, 4.0]))
        y = F.batch_norm(x, mean, var, training=False, eps=0)
        assert y.isfinite().tolist() == [[False, True]]

    def test_fix_default_eps_is_finite(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0, 3.0]], [1.0, 1.0], [0.0, 4.0]))
        y = F.batch_norm(x, mean, var, training=False)
        torch.testing.assert_close(y, torch.tensor([[0.0, 1.0]], device=device), rtol=0, atol=1e-5)

    def test_fix_write_the_division_out(self, device):
        x, mean, var = (torch.tensor(values, device=device) for values in ([[1.0], [3.0]], [1.0], [4.0]))
        assert ((x - mean) / var.sqrt()).tolist() == [[0], [1]]


@pitfall(
    "grid-sample-modes-of-a-volume",
    docs=[
        ("torch.nn.functional.grid_sample", "interpolation mode used internally will actually be trilinear"),
        "torch.nn.functional.interpolate",
    ],
    symptom="RuntimeError: grid_sampler(): bicubic interpolation only supports 4D input",
    error="bicubic interpolation only supports 4D input",
    changed={
        "2.1": "on the CPU a point halfway between two voxels has the nearest voxel of even index, as in an image",
        "2.15": "mode='bicubic' interpolates volumes tricubically; it had been refused",
    },
)
class TestGridSampleModesOfAVolume:
    """``grid_sample`` names its modes after images: ``"bilinear"`` is trilinear for a volume.

    There is no ``mode="trilinear"``, which is what ``interpolate`` calls it, and before torch 2.15 no cubic one at all.
    A volume can be sampled trilinearly in every release.
    """

    @pytest.mark.parametrize("mode", ["trilinear", "tricubic"])
    def test_trap_names_of_volumes_are_refused(self, device, mode):
        volume, grid = torch.ones(1, 1, 2, 2, 2, device=device), torch.zeros(1, 1, 1, 1, 3, device=device)
        with pytest.raises(ValueError, match=f"expected mode to be .* but got: '{mode}'"):
            F.grid_sample(volume, grid, mode=mode, align_corners=False)

    @before("2.15")
    def test_trap_bicubic_was_refused(self, device):
        volume, grid = torch.ones(1, 1, 2, 2, 2, device=device), torch.zeros(1, 1, 1, 1, 3, device=device)
        with pytest.raises(RuntimeError, match="bicubic interpolation only supports 4D input"):
            F.grid_sample(volume, grid, mode="bicubic", align_corners=False)

    @since("2.15")
    def test_trap_bicubic_is_tricubic(self, device):
        image = torch.arange(16.0, device=device).square().reshape(1, 1, 4, 4)
        volume = image[:, :, None].expand(1, 1, 4, 4, 4)
        point = torch.tensor([0.25, -0.125, 0.0], device=device)
        y = F.grid_sample(volume, point.reshape(1, 1, 1, 1, 3), mode="bicubic", align_corners=False)
        flat = F.grid_sample(image, point[:2].reshape(1, 1, 1, 2), mode="bicubic", align_corners=False)
        torch.testing.assert_close(y.flatten(), flat.flatten())

    def test_fix_bilinear_is_trilinear(self, device):
        volume = torch.arange(8.0, device=device).reshape(1, 1, 2, 2, 2)
        grid = torch.zeros(1, 1, 1, 1, 3, device=device)
        observe(nearest=F.grid_sample(volume, grid, mode="nearest", align_corners=False).item())
        assert F.grid_sample(volume, grid, mode="bilinear", align_corners=False).item() == 3.5
