"""What the switches and questions of accelerators answer, or do, on a machine that has none."""

import pytest
import torch

from pitfalls import on, pitfall, since

NO_GPU = "Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available|driver .* is too old"

without_gpu = pytest.mark.skipif("torch.cuda.is_available()", reason="this machine has a GPU")
without_accelerator = pytest.mark.skipif(
    "hasattr(torch, 'accelerator') and torch.accelerator.is_available()", reason="this machine has an accelerator"
)


@pitfall(
    "cuda-initial-seed-starts-cuda",
    docs=[("torch.cuda.initial_seed", "This function eagerly initializes CUDA"), "torch.initial_seed"],
    symptom="printing the seed raises on a machine without a GPU, or makes workers fail that are forked later",
    priority=3,
)
class TestCudaInitialSeedStartsCuda:
    """``torch.cuda.initial_seed()`` starts CUDA to read the seed, and so raises where there is no GPU.

    ``torch.cuda.manual_seed`` waits until CUDA is used. Remember the seed that you set, or ask
    ``torch.initial_seed()``.
    """

    @without_gpu
    def test_trap_asking_raises(self, monkeypatch):
        monkeypatch.setenv("CUDA_MODULE_LOADING", "LAZY")  # otherwise torch sets it as CUDA starts
        kind = RuntimeError if torch.backends.cuda.is_built() else AssertionError
        with pytest.raises(kind, match=NO_GPU):
            torch.cuda.initial_seed()

    def test_fix_ask_the_cpu(self, seeded):
        torch.manual_seed(7)
        assert torch.initial_seed() == 7


@since("2.5")
@pitfall(
    "attention-kernels-refuse-without-an-error",
    docs=[
        ("torch.backends.cuda.can_use_flash_attention", "It will return False"),
        ("torch.backends.cuda.can_use_efficient_attention", "It will return False"),
        "torch.backends.cuda.SDPAParams",
    ],
    symptom="can_use_flash_attention says False though flash_sdp_enabled says True",
    priority=3,
)
class TestAttentionKernelsRefuseWithoutAnError:
    """``can_use_flash_attention`` and its kin say ``False`` on the CPU and in a build without CUDA, and do not raise.

    They are about the kernels of the GPU; the switches, such as ``flash_sdp_enabled()``, stay at ``True``. What runs on
    the CPU they do not tell.
    """

    @pytest.mark.parametrize(
        "can_use",
        [
            pytest.param(lambda p: torch.backends.cuda.can_use_flash_attention(p), id="flash"),
            pytest.param(lambda p: torch.backends.cuda.can_use_efficient_attention(p), id="efficient"),
        ],
    )
    def test_trap_it_says_no(self, can_use):
        x = torch.ones(1, 1, 2, 8)
        assert can_use(torch.backends.cuda.SDPAParams(x, x, x, None, 0.0, False, False)) is False

    def test_trap_the_switch_says_yes(self):
        assert torch.backends.cuda.flash_sdp_enabled() is True


@pitfall(
    "apply-needs-values-on-the-cpu",
    docs=[("torch.Tensor.apply_", "This function only works with CPU tensors"), "torch.Tensor.map_"],
    symptom="apply_ is only implemented on CPU tensors; or apply_ on a meta tensor never calls my function",
    error="apply_ is only implemented on CPU tensors",
    priority=3,
)
class TestApplyNeedsValuesOnTheCpu:
    """``apply_`` calls a Python function on each element on the CPU; on a GPU it raises, and on ``meta`` does nothing.

    A tensor that requires grad is refused as well. Use operations on the whole tensor.
    """

    def test_trap_on_meta_nothing_is_called(self):
        called = []
        torch.ones(2, device="meta").apply_(lambda x: called.append(x) or x)
        torch.ones(2).apply_(lambda x: called.append(x) or x)
        assert called == [1, 1]

    @on("cuda")
    def test_trap_a_gpu_refuses(self, device):
        with pytest.raises(TypeError, match="apply_ is only implemented on CPU tensors"):
            torch.ones(2, device=device).apply_(lambda x: x + 1)

    def test_trap_a_gradient_refuses(self):
        with pytest.raises(RuntimeError, match=r"Can't call apply_\(\) on Variable that requires grad"):
            torch.ones(2, requires_grad=True).apply_(lambda x: x + 1)

    def test_fix_whole_tensors(self, device):
        assert torch.tensor([1.0, 2.0], device=device).add(1).tolist() == [2, 3]
