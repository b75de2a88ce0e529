"""Where no gradient comes from: comparisons and positions cut the graph, rounding and sampling send back zeros."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import pitfall


@pitfall(
    "comparison-cuts-the-graph",
    docs=["torch.argmax", "torch.gt", "notes/autograd#how-autograd-encodes-the-history"],
    symptom="RuntimeError: element 0 of tensors does not require grad, for a loss made of accuracy or argmax",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
    priority=1,
)
class TestComparisonCutsTheGraph:
    """Comparisons, ``argmax`` and everything else with integer or bool results cut the graph: there is no gradient.

    Counts of hits and positions of maxima stay the same under small changes, so accuracy can't be a loss. Train on
    what is smooth, such as cross entropy, or take ``softmax`` instead of ``argmax``.
    """

    CUTS = [
        pytest.param(lambda x: x.argmax(), id="argmax"),
        pytest.param(lambda x: x.max(0).indices, id="indices of max"),
        pytest.param(lambda x: x.topk(1).indices, id="indices of topk"),
        pytest.param(lambda x: x.argsort(), id="argsort"),
        pytest.param(lambda x: x.nonzero(), id="nonzero"),
        pytest.param(lambda x: x.softmax(0).multinomial(1), id="multinomial"),
        pytest.param(lambda x: x > 1, id="greater"),
        pytest.param(lambda x: x == x.max(), id="equal"),
        pytest.param(lambda x: x.isnan(), id="isnan"),
        pytest.param(lambda x: x.count_nonzero(), id="count_nonzero"),
        pytest.param(lambda x: torch.bucketize(x, torch.tensor([1.5], device=x.device)), id="bucketize"),
        pytest.param(lambda x: torch.histc(x, bins=2, min=0, max=4), id="histc"),
    ]

    @pytest.mark.parametrize("cut", CUTS)
    def test_trap_the_result_requires_no_grad(self, device, seeded, cut):
        x = torch.tensor([1.0, 3.0], device=device, requires_grad=True)
        assert not cut(x).requires_grad

    def test_trap_accuracy_has_no_gradient(self, device):
        logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]], device=device, requires_grad=True)
        wrong = (logits.argmax(1) != torch.tensor([0, 0], device=device)).float().mean()
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            wrong.backward()

    def test_fix_cross_entropy_has_one(self, device):
        logits = torch.zeros(1, 2, device=device, requires_grad=True)
        F.cross_entropy(logits, torch.tensor([0], device=device)).backward()
        assert logits.grad.tolist() == [[-0.5, 0.5]]

    def test_fix_softmax_instead_of_argmax(self, device):
        x = torch.zeros(2, device=device, requires_grad=True)
        position = (x.softmax(0) * torch.tensor([0.0, 1.0], device=device)).sum()
        position.backward()
        assert x.grad.tolist() == [-0.25, 0.25]


@pitfall(
    "rounding-has-gradient-zero",
    docs=["torch.round", "torch.sign", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="training through round or sign runs without an error and changes nothing",
    priority=2,
)
class TestRoundingHasGradientZero:
    """``round``, ``floor``, ``ceil``, ``trunc`` and ``sign`` are differentiable for autograd: with gradient zero.

    They are flat wherever they have a derivative, so nothing is wrong and nothing raises; the layers before them simply
    don't learn. The straight-through trick lets the gradient pass as if nothing had been rounded.
    """

    ROUNDINGS = [
        pytest.param(torch.round, id="round"),
        pytest.param(torch.floor, id="floor"),
        pytest.param(torch.ceil, id="ceil"),
        pytest.param(torch.trunc, id="trunc"),
        pytest.param(torch.sign, id="sign"),
        pytest.param(lambda x: torch.div(x, 1, rounding_mode="floor"), id="div to the floor"),
        pytest.param(lambda x: torch.div(x, 1, rounding_mode="trunc"), id="div truncated"),
    ]

    @pytest.mark.parametrize("rounded", ROUNDINGS)
    def test_trap_the_gradient_is_zero(self, device, rounded):
        x = torch.tensor([0.4, 1.0, 2.6], device=device, requires_grad=True)
        rounded(x).sum().backward()
        assert x.grad.tolist() == [0, 0, 0]

    @pytest.mark.parametrize("rounded", ROUNDINGS)
    def test_fix_straight_through(self, device, rounded):
        x = torch.tensor([0.4, 1.0, 2.6], device=device, requires_grad=True)
        y = x + (rounded(x) - x).detach()
        (y * torch.tensor([1.0, 2.0, 3.0], device=device)).sum().backward()
        assert x.grad.tolist() == [1, 2, 3]
        torch.testing.assert_close(y, rounded(x))

    @pytest.mark.parametrize(
        "remainder",
        [
            pytest.param(torch.frac, id="frac"),
            pytest.param(lambda x: x % 1, id="%"),
            pytest.param(lambda x: x.fmod(1), id="fmod"),
        ],
    )
    def test_trap_what_is_cut_off_has_gradient_one(self, device, remainder):
        x = torch.tensor([0.4, 2.6], device=device, requires_grad=True)
        remainder(x).sum().backward()
        assert x.grad.tolist() == [1, 1]


@pitfall(
    "sampling-has-gradient-zero",
    docs=["torch.bernoulli", "torch.normal", "notes/autograd#gradients-for-non-differentiable-functions"],
    symptom="the parameters of the distribution that I sample from never change",
    priority=2,
    contradicts={"notes/autograd#gradients-for-non-differentiable-functions": "random mappings raise in backward"},
)
class TestSamplingHasGradientZero:
    """``bernoulli``, ``normal`` and ``poisson`` send back zeros to the probabilities or means that they draw with.

    The manual announces an error for random mappings, but none comes. Move the parameters out of the draw, as
    ``mean + std * noise``; ``rsample()`` of ``torch.distributions`` does that.
    """

    @pytest.mark.parametrize(
        "draw",
        [
            pytest.param(torch.bernoulli, id="bernoulli"),
            pytest.param(lambda x: torch.normal(x, 1.0), id="normal"),
            pytest.param(torch.poisson, id="poisson"),
        ],
    )
    def test_trap_the_gradient_is_zero(self, device, seeded, draw):
        x = torch.tensor([0.5, 0.25], device=device, requires_grad=True)
        draw(x).sum().backward()
        assert x.grad.tolist() == [0, 0]

    def test_fix_noise_outside(self, device, seeded):
        mean = torch.zeros(2, device=device, requires_grad=True)
        (mean + 0.5 * torch.randn(2, device=device)).sum().backward()
        assert mean.grad.tolist() == [1, 1]

    def test_fix_rsample(self, device, seeded):
        mean = torch.zeros(2, device=device, requires_grad=True)
        torch.distributions.Normal(mean, 1.0, validate_args=False).rsample().sum().backward()
        assert mean.grad.tolist() == [1, 1]
