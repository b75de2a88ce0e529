"""What ``.grad`` is made of: its strides and layout, when it is the same object, and when it has a graph of its own."""

import weakref

import pytest
import torch
import torch.nn.functional as F

from pitfalls import pitfall


@pitfall(
    "grad-has-the-strides-of-its-leaf",
    docs=[
        "autograd#default-gradient-layouts",
        ("torch.Tensor.backward", "on the memory layout of accumulated gradients"),
    ],
    symptom="w.grad.view(-1) fails although the gradient was computed contiguously",
    priority=3,
)
class TestGradHasTheStridesOfItsLeaf:
    """``.grad`` is laid out in memory as its leaf is, not as the operation that computed it left it.

    Optimizers walk over both at once, which is fast if their strides agree. Only a leaf that is expanded or has holes
    gets a contiguous gradient, and one that was assigned keeps its strides, with a warning. Make the leaf contiguous.
    """

    def test_trap_a_transposed_leaf_has_a_transposed_gradient(self, device):
        w = torch.zeros(2, 3, device=device).t().requires_grad_()
        w.contiguous().sum().backward()
        assert w.grad.stride() == (1, 3)

    def test_trap_an_expanded_leaf_has_a_contiguous_one(self, device):
        w = torch.zeros(3, 1, device=device).expand(3, 2).requires_grad_()
        w.sum().backward()
        assert w.grad.stride() == (2, 1)

    def test_trap_a_gradient_that_is_there_keeps_its_own(self, device):
        w = torch.zeros(2, 3, device=device).t().requires_grad_()
        w.grad = torch.zeros(3, 2, device=device)
        with pytest.warns(UserWarning, match="grad and param do not obey the gradient layout contract"):
            w.sum().backward()
        assert w.grad.stride() == (2, 1)

    def test_fix_a_contiguous_leaf_has_a_contiguous_gradient(self, device):
        w = torch.zeros(2, 3, device=device).t().contiguous().requires_grad_()
        w.t().sum().backward()
        assert w.grad.stride() == (2, 1)


@pitfall(
    "sparse-and-dense-gradients-mix-to-dense",
    docs=[("torch.nn.Embedding", "will be a sparse tensor"), "torch.nn.functional.embedding"],
    symptom="SparseAdam fails because the gradient of an embedding is dense after all",
    priority=3,
)
class TestSparseAndDenseGradientsMixToDense:
    """An embedding with ``sparse=True`` has a sparse gradient, until any dense use of its weight makes it dense.

    Weight decay by hand, a norm in the loss, or tied output weights are such uses. Optimizers for sparse gradients then
    refuse it, and the others pay for all rows. Keep such weights out of dense terms.
    """

    @pytest.mark.parametrize("order", [["sparse", "dense"], ["dense", "sparse"]], ids=" then ".join)
    def test_trap_one_dense_use_is_enough(self, device, order):
        w = torch.zeros(4, 2, device=device, requires_grad=True)
        index = torch.tensor([1], device=device)
        for kind in order:
            (w * 1 if kind == "dense" else F.embedding(index, w, sparse=True)).sum().backward()
        assert w.grad.layout == torch.strided
        assert w.grad.tolist() == [[1, 1], [2, 2], [1, 1], [1, 1]]

    def test_fix_sparse_uses_stay_sparse(self, device):
        w = torch.zeros(4, 2, device=device, requires_grad=True)
        for row in (1, 3):
            F.embedding(torch.tensor([row], device=device), w, sparse=True).sum().backward()
        assert w.grad.layout == torch.sparse_coo
        assert w.grad.to_dense().tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]


@pitfall(
    "gradient-has-no-graph-by-default",
    docs=[("torch.autograd.grad", "graph of the derivative will be constructed"), "torch.Tensor.backward"],
    symptom="element 0 of tensors does not require grad and does not have a grad_fn, for a gradient penalty",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
    priority=2,
)
class TestGradientHasNoGraphByDefault:
    """A gradient is a constant unless ``create_graph=True``: a penalty on it has no effect, or raises.

    Added to another loss, the penalty's part of the gradient is missing without a word. ``create_graph=True`` records
    how the gradient itself was computed, and keeps the first graph too.
    """

    def test_trap_it_cannot_be_differentiated(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (g,) = torch.autograd.grad(x**3, x)
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            g.backward()

    def test_trap_a_penalty_does_nothing(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (g,) = torch.autograd.grad(x**3, x)
        (5 * x + g**2).backward()
        assert x.grad.item() == 5

    def test_fix_create_graph(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (g,) = torch.autograd.grad(x**3, x, create_graph=True)
        (5 * x + g**2).backward()
        assert x.grad.item() == 5 + 2 * 12 * 12


@pitfall(
    "backward-with-create-graph-leaks",
    docs=["torch.autograd.backward", "torch.autograd.grad"],
    symptom="UserWarning: Using backward() with create_graph=True will create a reference cycle",
    error="Using backward() with create_graph=True will create a reference cycle",
    priority=2,
)
class TestBackwardWithCreateGraphLeaks:
    """``backward(create_graph=True)`` puts gradients with a graph into ``.grad``, which keeps it alive, and warns.

    The leaf holds the gradient, whose graph holds the leaf: memory grows from step to step. Accumulation makes a new
    tensor each time, too. ``torch.autograd.grad(create_graph=True)`` gives the gradients to you, and they go with you.
    """

    def test_trap_the_gradient_has_a_graph_and_it_warns(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="create_graph=True will create a reference cycle"):
            (w**3).backward(create_graph=True)
        assert w.grad.requires_grad
        w.grad = None

    def test_trap_what_was_in_grad_is_replaced(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        w.grad = kept = torch.tensor(1.0, device=device)
        with pytest.warns(UserWarning, match="create_graph=True will create a reference cycle"):
            (w**3).backward(create_graph=True)
        assert (kept.item(), w.grad.item()) == (1, 13)
        w.grad = None

    def test_fix_grad_leaves_the_leaf_alone(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        (g,) = torch.autograd.grad(w**3, w, create_graph=True)
        assert g.requires_grad
        assert w.grad is None


@pitfall(
    "backward-releases-what-it-saved",
    docs=["notes/autograd#saved-tensors", ("torch.Tensor.backward", "the graph used to compute the grads")],
    symptom="memory is not freed although the loss was differentiated; or it is freed only after backward",
    priority=3,
)
class TestBackwardReleasesWhatItSaved:
    """``backward()`` releases the tensors that operations saved as it passes them, even if results live on.

    Until then they stay, for as long as anything of the graph is referred to. With ``retain_graph=True`` they outlast
    the pass. Differentiate, or let go of the results, before the next large computation.
    """

    @pytest.mark.parametrize(
        ("finish", "released"),
        [
            pytest.param(lambda _: None, False, id="before backward"),
            pytest.param(lambda loss: loss.backward(retain_graph=True), False, id="with retain_graph"),
            pytest.param(lambda loss: loss.backward(), True, id="after backward"),
        ],
    )
    def test_trap_it_depends_on_the_pass(self, device, finish, released):
        class Box:
            def __init__(self, tensor):
                self.tensor = tensor

        boxes = weakref.WeakSet()

        def pack(tensor):
            box = Box(tensor)
            boxes.add(box)
            return box

        x = torch.ones(2, device=device, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda box: box.tensor):
            loss = x.exp().sum()
        finish(loss)
        assert (len(boxes) == 0) == released
        assert loss.grad_fn is not None

    def test_fix_letting_go_of_the_result_releases_them_too(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        y = x.exp()
        saved = weakref.ref(y)
        loss = y.sum()
        del y
        del loss
        assert saved() is None
