"""Observers and quantized functions: the ranges they pick, the ranges they keep, and the inputs they refuse."""

import warnings

import pytest
import torch
import torch.ao.nn.quantized.functional as qF
from torch.ao.quantization import (
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    PerChannelMinMaxObserver,
)

from pitfalls import before, pitfall, since


@pytest.fixture
def quiet():
    """Without the deprecations of quantized tensors and of old names, which are not the point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.usefixtures("quiet")
@pitfall(
    "quantized-functions-keep-the-range",
    docs=[
        ("torch.ao.nn.quantized.functional.interpolate", "The input quantization parameters propagate to the output"),
        ("torch.ao.nn.quantized.functional.max_pool1d", "The input quantization parameters are propagated"),
        ("torch.ao.nn.quantized.functional.upsample", "The input quantization parameters propagate to the output"),
        "torch.ao.nn.quantized.functional.upsample_nearest",
        "torch.ao.nn.quantized.functional.upsample_bilinear",
    ],
    symptom="averages of a quantized tensor come out in steps as coarse as those of its input",
    priority=3,
)
class TestQuantizedFunctionsKeepTheRange:
    """Interpolating or pooling a quantized tensor gives one with the scale and the zero point of the input.

    A mean that falls between two steps is rounded to one of them. Requantize the input more finely beforehand, or
    compute on ``dequantize()``.
    """

    FUNCTIONS = [
        pytest.param(lambda x: qF.interpolate(x, scale_factor=2), id="interpolate"),
        pytest.param(lambda x: qF.upsample(x, scale_factor=2), id="upsample"),
        pytest.param(lambda x: qF.upsample_nearest(x, scale_factor=2), id="upsample_nearest"),
        pytest.param(lambda x: qF.upsample_bilinear(x, scale_factor=2), id="upsample_bilinear"),
        pytest.param(lambda x: qF.max_pool1d(x[0], 2), id="max_pool1d"),
        pytest.param(lambda x: qF.max_pool2d(x, 2), id="max_pool2d"),
        pytest.param(lambda x: qF.avg_pool2d(x, 2), id="avg_pool2d"),
    ]

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_trap_scale_and_zero_point_stay(self, function):
        x = torch.quantize_per_tensor(torch.ones(1, 1, 2, 2), 0.5, 10, torch.quint8)
        y = function(x)
        assert [y.q_scale(), y.q_zero_point()] == [0.5, 10]

    def test_trap_a_mean_is_rounded(self):
        x = torch.quantize_per_tensor(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]), 1.0, 0, torch.quint8)
        assert qF.avg_pool2d(x, 2).dequantize().item() == 0

    def test_fix_dequantize_first(self):
        x = torch.quantize_per_tensor(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]), 1.0, 0, torch.quint8)
        assert torch.nn.functional.avg_pool2d(x.dequantize(), 2).item() == 0.25


@pytest.mark.usefixtures("quiet")
@pitfall(
    "quantized-interpolation-is-limited",
    docs=[
        ("torch.ao.nn.quantized.functional.interpolate", "Only 2D/3D input is supported for quantized inputs"),
        ("torch.ao.nn.quantized.functional.upsample", "Only 2D input is supported for quantized inputs"),
        ("torch.ao.nn.quantized.functional.upsample", "Only the following modes are supported"),
        ("torch.ao.nn.quantized.functional.upsample_nearest", "Only 2D inputs are supported"),
        ("torch.ao.nn.quantized.functional.upsample_bilinear", "Only 2D inputs are supported"),
    ],
    symptom="NotImplementedError: Could not run 'aten::upsample_nearest1d.out' with arguments from the 'QuantizedCPU'",
    error="with arguments from the 'QuantizedCPU' backend",
    contradicts={
        "torch.ao.nn.quantized.functional.upsample": "nearest works for three spatial dimensions, and nearest-exact",
        "torch.ao.nn.quantized.functional.upsample_nearest": "three spatial dimensions work as well",
    },
    priority=3,
)
class TestQuantizedInterpolationIsLimited:
    """Quantized tensors have no interpolation in one dimension, and none that is trilinear or bicubic.

    ``nearest`` works for two and three dimensions, ``bilinear`` for two. Interpolate the dequantized tensor.
    """

    NEAREST = [
        pytest.param(lambda x: qF.interpolate(x, scale_factor=2), id="interpolate"),
        pytest.param(lambda x: qF.upsample(x, scale_factor=2), id="upsample"),
        pytest.param(lambda x: qF.upsample_nearest(x, scale_factor=2), id="upsample_nearest"),
    ]

    @pytest.mark.parametrize("nearest", NEAREST)
    def test_trap_one_dimension_is_refused(self, nearest):
        x = torch.quantize_per_tensor(torch.ones(1, 1, 2), 0.5, 10, torch.quint8)
        with pytest.raises(NotImplementedError, match="with arguments from the 'QuantizedCPU' backend"):
            nearest(x)

    def test_trap_bilinear_takes_two(self):
        x = torch.quantize_per_tensor(torch.ones(1, 1, 2, 2, 2), 0.5, 10, torch.quint8)
        with pytest.raises(NotImplementedError, match="Got 5D input, but bilinear mode needs 4D input"):
            qF.upsample_bilinear(x, scale_factor=2)

    @pytest.mark.parametrize(("mode", "dims"), [("linear", 1), ("bicubic", 2), ("trilinear", 3)], ids=str)
    @pytest.mark.parametrize("function", [qF.interpolate, qF.upsample], ids=["interpolate", "upsample"])
    def test_trap_other_modes_are_refused(self, function, mode, dims):
        x = torch.quantize_per_tensor(torch.ones(1, 1, *dims * [2]), 0.5, 10, torch.quint8)
        with pytest.raises(NotImplementedError, match="with arguments from the 'QuantizedCPU' backend"):
            function(x, scale_factor=2, mode=mode)

    @pytest.mark.parametrize("nearest", NEAREST)
    def test_trap_three_dimensions_work(self, nearest):
        x = torch.quantize_per_tensor(torch.ones(1, 1, 1, 1, 1), 0.5, 10, torch.quint8)
        assert nearest(x).dequantize().flatten().tolist() == [1] * 8

    def test_trap_nearest_exact_works(self):
        x = torch.quantize_per_tensor(torch.ones(1, 1, 1, 1), 0.5, 10, torch.quint8)
        assert qF.upsample(x, scale_factor=2, mode="nearest-exact").dequantize().flatten().tolist() == [1] * 4

    def test_fix_dequantize_first(self):
        x = torch.quantize_per_tensor(torch.tensor([[[1.0, 2.0]]]), 0.5, 10, torch.quint8)
        assert torch.nn.functional.interpolate(x.dequantize(), scale_factor=2).tolist() == [[[1, 1, 2, 2]]]


@pitfall(
    "observers-widen-the-range-to-zero",
    docs=[
        ("torch.ao.quantization.MinMaxObserver", "If the running minimum equals to the running"),
        ("torch.ao.quantization.MovingAverageMinMaxObserver", "If the running minimum equals to the running"),
        ("torch.ao.quantization.PerChannelMinMaxObserver", "If the running minimum equals to the running"),
    ],
    symptom="the scale of a constant activation is 0.0118, or 1.2e-07 for zeros",
    contradicts={
        "torch.ao.quantization.MinMaxObserver": "a constant gives the scale of the range from it to 0, and never 1",
        "torch.ao.quantization.PerChannelMinMaxObserver": "a constant channel gives the scale of the range to 0",
    },
    priority=3,
)
class TestObserversWidenTheRangeToZero:
    """The range of an observer always reaches to 0, so a constant has a scale of its own, and only no data gives 1.

    The documentation says 1 for a minimum that equals the maximum. For zeros the scale is the smallest allowed one,
    ``eps``. Check for constants yourself where they matter.
    """

    OBSERVERS = [MinMaxObserver, MovingAverageMinMaxObserver, PerChannelMinMaxObserver]

    @pytest.mark.parametrize(("constant", "zero_point"), [(510.0, 0), (-510.0, 255)], ids=["positive", "negative"])
    @pytest.mark.parametrize("observer", OBSERVERS, ids=lambda observer: observer.__name__)
    def test_trap_a_constant(self, observer, constant, zero_point):
        seen = observer()
        seen(torch.full((1, 2), constant))
        assert [x.item() for x in seen.calculate_qparams()] == [2, zero_point]

    @pytest.mark.parametrize("observer", OBSERVERS, ids=lambda observer: observer.__name__)
    def test_trap_zeros(self, observer):
        seen = observer()
        seen(torch.zeros(1, 2))
        assert seen.calculate_qparams()[0].item() == torch.finfo(torch.float32).eps

    def test_trap_no_data(self):
        with pytest.warns(UserWarning, match="must run observer before calling calculate_qparams"):
            found = MinMaxObserver().calculate_qparams()
        assert [x.item() for x in found] == [1, 0]

    def test_fix_look_at_the_range(self):
        seen = PerChannelMinMaxObserver()
        seen(torch.tensor([[510.0, 510.0], [0.0, 255.0]]))
        assert (seen.min_val == seen.max_val).tolist() == [True, False]


UNIFORM = [MinMaxObserver, MovingAverageMinMaxObserver, PerChannelMinMaxObserver]


@pitfall(
    "observers-take-integer-dtypes",
    docs=[
        ("torch.ao.quantization.MinMaxObserver", "can only take ``torch.qint8`` or ``torch.quint8``"),
        ("torch.ao.quantization.UniformQuantizationObserverBase", "can only take ``torch.qint8`` or ``torch.quint8``"),
    ],
    symptom="AssertionError: Default Observer only works for",
    error="Default Observer only works for",
    changed={"2.2": "int8, uint8, int16 and int32 are taken too"},
    contradicts={
        "torch.ao.quantization.MinMaxObserver": "qint32 and quint4x2 are taken as well, and plain integers since 2.2"
    },
    priority=3,
)
class TestObserversTakeIntegerDtypes:
    """An observer refuses a ``dtype`` that isn't one of the small integers: float16, bfloat16 or int64 raise.

    It takes more than the documentation says, namely ``qint32`` and ``quint4x2``. To cast to half precision instead of
    quantizing is what ``PlaceholderObserver`` is for.
    """

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64], ids=str)
    @pytest.mark.parametrize("observer", UNIFORM, ids=lambda observer: observer.__name__)
    def test_trap_other_dtypes_are_refused(self, observer, dtype):
        with pytest.raises(AssertionError, match="Default Observer only works for"):
            observer(dtype=dtype)

    @pytest.mark.parametrize("dtype", [torch.quint4x2, torch.qint32], ids=str)
    def test_trap_more_than_documented(self, dtype):
        assert MinMaxObserver(dtype=dtype).dtype == dtype

    @since("2.2")
    @pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32], ids=str)
    def test_trap_plain_integers_too(self, dtype):
        assert MinMaxObserver(dtype=dtype).dtype == dtype

    @before("2.2")
    @pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32], ids=str)
    def test_trap_plain_integers_were_refused(self, dtype):
        with pytest.raises(AssertionError, match="Default Observer only works for"):
            MinMaxObserver(dtype=dtype)

    def test_fix_placeholder(self):
        assert torch.ao.quantization.PlaceholderObserver(dtype=torch.float16).dtype == torch.float16


@pitfall(
    "observers-take-schemes-of-their-own-kind",
    docs=[
        ("torch.ao.quantization.MovingAverageMinMaxObserver", "Only works with ``torch.per_tensor_affine``"),
        ("torch.ao.quantization.UniformQuantizationObserverBase", "can only take one of the following options"),
        "torch.ao.quantization.MinMaxObserver",
        "torch.ao.quantization.PerChannelMinMaxObserver",
    ],
    symptom="NotImplementedError: MinMaxObserver's qscheme only support torch.per_tensor_symmetric",
    error="'s qscheme only support",
    contradicts={"torch.ao.quantization.MovingAverageMinMaxObserver": "torch.per_tensor_symmetric works as well"},
    priority=3,
)
class TestObserversTakeSchemesOfTheirOwnKind:
    """An observer of a whole tensor refuses the schemes for channels, and one of channels those for a tensor.

    Affine and symmetric work on both sides. Change the class of the observer together with ``qscheme=``.
    """

    PER_TENSOR = [torch.per_tensor_affine, torch.per_tensor_symmetric]
    PER_CHANNEL = [torch.per_channel_affine, torch.per_channel_symmetric]

    @pytest.mark.parametrize(
        ("observer", "schemes"),
        [
            pytest.param(MinMaxObserver, PER_CHANNEL, id="MinMaxObserver"),
            pytest.param(MovingAverageMinMaxObserver, PER_CHANNEL, id="MovingAverageMinMaxObserver"),
            pytest.param(PerChannelMinMaxObserver, PER_TENSOR, id="PerChannelMinMaxObserver"),
        ],
    )
    @pytest.mark.parametrize("which", [0, 1], ids=["affine", "symmetric"])
    def test_trap_the_other_kind_is_refused(self, observer, schemes, which):
        with pytest.raises(NotImplementedError, match="'s qscheme only support"):
            observer(qscheme=schemes[which])

    @pytest.mark.parametrize("observer", [MinMaxObserver, MovingAverageMinMaxObserver], ids=lambda one: one.__name__)
    def test_trap_symmetric_works(self, observer):
        seen = observer(qscheme=torch.per_tensor_symmetric, dtype=torch.qint8)
        seen(torch.tensor([0.0, 127.5]))
        assert [x.item() for x in seen.calculate_qparams()] == [1, 0]

    @pytest.mark.parametrize("qscheme", PER_CHANNEL, ids=str)
    def test_fix_the_class_for_channels(self, qscheme):
        seen = PerChannelMinMaxObserver(qscheme=qscheme, dtype=torch.qint8)
        seen(torch.tensor([[-127.5, 127.5], [-255.0, 255.0]]))
        assert seen.calculate_qparams()[0].tolist() == [1, 2]
