"""The argument `out=`: when it is resized, which dtypes it takes, and what happens where it overlaps an input."""

import pytest
import torch

from pitfalls import observe, pitfall


@pitfall(
    "out-of-another-shape-is-resized",
    docs=["notes/out", "torch.add", "torch.index_select"],
    symptom="UserWarning: An output with one or more elements was resized since it had shape [5]",
    error="An output with one or more elements was resized",
)
class TestOutOfAnotherShapeIsResized:
    """An ``out=`` of the wrong shape is resized to fit, with a deprecation warning; an empty one silently.

    Neither does the result broadcast into it, nor is a larger buffer filled in part. Give a tensor of the right shape,
    ``buffer[:n]`` of a larger one, or an empty one if it shall be resized.
    """

    OPS = [
        pytest.param(lambda out: torch.add(torch.ones(2, device=out.device), 1, out=out), [2, 2], id="add"),
        pytest.param(lambda out: torch.sum(torch.ones(3, 2, device=out.device), 0, out=out), [3, 3], id="sum"),
        pytest.param(
            lambda out: torch.cat([torch.ones(1, device=out.device), torch.zeros(1, device=out.device)], out=out),
            [1, 0],
            id="cat",
        ),
        pytest.param(
            lambda out: torch.index_select(
                torch.arange(3.0, device=out.device), 0, torch.tensor([2, 1], device=out.device), out=out
            ),
            [2, 1],
            id="index_select",
        ),
        pytest.param(
            lambda out: torch.mm(torch.ones(1, 1, device=out.device), torch.ones(1, 2, device=out.device), out=out),
            [[1, 1]],
            id="mm",
        ),
    ]

    @pytest.mark.parametrize(("op", "result"), OPS)
    @pytest.mark.parametrize("elements", [1, 5], ids=["too small", "too large"])
    def test_trap_it_is_resized_with_a_warning(self, device, op, result, elements):
        out = torch.zeros(elements, device=device)
        with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
            op(out)
        assert out.tolist() == result

    @pytest.mark.parametrize(("op", "result"), OPS)
    def test_fix_an_empty_one_is_resized_silently(self, device, op, result):
        out = torch.empty(0, device=device)
        assert op(out) is out
        assert out.tolist() == result

    def test_fix_a_part_of_a_larger_buffer(self, device):
        buffer = torch.zeros(5, device=device)
        torch.add(torch.ones(2, device=device), 1, out=buffer[:2])
        assert buffer.tolist() == [2, 2, 0, 0, 0]


@pitfall(
    "resized-out-writes-beyond-its-view",
    docs=["notes/out", ("torch.Tensor.resize_", "the underlying storage is resized to fit")],
    symptom="elements of my buffer next to the slice that I gave as out= were overwritten",
)
class TestResizedOutWritesBeyondItsView:
    """A slice given as ``out=`` that is too small grows over its neighbours: the result overwrites what follows it.

    Resizing changes the view, not the tensor behind it, and the storage has room. The warning is all that tells: turn
    it into an error, or copy: ``buffer[:2].copy_(result)`` raises.
    """

    def test_trap_the_neighbour_is_overwritten(self, device):
        buffer = torch.zeros(5, device=device)
        with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
            torch.add(torch.ones(3, device=device), 1, out=buffer[:2])
        assert buffer.tolist() == [2, 2, 2, 0, 0]

    def test_trap_columns_are_written_in_the_order_of_memory(self, device):
        buffer = torch.zeros(2, 3, device=device)
        with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
            torch.add(torch.ones(4, device=device), 1, out=buffer[:, 0])
        assert buffer.tolist() == [[2, 2, 2], [2, 0, 0]]

    def test_fix_copy_checks_the_shape(self, device):
        buffer = torch.zeros(5, device=device)
        with pytest.raises(RuntimeError, match="must match the size of tensor"):
            buffer[:2].copy_(torch.ones(3, device=device) + 1)
        assert buffer.tolist() == [0, 0, 0, 0, 0]


