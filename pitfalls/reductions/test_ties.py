"""Which element a reduction means: the first of equal ones, one counted flat, or any; and bounds that cross."""

import pytest
import torch

from pitfalls import before, observe, pitfall, since


@pitfall(
    "argmax-takes-the-first-tie",
    docs=[
        ("torch.argmax", "then the indices of the first maximal value"),
        ("torch.argmin", "then the indices of the first minimal value"),
        ("torch.max", "then the indices of the first maximal value"),
        ("torch.min", "then the indices of the first minimal value"),
    ],
    symptom="a model with equal logits always predicts class 0, and its accuracy is that of the first class",
)
class TestArgmaxTakesTheFirstTie:
    """Of several equal extrema ``argmax``, ``argmin``, ``max`` and ``min`` over a dimension give the first index.

    A network that collapsed to equal outputs thus predicts class 0 everywhere. ``topk`` and ``sort`` promise no such
    order. Look for ties explicitly.
    """

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
    @pytest.mark.parametrize(
        ("find", "index"),
        [
            pytest.param(torch.argmax, 1, id="argmax"),
            pytest.param(torch.argmin, 0, id="argmin"),
            pytest.param(lambda x: x.argmax(0), 1, id="argmax over a dimension"),
            pytest.param(lambda x: x.max(0).indices, 1, id="max over a dimension"),
            pytest.param(lambda x: x.min(0).indices, 0, id="min over a dimension"),
        ],
    )
    def test_trap_the_first_index(self, device, find, index, dtype):
        x = torch.tensor([1, 3, 3, 1], dtype=dtype, device=device)
        assert find(x).item() == index

    def test_trap_equal_logits_are_class_zero(self, device):
        logits = torch.zeros(3, 10, device=device)
        assert logits.argmax(1).tolist() == [0, 0, 0]

    def test_fix_look_for_ties(self, device):
        logits = torch.tensor([[1.0, 3.0, 3.0], [1.0, 2.0, 3.0]], device=device)
        ties = (logits == logits.amax(1, keepdim=True)).sum(1)
        assert ties.tolist() == [2, 1]


@pitfall(
    "argmax-without-dim-counts-flat",
    docs=["torch.argmax", "torch.argmin"],
    symptom="argmax of a matrix is an index beyond its number of rows",
)
class TestArgmaxWithoutDimCountsFlat:
    """``argmax()`` without ``dim`` gives one number, the position in the flattened tensor.

    Used as an index of a row it is out of range, or worse, in range and wrong. Pass ``dim=``; for the position of the
    maximum of everything, split the number by the width.
    """

    @pytest.mark.parametrize(("find", "flat"), [(torch.argmax, 5), (torch.argmin, 3)], ids=["argmax", "argmin"])
    def test_trap_one_number_for_all(self, device, find, flat):
        x = torch.tensor([[3, 4, 5], [1, 7, 9]], device=device)
        assert find(x).item() == flat

    @pytest.mark.parametrize(("dim", "indices"), [(0, [0, 1, 1]), (1, [2, 2]), (-1, [2, 2])], ids=["0", "1", "-1"])
    def test_fix_one_for_each_row(self, device, dim, indices):
        x = torch.tensor([[3, 4, 5], [1, 7, 9]], device=device)
        assert x.argmax(dim).tolist() == indices

    def test_fix_split_by_the_width(self, device):
        x = torch.tensor([[3, 4, 5], [1, 7, 9]], device=device)
        row, column = divmod(x.argmax().item(), x.shape[1])
        assert (row, column) == (1, 2)


@pitfall(
    "topk-promises-no-order-of-ties",
    docs=[
        ("torch.topk", "indices of tied elements are not guaranteed"),
        ("torch.sort", "guarantees that the order of equivalent elements"),
    ],
    symptom="topk returns other indices on the GPU, or than sort, for equal scores",
)
class TestTopkPromisesNoOrderOfTies:
    """``topk`` and ``sort`` may return equal elements in any order: only ``sort(stable=True)`` keeps the given one.

    The indices of equal scores differ between devices, sizes and releases, and with them rankings and sampled tokens.
    Sort stably and cut where that must not be.
    """

    def test_trap_some_of_the_equal_ones(self, device):
        x = torch.tensor([2, 3, 2, 2, 1], device=device)
        values, indices = x.topk(3)
        assert values.tolist() == [3, 2, 2]
        assert x[indices].tolist() == [3, 2, 2]
        observe(topk=indices.tolist(), of_100_equal_ones=torch.zeros(100, device=device).topk(3).indices.tolist())

    @pytest.mark.parametrize(
        ("descending", "indices"), [(False, [4, 0, 2, 3, 1]), (True, [1, 0, 2, 3, 4])], ids=["ascending", "descending"]
    )
    def test_fix_stable_sort(self, device, descending, indices):
        x = torch.tensor([2, 3, 2, 2, 1], device=device)
        assert x.sort(stable=True, descending=descending).indices.tolist() == indices


@pitfall(
    "clamp-with-crossed-bounds",
    docs=[("torch.clamp", "sets all elements in"), "torch.clip"],
    symptom="clamp(5, 1) makes every element 1 and raises nothing",
)
class TestClampWithCrossedBounds:
    """``clamp`` with ``min`` above ``max`` sets every element to ``max``, without an error.

    Swapped arguments, or bounds that are computed and cross, flatten the data silently. Check the bounds, or sort them.
    """

    @pytest.mark.parametrize(
        "clamp",
        [
            pytest.param(lambda x: x.clamp(8, 2), id="clamp"),
            pytest.param(lambda x: torch.clip(x, min=8, max=2), id="clip"),
            pytest.param(lambda x: x.clone().clamp_(8, 2), id="clamp_"),
            pytest.param(lambda x: x.clamp(torch.full_like(x, 8), torch.full_like(x, 2)), id="by tensors"),
        ],
    )
    @pytest.mark.parametrize("values", [[0, 5, 10], [0.0, 5.0, 10.0]], ids=["integers", "floats"])
    def test_trap_everything_is_the_upper_bound(self, device, clamp, values):
        assert clamp(torch.tensor(values, device=device)).tolist() == [2, 2, 2]

    def test_fix_sort_the_bounds(self, device):
        low, high = sorted((8, 2))
        assert torch.tensor([0, 5, 10], device=device).clamp(low, high).tolist() == [2, 5, 8]


@pitfall(
    "aminmax-had-no-gradient",
    docs=["torch.aminmax", "torch.amax", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="RuntimeError: derivative for aten::aminmax is not implemented",
    error="derivative for aten::aminmax is not implemented",
    changed={"2.12": "aminmax has a gradient, which equal values share; it had raised"},
    priority=3,
)
class TestAminmaxHadNoGradient:
    """``aminmax`` saves a pass over the data, but before torch 2.12 it could not be differentiated.

    ``amin`` and ``amax`` always could. All three share the gradient among equal values.
    """

    @before("2.12")
    def test_trap_it_raised(self, device):
        x = torch.tensor([1.0, 3.0, 3.0], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="derivative for aten::aminmax is not implemented"):
            x.aminmax().max.backward()

    @since("2.12")
    def test_trap_equal_values_share(self, device):
        x = torch.tensor([1.0, 3.0, 3.0], device=device, requires_grad=True)
        x.aminmax().max.backward()
        assert x.grad.tolist() == [0, 0.5, 0.5]

    def test_fix_amin_and_amax(self, device):
        x = torch.tensor([1.0, 3.0, 3.0], device=device, requires_grad=True)
        (x.amax() - x.amin()).backward()
        assert x.grad.tolist() == [-1, 0.5, 0.5]
