"""What a node has saved: which object it is, until when it is there, and who may write to it."""

import pytest
import torch
from torch.autograd.graph import allow_mutation_on_saved_tensors, saved_tensors_hooks

from pitfalls import pitfall


@pitfall(
    "allow-mutation-covers-forward-and-backward",
    docs=[
        ("torch.autograd.graph.allow_mutation_on_saved_tensors", "both the forward and backward should be run"),
        "notes/autograd#in-place-correctness-checks",
    ],
    symptom="AssertionError: Trying to backward outside of the 'allow_mutation_on_saved_tensors' context",
    error="Trying to backward outside of the 'allow_mutation_on_saved_tensors' context",
    priority=3,
)
class TestAllowMutationCoversForwardAndBackward:
    """Under ``allow_mutation_on_saved_tensors`` a write clones what was saved, if forward and backward are both inside.

    What was saved before the context is checked as ever. It can't be nested.
    """

    def test_trap_backward_outside_is_refused(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        with allow_mutation_on_saved_tensors():
            y = x * 2
            z = y * y
            y.mul_(5)
        with pytest.raises(AssertionError, match="Trying to backward outside"):
            z.backward()

    def test_trap_forward_outside_is_checked(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 2
        z = y * y
        with (
            allow_mutation_on_saved_tensors(),
            pytest.raises(RuntimeError, match="modified by an inplace operation"),
        ):
            y.mul_(5)
            z.backward()

    def test_trap_it_cannot_be_nested(self):
        with (
            allow_mutation_on_saved_tensors(),
            pytest.raises(RuntimeError, match="contexts cannot be nested"),
            allow_mutation_on_saved_tensors(),
        ):
            pass

    def test_fix_both_inside(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        with allow_mutation_on_saved_tensors():
            y = x * 2
            z = y * y
            y.mul_(5)
            z.backward()
        assert x.grad.item() == 8


@pitfall(
    "saved-result-is-another-object",
    docs=["notes/autograd#saved-tensors", "notes/autograd#registering-hooks-for-a-saved-tensor"],
    symptom="y.grad_fn._saved_result is y is False",
    priority=3,
)
class TestSavedResultIsAnotherObject:
    """A saved input is the very tensor, a saved result another object on the same memory; ``backward()`` frees both.

    If an operation kept its own result there would be a cycle. With hooks a saved input is another object too. Once
    freed, a saved tensor can't be read and takes no hooks.
    """

    def test_trap_input_and_result_differ(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x.exp()
        assert (x * 3 * x).grad_fn._saved_other is x
        assert y.grad_fn._saved_result is not y
        assert y.grad_fn._saved_result.data_ptr() == y.data_ptr()

    def test_trap_with_hooks_an_input_is_another_object_too(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with saved_tensors_hooks(lambda t: t, lambda t: t):
            y = x * x
        assert y.grad_fn._saved_self is not x
        assert y.grad_fn._saved_self.data_ptr() == x.data_ptr()

    def test_trap_after_backward_it_takes_no_hooks(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x.exp()
        saved = y.grad_fn._raw_saved_result
        y.backward()
        with pytest.raises(RuntimeError, match="register_hooks on a saved tensor after it has been freed"):
            saved.register_hooks(lambda t: t, lambda t: t)

    def test_fix_register_before(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x.exp()
        y.grad_fn._raw_saved_result.register_hooks(lambda t: t.detach(), lambda t: t * 0 + 5)
        y.backward()
        assert x.grad.item() == 5
