"""Where new tensors go: ``torch.device`` as a context, ``set_default_device``, and devices that only look the same."""

import numpy as np
import pytest
import torch

from pitfalls import on, pitfall


@pytest.fixture
def default_meta():
    """The meta device as the default one, put back afterwards: it is on every machine, and is not the CPU."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


# torch lists its factories at the first use of a default device: let that be here, before anything is patched.
with torch.device("cpu"):
    torch.ones(0)

FOLLOW = [
    pytest.param(lambda: torch.ones(2), id="ones"),
    pytest.param(lambda: torch.arange(2), id="arange"),
    pytest.param(lambda: torch.tensor([1.0]), id="tensor"),
    pytest.param(lambda: torch.as_tensor(torch.ones(2, device="cpu")), id="as_tensor of a CPU tensor"),
    pytest.param(lambda: torch.rand(2), id="rand"),
    pytest.param(lambda: torch.nn.Linear(1, 1).weight, id="parameter of a module"),
]

STAY = [
    pytest.param(lambda: torch.ones(2, device="cpu"), id="device="),
    pytest.param(lambda: torch.ones_like(torch.ones(2, device="cpu")), id="ones_like"),
    pytest.param(lambda: torch.ones(2, device="cpu").new_ones(2), id="new_ones"),
    pytest.param(lambda: torch.ones(2, device="cpu") * 2, id="a result"),
    pytest.param(lambda: torch.from_numpy(np.ones(2)), id="from_numpy"),
    pytest.param(lambda: torch.frombuffer(bytearray(4), dtype=torch.uint8), id="frombuffer"),
    pytest.param(lambda: torch.from_dlpack(np.ones(2)), id="from_dlpack"),
    pytest.param(lambda: torch.Tensor([1.0]), id="torch.Tensor"),
    pytest.param(lambda: torch.FloatTensor(2), id="torch.FloatTensor"),
]


@pitfall(
    "default-device-does-not-reach-everything",
    docs=[("torch.set_default_device", "that share the same memory as the input"), "tensor_attributes#torch-device"],
    symptom="some tensors stay on the CPU inside `with torch.device('cuda')`, and the next operation raises",
)
class TestDefaultDeviceDoesNotReachEverything:
    """A default device moves what factories make; shared memory, ``*_like``, and the legacy classes don't follow it.

    ``set_default_device`` and ``with torch.device(...)`` act as if each factory had been given ``device=``, so that an
    explicit one wins. ``torch.as_tensor`` even moves a tensor that exists. Move what was shared with ``to()``.
    """

    @pytest.mark.parametrize("make", FOLLOW)
    def test_trap_factories_follow_the_context(self, seeded, make):
        with torch.device("meta"):
            x = make()
        assert x.device.type == "meta"

    @pytest.mark.parametrize("make", STAY)
    def test_trap_these_stay_on_the_cpu(self, make):
        with torch.device("meta"):
            x = make()
        assert x.device.type == "cpu"

    @pytest.mark.parametrize("make", FOLLOW)
    def test_trap_factories_follow_the_default(self, seeded, default_meta, make):
        assert make().device.type == "meta"

    @pytest.mark.parametrize("make", STAY)
    def test_trap_these_ignore_the_default(self, default_meta, make):
        assert make().device.type == "cpu"

    def test_trap_the_context_ends_with_its_block(self):
        with torch.device("meta"):
            pass
        assert torch.ones(2).device.type == "cpu"

    def test_fix_move_what_was_shared(self, device):
        x = torch.from_numpy(np.ones(2)).to(device)
        assert x.device.type == device.type

    def test_fix_an_explicit_device_wins(self, device, default_meta):
        assert torch.ones(2, device=device).tolist() == [1, 1]


@pitfall(
    "device-without-index-is-another-device",
    docs=["tensor_attributes#torch-device"],
    symptom="x.device == torch.device('cuda') is False for a tensor on the GPU",
)
class TestDeviceWithoutIndexIsAnotherDevice:
    """``torch.device("cuda")`` and ``torch.device("cuda:0")`` are unequal: without an index it means the current one.

    A tensor on a GPU always has an index. A device is no string, and its index isn't checked when it is made. Compare
    ``x.device.type``, or the devices of two tensors.
    """

    @pytest.mark.parametrize("name", ["cuda", "cpu"])
    def test_trap_they_are_unequal(self, name):
        spelled = [torch.device(name), torch.device(name, 0), torch.device(f"{name}:0")]
        assert [one == torch.device(name, 0) for one in spelled] == [False, True, True]

    def test_trap_a_device_is_no_string(self, device):
        where = torch.ones(2, device=device).device
        assert [where == str(where), where == torch.device(str(where))] == [False, True]

    def test_trap_the_index_is_not_checked(self):
        assert torch.device("cuda:99").index == 99
        assert torch.device("cuda").index is None

    @on("cuda")
    def test_trap_a_tensor_on_the_gpu_has_an_index(self, device):
        x = torch.ones(2, device="cuda")
        assert x.device != torch.device("cuda")
        assert x.device.index is not None

    @on("cuda")
    def test_trap_an_integer_is_an_index(self, device):  # `device` has the case skipped where there is no GPU
        assert torch.ones(2, device=0).device == torch.device("cuda:0")

    def test_fix_compare_the_type(self, device):
        assert torch.ones(2, device=device).device.type == torch.device(device.type).type

    def test_fix_compare_the_devices_of_tensors(self, device):
        x = torch.ones(2, device=device)
        assert x.device == torch.zeros(2, device=device).device


@pitfall(
    "scalar-tensors-mix-across-devices",
    docs=["tensor_attributes#torch-device"],
    symptom="Expected all tensors to be on the same device, for a tensor of one element but not for a scalar",
)
class TestScalarTensorsMixAcrossDevices:
    """A CPU tensor without dimensions mixes with tensors of any device; one with dimensions, of whatever size, doesn't.

    It is treated as a number. A scalar on a GPU doesn't mix with CPU tensors, nor do ``stack`` and ``cat`` accept such
    mixtures. Create or move tensors with ``device=x.device``.
    """

    MIXES = [
        pytest.param(lambda x, y: x + y, id="plus"),
        pytest.param(lambda x, y: y * x, id="times"),
        pytest.param(torch.maximum, id="maximum"),
        pytest.param(lambda x, y: torch.where(x > 0, x, y), id="where"),
        pytest.param(lambda x, y: x.add_(y), id="add_"),
    ]

    @pytest.mark.parametrize("mix", MIXES)
    def test_trap_a_cpu_scalar_is_taken(self, mix):
        x = torch.ones(2, device="meta")
        assert mix(x, torch.tensor(2.0)).device.type == "meta"

    @on("cuda")
    @pytest.mark.parametrize("mix", MIXES)
    def test_trap_a_cpu_scalar_is_taken_on_the_gpu(self, device, mix):
        x = torch.ones(2, device=device)
        assert mix(x, torch.tensor(2.0)).device.type == "cuda"

    @pytest.mark.parametrize("mix", MIXES[:-1])
    def test_trap_one_element_with_a_dimension_is_not(self, mix):
        x = torch.ones(2, device="meta")
        with pytest.raises(RuntimeError, match=r"is not on the expected device|to be on the same device"):
            mix(x, torch.tensor([2.0]))

    @on("cuda")
    @pytest.mark.parametrize("mix", MIXES)
    def test_trap_one_element_with_a_dimension_is_not_on_the_gpu(self, device, mix):
        x = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match="to be on the same device"):
            mix(x, torch.tensor([2.0]))

    @on("cuda")
    def test_trap_a_gpu_scalar_is_not_taken_by_the_cpu(self, device):
        with pytest.raises(RuntimeError, match="to be on the same device"):
            torch.ones(2) + torch.tensor(2.0, device=device)

    @pytest.mark.parametrize("mix", MIXES)
    def test_fix_create_it_on_the_device(self, device, mix):
        x = torch.ones(2, device=device)
        assert mix(x, torch.tensor([2.0], device=x.device)).device == x.device
