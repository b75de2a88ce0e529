"""Averages of the profiler: what it can group by only if it was told so before."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from pitfalls import pitfall

# Torch 2.10 to 2.12 warn once that events are cleared at the end of a cycle.
pytestmark = pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")


def additions(**settings):
    """Two additions, of different shapes, under the profiler."""
    with profile(activities=[ProfilerActivity.CPU], **settings) as measured:
        torch.ones(2) + torch.ones(2)
        torch.ones(3) + torch.ones(3)
    return measured


@pitfall(
    "profiler-groups-by-what-it-recorded",
    docs=["torch.profiler.profile.key_averages", "torch.profiler.profile"],
    symptom="key_averages(group_by_input_shape=True) gives one line for all shapes",
    priority=3,
)
class TestProfilerGroupsByWhatItRecorded:
    """``key_averages(group_by_input_shape=True)`` needs ``record_shapes=True`` when profiling, or groups nothing.

    Without it the shapes are empty and all calls of an operator fall together, without a warning. The same holds for
    ``group_by_stack_n`` and ``with_stack=True``.
    """

    def test_trap_one_line_for_all_shapes(self):
        averages = additions().key_averages(group_by_input_shape=True)
        assert [(event.count, event.input_shapes) for event in averages if event.key == "aten::add"] == [(2, [])]

    def test_fix_record_shapes(self):
        averages = additions(record_shapes=True).key_averages(group_by_input_shape=True)
        assert sorted(event.input_shapes[0] for event in averages if event.key == "aten::add") == [[2], [3]]

    def test_fix_record_shapes_and_group(self):
        averages = additions(record_shapes=True).key_averages()
        assert [event.count for event in averages if event.key == "aten::add"] == [2]
