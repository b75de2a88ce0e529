"""Code for any accelerator and for several GPUs: ``torch.accelerator``, ``torch.cuda.comm`` and DataParallel."""

import contextlib

import pytest
import torch
from torch import nn
from torch.cuda import comm

from pitfalls import before, observe, on, pitfall, since

NONE = "Cannot access accelerator device when none is available|Found no NVIDIA driver|No CUDA GPUs are available"

without_accelerator = pytest.mark.skipif(
    "hasattr(torch, 'accelerator') and torch.accelerator.is_available()", reason="this machine has an accelerator"
)


@since("2.6")
@pitfall(
    "current-accelerator-is-about-the-build",
    docs=["torch.accelerator.current_accelerator", "torch.accelerator.is_available", "torch.accelerator.synchronize"],
    symptom="torch.accelerator.current_accelerator() is 'cuda' on a machine without a GPU",
    error="Cannot access accelerator device when none is available",
    changed={
        "2.7": "without an accelerator current_accelerator() gives what torch was built for or None, before it raised"
    },
    contradicts={"torch.accelerator.synchronize": "it does nothing as long as the accelerator isn't initialised"},
)
class TestCurrentAcceleratorIsAboutTheBuild:
    """``torch.accelerator.current_accelerator()`` says what torch was built for, not whether the machine has one.

    Ask ``torch.accelerator.is_available()`` first, or pass ``check_available=True``. The other functions, even
    ``synchronize``, raise where there is none. The device that comes back has no index.
    """

    @since("2.8")
    @without_accelerator
    def test_trap_there_is_none(self):
        assert (torch.accelerator.is_available(), torch.accelerator.device_count()) == (False, 0)
        with contextlib.suppress(RuntimeError):
            observe(current=str(torch.accelerator.current_accelerator()))

    @before("2.7")
    @without_accelerator
    def test_trap_asking_raised(self):
        with pytest.raises(RuntimeError, match=NONE):
            torch.accelerator.current_accelerator()

    @without_accelerator
    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda: torch.accelerator.synchronize(), id="synchronize"),
            pytest.param(lambda: torch.accelerator.current_device_index(), id="current_device_index"),
            pytest.param(lambda: torch.accelerator.current_stream(), id="current_stream"),
        ],
    )
    def test_trap_the_others_raise(self, monkeypatch, use):
        monkeypatch.setenv("CUDA_MODULE_LOADING", "LAZY")  # otherwise torch sets it as CUDA starts
        with pytest.raises(RuntimeError, match=NONE):
            use()

    @on("cuda")
    def test_trap_it_has_no_index(self, device):
        assert torch.accelerator.current_accelerator() == torch.device("cuda")
        assert torch.accelerator.current_device_index() == torch.cuda.current_device()

    @since("2.7")
    @without_accelerator
    def test_fix_check_that_it_is_there(self):
        assert torch.accelerator.current_accelerator(check_available=True) is None

    def test_fix_ask_first(self):
        where = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
        assert torch.ones(2, device=where).tolist() == [1, 1]


@since("2.7")
@pitfall(
    "accelerator-idx-names-are-old",
    docs=["torch.accelerator.set_device_idx", "torch.accelerator.current_device_idx"],
    symptom="FutureWarning: Use `set_device_index` instead.",
    error="Use `current_device_index` instead.",
    priority=3,
)
class TestAcceleratorIdxNamesAreOld:
    """``current_device_idx`` and ``set_device_idx`` of ``torch.accelerator`` warn: their names end in ``index`` now.

    A negative index selects nothing, with either name, and needs no accelerator.
    """

    def test_trap_setting_warns(self):
        with pytest.warns(FutureWarning, match="Use `set_device_index` instead"):
            torch.accelerator.set_device_idx(-1)

    def test_trap_asking_warns(self, monkeypatch):
        monkeypatch.setenv("CUDA_MODULE_LOADING", "LAZY")  # otherwise torch sets it as CUDA starts
        with pytest.warns(FutureWarning, match="Use `current_device_index` instead"), contextlib.suppress(RuntimeError):
            torch.accelerator.current_device_idx()

    @on("cuda")
    def test_trap_a_negative_index_selects_nothing(self, device):
        was = torch.accelerator.current_device_index()
        torch.accelerator.set_device_index(-1)
        assert torch.accelerator.current_device_index() == was

    def test_fix_the_new_name(self):
        assert torch.accelerator.set_device_index(-1) is None


