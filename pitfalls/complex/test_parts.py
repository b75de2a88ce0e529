"""Parts of complex numbers: what real tensors have of them, and which real tensors can be viewed as complex."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "conj-of-a-real-tensor-is-itself",
    docs=[
        ("torch.conj", "this function just returns"),
        ("torch.conj_physical", "this function just returns"),
        "torch.resolve_conj",
        "torch.Tensor.conj",
    ],
    symptom="a write to x.conj() or torch.conj_physical(x) changes x, but only for real tensors",
    priority=3,
)
class TestConjOfARealTensorIsItself:
    """``conj`` and even ``conj_physical`` of a real tensor return the tensor itself, where a complex one is copied.

    So code that writes to the result of ``conj_physical`` changes its input for real data alone. A conjugate can't be
    told from its input there: ``clone()`` before you write.
    """

    @pytest.mark.parametrize(
        "conj",
        [
            pytest.param(torch.conj, id="conj"),
            pytest.param(torch.conj_physical, id="conj_physical"),
            pytest.param(torch.resolve_conj, id="resolve_conj"),
            pytest.param(lambda x: x.conj(), id="Tensor.conj"),
        ],
    )
    def test_trap_a_real_tensor_comes_back(self, device, conj):
        x = torch.ones(2, device=device)
        assert conj(x) is x

    @pytest.mark.parametrize(("x", "left"), [([1.0], [0.0]), ([1j], [1j])], ids=["real", "complex"])
    def test_trap_only_a_real_tensor_is_written_to(self, device, x, left):
        x = torch.tensor(x, device=device)
        torch.conj_physical(x).zero_()
        assert x.tolist() == left

    def test_fix_clone_before_writing(self, device):
        x = torch.ones(2, device=device)
        torch.conj_physical(x).clone().zero_()
        assert x.tolist() == [1, 1]


@pitfall(
    "real-tensors-have-no-imaginary-part",
    docs=[
        ("torch.imag", "is only supported for tensors with complex"),
        ("torch.view_as_real", "is only supported for"),
    ],
    symptom="RuntimeError: imag is not implemented for tensors with non-complex dtypes.",
    error="imag is not implemented for tensors with non-complex dtypes",
    changed={"2.15": "imag and view_as_real of a real tensor raise TypeError; it had been RuntimeError"},
)
class TestRealTensorsHaveNoImaginaryPart:
    """``x.imag`` and ``view_as_real`` raise for a real tensor, while ``x.real`` and ``x.conj()`` return it.

    NumPy gives zeros. Ask ``x.is_complex()``, or convert first: ``x + 0j``.
    """

    PARTS = [
        pytest.param(torch.imag, "imag is not implemented for tensors with non-complex", id="torch.imag"),
        pytest.param(lambda x: x.imag, "imag is not implemented for tensors with non-complex", id="imag"),
        pytest.param(torch.view_as_real, "is only supported for complex tensors", id="view_as_real"),
    ]

    @before("2.15")
    @pytest.mark.parametrize(("part", "message"), PARTS)
    def test_trap_it_raised(self, device, part, message):
        with pytest.raises(RuntimeError, match=message):
            part(torch.ones(2, device=device))

    @since("2.15")
    @pytest.mark.parametrize(("part", "message"), PARTS)
    def test_trap_it_raises(self, device, part, message):
        with pytest.raises(TypeError, match=message):
            part(torch.ones(2, device=device))

    def test_fix_convert_first(self, device):
        assert (torch.ones(2, device=device) + 0j).imag.tolist() == [0, 0]


@pitfall(
    "view-as-complex-needs-pairs",
    docs=[("torch.view_as_complex", "stride` of 1 for its last dimension"), "torch.complex"],
    symptom="Tensor must have a last dimension of size 2; Tensor must have a last dimension with stride 1",
    error="Tensor must have a last dimension",
)
class TestViewAsComplexNeedsPairs:
    """``view_as_complex`` copies nothing, so real and imaginary part must stand next to each other in memory.

    It wants a last dimension of size 2 and stride 1, and even strides elsewhere. ``torch.complex(real, imag)`` takes
    the parts from anywhere, and copies; both must have one floating point dtype.
    """

    @pytest.mark.parametrize(
        ("pairs", "message"),
        [
            pytest.param(lambda d: torch.ones(2, 3, device=d), "a last dimension of size 2", id="three columns"),
            pytest.param(lambda d: torch.ones(2, 2, device=d).t(), "a last dimension with stride 1", id="transposed"),
            pytest.param(lambda d: torch.ones(2, 3, device=d)[:, :2], "a stride divisible by 2", id="odd stride"),
            pytest.param(lambda d: torch.tensor(1.0, device=d), "must have one or more dimensions", id="no dimension"),
        ],
    )
    def test_trap_other_layouts_are_refused(self, device, pairs, message):
        with pytest.raises(RuntimeError, match=message):
            torch.view_as_complex(pairs(device))

    @pytest.mark.parametrize("make", [torch.complex, torch.polar], ids=["complex", "polar"])
    def test_trap_the_parts_must_have_one_dtype(self, device, make):
        with pytest.raises(RuntimeError, match="Expected object of scalar type Float but got scalar type Double"):
            make(torch.ones(1, device=device), torch.ones(1, dtype=torch.float64, device=device))

    def test_trap_a_write_changes_the_pairs(self, device):
        pairs = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        torch.view_as_complex(pairs)[0] = 5j
        assert pairs.tolist() == [[0, 5], [3, 4]]

    def test_fix_make_it_contiguous(self, device):
        pairs = torch.tensor([[1.0, 3.0], [2.0, 4.0]], device=device).t()
        assert torch.view_as_complex(pairs.contiguous()).tolist() == [1 + 2j, 3 + 4j]

    def test_fix_from_two_tensors(self, device):
        x = torch.complex(torch.tensor([1.0, 3.0], device=device), torch.tensor([2.0, 4.0], device=device))
        assert x.tolist() == [1 + 2j, 3 + 4j]
