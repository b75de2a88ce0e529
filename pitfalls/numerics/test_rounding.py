"""Rounding: halves go to even, casts cut off, and floats that can't tell a number from the next one."""

import pytest
import torch

from pitfalls import on, pitfall


@pytest.fixture
def flushing():
    """Denormal numbers are flushed to zero, where the processor can; switched off again afterwards."""
    yield torch.set_flush_denormal(True)
    torch.set_flush_denormal(False)


@pitfall(
    "round-goes-half-to-even",
    docs=[("torch.round", "half to even"), ("torch.round", "fast but inexact and it can easily")],
    symptom="torch.round(2.5) is 2; round(x, decimals=2) is inf or one hundredth off",
    priority=1,
)
class TestRoundGoesHalfToEven:
    """``torch.round`` sends halves to the nearest even integer: 0.5 and 2.5 become 0 and 2, 1.5 becomes 2.

    Python and NumPy do the same. With ``decimals`` it multiplies, rounds and divides, so that large numbers overflow to
    infinity. For the rounding of schools take ``floor(x + 0.5)``.
    """

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
    def test_trap_halves_go_to_even(self, device, dtype):
        x = torch.tensor([0.5, 1.5, 2.5, 3.5, -0.5, -2.5], dtype=dtype, device=device)
        assert x.round().tolist() == [0, 2, 2, 4, 0, -2]

    def test_trap_with_decimals_too(self, device):
        x = torch.tensor([0.125, 0.375, 0.625], device=device)
        assert x.round(decimals=2).tolist() == pytest.approx([0.12, 0.38, 0.62])

    def test_trap_many_decimals_overflow(self, device):
        x = torch.tensor([1e36, 1.0], device=device)
        assert x.round(decimals=10).tolist() == [float("inf"), 1]

    def test_fix_halves_up(self, device):
        x = torch.tensor([0.5, 1.5, 2.5, 3.5, -0.5, -2.5], device=device)
        assert (x + 0.5).floor().tolist() == [1, 2, 3, 4, 0, -2]

    def test_fix_decimals_in_float64(self, device):
        x = torch.tensor([1e36], dtype=torch.float64, device=device)
        assert x.round(decimals=10).item() == 1e36


CUTS = [
    pytest.param(lambda x: x.to(torch.int64), id="to"),
    pytest.param(lambda x: x.int(), id="int"),
    pytest.param(lambda x: x.long(), id="long"),
    pytest.param(lambda x: torch.zeros(4, dtype=torch.int64, device=x.device).copy_(x), id="copy_"),
    pytest.param(lambda x: x.trunc(), id="trunc"),
]


@pitfall(
    "cast-to-integers-cuts-off",
    docs=["torch.Tensor.to", "torch.Tensor.int", "torch.trunc"],
    symptom="x.long() of 2.9999998 is 2; labels or pixels are off by one after a conversion",
)
class TestCastToIntegersCutsOff:
    """Converting floats to integers cuts the fraction off, towards zero: 2.99 becomes 2 and -2.99 becomes -2.

    A number that should be 3 and is a rounding error below it loses a whole unit. ``round()`` first. To bool
    everything but zero is True, NaN included.
    """

    @pytest.mark.parametrize("cast", CUTS)
    def test_trap_towards_zero(self, device, cast):
        x = torch.tensor([2.99, -2.99, 0.5, -0.5], device=device)
        assert cast(x).tolist() == [2, -2, 0, 0]

    def test_trap_a_rounding_error_costs_one(self, device):
        x = torch.tensor([0.29], dtype=torch.float64, device=device) * 100
        assert x.long().item() == 28

    def test_trap_bool_is_not_zero(self, device):
        x = torch.tensor([0.0, -0.0, 0.1, -3.0, float("nan")], device=device)
        assert x.bool().tolist() == [False, False, True, True, True]

    @pytest.mark.parametrize(
        ("whole", "values"),
        [(torch.round, [3, -3]), (torch.floor, [2, -3]), (torch.ceil, [3, -2])],
        ids=["round", "floor", "ceil"],
    )
    def test_fix_round_first(self, device, whole, values):
        assert whole(torch.tensor([2.99, -2.99], device=device)).long().tolist() == values


LAST_COUNT = [(torch.bfloat16, 2**8), (torch.float16, 2**11), (torch.float32, 2**24), (torch.float64, 2**53)]


@pitfall(
    "floats-stop-counting",
    docs=["type_info#torch-finfo", "notes/numerical_accuracy", "tensor_attributes#torch-dtype"],
    symptom="256 + 1 is 256 in bfloat16; ids above 16 million collide as float32; a counter stops growing",
)
class TestFloatsStopCounting:
    """Floats hold every integer only up to 2**24 in float32, 2**11 in float16, 2**8 in bfloat16.

    Beyond that the gap between neighbours is 2 and more, so that adding 1 changes nothing and ids collide. Keep counts
    and ids in integers; accumulate in a wider float.
    """

    @pytest.mark.parametrize(("dtype", "last"), LAST_COUNT, ids=str)
    def test_trap_adding_one_changes_nothing(self, device, dtype, last):
        x = torch.tensor(last, dtype=dtype, device=device)
        assert (x + 1).item() == last
        assert (x - 1).item() == last - 1

    @pytest.mark.parametrize(("dtype", "last"), LAST_COUNT, ids=str)
    def test_trap_two_ids_become_one(self, device, dtype, last):
        ids = torch.tensor([last, last + 1], device=device)
        assert ids.to(dtype).tolist() == [last, last]

    @pytest.mark.parametrize(("dtype", "last"), LAST_COUNT[:2], ids=str)
    def test_trap_a_running_total_stops(self, device, dtype, last):
        total = torch.tensor(last - 2, dtype=dtype, device=device)
        for _ in range(10):
            total += 1
        assert total.item() == last

    def test_fix_integers(self, device):
        ids = torch.tensor([2**53, 2**53 + 1], device=device)
        assert (ids - 2**53).tolist() == [0, 1]

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
    def test_fix_accumulate_in_a_wider_float(self, device, dtype):
        x = torch.ones(3000, dtype=dtype, device=device)
        assert x.sum(dtype=torch.float32).item() == 3000


