"""Machines without a GPU: what raises there, what quietly does nothing, and how code finds out."""

import pytest
import torch
from torch import nn

from pitfalls import before, observe, on, pitfall, since

NO_GPU = "Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available|driver .* is too old"

without_gpu = pytest.mark.skipif("torch.cuda.is_available()", reason="this machine has a GPU")


@pitfall(
    "cuda-needs-a-gpu-when-first-used",
    docs=[("torch.cuda", "lazily initialized, so you can always import it"), "torch.cuda.is_available", "cuda"],
    symptom="AssertionError: Torch not compiled with CUDA enabled",
    error="Torch not compiled with CUDA enabled | Found no NVIDIA driver on your system",
    priority=1,
)
class TestCudaNeedsAGpuWhenFirstUsed:
    """Without a usable GPU CUDA raises when it is first used, not at import, and in two ways.

    A build for CPUs raises AssertionError (pip's default on Windows and macOS), a build for CUDA on a machine without
    a driver RuntimeError: ``except RuntimeError`` misses the first. Choose by ``torch.cuda.is_available()``.
    """

    @without_gpu
    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda: torch.ones(2).cuda(), id="Tensor.cuda"),
            pytest.param(lambda: torch.ones(2).to("cuda"), id="Tensor.to"),
            pytest.param(lambda: torch.ones(2, device="cuda"), id="device="),
            pytest.param(lambda: torch.tensor([1.0], device="cuda:0"), id="device= with an index"),
            pytest.param(lambda: nn.PReLU().cuda(), id="Module.cuda"),
            pytest.param(lambda: nn.PReLU().to("cuda"), id="Module.to"),
            pytest.param(lambda: nn.PReLU(device="cuda"), id="a new module"),
            pytest.param(lambda: torch.cuda.init(), id="init"),
            pytest.param(lambda: torch.cuda.synchronize(), id="synchronize"),
            pytest.param(lambda: torch.cuda.current_device(), id="current_device"),
            pytest.param(lambda: torch.cuda.current_stream(), id="current_stream"),
            pytest.param(lambda: torch.cuda.get_device_name(), id="get_device_name"),
            pytest.param(lambda: torch.cuda.get_device_properties(0), id="get_device_properties"),
            pytest.param(lambda: torch.cuda.mem_get_info(), id="mem_get_info"),
            pytest.param(lambda: torch.cuda.get_rng_state(), id="get_rng_state"),
        ],
    )
    def test_trap_every_use_raises(self, monkeypatch, use):
        monkeypatch.setenv("CUDA_MODULE_LOADING", "LAZY")  # otherwise torch sets it as CUDA starts
        kind = RuntimeError if torch.backends.cuda.is_built() else AssertionError
        with pytest.raises(kind, match=NO_GPU):
            use()

    def test_fix_ask_first(self):
        where = "cuda" if torch.cuda.is_available() else "cpu"
        assert torch.ones(2, device=where).tolist() == [1, 1]


@pitfall(
    "some-of-cuda-answers-without-a-gpu",
    docs=[("torch.cuda.is_available", "bool indicating if CUDA is currently available"), "torch.cuda.device_count"],
    symptom="torch.cuda.memory_allocated() is always 0; empty_cache() has no effect",
)
class TestSomeOfCudaAnswersWithoutAGpu:
    """Without a GPU some questions are answered with False, 0 or nothing, as if a GPU were there and idle.

    ``is_available``, ``device_count`` and ``is_initialized`` are meant to; the numbers of the memory statistics say
    nothing there. A ``torch.device("cuda")`` can be made as well, since it is only a name.
    """

    @without_gpu
    def test_trap_there_is_none(self):
        assert [torch.cuda.is_available(), torch.cuda.device_count(), torch.cuda.is_initialized()] == [False, 0, False]
        observe(
            memory=[torch.cuda.memory_allocated(), torch.cuda.memory_reserved(), torch.cuda.max_memory_allocated()],
            states=torch.cuda.get_rng_state_all(),
        )

    @without_gpu
    def test_trap_emptying_a_cache_that_is_not_there(self):
        assert torch.cuda.empty_cache() is None

    @on("cuda")
    def test_trap_with_one_it_counts(self, device):
        assert torch.cuda.is_available() is True
        assert torch.cuda.device_count() > 0

    def test_fix_a_tensor_knows_where_it_is(self, device):
        assert torch.ones(2, device=device).is_cuda is (device.type == "cuda")


