"""Views that read the same memory otherwise: other dtypes, real and imaginary parts, conjugates, transposes."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "view-of-a-dtype-reinterprets-bits",
    docs=[("torch.Tensor.view", "with the same data as the"), "torch.Tensor.to"],
    symptom="x.view(torch.float32) gives tiny or absurd numbers",
)
class TestViewOfADtypeReinterpretsBits:
    """``view(dtype)`` reads the same bits as another type, ``to(dtype)`` converts the values.

    The integer 1 read as a float is 1e-45. It is a view: writes go through. With another size of element the last
    dimension grows or shrinks.
    """

    @pytest.mark.parametrize(
        ("value", "dtype", "seen"),
        [
            (1.0, torch.int32, 1065353216),
            (-2.0, torch.int32, -1073741824),
            (0.0, torch.int32, 0),
            (-0.0, torch.int32, -(2**31)),
        ],
        ids=str,
    )
    def test_trap_bits_not_values(self, device, value, dtype, seen):
        assert torch.tensor([value], device=device).view(dtype).tolist() == [seen]

    def test_trap_a_write_goes_through(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        x.view(torch.int32)[0] = 0
        assert x.tolist() == [0, 2]

    @pytest.mark.parametrize(
        ("dtype", "shape"), [(torch.uint8, (2, 16)), (torch.float16, (2, 8)), (torch.float64, (2, 2))], ids=str
    )
    def test_trap_the_last_size_changes(self, device, dtype, shape):
        assert torch.zeros(2, 4, device=device).view(dtype).shape == shape

    @pytest.mark.parametrize("dtype", [torch.int32, torch.float64, torch.uint8], ids=str)
    def test_fix_to_converts(self, device, dtype):
        assert torch.tensor([1.0, 2.0], device=device).to(dtype).tolist() == [1, 2]


@pitfall(
    "view-of-a-dtype-needs-whole-elements",
    docs=[("torch.Tensor.view", "If the element size of"), "torch.Tensor.contiguous"],
    symptom="RuntimeError: self.size(-1) must be divisible by 2 to view Int as Long (different element sizes)",
    error="(different element sizes)",
)
class TestViewOfADtypeNeedsWholeElements:
    """To be viewed in a wider dtype the last dimension must be contiguous, long enough and aligned.

    A 0-d tensor can't be viewed in any dtype of another size, since it has no dimension to grow or shrink. ``clone()``
    puts a slice on its own memory, ``contiguous()`` a transpose in order.
    """

    @pytest.mark.parametrize(
        ("make", "match"),
        [
            pytest.param(lambda x: x[:3], r"self.size\(-1\) must be divisible by 2", id="odd size"),
            pytest.param(lambda x: x[1:3], r"self.storage_offset\(\) must be divisible by 2", id="odd offset"),
            pytest.param(lambda x: x[::2], r"self.stride\(-1\) must be 1", id="step"),
            pytest.param(lambda x: x.view(2, 2).t(), r"self.stride\(-1\) must be 1", id="transposed"),
            pytest.param(lambda x: x[0], r"self.dim\(\) cannot be 0", id="0-d"),
        ],
    )
    def test_trap_elements_that_do_not_fit(self, device, make, match):
        x = make(torch.zeros(4, dtype=torch.int32, device=device))
        with pytest.raises(RuntimeError, match=rf"{match} to view Int as Long \(different element sizes\)"):
            x.view(torch.int64)

    def test_fix_clone_the_slice(self, device):
        x = torch.tensor([7, 1, 0, 7], dtype=torch.int32, device=device)
        assert x[1:3].clone().view(torch.int64).tolist() == [1]


@pitfall(
    "real-and-imag-are-views-of-one-tensor",
    docs=[
        ("torch.real", "share the same underlying storage"),
        ("torch.view_as_real", "Returns a view of"),
        "tensor_view",
    ],
    symptom="changing z.real or z.imag changes z; torch.real(x) is x",
)
class TestRealAndImagAreViewsOfOneTensor:
    """``z.real``, ``z.imag`` and ``view_as_real(z)`` share the memory of ``z``: they can be assigned through.

    They are strided, since the two parts lie side by side. Of a real tensor, ``real`` is that very tensor. Use
    ``clone()`` for a part of your own, and ``torch.complex`` to put two together.
    """

    PARTS = [
        pytest.param(lambda z: z.real, [5 + 2j], id="real"),
        pytest.param(torch.real, [5 + 2j], id="torch.real"),
        pytest.param(lambda z: z.imag, [1 + 5j], id="imag"),
        pytest.param(torch.imag, [1 + 5j], id="torch.imag"),
        pytest.param(lambda z: torch.view_as_real(z)[:, 1], [1 + 5j], id="view_as_real"),
    ]

    @pytest.mark.parametrize(("part", "result"), PARTS)
    def test_trap_a_write_goes_through(self, device, part, result):
        z = torch.tensor([1 + 2j], device=device)
        part(z).fill_(5)
        assert z.tolist() == result

    @pytest.mark.parametrize(("part", "result"), PARTS)
    def test_trap_a_part_is_not_contiguous(self, device, part, result):
        z = torch.tensor([1 + 2j, 3 + 4j], device=device)
        assert part(z).stride() == (2,)

    def test_trap_real_of_a_real_tensor_is_itself(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        torch.real(x)[0] = 5
        assert x.tolist() == [5, 2]

    @pytest.mark.parametrize(("part", "result"), PARTS)
    def test_fix_clone_the_part(self, device, part, result):
        z = torch.tensor([1 + 2j], device=device)
        part(z).clone().fill_(5)
        assert z.tolist() == [1 + 2j]


@pitfall(
    "conj-is-a-view",
    docs=[
        ("torch.conj", "Returns a view of"),
        ("torch.resolve_conj", "materialized conjugation"),
        "torch.Tensor.is_conj",
    ],
    symptom="writing into z.conj() changes z; view_as_real refuses the conjugate",
    error="doesn't work on unresolved conjugated tensors",
)
class TestConjIsAView:
    """``conj()`` and the adjoints ``H`` and ``mH`` set a bit and share the memory: no element is conjugated yet.

    A write through the conjugate stores the conjugate in the original, and what needs the bits as they are refuses it.
    ``resolve_conj()`` does the arithmetic into new memory, ``conj_physical()`` does it at once.
    """

    CONJUGATES = [
        pytest.param(lambda z: z.conj(), id="conj"),
        pytest.param(lambda z: z.H, id="H"),
        pytest.param(lambda z: z.mH, id="mH"),
        pytest.param(lambda z: z.adjoint(), id="adjoint"),
    ]

    @pytest.mark.parametrize("conj", CONJUGATES)
    def test_trap_a_write_stores_the_conjugate(self, device, conj):
        z = torch.tensor([[1 + 2j]], device=device)
        conj(z)[0, 0] = 3 + 4j
        assert z.tolist() == [[3 - 4j]]

    @pytest.mark.parametrize("conj", CONJUGATES)
    def test_trap_it_carries_a_bit(self, device, conj):
        z = torch.tensor([[1 + 2j]], device=device)
        assert conj(z).is_conj()
        assert conj(z).data_ptr() == z.data_ptr()

    @pytest.mark.parametrize(
        ("reinterpret", "match"),
        [
            pytest.param(torch.view_as_real, "doesn't work on unresolved conjugated tensors", id="view_as_real"),
            pytest.param(lambda z: z.view(torch.float32), "not supported for conjugate view tensors", id="view"),
        ],
    )
    def test_trap_its_bits_can_not_be_read(self, device, reinterpret, match):
        with pytest.raises(RuntimeError, match=match):
            reinterpret(torch.tensor([1 + 2j], device=device).conj())

    @pytest.mark.parametrize(
        "conj",
        [
            pytest.param(lambda z: z.conj().resolve_conj(), id="resolve_conj"),
            pytest.param(lambda z: z.conj_physical(), id="conj_physical"),
            pytest.param(lambda z: z.conj() * 1, id="arithmetic"),
        ],
    )
    def test_fix_resolve_it(self, device, conj):
        x = torch.view_as_real(conj(torch.tensor([1 + 2j], device=device)))
        assert x.tolist() == [[1, -2]]


@pitfall(
    "t-attribute-reverses-all-dimensions",
    docs=[("torch.Tensor.T", "on tensors of dimension other than 2"), "torch.Tensor.mT", "torch.Tensor.t"],
    symptom="UserWarning: The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated",
    error="on tensors of dimension other than 2 to reverse their shape is deprecated",
    priority=1,
)
class TestTReversesAllDimensions:
    """``x.T`` of a batch reverses all dimensions, the batch's too, with a warning that this will become an error.

    It is the transpose of a matrix alone. For a batch of matrices use ``mT``, or ``transpose(-2, -1)``. A vector has no
    transpose: make it a column with ``x[:, None]``.
    """

    def test_trap_the_batch_moves_to_the_end(self, device):
        with pytest.warns(
            UserWarning, match="on tensors of dimension other than 2 to reverse their shape is deprecated"
        ):
            x = torch.zeros(5, 2, 3, device=device).T
        assert x.shape == (3, 2, 5)

    def test_trap_a_vector_stays_as_it_is(self, device):
        with pytest.warns(
            UserWarning, match="on tensors of dimension other than 2 to reverse their shape is deprecated"
        ):
            x = torch.zeros(3, device=device).T
        assert x.shape == (3,)

    @pytest.mark.parametrize(
        "transpose",
        [pytest.param(lambda x: x.mT, id="mT"), pytest.param(lambda x: x.transpose(-2, -1), id="transpose")],
    )
    def test_fix_transpose_the_last_two(self, device, transpose):
        x = torch.arange(12, device=device).view(2, 2, 3)
        assert transpose(x).tolist() == [[[0, 3], [1, 4], [2, 5]], [[6, 9], [7, 10], [8, 11]]]

    def test_fix_a_column_from_a_vector(self, device):
        assert torch.tensor([1, 2], device=device)[:, None].tolist() == [[1], [2]]


@pitfall(
    "transposes-want-their-rank",
    docs=[
        ("torch.t", "Expects"),
        ("torch.Tensor.H", "Returns a view of a matrix (2-D tensor)"),
        ("torch.Tensor.mT", "with the last two dimensions transposed"),
    ],
    symptom="RuntimeError: t() expects a tensor with <= 2 dimensions, but self is 3D",
    error="t() expects a tensor with <= 2 dimensions",
    priority=3,
)
class TestTransposesWantTheirRank:
    """``t()`` takes up to two dimensions and ``H`` exactly two; ``mT`` and ``mH`` take two or more; others raise.

    A vector passes through ``t()`` unchanged, which hides that a column was meant. For any rank there is
    ``transpose(dim0, dim1)``.
    """

    @pytest.mark.parametrize(
        ("transpose", "shape", "match"),
        [
            pytest.param(lambda x: x.t(), (5, 2, 3), "expects a tensor with <= 2 dimensions, but self is 3D", id="t"),
            pytest.param(lambda x: x.H, (5, 2, 3), "tensor.H is only supported on matrices", id="H of a batch"),
            pytest.param(lambda x: x.H, (3,), "tensor.H is only supported on matrices", id="H of a vector"),
            pytest.param(lambda x: x.mT, (3,), "tensor.mT is only supported on matrices or batches", id="mT"),
            pytest.param(lambda x: x.mH, (3,), "tensor.adjoint|tensor.mH", id="mH"),
        ],
    )
    def test_trap_another_rank_is_refused(self, device, transpose, shape, match):
        with pytest.raises(RuntimeError, match=match):
            transpose(torch.zeros(shape, device=device))

    def test_trap_t_of_a_vector_is_the_vector(self, device):
        assert torch.zeros(3, device=device).t().shape == (3,)

    @pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3)], ids=str)
    def test_fix_mt_takes_matrices_and_batches(self, device, shape):
        x = torch.arange(6.0, device=device).view(2, 3).expand(shape)
        assert x.mT.shape[-2:] == (3, 2)
        assert torch.equal(x.mT[..., 2, 0], x[..., 0, 2])
