"""What autocast converts: which operations run in which dtype, and what it leaves alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import on, pitfall


@pitfall(
    "autocast-lowers-matrix-products",
    docs=["amp#autocast-op-reference", "torch.autocast"],
    symptom="inputs and weights are float32, but the output is bfloat16 or float16",
    priority=1,
)
class TestAutocastLowersMatrixProducts:
    """Under autocast matrix products and convolutions of float32 return bfloat16 or float16; parameters stay float32.

    Everything that follows, activations too, then runs in the lower precision, unless it is on a list of its own. The
    gradients have the dtype of the parameters. Ask ``x.dtype``, and call ``float()`` where precision counts.
    """

    @pytest.mark.parametrize(
        "product",
        [
            pytest.param(lambda x: x @ x, id="matmul"),
            pytest.param(lambda x: torch.mm(x, x), id="mm"),
            pytest.param(lambda x: torch.bmm(x[None], x[None]), id="bmm"),
            pytest.param(lambda x: torch.addmm(x, x, x), id="addmm"),
            pytest.param(lambda x: torch.baddbmm(x[None], x[None], x[None]), id="baddbmm"),
            pytest.param(lambda x: torch.einsum("ij,jk->ik", x, x), id="einsum"),
            pytest.param(lambda x: torch.linalg.multi_dot([x, x, x]), id="multi_dot"),
            pytest.param(lambda x: F.linear(x, x), id="linear"),
            pytest.param(lambda x: F.conv1d(x[None], x[None]), id="conv1d"),
            pytest.param(lambda x: F.conv2d(x[None, None], x[None, None]), id="conv2d"),
            pytest.param(lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]), id="attention"),
        ],
    )
    def test_trap_the_result_has_the_lower_dtype(self, device, product):
        x = torch.ones(2, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = product(x)
        assert y.dtype == torch.bfloat16

    def test_trap_small_differences_are_gone(self, device):
        x = torch.tensor([[1.0, 0.001]], device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = x @ torch.ones(2, 1, device=device)
        assert y.item() == 1

    @pytest.mark.parametrize(
        "follow",
        [
            pytest.param(lambda y: y.relu(), id="relu"),
            pytest.param(lambda y: y + y, id="add"),
            pytest.param(lambda y: y * 2, id="mul"),
        ],
    )
    def test_trap_what_follows_stays_low(self, device, follow):
        x = torch.ones(2, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            z = follow(x @ x)
        assert z.dtype == torch.bfloat16

    def test_fix_gradients_have_the_dtype_of_the_parameters(self, device, seeded):
        layer = nn.Linear(2, 1, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = layer(torch.ones(1, 2, device=device)).sum()
        loss.backward()  # outside of autocast
        assert layer.weight.dtype == torch.float32
        assert layer.weight.grad.dtype == torch.float32


@pitfall(
    "autocast-output-meets-float32",
    docs=["torch.autocast", "amp#autocasting"],
    symptom="RuntimeError: expected m1 and m2 to have the same dtype, after leaving autocast",
    error="expected m1 and m2 to have the same dtype",
    priority=1,
)
class TestAutocastOutputMeetsFloat32:
    """Tensors made under autocast keep their low precision outside of it, and inside of ``autocast(enabled=False)``.

    There nothing converts any more, and a product with a float32 weight raises. Call ``float()`` on what leaves the
    region, or on what enters a part that must run in float32.
    """

    def test_trap_after_the_region(self, device):
        x = torch.ones(2, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = x @ x
        with pytest.raises(
            RuntimeError, match=r"(to have the same dtype|must have the same dtype|expected scalar type)"
        ):
            y @ x

    def test_trap_in_a_disabled_region(self, device):
        x = torch.ones(2, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = x @ x
            with (
                torch.autocast(device.type, enabled=False),
                pytest.raises(
                    RuntimeError, match=r"(to have the same dtype|must have the same dtype|expected scalar type)"
                ),
            ):
                y @ x

    def test_fix_float_on_the_way(self, device):
        x = torch.ones(2, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = x @ x
            with torch.autocast(device.type, enabled=False):
                z = y.float() @ x
        assert z.dtype == torch.float32


@pitfall(
    "autocast-lists-differ-by-device",
    docs=["amp#cpu-op-specific-behavior", "amp#cuda-op-specific-behavior", "torch.autocast"],
    symptom="softmax or a sum is in float32 on the GPU, but in bfloat16 on the CPU, under the same autocast",
)
class TestAutocastListsDifferByDevice:
    """On CUDA softmax, sums, norms, ``exp`` and ``pow`` run in float32 under autocast; on the CPU they stay low.

    Losses run in float32 on both, but ``binary_cross_entropy`` raises on CUDA: use its form with logits. Ask for
    ``dtype=torch.float32`` where it counts, which wins over autocast.
    """

    FUNCTIONS = [
        pytest.param(lambda x: x.softmax(0), id="softmax"),
        pytest.param(lambda x: x.log_softmax(0), id="log_softmax"),
        pytest.param(lambda x: x.sum(), id="sum"),
        pytest.param(lambda x: x.cumsum(0), id="cumsum"),
        pytest.param(lambda x: x.exp(), id="exp"),
        pytest.param(lambda x: x.log(), id="log"),
        pytest.param(lambda x: x.pow(2), id="pow"),
        pytest.param(lambda x: x.norm(), id="norm"),
        pytest.param(lambda x: F.layer_norm(x, (2,)), id="layer_norm"),
    ]
    LOSSES = [
        pytest.param(lambda x: F.mse_loss(x, x), id="mse_loss"),
        pytest.param(lambda x: F.l1_loss(x, x), id="l1_loss"),
        pytest.param(lambda x: F.smooth_l1_loss(x, x), id="smooth_l1_loss"),
        pytest.param(lambda x: F.kl_div(x, x, reduction="sum"), id="kl_div"),
        pytest.param(lambda x: F.cross_entropy(x, x), id="cross_entropy"),
        pytest.param(lambda x: F.binary_cross_entropy_with_logits(x, x), id="binary_cross_entropy_with_logits"),
    ]

    @on("cpu")
    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_trap_on_the_cpu_they_stay_low(self, device, function):
        x = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = function(x)
        assert y.dtype == torch.bfloat16

    @on("cuda")
    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_trap_on_cuda_they_are_float32(self, device, function):
        x = torch.ones(2, 2, dtype=torch.float16, device=device)
        with torch.autocast("cuda", dtype=torch.float16):
            y = function(x)
        assert y.dtype == torch.float32

    @pytest.mark.parametrize("loss", LOSSES)
    def test_trap_losses_are_float32(self, device, loss):
        x = torch.full((2, 2), 0.5, dtype=torch.bfloat16, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = loss(x)
        assert y.dtype == torch.float32

    @on("cuda")
    def test_trap_binary_cross_entropy_raises_on_cuda(self, device):
        x = torch.full((2,), 0.5, device=device)
        with (
            torch.autocast("cuda", dtype=torch.float16),
            pytest.raises(RuntimeError, match=r"binary_cross_entropy and torch[.]nn[.]BCELoss are unsafe to autocast"),
        ):
            F.binary_cross_entropy(x, x)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_fix_ask_for_a_dtype(self, device, dtype):
        x = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            assert x.softmax(0, dtype=dtype).dtype == dtype
