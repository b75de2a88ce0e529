"""Grad mode as a decorator: what it switches, when, and whether it needs its parentheses."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "set-grad-enabled-acts-at-once",
    docs=[("torch.set_grad_enabled", "or as a function"), "notes/autograd"],
    symptom="nothing requires grad any more after a function was decorated with torch.set_grad_enabled(False)",
    changed={"2.2": "as a decorator set_grad_enabled no longer switches grad mode for the whole thread as well"},
)
class TestSetGradEnabledActsAtOnce:
    """``torch.set_grad_enabled(False)`` switches grad mode the moment it is called, not only inside a ``with`` block.

    As a plain call it stays until something switches back, and before torch 2.2 merely decorating a function left grad
    mode off for everything after it. Use it with ``with``, or decorate with ``torch.no_grad()``.
    """

    def test_trap_a_plain_call_stays(self, device):
        with torch.enable_grad():
            torch.set_grad_enabled(False)
            y = torch.ones(1, device=device, requires_grad=True) * 2
        assert not y.requires_grad

    @before("2.2")
    def test_trap_decorating_switched_grad_off(self, device):
        with torch.enable_grad():

            @torch.set_grad_enabled(False)
            def double(x):
                return x * 2

            y = torch.ones(1, device=device, requires_grad=True) * 2
        assert not y.requires_grad

    @since("2.2")
    def test_trap_decorating_switches_inside_only(self, device):
        x = torch.ones(1, device=device, requires_grad=True)

        @torch.set_grad_enabled(False)
        def double(x):
            return x * 2

        assert (x * 2).requires_grad
        assert not double(x).requires_grad

    @pytest.mark.parametrize("mode", [True, False], ids=["on", "off"])
    def test_fix_with_puts_the_mode_back(self, device, mode):
        x = torch.ones(1, device=device, requires_grad=True)
        with torch.set_grad_enabled(mode):
            inside = x * 2
        outside = x * 2
        assert inside.requires_grad == mode
        assert outside.requires_grad

    def test_fix_decorate_with_no_grad(self, device):
        x = torch.ones(1, device=device, requires_grad=True)

        @torch.no_grad()
        def double(x):
            return x * 2

        assert not double(x).requires_grad
        assert (x * 2).requires_grad


@pitfall(
    "no-grad-decorator-without-parentheses",
    docs=[("torch.no_grad", "Also functions as a decorator"), "torch.inference_mode", "torch.enable_grad"],
    symptom="TypeError: no_grad.__init__() takes 1 positional argument but 2 were given",
    error="takes 1 positional argument but 2 were given",
    changed={"2.1": "no_grad, enable_grad and inference_mode work as decorators without parentheses"},
)
class TestNoGradDecoratorWithoutParentheses:
    """``@torch.no_grad`` and its kin work without parentheses since torch 2.1 only; with them they always do.

    Before, ``no_grad`` and ``enable_grad`` took the function for an argument and raised, and ``inference_mode`` took it
    for its mode: the function, called, gave back a wrapper and computed nothing. Write the parentheses.
    """

    @before("2.1")
    @pytest.mark.parametrize("decorator", [torch.no_grad, torch.enable_grad], ids=["no_grad", "enable_grad"])
    def test_trap_bare_decorator_raised(self, decorator):
        with pytest.raises(TypeError, match=r"(takes 1 positional argument but 2 were given|takes no arguments)"):

            @decorator
            def double(x):
                return x * 2

    @before("2.1")
    def test_trap_bare_inference_mode_computed_nothing(self, device):
        @torch.inference_mode
        def double(x):
            return x * 2

        assert callable(double(torch.ones(1, device=device)))

    @since("2.1")
    @pytest.mark.parametrize(
        ("decorator", "mode"),
        [
            pytest.param(torch.no_grad, False, id="no_grad"),
            pytest.param(torch.inference_mode, False, id="inference_mode"),
            pytest.param(torch.enable_grad, True, id="enable_grad"),
        ],
    )
    def test_trap_bare_decorator_works(self, device, decorator, mode):
        x = torch.ones(1, device=device, requires_grad=True)

        @decorator
        def double(x):
            return x * 2

        with torch.set_grad_enabled(not mode):
            assert double(x).requires_grad == mode

    @pytest.mark.parametrize(
        ("decorator", "mode"),
        [
            pytest.param(torch.no_grad, False, id="no_grad"),
            pytest.param(torch.inference_mode, False, id="inference_mode"),
            pytest.param(torch.enable_grad, True, id="enable_grad"),
        ],
    )
    def test_fix_write_the_parentheses(self, device, decorator, mode):
        x = torch.ones(1, device=device, requires_grad=True)

        @decorator()
        def double(x):
            return x * 2

        with torch.set_grad_enabled(not mode):
            assert double(x).requires_grad == mode
