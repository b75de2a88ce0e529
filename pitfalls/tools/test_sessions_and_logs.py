"""Watching torch at work: profilers inside profilers, totals over everything, and logs that the environment rules."""

import logging

import pytest
import torch

from pitfalls import before, pitfall, since

PROFILERS = [
    pytest.param(torch.autograd.profiler.profile, id="autograd profiler"),
    pytest.param(torch.profiler.profile, id="profiler"),
]

# Torch 2.10 to 2.12 warn on every start that events are cleared at the end of a cycle.
clears = pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")


@pitfall(
    "profilers-do-not-nest",
    docs=[
        ("torch.autograd.profiler.profile", "This context managers should not be called recursively"),
        "torch.profiler.profile",
    ],
    symptom="the profile of a training step is empty since a function in it profiles itself",
    error="Can't disable Kineto profiler when it's not running",
    changed={"2.12": "the outer profiler is empty; before, it raised as it ended"},
    priority=3,
)
@clears
class TestProfilersDoNotNest:
    """There is one profiler at a time: one that starts inside another takes over, and the outer one loses everything.

    Its events of before are gone too, and since torch 2.12 without an error. Let the outermost caller profile, and mark
    parts with ``torch.profiler.record_function``.
    """

    @since("2.12")
    @pytest.mark.parametrize("profile", PROFILERS)
    def test_trap_the_outer_one_is_empty(self, profile):
        with profile() as outer:
            torch.ones(2) + 1
            with profile():
                torch.ones(2) * 2
        assert list(outer.key_averages()) == []

    @before("2.12")
    @pytest.mark.parametrize("profile", PROFILERS)
    def test_trap_the_outer_one_raised(self, profile):
        outer = profile()
        outer.__enter__()
        with profile():
            torch.ones(2) * 2
        with pytest.raises(RuntimeError, match="Can't disable Kineto profiler when it's not running"):
            outer.__exit__(None, None, None)

    @pytest.mark.parametrize("profile", PROFILERS)
    def test_fix_mark_parts_of_one(self, profile):
        with profile() as measured, torch.profiler.record_function("my part"):
            torch.ones(2) * 2
        assert {"my part", "aten::mul"} <= {event.key for event in measured.key_averages()}


@pitfall(
    "total-average-mixes-operations",
    docs=["torch.autograd.profiler.profile.total_average", "torch.autograd.profiler.profile.key_averages"],
    symptom="total_average() has one entry called Total, whose count is that of all calls",
    priority=3,
)
@clears
class TestTotalAverageMixesOperations:
    """``total_average()`` is one entry for all operations together, ``key_averages()`` has one for each.

    Its mean time is over calls of every kind, cheap and dear, and says little about any.
    """

    def test_trap_everything_is_counted_together(self):
        x = torch.ones(2)
        with torch.autograd.profiler.profile() as measured:
            x.add(x)
            x.add(x)
            x.exp()
        total = measured.total_average()
        assert [total.key, total.count] == ["Total", 3]

    def test_fix_key_averages(self):
        x = torch.ones(2)
        with torch.autograd.profiler.profile() as measured:
            x.add(x)
            x.add(x)
            x.exp()
        counts = {event.key: event.count for event in measured.key_averages()}
        assert [counts["aten::add"], counts["aten::exp"]] == [2, 1]


@pytest.fixture
def levels():
    """The logs of torch at the levels that they had; afterwards they have them again."""
    yield
    torch._logging.set_logs()


@pytest.fixture
def messages():
    """What torch's logging says of itself during the test."""
    found, handler, logger = [], logging.Handler(), logging.getLogger("torch._logging._internal")
    handler.emit = lambda record: found.append(record.getMessage())
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


@since("2.3")
@pitfall(
    "torch-logs-wins-over-set-logs",
    docs=[("torch._logging.set_logs", "environment variable has complete precedence")],
    symptom="torch._logging.set_logs has no effect on one machine; Using TORCH_LOGS environment variable",
    priority=3,
)
class TestTorchLogsWinsOverSetLogs:
    """Where the variable ``TORCH_LOGS`` is set, even to nothing, ``torch._logging.set_logs`` does nothing.

    It says so in the log only. Delete the variable before the call, or set it before torch is imported.
    """

    @pytest.mark.parametrize("value", ["", "+inductor"], ids=["empty", "other component"])
    def test_trap_the_call_is_ignored(self, monkeypatch, messages, levels, value):
        monkeypatch.setenv("TORCH_LOGS", value)
        was = logging.getLogger("torch._dynamo").level
        torch._logging.set_logs(dynamo=logging.ERROR)
        assert ["ignoring call to set_logs" in messages[0], logging.getLogger("torch._dynamo").level] == [True, was]

    def test_fix_without_the_variable(self, monkeypatch, levels):
        monkeypatch.delenv("TORCH_LOGS", raising=False)
        torch._logging.set_logs(dynamo=logging.ERROR)
        assert logging.getLogger("torch._dynamo").level == logging.ERROR
