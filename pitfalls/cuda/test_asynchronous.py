"""Asynchronous work: calls that return before the GPU has done them, copies not yet made, and what waits."""

import time

import pytest
import torch

from pitfalls import on, pitfall, since


@pytest.fixture
def waits_refused():
    """Operations that wait for the GPU raise, until the end of the test."""
    torch.cuda.set_sync_debug_mode("error")
    yield
    torch.cuda.set_sync_debug_mode("default")


@pitfall(
    "gpu-work-is-asynchronous",
    docs=["notes/cuda#asynchronous-execution", "torch.cuda.synchronize", "torch.cuda.Event.query"],
    symptom="a measured GPU step takes no time, and the next print or .item() takes all of it",
)
class TestGpuWorkIsAsynchronous:
    """A call on the GPU returns when the work is queued, not when it is done: a clock around it measures the launch.

    Wait before each reading of the clock, with ``torch.cuda.synchronize()``, or time with two events. Errors of the
    work come late for the same reason. ``.item()``, ``.cpu()`` and printing wait by themselves.
    """

    @on("cuda")
    def test_trap_the_call_returns_before_the_work_is_done(self, device):
        x, done = torch.ones(4096, 4096, device=device), torch.cuda.Event()
        y = x @ x
        for _ in range(30):
            torch.mm(x, x, out=y)
        done.record()
        assert done.query() is False
        torch.cuda.synchronize()
        assert done.query() is True

    @on("cuda")
    def test_trap_a_clock_measures_the_launch(self, device):
        x = torch.ones(4096, 4096, device=device)
        y = x @ x
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(30):
            torch.mm(x, x, out=y)
        launched = time.perf_counter() - start
        torch.cuda.synchronize()
        assert launched < (time.perf_counter() - start) / 2

    @on("cuda")
    def test_fix_time_with_events(self, device):
        x = torch.ones(4096, 4096, device=device)
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        x @ x
        end.record()
        end.synchronize()
        assert start.elapsed_time(end) > 0

    @on("cuda")
    def test_fix_reading_a_result_waits(self, device):
        x = torch.ones(4096, 4096, device=device)
        y = x @ x
        for _ in range(30):
            torch.mm(x, x, out=y)
        assert y[0, 0].item() == 4096


@since("2.8")
@pitfall(
    "events-measure-time-only-if-asked",
    docs=[("torch.Event", "indicates if the event should measure time"), "torch.cuda.Event"],
    symptom="ValueError: Both events must be created with argument 'enable_timing=True'.",
    error="Both events must be created with argument 'enable_timing=True'",
    changed={"2.8": "elapsed_time of events without timing raises ValueError, and names the argument"},
    priority=3,
)
class TestEventsMeasureTimeOnlyIfAsked:
    """An event records no time unless it is made with ``enable_timing=True``; ``elapsed_time`` refuses the others.

    Both events need it. What it gives are milliseconds.
    """

    @on("cuda")
    @pytest.mark.parametrize(("first", "second"), [(False, False), (True, False), (False, True)], ids=str)
    def test_trap_events_do_not_time_by_default(self, device, first, second):
        start, end = torch.cuda.Event(enable_timing=first), torch.cuda.Event(enable_timing=second)
        start.record()
        end.record()
        end.synchronize()
        with pytest.raises(ValueError, match="Both events must be created with argument 'enable_timing=True'"):
            start.elapsed_time(end)

    @on("cuda")
    def test_fix_ask_for_it(self, device):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        end.record()
        end.synchronize()
        assert start.elapsed_time(end) >= 0


