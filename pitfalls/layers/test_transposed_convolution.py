"""Transposed convolutions: padding that takes away, output padding that picks a size, weights the other way round."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall

TRANSPOSED = [
    pytest.param(nn.ConvTranspose1d, 1, id="1d"),
    pytest.param(nn.ConvTranspose2d, 2, id="2d"),
    pytest.param(nn.ConvTranspose3d, 3, id="3d"),
]


@pitfall(
    "transposed-padding-takes-away",
    docs=[
        ("torch.nn.ConvTranspose1d", "effectively adds ``dilation * (kernel_size - 1) -"),
        "torch.nn.ConvTranspose2d",
        "torch.nn.ConvTranspose3d",
    ],
    symptom="a larger padding makes the output of ConvTranspose2d smaller",
)
class TestTransposedPaddingTakesAway:
    """The ``padding`` of a transposed convolution cuts that much off both ends of the output; it adds nothing.

    It is the padding of the convolution whose sizes are to be undone. The size is
    ``(size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1``.
    """

    @pytest.mark.parametrize(
        ("padding", "y"), [(0, [1, 2, 3, 3, 2, 1]), (1, [2, 3, 3, 2]), (2, [3, 3])], ids=["none", "one", "two"]
    )
    def test_trap_ends_are_cut(self, device, padding, y):
        x, kernel = torch.ones(1, 1, 4, device=device), torch.ones(1, 1, 3, device=device)
        assert F.conv_transpose1d(x, kernel, padding=padding).flatten().tolist() == y

    @pytest.mark.parametrize(("conv", "spatial"), TRANSPOSED)
    def test_trap_sizes_shrink(self, device, seeded, conv, spatial):
        y = conv(1, 1, 3, stride=2, padding=1, device=device)(torch.ones(1, 1, *[4] * spatial, device=device))
        assert y.shape[2:] == (7,) * spatial

    def test_fix_the_padding_of_the_convolution_undoes_its_size(self, device, seeded):
        x = torch.ones(1, 1, 9, device=device)
        y = nn.Conv1d(1, 1, 5, padding=1, device=device)(x)
        assert nn.ConvTranspose1d(1, 1, 5, padding=1, device=device)(y).shape == x.shape


@pitfall(
    "output-padding-picks-the-size",
    docs=[
        ("torch.nn.ConvTranspose1d", "to find output shape, but does not actually"),
        ("torch.nn.ConvTranspose1d", "is provided to resolve this ambiguity by"),
        "torch.nn.ConvTranspose2d",
    ],
    symptom="decoder and encoder differ by one pixel; output padding must be smaller than either stride or dilation",
    error="output padding must be smaller than either stride or dilation | requested an output size of",
)
class TestOutputPaddingPicksTheSize:
    """With a stride several sizes go to one, and ``output_padding`` says which of them a transposed convolution gives.

    It appends no zeros: the additional places get what the kernel puts there, and the bias. It must be smaller than
    the stride. Pass ``output_size=`` in the call instead, such as the size of the encoder's input.
    """

    @pytest.mark.parametrize(("conv", "spatial"), TRANSPOSED)
    @pytest.mark.parametrize(("output_padding", "size"), [(0, 7), (1, 8)], ids=["without", "with"])
    def test_trap_two_sizes(self, device, seeded, conv, spatial, output_padding, size):
        layer = conv(1, 1, 3, stride=2, padding=1, output_padding=output_padding, device=device)
        assert layer(torch.ones(1, 1, *[4] * spatial, device=device)).shape[2:] == (size,) * spatial

    def test_trap_the_new_place_is_not_zero(self, device):
        x, kernel = torch.ones(1, 1, 2, device=device), torch.tensor([[[1.0, 2.0, 3.0]]], device=device)
        bias = torch.tensor([10.0], device=device)
        seen = [
            F.conv_transpose1d(x, kernel, bias, stride=2, padding=1, output_padding=more).flatten().tolist()
            for more in (0, 1)
        ]
        assert seen == [[12, 14, 12], [12, 14, 12, 13]]

    def test_trap_it_must_be_smaller_than_the_stride(self, device, seeded):
        layer = nn.ConvTranspose1d(1, 1, 3, output_padding=1, device=device)
        with pytest.raises(RuntimeError, match="output padding must be smaller than either stride or dilation"):
            layer(torch.ones(1, 1, 4, device=device))

    @pytest.mark.parametrize("size", [7, 8], ids=["odd", "even"])
    def test_fix_ask_for_the_size(self, device, seeded, size):
        x = torch.ones(1, 1, size, device=device)
        y = nn.Conv1d(1, 1, 3, stride=2, padding=1, device=device)(x)
        up = nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1, device=device)
        assert up(y, output_size=x.shape[2:]).shape == x.shape

    def test_trap_not_every_size_can_be_had(self, device, seeded):
        up = nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1, device=device)
        with pytest.raises(ValueError, match=r"requested an output size of \[9\], but valid sizes range from \[7\] to"):
            up(torch.ones(1, 1, 4, device=device), output_size=[9])


@pitfall(
    "transposed-is-no-inverse",
    docs=[
        ("torch.nn.ConvTranspose1d", "although it is not an actual deconvolution operation"),
        ("torch.nn.ConvTranspose1d", "as the gradient of Conv1d with respect"),
    ],
    symptom="conv_transpose2d after conv2d with the same weight does not give the image back",
)
class TestTransposedIsNoInverse:
    """A transposed convolution undoes the sizes of a convolution, not its values: it is the gradient, not the inverse.

    With the same weight it gives what ``backward`` would give for the input. Its weight is ``(in, out, ...)`` where
    that of a convolution is ``(out, in, ...)``.
    """

    def test_trap_the_values_do_not_come_back(self, device):
        x, kernel = torch.tensor([[[1.0, 2.0, 4.0]]], device=device), torch.tensor([[[1.0, 1.0]]], device=device)
        assert F.conv_transpose1d(F.conv1d(x, kernel), kernel).tolist() == [[[3, 9, 6]]]

    def test_trap_the_weight_is_the_other_way_round(self, device, seeded):
        shapes = [conv(4, 8, 3, device=device).weight.shape for conv in (nn.Conv1d, nn.ConvTranspose1d)]
        assert shapes == [(8, 4, 3), (4, 8, 3)]

    def test_fix_it_is_the_gradient(self, device):
        x = torch.tensor([[[1.0, 2.0, 4.0]]], device=device, requires_grad=True)
        kernel, grad = torch.tensor([[[1.0, 10.0]]], device=device), torch.tensor([[[3.0, 5.0]]], device=device)
        F.conv1d(x, kernel).backward(grad)
        assert x.grad.tolist() == [[[3, 35, 50]]]
        assert F.conv_transpose1d(grad, kernel).tolist() == [[[3, 35, 50]]]
