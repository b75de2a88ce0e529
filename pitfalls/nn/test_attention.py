"""Attention differentiated twice: fused kernels have no second derivative, and each release uses them more."""

import math

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, on, pitfall, since

# With the keys and values 1 and -1, attention turns the query x into tanh(x).
FUSED = [
    pytest.param(lambda q, kv: F.scaled_dot_product_attention(q, kv, kv), id="plain"),
    pytest.param(lambda q, kv: F.scaled_dot_product_attention(q, kv, kv, is_causal=True), id="causal"),
    pytest.param(
        lambda q, kv: F.scaled_dot_product_attention(q, kv, kv, attn_mask=q.new_zeros(1, 2)),
        id="float mask",
        marks=since("2.3"),
    ),
    pytest.param(
        lambda q, kv: F.scaled_dot_product_attention(q, kv, kv, attn_mask=q.new_ones(1, 2).bool()),
        id="bool mask",
        marks=since("2.3"),
    ),
    pytest.param(
        lambda q, kv: F.scaled_dot_product_attention(q[0], kv[0], kv[0]), id="three dimensions", marks=since("2.14")
    ),
]
NOT_FUSED = [
    pytest.param(lambda q, kv: F.scaled_dot_product_attention(q, kv, kv), id="plain", marks=before("2.1")),
    pytest.param(
        lambda q, kv: F.scaled_dot_product_attention(q, kv, kv, attn_mask=q.new_zeros(1, 2)),
        id="float mask",
        marks=before("2.3"),
    ),
    pytest.param(
        lambda q, kv: F.scaled_dot_product_attention(q, kv, kv, attn_mask=q.new_ones(1, 2).bool()),
        id="bool mask",
        marks=before("2.3"),
    ),
    pytest.param(
        lambda q, kv: F.scaled_dot_product_attention(q[0], kv[0], kv[0]), id="three dimensions", marks=before("2.14")
    ),
    pytest.param(lambda q, kv: F.scaled_dot_product_attention(q[0, 0], kv[0, 0], kv[0, 0]), id="two dimensions"),
]


