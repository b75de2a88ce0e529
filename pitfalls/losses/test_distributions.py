"""Losses between distributions and sequences: `kl_div`, CTC, and the losses that bring their own output layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import on, pitfall, since


@pitfall(
    "kl-div-takes-log-probabilities-first",
    docs=[
        ("torch.nn.KLDivLoss", "expects the argument :attr:`input` in the log-space"),
        ("torch.nn.KLDivLoss", "This differs from the standard mathematical notation"),
        "torch.nn.functional.kl_div",
    ],
    symptom="the KL divergence is negative, or NaN",
    priority=1,
)
class TestKlDivTakesLogProbabilitiesFirst:
    """``kl_div(q.log(), p)`` is KL(p || q): log-probabilities of the model first, then the target as probabilities.

    Nothing is checked. Probabilities as input make it negative, log-probabilities as target make it NaN, unless
    ``log_target=True`` says so, and swapped arguments give the other divergence.
    """

    def test_trap_probabilities_make_it_negative(self, device):
        p, q = torch.tensor([0.5, 0.5], device=device), torch.tensor([0.25, 0.75], device=device)
        assert F.kl_div(q, p, reduction="sum").item() < -1

    def test_trap_a_target_of_logarithms_makes_it_nan(self, device):
        p, q = torch.tensor([0.5, 0.5], device=device), torch.tensor([0.25, 0.75], device=device)
        assert F.kl_div(q.log(), p.log(), reduction="sum").isnan().item()

    def test_trap_the_order_is_that_of_other_losses(self, device):
        p, q = torch.tensor([0.5, 0.5], device=device), torch.tensor([0.25, 0.75], device=device)
        assert F.kl_div(q.log(), p, reduction="sum").item() == pytest.approx(0.143841, rel=1e-4)  # KL(p || q)
        assert F.kl_div(p.log(), q, reduction="sum").item() == pytest.approx(0.130812, rel=1e-4)  # KL(q || p)

    def test_fix_log_softmax_and_softmax(self, device):
        model, teacher = torch.tensor([[1.0, 2.0]], device=device), torch.tensor([[1.0, 2.0]], device=device)
        loss = F.kl_div(model.log_softmax(1), teacher.softmax(1), reduction="batchmean")
        assert abs(loss.item()) < 1e-6

    def test_fix_log_target(self, device):
        p, q = torch.tensor([0.5, 0.5], device=device), torch.tensor([0.25, 0.75], device=device)
        loss = F.kl_div(q.log(), p.log(), reduction="sum", log_target=True)
        torch.testing.assert_close(loss, (p * (p / q).log()).sum())


@pitfall(
    "kl-div-mean-divides-by-all-elements",
    docs=[
        ("torch.nn.functional.kl_div", "doesn't return the true kl divergence value"),
        ("torch.nn.KLDivLoss", "doesn't return the true KL divergence value"),
    ],
    symptom="UserWarning: reduction: 'mean' divides the total loss by both the batch size and the support size",
    error="divides the total loss by both the batch size and the support size",
    priority=1,
)
class TestKlDivMeanDividesByAllElements:
    """The default mean of ``kl_div`` divides by all elements, so it is no KL divergence; a warning says so.

    ``reduction="batchmean"`` divides by the first dimension alone. Where that is no batch, or positions follow it, sum
    over the classes and average yourself.
    """

    @pytest.mark.parametrize(
        "loss",
        [
            pytest.param(lambda x, y: F.kl_div(x, y), id="kl_div"),
            pytest.param(lambda x, y: F.kl_div(x, y, reduction="mean"), id="mean"),
            pytest.param(lambda x, y: nn.KLDivLoss()(x, y), id="KLDivLoss"),
        ],
    )
    def test_trap_the_mean_is_too_small(self, device, loss):
        q, p = torch.tensor([[0.25, 0.75]], device=device), torch.tensor([[0.5, 0.5]], device=device)
        with pytest.warns(UserWarning, match="divides the total loss by both the batch size and the support size"):
            mean = loss(q.log(), p)
        torch.testing.assert_close(2 * mean, (p * (p / q).log()).sum())

    @pytest.mark.parametrize(
        ("shape", "divisor"), [((4, 2), 4), ((2, 5, 2), 2), ((2,), 2)], ids=["batch", "sequences", "no batch"]
    )
    def test_trap_batchmean_divides_by_the_first_dimension(self, device, shape, divisor):
        q = torch.tensor([0.25, 0.75], device=device).expand(shape)
        p = torch.tensor([0.5, 0.5], device=device).expand(shape)
        batchmean = F.kl_div(q.log(), p, reduction="batchmean")
        torch.testing.assert_close(batchmean, F.kl_div(q.log(), p, reduction="sum") / divisor)

    def test_fix_batchmean(self, device):
        q, p = torch.tensor([[0.25, 0.75]], device=device), torch.tensor([[0.5, 0.5]], device=device)
        loss = F.kl_div(q.log().expand(4, 2), p.expand(4, 2), reduction="batchmean")
        assert loss.item() == pytest.approx(0.143841, rel=1e-4)


@pitfall(
    "ctc-of-a-short-input-is-infinite",
    docs=[
        ("torch.nn.CTCLoss", "inputs are too short to be aligned"),
        ("torch.nn.CTCLoss", "zero infinite losses and the associated gradients"),
        "torch.nn.functional.ctc_loss",
    ],
    symptom="the CTC loss is inf, and the weights are NaN after the next step",
)
class TestCtcOfAShortInputIsInfinite:
    """The CTC loss of a target that doesn't fit into its input is infinite, and its gradient is NaN.

    A repeated label needs a blank in between, so it counts twice. Downsampling in the model shortens the input too.
    Drop such samples, or pass ``zero_infinity=True``, which zeroes their loss and gradient.
    """

    @pytest.mark.parametrize("target", [[1, 2, 1, 2, 1], [1, 1, 1]], ids=["too long", "repeated"])
    def test_trap_loss_and_gradient(self, device, target):
        x = torch.zeros(4, 1, 3, device=device, requires_grad=True)
        y = torch.tensor([target], device=device)
        loss = F.ctc_loss(x.log_softmax(2), y, torch.tensor([4]), torch.tensor([len(target)]))
        loss.backward()
        assert loss.item() == torch.inf
        assert x.grad.isnan().any().item()

    @pytest.mark.parametrize("target", [[1, 2, 1, 2, 1], [1, 1, 1]], ids=["too long", "repeated"])
    def test_fix_zero_infinity(self, device, target):
        x = torch.zeros(4, 1, 3, device=device, requires_grad=True)
        y = torch.tensor([target], device=device)
        loss = F.ctc_loss(x.log_softmax(2), y, torch.tensor([4]), torch.tensor([len(target)]), zero_infinity=True)
        loss.backward()
        assert loss.item() == 0
        assert x.grad.abs().sum().item() == 0


@pitfall(
    "ctc-wants-time-first",
    docs=[
        ("torch.nn.CTCLoss", "The logarithmized probabilities of the outputs"),
        ("torch.nn.CTCLoss", "will be divided by the target lengths"),
        "torch.nn.functional.ctc_loss",
    ],
    symptom="RuntimeError: input_lengths must be of size batch_size; the CTC loss is negative",
    error="input_lengths must be of size batch_size",
)
class TestCtcWantsTimeFirst:
    """``ctc_loss`` wants log-probabilities of shape (time, batch, classes), and lengths that count before padding.

    Logits are not refused and make it negative. The mean divides each loss by the length of its target before it
    averages, unlike every other loss: use ``reduction="none"`` or ``"sum"`` to compare.
    """

    def test_trap_batch_first_is_refused(self, device):
        x, y = torch.zeros(2, 4, 3, device=device).log_softmax(2), torch.tensor([[1, 2], [2, 1]], device=device)
        with pytest.raises(RuntimeError, match="input_lengths must be of size batch_size"):
            F.ctc_loss(x, y, torch.tensor([4, 4]), torch.tensor([2, 2]))

    def test_trap_lengths_beyond_the_input_are_refused(self, device):
        x, y = torch.zeros(4, 1, 3, device=device).log_softmax(2), torch.tensor([[1, 2]], device=device)
        with pytest.raises(RuntimeError, match="Expected input_lengths to have value at most 4, but got value 5"):
            F.ctc_loss(x, y, torch.tensor([5]), torch.tensor([2]))

    def test_trap_logits_make_it_negative(self, device):
        x, y = torch.full((4, 1, 3), 5.0, device=device), torch.tensor([[1, 2]], device=device)
        assert F.ctc_loss(x, y, torch.tensor([4]), torch.tensor([2])).item() < -10

    def test_trap_the_mean_divides_by_the_target_length(self, device):
        x, y = torch.zeros(4, 1, 3, device=device).log_softmax(2), torch.tensor([[1, 2]], device=device)
        mean = F.ctc_loss(x, y, torch.tensor([4]), torch.tensor([2]))
        total = F.ctc_loss(x, y, torch.tensor([4]), torch.tensor([2]), reduction="sum")
        torch.testing.assert_close(2 * mean, total)

    @pytest.mark.parametrize("y", [[[1, 2], [1, 0]], [1, 2, 1]], ids=["padded", "concatenated"])
    def test_fix_time_first_and_true_lengths(self, device, y):
        x = torch.zeros(2, 4, 3, device=device).log_softmax(2).transpose(0, 1)
        loss = F.ctc_loss(
            x, torch.tensor(y, device=device), torch.tensor([4, 4]), torch.tensor([2, 1]), reduction="none"
        )
        torch.testing.assert_close(loss, torch.tensor([1.686399, 2.091864], device=device))


@pitfall(
    "adaptive-log-softmax-returns-a-pair",
    docs=[("torch.nn.AdaptiveLogSoftmaxWithLoss", "This module returns a ``NamedTuple`` with ``output``")],
    symptom="AttributeError: '_ASMoutput' object has no attribute 'backward'",
    error="object has no attribute 'backward'",
    priority=3,
)
class TestAdaptiveLogSoftmaxReturnsAPair:
    """``AdaptiveLogSoftmaxWithLoss`` returns a named tuple of ``output`` and ``loss``, not the loss.

    ``output`` is the log-probability of each target. Call ``backward()`` on ``.loss``. Labels are to be sorted by
    frequency, the most frequent being 0.
    """

    def test_trap_the_result_is_no_tensor(self, device, seeded):
        criterion = nn.AdaptiveLogSoftmaxWithLoss(16, 10, cutoffs=[3], device=device)
        result = criterion(torch.ones(2, 16, device=device), torch.tensor([0, 9], device=device))
        with pytest.raises(AttributeError, match="object has no attribute 'backward'"):
            result.backward()

    def test_fix_take_the_loss(self, device, seeded):
        criterion = nn.AdaptiveLogSoftmaxWithLoss(16, 10, cutoffs=[3], device=device)
        output, loss = criterion(torch.ones(2, 16, device=device), torch.tensor([0, 9], device=device))
        torch.testing.assert_close(loss, -output.mean())


@since("2.13")
@pitfall(
    "chunked-linear-cross-entropy-has-one-backward",
    docs=[
        ("torch.nn.functional.linear_cross_entropy", "precomputes gradients inside forward and consumes"),
        ("torch.nn.LinearCrossEntropyLoss", "any second :meth:`backward` call raises"),
    ],
    symptom="RuntimeError: linear_cross_entropy chunked backward called twice, although retain_graph=True",
    error="linear_cross_entropy chunked backward called twice",
    priority=3,
    changed={"2.13": "linear_cross_entropy is new"},
)
class TestChunkedLinearCrossEntropyHasOneBackward:
    """With ``options``, ``linear_cross_entropy`` computes its gradients in the forward pass, and serves one backward.

    So ``retain_graph=True`` doesn't help, its gradients have no graph, and ``torch.func.grad`` refuses it. Without
    options it is an ordinary function; ``allow_retain_graph=True`` allows a second backward.
    """

    @on("cpu")
    def test_trap_a_second_backward_raises(self, device):
        x, w = torch.ones(2, 2, device=device, requires_grad=True), torch.ones(3, 2, device=device)
        y = torch.tensor([0, 1], device=device)
        loss = F.linear_cross_entropy(x, w, y, options=nn.LinearCrossEntropyOptions())
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError, match="linear_cross_entropy chunked backward called twice"):
            loss.backward()

    @on("cpu")
    def test_trap_its_gradient_has_no_graph(self, device):
        x, w = torch.ones(2, 2, device=device, requires_grad=True), torch.ones(3, 2, device=device)
        y = torch.tensor([0, 1], device=device)
        loss = F.linear_cross_entropy(x, w, y, options=nn.LinearCrossEntropyOptions())
        (grad,) = torch.autograd.grad(loss, x, create_graph=True)
        assert not grad.requires_grad

    @on("cpu")
    def test_trap_func_grad_refuses_it(self, device):
        x, w = torch.ones(2, 2, device=device), torch.ones(3, 2, device=device)
        y = torch.tensor([0, 1], device=device)
        options = nn.LinearCrossEntropyOptions()
        with pytest.raises(RuntimeError, match="must override the setup_context staticmethod"):
            torch.func.grad(lambda w: F.linear_cross_entropy(x, w, y, options=options))(w)

    @pytest.mark.parametrize("allowed", [False, True], ids=["without options", "allow_retain_graph"])
    @on("cpu")
    def test_fix_say_so_or_go_without(self, device, allowed):
        options = nn.LinearCrossEntropyOptions(allow_retain_graph=True) if allowed else None
        x, w = torch.zeros(2, 2, device=device), torch.zeros(3, 2, device=device, requires_grad=True)
        loss = F.linear_cross_entropy(x + 3, w, torch.tensor([0, 1], device=device), options=options)
        loss.backward(retain_graph=True)
        loss.backward()
        torch.testing.assert_close(w.grad, torch.tensor([[-1.0, -1.0], [-1.0, -1.0], [2.0, 2.0]], device=device))
