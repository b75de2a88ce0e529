"""LBFGS, the optimizer that is unlike the others: its closure, and its single group of parameters."""

import pytest
import torch

from pitfalls import before, observe, pitfall, since


@pitfall(
    "lbfgs-evaluates-its-closure-repeatedly",
    docs=[("torch.optim.LBFGS.step", "reevaluates the model and returns the loss"), "optim"],
    symptom="TypeError: LBFGS.step() missing 1 required positional argument: 'closure'",
    error="LBFGS.step() missing 1 required positional argument: 'closure'",
)
class TestLbfgsEvaluatesItsClosureRepeatedly:
    """One ``LBFGS.step`` runs the closure many times; it can't do without one, nor with one that keeps old gradients.

    Each evaluation must give the loss and the gradient at the current parameters alone. So the closure clears the
    gradients itself, before its ``backward()``, and computes the same function at each call.
    """

    def test_trap_step_needs_a_closure(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w])
        ((w - 3) ** 2).sum().backward()
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'closure'"):
            optimizer.step()

    @pytest.mark.parametrize("line_search", [None, "strong_wolfe"], ids=["no line search", "strong_wolfe"])
    def test_trap_one_step_is_many_evaluations(self, device, line_search):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w], line_search_fn=line_search)
        losses = []

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            losses.append(loss.item())
            return loss.detach()

        optimizer.step(closure)
        observe(evaluations=len(losses))
        assert len(losses) > 1

    def test_trap_gradients_of_earlier_evaluations_are_added(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w], max_iter=3)

        def closure():
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        assert ((w - 3) ** 2).sum().item() > 5

    def test_fix_closure_clears_the_gradients(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w], max_iter=3)

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        torch.testing.assert_close(w.detach(), torch.tensor([3.0, 3.0], device=device))


@pitfall(
    "lbfgs-warns-of-the-loss-it-asked-for",
    docs=[("torch.optim.LBFGS.step", "reevaluates the model and returns the loss"), "torch.Tensor.detach"],
    symptom="UserWarning: Converting a tensor with requires_grad=True to a scalar, from LBFGS.step",
    error="Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior",
    changed={
        "2.8": "LBFGS.step warns when the closure returns the loss that it differentiated",
        "2.9": "the warning is gone again",
    },
    priority=3,
)
class TestLbfgsWarnsOfTheLossItAskedFor:
    """In torch 2.8 ``LBFGS.step`` warns when its closure returns the loss as documented, with its graph.

    It converts the loss to a Python number, of which 2.8 began to warn, and does so properly since 2.9. A closure that
    returns ``loss.detach()`` never met the warning; the optimizer needs the value, the gradients are in ``.grad``.
    """

    @since("2.8")
    @before("2.9")
    def test_trap_loss_with_its_graph_warned(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w])

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            return loss

        with pytest.warns(UserWarning, match="Converting a tensor with requires_grad=True to a scalar"):
            loss = optimizer.step(closure)
        assert loss.requires_grad

    @pytest.mark.parametrize(
        "release",
        [pytest.param("before", marks=before("2.8")), pytest.param("after", marks=since("2.9"))],
        ids=["before 2.8", "since 2.9"],
    )
    def test_fix_other_releases_take_the_loss(self, device, release):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w])

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        torch.testing.assert_close(w.detach(), torch.tensor([3.0, 3.0], device=device))

    @pytest.mark.parametrize("line_search", [None, "strong_wolfe"], ids=["no line search", "strong_wolfe"])
    def test_fix_return_it_detached(self, device, line_search):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = torch.optim.LBFGS([w], line_search_fn=line_search)

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2).sum()
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        torch.testing.assert_close(w.detach(), torch.tensor([3.0, 3.0], device=device))


@pitfall(
    "lbfgs-has-one-parameter-group",
    docs=[("torch.optim.LBFGS", "support per-parameter options and parameter groups"), "optim"],
    symptom="ValueError: LBFGS doesn't support per-parameter options (parameter groups)",
    error="LBFGS doesn't support per-parameter options (parameter groups)",
    changed={"2.10": "the AssertionError says how many groups there are"},
)
class TestLbfgsHasOneParameterGroup:
    """``LBFGS`` refuses a second parameter group when it is built, yet ``add_param_group`` adds one and fails later.

    It works on the parameters that it was built with, as one vector with one history. After an ``add_param_group`` the
    next step raises an ``AssertionError``. Build a new optimizer over all parameters instead.
    """

    def test_trap_second_group_is_refused(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        with pytest.raises(ValueError, match=r"doesn't support per-parameter options \(parameter groups\)"):
            torch.optim.LBFGS([{"params": [w]}, {"params": [b]}])

    def test_trap_added_group_fails_when_stepped(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.LBFGS([w])
        optimizer.add_param_group({"params": [b]})

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2 + (b - 5) ** 2).sum()
            loss.backward()
            return loss.detach()

        with pytest.raises(AssertionError, match=r"^$|Expected exactly one param_group, but got 2") as caught:
            optimizer.step(closure)
        observe(message=str(caught.value))

    def test_fix_build_it_over_all_parameters(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.LBFGS([w, b])

        def closure():
            optimizer.zero_grad()
            loss = ((w - 3) ** 2 + (b - 5) ** 2).sum()
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        torch.testing.assert_close([w.item(), b.item()], [3.0, 5.0])
