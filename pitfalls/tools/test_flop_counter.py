"""``FlopCounterMode``: what it counts, and what it leaves out without a word."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, observe, on, pitfall, since


@since("2.1")
@pitfall(
    "flop-counter-leaves-operators-out",
    docs=["torch.utils.flop_counter.FlopCounterMode"],
    symptom="FlopCounterMode reports 0 for attention on the CPU",
    changed={
        "2.3": "attention on the CPU runs in a kernel of its own, which counts as zero",
        "2.15": "attention on the CPU is counted again",
    },
    priority=3,
)
@pytest.mark.slow  # importing the counter takes over a second in some releases
class TestFlopCounterLeavesOperatorsOut:
    """``FlopCounterMode`` knows matrix products, convolutions and attention; every other operator counts as zero.

    Attention on the CPU was missing from torch 2.3 to 2.14, because its kernel was not on the list. Compare the counts
    by operator with what you expect, or write the attention out as matrix products.
    """

    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(lambda x: x + x, id="plus"),
            pytest.param(lambda x: x.softmax(-1), id="softmax"),
            pytest.param(lambda x: x[0, 0] @ x[0, 0, 0], id="matrix times vector"),
        ],
    )
    def test_trap_other_operators_count_as_zero(self, device, compute):
        from torch.utils.flop_counter import FlopCounterMode

        x = torch.ones(1, 2, 4, 8, device=device)
        with FlopCounterMode(display=False) as counter:
            compute(x)
        assert counter.get_total_flops() == 0

    @on("cpu")
    @pytest.mark.parametrize(
        "flops",
        [
            pytest.param(2 * 2 * 4 * 4 * 8 * 2, id="counted before 2.3", marks=before("2.3")),
            pytest.param(0, id="not counted", marks=[since("2.3"), before("2.15")]),
            pytest.param(2 * 2 * 4 * 4 * 8 * 2, id="counted", marks=since("2.15")),
        ],
    )
    def test_trap_attention_on_the_cpu(self, device, flops):
        from torch.utils.flop_counter import FlopCounterMode

        x = torch.ones(1, 2, 4, 8, device=device)
        with FlopCounterMode(display=False) as counter:
            F.scaled_dot_product_attention(x, x, x)
        assert counter.get_total_flops() == flops
        observe(operators=sorted(str(name) for name in counter.get_flop_counts()["Global"]))

    @pytest.mark.parametrize(
        ("compute", "flops"),
        [
            pytest.param(lambda x: (x @ x.mT).softmax(-1) @ x, 2 * (2 * 2 * 4 * 4 * 8), id="attention written out"),
            pytest.param(lambda x: x[0, 0] @ x[0, 0].T, 2 * 4 * 4 * 8, id="matrix product"),
        ],
    )
    def test_fix_matrix_products_are_counted(self, device, compute, flops):
        from torch.utils.flop_counter import FlopCounterMode

        x = torch.ones(1, 2, 4, 8, device=device)
        with FlopCounterMode(display=False) as counter:
            compute(x)
        assert counter.get_total_flops() == flops
