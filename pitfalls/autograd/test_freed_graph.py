"""Graphs that are gone: what the first backward frees, who keeps a graph alive, and how to use one twice."""

import weakref

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "second-backward-finds-the-graph-freed",
    docs=[("torch.Tensor.backward", "the graph used to compute the grads"), "torch.autograd.backward"],
    symptom="RuntimeError: Trying to backward through the graph a second time",
    error="Trying to backward through the graph a second time",
    priority=1,
)
class TestSecondBackwardFindsTheGraphFreed:
    """``backward()`` frees the tensors that the graph saved: a second one through the same graph raises.

    Operations that save nothing, such as additions, go on working, so that the error depends on what is in between.
    Compute the loss anew, or pass ``retain_graph=True`` to all calls but the last.
    """

    @pytest.mark.parametrize(
        "op",
        [
            pytest.param(lambda x: x * x, id="product"),
            pytest.param(lambda x: x * 3, id="product with a number"),
            pytest.param(lambda x: x**2, id="power"),
            pytest.param(lambda x: x @ x, id="matmul"),
            pytest.param(torch.exp, id="exp"),
            pytest.param(torch.sin, id="sin"),
            pytest.param(torch.sigmoid, id="sigmoid"),
            pytest.param(lambda x: x.softmax(0), id="softmax"),
            pytest.param(lambda x: 1 / x, id="division"),
        ],
    )
    def test_trap_what_was_saved_is_gone(self, device, op):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        loss = op(x).sum()
        loss.backward()
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            loss.backward()

    @pytest.mark.parametrize(
        "op",
        [
            pytest.param(lambda x: x + 1, id="x + 1"),
            pytest.param(lambda x: 2 - x, id="2 - x"),
            pytest.param(torch.neg, id="neg"),
            pytest.param(torch.clone, id="clone"),
            pytest.param(lambda x: x.view(2, 1), id="view"),
            pytest.param(lambda x: x.flip(0), id="flip"),
        ],
    )
    def test_trap_where_nothing_was_saved_it_adds_again(self, device, op):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        loss = op(x).sum()
        loss.backward()
        first = x.grad.clone()
        loss.backward()
        assert x.grad.tolist() == (2 * first).tolist()

    @pytest.mark.parametrize(
        "differentiate",
        [
            pytest.param(lambda y, _: y.backward(), id="backward"),
            pytest.param(lambda y, x: torch.autograd.grad(y, x), id="autograd.grad"),
        ],
    )
    def test_trap_grad_frees_it_as_well(self, device, differentiate):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x * x
        torch.autograd.grad(y, x)
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            differentiate(y, x)

    def test_fix_retain_the_graph(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x * x
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.item() == 8

    def test_fix_compute_it_anew(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        for _ in range(2):
            (x * x).backward()
        assert x.grad.item() == 8


@pitfall(
    "two-losses-share-a-trunk",
    docs=["torch.Tensor.backward", ("torch.autograd.backward", "retain_graph")],
    symptom="the second loss.backward() fails because both losses use the same features",
    error="Trying to backward through the graph a second time",
    priority=1,
)
class TestTwoLossesShareATrunk:
    """Two losses over one trunk share its graph: the backward of the first frees it for the second.

    Add the losses and call ``backward()`` once; it is also cheaper. Or retain the graph in the first call.
    """

    def test_trap_the_second_loss_raises(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        trunk = x * x
        (trunk * 3).backward()
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            (trunk * 4).backward()

    def test_fix_add_the_losses(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        trunk = x * x
        (trunk * 3 + trunk * 4).backward()
        assert x.grad.item() == 28

    def test_fix_retain_the_graph_in_the_first(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        trunk = x * x
        (trunk * 3).backward(retain_graph=True)
        (trunk * 4).backward()
        assert x.grad.item() == 28


@pitfall(
    "hidden-state-carries-the-graph",
    docs=["notes/faq", "torch.Tensor.detach", "torch.Tensor.backward"],
    symptom="a recurrent net fails in the second batch with: Trying to backward through the graph a second time",
    error="Trying to backward through the graph a second time",
    priority=1,
)
class TestHiddenStateCarriesTheGraph:
    """A hidden state that is carried from step to step carries the graph of all steps before, which is freed.

    ``h = h.detach()`` between the steps cuts it: gradients then flow within a step only (truncated backpropagation
    through time).
    """

    def test_trap_the_second_step_raises(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        h = torch.tensor(1.0, device=device)
        h = h * w
        (h * h).backward()
        h = h * w
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            (h * h).backward()

    def test_fix_detach_between_the_steps(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        h = torch.tensor(1.0, device=device)
        for _ in range(2):
            h = h.detach() * w
            h.backward()
        assert w.grad.item() == 3  # 1 from the first step and 2 from the second


@pitfall(
    "kept-results-keep-the-graph",
    docs=["notes/faq", "torch.Tensor.item", "torch.Tensor.detach"],
    symptom="memory grows with every iteration because I add up the loss",
    priority=1,
)
class TestKeptResultsKeepTheGraph:
    """A tensor with a ``grad_fn`` keeps its whole graph alive, and every tensor that the graph saved.

    ``total += loss`` and a list of outputs grow without end. ``loss.item()`` and ``loss.detach()`` keep the number.
    """

    def test_trap_a_running_total_keeps_what_was_saved(self, device):
        y = torch.ones(3, device=device, requires_grad=True).clone()
        saved = weakref.ref(y)  # the product keeps y for its derivative
        total = 0 + (y * y).sum()
        del y
        assert saved() is not None
        del total
        assert saved() is None

    @pytest.mark.parametrize(
        "keep",
        [
            pytest.param(lambda loss: loss.item(), id="item"),
            pytest.param(lambda loss: loss.detach(), id="detach"),
        ],
    )
    def test_fix_keep_the_number_alone(self, device, keep):
        y = torch.ones(3, device=device, requires_grad=True).clone()
        saved = weakref.ref(y)
        total = 0 + keep((y * y).sum())
        del y
        assert saved() is None
        assert total == 3


@pitfall(
    "grad-fn-holds-the-operands",
    docs=["notes/autograd#saved-tensors", "torch.Tensor.backward"],
    symptom="what are _saved_self and _saved_other, and why does reading them fail after backward",
    error="Trying to backward through the graph a second time (or directly access saved tensors",
)
class TestGradFnHoldsTheOperands:
    """``grad_fn`` of ``x * y`` holds its operands: ``_saved_self`` is the left one, ``_saved_other`` the right.

    It can be called with a vector, like a function, and applies the derivative of this one operation. After
    ``backward()`` the saved tensors are gone, and reading them or calling it raises.
    """

    def test_trap_left_is_self_and_right_is_other(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = torch.tensor(5.0, device=device, requires_grad=True)
        z = x * y
        assert z.grad_fn._saved_self is x
        assert z.grad_fn._saved_other is y

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda node: node._saved_self, id="_saved_self"),
            pytest.param(lambda node: node._saved_other, id="_saved_other"),
            pytest.param(lambda node: node(torch.tensor([0.5, 0.1])), id="call"),
        ],
    )
    def test_trap_after_backward_they_are_gone(self, use):
        x = torch.tensor(2.0, requires_grad=True)
        y = torch.tensor(5.0, requires_grad=True)
        z = x * y
        z.backward()
        with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
            use(z.grad_fn)

    def test_fix_call_it_on_a_live_graph(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = torch.tensor(5.0, device=device, requires_grad=True)
        dx, dy = (x * y).grad_fn(torch.tensor([1.0], device=device))
        assert (dx.tolist(), dy.tolist()) == ([5], [2])
        assert dx.grad_fn is not None

    def test_fix_an_addition_saves_nothing(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        z = x + 1
        z.backward()
        assert z.grad_fn(torch.tensor([1.0], device=device))[0].tolist() == [1]