@pitfall(
    "cuda-seeds-are-silent-without-a-gpu",
    docs=[("torch.cuda.manual_seed", "safe to call this function if CUDA is"), "torch.cuda.manual_seed_all"],
    symptom="torch.cuda.manual_seed_all(0) raises nothing, and runs on the CPU still differ",
)
class TestCudaSeedsAreSilentWithoutAGpu:
    """The seeding functions of ``torch.cuda`` do nothing without a GPU, silently, and never seed the CPU.

    Each is remembered until CUDA starts, so it doesn't start CUDA either. ``torch.manual_seed`` seeds the CPU and
    every GPU.
    """

    @without_gpu
    @pytest.mark.parametrize(
        "seed",
        [
            pytest.param(lambda: torch.cuda.manual_seed(7), id="manual_seed"),
            pytest.param(lambda: torch.cuda.manual_seed_all(7), id="manual_seed_all"),
            pytest.param(lambda: torch.cuda.seed(), id="seed"),
            pytest.param(lambda: torch.cuda.seed_all(), id="seed_all"),
        ],
    )
    def test_trap_nothing_happens(self, seed):
        assert seed() is None

    def test_trap_the_cpu_is_not_seeded(self, seeded):
        torch.cuda.manual_seed(7)
        torch.cuda.manual_seed_all(7)
        assert torch.initial_seed() == 0

    def test_fix_seed_everything(self, device, seeded):
        torch.manual_seed(7)
        first = torch.rand(3, device=device)
        torch.manual_seed(7)
        assert torch.equal(torch.rand(3, device=device), first)


@pitfall(
    "modules-without-tensors-move-anywhere",
    docs=["torch.nn.Module.cuda", ("torch.nn.Module.to", "parameters and buffers")],
    symptom="model.cuda() works on a machine without a GPU; the model has no parameters yet",
    priority=3,
)
class TestModulesWithoutTensorsMoveAnywhere:
    """Moving a module moves its parameters and buffers: where there are none, no device is asked for and none checked.

    So it shows nothing about the machine, nor does it reach tensors in plain attributes. What to do about those is a
    matter of ``register_buffer``.
    """

    @pytest.mark.parametrize(
        "move",
        [
            pytest.param(lambda net: net.cuda(99), id="cuda"),
            pytest.param(lambda net: net.to("cuda:99"), id="to"),
            pytest.param(lambda net: net.to(torch.device("cuda", 99)), id="to a device"),
        ],
    )
    def test_trap_there_is_no_such_gpu(self, move):
        net = nn.Sequential(nn.ReLU(), nn.Flatten())
        assert move(net) is net

    def test_trap_a_plain_attribute_stays(self):
        net = nn.ReLU()
        net.scale = torch.ones(1)
        net.to("meta")
        assert net.scale.device.type == "cpu"

    def test_fix_register_it(self):
        net = nn.ReLU()
        net.register_buffer("scale", torch.ones(1))
        assert net.to("meta").scale.device.type == "meta"


@pitfall(
    "get-device-is-minus-one-on-the-cpu",
    docs=[("torch.Tensor.get_device", "For CPU tensors, this function returns"), "torch.cuda.set_device"],
    symptom="torch.cuda.set_device(x.get_device()) does nothing",
    priority=3,
)
class TestGetDeviceIsMinusOneOnTheCpu:
    """``get_device()`` is the number of a GPU and -1 for a CPU tensor; a negative number as a device changes nothing.

    So the two go together without an error, and no device is selected. Use ``x.device``.
    """

    @on("cpu")
    def test_trap_the_cpu_has_no_number(self, device):
        assert torch.ones(2, device=device).get_device() == -1

    @on("cuda")
    def test_trap_a_gpu_has_one(self, device):
        x = torch.ones(2, device=device)
        assert x.get_device() == x.device.index

    @on("cpu")
    def test_trap_selecting_it_changes_nothing(self, device):
        assert torch.cuda.set_device(torch.ones(2, device=device).get_device()) is None

    @on("cuda")
    def test_trap_a_negative_number_selects_nothing(self, device):
        was = torch.cuda.current_device()
        torch.cuda.set_device(-1)
        with torch.cuda.device(-1), torch.cuda.device(None):
            assert torch.cuda.current_device() == was

    def test_fix_ask_for_the_device(self, device):
        x = torch.ones(2, device=device)
        assert torch.zeros(2, device=x.device).device == x.device