@pitfall(
    "non-blocking-copies-may-be-unfinished",
    docs=[
        "notes/cuda#use-pinned-memory-buffers",
        ("torch.Tensor.copy_", "For other cases, this argument has no effect"),
    ],
    symptom="values copied from the GPU with non_blocking=True are zeros or garbage now and then",
)
class TestNonBlockingCopiesMayBeUnfinished:
    """A copy to the CPU with ``non_blocking=True`` returns before the values are there: reading them needs a wait.

    To the GPU it is safe, since later work on the GPU is queued behind the copy. Wait with
    ``torch.cuda.synchronize()`` or an event; or leave ``non_blocking`` off. Between CPU tensors it changes nothing.
    """

    @on("cpu")
    def test_trap_on_the_cpu_it_changes_nothing(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.zeros(2, device=device).copy_(x, non_blocking=True).tolist() == [1, 2]

    @on("cuda")
    def test_trap_the_old_values_are_read(self, device):
        x, y = torch.ones(4096, 4096, device=device), torch.zeros(2, device=device)
        on_the_cpu = torch.zeros(2).pin_memory()
        z = x @ x
        for _ in range(30):
            torch.mm(x, x, out=z)
        on_the_cpu.copy_(y.fill_(7), non_blocking=True)
        assert on_the_cpu.tolist() == [0, 0]
        torch.cuda.synchronize()
        assert on_the_cpu.tolist() == [7, 7]

    @on("cuda")
    def test_fix_to_the_gpu_the_order_is_kept(self, device):
        x = torch.tensor([1.0, 2.0]).pin_memory().to(device, non_blocking=True)
        assert (x * 2).tolist() == [2, 4]

    @on("cuda")
    def test_fix_wait_for_an_event(self, device):
        copied, on_the_cpu = torch.cuda.Event(), torch.zeros(2).pin_memory()
        on_the_cpu.copy_(torch.full((2,), 7.0, device=device), non_blocking=True)
        copied.record()
        copied.synchronize()
        assert on_the_cpu.tolist() == [7, 7]


@pitfall(
    "pin-memory-returns-a-copy",
    docs=[("torch.Tensor.pin_memory", "to pinned memory, if it's not already pinned"), "torch.Tensor.is_pinned"],
    symptom="x.pin_memory() without assignment; x.is_pinned() stays False",
    priority=3,
)
class TestPinMemoryReturnsACopy:
    """``pin_memory()`` copies into pinned memory and leaves the tensor as it was; only a pinned one is returned as is.

    A tensor on the GPU can't be pinned. Assign the result, or create it pinned: ``torch.empty(n, pin_memory=True)``.
    """

    @on("cpu")
    def test_trap_no_tensor_is_pinned_by_itself(self, device):
        assert torch.ones(2, device=device).is_pinned() is False

    @on("cuda")
    def test_trap_the_tensor_itself_is_not_pinned(self, device):
        x = torch.ones(2)
        pinned = x.pin_memory()
        assert [x.is_pinned(), pinned.is_pinned(), pinned.pin_memory() is pinned] == [False, True, True]

    @on("cuda")
    def test_trap_a_tensor_on_the_gpu_is_refused(self, device):
        with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
            torch.ones(2, device=device).pin_memory()

    @on("cuda")
    def test_fix_create_it_pinned(self, device):
        assert torch.empty(2, pin_memory=True).is_pinned() is True


@pitfall(
    "reading-values-waits-for-the-gpu",
    docs=["torch.cuda.set_sync_debug_mode", "torch.Tensor.item", "notes/cuda#asynchronous-execution"],
    symptom="loss.item() in every step makes training on the GPU slow",
    error="called a synchronizing CUDA operation",
)
class TestReadingValuesWaitsForTheGpu:
    """What needs values or a size that depends on them waits until the GPU has done all that was queued before.

    ``item()``, ``tolist()``, ``cpu()``, an ``if`` on a tensor, ``nonzero`` and boolean masks do. Collect losses as
    tensors and read them once. ``torch.cuda.set_sync_debug_mode("warn")`` finds most of them.
    """

    @on("cuda")
    @pytest.mark.parametrize(
        "read",
        [
            pytest.param(lambda x: x[0].item(), id="item"),
            pytest.param(lambda x: x.tolist(), id="tolist"),
            pytest.param(lambda x: x.cpu(), id="cpu"),
            pytest.param(lambda x: bool(x[0] > 0), id="if"),
            pytest.param(lambda x: x.nonzero(), id="nonzero"),
            pytest.param(lambda x: x[x > 0], id="mask"),
        ],
    )
    def test_trap_it_waits(self, device, waits_refused, read):
        x = torch.ones(3, device=device)
        with pytest.raises(RuntimeError, match="called a synchronizing CUDA operation"):
            read(x)

    @on("cuda")
    def test_fix_stay_on_the_gpu(self, device):
        x = torch.tensor([1.0, -2.0], device=device)
        torch.cuda.set_sync_debug_mode("error")
        try:
            y = torch.where(x > 0, x, 0 * x).sum()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert y.item() == 1

    def test_fix_collect_and_read_once(self, device):
        losses = [torch.tensor(float(n), device=device) for n in (1, 2, 3)]
        assert torch.stack(losses).tolist() == [1, 2, 3]
