"""Quantized layers: what they pad with and take, and functions that are modules only by name."""

import warnings

import pytest
import torch
import torch.ao.nn.quantized.functional as QF
from torch import nn
from torch.ao.nn import quantized

from pitfalls import on, pitfall


@pytest.fixture
def quietly():
    """Without the warnings of torch 2.13 and later that quantized tensors are deprecated, a pitfall of its own."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*quantized tensor creation functions")
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")  # torch 2.0
        yield


CONVOLUTIONS = [
    pytest.param(QF.conv1d, (1, 1, 2), id="conv1d"),
    pytest.param(QF.conv2d, (1, 1, 2, 2), id="conv2d"),
    pytest.param(QF.conv3d, (1, 1, 2, 2, 2), id="conv3d"),
]


@pitfall(
    "quantized-convolution-pads-with-zeros",
    docs=["torch.nn.quantized.Conv1d"],
    symptom="ValueError: 'padding_mode' circular is not supported by quantized convolution",
    error="is not supported by quantized convolution | Only zero-padding is supported!",
    priority=3,
)
class TestQuantizedConvolutionPadsWithZeros:
    """Quantized convolutions pad with zeros: layers refuse ``"circular"``, functions refuse ``"reflect"`` as well.

    The float layer that they are made from may pad as it likes, so it is the conversion that fails. Pad before the
    layer, with ``nn.ReflectionPad1d`` and its kin, which work on quantized tensors.
    """

    @pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "Conv3d"])
    def test_trap_layers_refuse_others(self, name):
        with pytest.raises(ValueError, match="circular is not supported by quantized convolution"):
            getattr(quantized, name)(1, 1, 1, padding_mode="circular")

    @on("cpu")
    @pytest.mark.parametrize(("convolve", "shape"), CONVOLUTIONS)
    def test_trap_functions_refuse_others(self, device, quietly, convolve, shape):
        x = torch.quantize_per_tensor(torch.ones(shape, device=device), 1.0, 0, torch.quint8)
        weight = torch.quantize_per_tensor(torch.ones(shape, device=device), 1.0, 0, torch.qint8)
        with pytest.raises(NotImplementedError, match="Only zero-padding is supported!"):
            convolve(x, weight, torch.zeros(1, device=device), padding_mode="reflect")

    @on("cpu")
    def test_fix_pad_before(self, device, quietly):
        x = torch.quantize_per_tensor(torch.tensor([[[1.0, 2.0, 3.0]]], device=device), 1.0, 0, torch.quint8)
        assert nn.ReflectionPad1d(1)(x).int_repr().tolist() == [[[2, 1, 2, 3, 2]]]


@pitfall(
    "quantized-convolution-takes-quint8",
    docs=["torch.nn.quantized.Conv1d"],
    symptom="NotImplementedError: Only torch.quint8 is supported for activation tensor!",
    error="Only torch.quint8 is supported for activation tensor!",
    priority=3,
)
class TestQuantizedConvolutionTakesQuint8:
    """Quantized convolutions take ``quint8`` input and ``qint8`` weights, and no other combination.

    Signed input is refused although weights must be signed, and so are plain floats. Quantize as ``torch.quint8``, with
    a zero point that leaves room for the negative numbers.
    """

    @on("cpu")
    @pytest.mark.parametrize(("convolve", "shape"), CONVOLUTIONS)
    def test_trap_signed_input(self, device, quietly, convolve, shape):
        x = torch.quantize_per_tensor(torch.ones(shape, device=device), 1.0, 0, torch.qint8)
        with pytest.raises(NotImplementedError, match=r"Only torch\.quint8 is supported for activation tensor"):
            convolve(x, x, torch.zeros(1, device=device))

    @on("cpu")
    @pytest.mark.parametrize(("convolve", "shape"), CONVOLUTIONS)
    def test_trap_floats(self, device, quietly, convolve, shape):
        weight = torch.quantize_per_tensor(torch.ones(shape, device=device), 1.0, 0, torch.qint8)
        with pytest.raises(NotImplementedError, match=r"Only torch\.quint8 is supported for activation tensor"):
            convolve(torch.ones(shape, device=device), weight, torch.zeros(1, device=device))

    @on("cpu")
    def test_fix_a_zero_point(self, device, quietly):
        x = torch.quantize_per_tensor(torch.tensor([[[-2.0, 3.0]]], device=device), 1.0, 128, torch.quint8)
        weight = torch.quantize_per_tensor(torch.tensor([[[2.0]]], device=device), 1.0, 0, torch.qint8)
        y = QF.conv1d(x, weight, torch.zeros(1, device=device), scale=1.0, zero_point=128)
        assert y.dequantize().tolist() == [[[-4, 6]]]


FUNCTIONALS = [quantized.QFunctional, quantized.FloatFunctional, quantized.FXFloatFunctional]


@pitfall(
    "quantized-functionals-are-not-callable",
    docs=["torch.nn.quantized.QFunctional"],
    symptom="RuntimeError: Functional is not intended to use the 'forward'. Please use the underlying operation",
    error="is not intended to use the 'forward'. Please use the underlying operation",
    priority=3,
)
class TestQuantizedFunctionalsAreNotCallable:
    """``FloatFunctional`` and ``QFunctional`` are modules without a forward pass: calling them raises.

    They are there so that an addition has a place for its scale and observer. Call their ``add``, ``mul``, ``cat`` and
    so on, one object for each place in the network.
    """

    @pytest.mark.parametrize("functional", FUNCTIONALS, ids=["QFunctional", "FloatFunctional", "FXFloatFunctional"])
    def test_trap_calling_raises(self, device, functional):
        with pytest.raises(RuntimeError, match="Please use the underlying operation"):
            functional()(torch.ones(1, device=device))

    @pytest.mark.parametrize("functional", FUNCTIONALS[1:], ids=["FloatFunctional", "FXFloatFunctional"])
    def test_fix_name_the_operation(self, device, functional):
        x = torch.tensor([3.0], device=device)
        assert functional().add(x, x).tolist() == [6]
        assert functional().mul(x, x).tolist() == [9]
