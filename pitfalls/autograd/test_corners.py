"""Gradients where there is no derivative: at corners, at ties, at zero, and outside of a function's domain."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since


@pitfall(
    "gradient-at-a-corner-is-zero",
    docs=["notes/autograd#gradients-for-non-differentiable-functions", "torch.abs", "torch.nn.functional.relu"],
    symptom="my own relu written with where has another gradient at 0 than torch.relu",
    priority=3,
)
class TestGradientAtACornerIsZero:
    """At the corner of ``relu``, ``abs`` and their kin the gradient is 0, the smallest of the slopes in between.

    No derivative exists there, so any of them would do, and the same function written otherwise may get another one.
    Exact zeros are common (padding, dead units, sparse inputs); don't compare gradients there.
    """

    @pytest.mark.parametrize(
        "function",
        [
            pytest.param(torch.relu, id="relu"),
            pytest.param(torch.abs, id="abs"),
            pytest.param(F.relu6, id="relu6"),
            pytest.param(lambda x: F.hardtanh(x, 0.0, 1.0), id="hardtanh"),
            pytest.param(lambda x: F.threshold(x, 0.0, 0.0), id="threshold"),
            pytest.param(lambda x: F.softshrink(x, 0.0), id="softshrink"),
            pytest.param(lambda x: F.l1_loss(x, torch.zeros_like(x), reduction="sum"), id="l1_loss"),
            pytest.param(lambda x: x.norm(1), id="norm of order 1"),
        ],
    )
    def test_trap_the_gradient_is_zero(self, device, function):
        x = torch.zeros(2, device=device, requires_grad=True)
        function(x).sum().backward()
        assert x.grad.tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("relu", "slope"),
        [
            pytest.param(lambda x: torch.where(x > 0, x, 0.0), 0, id="where x > 0"),
            pytest.param(lambda x: torch.where(x >= 0, x, 0.0), 1, id="where x >= 0"),
            pytest.param(lambda x: torch.maximum(x, torch.zeros_like(x)), 0.5, id="maximum"),
            pytest.param(lambda x: (x + x.abs()) / 2, 0.5, id="half of x + abs"),
        ],
    )
    def test_trap_the_same_function_has_another_one(self, device, relu, slope):
        x = torch.zeros(1, device=device, requires_grad=True)
        relu(x).sum().backward()
        assert x.grad.tolist() == [slope]

    def test_fix_compare_away_from_the_corner(self, device):
        x = torch.tensor([-1.0, 1.0], device=device, requires_grad=True)
        y = torch.tensor([-1.0, 1.0], device=device, requires_grad=True)
        torch.relu(x).sum().backward()
        torch.where(y >= 0, y, 0.0).sum().backward()
        assert x.grad.tolist() == y.grad.tolist()


@pitfall(
    "clamp-gradient-at-its-bound",
    docs=["torch.clamp", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="values that were clamped, or start at the bound, do not move any more after an upgrade",
    changed={"2.14": "the gradient of clamp at a bound became 0, or a half if the bound is a tensor; it had been 1"},
    priority=2,
)
class TestClampGradientAtItsBound:
    """Beyond its bounds ``clamp`` has gradient zero, and exactly at a bound 0 or 1, depending on the release.

    A weight that sits at the bound, as after ``w.clamp_(0, 1)`` under ``no_grad``, moved on before torch 2.14 and stays
    since. Clamp after the step, outside of the graph, and leave the forward pass alone.
    """

    CLAMPS = [
        pytest.param(lambda x: x.clamp(0, 1), id="clamp"),
        pytest.param(lambda x: x.clamp_min(0).clamp_max(1), id="clamp_min and clamp_max"),
        pytest.param(lambda x: x.clone().clamp_(0, 1), id="clamp_"),
    ]

    @pytest.mark.parametrize("clamp", CLAMPS)
    def test_trap_beyond_the_bounds_it_is_zero(self, device, clamp):
        x = torch.tensor([-1.0, 0.5, 2.0], device=device, requires_grad=True)
        clamp(x).sum().backward()
        assert x.grad.tolist() == [0, 1, 0]

    @before("2.14")
    @pytest.mark.parametrize("clamp", CLAMPS)
    def test_trap_at_a_bound_it_was_one(self, device, clamp):
        x = torch.tensor([0.0, 1.0], device=device, requires_grad=True)
        clamp(x).sum().backward()
        assert x.grad.tolist() == [1, 1]

    @since("2.14")
    @pytest.mark.parametrize("clamp", CLAMPS)
    def test_trap_at_a_bound_it_is_zero(self, device, clamp):
        x = torch.tensor([0.0, 1.0], device=device, requires_grad=True)
        clamp(x).sum().backward()
        assert x.grad.tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("share", "rest"),
        [pytest.param(1, 0, marks=before("2.14"), id="all"), pytest.param(0.5, 0.5, marks=since("2.14"), id="half")],
    )
    def test_trap_a_tensor_as_bound_shares(self, device, share, rest):
        x = torch.zeros(1, device=device, requires_grad=True)
        low = torch.zeros(1, device=device, requires_grad=True)
        x.clamp(min=low).sum().backward()
        assert x.grad.tolist() == [share]
        assert low.grad.tolist() == [rest]

    def test_fix_clamp_the_weight_after_the_step(self, device):
        w = torch.zeros(1, device=device, requires_grad=True)
        (-w).sum().backward()
        with torch.no_grad():
            w -= w.grad
            w.clamp_(0, 0.5)
        assert w.tolist() == [0.5]


@pitfall(
    "tied-arguments-share-the-gradient",
    docs=["torch.maximum", "notes/autograd#gradients-for-non-differentiable-functions", "torch.fmax"],
    symptom="the gradient of maximum is 0.5 in some places",
    changed={"2.14": "fmax and fmin share the gradient at a tie, as maximum does; the first argument had got it all"},
    priority=3,
)
class TestTiedArgumentsShareTheGradient:
    """Where both arguments of ``maximum`` or ``minimum`` are equal, each of them gets half of the gradient.

    So ``maximum(x, 0)`` is not quite ``relu``, whose gradient at 0 is 0. ``fmax`` and ``fmin``, which ignore NaN, gave
    it all to the first argument before torch 2.14. ``where`` says which of the two is meant.
    """

    @pytest.mark.parametrize(
        "choose",
        [
            pytest.param(torch.maximum, id="maximum"),
            pytest.param(torch.minimum, id="minimum"),
            pytest.param(torch.max, id="max of two"),
            pytest.param(torch.min, id="min of two"),
            pytest.param(torch.fmax, marks=since("2.14"), id="fmax"),
            pytest.param(torch.fmin, marks=since("2.14"), id="fmin"),
        ],
    )
    def test_trap_half_for_each(self, device, choose):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        choose(x, y).sum().backward()
        assert x.grad.tolist() == [0.5, 0.5]
        assert y.grad.tolist() == [0.5, 0.5]

    @before("2.14")
    @pytest.mark.parametrize("choose", [torch.fmax, torch.fmin], ids=["fmax", "fmin"])
    def test_trap_fmax_gave_it_all_to_the_first(self, device, choose):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        choose(x, y).sum().backward()
        assert x.grad.tolist() == [1, 1]
        assert y.grad.tolist() == [0, 0]

    def test_fix_where_says_which(self, device):
        x = torch.ones(1, device=device, requires_grad=True)
        y = torch.ones(1, device=device, requires_grad=True)
        torch.where(x >= y, x, y).sum().backward()
        assert x.grad.tolist() == [1]
        assert y.grad.tolist() == [0]


@pitfall(
    "picked-tie-gets-the-whole-gradient",
    docs=["torch.amax", "torch.amax", "torch.max"],
    symptom="amax and max(dim) agree, but their gradients do not",
    priority=3,
)
class TestPickedTieGetsTheWholeGradient:
    """At a tie, what returns a position gives one element the whole gradient; what returns only a value shares it.

    ``max(dim)``, ``sort``, ``topk`` and pooling pick one, and which one is not promised. ``amax``, ``amin`` and the
    full reductions ``max()`` and ``median()`` divide by the number of equals.
    """

    @pytest.mark.parametrize(
        "largest",
        [
            pytest.param(lambda x: x.max(0).values, id="max of a dimension"),
            pytest.param(lambda x: x.topk(1).values, id="topk"),
            pytest.param(lambda x: x.sort(descending=True).values[0], id="sort"),
            pytest.param(lambda x: x.median(0).values, id="median of a dimension"),
            pytest.param(lambda x: F.max_pool1d(x[None], 3), id="max_pool1d"),
        ],
    )
    def test_trap_one_of_them_gets_it_all(self, device, largest):
        x = torch.tensor([1.0, 1.0, 1.0], device=device, requires_grad=True)
        largest(x).sum().backward()
        assert sorted(x.grad.tolist()) == [0, 0, 1]

    @pytest.mark.parametrize(
        "largest",
        [
            pytest.param(lambda x: x.amax(0), id="amax"),
            pytest.param(lambda x: x.amin(0), id="amin"),
            pytest.param(lambda x: x.max(), id="max of all"),
            pytest.param(lambda x: x.median(), id="median of all"),
            pytest.param(lambda x: torch.linalg.vector_norm(x, torch.inf), id="norm of order inf"),
        ],
    )
    def test_fix_what_gives_only_a_value_shares(self, device, largest):
        x = torch.tensor([1.0, 1.0, 1.0, 1.0], device=device, requires_grad=True)
        largest(x).sum().backward()
        assert x.grad.tolist() == [0.25, 0.25, 0.25, 0.25]