@pitfall(
    "device-names-are-exact",
    docs=["tensor_attributes#torch-device", "torch.Tensor.cuda", "torch.cuda.set_device"],
    symptom="RuntimeError: Expected one of cpu, cuda, ipu, xpu, ... device type at start of device string: gpu",
    error="Expected one of cpu, cuda, ipu, xpu",
    priority=3,
)
class TestDeviceNamesAreExact:
    """A device string is a type in small letters, a colon, and a plain number: ``"gpu"`` and ``"CUDA"`` are no devices.

    Nor does ``cuda()`` take the CPU. Build names from parts: ``torch.device("cuda", index)``. Whether the machine has
    such a device is only found out at its first use.
    """

    @pytest.mark.parametrize("name", ["gpu", "CUDA", "nvidia", "Cuda:0"])
    def test_trap_unknown_types(self, name):
        with pytest.raises(RuntimeError, match=r"Expected one of cpu, cuda, .* device type at start of device string"):
            torch.device(name)

    @pytest.mark.parametrize("name", ["cuda0", "cuda:-1", "cuda: 0", "cuda:01", "cuda:"])
    def test_trap_malformed_numbers(self, name):
        with pytest.raises(RuntimeError, match="Invalid device string"):
            torch.device(name)

    def test_trap_cuda_takes_no_cpu(self, device):
        with pytest.raises(RuntimeError, match="Invalid device, must be cuda device"):
            torch.ones(2, device=device).cuda("cpu")

    def test_trap_the_cpu_cannot_be_selected(self):
        with pytest.raises(ValueError, match="Expected a cuda device, but got: cpu"):
            torch.cuda.set_device("cpu")

    def test_fix_parts(self):
        assert str(torch.device("cuda", 1)) == "cuda:1"
        observe(index_300=torch.device("cuda", 300).index)


@pitfall(
    "pinning-needs-an-accelerator",
    docs=["torch.Tensor.pin_memory", "torch.Tensor.is_pinned", "notes/cuda#use-pinned-memory-buffers"],
    symptom="pin_memory() raises on a machine without a GPU; the DataLoader warns that no accelerator is found",
    error="'pin_memory' argument is set as true but no accelerator is found",
    changed={"2.7": "DataLoader(pin_memory=True) warns if there is no accelerator, before it was silent"},
)
class TestPinningNeedsAnAccelerator:
    """Only a machine with an accelerator has pinned memory: ``pin_memory()`` raises elsewhere, a DataLoader goes on.

    Its batches are then not pinned, which does no harm. Pin where it is of use:
    ``DataLoader(..., pin_memory=torch.cuda.is_available())``.
    """

    @without_gpu
    def test_trap_a_tensor_refuses(self):
        with pytest.raises(RuntimeError, match=r"driver|no GPU|No CUDA GPUs|accelerator"):
            torch.ones(2).pin_memory()

    @without_gpu
    def test_trap_so_does_a_factory(self):
        with pytest.raises(RuntimeError, match=r"driver|No CUDA GPUs|accelerator|allocator"):
            torch.ones(2, pin_memory=True)

    @since("2.7")
    @without_gpu
    def test_trap_a_loader_warns(self, seeded):
        loader = torch.utils.data.DataLoader([1.0, 2.0], batch_size=2, pin_memory=True)
        with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
            (batch,) = loader
        assert batch.is_pinned() is False

    @before("2.7")
    @without_gpu
    def test_trap_a_loader_was_silent(self, seeded):
        (batch,) = torch.utils.data.DataLoader([1.0, 2.0], batch_size=2, pin_memory=True)
        assert batch.is_pinned() is False

    @on("cuda")
    def test_trap_with_a_gpu_batches_are_pinned(self, device, seeded):
        (batch,) = torch.utils.data.DataLoader([1.0, 2.0], batch_size=2, pin_memory=True)
        assert batch.is_pinned() is True

    def test_fix_pin_where_it_is_of_use(self, seeded):
        pin = torch.cuda.is_available()
        (batch,) = torch.utils.data.DataLoader([1.0, 2.0], batch_size=2, pin_memory=pin)
        assert batch.is_pinned() is pin
