"""Threads: which settings belong to the process, which to a thread, and how many threads torch itself uses."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pitfalls import child, pitfall


@pytest.fixture
def default_meta():
    """The meta device as the default one, put back afterwards."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


@pytest.fixture
def default_float64():
    """float64 as the default dtype, put back afterwards."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def threads():
    """The number of threads, put back afterwards."""
    number = torch.get_num_threads()
    yield number
    torch.set_num_threads(number)


@pitfall(
    "default-device-is-per-thread",
    docs=["torch.set_default_device", "torch.get_num_threads"],
    symptom="tensors that are made in a thread are on the CPU, in spite of torch.set_default_device",
)
class TestDefaultDeviceIsPerThread:
    """A new thread starts with the CPU as its default device, whatever ``set_default_device`` said elsewhere.

    The default dtype, in contrast, is one for the process. Say ``device=`` in the function that the thread runs, or
    enter ``with torch.device(...):`` there.
    """

    def test_trap_another_thread_uses_the_cpu(self, default_meta):
        with ThreadPoolExecutor(1) as pool:
            x = pool.submit(lambda: torch.ones(1)).result()
        assert x.device.type == "cpu"

    def test_trap_the_context_does_not_reach_it_either(self):
        with torch.device("meta"), ThreadPoolExecutor(1) as pool:
            x = pool.submit(lambda: torch.ones(1)).result()
        assert x.device.type == "cpu"

    def test_trap_the_default_dtype_is_common(self, device, default_float64):
        with ThreadPoolExecutor(1) as pool:
            x = pool.submit(lambda: torch.ones(1, device=device)).result()
        assert x.dtype == torch.float64

    def test_fix_say_the_device(self, device, default_meta):
        with ThreadPoolExecutor(1) as pool:
            x = pool.submit(lambda: torch.ones(1, device=device)).result()
        assert x.device.type == device.type


@pitfall(
    "threads-share-the-generator",
    docs=["torch.manual_seed", "torch.default_generator", "torch.Generator"],
    symptom="with several threads the random numbers differ from run to run, although I seed",
)
class TestThreadsShareTheGenerator:
    """All threads draw from the one default generator of a device: who draws first gets the next numbers.

    A seed that one thread sets is the seed of all. Give each thread a ``torch.Generator`` of its own and pass it.
    """

    def test_trap_a_thread_takes_numbers_away(self, device, seeded):
        torch.manual_seed(0)
        first, second = torch.rand(2, device=device), torch.rand(2, device=device)
        torch.manual_seed(0)
        with ThreadPoolExecutor(1) as pool:
            taken = pool.submit(lambda: torch.rand(2, device=device)).result()
        assert torch.equal(taken, first)
        assert torch.equal(torch.rand(2, device=device), second)

    def test_trap_a_seed_in_a_thread_is_for_all(self, device, seeded):
        torch.manual_seed(0)
        first = torch.rand(2, device=device)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(torch.manual_seed, 0).result()
        assert torch.equal(torch.rand(2, device=device), first)

    def test_fix_a_generator_for_each_thread(self, device):
        def draw(seed):
            return torch.rand(2, device=device, generator=torch.Generator(device).manual_seed(seed))

        with ThreadPoolExecutor(2) as pool:
            alone, together = draw(1), list(pool.map(draw, [0, 1]))
        assert torch.equal(together[1], alone)


@pitfall(
    "set-num-threads-takes-a-positive-int",
    docs=[("torch.set_num_threads", "number of threads used for intraop parallelism"), "torch.get_num_threads"],
    symptom="torch.set_num_threads(0) does not mean as many as there are cores: it raises",
    error="set_num_threads expects a positive integer",
    priority=3,
)
class TestSetNumThreadsTakesAPositiveInt:
    """``set_num_threads`` takes an int of at least 1: neither 0 nor -1 means the default, and a float is refused.

    There is no way to ask for the default again: keep what ``get_num_threads()`` said. New threads use the number too.
    """

    @pytest.mark.parametrize("number", [0, -1])
    def test_trap_no_number_means_the_default(self, number):
        with pytest.raises(RuntimeError, match="set_num_threads expects a positive integer"):
            torch.set_num_threads(number)

    @pytest.mark.parametrize("number", [2.0, True, "2"], ids=repr)
    def test_trap_it_must_be_an_int(self, number):
        with pytest.raises(RuntimeError, match="set_num_threads expects an int, but got"):
            torch.set_num_threads(number)

    def test_trap_new_threads_use_it_too(self, threads):
        torch.set_num_threads(threads + 1)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == threads + 1

    def test_fix_put_the_number_back(self, threads):
        torch.set_num_threads(threads + 1)
        torch.set_num_threads(threads)
        assert torch.get_num_threads() == threads


TWICE = child("""
import torch
for number in (3, 4):
    torch.set_num_interop_threads(number)
    print(torch.get_num_interop_threads())
""")


@pitfall(
    "interop-threads-are-set-once",
    docs=[("torch.set_num_interop_threads", "Can only be called once and before any")],
    symptom="RuntimeError: cannot set number of interop threads after parallel work has started",
    error="cannot set number of interop threads after parallel work has started",
    priority=2,
)
class TestInteropThreadsAreSetOnce:
    """``set_num_interop_threads`` works once in a process, before any parallel work; after that it raises.

    Call it first thing in the program. The intra-op threads, which matter more, can be set at any time: with
    ``set_num_threads``, or with ``OMP_NUM_THREADS`` before Python starts, which is what keeps several processes on one
    machine from using all its cores each.
    """

    @pytest.mark.slow
    def test_trap_the_second_call_raises(self):
        done = TWICE()
        raised = "cannot set number of interop threads after parallel work has started" in done.stderr
        assert [done.stdout, raised] == ["3\n", True]

    def test_fix_intraop_threads_can_change(self, threads):
        torch.set_num_threads(threads + 1)
        torch.set_num_threads(threads + 2)
        assert torch.get_num_threads() == threads + 2
