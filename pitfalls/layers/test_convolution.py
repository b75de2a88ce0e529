"""Convolutions: which dimension holds the channels, which sizes come out, and what padding means."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import on, pitfall


@pitfall(
    "convolution-is-channels-first",
    docs=["torch.nn.Conv2d", ("torch.nn.functional.conv2d", "input tensor of shape")],
    symptom="Given groups=1, weight of size [1, 4, 3, 3], expected input[1, 3, 8, 8] to have 4 channels, but got 3",
    error="to have 3 channels, but got 1 channels instead",
    priority=1,
)
class TestConvolutionIsChannelsFirst:
    """A convolution reads channels before height and width: ``(N, C, H, W)``, never ``(N, H, W, C)``.

    Images from files have their channels last: ``permute(0, 3, 1, 2)`` moves them, ``view`` would mix them. The numbers
    in the message are the sizes of the input as it arrived. ``channels_last`` is a memory format, not another order.
    """

    def test_trap_channels_last_are_refused(self, device, seeded):
        images = torch.ones(1, 8, 8, 3, device=device)
        with pytest.raises(RuntimeError, match=r"expected input\[1, 8, 8, 3\] to have 3 channels, but got 8 channels"):
            nn.Conv2d(3, 1, 3, device=device)(images)

    def test_trap_a_wrong_number_of_channels(self, device, seeded):
        with pytest.raises(
            RuntimeError, match=r"weight of size \[1, 4, 3, 3\], expected input\[1, 3, 8, 8\] to have 4"
        ):
            nn.Conv2d(4, 1, 3, device=device)(torch.ones(1, 3, 8, 8, device=device))

    def test_trap_sequences_are_channels_first_too(self, device, seeded):
        words = torch.ones(2, 10, 5, device=device)  # N, L, C
        with pytest.raises(RuntimeError, match=r"expected input\[2, 10, 5\] to have 5 channels, but got 10 channels"):
            nn.Conv1d(5, 1, 3, device=device)(words)

    def test_trap_the_memory_format_is_no_other_order(self, device, seeded):
        images = torch.ones(1, 3, 8, 8, device=device).to(memory_format=torch.channels_last)
        assert nn.Conv2d(3, 4, 3, device=device)(images).shape == (1, 4, 6, 6)

    def test_fix_permute(self, device, seeded):
        images = torch.ones(1, 8, 8, 3, device=device)
        assert nn.Conv2d(3, 4, 3, device=device)(images.permute(0, 3, 1, 2)).shape == (1, 4, 6, 6)


UNBATCHED = [
    pytest.param(nn.Conv1d, (2, 8), id="Conv1d"),
    pytest.param(nn.Conv2d, (2, 8, 8), id="Conv2d"),
    pytest.param(nn.Conv3d, (2, 8, 8, 8), id="Conv3d"),
    pytest.param(nn.ConvTranspose2d, (2, 8, 8), id="ConvTranspose2d"),
]


@pitfall(
    "convolution-takes-unbatched-input",
    docs=["torch.nn.Conv2d", "torch.nn.MaxPool2d"],
    symptom="Expected 3D (unbatched) or 4D (batched) input to conv2d; a batch of grey images is taken for one image",
    error="Expected 3D (unbatched) or 4D (batched) input to conv2d",
)
class TestConvolutionTakesUnbatchedInput:
    """A convolution or pooling takes one sample without a batch dimension, so a forgotten channel dimension is misread.

    A batch ``(N, H, W)`` of grey images is one image with N channels to it: pooling accepts it without a word, a
    convolution if N happens to be ``in_channels``. Add the channels with ``unsqueeze(1)``.
    """

    @pytest.mark.parametrize(("conv", "sizes"), UNBATCHED)
    def test_trap_no_batch_in_no_batch_out(self, device, seeded, conv, sizes):
        y = conv(2, 4, 1, device=device)(torch.ones(sizes, device=device))
        assert y.shape == (4, *sizes[1:])

    def test_trap_a_batch_of_three_is_an_image_of_three_channels(self, device, seeded):
        grey = torch.ones(3, 8, 8, device=device)
        assert nn.Conv2d(3, 4, 3, device=device)(grey).shape == (4, 6, 6)

    def test_trap_another_batch_has_too_many_channels(self, device, seeded):
        grey = torch.ones(16, 8, 8, device=device)
        with pytest.raises(RuntimeError, match="to have 1 channels, but got 16 channels instead"):
            nn.Conv2d(1, 4, 3, device=device)(grey)

    def test_trap_two_dimensions_are_too_few(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d"):
            nn.Conv2d(1, 4, 3, device=device)(torch.ones(8, 8, device=device))

    def test_fix_add_the_channel_dimension(self, device, seeded):
        grey = torch.ones(16, 8, 8, device=device)
        assert nn.Conv2d(1, 4, 3, device=device)(grey.unsqueeze(1)).shape == (16, 4, 6, 6)


@pitfall(
    "convolution-dtypes-must-agree",
    docs=["torch.nn.Conv2d", "torch.nn.functional.conv2d"],
    symptom="RuntimeError: Input type (double) and bias type (float) should be the same",
    error="Input type (double) and bias type (float) should be the same | Input type (float) and weight type (half)",
    priority=1,
)
class TestConvolutionDtypesMustAgree:
    """A convolution promotes nothing: its input must have the dtype and the device of its weight.

    NumPy arrays are float64, images from files uint8. Convert the input with ``.float()``, or ``.to(weight)``; integer
    images are usually scaled as well.
    """

    @pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.float16], ids=str)
    def test_trap_another_dtype_is_refused(self, device, seeded, dtype):
        image = torch.ones(1, 3, 8, 8, dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match=r"Input type \(.*\) and (bias|weight) type \(.*\) should be the same"):
            nn.Conv2d(3, 1, 3, device=device)(image)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.uint8, torch.float16], ids=str)
    def test_fix_convert_the_input(self, device, seeded, dtype):
        conv = nn.Conv2d(3, 1, 3, device=device)
        y = conv(torch.ones(1, 3, 8, 8, dtype=dtype, device=device).to(conv.weight))
        assert y.dtype == torch.float32

    def test_fix_complex_needs_complex_weights(self, device, seeded):
        y = nn.Conv1d(1, 1, 1, dtype=torch.complex64, device=device)(torch.ones(1, 1, 3, device=device) + 0j)
        assert y.dtype == torch.complex64


@pitfall(
    "convolution-does-not-flip",
    docs=[("torch.nn.Conv1d", "`cross-correlation`_ operator"), "torch.nn.Conv2d"],
    symptom="conv1d does not agree with numpy.convolve or scipy.signal.convolve",
)
class TestConvolutionDoesNotFlip:
    """A convolution of torch is a cross-correlation: it slides the kernel over the input without flipping it.

    For learned weights it makes no difference. For a given kernel flip it with ``flip(-1)``, and pad with the length
    less one for the full convolution; the convolution by Fourier transform flips as in mathematics.
    """

    def test_trap_an_impulse_gives_the_kernel_reversed(self, device):
        impulse = torch.tensor([[[0.0, 0.0, 1.0, 0.0, 0.0]]], device=device)
        kernel = torch.tensor([[[1.0, 2.0, 3.0]]], device=device)
        assert F.conv1d(impulse, kernel).tolist() == [[[3, 2, 1]]]

    def test_trap_in_two_dimensions_too(self, device):
        impulse = torch.zeros(1, 1, 3, 3, device=device)
        impulse[0, 0, 1, 1] = 1
        kernel = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], device=device)
        assert F.conv2d(impulse, kernel).tolist() == [[[[4, 3], [2, 1]]]]

    def test_fix_flip_the_kernel(self, device):
        x, kernel = torch.tensor([[[1.0, 2.0]]], device=device), torch.tensor([[[1.0, 10.0, 100.0]]], device=device)
        assert F.conv1d(x, kernel.flip(-1), padding=2).tolist() == [[[1, 12, 120, 200]]]


@pitfall(
    "padding-same-needs-stride-one",
    docs=[("torch.nn.functional.conv2d", "doesn't support any stride values other than"), "torch.nn.Conv1d"],
    symptom="padding='same' is not supported for strided convolutions",
    error="padding='same' is not supported for strided convolutions",
)
class TestPaddingSameNeedsStrideOne:
    """``padding="same"`` keeps the size at stride 1 and is refused for any other; transposed convolutions have none.

    For an odd kernel it is ``dilation * (kernel - 1) // 2`` on both sides; for an even one the right gets one more,
    with a warning. With a stride pass that number, and the size is divided, rounded up.
    """

    @pytest.mark.parametrize("conv", [nn.Conv1d, nn.Conv2d, nn.Conv3d], ids=["1d", "2d", "3d"])
    def test_trap_a_layer_with_a_stride(self, device, conv):
        with pytest.raises(ValueError, match="padding='same' is not supported for strided convolutions"):
            conv(1, 1, 3, stride=2, padding="same", device=device)

    def test_trap_the_function_with_a_stride(self, device):
        with pytest.raises(RuntimeError, match="padding='same' is not supported for strided convolutions"):
            F.conv1d(torch.ones(1, 1, 5, device=device), torch.ones(1, 1, 3, device=device), stride=2, padding="same")

    @on("cpu")
    def test_trap_an_even_kernel_pads_the_right_more(self, device):
        x, kernel = torch.tensor([[[1.0, 2.0, 3.0]]], device=device), torch.ones(1, 1, 2, device=device)
        with pytest.warns(UserWarning, match="padding='same' with even kernel lengths and odd dilation"):
            y = F.conv1d(x, kernel, padding="same")
        assert y.tolist() == [[[3, 5, 3]]]

    @pytest.mark.parametrize("kernel", [1, 3, 5], ids=str)
    @pytest.mark.parametrize("dilation", [1, 2], ids=["dense", "dilated"])
    def test_fix_stride_one(self, device, seeded, kernel, dilation):
        x = torch.ones(1, 1, 12, device=device)
        assert nn.Conv1d(1, 1, kernel, padding="same", dilation=dilation, device=device)(x).shape == (1, 1, 12)

    @pytest.mark.parametrize(("length", "half"), [(8, 4), (7, 4)], ids=["even length", "odd length"])
    def test_fix_pad_by_hand_with_a_stride(self, device, seeded, length, half):
        conv = nn.Conv1d(1, 1, 5, stride=2, padding=(5 - 1) // 2, device=device)
        assert conv(torch.ones(1, 1, length, device=device)).shape == (1, 1, half)


@pitfall(
    "convolution-rounds-its-size-down",
    docs=["torch.nn.Conv2d", "torch.nn.MaxPool2d"],
    symptom="the last column is ignored; Kernel size can't be greater than actual input size",
    error="Kernel size can't be greater than actual input size",
)
class TestConvolutionRoundsItsSizeDown:
    """A strided convolution has ``(size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1`` positions.

    The division rounds down: what is left at the right edge is read by no window, and several input sizes have the same
    output size. An image that has become smaller than the kernel raises.
    """

    @pytest.mark.parametrize(("size", "out"), [(7, 3), (8, 3), (9, 4)], ids=str)
    def test_trap_sizes_fall_together(self, device, seeded, size, out):
        assert nn.Conv1d(1, 1, 3, stride=2, device=device)(torch.ones(1, 1, size, device=device)).shape[-1] == out

    def test_trap_the_last_value_is_not_read(self, device):
        x = torch.zeros(1, 1, 8, device=device)
        x[..., -1] = 100
        assert F.conv1d(x, torch.ones(1, 1, 3, device=device), stride=2).tolist() == [[[0, 0, 0]]]

    def test_trap_a_small_image_raises(self, device, seeded):
        with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
            nn.Conv2d(1, 1, 5, device=device)(torch.ones(1, 1, 3, 3, device=device))

    def test_fix_padding_reaches_the_last_value(self, device):
        x = torch.zeros(1, 1, 8, device=device)
        x[..., -1] = 100
        y = F.conv1d(x, torch.ones(1, 1, 3, device=device), stride=2, padding=1)
        assert y.tolist() == [[[0, 0, 0, 100]]]


@pitfall(
    "groups-divide-both-channels",
    docs=[("torch.nn.Conv2d", "must both be divisible by"), "torch.nn.ConvTranspose2d"],
    symptom="ValueError: in_channels must be divisible by groups; the weight has fewer channels than the input",
    error="channels must be divisible by groups",
    priority=3,
)
class TestGroupsDivideBothChannels:
    """``groups`` must divide the input and the output channels, and divides the second dimension of the weight.

    The weight of a convolution is ``(out, in / groups, ...)``, that of a transposed one ``(in, out / groups, ...)``.
    With as many groups as input channels each channel has its own filters.
    """

    @pytest.mark.parametrize(
        ("channels", "message"),
        [((3, 4), "in_channels must be divisible"), ((4, 3), "out_channels must be divisible")],
        ids=["input", "output"],
    )
    def test_trap_it_must_divide_both(self, device, channels, message):
        with pytest.raises(ValueError, match=message):
            nn.Conv2d(*channels, 3, groups=2, device=device)

    @pytest.mark.parametrize(
        ("conv", "sizes"), [(nn.Conv1d, (8, 2, 3)), (nn.ConvTranspose1d, (4, 4, 3))], ids=["plain", "transposed"]
    )
    def test_trap_the_weight_is_smaller(self, device, seeded, conv, sizes):
        assert conv(4, 8, 3, groups=2, device=device).weight.shape == sizes

    def test_fix_each_channel_by_itself(self, device):
        x = torch.tensor([[[1.0], [2.0]]], device=device)
        weight = torch.tensor([[[10.0]], [[100.0]]], device=device)
        assert F.conv1d(x, weight, groups=2).tolist() == [[[10], [200]]]


@pitfall(
    "padding-mode-adds-what-it-reads",
    docs=["torch.nn.Conv1d", "torch.nn.ConvTranspose1d"],
    symptom='dark borders after a convolution; Only "zeros" padding mode is supported for ConvTranspose1d',
    error='Only "zeros" padding mode is supported',
    priority=3,
)
class TestPaddingModeAddsWhatItReads:
    """Convolutions pad with zeros unless ``padding_mode`` says otherwise, so a constant image gets dark borders.

    The function ``F.conv2d`` has no such argument: pad with ``F.pad`` first. Transposed convolutions know zeros only.
    """

    @pytest.mark.parametrize(
        ("mode", "y"),
        [("zeros", [3, 6, 5]), ("reflect", [5, 6, 7]), ("replicate", [4, 6, 8]), ("circular", [6, 6, 6])],
        ids=str,
    )
    def test_trap_four_borders(self, device, mode, y):
        conv = nn.utils.skip_init(nn.Conv1d, 1, 1, 3, padding=1, padding_mode=mode, bias=False, device=device)
        nn.init.ones_(conv.weight)
        assert conv(torch.tensor([[[1.0, 2.0, 3.0]]], device=device)).flatten().tolist() == y

    def test_trap_transposed_knows_zeros_only(self, device):
        with pytest.raises(ValueError, match='Only "zeros" padding mode is supported for ConvTranspose1d'):
            nn.ConvTranspose1d(1, 1, 3, padding=1, padding_mode="reflect", device=device)

    def test_fix_pad_before_the_function(self, device):
        x = F.pad(torch.tensor([[[1.0, 2.0, 3.0]]], device=device), (1, 1), mode="replicate")
        assert F.conv1d(x, torch.ones(1, 1, 3, device=device)).tolist() == [[[4, 6, 8]]]
