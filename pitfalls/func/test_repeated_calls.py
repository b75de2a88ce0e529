"""What ``torch.func`` runs twice, and gradients that end where it returns them."""

import warnings

import pytest
import torch
from torch.func import functional_call, grad, linearize

from pitfalls import pitfall


@pytest.fixture(autouse=True)
def quiet():
    """No warnings of the tracer; its import also makes distributions check no more arguments."""
    validated = torch.distributions.Distribution._validate_args
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        linearize(torch.sin, torch.zeros(()))
        yield
    torch.distributions.Distribution.set_default_validate_args(validated)


@pitfall(
    "linearize-runs-the-function-twice",
    docs=[("torch.func.linearize", "linearize evaluates ``func`` twice")],
    symptom="a counter or a log inside a function that is linearised moves by two",
    priority=3,
)
@pytest.mark.slow  # the first call imports the tracer
class TestLinearizeRunsTheFunctionTwice:
    """``linearize`` calls the function twice, for its value and for its graph; the returned function calls it no more.

    Side effects thus happen twice, and later ones never. Give it a pure function; ``jvp`` calls it once each time.
    """

    def test_trap_it_is_called_twice(self, device):
        calls = []
        linearize(lambda x: (calls.append(1), x.sin())[1], torch.zeros(2, device=device))
        assert len(calls) == 2

    def test_trap_it_is_not_called_later(self, device):
        calls = []
        _, along = linearize(lambda x: (calls.append(1), x.sin())[1], torch.zeros(2, device=device))
        calls.clear()
        assert [along(torch.ones(2, device=device)).tolist(), calls] == [[1, 1], []]

    def test_fix_jvp_calls_once(self, device):
        calls = []
        zero, one = torch.zeros(2, device=device), torch.ones(2, device=device)
        torch.func.jvp(lambda x: (calls.append(1), x.sin())[1], (zero,), (one,))
        assert len(calls) == 1


def gradient(layer, parameters, x):
    """The gradient of the square of what a layer gives with these parameters."""
    return grad(lambda p: functional_call(layer, p, (x,)).pow(2).sum())(parameters)["weight"]


@pitfall(
    "gradients-of-detached-parameters-have-no-graph",
    docs=[("torch.func.functional_call", "detach all of the parameters for better performance"), "torch.func.grad"],
    symptom="element 0 of tensors does not require grad, on backward() through what torch.func.grad returned",
    error="does not require grad and does not have a grad_fn",
    priority=3,
)
class TestGradientsOfDetachedParametersHaveNoGraph:
    """What ``torch.func.grad`` gives for detached parameters has no history: ``backward()`` through it raises.

    For parameters that require a gradient it does track the way back to them, at the price of memory. Detach if
    nothing outside of ``torch.func`` differentiates; for second derivatives nest ``grad``.
    """

    def test_trap_backward_raises(self, device):
        layer, x = (
            torch.nn.Linear(1, 1, bias=False, device="meta").to_empty(device=device),
            torch.ones(1, device=device),
        )
        weight = gradient(layer, {"weight": torch.ones(1, 1, device=device)}, x)
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            weight.sum().backward()

    def test_fix_do_not_detach(self, device):
        layer, x = (
            torch.nn.Linear(1, 1, bias=False, device="meta").to_empty(device=device),
            torch.ones(1, device=device),
        )
        parameters = {"weight": torch.ones(1, 1, device=device, requires_grad=True)}
        gradient(layer, parameters, x).sum().backward()
        assert parameters["weight"].grad.tolist() == [[2]]
