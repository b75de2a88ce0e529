"""Clipping gradients, and the other tools of ``torch.nn.utils`` that take all parameters at once."""

import pytest
import torch
from torch import nn

from pitfalls import before, observe, pitfall, since


@pitfall(
    "clip-grad-norm-is-in-place",
    docs=[
        ("torch.nn.utils.clip_grad_norm_", "Gradients are modified in-place"),
        ("torch.nn.utils.clip_grad_norm_", "Total norm of the parameter gradients"),
    ],
    symptom="the gradient norm that I log is far above max_norm although I clip",
    priority=1,
)
class TestClipGradNormIsInPlace:
    """``clip_grad_norm_`` scales the gradients in place and returns their norm before clipping.

    The returned norm is for logging, so it may exceed ``max_norm`` at every step. The norm is that of all gradients
    together, as one vector: each of them is scaled by the same factor. Call it between ``backward()`` and ``step()``.
    """

    def test_trap_it_returns_the_norm_before(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 3 + b * 4).backward()
        assert nn.utils.clip_grad_norm_([a, b], max_norm=1.0).item() == 5

    def test_trap_gradients_are_scaled_in_place(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 3 + b * 4).backward()
        kept = a.grad
        nn.utils.clip_grad_norm_([a, b], max_norm=1.0)
        torch.testing.assert_close(kept, torch.tensor([0.6], device=device))

    def test_trap_one_large_gradient_shrinks_all(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 0.5 + b * 1000).backward()
        nn.utils.clip_grad_norm_([a, b], max_norm=1.0)
        torch.testing.assert_close(a.grad, torch.tensor([0.0005], device=device))

    def test_fix_norm_afterwards(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 3 + b * 4).backward()
        nn.utils.clip_grad_norm_([a, b], max_norm=1.0)
        total = torch.stack([a.grad, b.grad]).norm()
        torch.testing.assert_close(total, torch.tensor(1.0, device=device))


@pitfall(
    "clip-grad-norm-only-scales-down",
    docs=["torch.nn.utils.clip_grad_norm_", "torch.nn.utils.clip_grad_value_"],
    symptom="clipping does nothing for small gradients; clip_grad_value_ changes the direction of the gradient",
    changed={"2.6": "torch.nn.utils.get_total_norm and clip_grads_with_norm_ came"},
)
class TestClipGradNormOnlyScalesDown:
    """``max_norm`` is a limit, not a target: gradients whose norm is below it stay as they are.

    To normalise them, divide by the norm yourself. ``clip_grad_value_`` is another thing: it limits each element by
    itself, which changes the direction, and returns nothing.
    """

    def test_trap_small_gradients_stay(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 0.375 + b * 0.5).backward()
        nn.utils.clip_grad_norm_([a, b], max_norm=1.0)
        assert (a.grad.item(), b.grad.item()) == (0.375, 0.5)

    @since("2.6")
    def test_trap_so_do_they_with_a_given_norm(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 0.375 + b * 0.5).backward()
        total = nn.utils.get_total_norm([a.grad, b.grad])
        nn.utils.clip_grads_with_norm_([a, b], max_norm=1.0, total_norm=total)
        assert (a.grad.item(), b.grad.item()) == (0.375, 0.5)

    def test_trap_clipping_values_changes_the_direction(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 0.5 + b * -1000).backward()
        nn.utils.clip_grad_value_([a, b], clip_value=1.0)
        assert (a.grad.item(), b.grad.item()) == (0.5, -1)

    def test_fix_divide_by_the_norm(self, device):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 0.375 + b * 0.5).backward()
        total = torch.stack([a.grad, b.grad]).norm()
        for p in (a, b):
            p.grad /= total
        assert (round(a.grad.item(), 4), round(b.grad.item(), 4)) == (0.6, 0.8)


