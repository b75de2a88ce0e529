"""Ranges: where ``arange`` ends, how many points ``linspace`` has, and which values a narrow float repeats."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "arange-stops-before-its-end",
    docs=[("torch.arange", "taken with common difference")],
    symptom="torch.arange(1, 5) has no 5; upper bound and lower bound inconsistent with step sign",
    error="bound inconsistent with step sign",
)
class TestArangeStopsBeforeItsEnd:
    """``torch.arange`` leaves its end out, as Python's ``range`` does, but raises where the step leads away from it.

    Python's range and ``np.arange`` are empty there. Bounds of integers give int64. Add a step to include the end, and
    ask for the direction first where it isn't known.
    """

    @pytest.mark.parametrize(
        ("bounds", "values"),
        [((4,), [0, 1, 2, 3]), ((1, 5), [1, 2, 3, 4]), ((1, 5, 2), [1, 3]), ((3, 0, -1), [3, 2, 1]), ((2, 2), [])],
        ids=str,
    )
    def test_trap_the_end_is_left_out(self, device, bounds, values):
        x = torch.arange(*bounds, device=device)
        assert x.tolist() == values
        assert x.dtype == torch.int64

    @pytest.mark.parametrize("bounds", [(3, 1), (-3,), (1, 3, -1)], ids=str)
    def test_trap_the_wrong_direction_raises(self, device, bounds):
        with pytest.raises(RuntimeError, match="bound inconsistent with step sign"):
            torch.arange(*bounds, device=device)

    def test_fix_add_one_to_include_the_end(self, device):
        assert torch.arange(1, 4 + 1, device=device).tolist() == [1, 2, 3, 4]


@pitfall(
    "arange-with-a-fractional-step",
    docs=[("torch.arange", "is subject to floating point rounding errors"), ("torch.linspace", "evenly spaced from")],
    symptom="torch.arange(1, 1.3, 0.1) has four elements and includes 1.3",
)
class TestArangeWithAFractionalStep:
    """With a fractional step ``torch.arange`` may include its end: the length is a rounded-up quotient of floats.

    ``(1.3 - 1) / 0.1`` is a little more than 3, so there is a fourth element. Say how many points you want with
    ``linspace``, or scale a range of integers.
    """

    @pytest.mark.parametrize(
        ("bounds", "length"),
        [((1, 1.3, 0.1), 4), ((1, 1.6, 0.1), 7), ((1, 2.2, 0.1), 13), ((1, 1.4, 0.1), 4), ((0, 0.3, 0.1), 3)],
        ids=str,
    )
    def test_trap_the_length_depends_on_rounding(self, device, bounds, length):
        assert len(torch.arange(*bounds, device=device)) == length

    def test_trap_the_end_is_included(self, device):
        assert torch.arange(1, 1.6, 0.1, dtype=torch.float64, device=device)[-1].item() >= 1.6

    def test_fix_count_the_points(self, device):
        x = torch.linspace(1, 1.5, 6, device=device)
        torch.testing.assert_close(x, torch.tensor([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], device=device))

    def test_fix_scale_integers(self, device):
        x = torch.arange(10, 16, device=device) / 10
        torch.testing.assert_close(x, torch.tensor([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], device=device))


@pitfall(
    "arange-repeats-in-a-narrow-float",
    docs=["torch.arange", "tensor_attributes#torch-dtype"],
    symptom="positions made with arange in bfloat16 repeat after 256",
)
class TestArangeRepeatsInANarrowFloat:
    """``arange`` in a narrow float repeats and skips integers: bfloat16 from 256 on, float16 from 2048.

    float32 does so from 2**24 on. Positions made in such a dtype coincide without an error. Make them in int64 and
    convert what is computed from them.
    """

    @pytest.mark.parametrize(
        ("dtype", "start"),
        [(torch.bfloat16, 2**8), (torch.float16, 2**11), (torch.float32, 2**24), (torch.float64, 2**53)],
        ids=str,
    )
    def test_trap_four_positions_are_not_four_values(self, device, dtype, start):
        x = torch.arange(start, start + 4, dtype=dtype, device=device)
        assert x.shape == (4,)
        assert x.double().unique().numel() < 4

    @pytest.mark.parametrize("start", [2**8, 2**11, 2**24, 2**53], ids=str)
    def test_fix_integers_are_exact(self, device, start):
        assert torch.arange(start, start + 4, device=device).unique().numel() == 4


@pitfall(
    "linspace-counts-points",
    docs=[("torch.linspace", "evenly spaced from"), ("torch.logspace", "evenly spaced from")],
    symptom="torch.linspace(0, 10, 10) has no whole numbers; torch.logspace(1, 100, 3) overflows",
)
class TestLinspaceCountsPoints:
    """``linspace`` takes the number of points, not of intervals or a step, and includes both ends.

    For a step of 1 from 0 to 10 it takes 11 points, and the number must be given. With an integer dtype the points are
    cut down. ``logspace`` takes exponents: from ``10**start`` to ``10**end``.
    """

    def test_trap_ten_points_are_nine_intervals(self, device):
        x = torch.linspace(0, 9, 4, device=device)
        assert x.tolist() == [0, 3, 6, 9]

    @pytest.mark.parametrize(("steps", "values"), [(1, [2]), (0, [])], ids=str)
    def test_trap_one_point_is_the_start(self, device, steps, values):
        assert torch.linspace(2, 9, steps, device=device).tolist() == values

    def test_trap_the_number_of_points_is_required(self, device):
        with pytest.raises(TypeError, match="linspace"):
            torch.linspace(0, 9, device=device)

    def test_trap_integers_are_cut_down(self, device):
        assert torch.linspace(0, 9, 5, dtype=torch.int64, device=device).tolist() == [0, 2, 4, 6, 9]

    def test_trap_logspace_takes_exponents(self, device):
        x = torch.logspace(0, 2, 3, device=device)
        torch.testing.assert_close(x, torch.tensor([1.0, 10.0, 100.0], device=device))

    def test_fix_one_point_more_than_intervals(self, device):
        assert torch.linspace(0, 10, 10 + 1, device=device).tolist() == list(range(11))
