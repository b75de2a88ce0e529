"""Gradients add up: what `backward()` leaves in `.grad`, who else adds to it, and how to start over."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "grad-accumulates",
    docs=[("torch.Tensor.backward", "accumulates gradients in the leaves"), "torch.Tensor.grad"],
    symptom="training behaves as if the learning rate grew every step; my gradient is doubled",
    priority=1,
)
class TestGradAccumulates:
    """``backward()`` adds to ``.grad``; it never replaces it.

    The sum is what makes gradient accumulation over micro-batches work, and what silently corrupts a loop that
    forgets to clear it. Clear with ``optimizer.zero_grad()`` or ``w.grad = None`` before each step.
    """

    def test_trap_each_backward_adds(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        seen = []
        for x in (1, 2, 3, 4):
            (w * x).backward()
            seen.append(w.grad.item())
        assert seen == [1, 3, 6, 10]

    def test_trap_neither_eval_nor_no_grad_clears(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        net(torch.ones(1, device=device)).backward()
        with torch.no_grad():
            net.eval()(torch.ones(1, device=device))
        net(torch.ones(1, device=device)).backward()
        assert net.weight.grad.tolist() == [[2]]

    @pytest.mark.parametrize(
        "clear",
        [
            pytest.param(lambda w: setattr(w, "grad", None), id="grad = None"),
            pytest.param(lambda w: w.grad.zero_() if w.grad is not None else None, id="zero_"),
            pytest.param(lambda w: torch.optim.SGD([w], lr=1.0).zero_grad(), id="zero_grad"),
        ],
    )
    def test_fix_clearing_starts_over(self, device, clear):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        seen = []
        for x in (1, 2, 3, 4):
            clear(w)
            (w * x).backward()
            seen.append(w.grad.item())
        assert seen == [1, 2, 3, 4]


@pitfall(
    "zero-grad-sets-none",
    docs=[("torch.optim.Optimizer.zero_grad", "set the grads to None"), "torch.nn.Module.zero_grad"],
    symptom="AttributeError: 'NoneType' object has no attribute 'norm' after zero_grad()",
    priority=1,
)
class TestZeroGradSetsNone:
    """``zero_grad()`` sets ``.grad`` to None, not to zeros.

    Code that reads ``p.grad`` after it finds None, and a gradient that was put aside is not cleared. Ask for zeros with
    ``set_to_none=False``.
    """

    CLEARERS = [
        pytest.param(lambda net, **how: torch.optim.SGD(net.parameters(), lr=1.0).zero_grad(**how), id="optimizer"),
        pytest.param(lambda net, **how: net.zero_grad(**how), id="module"),
    ]

    @pytest.mark.parametrize("clear", CLEARERS)
    def test_trap_grad_is_none(self, device, seeded, clear):
        net = nn.Linear(1, 1, device=device)
        net(torch.ones(1, device=device)).backward()
        clear(net)
        assert net.weight.grad is None

    @pytest.mark.parametrize("clear", CLEARERS)
    def test_trap_a_kept_gradient_is_not_cleared(self, device, seeded, clear):
        net = nn.Linear(1, 1, device=device)
        net(torch.ones(1, device=device)).backward()
        kept = net.weight.grad
        clear(net)
        assert kept.tolist() == [[1]]

    @pytest.mark.parametrize("clear", CLEARERS)
    def test_fix_ask_for_zeros(self, device, seeded, clear):
        net = nn.Linear(1, 1, device=device)
        net(torch.ones(1, device=device)).backward()
        clear(net, set_to_none=False)
        assert net.weight.grad.tolist() == [[0]]


@pitfall(
    "zero-grads-still-step",
    docs=[("torch.optim.Optimizer.zero_grad", "does the step with a gradient of 0"), "torch.optim.SGD"],
    symptom="weights move although their gradient is zero",
)
class TestZeroGradsStillStep:
    """An optimizer skips a parameter whose ``.grad`` is None and steps one whose ``.grad`` is zero.

    With momentum, weight decay or Adam's averages a zero gradient still moves the weight. Parameters that are to rest
    need ``.grad = None``, which is what ``zero_grad()`` leaves.
    """

    OPTIMIZERS = [
        pytest.param(lambda w: torch.optim.SGD([w], lr=0.5, momentum=0.5), id="SGD with momentum"),
        pytest.param(lambda w: torch.optim.SGD([w], lr=0.5, weight_decay=0.5), id="SGD with weight decay"),
        pytest.param(lambda w: torch.optim.Adam([w], lr=0.5), id="Adam"),
        pytest.param(lambda w: torch.optim.AdamW([w], lr=0.5), id="AdamW"),
        pytest.param(lambda w: torch.optim.RMSprop([w], lr=0.5, momentum=0.5), id="RMSprop with momentum"),
    ]

    @pytest.mark.parametrize("make", OPTIMIZERS)
    def test_trap_a_zero_gradient_moves_the_weight(self, device, make):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = make(w)
        w.grad = torch.ones(1, device=device)
        optimizer.step()
        before = w.item()
        w.grad = torch.zeros(1, device=device)
        optimizer.step()
        assert w.item() != before

    @pytest.mark.parametrize("make", OPTIMIZERS)
    def test_fix_none_is_skipped(self, device, make):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = make(w)
        w.grad = torch.ones(1, device=device)
        optimizer.step()
        before = w.item()
        w.grad = None
        optimizer.step()
        assert w.item() == before


@pitfall(
    "micro-batches-sum-their-means",
    docs=["torch.Tensor.backward", "notes/amp_examples#gradient-accumulation"],
    symptom="gradient accumulation over n micro-batches trains as with n times the learning rate",
    priority=1,
)
class TestMicroBatchesSumTheirMeans:
    """Accumulating over n micro-batches sums n mean losses: the gradient is n times that of the whole batch.

    Divide each loss by the number of micro-batches; if the last one is smaller, weigh each by its share of the samples.
    """

    def test_trap_the_sum_of_means_is_n_times_the_mean(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        for batch in torch.tensor([[1.0, 3.0], [5.0, 7.0]], device=device):
            (w * batch).mean().backward()
        assert w.grad.item() == 8  # the mean of all four is 4

    def test_trap_a_smaller_last_batch_weighs_too_much(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        for batch in torch.tensor([1.0, 3.0, 11.0], device=device).split(2):
            ((w * batch).mean() / 2).backward()
        assert w.grad.item() == 6.5  # the mean of all three is 5

    def test_fix_divide_by_the_number_of_batches(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        for batch in torch.tensor([[1.0, 3.0], [5.0, 7.0]], device=device):
            ((w * batch).mean() / 2).backward()
        assert w.grad.item() == 4

    def test_fix_sum_and_divide_by_the_samples(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        for batch in torch.tensor([1.0, 3.0, 11.0], device=device).split(2):
            ((w * batch).sum() / 3).backward()
        assert w.grad.item() == 5


@pitfall(
    "shared-weights-add-up",
    docs=[("torch.Tensor.backward", "accumulates gradients in the leaves"), "notes/autograd"],
    symptom="the gradient of a tied weight is larger than that of either layer",
)
class TestSharedWeightsAddUp:
    """A tensor that is used twice gets the sum of the gradients of both uses.

    Tied weights, a layer that is called twice and a recurrent cell all collect this way. A parameter that two
    optimizers or groups hold is stepped once for each. ``clone().detach()`` gives each place a weight of its own.
    """

    def test_trap_two_uses_add(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        (w * 3 + w * 4).backward()
        assert w.grad.item() == 7

    def test_trap_a_layer_called_twice(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(layer.weight)
        layer(layer(torch.tensor([3.0], device=device))).backward()
        assert layer.weight.grad.item() == 6

    def test_trap_tied_modules_have_one_grad(self, device, seeded):
        encoder, decoder = nn.Linear(1, 1, bias=False, device=device), nn.Linear(1, 1, bias=False, device=device)
        decoder.weight = encoder.weight
        encoder(torch.tensor([2.0], device=device)).backward()
        assert decoder.weight.grad.item() == 2

    def test_fix_untie_with_a_copy(self, device, seeded):
        encoder, decoder = nn.Linear(1, 1, bias=False, device=device), nn.Linear(1, 1, bias=False, device=device)
        decoder.weight = nn.Parameter(encoder.weight.detach().clone())
        encoder(torch.tensor([2.0], device=device)).backward()
        assert decoder.weight.grad is None


@pitfall(
    "autograd-grad-leaves-grad-alone",
    docs=[("torch.autograd.grad", "return the sum of gradients of outputs"), "torch.Tensor.grad"],
    symptom="w.grad is None after torch.autograd.grad",
)
class TestAutogradGradLeavesGradAlone:
    """``torch.autograd.grad`` returns gradients and touches no ``.grad``; ``backward()`` fills it and returns None.

    ``backward(inputs=[...])`` is in between: it accumulates, into the named tensors alone.
    """

    def test_trap_grad_stays_none(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        torch.autograd.grad(w * 3, w)
        assert w.grad is None

    def test_trap_backward_returns_nothing(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        assert (w * 3).backward() is None

    def test_trap_inputs_leaves_the_others_out(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        b = torch.tensor(1.0, device=device, requires_grad=True)
        (w * 3 + b).backward(inputs=[b])
        assert w.grad is None
        assert b.grad.item() == 1

    def test_fix_take_what_it_returns(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(w * 3, w)
        assert grad.item() == 3


@pitfall(
    "kept-grad-changes",
    docs=["torch.Tensor.backward", ("torch.Tensor.grad", "will accumulate (add) gradients into it")],
    symptom="the gradients that I stored in a list are all the same",
)
class TestKeptGradChanges:
    """``w.grad`` is accumulated in place: a reference to it shows the sum after the next ``backward()``.

    Keep ``w.grad.clone()``. After ``w.grad = None`` the next gradient is a new tensor, and the old one stays.
    """

    def test_trap_the_reference_sees_the_sum(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        (w * 3).backward()
        kept = w.grad
        (w * 4).backward()
        assert kept.item() == 7

    def test_fix_clone_it(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        (w * 3).backward()
        kept = w.grad.clone()
        (w * 4).backward()
        assert kept.item() == 3

    def test_fix_none_makes_room_for_a_new_one(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        (w * 3).backward()
        kept, w.grad = w.grad, None
        (w * 4).backward()
        assert kept.item() == 3


@pitfall(
    "grad-must-match-its-tensor",
    docs=["torch.Tensor.grad", "notes/autograd"],
    symptom="attempting to assign a gradient of size '[3]' to a tensor of size '[2]'",
    error="attempting to assign a gradient",
)
class TestGradMustMatchItsTensor:
    """A ``.grad`` that is assigned must have the shape, dtype and device of its tensor.

    The gradient that autograd makes has them by itself: that of a float64 leaf is float64, whatever the loss was
    computed in. Convert before you assign.
    """

    def test_trap_another_shape_is_refused(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(
            RuntimeError, match=r"(assigned grad has data of a different size|assign a gradient of size)"
        ):
            w.grad = torch.ones(3, device=device)

    def test_trap_another_dtype_is_refused(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(
            RuntimeError, match=r"assign(ed|ing|) .*grad.* (type|dtype)|attempting to assign a gradient with dtype"
        ):
            w.grad = torch.ones(2, dtype=torch.float64, device=device)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64], ids=str)
    def test_trap_the_gradient_has_the_dtype_of_the_leaf(self, device, dtype):
        w = torch.ones(2, dtype=dtype, device=device, requires_grad=True)
        w.to(torch.complex128).real.sum().backward()
        assert w.grad.dtype == dtype

    def test_fix_convert_before_assigning(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        w.grad = torch.full((2,), 3.0, dtype=torch.float64, device=device).to(w.dtype)
        assert w.grad.tolist() == [3, 3]
