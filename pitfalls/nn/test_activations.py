"""Activations in low precision: whether a threshold given as a Python float is rounded before it is compared."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, observe, on, pitfall, since

# In each of these dtypes the threshold becomes a little larger when it is rounded, by the third number.
ROUNDED_UP = [
    pytest.param(torch.bfloat16, 0.1, 0.00009775161743164062, id="0.1 in bfloat16"),
    pytest.param(torch.bfloat16, 0.3, 0.000782012939453125, id="0.3 in bfloat16"),
    pytest.param(torch.float16, 0.3, 0.00004881620407104492, id="0.3 in float16", marks=since("2.1")),
]
SOFTSHRINK = [
    pytest.param(lambda x, lambd: F.softshrink(x, lambd), id="functional"),
    pytest.param(lambda x, lambd: torch.nn.Softshrink(lambd)(x), id="module"),
]


@pitfall(
    "softshrink-at-its-threshold",
    docs=["torch.nn.Softshrink", "torch.nn.functional.softshrink", "notes/numerical_accuracy"],
    symptom="softshrink of a bfloat16 tensor gives tiny values instead of zeros, or after an upgrade the reverse",
    changed={
        "2.1": "softshrink runs in float16 on the CPU, and threshold there no longer rounds its bound to bfloat16",
        "2.6": "a negative input that is shrunk to nothing becomes -0.0 on the CPU",
        "2.14": "on the CPU lambd is rounded to the dtype of the input, as it was on CUDA",
    },
    priority=3,
)
class TestSoftshrinkAtItsThreshold:
    """``softshrink(x, lambd)`` is 0 up to ``lambd``, but bfloat16 and float16 have no 0.1 to compare with.

    Before torch 2.14 the CPU took ``lambd`` as it is, so that the input 0.1, which bfloat16 rounds up, was beyond it
    and left a remainder; CUDA rounded ``lambd`` like the input. Pass a ``lambd`` that the dtype can represent.
    """

    @before("2.14")
    @on("cpu")
    @pytest.mark.parametrize("softshrink", SOFTSHRINK)
    @pytest.mark.parametrize(("dtype", "lambd", "remainder"), ROUNDED_UP)
    def test_trap_threshold_left_a_remainder(self, device, softshrink, dtype, lambd, remainder):
        x = torch.tensor([lambd, -lambd], dtype=dtype, device=device)
        assert softshrink(x, lambd).tolist() == [remainder, -remainder]

    @since("2.14")
    @pytest.mark.parametrize("softshrink", SOFTSHRINK)
    @pytest.mark.parametrize(("dtype", "lambd", "remainder"), ROUNDED_UP)
    def test_trap_threshold_is_rounded_like_the_input(self, device, softshrink, dtype, lambd, remainder):
        x = torch.tensor([lambd, -lambd], dtype=dtype, device=device)
        assert softshrink(x, lambd).tolist() == [0, 0]

    @pytest.mark.parametrize("softshrink", SOFTSHRINK)
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
    def test_fix_threshold_that_the_dtype_has(self, device, softshrink, dtype):
        x = torch.tensor([0.125, -0.125, 1.125], dtype=dtype, device=device)
        y = softshrink(x, 0.125)
        observe(sign_bits=y.signbit().tolist())
        assert y.tolist() == [0, 0, 1]

    @pytest.mark.parametrize("softshrink", SOFTSHRINK)
    def test_fix_round_it_first(self, device, softshrink):
        x = torch.tensor([0.1, -0.1], dtype=torch.bfloat16, device=device)
        lambd = torch.tensor(0.1, dtype=x.dtype).item()
        observe(threshold=F.threshold(x, 0.1, 0).tolist(), hardshrink=F.hardshrink(x, 0.1).tolist())
        assert softshrink(x, lambd).tolist() == [0, 0]
