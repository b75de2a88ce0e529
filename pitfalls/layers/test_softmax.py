"""Softmax: along which dimension it sums to one, what may be fed with it, and its sampled relative."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import before, pitfall, since

IMPLICIT = [
    pytest.param(lambda x: F.softmax(x), id="F.softmax"),
    pytest.param(lambda x: nn.Softmax()(x), id="Softmax"),
    pytest.param(lambda x: F.log_softmax(x).exp(), id="F.log_softmax"),
    pytest.param(lambda x: nn.LogSoftmax()(x).exp(), id="LogSoftmax"),
    pytest.param(lambda x: F.softmin(-x), id="F.softmin"),
]


@pitfall(
    "softmax-guesses-its-dimension",
    docs=[("torch.nn.Softmax", "so every slice"), "torch.nn.functional.softmax"],
    symptom="UserWarning: Implicit dimension choice for softmax has been deprecated. Change the call to include dim=X",
    error="Implicit dimension choice for",
    priority=1,
)
class TestSoftmaxGuessesItsDimension:
    """Without ``dim`` softmax warns and takes dimension 0 for 1-D and 3-D inputs, dimension 1 otherwise.

    So a batch of sequences ``(N, L, C)`` is normalised over the batch. Always pass ``dim``; for class scores in the
    last dimension ``dim=-1``.
    """

    @pytest.mark.parametrize("softmax", IMPLICIT)
    def test_trap_it_warns(self, device, softmax):
        with pytest.warns(UserWarning, match="Implicit dimension choice for .* has been deprecated"):
            y = softmax(torch.zeros(2, 4, device=device))
        torch.testing.assert_close(y, torch.full((2, 4), 0.25, device=device))

    @pytest.mark.parametrize("softmax", IMPLICIT)
    def test_trap_three_dimensions_are_taken_over_the_batch(self, device, softmax):
        with pytest.warns(UserWarning, match="Implicit dimension choice for .* has been deprecated"):
            y = softmax(torch.zeros(2, 3, 4, device=device))
        torch.testing.assert_close(y, torch.full((2, 3, 4), 0.5, device=device))

    def test_trap_the_method_needs_it(self, device):
        with pytest.raises(
            TypeError, match=r"softmax\(\) (received an invalid combination|missing 1 required positional)"
        ):
            torch.zeros(2, 4, device=device).softmax()

    @pytest.mark.parametrize(("dim", "share"), [(0, 1 / 2), (1, 1 / 3), (-1, 1 / 4)], ids=str)
    def test_fix_say_which(self, device, dim, share):
        y = F.softmax(torch.zeros(2, 3, 4, device=device), dim=dim)
        torch.testing.assert_close(y, torch.full((2, 3, 4), share, device=device))


@pitfall(
    "softmax-is-not-for-nll-loss",
    docs=[
        ("torch.nn.Softmax", "doesn't work directly with NLLLoss"),
        ("torch.nn.functional.softmax", "doesn't work directly with NLLLoss"),
    ],
    symptom="the loss is negative, or stays near -1; training with softmax and NLLLoss learns badly",
    priority=1,
)
class TestSoftmaxIsNotForNllLoss:
    """``nll_loss`` takes log-probabilities: fed with softmax it gives a negative loss, and raises no error.

    Nothing marks a tensor as probabilities or as logarithms. Use ``log_softmax`` before it, or give the scores to
    ``cross_entropy``, which does both.
    """

    @pytest.mark.parametrize(
        "softmax",
        [pytest.param(F.softmax, id="F.softmax"), pytest.param(lambda x, dim: nn.Softmax(dim)(x), id="Softmax")],
    )
    def test_trap_the_loss_is_minus_the_probability(self, device, softmax):
        scores, target = torch.zeros(1, 4, device=device), torch.tensor([2], device=device)
        assert F.nll_loss(softmax(scores, dim=1), target).item() == -0.25

    def test_trap_the_gradient_vanishes_for_a_wrong_answer(self, device):
        scores = torch.tensor([[100.0, -100.0]], device=device, requires_grad=True)
        F.nll_loss(F.softmax(scores, dim=1), torch.tensor([1], device=device)).backward()
        assert scores.grad.tolist() == [[0, 0]]

    @pytest.mark.parametrize(
        "loss",
        [
            pytest.param(lambda x, target: F.nll_loss(F.log_softmax(x, dim=1), target), id="log_softmax"),
            pytest.param(F.cross_entropy, id="cross_entropy"),
        ],
    )
    def test_fix_logarithms(self, device, loss):
        scores = torch.tensor([[100.0, -100.0]], device=device, requires_grad=True)
        value = loss(scores, torch.tensor([1], device=device))
        value.backward()
        assert value.item() == 200
        assert scores.grad.tolist() == [[1, -1]]


@pitfall(
    "softmax-dimension-is-checked-late",
    docs=["torch.nn.Softmax", "torch.nn.LogSoftmax"],
    symptom="TypeError: dim must be an int or None, got <class 'float'>",
    error="dim must be an int or None",
    changed={"2.14": "Softmax and LogSoftmax check the type of dim at construction"},
    priority=3,
)
class TestSoftmaxDimensionIsCheckedLate:
    """A ``dim`` that is no integer makes ``Softmax`` raise: since torch 2.14 at construction, before that when called.

    A configuration file with ``dim: 1.0`` is the usual origin. Whether the input has that dimension is always found out
    by the call only.
    """

    @before("2.14")
    @pytest.mark.parametrize("layer", [nn.Softmax, nn.LogSoftmax], ids=["Softmax", "LogSoftmax"])
    def test_trap_construction_took_anything(self, device, layer):
        layer = layer(1.0)
        with pytest.raises(TypeError, match="softmax"):
            layer(torch.zeros(2, 4, device=device))

    @since("2.14")
    @pytest.mark.parametrize("layer", [nn.Softmax, nn.LogSoftmax], ids=["Softmax", "LogSoftmax"])
    def test_trap_construction_refuses(self, layer):
        with pytest.raises(TypeError, match="dim must be an int or None, got <class 'float'>"):
            layer(1.0)

    def test_trap_a_missing_dimension_is_found_by_the_call(self, device):
        layer = nn.Softmax(dim=2)
        with pytest.raises(IndexError, match="Dimension out of range"):
            layer(torch.zeros(2, 4, device=device))

    def test_fix_an_integer(self, device):
        assert nn.Softmax(dim=int(1.0))(torch.zeros(2, 4, device=device)).tolist() == [[0.25] * 4] * 2


@pitfall(
    "gumbel-softmax-hard-has-a-soft-gradient",
    docs=[
        ("torch.nn.functional.gumbel_softmax", "differentiated as if it is the soft sample"),
        ("torch.nn.functional.gumbel_softmax", "makes the output value exactly one-hot"),
    ],
    symptom="gumbel_softmax(hard=True) gives one-hot vectors, and yet there is a gradient",
)
class TestGumbelSoftmaxHardHasASoftGradient:
    """``gumbel_softmax(hard=True)`` returns one-hot vectors with the gradient of the soft sample behind them.

    The gradient is thus not that of what you see. It is random in every mode, and draws another sample on each call;
    for evaluation take the argmax.
    """

    def test_trap_the_values_are_one_hot(self, device, seeded):
        y = F.gumbel_softmax(torch.zeros(100, 3, device=device), hard=True)
        assert y.max(dim=1).values.eq(1).all().item()
        assert y.unique().tolist() == [0, 1]

    def test_trap_the_gradient_is_that_of_the_soft_sample(self, device, seeded):
        grads = []
        for hard in (True, False):
            torch.manual_seed(0)
            logits = torch.zeros(2, 3, device=device, requires_grad=True)
            (F.gumbel_softmax(logits, hard=hard) * torch.arange(3.0, device=device)).sum().backward()
            grads.append(logits.grad)
        assert grads[0].ne(0).all().item()
        assert torch.equal(grads[0], grads[1])

    def test_fix_argmax_for_evaluation(self, device):
        logits = torch.tensor([[0.0, 2.0, 1.0]], device=device)
        assert F.one_hot(logits.argmax(dim=1), 3).tolist() == [[0, 1, 0]]
