"""How a step is computed: weight decay, momentum, Adam's first step, and `maximize`."""

import pytest
import torch

from pitfalls import pitfall, since


@pitfall(
    "adam-decay-is-part-of-the-gradient",
    docs=[("torch.optim.Adam", "weight decay (L2 penalty)"), ("torch.optim.AdamW", "weight decay coefficient")],
    symptom="weight_decay in Adam does next to nothing, or far too much; Adam and AdamW differ in what it does",
    priority=1,
)
class TestAdamDecayIsPartOfTheGradient:
    """``Adam`` adds weight decay to the gradient and then normalises the sum; ``AdamW`` shrinks the weight by itself.

    Where the gradient is zero, Adam takes a full step whatever the strength of the decay; where it is large, the decay
    is lost in it. AdamW multiplies by ``1 - lr * weight_decay`` in both cases. ``NAdam``, ``RAdam`` and ``Adamax`` do
    as Adam does.
    """

    @pytest.mark.parametrize("decay", [0.5, 0.125, 2.0], ids=str)
    @pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.Adamax], ids=lambda cls: cls.__name__)
    def test_trap_strength_does_not_matter_without_a_gradient(self, device, optimizer_class, decay):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        optimizer_class([w], lr=0.125, weight_decay=decay).step()
        assert round(w.item(), 4) == 3.875

    @pytest.mark.parametrize("optimizer_class", [torch.optim.Adam, torch.optim.Adamax], ids=lambda cls: cls.__name__)
    def test_trap_it_is_lost_in_a_large_gradient(self, device, optimizer_class):
        w, v = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        w.grad, v.grad = (torch.tensor([1000.0], device=device) for _ in range(2))
        optimizer_class([w], lr=0.125, weight_decay=0.5).step()
        optimizer_class([v], lr=0.125).step()
        assert round(w.item(), 4) == round(v.item(), 4) == 3.875

    @pytest.mark.parametrize(("decay", "weight"), [(0.5, 3.75), (0.125, 3.9375), (2.0, 3.0)], ids=str)
    def test_fix_adamw_shrinks_in_proportion(self, device, decay, weight):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        torch.optim.AdamW([w], lr=0.125, weight_decay=decay).step()
        assert w.item() == weight

    @since("2.5")
    @pytest.mark.parametrize("name", ["NAdam", "RAdam"])
    def test_fix_others_have_a_switch(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        getattr(torch.optim, name)([w], lr=0.125, weight_decay=0.5, decoupled_weight_decay=True).step()
        assert w.item() == 3.75


@pitfall(
    "adamw-decays-by-default",
    docs=[("torch.optim.AdamW", "weight decay coefficient (default: 1e-2)"), "torch.optim.Adam"],
    symptom="weights without a gradient signal shrink slowly, although I set no weight_decay",
)
class TestAdamwDecaysByDefault:
    """``AdamW`` decays the weights by default, with 0.01; ``Adam``, ``SGD`` and most others only when they are told to.

    So exchanging ``Adam`` for ``AdamW`` changes the training even where neither is given a ``weight_decay``. ``Muon``
    has a default too. Say which you want, and give parameters that are to keep their size ``weight_decay=0``.
    """

    def test_trap_adamw_shrinks_the_weight(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        torch.optim.AdamW([w], lr=0.5).step()
        assert round(w.item(), 4) == 3.98

    @pytest.mark.parametrize("name", ["Adam", "Adamax", "NAdam", "RAdam", "SGD", "RMSprop", "Adagrad", "Adadelta"])
    def test_trap_others_do_not(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        getattr(torch.optim, name)([w], lr=0.5).step()
        assert w.item() == 4

    def test_fix_say_zero(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        torch.optim.AdamW([w], lr=0.5, weight_decay=0.0).step()
        assert w.item() == 4


@pitfall(
    "sgd-momentum-is-scaled-by-the-new-rate",
    docs=[
        ("torch.optim.SGD", "The implementation of SGD with Momentum"),
        ("torch.optim.SGD", "initial value of the momentum buffer"),
    ],
    symptom="after lowering the learning rate SGD slows down at once, unlike in the paper or another framework",
)
class TestSgdMomentumIsScaledByTheNewRate:
    """``SGD`` multiplies the whole momentum by the present learning rate, and its first momentum is the bare gradient.

    A changed rate thus acts at once on what was gathered under the old one; other frameworks put the rate into the
    velocity. ``dampening`` applies from the second step on.
    """

    def test_trap_lower_rate_acts_on_the_old_momentum(self, device):
        w = torch.tensor([0.0], device=device, requires_grad=True)
        w.grad = torch.tensor([-4.0], device=device)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
        optimizer.step()
        w.grad = torch.zeros(1, device=device)
        optimizer.param_groups[0]["lr"] = 0.125
        optimizer.step()
        assert w.item() == 4.25

    @pytest.mark.parametrize("dampening", [0, 0.5, 1], ids=str)
    def test_trap_first_step_is_not_dampened(self, device, dampening):
        w = torch.tensor([0.0], device=device, requires_grad=True)
        w.grad = torch.tensor([-4.0], device=device)
        torch.optim.SGD([w], lr=1.0, momentum=0.5, dampening=dampening).step()
        assert w.item() == 4

    @pytest.mark.parametrize(("dampening", "weight"), [(0, 10), (0.5, 8), (1, 6)], ids=str)
    def test_trap_second_step_is(self, device, dampening, weight):
        w = torch.tensor([0.0], device=device, requires_grad=True)
        w.grad = torch.tensor([-4.0], device=device)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5, dampening=dampening)
        for _ in range(2):
            optimizer.step()
        assert w.item() == weight

    def test_fix_scale_the_momentum_against_it(self, device):
        w = torch.tensor([0.0], device=device, requires_grad=True)
        w.grad = torch.tensor([-4.0], device=device)
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.5)
        optimizer.step()
        w.grad = torch.zeros(1, device=device)
        optimizer.param_groups[0]["lr"] = 0.125
        optimizer.state[w]["momentum_buffer"].div_(0.125)
        optimizer.step()
        assert w.item() == 6


@pitfall(
    "nesterov-needs-momentum",
    docs=[("torch.optim.SGD", "Nesterov momentum"), ("torch.optim.SGD", "dampening for momentum")],
    symptom="ValueError: Nesterov momentum requires a momentum and zero dampening",
    error="Nesterov momentum requires a momentum and zero dampening",
)
class TestNesterovNeedsMomentum:
    """``SGD(nesterov=True)`` needs a positive ``momentum`` and no ``dampening``, and ``momentum`` is 0 by default.

    It is checked in the constructor only. An option that is changed in the group later on, by hand or by a scheduler,
    is taken as it is.
    """

    @pytest.mark.parametrize(
        "options",
        [{}, {"momentum": 0.0}, {"momentum": 0.5, "dampening": 0.5}],
        ids=["no momentum", "momentum 0", "dampening"],
    )
    def test_trap_it_is_refused(self, device, options):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(ValueError, match="Nesterov momentum requires a momentum and zero dampening"):
            torch.optim.SGD([w], lr=0.5, nesterov=True, **options)

    def test_fix_give_it_momentum(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([2.0], device=device)
        torch.optim.SGD([w], lr=0.5, nesterov=True, momentum=0.5).step()
        assert w.item() == 2.5


@pitfall(
    "adam-first-step-is-the-learning-rate",
    docs=[("torch.optim.Adam", "denominator to improve"), ("torch.optim.Adam", "running averages of gradient")],
    symptom="weights move by the same amount whether the gradient is tiny or huge; scaling the loss changes nothing",
)
class TestAdamFirstStepIsTheLearningRate:
    """The first step of ``Adam`` moves each weight by about ``lr``, however large or small its gradient is.

    The bias correction makes both averages equal to the gradient and its square, so their ratio is one. Scaling the
    loss has no effect, and ``lr`` is the step in the unit of the weights. Only gradients as small as ``eps`` give less.
    """

    @pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax"])
    @pytest.mark.parametrize("gradient", [0.001, 1.0, 1000.0, -1000.0], ids=str)
    def test_trap_size_of_the_gradient_does_not_matter(self, device, name, gradient):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([gradient], device=device)
        getattr(torch.optim, name)([w], lr=0.5, weight_decay=0.0).step()
        assert round(abs(w.item() - 4), 4) == 0.5

    def test_trap_unless_it_is_as_small_as_eps(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([1e-8], device=device)
        torch.optim.Adam([w], lr=0.5).step()
        assert round(w.item(), 4) == 3.75

    @pytest.mark.parametrize("gradient", [0.5, 2.0], ids=str)
    def test_fix_sgd_follows_the_gradient(self, device, gradient):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([gradient], device=device)
        torch.optim.SGD([w], lr=0.5).step()
        assert w.item() == 4 - gradient / 2


@since("2.2")
@pitfall(
    "adam-eps-vanishes-in-half",
    docs=[("torch.optim.Adam", "denominator to improve"), "type_info"],
    symptom="weights are nan or inf after the first step of Adam with a float16 model",
)
class TestAdamEpsVanishesInHalf:
    """In float16 the default ``eps=1e-8`` of ``Adam`` is zero: a gradient of zero makes the weight nan at once.

    The square of a gradient under 2e-4 is zero as well, so that small gradients give inf. Keep the weights in float32
    and use autocast, or take bfloat16, whose range is that of float32.
    """

    @pytest.mark.parametrize(("gradient", "weight"), [(0.0, "nan"), (1e-5, "-inf")], ids=["zero", "small"])
    @pytest.mark.parametrize("name", ["Adam", "AdamW"])
    def test_trap_weight_is_lost(self, device, name, gradient, weight):
        w = torch.ones(1, dtype=torch.float16, device=device, requires_grad=True)
        w.grad = torch.full_like(w, gradient)
        getattr(torch.optim, name)([w], lr=0.5, foreach=False).step()
        assert str(w.item()) == weight

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    @pytest.mark.parametrize("name", ["Adam", "AdamW"])
    def test_fix_wider_range(self, device, name, dtype):
        w = torch.ones(1, dtype=dtype, device=device, requires_grad=True)
        w.grad = torch.zeros_like(w)
        getattr(torch.optim, name)([w], lr=0.5, foreach=False, weight_decay=0.0).step()
        assert w.item() == 1


@pitfall(
    "maximize-still-decays",
    docs=[("torch.optim.SGD", "maximize the"), ("torch.optim.SGD", "weight decay (L2 penalty)")],
    symptom="with maximize=True the loss grows as wanted, but weights without a gradient still shrink",
)
class TestMaximizeStillDecays:
    """``maximize=True`` turns the gradient round, not the weight decay: weights go up the gradient and still shrink.

    The same step with a negated loss gives the same result, so never do both.
    """

    @pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
    def test_trap_weight_shrinks(self, device, name):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        getattr(torch.optim, name)([w], lr=0.25, weight_decay=0.5, maximize=True).step()
        assert w.item() < 4

    @pytest.mark.parametrize("sign", [1, -1], ids=["minimize", "maximize"])
    def test_fix_negated_gradient_is_the_same(self, device, sign):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([-6.0 * sign], device=device)
        torch.optim.SGD([w], lr=0.25, weight_decay=0.5, maximize=sign < 0).step()
        assert w.item() == 5


@since("2.5")
@pitfall(
    "adafactor-rate-is-relative",
    docs=["torch.optim.Adafactor"],
    symptom="Adafactor with the learning rate of Adam makes far larger or far smaller steps",
    priority=3,
)
class TestAdafactorRateIsRelative:
    """The ``lr`` of ``Adafactor`` is a limit on the relative step: the step is that times the size of the weight.

    The limit falls with the number of steps, so a rate above one has no further effect. The paper has a fixed limit of
    0.01, which is the default here.
    """

    @pytest.mark.parametrize(("start", "end"), [(4, 2), (2, 1), (1, 0.5)], ids=str)
    def test_trap_step_grows_with_the_weight(self, device, start, end):
        w = torch.tensor([float(start)], device=device, requires_grad=True)
        w.grad = torch.tensor([1.0], device=device)
        torch.optim.Adafactor([w], lr=0.5).step()
        assert w.item() == end

    @pytest.mark.parametrize("lr", [1.0, 10.0, 1000.0], ids=str)
    def test_trap_rate_above_one_does_no_more(self, device, lr):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([1.0], device=device)
        torch.optim.Adafactor([w], lr=lr).step()
        assert w.item() == 0

    def test_fix_adam_has_an_absolute_rate(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.tensor([1.0], device=device)
        torch.optim.Adam([w], lr=0.5).step()
        assert round(w.item(), 4) == 3.5
