"""Complex numbers: they have no order, and what bfloat16 becomes beside one."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "complex-has-no-order",
    docs=["torch.sort", "complex_numbers"],
    symptom="Sort does not support complex dtypes on CPU; not implemented for 'ComplexFloat'",
    error="does not support complex dtypes",
    changed={
        "2.7": "sort raises ValueError; it had been RuntimeError",
        "2.8": "operators without a kernel for complex numbers raise NotImplementedError, which is a RuntimeError too",
        "2.9": "sort raises RuntimeError again",
        "2.15": "sort, topk, argmax and maximum raise TypeError",
    },
)
class TestComplexHasNoOrder:
    """Complex tensors can't be sorted, compared or ranked, and the exception for it changes from release to release.

    It has been RuntimeError, ValueError, NotImplementedError and TypeError, so ask ``x.is_complex()`` beforehand. NumPy
    sorts by real part, then imaginary part; torch leaves it to you to say which order you mean.
    """

    @pytest.mark.parametrize(
        "rank",
        [
            pytest.param(lambda x: x.sort(), id="sort"),
            pytest.param(lambda x: x.argsort(), id="argsort"),
            pytest.param(lambda x: x.msort(), id="msort"),
            pytest.param(lambda x: x.topk(1), id="topk"),
            pytest.param(lambda x: x.argmax(), id="argmax"),
            pytest.param(lambda x: x.max(), id="max"),
            pytest.param(lambda x: torch.maximum(x, x), id="maximum"),
            pytest.param(lambda x: x.clamp(0, 1), id="clamp"),
            pytest.param(lambda x: x < x, id="less than"),
        ],
    )
    def test_trap_no_order(self, device, rank):
        x = torch.tensor([3 + 4j, 1j], device=device)
        with pytest.raises((RuntimeError, ValueError, TypeError), match=r"(?i)complex"):
            rank(x)

    def test_fix_order_by_magnitude(self, device):
        x = torch.tensor([3 + 4j, 1j], device=device)
        assert x[x.abs().argsort()].tolist() == [1j, 3 + 4j]

    @pytest.mark.parametrize(
        ("part", "first"), [(torch.real, 1j), (torch.imag, 3 + 0j)], ids=["real part", "imaginary part"]
    )
    def test_fix_order_by_a_part(self, device, part, first):
        x = torch.tensor([3 + 0j, 1j], device=device)
        assert x[part(x).argsort()].tolist()[0] == first


BESIDE = [
    pytest.param(lambda x: x * 1j, id="times"),
    pytest.param(lambda x: 1j * x, id="times from the left"),
    pytest.param(lambda x: x + 1j, id="plus"),
    pytest.param(lambda x: x / 1j, id="divided"),
    pytest.param(lambda x: x * torch.tensor(1j, device=x.device), id="times a tensor without dimensions"),
]


@pitfall(
    "bfloat16-beside-a-complex-number",
    docs=["torch.result_type", "tensor_attributes#torch-dtype"],
    symptom="NotImplementedError: \"mul_cpu\" not implemented for 'BComplex32'",
    error="not implemented for 'BComplex32'",
    changed={
        "2.14": "a bfloat16 tensor beside a complex number becomes bcomplex32, which has no arithmetic; not complex64"
    },
    priority=3,
)
class TestBfloat16BesideAComplexNumber:
    """A bfloat16 tensor times ``1j`` was complex64 up to torch 2.13; now it is bcomplex32, for which most of it raises.

    A Python number never widens a tensor of floats, so bfloat16 leads to the complex dtype of its own width, for which
    few operators exist. Convert to float32, or bring a complex tensor with dimensions, which decides the dtype.
    """

    @before("2.14")
    @pytest.mark.parametrize("compute", BESIDE)
    def test_trap_it_was_complex64(self, device, compute):
        x = torch.ones(2, dtype=torch.bfloat16, device=device)
        assert compute(x).dtype == torch.complex64

    @since("2.14")
    @on("cpu")
    @pytest.mark.parametrize("compute", BESIDE)
    def test_trap_it_has_no_arithmetic(self, device, compute):
        x = torch.ones(2, dtype=torch.bfloat16, device=device)
        with pytest.warns(UserWarning, match="BComplex32 support is experimental"):
            with pytest.raises(NotImplementedError, match="not implemented for 'BComplex32'"):
                compute(x)

    @since("2.14")
    def test_trap_it_is_bcomplex32(self, device):
        x = torch.ones(2, dtype=torch.bfloat16, device=device)
        assert torch.result_type(x, 1j) == torch.bcomplex32

    @pytest.mark.parametrize(
        "compute",
        [
            pytest.param(lambda x: x.float() * 1j, id="float first"),
            pytest.param(lambda x: x * torch.tensor([1j], device=x.device), id="complex tensor with a dimension"),
        ],
    )
    def test_fix_decide_the_dtype(self, device, compute):
        y = compute(torch.ones(2, dtype=torch.bfloat16, device=device))
        assert y.dtype == torch.complex64
        assert y.tolist() == [1j, 1j]
