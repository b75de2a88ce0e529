"""Narrow floats: sums that overflow float16, kernels that the CPU lacked, casts to float8, and lost offsets."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, observe, on, pitfall, since

REDUCTIONS = [
    pytest.param(lambda x: x.mean(), 60000, id="mean"),
    pytest.param(lambda x: x.mean(0), 60000, id="mean over a dimension"),
    pytest.param(lambda x: (x / 200).norm(), 600, id="norm"),
    pytest.param(lambda x: torch.linalg.vector_norm(x / 200), 600, id="vector_norm"),
    pytest.param(lambda x: (x / 200).dist(torch.zeros_like(x)), 600, id="dist"),
]


@pitfall(
    "half-sum-overflows",
    docs=[("torch.sum", "This is useful for preventing data type overflows"), "torch.mean", "notes/numerical_accuracy"],
    symptom="the sum or the mean of a float16 tensor is inf although every value is finite",
    changed={"2.1": "mean and norm of float16 on the CPU no longer overflow on the way to a result that fits"},
)
class TestHalfSumOverflows:
    """A float16 result ends at 65504: a sum beyond it is ``inf``, however small its terms.

    ``mean`` and ``norm`` accumulate in float32, on the CPU since torch 2.1, so that only a result that doesn't fit
    overflows. Pass ``dtype=torch.float32`` to get a result that can hold the sum.
    """

    def test_trap_the_sum_overflows(self, device):
        x = torch.full((4,), 60000.0, dtype=torch.float16, device=device)
        assert x.sum().item() == float("inf")

    @before("2.1")
    @on("cpu")
    @pytest.mark.parametrize(("reduce", "value"), REDUCTIONS)
    def test_trap_it_overflowed_on_the_way(self, device, reduce, value):
        x = torch.full((4,), 60000.0, dtype=torch.float16, device=device)
        assert reduce(x).item() == float("inf") > value

    @since("2.1")
    @pytest.mark.parametrize(("reduce", "value"), REDUCTIONS)
    def test_trap_a_result_that_fits_survives(self, device, reduce, value):
        x = torch.full((4,), 60000.0, dtype=torch.float16, device=device)
        assert reduce(x).item() == value

    @pytest.mark.parametrize(
        ("reduce", "value"),
        [(torch.sum, 240000), (torch.mean, 60000), (torch.norm, 120000)],
        ids=["sum", "mean", "norm"],
    )
    def test_fix_ask_for_float32(self, device, reduce, value):
        x = torch.full((4,), 60000.0, dtype=torch.float16, device=device)
        assert reduce(x, dtype=torch.float32).item() == value


KERNELS = [
    pytest.param(lambda x: F.layer_norm(x, (2,)), id="layer_norm", marks=before("2.3")),
    pytest.param(lambda x: x.softmax(1), id="softmax", marks=before("2.2")),
    pytest.param(lambda x: F.linear(x, x), id="linear", marks=before("2.2")),
    pytest.param(lambda x: x[None] @ x[None], id="batched matmul", marks=before("2.2")),
    pytest.param(lambda x: F.conv1d(x[None], x[None]), id="conv1d", marks=before("2.2")),
    pytest.param(lambda x: x.cumsum(1), id="cumsum", marks=before("2.2")),
    pytest.param(lambda x: x.topk(1), id="topk", marks=before("2.2")),
    pytest.param(lambda x: F.max_pool1d(x, 2), id="max_pool1d", marks=before("2.2")),
    pytest.param(lambda x: F.avg_pool1d(x, 2), id="avg_pool1d", marks=before("2.3")),
    pytest.param(lambda x: F.nll_loss(x, torch.tensor([0, 1])), id="nll_loss", marks=before("2.4")),
    pytest.param(lambda x: x.exp(), id="exp", marks=before("2.1")),
    pytest.param(lambda x: F.gelu(x), id="gelu", marks=before("2.1")),
    pytest.param(lambda x: x.relu(), id="relu", marks=before("2.1")),
    pytest.param(lambda x: torch.cdist(x, x), id="cdist"),
]


@pitfall(
    "half-kernels-missing-on-cpu",
    docs=["torch.nn.functional.layer_norm", "torch.cdist", "amp#cpu-op-specific-behavior"],
    symptom="RuntimeError: \"LayerNormKernelImpl\" not implemented for 'Half'",
    error="not implemented for 'Half'",
    changed={
        "2.1": "elementwise functions and activations run in float16 on the CPU",
        "2.2": "softmax, matrix products, convolutions and pooling run in float16 on the CPU",
        "2.3": "layer_norm runs in float16 on the CPU",
        "2.4": "nll_loss runs in float16 on the CPU",
        "2.8": "a missing kernel raises NotImplementedError, which is a RuntimeError too",
    },
)
class TestHalfKernelsMissingOnCpu:
    """A float16 model that runs on the GPU need not run on the CPU, where kernels came one release at a time.

    The message names the missing kernel. Compute in float32 (``model.float()``) or in bfloat16 there, which the CPU has
    supported for much longer.
    """

    @on("cpu")
    @pytest.mark.parametrize("run", KERNELS)
    def test_trap_a_kernel_is_missing(self, device, run):
        x = torch.tensor([[1.0, 3.0], [2.0, 5.0]], dtype=torch.float16, device=device)
        with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
            run(x)

    @since("2.3")
    def test_trap_layer_norm_runs_nowadays(self, device):
        x = torch.tensor([[1.0, 3.0]], dtype=torch.float16, device=device)
        assert F.layer_norm(x, (2,)).tolist() == [[-1, 1]]

    def test_fix_compute_in_float32(self, device):
        x = torch.tensor([[1.0, 3.0]], dtype=torch.float16, device=device)
        y = F.layer_norm(x.float(), (2,)).half()
        assert y.tolist() == [[-1, 1]]

    def test_fix_compute_in_bfloat16(self, device):
        x = torch.tensor([[1.0, 3.0]], dtype=torch.bfloat16, device=device)
        assert F.layer_norm(x, (2,)).tolist() == [[-1, 1]]


@since("2.1")
@pitfall(
    "float8-cast-of-a-large-value",
    docs=["tensor_attributes#torch-dtype", "type_info#torch-finfo"],
    symptom="nan, or a silently clipped value, after a cast to torch.float8_e4m3fn",
    changed={"2.13": "on the CPU a value beyond 448 becomes 448; it had become nan"},
    priority=3,
)
class TestFloat8CastOfALargeValue:
    """``float8_e4m3fn`` has no infinity: what is beyond its 448 becomes NaN or 448, depending on the release.

    Before torch 2.13 the CPU made NaN of it, since then it saturates, infinity included. ``float8_e5m2`` has infinity
    and overflows to it. Clamp to ``torch.finfo(dtype).max`` first, as any quantization does with a scale.
    """

    @before("2.13")
    @on("cpu")
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
    def test_trap_it_became_nan(self, device, dtype):
        x = torch.tensor([1000.0, -1000.0, float("inf")], dtype=dtype, device=device)
        assert x.to(torch.float8_e4m3fn).float().isnan().tolist() == [True, True, True]

    @since("2.13")
    @on("cpu")
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
    def test_trap_it_saturates(self, device, dtype):
        x = torch.tensor([1000.0, -1000.0, float("inf")], dtype=dtype, device=device)
        assert x.to(torch.float8_e4m3fn).float().tolist() == [448, -448, 448]

    @on("cpu")
    def test_trap_e5m2_overflows_to_infinity(self, device):
        x = torch.tensor([1e6, -1e6], device=device)
        assert x.to(torch.float8_e5m2).float().tolist() == [float("inf"), -float("inf")]

    def test_fix_clamp_first(self, device):
        x = torch.tensor([1e6, -1e6, 3.0], device=device)
        top = torch.finfo(torch.float8_e4m3fn).max
        assert x.clamp(-top, top).to(torch.float8_e4m3fn).float().tolist() == [448, -448, 3]


@pitfall(
    "layer-norm-of-a-large-offset",
    docs=["torch.nn.functional.layer_norm", "notes/numerical_accuracy"],
    symptom="the output of layer_norm has a mean that is not zero",
    changed={"2.2": "layer_norm on the CPU subtracts the mean first, and stays accurate beside a large common offset"},
    priority=3,
)
class TestLayerNormOfALargeOffset:
    """``layer_norm`` of values with a large common offset was off by percents on the CPU before torch 2.2.

    It scaled first and subtracted afterwards, and the digits of the small differences were lost in between. Subtract
    the offset yourself, or compute in float64, where an old torch has to be served.
    """

    @before("2.2")
    @on("cpu")
    def test_trap_the_mean_was_not_zero(self, device):
        x = torch.tensor([[0.0, 1.0, 2.0]], device=device) + 1e6
        y = F.layer_norm(x, (3,))
        assert y.mean().abs().item() > 0.01
        observe(normalised=[round(value, 2) for value in y.flatten().tolist()])

    @since("2.2")
    def test_trap_the_offset_drops_out(self, device):
        x = torch.tensor([[0.0, 1.0, 2.0]], device=device) + 1e6
        torch.testing.assert_close(
            F.layer_norm(x, (3,)).flatten().cpu(), torch.tensor([-1.2247, 0, 1.2247]), rtol=0, atol=1e-3
        )

    @pytest.mark.parametrize(
        "normalise",
        [
            pytest.param(lambda x: F.layer_norm(x - x[:, :1], (3,)), id="subtract an offset"),
            pytest.param(lambda x: F.layer_norm(x.double(), (3,)).float(), id="float64"),
        ],
    )
    def test_fix_more_digits(self, device, normalise):
        x = torch.tensor([[0.0, 1.0, 2.0]], device=device) + 1e6
        torch.testing.assert_close(normalise(x).flatten().cpu(), torch.tensor([-1.2247, 0, 1.2247]), rtol=0, atol=1e-3)