@pitfall(
    "factory-out-is-resized-silently",
    docs=["notes/out", "torch.zeros", "torch.full", "torch.eye"],
    symptom="torch.zeros(3, out=buffer) changed the shape of my buffer",
    priority=3,
)
class TestFactoryOutIsResizedSilently:
    """``zeros``, ``full``, ``eye`` and ``randn`` resize their ``out=`` without any warning.

    To refill a buffer as it is, call its own methods: ``buffer.zero_()``, ``fill_``, ``normal_``.
    """

    @pytest.mark.parametrize(
        ("make", "shape"),
        [
            pytest.param(lambda out: torch.zeros(3, out=out), (3,), id="zeros"),
            pytest.param(lambda out: torch.ones(3, 1, out=out), (3, 1), id="ones"),
            pytest.param(lambda out: torch.full((4,), 1.0, out=out), (4,), id="full"),
            pytest.param(lambda out: torch.eye(2, out=out), (2, 2), id="eye"),
            pytest.param(lambda out: torch.randn(3, out=out), (3,), id="randn"),
        ],
    )
    def test_trap_the_buffer_takes_the_new_shape(self, device, seeded, make, shape):
        buffer = torch.zeros(2, device=device)
        make(buffer)
        assert buffer.shape == shape

    def test_fix_fill_the_buffer(self, device):
        buffer = torch.zeros(2, device=device)
        assert buffer.fill_(1).tolist() == [1, 1]


@pitfall(
    "out-keeps-its-strides",
    docs=["notes/out", "torch.add"],
    symptom="the result in my preallocated tensor is not contiguous",
    priority=3,
)
class TestOutKeepsItsStrides:
    """An ``out=`` of the right shape keeps its strides; the result is written into them, and it is returned itself.

    A transposed buffer stays transposed. Without ``out=`` the result would take its strides from the operands.
    """

    def test_trap_a_transposed_buffer_stays_transposed(self, device):
        memory = torch.zeros(3, 2, device=device)
        torch.add(torch.tensor([[1, 2, 3], [4, 5, 6]], device=device), 0.0, out=memory.t())
        assert memory.tolist() == [[1, 4], [2, 5], [3, 6]]

    def test_trap_the_result_is_out_itself(self, device):
        out = torch.zeros(3, 2, device=device).t()
        result = torch.add(torch.ones(2, 3, device=device), 1, out=out)
        assert result is out
        assert result.stride() == (1, 2)

    def test_fix_without_out_it_is_contiguous(self, device):
        assert torch.add(torch.ones(2, 3, device=device), 1).stride() == (3, 1)


@pitfall(
    "out-takes-no-lower-kind",
    docs=["notes/out", "tensor_attributes#torch-dtype", "torch.add"],
    symptom="RuntimeError: result type Float can't be cast to the desired output type Long",
    error="can't be cast to the desired output type",
)
class TestOutTakesNoLowerKind:
    """An ``out=`` may be of a higher kind than the result, or a narrower one of its kind; a lower kind raises.

    Kinds rise from bool to integer to float to complex. Within a kind the result is narrowed without a word: float32
    into float16 overflows to infinity.
    """

    @pytest.mark.parametrize(
        ("value", "dtype"), [(1.5, torch.int64), (1.5, torch.bool), (1j, torch.float32), (2, torch.bool)], ids=str
    )
    def test_trap_a_lower_kind_is_refused(self, device, value, dtype):
        x, out = torch.tensor([value], device=device), torch.zeros(1, dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
            torch.add(x, x, out=out)

    @pytest.mark.parametrize(
        ("value", "dtype", "stored"),
        [(40000.0, torch.float16, float("inf")), (100, torch.int8, -56), (100, torch.uint8, 200)],
        ids=str,
    )
    def test_trap_within_a_kind_it_is_narrowed(self, device, value, dtype, stored):
        x, out = torch.tensor([value], device=device), torch.zeros(1, dtype=dtype, device=device)
        torch.add(x, x, out=out)
        assert out.tolist() == [stored]

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.float64, torch.complex64], ids=str)
    def test_fix_the_same_or_a_higher_kind(self, device, dtype):
        x, out = torch.tensor([1], device=device), torch.zeros(1, dtype=dtype, device=device)
        assert torch.add(x, x, out=out).tolist() == [2]


