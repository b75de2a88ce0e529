"""What reductions return: values for no elements, dimensions that vanish, pairs where a tensor is expected."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import pitfall

NO_IDENTITY = [
    pytest.param(torch.max, id="max"),
    pytest.param(torch.min, id="min"),
    pytest.param(torch.amax, id="amax"),
    pytest.param(torch.amin, id="amin"),
    pytest.param(torch.aminmax, id="aminmax"),
    pytest.param(torch.argmax, id="argmax"),
    pytest.param(torch.argmin, id="argmin"),
    pytest.param(torch.mode, id="mode"),
    pytest.param(lambda x: torch.quantile(x, 0.5), id="quantile"),
]


@pitfall(
    "empty-tensor-in-a-reduction",
    docs=[("torch.mean", "tensor is empty"), ("torch.aminmax", "to compute the values over has size"), "torch.sum"],
    symptom="the loss of a batch from which everything was filtered out is nan; or max() raises",
    error="Expected reduction dim to be specified for input.numel() == 0",
    priority=1,
)
class TestEmptyTensorInAReduction:
    """Of no elements the sum is 0, the product 1, the mean and the median NaN without an error; ``max`` raises.

    ``all`` is true and ``any`` false. A mask that selects nothing thus gives a NaN loss, which spoils every weight.
    Divide the sum by ``max(count, 1)``, or skip the batch.
    """

    @pytest.mark.parametrize(
        "average",
        [
            pytest.param(torch.mean, id="mean"),
            pytest.param(torch.nanmean, id="nanmean"),
            pytest.param(torch.median, id="median"),
            pytest.param(torch.nanmedian, id="nanmedian"),
            pytest.param(lambda x: F.mse_loss(x, x), id="mse_loss"),
            pytest.param(lambda x: x[:, None].mean(0).squeeze(), id="mean over a dimension"),
        ],
    )
    def test_trap_the_average_is_nan(self, device, average):
        assert average(torch.empty(0, device=device)).isnan().item()

    @pytest.mark.parametrize(
        ("reduce", "value"),
        [
            pytest.param(torch.sum, 0, id="sum"),
            pytest.param(torch.prod, 1, id="prod"),
            pytest.param(torch.norm, 0, id="norm"),
            pytest.param(lambda x: x.logsumexp(0), -float("inf"), id="logsumexp"),
            pytest.param(torch.all, True, id="all"),
            pytest.param(torch.any, False, id="any"),
        ],
    )
    def test_trap_some_have_a_neutral_value(self, device, reduce, value):
        assert reduce(torch.empty(0, device=device)).item() == value

    @pytest.mark.parametrize("reduce", NO_IDENTITY)
    def test_trap_extrema_raise(self, device, reduce):
        with pytest.raises((RuntimeError, IndexError), match=r"reduction dim|empty"):
            reduce(torch.empty(0, device=device))

    def test_fix_at_least_one(self, device):
        x = torch.tensor([1.0, 3.0], device=device)
        means = []
        for mask in (x > 0, x > 5):
            chosen = x[mask]
            means.append((chosen.sum() / mask.sum().clamp(min=1)).item())
        assert means == [2, 0]


@pitfall(
    "reduction-drops-its-dimension",
    docs=[("torch.sum", "is squeezed"), "notes/broadcasting", ("torch.mean", "keepdim")],
    symptom="x - x.mean(1) raises, or for a square matrix silently subtracts the wrong means",
    priority=1,
)
class TestReductionDropsItsDimension:
    """A reduction over a dimension drops it, so that its result lines up with the wrong dimension afterwards.

    Broadcasting aligns from the right: the means of the rows are subtracted from the columns. In a square matrix
    nothing complains. Pass ``keepdim=True``.
    """

    @pytest.mark.parametrize(
        "reduce",
        [
            pytest.param(lambda x: x.mean(1), id="mean"),
            pytest.param(lambda x: x.sum(1) / 2, id="sum"),
            pytest.param(lambda x: x.median(1).values + 1, id="median"),
            pytest.param(lambda x: x.amax(1) - 1, id="amax"),
        ],
    )
    def test_trap_a_square_matrix_is_centred_wrongly(self, device, reduce):
        x = torch.tensor([[1.0, 3.0], [10.0, 12.0]], device=device)
        assert (x - reduce(x)).tolist() == [[-1, -8], [8, 1]]

    def test_trap_another_matrix_raises(self, device):
        x = torch.ones(2, 3, device=device)
        with pytest.raises(RuntimeError, match="must match the size of tensor b"):
            x - x.mean(1)

    @pytest.mark.parametrize(
        "mean",
        [
            pytest.param(lambda x: x.mean(1, keepdim=True), id="keepdim"),
            pytest.param(lambda x: x.mean(1).unsqueeze(1), id="unsqueeze"),
            pytest.param(lambda x: x.mean(1)[:, None], id="None"),
        ],
    )
    def test_fix_keep_it(self, device, mean):
        x = torch.tensor([[1.0, 3.0], [10.0, 12.0]], device=device)
        assert (x - mean(x)).tolist() == [[-1, 1], [-1, 1]]


PAIRS = [
    pytest.param(lambda x: x.max(1), [3, 5], [1, 0], id="max"),
    pytest.param(lambda x: x.min(1), [1, 2], [0, 1], id="min"),
    pytest.param(lambda x: x.median(1), [1, 2], [0, 1], id="median"),
    pytest.param(lambda x: x.mode(1), [1, 2], [0, 1], id="mode"),
    pytest.param(lambda x: x.kthvalue(2, 1), [3, 5], [1, 0], id="kthvalue"),
]


@pitfall(
    "max-over-a-dimension-is-a-pair",
    docs=[
        ("torch.max", "Returns a namedtuple"),
        ("torch.min", "Returns a namedtuple"),
        ("torch.median", "Returns a namedtuple"),
        ("torch.mode", "Returns a namedtuple"),
        "torch.kthvalue",
    ],
    symptom="TypeError: must be Tensor, not torch.return_types.max; no attribute 'shape'",
    error="not torch.return_types.max",
)
class TestMaxOverADimensionIsAPair:
    """With a dimension ``max``, ``min``, ``median`` and ``mode`` return a pair of values and indices, no tensor.

    Without one ``max`` and ``min`` return a tensor, as ``amax``, ``argmax`` and NumPy always do. Take ``.values`` or
    ``.indices``, unpack the pair, or call ``amax``.
    """

    @pytest.mark.parametrize(("reduce", "values", "indices"), PAIRS)
    def test_trap_two_tensors(self, device, reduce, values, indices):
        pair = reduce(torch.tensor([[1, 3], [5, 2]], device=device))
        assert [part.tolist() for part in pair] == [values, indices]

    def test_trap_functions_refuse_it(self, device):
        pair = torch.tensor([[1.0, 3.0]], device=device).max(1)
        with pytest.raises(TypeError, match=r"must be Tensor, not torch\.return_types\.max"):
            torch.relu(pair)

    def test_trap_a_number_is_a_dimension(self, device):
        x = torch.tensor([1, 5, 3], device=device)
        assert [part.item() for part in torch.max(x, 0)] == [5, 1]

    @pytest.mark.parametrize(("reduce", "values", "indices"), PAIRS)
    def test_fix_by_name(self, device, reduce, values, indices):
        pair = reduce(torch.tensor([[1, 3], [5, 2]], device=device))
        assert pair.values.tolist() == values
        assert pair.indices.tolist() == indices

    def test_fix_amax_is_a_tensor(self, device):
        assert torch.tensor([[1, 3], [5, 2]], device=device).amax(1).tolist() == [3, 5]


@pitfall(
    "renorm-leaves-short-rows-alone",
    docs=[("torch.renorm", "If the norm of a row is lower")],
    symptom="after renorm(2, 0, 1.0) some rows are shorter than 1",
    priority=3,
)
class TestRenormLeavesShortRowsAlone:
    """``renorm`` shortens the rows that are longer than ``maxnorm`` and leaves the others as they are.

    It limits, it doesn't normalize; and its ``dim`` is the one that is kept, not the one that is summed over. For rows
    of length one use ``torch.nn.functional.normalize``.
    """

    def test_trap_short_rows_stay(self, device):
        x = torch.tensor([[3.0, 4.0], [0.5, 0.0]], device=device)
        y = x.renorm(p=2, dim=0, maxnorm=1.0)
        assert y[1].tolist() == [0.5, 0]
        assert y[0].tolist() == pytest.approx([0.6, 0.8])

    def test_fix_normalize(self, device):
        x = torch.tensor([[3.0, 4.0], [0.5, 0.0]], device=device)
        assert F.normalize(x, dim=1).norm(dim=1).tolist() == pytest.approx([1, 1])
