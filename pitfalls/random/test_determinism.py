"""Deterministic algorithms: what the switch refuses, what it leaves alone, and which other switches there are."""

import pytest
import torch
from torch import nn

from pitfalls import observe, on, pitfall, since


@pytest.fixture
def deterministic():
    """Deterministic algorithms are switched on, and off again afterwards."""
    # "error" is use_deterministic_algorithms(True), minus that function's import of the compiler's configuration.
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def only_warned():
    """Deterministic algorithms are asked for with warnings, and switched off again afterwards."""
    torch.set_deterministic_debug_mode("warn")
    yield
    torch.set_deterministic_debug_mode("default")


@pytest.fixture
def without_fill(monkeypatch):
    """Fresh memory is not filled under deterministic algorithms, which are switched off again afterwards."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    torch.set_deterministic_debug_mode("error")
    yield
    torch.set_deterministic_debug_mode("default")


@pitfall(
    "deterministic-mode-refuses-operations",
    docs=[
        ("torch.use_deterministic_algorithms", "if only nondeterministic algorithms are available they will"),
        "notes/randomness#avoiding-nondeterministic-algorithms",
    ],
    symptom="RuntimeError: ... does not have a deterministic implementation, but you set",
    error="does not have a deterministic implementation, but you set 'torch.use_deterministic_algorithms(True)'",
)
class TestDeterministicModeRefusesOperations:
    """Under ``use_deterministic_algorithms(True)`` an operation without a deterministic algorithm raises RuntimeError.

    Most of them are backward passes on a GPU, so the error comes in ``backward()``. Replace the operation, or ask for
    a warning only: ``warn_only=True``. Which operations they are changes from release to release.
    """

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda x: x.put_(torch.tensor([0], device=x.device), x[:1]), id="put_"),
            pytest.param(lambda x: nn.functional.max_unpool1d(x.view(1, 1, 2), x.view(1, 1, 2).long(), 2), id="unpool"),
        ],
    )
    def test_trap_refused_on_every_device(self, device, deterministic, call):
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation, but you set"):
            call(torch.zeros(2, device=device))

    @on("cuda")
    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(
                lambda x: nn.functional.pad(x, (1, 1, 1, 1), mode="reflect").sum().backward(), id="reflect pad"
            ),
            pytest.param(lambda x: nn.functional.adaptive_avg_pool2d(x, 2).sum().backward(), id="adaptive pool"),
            pytest.param(lambda x: x.median(0), id="median"),
            pytest.param(lambda x: x.detach().histc(4), id="histc"),
        ],
    )
    def test_trap_refused_on_a_gpu(self, device, deterministic, call):
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation, but you set"):
            call(torch.ones(1, 1, 4, 4, device=device, requires_grad=True))

    def test_fix_ask_for_a_warning(self, device, only_warned):
        with pytest.warns(UserWarning, match="does not have a deterministic implementation"):
            x = torch.zeros(2, device=device).put_(torch.tensor([1], device=device), torch.ones(1, device=device))
        assert x.tolist() == [0, 1]

    def test_fix_use_another_operation(self, device, deterministic):
        x = torch.zeros(2, device=device).index_put_((torch.tensor([1], device=device),), torch.ones(1, device=device))
        assert x.tolist() == [0, 1]


@pitfall(
    "deterministic-mode-is-process-wide",
    docs=["torch.use_deterministic_algorithms", "torch.set_deterministic_debug_mode"],
    symptom="a library switched deterministic algorithms on, and now my own code raises",
    priority=3,
)
class TestDeterministicModeIsProcessWide:
    """``use_deterministic_algorithms`` is a switch of the whole process, and stays until it is set again.

    It is no context. Under ``warn_only=True`` it counts as enabled as well. ``get_deterministic_debug_mode`` tells all
    three states apart: keep what it gives, and set that again.
    """

    def test_trap_it_stays_on(self, deterministic):
        assert torch.are_deterministic_algorithms_enabled() is True
        assert torch.is_deterministic_algorithms_warn_only_enabled() is False

    def test_trap_warn_only_counts_as_enabled(self, only_warned):
        assert torch.are_deterministic_algorithms_enabled() is True
        assert torch.is_deterministic_algorithms_warn_only_enabled() is True

    def test_fix_put_it_back(self):
        was = torch.get_deterministic_debug_mode()
        torch.set_deterministic_debug_mode("error")
        torch.set_deterministic_debug_mode(was)
        assert torch.are_deterministic_algorithms_enabled() is False


@pitfall(
    "deterministic-mode-sets-no-seed",
    docs=[
        ("torch.use_deterministic_algorithms", "is not always enough to make an application"),
        "notes/randomness",
    ],
    symptom="results differ from run to run although deterministic algorithms are on",
)
class TestDeterministicModeSetsNoSeed:
    """Deterministic algorithms give the same output for the same input; they don't make random numbers repeat.

    Seeds, the order of the data and what other libraries draw must be fixed beside them. An in-place write to a tensor
    whose elements overlap isn't refused either, although its outcome is left open.
    """

    def test_trap_random_numbers_go_on(self, device, seeded, deterministic):
        assert not torch.equal(torch.rand(3, device=device), torch.rand(3, device=device))

    def test_trap_overlapping_writes_are_not_refused(self, device, deterministic):
        x = torch.zeros(3, device=device)
        x.as_strided((2, 2), (1, 1)).add_(1)  # the middle element is written twice
        assert x[0].item() == 1
        observe(written_twice=x[1].item())

    def test_fix_seed_as_well(self, device, seeded, deterministic):
        torch.manual_seed(0)
        first = torch.rand(3, device=device)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(3, device=device), first)


@pitfall(
    "atomic-adds-differ-from-run-to-run",
    docs=[("torch.Tensor.index_add_", "nondeterministically when given tensors on a CUDA"), "notes/randomness"],
    symptom="index_add_, scatter_add_ or the gradient of an embedding differ in the last digits on a GPU",
)
class TestAtomicAddsDifferFromRunToRun:
    """On a GPU ``index_add_``, ``scatter_add_`` and their like add in any order, which sums of floats depend on.

    The difference is rounding alone. Under ``use_deterministic_algorithms(True)`` they take a fixed order, at the cost
    of time.
    """

    ADDS = [
        pytest.param(lambda x, index: x.new_zeros(7).index_add_(0, index, x), id="index_add_"),
        pytest.param(lambda x, index: x.new_zeros(7).scatter_add_(0, index, x), id="scatter_add_"),
        pytest.param(lambda x, index: x.new_zeros(7).index_put_((index,), x, accumulate=True), id="index_put_"),
    ]

    @pytest.mark.parametrize("add", ADDS)
    def test_trap_right_up_to_rounding_only(self, device, seeded, add):
        x, index = torch.rand(4096, device=device), torch.arange(4096, device=device) % 7
        exact = torch.stack([x[first::7].double().sum() for first in range(7)]).float()
        torch.testing.assert_close(add(x, index), exact, rtol=1e-4, atol=1e-4)
        observe(runs_agree=torch.equal(add(x, index), add(x, index)))

    @pytest.mark.parametrize("add", ADDS)
    def test_fix_deterministic_algorithms(self, device, seeded, deterministic, add):
        x, index = torch.rand(4096, device=device), torch.arange(4096, device=device) % 7
        assert torch.equal(add(x, index), add(x, index))


@pitfall(
    "cudnn-has-switches-of-its-own",
    docs=["backends", "notes/randomness#cuda-convolution-benchmarking", "torch.use_deterministic_algorithms"],
    symptom="convolutions differ from run to run on the GPU; benchmark = True was copied from a tutorial",
)
class TestCudnnHasSwitchesOfItsOwn:
    """``cudnn.benchmark`` may choose another convolution each run; ``cudnn.deterministic`` is a switch of its own.

    Both are off unless asked for. ``use_deterministic_algorithms(True)`` makes convolutions deterministic, too, without
    setting ``cudnn.deterministic``; which algorithm is chosen is only fixed while ``benchmark`` is off.
    """

    def test_trap_the_mode_and_benchmark_can_both_be_on(self, deterministic):
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            assert torch.are_deterministic_algorithms_enabled() is True
            observe(benchmark=torch.backends.cudnn.benchmark, deterministic=torch.backends.cudnn.deterministic)

    @on("cuda")
    def test_trap_convolutions_agree_up_to_rounding_only(self, device, seeded):
        x, w = torch.rand(4, 3, 16, 16, device=device), torch.rand(8, 3, 3, 3, device=device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False):
            y = nn.functional.conv2d(x, w)
        torch.testing.assert_close(y.cpu(), nn.functional.conv2d(x.cpu(), w.cpu()), rtol=1e-4, atol=1e-4)

    def test_fix_deterministic_convolutions(self, device, seeded):
        x, w = torch.rand(4, 3, 16, 16, device=device), torch.rand(8, 3, 3, 3, device=device)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            assert torch.equal(nn.functional.conv2d(x, w), nn.functional.conv2d(x, w))


@since("2.2")
@pitfall(
    "fill-of-fresh-memory-can-be-switched-off",
    docs=["torch.empty", "deterministic", "notes/randomness#filling-uninitialized-memory"],
    symptom="deterministic algorithms make every torch.empty slow",
    changed={"2.2": "torch.utils.deterministic.fill_uninitialized_memory came"},
    priority=3,
)
class TestFillOfFreshMemoryCanBeSwitchedOff:
    """With ``torch.utils.deterministic.fill_uninitialized_memory = False`` fresh memory stays as it was found.

    The fill costs time, and is of use only against code that reads what it never wrote. The switch has no effect
    unless deterministic algorithms are on.
    """

    def test_trap_on_by_default_it_fills(self, device, deterministic):
        assert torch.zeros(0, device=device).resize_(2).isnan().tolist() == [True, True]

    def test_trap_without_the_mode_nothing_is_filled(self, device):
        x = torch.zeros(1000, dtype=torch.int8, device=device).resize_(2000)
        assert (x == 127).all().item() is False

    def test_fix_switched_off_nothing_is_filled(self, device, without_fill):
        x = torch.zeros(1, dtype=torch.int8, device=device).resize_(2000)
        assert (x[1:] == 127).all().item() is False
