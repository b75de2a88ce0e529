"""Quantization, which moves to torchao: what is deprecated, and what has left torch."""

import importlib.util

import pytest
import torch

from pitfalls import before, observe, pitfall, since

CREATE = [
    pytest.param(lambda x: torch.quantize_per_tensor(x, 0.5, 10, torch.quint8), id="quantize_per_tensor"),
    pytest.param(
        lambda x: torch.quantize_per_channel(
            x, torch.full((2,), 0.5, device=x.device), torch.full((2,), 10, device=x.device), 0, torch.quint8
        ),
        id="quantize_per_channel",
    ),
]


@pitfall(
    "quantized-tensors-are-deprecated",
    docs=["torch.quantize_per_tensor", "torch.fake_quantize_per_tensor_affine", "quantization"],
    symptom="UserWarning: torch.quantize_per_tensor, torch.quantize_per_channel and other quantized tensor creation",
    error="quantized tensor creation functions",
    changed={"2.13": "creating a tensor of a quantized dtype warns as deprecated"},
    priority=3,
)
class TestQuantizedTensorsAreDeprecated:
    """Creating a tensor of dtype ``quint8``, ``qint8`` or ``qint32`` warns since torch 2.13: they are to go.

    Values saturate at the ends of the integer range, as they always did. The same rounding without a quantized dtype is
    ``torch.fake_quantize_per_tensor_affine``; integers with a scale beside them are what torchao works with.
    """

    @before("2.13")
    @pytest.mark.parametrize("create", CREATE)
    def test_trap_values_saturate(self, device, create):
        q = create(torch.tensor([1.0, 1000.0], device=device))
        assert q.int_repr().tolist() == [12, 255]

    @since("2.13")
    @pytest.mark.parametrize("create", CREATE)
    def test_trap_values_saturate_and_creation_warns(self, device, create):
        with pytest.warns(UserWarning, match="quantized tensor creation functions"):
            q = create(torch.tensor([1.0, 1000.0], device=device))
        assert q.int_repr().tolist() == [12, 255]

    def test_fix_fake_quantize(self, device):
        x = torch.tensor([1.0, 1.2, 1000.0], device=device)
        assert torch.fake_quantize_per_tensor_affine(x, 0.5, 10, 0, 255).tolist() == [1, 1, 122.5]


EAGER = [
    pytest.param(lambda model: torch.ao.quantization.quantize_dynamic(model), id="quantize_dynamic"),
    pytest.param(lambda model: torch.ao.quantization.convert(model), id="convert"),
]


@pitfall(
    "eager-quantization-is-deprecated",
    docs=["torch.ao.quantization.quantize_dynamic", "torch.ao.quantization.convert", "quantization"],
    symptom="torch.ao.quantization is deprecated; No module named 'torch.ao.quantization.quantizer'",
    error="torch.ao.quantization is deprecated",
    changed={
        "2.1": "the quantization of exported programs came, with torch.ao.quantization.quantizer",
        "2.8": "quantize_dynamic, prepare, convert and their kin warn as deprecated",
        "2.11": "the quantization of exported programs (quantizer, pt2e, quantize_pt2e) moved to torchao",
    },
    priority=3,
)
class TestEagerQuantizationIsDeprecated:
    """``torch.ao.quantization`` works on, and warns of a removal that was announced for torch 2.10 and has not come.

    Python hides a ``DeprecationWarning`` outside ``__main__``, so it is easily missed. Its successor is the package
    torchao, and what belongs to exported programs is there already: ``torch.ao.quantization.quantizer`` and
    ``quantize_pt2e`` can't be imported since torch 2.11.
    """

    @before("2.8")
    @pytest.mark.parametrize("quantize", EAGER)
    def test_trap_it_gave_a_model(self, quantize):
        model = quantize(torch.nn.Sequential(torch.nn.ReLU()))
        assert model(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]
        observe(pt2e=importlib.util.find_spec("torch.ao.quantization.quantizer") is not None)

    @since("2.8")
    @pytest.mark.parametrize("quantize", EAGER)
    def test_trap_it_gives_a_model_and_warns(self, quantize):
        with pytest.warns(DeprecationWarning, match="torch.ao.quantization is deprecated"):
            model = quantize(torch.nn.Sequential(torch.nn.ReLU()))
        assert model(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]
        observe(pt2e=importlib.util.find_spec("torch.ao.quantization.quantizer") is not None)
