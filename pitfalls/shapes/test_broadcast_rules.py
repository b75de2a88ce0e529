"""Broadcasting beyond `x + y`: `where`, `lerp` and their kin, `broadcast_tensors`, and matrix products."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "every-operand-is-broadcast",
    docs=[("torch.where", "must be"), ("torch.lerp", "must be"), "torch.addcmul", "notes/broadcasting"],
    symptom="the result of where, clamp or lerp has a shape that none of my tensors had",
)
class TestEveryOperandIsBroadcast:
    """Operations on three tensors broadcast all three: the condition of ``where`` or a bound of ``clamp`` too.

    A mask of shape ``(n, 1)`` with values of shape ``(n,)`` gives ``(n, n)``, as in arithmetic. Compare shapes before,
    or ask ``torch.broadcast_shapes``.
    """

    OPS = [
        pytest.param(lambda a, b, c: torch.where(a > 0, b, c), id="where"),
        pytest.param(lambda a, b, c: torch.lerp(a, b, c), id="lerp"),
        pytest.param(lambda a, b, c: torch.addcmul(a, b, c), id="addcmul"),
        pytest.param(lambda a, b, c: torch.addcdiv(a, b, c), id="addcdiv"),
        pytest.param(lambda a, b, c: torch.clamp(a, b, c), id="clamp"),
    ]

    @pytest.mark.parametrize("op", OPS)
    @pytest.mark.parametrize(
        ("a", "b", "c", "result"),
        [
            ((2, 1), (2,), (), (2, 2)),
            ((2,), (2, 1), (2,), (2, 2)),
            ((1,), (2,), (3, 1), (3, 2)),
            ((4, 1, 1), (3, 1), (2,), (4, 3, 2)),
            ((0,), (1,), (2, 1), (2, 0)),
        ],
        ids=str,
    )
    def test_trap_the_result_takes_all_shapes(self, device, op, a, b, c, result):
        assert op(*(torch.ones(shape, device=device) for shape in (a, b, c))).shape == result

    @pytest.mark.parametrize("op", OPS)
    def test_trap_one_that_does_not_pair_is_refused(self, device, op):
        with pytest.raises(RuntimeError, match=r"must match the (size of tensor|existing size)"):
            op(torch.ones(2, device=device), torch.ones(2, device=device), torch.ones(3, device=device))

    @pytest.mark.parametrize(
        ("shapes", "result"), [(((2, 1), (2,), ()), (2, 2)), (((4, 1, 1), (3, 1), (2,)), (4, 3, 2))], ids=str
    )
    def test_fix_ask_beforehand(self, shapes, result):
        assert torch.broadcast_shapes(*shapes) == result


@pitfall(
    "broadcast-tensors-are-views",
    docs=[("torch.broadcast_tensors", "More than one element of a broadcasted tensor"), "torch.broadcast_to"],
    symptom="writing to an output of torch.broadcast_tensors changes the input and other elements",
)
class TestBroadcastTensorsAreViews:
    """``broadcast_tensors`` returns expanded views: one write changes every copy of an element, and the input.

    Arithmetic in place is refused for an output that was stretched, and goes through for one that was not. ``clone()``
    what shall be written.
    """

    def test_trap_a_write_hits_all_copies_and_the_input(self, device):
        x, y = torch.tensor([1, 2], device=device), torch.zeros(2, 1, dtype=torch.int64, device=device)
        wide_x, _ = torch.broadcast_tensors(x, y)
        wide_x[0, 0] = 9
        assert wide_x.tolist() == [[9, 2], [9, 2]]
        assert x.tolist() == [9, 2]

    def test_trap_arithmetic_is_refused_where_it_was_stretched(self, device):
        x, y = torch.ones(2, device=device), torch.zeros(2, 1, device=device)
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single"):
            torch.broadcast_tensors(x, y)[0].add_(1)

    def test_trap_it_goes_through_where_it_was_not(self, device):
        x, y = torch.ones(2, device=device), torch.zeros(1, device=device)
        torch.broadcast_tensors(x, y)[0].add_(1)
        assert x.tolist() == [2, 2]

    def test_fix_clone_before_writing(self, device):
        x, y = torch.ones(2, device=device), torch.zeros(2, 1, device=device)
        wide_x = torch.broadcast_tensors(x, y)[0].clone()
        assert wide_x.add_(1).tolist() == [[2, 2], [2, 2]]
        assert x.tolist() == [1, 1]


@pitfall(
    "matmul-drops-the-dimension-it-added",
    docs=[("torch.matmul", "After the matrix multiply, the prepended dimension is"), "torch.Tensor.matmul"],
    symptom="x @ w has a dimension less than expected when x or w is a vector",
)
class TestMatmulDropsTheDimensionItAdded:
    """``matmul`` takes a vector for a row on the left or a column on the right, and drops that dimension afterwards.

    The last two dimensions are the matrices; those before are a batch and are broadcast. So the rank of the result
    depends on the ranks of both. Write ``w[:, None]`` where a column shall stay a column.
    """

    @pytest.mark.parametrize("multiply", [torch.matmul, lambda a, b: a @ b], ids=["matmul", "@"])
    @pytest.mark.parametrize(
        ("a", "b", "result"),
        [
            ((3,), (3,), ()),
            ((2, 3), (3,), (2,)),
            ((3,), (3, 4), (4,)),
            ((2, 3), (3, 4), (2, 4)),
            ((5, 2, 3), (3,), (5, 2)),
            ((3,), (5, 3, 4), (5, 4)),
            ((5, 2, 3), (3, 4), (5, 2, 4)),
            ((2, 3), (5, 3, 4), (5, 2, 4)),
            ((5, 2, 3), (5, 3, 4), (5, 2, 4)),
            ((1, 2, 3), (5, 3, 4), (5, 2, 4)),
            ((6, 1, 2, 3), (5, 3, 4), (6, 5, 2, 4)),
        ],
        ids=str,
    )
    def test_trap_the_rank_depends_on_both(self, device, multiply, a, b, result):
        assert multiply(torch.ones(a, device=device), torch.ones(b, device=device)).shape == result

    @pytest.mark.parametrize(
        ("a", "b", "match"),
        [
            ((2, 2, 3), (3, 3, 4), "must match the size of tensor b"),
            ((2, 3), (2,), "size mismatch"),
            ((), (3,), "both arguments to matmul need to be at least 1D"),
        ],
        ids=str,
    )
    def test_trap_other_shapes_are_refused(self, device, a, b, match):
        with pytest.raises(RuntimeError, match=match):
            torch.matmul(torch.ones(a, device=device), torch.ones(b, device=device))

    def test_fix_a_column_stays_a_column(self, device):
        x, w = torch.ones(2, 3, device=device), torch.ones(3, device=device)
        assert (x @ w[:, None]).tolist() == [[3], [3]]
