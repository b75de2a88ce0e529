"""CUDA and processes: forks, variables of the environment that are read once, and errors that come late."""

import pytest
import torch

from pitfalls import child, on, pitfall

FORKS = child("""
import os, torch
torch.ones(1, device="cuda")
if os.fork() == 0:
    try:
        torch.ones(1, device="cuda")
    except RuntimeError as error:
        print("Cannot re-initialize CUDA in forked subprocess" in str(error), flush=True)
    os._exit(0)
os.wait()
""")


FORKS_FIRST = child(
    """
import os, torch
torch.cuda.is_available()
if os.fork() == 0:
    print(torch.ones(1, device="cuda").item(), flush=True)
    os._exit(0)
os.wait()
print(torch.ones(1, device="cuda").item())
""",
    PYTORCH_NVML_BASED_CUDA_CHECK="1",
)


@pitfall(
    "cuda-does-not-survive-a-fork",
    docs=["notes/multiprocessing#cuda-in-multiprocessing", "torch.cuda.is_available", "torch.cuda.device_count"],
    symptom="RuntimeError: Cannot re-initialize CUDA in forked subprocess",
    error="Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, you must use the 'spawn'",
)
class TestCudaDoesNotSurviveAFork:
    """Once a process has used CUDA, its forked children can't: start them with ``spawn`` or ``forkserver``, or earlier.

    Even ``torch.cuda.is_available()`` counts, unless ``PYTORCH_NVML_BASED_CUDA_CHECK=1`` is set. Workers of a
    DataLoader are forked on Linux: keep CUDA out of datasets.
    """

    @on("cuda")
    @pytest.mark.slow
    def test_trap_a_forked_child_cannot_use_it(self, device):
        done = FORKS()
        assert done.stdout.split() == ["True"]

    @on("cuda")
    @pytest.mark.slow
    def test_fix_ask_by_nvml_and_fork_first(self, device):
        done = FORKS_FIRST()
        assert done.stdout.split() == ["1.0", "1.0"]


HIDES_LATER = child("""
import os, torch
torch.ones(1, device="cuda")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
print(torch.ones(1, device="cuda").item(), torch.cuda.is_available())
""")


HIDDEN = child(
    """
import torch
print(torch.cuda.is_available(), torch.cuda.device_count())
try:
    torch.ones(1).cuda()
except (AssertionError, RuntimeError):
    print("refused")
""",
    CUDA_VISIBLE_DEVICES="",
)


@pitfall(
    "visible-devices-are-read-once",
    docs=["torch.cuda.set_device", "notes/cuda", "torch.cuda.device_count"],
    symptom="os.environ['CUDA_VISIBLE_DEVICES'] = '1' has no effect",
    error="No CUDA GPUs are available",
)
class TestVisibleDevicesAreReadOnce:
    """``CUDA_VISIBLE_DEVICES`` counts as CUDA starts in a process; changed later it has no effect.

    Set it outside, or as the first thing of the program. The GPUs that are visible are numbered from 0, and where it is
    empty there are none.
    """

    @on("cuda")
    @pytest.mark.slow
    def test_trap_changed_later_it_has_no_effect(self, device):
        done = HIDES_LATER()
        assert done.stdout.split() == ["1.0", "True"]

    @pytest.mark.slow
    def test_trap_without_visible_devices_there_are_none(self):
        done = HIDDEN()
        assert done.stdout.split() == ["False", "0", "refused"]


GATHERS_WHILE_BUSY = """
import torch
x, index = torch.zeros(3, device="cuda"), torch.tensor([3], device="cuda")
work = torch.ones(4096, 4096, device="cuda")
out = work @ work
torch.cuda.synchronize()
for _ in range(30):
    torch.mm(work, work, out=out)
try:
    x.gather(0, index)
    print("later", flush=True)
except RuntimeError:
    print("there", flush=True)
"""


@pitfall(
    "errors-of-the-gpu-come-late",
    docs=["notes/cuda#asynchronous-execution"],
    symptom="the traceback of a CUDA error shows a harmless line; CUDA kernel errors might be asynchronously reported",
    error="device-side assert triggered | CUDA kernel errors might be asynchronously reported at some other API call",
)
class TestErrorsOfTheGpuComeLate:
    """An error on the GPU, as of an index out of range, is raised by a later call, which has nothing to do with it.

    With ``CUDA_LAUNCH_BLOCKING=1`` each call waits, so the guilty one raises. Running the step on the CPU gives a
    clearer message still. The process has to be started anew.
    """

    @on("cuda")
    @pytest.mark.slow
    @pytest.mark.parametrize(("blocking", "where"), [("0", "later"), ("1", "there")], ids=["by default", "blocking"])
    def test_trap_which_call_raises(self, device, blocking, where):
        done = child(GATHERS_WHILE_BUSY, CUDA_LAUNCH_BLOCKING=blocking)()
        assert done.stdout.split() == [where]

    def test_fix_check_the_range_first(self, device):
        x, index = torch.zeros(3, device=device), torch.tensor([3], device=device)
        assert (index < len(x)).all().item() is False
