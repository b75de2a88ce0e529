"""Anomaly detection: what it finds, what it does not look at, and where it has to be switched on."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "anomaly-mode-names-the-function",
    docs=[("torch.autograd.detect_anomaly", "value will raise an error"), "torch.autograd.set_detect_anomaly"],
    symptom="RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output",
    error="returned nan values in its 0th output",
    priority=2,
)
class TestAnomalyModeNamesTheFunction:
    """Under anomaly detection ``backward()`` raises at the first function that returns NaN, and names it.

    That is the backward of an operation, such as ``SqrtBackward0``, and which line called it is in a warning, if the
    forward pass ran under detection too. Without detection NaN goes on into every gradient.
    """

    @pytest.mark.parametrize(
        ("operation", "name"),
        [
            pytest.param(lambda x: (x - 1).sqrt(), "SqrtBackward0", id="sqrt"),
            pytest.param(lambda x: 0 * x.sqrt(), "SqrtBackward0", id="zero times sqrt"),
            pytest.param(lambda x: (x / x).nansum(), "DivBackward0", id="division"),
            pytest.param(lambda x: (x - 1) ** 0.5, "PowBackward0", id="power"),
        ],
    )
    def test_trap_it_raises_and_names_the_function(self, device, operation, name):
        x = torch.tensor(0.0, device=device, requires_grad=True)
        with torch.autograd.set_detect_anomaly(True):
            y = operation(x)
            with (
                pytest.warns(UserWarning, match=rf"Error detected in {name}. Traceback of forward call"),
                pytest.raises(RuntimeError, match=rf"Function '{name}' returned nan values in its \dth output"),
            ):
                y.backward()

    def test_trap_without_it_nothing_is_said(self, device):
        x = torch.tensor(0.0, device=device, requires_grad=True)
        (0 * x.sqrt()).backward()
        assert x.grad.isnan()

    def test_trap_for_the_line_the_forward_pass_must_be_inside(self, device):
        x = torch.tensor(-1.0, device=device, requires_grad=True)
        y = x.sqrt()
        with (
            torch.autograd.set_detect_anomaly(True),
            pytest.warns(UserWarning, match="No forward pass information available"),
            pytest.raises(RuntimeError, match="Function 'SqrtBackward0' returned nan values"),
        ):
            y.backward()

    def test_fix_clean_gradients_pass(self, device):
        x = torch.tensor(4.0, device=device, requires_grad=True)
        with torch.autograd.set_detect_anomaly(True):
            x.sqrt().backward()
        assert x.grad.item() == 0.25


@pitfall(
    "anomaly-mode-looks-at-gradients-only",
    docs=[("torch.autograd.detect_anomaly", "any backward computation that generate"), "torch.isfinite"],
    symptom="the loss is NaN or the gradients are infinite, and anomaly detection finds nothing",
    priority=2,
)
class TestAnomalyModeLooksAtGradientsOnly:
    """Anomaly detection looks for NaN in what ``backward()`` computes: not in the forward pass, and not for infinity.

    A NaN loss with finite gradients passes, and so do infinite gradients, with ``check_nan=False`` NaN as well. Check
    the loss with ``isfinite`` yourself.
    """

    def test_trap_a_loss_of_nan_passes(self, device):
        x = torch.tensor(-1.0, device=device, requires_grad=True)
        with torch.autograd.set_detect_anomaly(True):
            loss = x.log()
            loss.backward()
        assert loss.isnan()
        assert x.grad.item() == -1

    def test_trap_an_infinite_gradient_passes(self, device):
        x = torch.tensor(0.0, device=device, requires_grad=True)
        with torch.autograd.set_detect_anomaly(True):
            x.sqrt().backward()
        assert x.grad.item() == torch.inf

    def test_trap_the_check_can_be_off(self, device):
        x = torch.tensor(-1.0, device=device, requires_grad=True)
        with torch.autograd.set_detect_anomaly(True, check_nan=False):
            x.sqrt().backward()
        assert x.grad.isnan()

    def test_fix_check_the_loss(self, device):
        x = torch.tensor([-1.0, 0.0, 1.0], device=device)
        assert x.log().isfinite().tolist() == [False, False, True]


@pitfall(
    "detect-anomaly-covers-the-backward-pass",
    docs=[
        "torch.autograd.detect_anomaly",
        ("torch.autograd.set_detect_anomaly", "as a context-manager or as a function"),
    ],
    symptom="anomaly detection around the forward pass finds nothing; or it stays on for the whole process",
    priority=3,
)
class TestDetectAnomalyCoversTheBackwardPass:
    """The check for NaN is made where ``backward()`` runs: a ``with`` block around the forward pass alone does nothing.

    ``detect_anomaly()`` warns each time that it is slow. ``set_detect_anomaly(True)`` as a plain call does not, and
    stays on until it is switched off.
    """

    def test_trap_around_the_forward_pass_alone(self, device):
        x = torch.tensor(-1.0, device=device, requires_grad=True)
        with torch.autograd.set_detect_anomaly(True):
            y = x.sqrt()
        y.backward()
        assert x.grad.isnan()

    def test_trap_detect_anomaly_warns(self):
        with (
            pytest.warns(UserWarning, match="Anomaly Detection has been enabled"),
            torch.autograd.detect_anomaly(),
        ):
            assert torch.is_anomaly_enabled()

    def test_trap_a_plain_call_stays(self):
        torch.autograd.set_detect_anomaly(True)
        enabled = torch.is_anomaly_enabled()
        torch.autograd.set_detect_anomaly(False)
        assert enabled

    def test_fix_a_block_around_both(self):
        with torch.autograd.set_detect_anomaly(True):
            inside = torch.is_anomaly_enabled()
        assert inside
        assert not torch.is_anomaly_enabled()
