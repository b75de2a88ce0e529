"""Scatter and its kin: repeated targets, gradients, and the value that was there before."""

import operator

import pytest
import torch

from pitfalls import observe, on, pitfall


@pitfall(
    "repeated-target-keeps-one-value",
    docs=[
        ("torch.Tensor.scatter_", "will be picked arbitrarily) and the gradient will"),
        ("torch.Tensor.index_copy_", "it depends on which copy occurs last"),
        ("torch.Tensor.index_put_", "the behavior is undefined if indices contain duplicate"),
    ],
    symptom="scatter_ or x[idx] = values gives other results on the GPU, or from run to run",
)
class TestRepeatedTargetKeepsOneValue:
    """Where an index is repeated, an assignment keeps one of the values, and nobody says which.

    It holds for ``x[idx] = v``, ``scatter_``, ``index_copy_`` and ``put_``. The last one wins on a CPU often enough to
    be taken for a rule. Make the indices unique, or say how to combine: ``scatter_reduce_``, ``index_add_``.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, i, v: operator.setitem(x, i, v), id="x[i] = v"),
            pytest.param(lambda x, i, v: x.index_put_((i,), v), id="index_put_"),
            pytest.param(lambda x, i, v: x.scatter_(0, i, v), id="scatter_"),
            pytest.param(lambda x, i, v: x.index_copy_(0, i, v), id="index_copy_"),
            pytest.param(lambda x, i, v: x.put_(i, v), id="put_"),
        ],
    )
    def test_trap_one_of_them_stays(self, device, write):
        x = torch.zeros(2, device=device)
        write(x, torch.tensor([0, 0, 0], device=device), torch.tensor([1.0, 2.0, 4.0], device=device))
        assert x[0].item() in (1, 2, 4)
        observe(kept=x[0].item())

    def test_trap_the_gradient_goes_to_all(self, device):
        values = torch.ones(3, device=device, requires_grad=True)
        x = torch.zeros(2, device=device).scatter(0, torch.tensor([0, 0, 1], device=device), values)
        (x * torch.tensor([10.0, 100.0], device=device)).sum().backward()
        assert values.grad.tolist() == [10, 10, 100]

    @pytest.mark.parametrize(("how", "result"), [("sum", 7), ("amax", 4), ("amin", 1), ("prod", 8)], ids=str)
    def test_fix_say_how_to_combine(self, device, how, result):
        index, values = torch.tensor([0, 0, 0], device=device), torch.tensor([1.0, 2.0, 4.0], device=device)
        x = torch.zeros(2, device=device).scatter_reduce(0, index, values, how, include_self=False)
        assert x.tolist() == [result, 0]


@pitfall(
    "scatter-backward-wants-equal-shapes",
    docs=[("torch.Tensor.scatter_", "The backward pass is implemented only for"), "torch.Tensor.scatter_add_"],
    symptom="RuntimeError: Function ScatterBackward0 returned an invalid gradient at index 1",
    error="returned an invalid gradient at index 1",
)
class TestScatterBackwardWantsEqualShapes:
    """A source larger than the index is fine for ``scatter`` and its kin until ``backward()``, which then raises.

    Forward they use the corner that the index covers. Slice the source to the shape of the index.
    """

    SCATTERS = [
        pytest.param(lambda x, i, s: x.scatter(0, i, s), id="scatter"),
        pytest.param(lambda x, i, s: x.scatter_add(0, i, s), id="scatter_add"),
        pytest.param(lambda x, i, s: x.scatter_reduce(0, i, s, "sum"), id="scatter_reduce"),
    ]

    @pytest.mark.parametrize("scatter", SCATTERS)
    def test_trap_forward_works_and_backward_raises(self, device, scatter):
        source = torch.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
        x = scatter(torch.zeros(2, device=device), torch.tensor([1, 0], device=device), source)
        assert x.tolist() == [2, 1]
        with pytest.raises(RuntimeError, match="returned an invalid gradient at index 1"):
            x.sum().backward()

    @pytest.mark.parametrize("scatter", SCATTERS)
    def test_fix_slice_the_source(self, device, scatter):
        source = torch.tensor([1.0, 2.0, 3.0], device=device, requires_grad=True)
        scatter(torch.zeros(2, device=device), torch.tensor([1, 0], device=device), source[:2]).sum().backward()
        assert source.grad.tolist() == [1, 1, 0]


@pitfall(
    "scatter-reduce-counts-the-old-value",
    docs=["torch.Tensor.scatter_reduce_", ("torch.Tensor.index_reduce_", "include_self"), "torch.Tensor.scatter_"],
    symptom="the mean that scatter_reduce computes is too small",
)
class TestScatterReduceCountsTheOldValue:
    """``scatter_reduce`` and ``index_reduce`` take the value that is there as one of the operands, unless told not to.

    Into zeros a mean comes out too small, a product 0, a minimum at most 0. Pass ``include_self=False``. The
    ``reduce=`` of ``scatter_`` with a tensor is deprecated in their favour.
    """

    @pytest.mark.parametrize(("how", "result"), [("mean", 3), ("prod", 0), ("amin", 0)], ids=str)
    def test_trap_the_zeros_are_counted(self, device, how, result):
        index, values = torch.tensor([0, 0], device=device), torch.tensor([4.0, 5.0], device=device)
        assert torch.zeros(1, device=device).scatter_reduce(0, index, values, how).tolist() == [result]

    def test_trap_scatter_with_reduce_warns(self, device):
        index, values = torch.tensor([0, 0], device=device), torch.tensor([4.0, 5.0], device=device)
        with pytest.warns(UserWarning, match="The reduce argument of torch.scatter with Tensor src is deprecated"):
            x = torch.zeros(1, device=device).scatter_(0, index, values, reduce="add")
        assert x.tolist() == [9]

    @pytest.mark.parametrize(("how", "result"), [("mean", 4.5), ("prod", 20), ("amin", 4)], ids=str)
    def test_fix_leave_it_out(self, device, how, result):
        index, values = torch.tensor([0, 0], device=device), torch.tensor([4.0, 5.0], device=device)
        x = torch.zeros(1, device=device).scatter_reduce(0, index, values, how, include_self=False)
        assert x.tolist() == [result]

    def test_fix_index_reduce_likewise(self, device):
        index, values = torch.tensor([0, 0], device=device), torch.tensor([4.0, 5.0], device=device)
        with pytest.warns(UserWarning, match="is in beta and the API may change"):
            x = torch.zeros(1, device=device).index_reduce(0, index, values, "amin", include_self=False)
        assert x.tolist() == [4]

    @on("cpu")
    def test_trap_index_reduce_takes_integers_though_documented_for_floats(self, device):
        index, values = torch.tensor([0, 0], device=device), torch.tensor([4, 5], device=device)
        with pytest.warns(UserWarning, match="is in beta and the API may change"):
            x = torch.tensor([3], device=device).index_reduce(0, index, values, "amax")
        assert x.tolist() == [5]
