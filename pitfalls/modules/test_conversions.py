"""Converting a module: `to`, `half`, `double` and `type`, what they change in place and what they leave alone."""

import copy

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since

CONVERSIONS = [
    pytest.param(lambda net: net.to(torch.float64), torch.float64, id="to(float64)"),
    pytest.param(lambda net: net.double(), torch.float64, id="double"),
    pytest.param(lambda net: net.half(), torch.float16, id="half"),
    pytest.param(lambda net: net.bfloat16(), torch.bfloat16, id="bfloat16"),
    pytest.param(lambda net: net.type(torch.float64), torch.float64, id="type"),
]


@pitfall(
    "module-to-is-in-place",
    docs=[("torch.nn.Module.to", "This method modifies the module in-place"), "torch.Tensor.to"],
    symptom="half_model = model.half() changed the model too; x.to(device) without assignment does nothing",
    priority=1,
)
class TestModuleToIsInPlace:
    """``module.to(...)`` and ``half()`` change the module itself; ``tensor.to(...)`` returns another tensor.

    So ``model.to(device)`` needs no assignment and ``x = x.to(device)`` does, and ``half = model.half()`` is a second
    name for the one model, now in float16. ``copy.deepcopy(model).half()`` leaves the original as it is.
    """

    @pytest.mark.parametrize(("convert", "dtype"), CONVERSIONS)
    def test_trap_the_module_is_converted(self, device, seeded, convert, dtype):
        net = nn.Linear(1, 1, device=device)
        convert(net)
        assert net.weight.dtype == dtype

    @pytest.mark.parametrize(("convert", "dtype"), CONVERSIONS)
    def test_trap_what_it_returns_is_itself(self, device, seeded, convert, dtype):
        net = nn.Linear(1, 1, device=device)
        assert convert(net) is net

    @pytest.mark.parametrize(("convert", "dtype"), CONVERSIONS)
    def test_trap_a_tensor_is_not_converted(self, device, convert, dtype):
        x = torch.ones(1, device=device)
        convert(x)
        assert x.dtype == torch.float32

    @pytest.mark.parametrize(("convert", "dtype"), CONVERSIONS)
    def test_fix_assign_the_tensor(self, device, convert, dtype):
        x = torch.ones(1, device=device)
        x = convert(x)
        assert x.dtype == dtype

    @pytest.mark.parametrize(("convert", "dtype"), CONVERSIONS)
    def test_fix_convert_a_copy(self, device, seeded, convert, dtype):
        net = nn.Linear(1, 1, device=device)
        converted = convert(copy.deepcopy(net))
        assert (net.weight.dtype, converted.weight.dtype) == (torch.float32, dtype)


@pitfall(
    "module-to-leaves-integers-alone",
    docs=[
        ("torch.nn.Module.to", "The integral parameters and buffers will be moved"),
        "torch.nn.Module.type",
        "notes/modules",
    ],
    symptom="TypeError: nn.Module.to only accepts floating point or complex dtypes",
    error="nn.Module.to only accepts floating point or complex dtypes",
)
class TestModuleToLeavesIntegersAlone:
    """Converting a module changes its floating-point parameters and buffers; integer ones keep their dtype.

    That keeps counters and indices whole, and an integer dtype is refused as a target. ``Module.type`` is the
    exception: it converts everything, counters of batch norm included.
    """

    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda net: net.to(torch.float64), id="to"),
            pytest.param(lambda net: net.double(), id="double"),
            pytest.param(lambda net: net.half(), id="half"),
        ],
    )
    def test_trap_integer_buffers_stay(self, device, convert):
        net = nn.BatchNorm1d(1, device=device)
        convert(net)
        assert net.num_batches_tracked.dtype == torch.int64

    @pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool], ids=str)
    def test_trap_integers_are_no_target(self, device, seeded, dtype):
        net = nn.Linear(1, 1, device=device)
        with pytest.raises(TypeError, match="only accepts floating point or complex dtypes"):
            net.to(dtype)

    def test_trap_type_converts_everything(self, device):
        net = nn.BatchNorm1d(1, device=device)
        net.type(torch.float64)
        assert net.num_batches_tracked.dtype == torch.float64

    def test_trap_so_do_those_of_a_constructor(self, device):
        net = nn.BatchNorm1d(1, device=device, dtype=torch.float64)
        assert [buffer.dtype for buffer in net.buffers()] == [torch.float64, torch.float64, torch.int64]

    def test_fix_floating_buffers_are_converted(self, device):
        net = nn.BatchNorm1d(1, device=device)
        net.to(torch.float64)
        assert net.running_mean.dtype == torch.float64