@pitfall(
    "epsilon-below-the-resolution",
    docs=["type_info#torch-finfo", "notes/numerical_accuracy"],
    symptom="adding 1e-8 has no effect; in float16 1e-8 is 0 and the division by it gives inf",
)
class TestEpsilonBelowTheResolution:
    """A number smaller than ``finfo(dtype).eps`` times another vanishes when it is added: ``1 + 1e-8`` is 1.

    As a guard against a division by zero a small epsilon still works beside a zero, unless the dtype rounds it to zero
    itself, as float16 does with 1e-8. Take ``finfo(dtype).eps`` or ``tiny`` as the measure.
    """

    @pytest.mark.parametrize(
        ("dtype", "epsilon"),
        [(torch.float64, 1e-17), (torch.float32, 1e-8), (torch.float16, 1e-4), (torch.bfloat16, 1e-3)],
        ids=str,
    )
    def test_trap_it_vanishes(self, device, dtype, epsilon):
        x = torch.tensor(1.0, dtype=dtype, device=device)
        assert (x + epsilon).item() == 1

    def test_trap_float16_rounds_it_to_zero(self, device):
        x = torch.tensor([0.0, 1.0], dtype=torch.float16, device=device)
        assert (1 / (x + 1e-8)).tolist() == [float("inf"), 1]

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
    def test_fix_eps_of_the_dtype(self, device, dtype):
        x = torch.tensor([1.0, 0.0], dtype=dtype, device=device) + torch.finfo(dtype).eps
        assert (x > torch.tensor([1.0, 0.0], dtype=dtype, device=device)).tolist() == [True, True]


@pitfall(
    "half-ends-at-65504",
    docs=["type_info#torch-finfo", "notes/numerical_accuracy#extremal-values", "torch.Tensor.half"],
    symptom="inf after .half(); a loss scaled or squared in float16 is inf; small gradients are 0",
)
class TestHalfEndsAt65504:
    """float16 reaches from 6e-8 to 65504: larger numbers become ``inf`` and smaller ones 0, without an error.

    The square of 256 is too much, and so is a sum of images. bfloat16 has the range of float32 with fewer digits.
    """

    @pytest.mark.parametrize(
        ("number", "half"),
        [(65504.0, 65504), (65519.0, 65504), (65520.0, float("inf")), (-1e5, -float("inf")), (1e-8, 0)],
        ids=str,
    )
    def test_trap_a_cast_overflows(self, device, number, half):
        assert torch.tensor(number, device=device).half().item() == half

    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(lambda x: x * x, id="times"),
            pytest.param(lambda x: x**2, id="square"),
            pytest.param(lambda x: x / 1e-3, id="divided"),
            pytest.param(lambda x: x + 65504, id="plus"),
        ],
    )
    def test_trap_a_result_overflows(self, device, compute):
        x = compute(torch.tensor([256.0], dtype=torch.float16, device=device))
        assert x.item() == float("inf")

    def test_fix_bfloat16_has_the_range(self, device):
        x = torch.tensor([256.0, 1e-8, -1e5], device=device).bfloat16()
        assert (x * x).isfinite().tolist() == [True, True, True]
        assert x.count_nonzero().item() == 3

    def test_fix_scale_before_squaring(self, device):
        x = torch.tensor([256.0, 512.0], dtype=torch.float16, device=device)
        assert ((x / 512) ** 2).tolist() == [0.25, 1]


@pitfall(
    "denormals-may-be-flushed",
    docs=[("torch.set_flush_denormal", "Disables denormal floating numbers on CPU"), "type_info#torch-finfo"],
    symptom="tiny numbers are 0 on one machine and not on another",
    priority=3,
)
class TestDenormalsMayBeFlushed:
    """Below ``finfo(dtype).tiny`` numbers lose digits one by one, until ``smallest_subnormal`` is left.

    ``torch.set_flush_denormal(True)`` makes them zero at once, which is faster on the CPU; some GPU operations do so
    always. Keep clear of them: scale the data.
    """

    def test_trap_digits_are_lost(self, device):
        tiny = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64, device=device)
        x = tiny * 2.0**-52
        assert x.item() == 5e-324
        assert (x * 1.25 / x).item() == 1
        assert (x / 2).item() == 0

    @on("cpu")
    def test_trap_flushed_they_are_zero(self, device, flushing):
        if not flushing:
            pytest.skip("this processor cannot flush denormals")
        tiny = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64, device=device)
        assert (tiny / 2).item() == 0

    def test_fix_scale(self, device):
        tiny = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64, device=device)
        x = tiny * 2.0**60 * 2.0**-52
        assert (x * 1.25 / x).item() == 1.25
