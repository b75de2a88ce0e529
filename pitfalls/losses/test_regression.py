"""Losses of numbers: broadcasting, the dtype of the target, thresholds, and what a predicted variance must be."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since

DISTANCES = [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss]
BROADCASTING = "Using a target size .* that is different to the input size"


@pitfall(
    "mse-loss-broadcasts",
    docs=[("torch.nn.MSELoss", "same shape as the input"), "torch.nn.functional.mse_loss", "notes/broadcasting"],
    symptom="UserWarning: Using a target size that is different to the input size; the model predicts the mean",
    error="This will likely lead to incorrect results due to broadcasting",
    priority=1,
)
class TestMseLossBroadcasts:
    """``mse_loss`` of outputs (n, 1) and targets (n,) broadcasts to (n, n), with no more than a warning.

    Each output is compared with every target, so the model learns their mean. Make the shapes equal,
    ``x.squeeze(1)`` or ``y.unsqueeze(1)``, and turn that warning into an error in training code.
    """

    @pytest.mark.parametrize("loss", DISTANCES, ids=lambda loss: loss.__name__)
    def test_trap_a_perfect_answer_costs(self, device, loss):
        x, y = torch.tensor([[0.0], [4.0]], device=device), torch.tensor([0.0, 4.0], device=device)
        with pytest.warns(UserWarning, match=BROADCASTING):
            each = loss(x, y, reduction="none")
        assert each.shape == (2, 2)
        assert each.diagonal().tolist() == [0, 0]
        assert each[0, 1].item() > 3

    @pytest.mark.parametrize(
        "loss",
        [
            pytest.param(lambda x, y: F.poisson_nll_loss(x, y, reduction="none"), id="poisson_nll_loss"),
            pytest.param(lambda x, y: F.hinge_embedding_loss(x, y, reduction="none"), id="hinge_embedding_loss"),
            pytest.param(
                lambda x, y: F.kl_div(x, y, reduction="none"),
                id="kl_div",
            ),
        ],
    )
    def test_trap_others_do_not_even_warn(self, device, loss):
        x, y = torch.tensor([[0.5], [0.25]], device=device), torch.tensor([1.0, 1.0], device=device)
        assert loss(x, y).shape == (2, 2)

    @pytest.mark.parametrize("loss", DISTANCES, ids=lambda loss: loss.__name__)
    def test_fix_equal_shapes(self, device, loss):
        x, y = torch.tensor([[0.0], [4.0]], device=device), torch.tensor([0.0, 4.0], device=device)
        assert loss(x, y.unsqueeze(1)).item() == 0


@pitfall(
    "float64-target-changes-the-loss",
    docs=["torch.nn.functional.mse_loss", "torch.nn.functional.huber_loss", "tensor_attributes#type-promotion-doc"],
    symptom="RuntimeError: Found dtype Double but expected Float, from backward()",
    error="Found dtype Double but expected Float",
    changed={"2.12": "backward of mse_loss accepts a target of another dtype"},
)
class TestFloat64TargetChangesTheLoss:
    """A float64 target, as NumPy gives, makes a float64 loss, or one whose ``backward()`` refuses it.

    The forward pass says nothing. Which losses promote and which refuse depends on the release. Convert the target
    where the data is loaded: ``y.float()``.
    """

    @pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss], ids=lambda loss: loss.__name__)
    def test_trap_the_loss_is_float64(self, device, loss):
        x, y = torch.zeros(2, device=device), torch.ones(2, dtype=torch.float64, device=device)
        assert loss(x, y).dtype == torch.float64

    @pytest.mark.parametrize(
        "loss",
        [
            pytest.param(F.mse_loss, id="mse_loss", marks=before("2.12")),
            pytest.param(F.huber_loss, id="huber_loss"),
        ],
    )
    def test_trap_backward_refuses_it(self, device, loss):
        x = torch.zeros(2, device=device, requires_grad=True)
        result = loss(x, torch.ones(2, dtype=torch.float64, device=device))
        with pytest.raises(RuntimeError, match="Found dtype Double but expected Float"):
            result.backward()

    @since("2.12")
    def test_trap_backward_of_mse_loss_accepts_it(self, device):
        x = torch.zeros(2, device=device, requires_grad=True)
        F.mse_loss(x, torch.ones(2, dtype=torch.float64, device=device)).backward()
        assert x.grad.tolist() == [-1, -1]
        assert x.grad.dtype == torch.float32

    @pytest.mark.parametrize("loss", DISTANCES, ids=lambda loss: loss.__name__)
    def test_fix_convert_the_target(self, device, loss):
        x = torch.zeros(2, device=device, requires_grad=True)
        y = torch.ones(2, dtype=torch.float64, device=device)
        result = loss(x, y.float())
        assert result.dtype == torch.float32


@pitfall(
    "huber-is-smooth-l1-times-delta",
    docs=[
        ("torch.nn.HuberLoss", "by a factor of delta"),
        ("torch.nn.SmoothL1Loss", "When beta is 0, Smooth L1 loss is"),
        "torch.nn.functional.huber_loss",
        "torch.nn.functional.smooth_l1_loss",
    ],
    symptom="swapping SmoothL1Loss for HuberLoss changes the scale of the loss, and so the learning rate",
    error="huber_loss does not support non-positive values for delta",
)
class TestHuberIsSmoothL1TimesDelta:
    """``huber_loss`` is ``smooth_l1_loss`` times its threshold: they are equal for a threshold of 1 only.

    Far out the slope of Huber is ``delta``, that of smooth L1 always 1. Towards zero the first vanishes, and refuses 0
    itself, while the second becomes the L1 loss, also at 0.
    """

    @pytest.mark.parametrize("threshold", [0.25, 1.0, 2.0], ids=str)
    def test_trap_they_differ_by_the_threshold(self, device, threshold):
        x, zero = torch.tensor([0.5, 3.0], device=device), torch.zeros(2, device=device)
        huber = F.huber_loss(x, zero, delta=threshold, reduction="none")
        smooth = F.smooth_l1_loss(x, zero, beta=threshold, reduction="none")
        torch.testing.assert_close(huber, threshold * smooth)

    @pytest.mark.parametrize(
        ("loss", "slope"),
        [
            pytest.param(lambda x, y: F.huber_loss(x, y, delta=0.25), 0.25, id="huber_loss"),
            pytest.param(lambda x, y: F.smooth_l1_loss(x, y, beta=0.25), 1, id="smooth_l1_loss"),
        ],
    )
    def test_trap_their_slopes_differ(self, device, loss, slope):
        x = torch.tensor([3.0], device=device, requires_grad=True)
        loss(x, torch.zeros(1, device=device)).backward()
        assert x.grad.item() == slope

    def test_trap_zero_is_l1_for_one_of_them(self, device):
        x, zero = torch.tensor([0.5, 3.0], device=device), torch.zeros(2, device=device)
        assert F.smooth_l1_loss(x, zero, beta=0, reduction="none").tolist() == [0.5, 3]
        with pytest.raises(RuntimeError, match="huber_loss does not support non-positive values for delta"):
            F.huber_loss(x, zero, delta=0)

    def test_fix_divide_by_the_threshold(self, device):
        x, zero = torch.tensor([0.5, 3.0], device=device), torch.zeros(2, device=device)
        huber = F.huber_loss(x, zero, delta=0.25) / 0.25
        torch.testing.assert_close(huber, F.smooth_l1_loss(x, zero, beta=0.25))


@pitfall(
    "gaussian-nll-takes-variances",
    docs=[
        ("torch.nn.GaussianNLLLoss", "The clamping of ``var`` is ignored with"),
        ("torch.nn.GaussianNLLLoss", "a tensor of positive variances"),
        "torch.nn.functional.gaussian_nll_loss",
    ],
    symptom="ValueError: var has negative entry/entries; the gradient of the variance is huge",
    error="var has negative entry/entries",
)
class TestGaussianNllTakesVariances:
    """``gaussian_nll_loss`` takes the variance, not its root or logarithm: negative is refused, near zero explodes.

    Below ``eps`` the variance is clamped in value only, so its gradient is that at ``eps``, some 10 to the 11th. The
    loss can well be negative. Let the model return a logarithm, and give ``exp()`` of it or a ``softplus``.
    """

    def test_trap_negative_is_refused(self, device):
        x, y = torch.tensor([1.0], device=device), torch.tensor([0.0], device=device)
        with pytest.raises(ValueError, match="var has negative entry/entries"):
            F.gaussian_nll_loss(x, y, torch.tensor([-1.0], device=device))

    @pytest.mark.parametrize("var", [0.0, 1e-9, 1e-6], ids=str)
    def test_trap_the_clamp_stops_no_gradient(self, device, var):
        var = torch.tensor([var], device=device, requires_grad=True)
        F.gaussian_nll_loss(torch.tensor([1.0], device=device), torch.tensor([0.0], device=device), var).backward()
        assert var.grad.item() < -4e11

    def test_trap_the_loss_is_negative(self, device):
        x, var = torch.tensor([1.0], device=device), torch.tensor([0.01], device=device)
        assert F.gaussian_nll_loss(x, x.clone(), var).item() == pytest.approx(-2.302585, rel=1e-5)

    def test_fix_the_logarithm_of_the_variance(self, device):
        x, y = torch.tensor([1.0], device=device), torch.tensor([0.0], device=device)
        log_var = torch.tensor([-4.0], device=device, requires_grad=True)
        F.gaussian_nll_loss(x, y, log_var.exp()).backward()
        assert log_var.grad.item() == pytest.approx(-26.799, rel=1e-3)


@pitfall(
    "poisson-nll-takes-the-logarithm",
    docs=[("torch.nn.PoissonNLLLoss", "if ``True`` the loss is computed as"), "torch.nn.functional.poisson_nll_loss"],
    symptom="the Poisson loss explodes, because exp() was applied to rates",
)
class TestPoissonNllTakesTheLogarithm:
    """``poisson_nll_loss`` takes the logarithm of the rate by default, and applies ``exp`` itself.

    A model that ends with ``exp`` or ``softplus`` returns rates: say ``log_input=False``. The best answer then is the
    target itself, by default its logarithm.
    """

    @pytest.mark.parametrize(
        ("log_input", "best"), [(True, 1.0986123), (False, 3.0)], ids=["by default", "log_input=False"]
    )
    def test_trap_where_the_gradient_is_zero(self, device, log_input, best):
        x = torch.tensor([best], device=device, requires_grad=True)
        F.poisson_nll_loss(x, torch.tensor([3.0], device=device), log_input=log_input).backward()
        assert abs(x.grad.item()) < 1e-5

    def test_trap_rates_overflow(self, device):
        rate = torch.tensor([100.0], device=device)
        assert F.poisson_nll_loss(rate, rate).item() == torch.inf

    def test_fix_say_that_they_are_rates(self, device):
        rate = torch.tensor([100.0], device=device)
        loss = F.poisson_nll_loss(rate, rate, log_input=False)
        assert loss.item() == pytest.approx(100 - 460.517, rel=1e-5)