@since("2.6")
@pitfall(
    "total-norm-takes-gradients",
    docs=[
        ("torch.nn.utils.get_total_norm", "an iterable of Tensors"),
        "torch.nn.utils.clip_grads_with_norm_",
    ],
    symptom="get_total_norm(model.parameters()) doesn't change with the gradients",
    priority=3,
)
class TestTotalNormTakesGradients:
    """``get_total_norm`` is the norm of the tensors that it gets: of the parameters, if it gets those.

    ``clip_grad_norm_`` and ``clip_grads_with_norm_`` take parameters and read their ``.grad``; this one takes any
    tensors. Pass ``[p.grad for p in model.parameters()]``.
    """

    def test_trap_of_parameters_it_is_the_norm_of_weights(self, device):
        w = torch.tensor([3.0, 4.0], device=device, requires_grad=True)
        (w * 100).sum().backward()
        assert nn.utils.get_total_norm([w]).item() == 5

    def test_fix_pass_the_gradients(self, device):
        w = torch.tensor([0.0, 0.0], device=device, requires_grad=True)
        (w * torch.tensor([3.0, 4.0], device=device)).sum().backward()
        assert nn.utils.get_total_norm([w.grad]).item() == 5


@pitfall(
    "clip-grad-norm-of-nothing",
    docs=["torch.nn.utils.clip_grad_norm_", "torch.nn.Module.parameters"],
    symptom="the logged gradient norm is always 0 and clipping does nothing",
    error="`parameters` is an empty generator, no gradient clipping will occur",
    changed={"2.8": "clip_grad_norm_ warns of a generator that yields nothing"},
)
class TestClipGradNormOfNothing:
    """Without gradients, or without parameters, ``clip_grad_norm_`` clips nothing and returns 0.

    So it does before ``backward()``, after ``zero_grad()``, and for an iterator of parameters that was used up
    already, of which it warns since torch 2.8. Call ``model.parameters()`` anew each time.
    """

    def test_trap_without_gradients_it_is_zero(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        assert nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0).item() == 0

    @before("2.8")
    def test_trap_a_used_up_iterator_clipped_nothing(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        parameters = net.parameters()
        torch.optim.SGD(parameters, lr=0.1)
        net(torch.ones(1, device=device)).backward()
        assert nn.utils.clip_grad_norm_(parameters, max_norm=0.5).item() == 0

    @since("2.8")
    def test_trap_a_used_up_iterator_warns(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        parameters = net.parameters()
        torch.optim.SGD(parameters, lr=0.1)
        net(torch.ones(1, device=device)).backward()
        with pytest.warns(UserWarning, match="`parameters` is an empty generator, no gradient clipping will occur"):
            total = nn.utils.clip_grad_norm_(parameters, max_norm=0.5)
        assert total.item() == 0

    def test_fix_ask_for_the_parameters_again(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        torch.optim.SGD(net.parameters(), lr=0.1)
        (net(torch.ones(1, device=device)) * 3).backward()
        assert nn.utils.clip_grad_norm_(net.parameters(), max_norm=0.5).item() == 3


@pitfall(
    "clip-grad-norm-spreads-nan",
    docs=[("torch.nn.utils.clip_grad_norm_", "error is thrown if the total")],
    symptom="all weights are nan after one step, although only one gradient was nan or inf",
    error="for gradients from `parameters` is non-finite, so it cannot be clipped",
)
class TestClipGradNormSpreadsNan:
    """One nan among the gradients makes every clipped gradient nan, and one inf makes itself nan and the others zero.

    All of them are scaled by the one norm, which is nan or inf. By default that passes without a word; with
    ``error_if_nonfinite=True`` it raises, and you may skip the step.
    """

    @pytest.mark.parametrize(
        ("value", "others"),
        [pytest.param(float("nan"), "nan", id="nan"), pytest.param(float("inf"), "0.0", id="inf")],
    )
    def test_trap_the_other_gradients_are_lost(self, device, value, others):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 3 + b * value).backward()
        nn.utils.clip_grad_norm_([a, b], max_norm=1.0)
        assert (str(a.grad.item()), str(b.grad.item())) == (others, "nan")

    @pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=["nan", "inf"])
    def test_fix_have_it_raise(self, device, value):
        a, b = (torch.zeros(1, device=device, requires_grad=True) for _ in range(2))
        (a * 3 + b * value).backward()
        with pytest.raises(RuntimeError, match="is non-finite, so it cannot be clipped"):
            nn.utils.clip_grad_norm_([a, b], max_norm=1.0, error_if_nonfinite=True)


@pitfall(
    "clip-grad-norm-without-underscore",
    docs=["torch.nn.utils.clip_grad_norm"],
    symptom="FutureWarning: torch.nn.utils.clip_grad_norm is now deprecated",
    error="is now deprecated in favor of",
    priority=3,
    changed={"2.4": "clip_grad_norm gives a FutureWarning; it had been a UserWarning"},
)
class TestClipGradNormWithoutUnderscore:
    """``clip_grad_norm`` without the underscore is deprecated: it warns, and clips in place like the one with it.

    There is no variant that leaves the gradients as they are. Write ``clip_grad_norm_``.
    """

    @pytest.mark.parametrize(
        "category",
        [
            pytest.param(UserWarning, id="UserWarning", marks=before("2.4")),
            pytest.param(FutureWarning, id="FutureWarning", marks=since("2.4")),
        ],
    )
    def test_trap_it_warns_and_clips_in_place(self, device, category):
        w = torch.zeros(1, device=device, requires_grad=True)
        (w * 4).backward()
        with pytest.warns(category, match="clip_grad_norm.? is now deprecated in favor of"):
            nn.utils.clip_grad_norm([w], max_norm=2.0)
        torch.testing.assert_close(w.grad, torch.tensor([2.0], device=device))

    def test_fix_with_the_underscore(self, device):
        w = torch.zeros(1, device=device, requires_grad=True)
        (w * 4).backward()
        nn.utils.clip_grad_norm_([w], max_norm=2.0)
        torch.testing.assert_close(w.grad, torch.tensor([2.0], device=device))
        observe(of_two=w.grad.item())


@pitfall(
    "vector-to-parameters-shares-memory",
    docs=[
        ("torch.nn.utils.vector_to_parameters", "a vector into an iterable of parameters"),
        "torch.nn.utils.parameters_to_vector",
    ],
    symptom="training changes the vector that I loaded the parameters from",
)
class TestVectorToParametersSharesMemory:
    """``vector_to_parameters`` makes the parameters views of the vector, although its docstring says that it copies.

    A step of the optimizer then writes to the vector, and a write to the vector changes the model. The dtype becomes
    that of the vector, and a vector that is too long is accepted. Pass ``vector.clone()``; ``parameters_to_vector``
    does copy.
    """

    def test_trap_the_vector_is_the_model(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        vector = torch.tensor([2.0, 1.0], device=device)
        nn.utils.vector_to_parameters(vector, net.parameters())
        vector.zero_()
        assert (net.weight.item(), net.bias.item()) == (0, 0)

    def test_trap_training_writes_to_the_vector(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        vector = torch.tensor([2.0, 1.0], device=device)
        nn.utils.vector_to_parameters(vector, net.parameters())
        net(torch.ones(1, device=device)).backward()
        torch.optim.SGD(net.parameters(), lr=0.5).step()
        assert vector.tolist() == [1.5, 0.5]

    def test_trap_dtype_becomes_that_of_the_vector(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        nn.utils.vector_to_parameters(torch.ones(2, dtype=torch.float64, device=device), net.parameters())
        assert net.weight.dtype == torch.float64

    def test_trap_a_longer_vector_is_accepted(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        nn.utils.vector_to_parameters(torch.tensor([1.0, 2.0, 3.0, 4.0], device=device), net.parameters())
        assert net.bias.tolist() == [2]

    def test_fix_clone_the_vector(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        vector = torch.tensor([2.0, 1.0], device=device)
        nn.utils.vector_to_parameters(vector.clone(), net.parameters())
        vector.zero_()
        assert (net.weight.item(), net.bias.item()) == (2, 1)

    def test_fix_parameters_to_vector_copies(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        nn.init.ones_(net.weight)
        vector = nn.utils.parameters_to_vector(net.parameters())
        nn.init.zeros_(net.weight)
        assert vector[0].item() == 1
