"""Memory of the GPU: tensors and the cache behind them, peaks, and running out of it."""

import gc
import weakref

import pytest
import torch

from pitfalls import on, pitfall


@pytest.fixture
def collected():
    """What earlier tests left behind in cycles is gone, and can't be freed in between."""
    gc.collect()


@pitfall(
    "freed-memory-stays-reserved",
    docs=[("torch.cuda.memory_allocated", "is likely less than the amount shown in"), "torch.cuda.memory_reserved"],
    symptom="nvidia-smi shows the memory as used after del x; memory_allocated() is far less than nvidia-smi says",
)
class TestFreedMemoryStaysReserved:
    """Memory of a tensor that is gone stays with the process: ``memory_allocated`` falls, ``memory_reserved`` doesn't.

    The cache makes the next tensor cheap, and looks like use from outside. ``empty_cache()`` gives back what is unused;
    torch itself has no more memory after it, since it takes from the cache first.
    """

    @on("cuda")
    def test_trap_allocated_counts_live_tensors(self, device, collected):
        before = torch.cuda.memory_allocated(device)
        x = torch.zeros(2**25, dtype=torch.uint8, device=device)
        assert torch.cuda.memory_allocated(device) == before + x.numel()
        del x
        assert torch.cuda.memory_allocated(device) == before

    @on("cuda")
    def test_trap_reserved_keeps_what_was_freed(self, device):
        x = torch.zeros(2**25, dtype=torch.uint8, device=device)
        during = torch.cuda.memory_reserved(device)
        del x
        assert torch.cuda.memory_reserved(device) == during

    @on("cuda")
    def test_fix_give_it_back(self, device):
        x = torch.zeros(2**25, dtype=torch.uint8, device=device)
        during = torch.cuda.memory_reserved(device)
        del x
        torch.cuda.empty_cache()
        assert torch.cuda.memory_reserved(device) < during


