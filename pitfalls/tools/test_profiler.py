"""The profilers: arguments and columns that were named after CUDA."""

import pytest
import torch

from pitfalls import before, pitfall, since

PROFILERS = [
    pytest.param(torch.autograd.profiler.profile, id="autograd profiler"),
    pytest.param(torch.profiler.profile, id="profiler"),
]


@pitfall(
    "profiler-use-cuda-is-gone",
    docs=[("torch.profiler.profile", "list of activity groups (CPU, CUDA) to use"), "torch.autograd.profiler.profile"],
    symptom="TypeError: profile.__init__() got an unexpected keyword argument 'use_cuda'",
    error="got an unexpected keyword argument 'use_cuda'",
    changed={
        "2.4": "torch.profiler.profile warns of use_cuda= with a FutureWarning, not a UserWarning",
        "2.14": "neither profiler takes use_cuda= any more",
    },
)
class TestProfilerUseCudaIsGone:
    """``use_cuda=`` of both profilers was deprecated for years and is an unknown argument since torch 2.14.

    ``torch.profiler.profile`` takes ``activities=``, the older ``torch.autograd.profiler.profile`` takes
    ``use_device="cuda"``.
    """

    @before("2.14")
    def test_trap_use_cuda_warned(self):
        with pytest.warns((UserWarning, FutureWarning), match="use_cuda`? is deprecated, use `?activities"):
            torch.profiler.profile(use_cuda=False)

    @since("2.14")
    @pytest.mark.parametrize("profile", PROFILERS)
    def test_trap_use_cuda_is_unknown(self, profile):
        with pytest.raises(TypeError, match="unexpected keyword argument 'use_cuda'"):
            profile(use_cuda=False)

    @pytest.mark.parametrize(
        "profile",
        [
            pytest.param(
                lambda: torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]), id="activities"
            ),
            pytest.param(lambda: torch.autograd.profiler.profile(), id="autograd profiler"),
        ],
    )
    # Torch 2.10 to 2.12 warn on every start that events are cleared at the end of a cycle.
    @pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")
    def test_fix_say_what_to_measure(self, profile):
        with profile() as measured:
            torch.ones(2) + 1
        assert "aten::add" in [event.key for event in measured.key_averages()]