@pitfall(
    "attention-has-no-second-derivative",
    docs=[
        ("torch.nn.functional.scaled_dot_product_attention", "automatically select the most optimal implementation"),
        ("torch.nn.MultiheadAttention", "will use the optimized implementations of"),
        "torch.autograd.grad",
    ],
    symptom="derivative for aten::_scaled_dot_product_flash_attention_for_cpu_backward is not implemented",
    error="derivative for aten::_scaled_dot_product",
    changed={
        "2.1": "attention on the CPU takes a fused kernel, which has no second derivative",
        "2.3": "attention with a mask takes the fused kernel on the CPU as well",
        "2.14": "attention of three dimensions takes the fused kernel on the CPU as well",
    },
)
class TestAttentionHasNoSecondDerivative:
    """A fused attention kernel can be differentiated once: a gradient penalty or a Hessian through it raises.

    Torch selects the kernel by itself, so whether there is a second derivative depends on the shapes, the mask, the
    device and the release. Ask for the math kernel, ask ``MultiheadAttention`` for its weights, or write the formula.
    """

    @on("cpu")
    @pytest.mark.parametrize("attend", NOT_FUSED)
    def test_trap_there_is_one_where_no_fused_kernel_is(self, device, attend):
        x = torch.tensor(math.log(2), dtype=torch.float64, device=device, requires_grad=True)
        kv = torch.tensor([1.0, -1.0], dtype=torch.float64, device=device).reshape(1, 1, 2, 1)
        y = attend(x.reshape(1, 1, 1, 1), kv).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, x)
        assert round(curvature.item(), 6) == -0.768

    @since("2.1")
    @on("cpu")
    @pytest.mark.parametrize("attend", FUSED)
    def test_trap_a_fused_kernel_has_none(self, device, attend):
        x = torch.tensor(math.log(2), dtype=torch.float64, device=device, requires_grad=True)
        kv = torch.tensor([1.0, -1.0], dtype=torch.float64, device=device).reshape(1, 1, 2, 1)
        y = attend(x.reshape(1, 1, 1, 1), kv).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        with pytest.raises(
            RuntimeError, match=r"derivative for aten::_scaled_dot_product_\w+_backward is not implemen"
        ):
            torch.autograd.grad(slope, x)

    @on("cuda")
    def test_trap_a_fused_kernel_has_none_on_cuda(self, device):
        # Which of the fused kernels it is depends on the GPU; float64 would take the math kernel.
        x = torch.ones(1, 1, 8, 8, dtype=torch.float16, device=device, requires_grad=True)
        y = F.scaled_dot_product_attention(x, x, x).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        with pytest.raises(
            RuntimeError, match=r"derivative for aten::_scaled_dot_product_\w+_backward is not implemen"
        ):
            torch.autograd.grad(slope.sum(), x)

    @before("2.1")
    @on("cpu")
    def test_trap_multihead_attention_had_one(self, device, seeded):
        attention = torch.nn.MultiheadAttention(1, 1, bias=False, device=device, dtype=torch.float64)
        with torch.no_grad():
            attention.in_proj_weight.fill_(1)
            attention.out_proj.weight.fill_(1)
        x = torch.tensor([[[math.log(2)]]], dtype=torch.float64, device=device, requires_grad=True)
        kv = torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64, device=device)
        y, _ = attention(x, kv, kv, need_weights=False)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), x)
        assert round(curvature.item(), 6) == -0.768

    @since("2.1")
    @on("cpu")
    def test_trap_multihead_attention_without_weights_has_none(self, device, seeded):
        attention = torch.nn.MultiheadAttention(1, 1, bias=False, device=device, dtype=torch.float64)
        x = torch.tensor([[[math.log(2)]]], dtype=torch.float64, device=device, requires_grad=True)
        y, _ = attention(x, x, x, need_weights=False)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        with pytest.raises(
            RuntimeError, match=r"derivative for aten::_scaled_dot_product_\w+_backward is not implemen"
        ):
            torch.autograd.grad(slope.sum(), x)

    def test_fix_ask_for_the_weights(self, device, seeded):
        attention = torch.nn.MultiheadAttention(1, 1, bias=False, device=device, dtype=torch.float64)
        with torch.no_grad():
            attention.in_proj_weight.fill_(1)
            attention.out_proj.weight.fill_(1)
        x = torch.tensor([[[math.log(2)]]], dtype=torch.float64, device=device, requires_grad=True)
        kv = torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float64, device=device)
        y, _ = attention(x, kv, kv, need_weights=True)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), x)
        assert round(curvature.item(), 6) == -0.768

    @since("2.3")
    def test_fix_ask_for_the_math_kernel(self, device):
        x = torch.tensor(math.log(2), dtype=torch.float64, device=device, requires_grad=True)
        q, kv = x.reshape(1, 1, 1, 1), torch.tensor([1.0, -1.0], dtype=torch.float64, device=device).reshape(1, 1, 2, 1)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            y = F.scaled_dot_product_attention(q, kv, kv).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, x)
        assert round(curvature.item(), 6) == -0.768

    @before("2.3")
    def test_fix_switch_off_the_fused_kernels(self, device):
        x = torch.tensor(math.log(2), dtype=torch.float64, device=device, requires_grad=True)
        q, kv = x.reshape(1, 1, 1, 1), torch.tensor([1.0, -1.0], dtype=torch.float64, device=device).reshape(1, 1, 2, 1)
        # The switches of that time applied to the CPU as well, whatever the module's name.
        with torch.backends.cuda.sdp_kernel(enable_flash=False, enable_mem_efficient=False):
            y = F.scaled_dot_product_attention(q, kv, kv).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, x)
        assert round(curvature.item(), 6) == -0.768

    def test_fix_write_the_formula(self, device):
        x = torch.tensor(math.log(2), dtype=torch.float64, device=device, requires_grad=True)
        q, kv = x.reshape(1, 1, 1, 1), torch.tensor([1.0, -1.0], dtype=torch.float64, device=device).reshape(1, 1, 2, 1)
        y = ((q @ kv.mT).softmax(-1) @ kv).sum()
        (slope,) = torch.autograd.grad(y, x, create_graph=True)
        (curvature,) = torch.autograd.grad(slope, x)
        assert round(curvature.item(), 6) == -0.768