@pitfall(
    "empty-cache-frees-no-tensor",
    docs=[("torch.cuda.empty_cache", "Release"), ("torch.cuda.empty_cache", "doesn't increase the amount of GPU")],
    symptom="torch.cuda.empty_cache() doesn't help against CUDA out of memory",
)
class TestEmptyCacheFreesNoTensor:
    """``empty_cache()`` frees no tensor that something still refers to: a name, a list, a graph, an exception.

    A view keeps all the memory of its tensor as well. Drop the references first, then the memory is free for torch
    without it.
    """

    @on("cuda")
    def test_trap_a_live_tensor_stays(self, device, collected):
        x = torch.ones(2**25, dtype=torch.uint8, device=device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.empty_cache()
        assert torch.cuda.memory_allocated(device) == before
        assert x[-1].item() == 1

    @on("cuda")
    def test_trap_a_view_keeps_it_all(self, device, collected):
        before = torch.cuda.memory_allocated(device)
        last = torch.ones(2**25, dtype=torch.uint8, device=device)[-1:]
        torch.cuda.empty_cache()
        assert torch.cuda.memory_allocated(device) == before + 2**25
        assert last.tolist() == [1]

    @on("cuda")
    def test_fix_drop_the_reference(self, device, collected):
        before = torch.cuda.memory_allocated(device)
        x = torch.ones(2**25, dtype=torch.uint8, device=device)
        del x
        assert torch.cuda.memory_allocated(device) == before


@pitfall(
    "peak-memory-needs-a-reset",
    docs=[
        ("torch.cuda.max_memory_allocated", "this returns the peak allocated memory since"),
        "torch.cuda.reset_peak_memory_stats",
        ("torch.cuda.reset_max_memory_allocated", "/all/ peak memory stats"),
    ],
    symptom="torch.cuda.max_memory_allocated() never goes down, so every epoch shows the same number",
)
class TestPeakMemoryNeedsAReset:
    """``max_memory_allocated`` is the peak since the program began, until ``reset_peak_memory_stats()``.

    The reset sets every peak to what is in use now. The older ``reset_max_memory_allocated`` resets all of them too,
    and warns.
    """

    @on("cuda")
    def test_trap_it_does_not_go_down(self, device, collected):
        before = torch.cuda.memory_allocated(device)
        x = torch.zeros(2**25, dtype=torch.uint8, device=device)
        del x
        torch.cuda.empty_cache()
        assert torch.cuda.max_memory_allocated(device) >= before + 2**25

    @on("cuda")
    def test_trap_the_old_reset_is_for_all(self, device):
        x = torch.zeros(2**25, dtype=torch.uint8, device=device)
        del x
        torch.cuda.empty_cache()
        with pytest.warns(FutureWarning, match="resets /all/ peak memory stats"):
            torch.cuda.reset_max_memory_allocated(device)
        assert torch.cuda.max_memory_reserved(device) == torch.cuda.memory_reserved(device)

    @on("cuda")
    def test_fix_reset_before_what_is_measured(self, device, collected):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        x = torch.zeros(2**25, dtype=torch.uint8, device=device)
        del x
        assert torch.cuda.max_memory_allocated(device) == before + 2**25


@pitfall(
    "out-of-memory-can-be-caught",
    docs=["torch.cuda.OutOfMemoryError", "notes/faq#my-out-of-memory-exception-handler-can-t-allocate-memory"],
    symptom="torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    error="CUDA out of memory. Tried to allocate | DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    priority=1,
)
class TestOutOfMemoryCanBeCaught:
    """Running out of memory raises an error that can be caught, and the device works on: ask for less, and go on.

    On a GPU it is ``torch.cuda.OutOfMemoryError``, a RuntimeError (``torch.OutOfMemoryError`` since 2.5); the CPU
    raises a plain RuntimeError. What helps is a smaller batch, or fewer references to old tensors.
    """

    @on("cpu")
    def test_trap_the_cpu_raises_a_runtime_error(self, device):
        with pytest.raises(RuntimeError, match="you tried to allocate 1125899906842624 bytes"):
            torch.empty(2**50, dtype=torch.uint8, device=device)

    @on("cuda")
    def test_trap_the_gpu_has_an_error_of_its_own(self, device):
        with pytest.raises(torch.cuda.OutOfMemoryError, match=r"CUDA out of memory\. Tried to allocate"):
            torch.empty(2**50, dtype=torch.uint8, device=device)

    def test_fix_ask_for_less(self, device):
        try:
            x = torch.empty(2**50, dtype=torch.uint8, device=device)
        except RuntimeError:
            x = torch.zeros(2, dtype=torch.uint8, device=device)
        assert x.tolist() == [0, 0]


@pitfall(
    "exceptions-keep-tensors-alive",
    docs=["notes/faq#my-out-of-memory-exception-handler-can-t-allocate-memory"],
    symptom="the handler of CUDA out of memory runs out of memory again, with a smaller batch",
)
class TestExceptionsKeepTensorsAlive:
    """While an exception is handled its traceback holds the frames it went through, and all tensors in them.

    So a second try inside ``except`` starts with the memory of the first one taken. Note the failure, leave the block,
    and try again after it.
    """

    def test_trap_the_tensor_of_the_failed_step_lives(self, device):
        seen = []

        def step():
            x = torch.full((2,), 3.0, device=device)
            seen.append(weakref.proxy(x))
            torch.empty(2**50, dtype=torch.uint8, device=device)

        try:
            step()
        except RuntimeError:
            assert seen[0].tolist() == [3, 3]

    @on("cuda")
    def test_fix_after_the_block_it_is_gone(self, device, collected):
        before = torch.cuda.memory_allocated(device)

        def step():
            x = torch.zeros(2**25, dtype=torch.uint8, device=device)
            return torch.empty(2**50, dtype=torch.uint8, device=x.device)

        try:
            step()
        except RuntimeError:
            assert torch.cuda.memory_allocated(device) == before + 2**25
        assert torch.cuda.memory_allocated(device) == before

    def test_fix_try_again_outside(self, device):
        size = 2**50
        while size > 2:
            try:
                x = torch.zeros(size, dtype=torch.uint8, device=device)
                break
            except RuntimeError:
                size = 2
        else:
            x = torch.zeros(size, dtype=torch.uint8, device=device)
        assert x.tolist() == [0, 0]