@pitfall(
    "comm-wants-devices-or-out",
    docs=[
        ("torch.cuda.comm.broadcast", "Exactly one of"),
        "torch.cuda.comm.scatter",
        ("torch.cuda.comm.gather", "must not be specified when"),
    ],
    symptom="RuntimeError: Exactly one of 'devices' and 'out' must be specified, but got devices=None and out=None",
    error="Exactly one of 'devices' and 'out' must be specified",
    priority=3,
)
class TestCommWantsDevicesOrOut:
    """``broadcast``, ``scatter`` and ``gather`` of ``torch.cuda.comm`` take where results go once: devices or tensors.

    That is checked before any GPU is asked for. With ``out=`` the sizes of the chunks follow from the tensors.
    """

    @pytest.mark.parametrize("how", [{}, {"devices": [0], "out": []}], ids=["neither", "both"])
    def test_trap_broadcast_takes_exactly_one(self, device, how):
        with pytest.raises(RuntimeError, match="Exactly one of 'devices' and 'out' must be specified"):
            comm.broadcast(torch.ones(2, device=device), **how)

    @pytest.mark.parametrize(("name", "value"), [("devices", [0]), ("chunk_sizes", [2])], ids=["devices", "chunks"])
    def test_trap_scatter_takes_one(self, device, name, value):
        x = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match=f"'{name}' must not be specified when 'out' is specified"):
            comm.scatter(x, out=[x], **{name: value})

    def test_trap_gather_takes_one(self, device):
        x = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match="'destination' must not be specified when 'out' is specified"):
            comm.gather([x], destination=0, out=x)

    @on("cuda")
    def test_fix_say_it_once(self, device):
        (copy,) = comm.broadcast(torch.tensor([1.0, 2.0], device=device), devices=[device.index or 0])
        assert copy.tolist() == [1, 2]


@pitfall(
    "data-parallel-wants-its-module-on-the-first-gpu",
    docs=["torch.nn.DataParallel"],
    symptom="module must have its parameters and buffers on device cuda:0 (device_ids[0]) but found one of them on",
    error="module must have its parameters and buffers on device",
)
class TestDataParallelWantsItsModuleOnTheFirstGpu:
    """With several GPUs ``nn.DataParallel`` doesn't move its module: that must be on the first of them already.

    It moves inputs only; for a single GPU it moves the module, too, and without one it calls the module as it is,
    whatever ``device_ids`` says. Call ``model.to("cuda:0")`` before wrapping it, or use DistributedDataParallel.
    """

    @on("cpu")
    @pytest.mark.skipif("torch.cuda.is_available()", reason="this machine has a GPU")
    def test_trap_without_a_gpu_it_just_calls(self, device, seeded):
        net = nn.DataParallel(nn.PReLU(init=2.0), device_ids=[0, 1])
        assert net(torch.tensor([-1.0], device=device)).tolist() == [-2]

    @on("cuda")
    def test_trap_a_module_on_the_cpu_is_refused(self, device, seeded):
        if torch.cuda.device_count() < 2:
            pytest.skip("there is one GPU only")
        net = nn.DataParallel(nn.PReLU(), device_ids=[0, 1])
        with pytest.raises(RuntimeError, match="module must have its parameters and buffers on device cuda:0"):
            net(torch.ones(2, device="cuda:0"))

    @on("cuda")
    def test_trap_for_one_gpu_it_is_moved(self, device, seeded):
        net = nn.PReLU()
        nn.DataParallel(net, device_ids=[0])
        assert net.weight.device == torch.device("cuda:0")

    @on("cuda")
    def test_fix_move_it_first(self, device, seeded):
        net = nn.DataParallel(nn.PReLU(init=2.0).to("cuda:0"), device_ids=[0])
        assert net(torch.tensor([-1.0])).tolist() == [-2]