@pitfall(
    "out-of-operations-that-do-not-promote",
    docs=["notes/out", "torch.mm", "torch.index_select", "torch.gather"],
    symptom="RuntimeError: Expected out tensor to have dtype float, but got double instead",
    priority=3,
)
class TestOutOfOperationsThatDoNotPromote:
    """Operations that promote nothing want an ``out=`` of exactly the dtype of the result, a wider one is refused too.

    Matrix products, ``gather`` and ``index_select`` are among them; arithmetic, reductions and ``cat`` convert.
    """

    @pytest.mark.parametrize(
        "op",
        [
            pytest.param(lambda x, _i, out: torch.mm(x, x, out=out), id="mm"),
            pytest.param(lambda x, i, out: torch.index_select(x, 0, i[0], out=out), id="index_select"),
            pytest.param(lambda x, i, out: torch.gather(x, 0, i, out=out), id="gather"),
        ],
    )
    def test_trap_a_wider_out_is_refused(self, device, op):
        x, out = torch.ones(1, 1, device=device), torch.zeros(1, 1, dtype=torch.float64, device=device)
        index = torch.zeros(1, 1, dtype=torch.int64, device=device)
        with pytest.raises(RuntimeError, match=r"Expected (self|out).*dtype|must have the same scalar type"):
            op(x, index, out)

    @pytest.mark.parametrize(
        "op",
        [
            pytest.param(lambda x, out: torch.add(x, x, out=out), id="add"),
            pytest.param(lambda x, out: torch.sum(x, 0, keepdim=True, out=out), id="sum"),
            pytest.param(lambda x, out: torch.cat([x], out=out), id="cat"),
        ],
    )
    def test_fix_arithmetic_converts(self, device, op):
        x, out = torch.ones(1, 1, device=device), torch.zeros(1, 1, dtype=torch.float64, device=device)
        assert op(x, out).dtype == torch.float64


@pitfall(
    "out-that-overlaps-an-input",
    docs=["notes/out", ("torch.as_strided", "same element in memory"), "torch.mm"],
    symptom="torch.mm(a, b, out=a) gives wrong numbers",
    error="some elements of the input tensor and the written-to tensor refer to a single memory location",
)
class TestOutThatOverlapsAnInput:
    """An input may serve as ``out=`` of an element-wise operation; where they overlap in part, torch raises.

    Operations that read an element more than once, such as a matrix product, are checked by nobody: with ``out=`` on an
    input their result is undefined. Rebind (``a = a @ b``), or give a buffer of its own.
    """

    def test_trap_a_partial_overlap_is_refused(self, device):
        x = torch.arange(4.0, device=device)
        with pytest.raises(
            RuntimeError, match="some elements of the input tensor and the written-to tensor refer to a"
        ):
            torch.mul(x[:-1], 2, out=x[1:])

    @pytest.mark.parametrize("product", [torch.mm, torch.matmul], ids=["mm", "matmul"])
    def test_trap_a_matrix_product_is_not_checked(self, device, product):
        x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], device=device)
        assert product(x, x, out=x).shape == (2, 2)
        observe(left=x.tolist(), right_would_be=[[2, 3], [6, 11]])

    def test_fix_the_very_input_of_an_element_wise_operation(self, device):
        x = torch.arange(4.0, device=device)
        torch.mul(x, 2, out=x)
        assert x.tolist() == [0, 2, 4, 6]

    @pytest.mark.parametrize(
        "multiply",
        [
            pytest.param(lambda x: x @ x, id="rebind"),
            pytest.param(lambda x: torch.mm(x, x, out=torch.empty_like(x)), id="buffer"),
        ],
    )
    def test_fix_a_result_of_its_own(self, device, multiply):
        x = torch.tensor([[0.0, 1.0], [2.0, 3.0]], device=device)
        assert multiply(x).tolist() == [[2, 3], [6, 11]]
