"""Forward-mode differentiation: dual numbers, the level that they live on, and what does not switch them off."""

import contextlib
import warnings

import pytest
import torch
import torch.autograd.forward_ad as fwad

from pitfalls import pitfall


@pytest.fixture
def formulas():
    """Compile the formulas of forward mode, as torch does once, with warnings; leave a level that stayed open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.func.jvp(torch.sin, (torch.ones(1),), (torch.ones(1),))
    yield
    with contextlib.suppress(RuntimeError):
        fwad.exit_dual_level()


@pitfall(
    "no-grad-spares-forward-mode",
    docs=[
        ("torch.no_grad", "This API does not apply to"),
        ("torch.inference_mode", "entering inference_mode also disables"),
        "torch.enable_grad",
    ],
    symptom="forward-mode derivatives are computed under no_grad, or are None under inference_mode",
    priority=2,
)
class TestNoGradSparesForwardMode:
    """``no_grad`` does not switch forward-mode differentiation off; ``inference_mode`` does.

    Tangents go on through ``no_grad`` and ``set_grad_enabled(False)``, which are about the graph of the backward pass;
    nor does ``enable_grad`` bring them back. To leave them behind, go on with the primal of ``unpack_dual``, or with
    ``detach()``.
    """

    @pytest.mark.parametrize(
        "mode", [torch.no_grad, lambda: torch.set_grad_enabled(False)], ids=["no_grad", "set_grad_enabled(False)"]
    )
    def test_trap_tangents_go_through(self, device, formulas, mode):
        with fwad.dual_level(), mode():
            x = fwad.make_dual(torch.tensor(2.0, device=device), torch.tensor(1.0, device=device))
            tangent = fwad.unpack_dual(x**3).tangent
        assert tangent.item() == 12

    @pytest.mark.parametrize(
        "inner", [contextlib.nullcontext, torch.enable_grad], ids=["alone", "with enable_grad inside"]
    )
    def test_trap_inference_mode_drops_them(self, device, formulas, inner):
        with fwad.dual_level():
            x = fwad.make_dual(torch.tensor(2.0, device=device), torch.tensor(1.0, device=device))
            with torch.inference_mode(), inner():
                tangent = fwad.unpack_dual(x**3).tangent
        assert tangent is None

    @pytest.mark.parametrize(
        "leave",
        [lambda x: fwad.unpack_dual(x).primal, lambda x: x.detach()],
        ids=["the primal", "detach"],
    )
    def test_fix_leave_the_tangent_behind(self, device, formulas, leave):
        with fwad.dual_level():
            x = fwad.make_dual(torch.tensor(2.0, device=device), torch.tensor(1.0, device=device))
            y = leave(x) ** 3
            tangent = fwad.unpack_dual(y).tangent
        assert y.item() == 8
        assert tangent is None


@pitfall(
    "dual-levels-do-not-nest",
    docs=[("torch.autograd.forward_ad.dual_level", "only a single forward AD level is supported"), "torch.func.jvp"],
    symptom="RuntimeError: Nested forward mode AD is not supported at the moment",
    error="Nested forward mode AD is not supported at the moment",
    priority=3,
)
class TestDualLevelsDoNotNest:
    """Only one ``dual_level`` can be open: a forward derivative of a forward derivative needs ``torch.func.jvp``.

    A backward pass through a tangent does work, since ``make_dual`` is differentiable.
    """

    def test_trap_a_second_level_is_refused(self, formulas):
        with (
            fwad.dual_level(),
            pytest.raises(RuntimeError, match="Nested forward mode AD is not supported"),
            fwad.dual_level(),
        ):
            pass

    def test_fix_func_jvp_nests(self, device, formulas):
        x, one = torch.tensor(2.0, device=device), torch.tensor(1.0, device=device)

        def slope(x):
            return torch.func.jvp(lambda x: x**3, (x,), (one,))[1]

        assert torch.func.jvp(slope, (x,), (one,))[1].item() == 12

    def test_fix_backward_through_the_tangent(self, device, formulas):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with fwad.dual_level():
            dual = fwad.make_dual(x, torch.tensor(1.0, device=device))
            fwad.unpack_dual(dual**3).tangent.backward()
        assert x.grad.item() == 12


@pitfall(
    "tangents-end-with-their-level",
    docs=[
        "torch.autograd.forward_ad.dual_level",
        "torch.autograd.forward_ad.unpack_dual",
        "torch.autograd.forward_ad.make_dual",
    ],
    symptom="the tangent is None after the with block",
    error="Trying to create a dual Tensor for forward AD but no level exists",
    priority=3,
)
class TestTangentsEndWithTheirLevel:
    """A tangent lives inside its ``dual_level`` block: unpacked afterwards it is None, without an error.

    A dual number outside of any level can't be made at all. Unpack inside, and keep the tangent itself.
    """

    def test_trap_afterwards_it_is_none(self, device, formulas):
        with fwad.dual_level():
            x = fwad.make_dual(torch.tensor(2.0, device=device), torch.tensor(1.0, device=device))
            y = x**3
        assert fwad.unpack_dual(y).tangent is None

    def test_trap_the_next_level_does_not_bring_it_back(self, device, formulas):
        with fwad.dual_level():
            x = fwad.make_dual(torch.tensor(2.0, device=device), torch.tensor(1.0, device=device))
            y = x**3
        with fwad.dual_level():
            tangent = fwad.unpack_dual(y).tangent
        assert tangent is None

    def test_trap_none_can_be_made_outside(self, device, formulas):
        x = torch.tensor(2.0, device=device)
        with pytest.raises(RuntimeError, match="no level exists"):
            fwad.make_dual(x, torch.ones_like(x))

    def test_fix_unpack_inside(self, device, formulas):
        with fwad.dual_level():
            x = fwad.make_dual(torch.tensor(2.0, device=device), torch.tensor(1.0, device=device))
            tangent = fwad.unpack_dual(x**3).tangent
        assert tangent.item() == 12


@pitfall(
    "dual-number-shares-its-primal",
    docs=[
        ("torch.autograd.forward_ad.make_dual", "The result is a new tensor aliased to"),
        "torch.autograd.forward_ad.unpack_dual",
    ],
    symptom="an in-place operation on a dual tensor changed my parameter",
    priority=3,
)
class TestDualNumberSharesItsPrimal:
    """A dual tensor is an alias of its primal: writing to it in place writes to the tensor that it was made of.

    The tangent must have the shape of the primal, exactly, and integers have none.
    """

    def test_trap_a_write_reaches_the_primal(self, device, formulas):
        x = torch.tensor(2.0, device=device)
        with fwad.dual_level():
            fwad.make_dual(x, torch.tensor(1.0, device=device)).mul_(5)
        assert x.item() == 10

    def test_trap_a_tangent_is_not_broadcast(self, device, formulas):
        x = torch.ones(2, device=device)
        with fwad.dual_level(), pytest.raises(RuntimeError, match="has a different size than that of the original"):
            fwad.make_dual(x, torch.tensor(1.0, device=device))

    def test_fix_a_copy_has_memory_of_its_own(self, device, formulas):
        x = torch.tensor(2.0, device=device)
        with fwad.dual_level():
            fwad.make_dual(x.clone(), torch.tensor(1.0, device=device)).mul_(5)
        assert x.item() == 2
