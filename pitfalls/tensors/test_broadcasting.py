"""Broadcasting: which shapes go together, and what happens silently when the wrong ones do."""

import operator

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "broadcasting-aligns-from-the-right",
    docs=["notes/broadcasting", ("torch.add", "broadcasting to a common shape")],
    symptom="RuntimeError: The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 0",
    error="must match the size of tensor",
    priority=1,
)
class TestBroadcastingAlignsFromTheRight:
    """Shapes are compared from the last dimension on; each pair of sizes must be equal, or one of them 1 or missing.

    A vector therefore goes along the rows of a matrix, never down its columns. Where the sizes can't be paired torch
    raises; add the missing dimension with ``[:, None]`` or ``unsqueeze``.
    """

    @pytest.mark.parametrize("add", [operator.add, torch.add, torch.Tensor.add], ids=["x + y", "torch.add", "x.add"])
    @pytest.mark.parametrize(
        ("a", "b", "result"),
        [
            ((2, 2), (2, 2), (2, 2)),
            ((2, 3), (), (2, 3)),
            ((2, 3), (3,), (2, 3)),
            ((2, 3), (1, 3), (2, 3)),
            ((2, 3), (2, 1), (2, 3)),
            ((2, 1), (1, 3), (2, 3)),
            ((3,), (3, 1), (3, 3)),
            ((5, 1, 4, 1), (3, 1, 1), (5, 3, 4, 1)),
            ((5, 3, 4, 1), (3, 1, 1), (5, 3, 4, 1)),
            ((1,), (0,), (0,)),
            ((2, 1), (0,), (2, 0)),
        ],
        ids=str,
    )
    def test_trap_the_rules(self, device, add, a, b, result):
        assert add(torch.ones(a, device=device), torch.ones(b, device=device)).shape == result
        assert add(torch.ones(b, device=device), torch.ones(a, device=device)).shape == result

    @pytest.mark.parametrize("add", [operator.add, torch.add, torch.Tensor.add], ids=["x + y", "torch.add", "x.add"])
    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ((3,), (4,)),
            ((3, 2), (3,)),
            ((2, 3), (2,)),
            ((5, 2, 4, 1), (3, 1, 1)),
            # An empty tensor is no wildcard: 0 goes with 0 and 1 alone.
            ((0,), (2,)),
            ((0,), (2, 2)),
        ],
        ids=str,
    )
    def test_trap_sizes_that_do_not_pair(self, device, add, a, b):
        with pytest.raises(RuntimeError, match=r"must match the size of tensor b .* at non-singleton dimension"):
            add(torch.ones(a, device=device), torch.ones(b, device=device))

    def test_trap_a_square_matrix_hides_the_wrong_axis(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        row_sums = x.sum(dim=1)
        # Meant: take 3 from the first row and 7 from the second. Done: 3 from the first column.
        assert (x - row_sums).tolist() == [[-2, -5], [0, -3]]

    @pytest.mark.parametrize(
        "row_sums",
        [
            pytest.param(lambda x: x.sum(dim=1)[:, None], id="None"),
            pytest.param(lambda x: x.sum(dim=1).unsqueeze(1), id="unsqueeze"),
            pytest.param(lambda x: x.sum(dim=1, keepdim=True), id="keepdim"),
        ],
    )
    def test_fix_give_the_vector_its_axis(self, device, row_sums):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert (x - row_sums(x)).tolist() == [[-2, -1], [-4, -3]]


@pitfall(
    "outer-sum-of-row-and-column",
    docs=["notes/broadcasting", "torch.add"],
    symptom="the loss is wrong and the model learns the mean, because pred is (n,) and target is (n, 1)",
    priority=1,
)
class TestOuterSumOfRowAndColumn:
    """An element-wise operation on ``(n,)`` and ``(n, 1)`` gives ``(n, n)``, without an error or a warning.

    Every element meets every other. A loss that is averaged afterwards hides the shape, and its best prediction is the
    mean of all targets. Bring both to one shape first: ``pred.squeeze(1)``, or ``target.view_as(pred)``.
    """

    @pytest.mark.parametrize(
        "op",
        [torch.add, torch.sub, torch.mul, torch.div, torch.pow, torch.eq, torch.lt, torch.maximum, torch.atan2],
        ids=lambda op: op.__name__,
    )
    def test_trap_every_pair_is_made(self, device, op):
        row = torch.tensor([1.0, 2.0, 3.0], device=device)
        column = torch.tensor([[1.0], [2.0], [3.0]], device=device)
        assert op(row, column).shape == (3, 3)
        assert op(column, row).shape == (3, 3)

    def test_trap_the_sum_is_an_outer_sum(self, device):
        row = torch.tensor([1, 2, 3], device=device)
        column = torch.tensor([[10], [20], [30]], device=device)
        assert (row + column).tolist() == [[11, 12, 13], [21, 22, 23], [31, 32, 33]]

    def test_trap_a_perfect_prediction_has_a_loss(self, device):
        pred = torch.tensor([[1.0], [2.0], [3.0], [4.0]], device=device)
        target = torch.tensor([1.0, 2.0, 3.0, 4.0], device=device)
        assert ((pred - target) ** 2).mean().item() == 2.5

    def test_trap_the_loss_is_least_for_the_mean(self, device):
        target = torch.tensor([1.0, 2.0, 3.0, 4.0], device=device)
        pred = torch.full((4, 1), 2.5, device=device, requires_grad=True)
        ((pred - target) ** 2).mean().backward()
        assert pred.grad.tolist() == [[0], [0], [0], [0]]

    def test_trap_the_accuracy_exceeds_one(self, device):
        pred = torch.tensor([[0], [0], [0], [1]], device=device)
        labels = torch.tensor([0, 0, 0, 1], device=device)
        assert (pred == labels).sum().item() / len(labels) == 2.5

    @pytest.mark.parametrize(
        "together",
        [
            pytest.param(lambda pred, target: (pred.squeeze(1), target), id="squeeze"),
            pytest.param(lambda pred, target: (pred[:, 0], target), id="index"),
            pytest.param(lambda pred, target: (pred, target.unsqueeze(1)), id="unsqueeze"),
            pytest.param(lambda pred, target: (pred, target.view_as(pred)), id="view_as"),
        ],
    )
    def test_fix_bring_both_to_one_shape(self, device, together):
        pred = torch.tensor([[1.0], [2.0], [3.0], [4.0]], device=device)
        pred, target = together(pred, torch.tensor([1.0, 2.0, 3.0, 5.0], device=device))
        assert ((pred - target) ** 2).mean().item() == 0.25


@pitfall(
    "equality-broadcasts-equal-does-not",
    docs=[("torch.equal", "have the same size and elements"), "torch.eq", "notes/broadcasting"],
    symptom="(a == b).all() is True although the shapes of a and b differ",
)
class TestEqualityBroadcastsEqualDoesNot:
    """``==`` broadcasts and compares element by element; ``torch.equal`` compares sizes too, and never broadcasts.

    ``(a == b).all()`` is true for tensors of different shapes, and for any comparison with an empty one. In tests use
    ``torch.equal``, or ``torch.testing.assert_close``, which looks at the dtype too.
    """

    @pytest.mark.parametrize(("a", "b"), [((2, 3), (3,)), ((3,), (1,)), ((3,), ()), ((1, 3), (0, 3))], ids=str)
    def test_trap_different_shapes_compare_as_equal(self, device, a, b):
        assert (torch.ones(a, device=device) == torch.ones(b, device=device)).all().item()

    @pytest.mark.parametrize(("a", "b"), [((2, 3), (3,)), ((3,), (1,)), ((3,), ()), ((1, 3), (0, 3))], ids=str)
    def test_fix_equal_looks_at_the_size(self, device, a, b):
        assert torch.equal(torch.ones(a, device=device), torch.ones(b, device=device)) is False

    def test_fix_equal_is_true_for_the_same_size_and_elements(self, device):
        assert torch.equal(torch.ones(2, 3, device=device), torch.ones(2, 3, device=device)) is True


@pitfall(
    "add-scales-by-alpha",
    docs=[("torch.add", "scaled by"), ("torch.sub", "scaled by")],
    symptom="RuntimeError: For integral input tensors, argument alpha must not be a floating point number.",
    error="argument alpha must not be a floating point number",
    priority=3,
)
class TestAddScalesByAlpha:
    """``torch.add(x, y)`` is ``x + y``; ``alpha=`` scales the second operand alone, before the sum.

    ``x.add_(grad, alpha=-lr)`` is an update in one step. For integer tensors a float alpha is refused rather than
    promoted, where the spelled-out ``x + 0.5 * y`` would give floats.
    """

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda x, y: torch.add(x, y, alpha=10), id="torch.add"),
            pytest.param(lambda x, y: x.add(y, alpha=10), id="x.add"),
            pytest.param(lambda x, y: x.add_(y, alpha=10), id="x.add_"),
            pytest.param(lambda x, y: torch.sub(x, y, alpha=-10), id="torch.sub"),
        ],
    )
    def test_trap_alpha_scales_the_second_operand(self, device, call):
        assert call(torch.tensor([1, 2], device=device), torch.tensor([3, 4], device=device)).tolist() == [31, 42]

    @pytest.mark.parametrize("op", [torch.add, torch.sub], ids=["add", "sub"])
    def test_trap_integers_take_no_float_alpha(self, device, op):
        x = torch.tensor([2, 4], device=device)
        with pytest.raises(RuntimeError, match="argument alpha must not be a floating point number"):
            op(x, x, alpha=0.5)

    def test_fix_operators_promote(self, device):
        x = torch.tensor([2, 4], device=device)
        assert (x + 0.5 * x).tolist() == [3, 6]

    @pytest.mark.parametrize(
        "add", [torch.add, torch.Tensor.add, torch.Tensor.add_, operator.add], ids=["torch.add", "add", "add_", "+"]
    )
    def test_fix_without_alpha_all_spellings_agree(self, device, add):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        assert add(x, torch.tensor([10.0, 20.0], device=device)).tolist() == [[11, 22], [13, 24]]
