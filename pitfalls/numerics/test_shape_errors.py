"""Shapes and dtypes that don't fit: what indexing, broadcasting, factories and matrix products say about them."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "index-add-never-broadcasts",
    docs=[("torch.Tensor.index_add_", "and all other dimensions must match"), "torch.index_add"],
    symptom="RuntimeError: source tensor shape must match self tensor shape, excluding the specified dimension",
    error="source tensor shape must match self tensor shape",
    changed={"2.1": "a source of another shape raises; on the CPU it had been broadcast, not as one would expect"},
)
class TestIndexAddNeverBroadcasts:
    """``index_add`` takes a source of its own shape but for the indexed dimension; nothing is broadcast.

    Before torch 2.1 the CPU let smaller sources through and spread a vector along the wrong dimension: one value a row,
    not the vector in each row. Expand the source to the shape that you mean.
    """

    @before("2.1")
    @on("cpu")
    def test_trap_a_vector_was_spread_the_wrong_way(self, device):
        x, index = torch.zeros(3, 2, device=device), torch.tensor([0, 1], device=device)
        assert x.index_add(0, index, torch.tensor([5.0, 7.0], device=device)).tolist() == [[5, 5], [7, 7], [0, 0]]

    @since("2.1")
    @pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 3)], ids=str)
    def test_trap_another_shape_is_refused(self, device, shape):
        x, index = torch.zeros(3, 2, device=device), torch.tensor([0, 1], device=device)
        with pytest.raises(RuntimeError, match="source tensor shape must match self tensor shape"):
            x.index_add(0, index, torch.ones(shape, device=device))

    def test_fix_expand_the_source(self, device):
        x, index = torch.zeros(3, 2, device=device), torch.tensor([0, 1], device=device)
        source = torch.tensor([5.0, 7.0], device=device).expand(2, 2)
        assert x.index_add(0, index, source).tolist() == [[5, 7], [5, 7], [0, 0]]


@since("2.2")
@pitfall(
    "unravel-index-of-an-empty-shape",
    docs=["torch.unravel_index"],
    symptom="RuntimeError: ZeroDivisionError from torch.unravel_index",
    error="'shape' cannot have zero dimensions when 'indices' is non-empty",
    changed={
        "2.14": "a dimension of size zero raises a ValueError that says so; it had been RuntimeError: ZeroDivisionError"
    },
    priority=3,
)
class TestUnravelIndexOfAnEmptyShape:
    """An index into a shape with a dimension of size zero can't be unravelled, and raises.

    Up to torch 2.13 the CPU showed the division by zero that it ran into. No index at all is fine: an empty tensor of
    indices unravels to empty ones.
    """

    @before("2.14")
    @on("cpu")
    def test_trap_it_divided_by_zero(self, device):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            torch.unravel_index(torch.tensor([0], device=device), (0, 2))

    @since("2.14")
    def test_trap_it_is_refused(self, device):
        with pytest.raises(ValueError, match="'shape' cannot have zero dimensions"):
            torch.unravel_index(torch.tensor([0], device=device), (0, 2))

    def test_fix_a_shape_with_elements(self, device):
        rows, columns = torch.unravel_index(torch.tensor([0, 3, 5], device=device), (3, 2))
        assert rows.tolist() == [0, 1, 2]
        assert columns.tolist() == [0, 1, 1]


@pitfall(
    "matrix-product-promotes-nothing",
    docs=["torch.nn.Linear", "torch.nn.functional.linear", "torch.mm"],
    symptom="RuntimeError: mat1 and mat2 must have the same dtype, but got Double and Float",
    error="mat1 and mat2 must have the same dtype | expected m1 and m2 to have the same dtype",
    changed={"2.1": "the message says which dtypes met, in one wording for vectors and batches"},
    priority=1,
)
class TestMatrixProductPromotesNothing:
    """A linear layer and ``@`` want one dtype on both sides; sums and products promote, matrix products don't.

    NumPy's float64 is what arrives most often, integers second. Convert the data on the way in (``x.float()``), or the
    layer with ``layer.to(x.dtype)``.
    """

    @pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3)], ids=["vector", "matrix", "batch"])
    def test_trap_a_layer_refuses_another_dtype(self, device, shape, dtype):
        layer = torch.nn.Linear(3, 2, device="meta").to_empty(device=device)
        with pytest.raises(RuntimeError, match=r"(same dtype|expected scalar type)"):
            layer(torch.ones(shape, dtype=dtype, device=device))

    def test_trap_at_refuses_another_dtype(self, device):
        x, w = torch.ones(2, 2, device=device), torch.ones(2, 2, dtype=torch.float64, device=device)
        assert (x * w).dtype == torch.float64
        with pytest.raises(RuntimeError, match=r"(same dtype|expected scalar type)"):
            x @ w

    @pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
    def test_fix_convert_the_data(self, device, dtype):
        x, w = torch.ones(2, 3, dtype=dtype, device=device), torch.ones(4, 3, device=device)
        assert torch.nn.functional.linear(x.to(w.dtype), w).tolist() == [[3, 3, 3, 3]] * 2


@pitfall(
    "matrix-shapes-cannot-be-multiplied",
    docs=["torch.mm", "torch.matmul", "torch.nn.Linear"],
    symptom="RuntimeError: mat1 and mat2 shapes cannot be multiplied (2x3 and 4x2)",
    error="shapes cannot be multiplied",
    changed={"2.15": "the message begins with the operator, such as 'mm:' or 'addmm:'"},
    priority=1,
)
class TestMatrixShapesCannotBeMultiplied:
    """The two sizes in "shapes cannot be multiplied (2x3 and 4x2)" are the input and the transposed weight.

    The inner two must agree: the input has 3 features where the layer was made for 4. Batches are flattened in the
    message, so its first number need not be in your code. Set ``in_features`` to the last size of the input.
    """

    @pytest.mark.parametrize(
        "multiply",
        [
            pytest.param(lambda x: torch.mm(x, torch.ones(4, 2, device=x.device)), id="mm"),
            pytest.param(lambda x: x @ torch.ones(4, 2, device=x.device), id="@"),
            pytest.param(lambda x: torch.nn.Linear(4, 2, device=x.device)(x), id="Linear"),
            pytest.param(lambda x: torch.nn.Linear(4, 2, bias=False, device=x.device)(x), id="Linear without bias"),
        ],
    )
    def test_trap_inner_sizes_must_agree(self, device, seeded, multiply):
        with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x2\)"):
            multiply(torch.ones(2, 3, device=device))

    def test_trap_batches_are_flattened_in_the_message(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"\(10x3 and 4x2\)"):
            torch.nn.Linear(4, 2, device=device)(torch.ones(5, 2, 3, device=device))

    def test_fix_features_are_the_last_size(self, device, seeded):
        x = torch.ones(5, 2, 3, device=device)
        assert torch.nn.Linear(x.shape[-1], 2, device=device)(x).shape == (5, 2, 2)


@pitfall(
    "broadcast-shapes-mismatch",
    docs=[("torch.broadcast_shapes", "If shapes are incompatible"), "notes/broadcasting"],
    symptom="RuntimeError: Shape mismatch: objects cannot be broadcast to a single shape",
    error="cannot be broadcast to a single shape",
    changed={"2.9": "the message says which argument and which dimension don't match"},
    priority=3,
)
class TestBroadcastShapesMismatch:
    """``torch.broadcast_shapes`` raises for shapes that don't broadcast, and an integer is a shape of one dimension.

    It allocates nothing, which makes it the way to ask beforehand; only since torch 2.9 does the message say where the
    shapes differ.
    """

    @pytest.mark.parametrize(
        "shapes", [((2,), (3,)), ((2, 1), (1, 3), (4, 3)), (2, 3)], ids=["vectors", "three shapes", "integers"]
    )
    def test_trap_incompatible_shapes_raise(self, shapes):
        with pytest.raises(RuntimeError, match=r"(cannot be broadcast|Attempting to broadcast)"):
            torch.broadcast_shapes(*shapes)

    @pytest.mark.parametrize(
        ("shapes", "whole"),
        [(((2, 1), (1, 3)), (2, 3)), (((2, 1), 3), (2, 3)), ((), ())],
        ids=["column and row", "column and integer", "none"],
    )
    def test_fix_ask_beforehand(self, shapes, whole):
        assert torch.broadcast_shapes(*shapes) == whole


@pitfall(
    "negative-size-is-refused",
    docs=["torch.zeros", "torch.empty", "torch.arange"],
    symptom="RuntimeError: Trying to create tensor with negative dimension -1",
    error="negative dimension",
    changed={
        "2.8": "arange speaks of its upper and lower bound; it had said larger bound",
        "2.9": "zeros says 'zeros: Dimension size must be non-negative', not 'negative dimension -1'",
    },
    priority=3,
)
class TestNegativeSizeIsRefused:
    """A factory refuses a negative size, where ``-1`` in ``view`` and ``expand`` means "whatever fits".

    A size that is computed (``n - window``) gets below zero for short inputs. Zero is a fine size: clip to it.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda d: torch.zeros(-1, device=d), id="zeros"),
            pytest.param(lambda d: torch.ones(2, -1, device=d), id="ones"),
            pytest.param(lambda d: torch.empty(-1, device=d), id="empty"),
            pytest.param(lambda d: torch.full((-1,), 1.0, device=d), id="full"),
            pytest.param(lambda d: torch.ones(1, device=d).new_zeros(-1), id="new_zeros"),
        ],
    )
    def test_trap_minus_one_is_no_wildcard(self, device, make):
        with pytest.raises(RuntimeError, match=r"(negative dimension -1|must be non-negative)"):
            make(device)

    def test_trap_arange_does_not_count_down(self, device):
        with pytest.raises(RuntimeError, match="bound inconsistent with step sign"):
            torch.arange(-1, device=device)

    def test_fix_clip_to_zero(self, device):
        assert torch.zeros(max(3 - 5, 0), device=device).tolist() == []
