"""Asking for the gradients of some tensors: `torch.autograd.grad`, and `backward(inputs=...)`."""

import pytest
import torch

from pitfalls import before, observe, pitfall, since


@pitfall(
    "unused-input-is-an-error",
    docs=["torch.autograd.grad", ("torch.autograd.grad", "specifying inputs that were not used")],
    symptom="One of the differentiated Tensors appears to not have been used in the graph",
    error="appears to not have been used in the graph",
    changed={"2.10": "the zeros of materialize_grads=True no longer require grad"},
    priority=2,
)
class TestUnusedInputIsAnError:
    """``autograd.grad`` raises for an input that the output does not depend on; ``backward()`` just leaves it alone.

    With ``allow_unused=True`` its gradient is None, with ``materialize_grads=True``, since torch 2.1, zeros. Where the
    input should have been used, the error is right: somewhere the graph was cut.
    """

    def test_trap_an_unused_input_raises(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        unused = torch.tensor(1.0, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
            torch.autograd.grad(x * 3, [x, unused])

    @pytest.mark.parametrize(
        "later",
        [
            pytest.param(lambda x: x[0], id="x[0]"),
            pytest.param(lambda x: x.view(2), id="view"),
            pytest.param(lambda x: x.clone(), id="clone"),
            pytest.param(lambda x: x.detach().requires_grad_(), id="detach"),
        ],
    )
    def test_trap_a_part_that_is_taken_later_was_not_used(self, device, later):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = (x * x).sum()
        with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
            torch.autograd.grad(y, later(x))

    def test_fix_allow_unused_gives_none(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        unused = torch.tensor(1.0, device=device, requires_grad=True)
        grads = torch.autograd.grad(x * 3, [x, unused], allow_unused=True)
        assert grads[0].item() == 3
        assert grads[1] is None

    @since("2.1")
    def test_fix_materialize_grads_gives_zeros(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        unused = torch.ones(2, device=device, requires_grad=True)
        grads = torch.autograd.grad(x * 3, [x, unused], materialize_grads=True)
        assert grads[1].tolist() == [0, 0]
        observe(zeros_require_grad=grads[1].requires_grad)

    def test_fix_index_the_gradient_of_the_whole(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (grad,) = torch.autograd.grad((x * x).sum(), x)
        assert grad[0].item() == 2


@pitfall(
    "autograd-grad-sums-over-the-outputs",
    docs=[("torch.autograd.grad", "sum of gradients of outputs with respect to"), "torch.autograd.functional.jacobian"],
    symptom="I asked for the gradients of several losses and got one",
    priority=2,
)
class TestAutogradGradSumsOverTheOutputs:
    """``autograd.grad`` of several outputs returns their sum: one gradient for each input, none for each output.

    The derivative of every output is a Jacobian. Its rows come from one call for each output, from
    ``is_grads_batched=True``, or from ``torch.func.jacrev``.
    """

    def test_trap_two_outputs_one_gradient(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        grads = torch.autograd.grad([x * 3, x * 4], x)
        assert [grad.item() for grad in grads] == [7]

    def test_trap_ones_give_the_sum_of_the_rows(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(x * x.sum(), x, torch.ones(2, device=device))
        assert grad.tolist() == [6, 6]

    def test_fix_one_call_for_each_output(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        y = x * x.sum()
        rows = [torch.autograd.grad(y[i], x, retain_graph=True)[0].tolist() for i in range(2)]
        assert rows == [[4, 1], [2, 5]]

    def test_fix_grads_batched(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        (rows,) = torch.autograd.grad(x * x.sum(), x, torch.eye(2, device=device), is_grads_batched=True)
        assert rows.tolist() == [[4, 1], [2, 5]]


@pitfall(
    "only-inputs-is-ignored",
    docs=[("torch.autograd.grad", "argument is deprecated and is ignored now"), "torch.autograd.backward"],
    symptom="autograd.grad(..., only_inputs=False) leaves .grad of my parameters None",
    error="only_inputs argument is deprecated and is ignored now",
    changed={"2.4": "the warning about only_inputs became a FutureWarning; it had been a UserWarning"},
    priority=3,
)
class TestOnlyInputsIsIgnored:
    """``only_inputs=False`` of ``autograd.grad`` warns and has no effect: no other leaf gets a gradient.

    Code of old times used it to fill the ``.grad`` of parameters on the way. ``backward()`` does that.
    """

    @pytest.mark.parametrize(
        "category",
        [
            pytest.param(UserWarning, marks=before("2.4"), id="UserWarning"),
            pytest.param(FutureWarning, marks=since("2.4"), id="FutureWarning"),
        ],
    )
    def test_trap_it_warns_and_fills_nothing(self, device, category):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        w = torch.tensor(3.0, device=device, requires_grad=True)
        with pytest.warns(category, match="only_inputs argument is deprecated and is ignored now"):
            torch.autograd.grad(x * w, x, only_inputs=False)
        assert w.grad is None

    def test_fix_backward_fills_all(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        w = torch.tensor(3.0, device=device, requires_grad=True)
        (x * w).backward()
        assert x.grad.item() == 3
        assert w.grad.item() == 2


@pitfall(
    "backward-inputs-limit-accumulation",
    docs=[("torch.autograd.backward", "All other Tensors will be ignored"), "torch.Tensor.backward"],
    symptom="after backward(inputs=[...]) the other parameters have no gradient",
    priority=2,
)
class TestBackwardInputsLimitAccumulation:
    """``backward(inputs=[...])`` fills ``.grad`` of exactly these tensors, also where they are no leaves.

    A generator's loss can thus pass through a discriminator without leaving gradients there. Such a result needs no
    ``retain_grad()``. An empty list is refused; it does not mean all.
    """

    def test_trap_other_leaves_get_nothing(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        w = torch.tensor(3.0, device=device, requires_grad=True)
        (x * w).backward(inputs=[x])
        assert x.grad.item() == 3
        assert w.grad is None

    def test_trap_a_result_gets_one(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x * 3
        (y * 4).backward(inputs=[y])
        assert y.grad.item() == 4
        assert x.grad is None

    def test_trap_an_empty_list_is_refused(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="cannot be empty"):
            (x * 3).backward(inputs=[])

    def test_fix_name_all_that_learn(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        w = torch.tensor(3.0, device=device, requires_grad=True)
        (x * w).backward(inputs=[x, w])
        assert (x.grad.item(), w.grad.item()) == (3, 2)


@pitfall(
    "gradient-of-a-linear-function-has-no-graph",
    docs=["torch.autograd.grad", "torch.autograd.functional.hessian"],
    symptom="a second derivative that should be zero raises: element 0 of tensors does not require grad",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
    priority=2,
)
class TestGradientOfALinearFunctionHasNoGraph:
    """The gradient of a linear function does not depend on its input: ``create_graph=True`` gives a constant.

    Differentiated again it raises instead of giving zero, so code for second derivatives fails for a model, or a
    parameter, without curvature. ``autograd.functional.hessian`` returns zeros.
    """

    def test_trap_create_graph_gives_a_constant(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(x * 3, x, create_graph=True)
        assert not grad.requires_grad

    def test_trap_differentiating_it_raises(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(x * 3, x, create_graph=True)
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            torch.autograd.grad(grad, x)

    def test_fix_hessian_gives_zeros(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        hessian = torch.autograd.functional.hessian(lambda x: (x * 3).sum(), x)
        assert hessian.tolist() == [[0, 0], [0, 0]]

    def test_fix_add_a_term_of_zero(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (grad,) = torch.autograd.grad(x * 3, x, create_graph=True)
        (second,) = torch.autograd.grad(grad + 0 * x, x)
        assert second.item() == 0
