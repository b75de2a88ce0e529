"""Calls of FFTs that fail: the module that was a function, and dtypes and lengths without a kernel."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "fft-is-a-module",
    docs=["fft", "torch.fft.fft", "torch.fft.rfft"],
    symptom="TypeError: 'module' object is not callable for torch.fft(x, 1)",
    error="module 'torch' has no attribute 'rfft'",
    priority=3,
)
class TestFftIsAModule:
    """``torch.fft`` is a module now, and ``torch.rfft``, ``irfft`` and ``ifft`` are gone.

    The functions of these names, which kept real and imaginary parts in a last dimension of two, were removed in torch
    1.8. Their successors give complex tensors; ``torch.view_as_real`` gives the old layout.
    """

    @pytest.mark.parametrize("name", ["rfft", "irfft", "ifft"])
    def test_trap_the_functions_are_gone(self, name):
        with pytest.raises(AttributeError, match=f"module 'torch' has no attribute '{name}'"):
            getattr(torch, name)

    def test_fix_view_the_result_as_real(self, device):
        x = torch.tensor([1.0, 2.0, 3.0, 4.0], device=device)
        found = torch.view_as_real(torch.fft.rfft(x))
        torch.testing.assert_close(found, torch.tensor([[10.0, 0.0], [-2.0, 2.0], [-2.0, 0.0]], device=device))


@pitfall(
    "half-precision-fft",
    docs=[("torch.fft.fft", "only supports powers of 2 signal length"), "torch.fft.rfft", "torch.fft.irfft"],
    symptom="RuntimeError: Unsupported dtype Half; cuFFT only supports dimensions whose sizes are powers of two",
    error="Unsupported dtype Half",
    changed={"2.14": "half precision on the CPU raises NotImplementedError; it had been RuntimeError itself"},
)
class TestHalfPrecisionFft:
    """Half-precision FFTs exist on CUDA only, for lengths that are powers of two; bfloat16 has none anywhere.

    ``irfft`` counts the length of its result, so that it takes one more than a power of two. Compute in float32:
    ``torch.fft.fft(x.float())``, also under autocast.
    """

    @before("2.14")
    @on("cpu")
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_trap_the_cpu_had_none(self, device, dtype):
        with pytest.raises(RuntimeError, match="Unsupported dtype"):
            torch.fft.fft(torch.ones(4, dtype=dtype, device=device))

    @since("2.14")
    @on("cpu")
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_trap_the_cpu_has_none(self, device, dtype):
        with pytest.raises(NotImplementedError, match="Unsupported dtype"):
            torch.fft.fft(torch.ones(4, dtype=dtype, device=device))

    TRANSFORMS = [
        pytest.param(torch.fft.fft, (8, 8), id="fft"),
        pytest.param(torch.fft.fft2, (8, 8), id="fft2"),
        pytest.param(torch.fft.rfft, (8, 8), id="rfft"),
        pytest.param(torch.fft.rfft2, (8, 8), id="rfft2"),
        pytest.param(torch.fft.irfft, (8, 5), id="irfft"),
        pytest.param(torch.fft.irfft2, (8, 5), id="irfft2"),
        pytest.param(torch.fft.hfft, (8, 5), id="hfft"),
    ]

    @on("cuda")
    @pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
    @pytest.mark.parametrize(("transform", "shape"), TRANSFORMS)
    def test_trap_cuda_wants_powers_of_two(self, device, transform, shape):
        x = torch.ones(shape, dtype=torch.float16, device=device)
        with pytest.raises(RuntimeError, match="powers of two"):
            transform(x[:, :-1])

    @on("cuda")
    @pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
    @pytest.mark.parametrize(("transform", "shape"), TRANSFORMS)
    def test_fix_a_power_of_two(self, device, transform, shape):
        y = transform(torch.ones(shape, dtype=torch.float16, device=device))
        assert y.dtype in (torch.float16, torch.complex32)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_fix_compute_in_float32(self, device, dtype):
        x = torch.ones(6, dtype=dtype, device=device)
        assert torch.fft.fft(x.float())[0].item() == 6