@pitfall(
    "half-and-back-loses-digits",
    docs=["torch.nn.Module.half", "torch.nn.Module.float", "torch.finfo"],
    symptom="after model.half() for a benchmark and model.float() the accuracy is lower, or weights are inf",
)
class TestHalfAndBackLosesDigits:
    """``model.half().float()`` is float32 again with the values of float16: digits, large and tiny values are gone.

    The conversion is in place, so there is nothing to go back to. Convert a deep copy, or use autocast, which leaves
    the parameters as they are.
    """

    @pytest.mark.parametrize(
        ("value", "after"),
        [
            pytest.param(2049.0, 2048.0, id="digits"),
            pytest.param(1e6, float("inf"), id="large"),
            pytest.param(2.0**-30, 0.0, id="tiny"),
        ],
    )
    def test_trap_values_are_those_of_float16(self, device, seeded, value, after):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.constant_(net.weight, value)
        net.half().float()
        assert net.weight.item() == after

    def test_fix_convert_a_copy(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.constant_(net.weight, 2049.0)
        copy.deepcopy(net).half()
        assert net.weight.item() == 2049


@pitfall(
    "complex-module-to-real",
    docs=["torch.nn.Module.to", "torch.nn.Module.double"],
    symptom="UserWarning: Casting complex values to real discards the imaginary part, from model.to(torch.float32)",
    error="Casting complex values to real discards the imaginary part",
    priority=3,
)
class TestComplexModuleToReal:
    """``module.to(torch.float32)`` drops the imaginary part of complex parameters; ``module.float()`` does nothing.

    ``float``, ``double``, ``half`` and ``bfloat16`` convert floating-point parameters only, and a complex one is none.
    To change the precision of a complex module, convert to ``complex64`` or ``complex128``, which warns too.
    """

    def test_trap_to_drops_the_imaginary_part(self, device):
        net = nn.ParameterList([torch.tensor([1 + 2j], device=device)])
        with pytest.warns(UserWarning, match="Casting complex values to real discards the imaginary part"):
            net.to(torch.float32)
        assert net[0].tolist() == [1]

    @pytest.mark.parametrize(
        "convert",
        [pytest.param(lambda net: net.double(), id="double"), pytest.param(lambda net: net.half(), id="half")],
    )
    def test_trap_double_leaves_it_alone(self, device, convert):
        net = nn.ParameterList([torch.tensor([1 + 2j], device=device)])
        convert(net)
        assert net[0].dtype == torch.complex64

    def test_fix_convert_to_another_complex_dtype(self, device):
        net = nn.ParameterList([torch.tensor([1 + 2j], device=device)])
        with pytest.warns(UserWarning, match="Complex modules are a new feature"):
            net.to(torch.complex128)
        assert net[0].tolist() == [1 + 2j]


@pytest.fixture
def conversion_flags():
    """The flags that say how a module converts its parameters, put back afterwards."""
    yield
    torch.__future__.set_overwrite_module_params_on_conversion(False)
    if hasattr(torch.__future__, "set_swap_module_params_on_conversion"):  # since 2.3
        torch.__future__.set_swap_module_params_on_conversion(False)


@pitfall(
    "conversion-may-replace-parameters",
    docs=["torch.__future__.set_overwrite_module_params_on_conversion", "torch.nn.Module.to_empty", "meta"],
    symptom="an optimizer made before model.to_empty(...) or model.to('meta') trains nothing",
    changed={"2.3": "torch.__future__.set_swap_module_params_on_conversion came"},
    priority=3,
)
class TestConversionMayReplaceParameters:
    """Converting dtype keeps the parameter objects; a conversion to or from the meta device makes new ones.

    So an optimizer made before ``double()`` still holds the parameters, one made before ``to_empty`` does not, and
    parameters that were shared are shared no more. The overwrite flag of ``torch.__future__`` makes every conversion
    replace them, the swap flag (since torch 2.3) none, whatever the other says.
    """

    def test_trap_to_empty_makes_new_parameters(self, device):
        net = nn.Linear(1, 1, device="meta")
        before = net.weight
        net.to_empty(device=device)
        assert net.weight is not before

    def test_trap_shared_parameters_come_apart(self, device):
        net = nn.Sequential(nn.Linear(1, 1, bias=False, device="meta"), nn.Linear(1, 1, bias=False, device="meta"))
        net[1].weight = net[0].weight
        net.to_empty(device=device)
        assert len(list(net.parameters())) == 2

    def test_trap_the_overwrite_flag_replaces_them_always(self, device, seeded, conversion_flags):
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        net = nn.Linear(1, 1, device=device)
        before = net.weight
        net.double()
        assert net.weight is not before

    @since("2.3")
    def test_trap_the_swap_flag_wins(self, device, seeded, conversion_flags):
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        torch.__future__.set_swap_module_params_on_conversion(True)
        net = nn.Linear(1, 1, device=device)
        before = net.weight
        net.double()
        assert net.weight is before

    def test_fix_a_dtype_conversion_keeps_them(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        nn.init.ones_(net.double().weight)
        net(torch.ones(1, dtype=torch.float64, device=device)).backward()
        optimizer.step()
        assert net.weight.item() == 0.5
