"""Writing into a leaf that requires grad: what autograd refuses, in which words, and the ways that it allows."""

import operator

import pytest
import torch
from torch import nn

from pitfalls import pitfall


def index(w):
    """Positions 0 and 2, on the device of `w`."""
    return torch.tensor([0, 2], device=w.device)


# Each way to write into w = [1, 2, 4], and what it leaves in w where it is allowed.
SPELLINGS = [
    pytest.param(lambda w: operator.iadd(w, 1), [2, 3, 5], id="w += 1"),
    pytest.param(lambda w: operator.isub(w, 1), [0, 1, 3], id="w -= 1"),
    pytest.param(lambda w: operator.imul(w, 2), [2, 4, 8], id="w *= 2"),
    pytest.param(lambda w: operator.itruediv(w, 2), [0.5, 1, 2], id="w div= 2"),
    pytest.param(lambda w: operator.ifloordiv(w, 2), [0, 1, 2], id="w floordiv= 2"),
    pytest.param(lambda w: operator.imod(w, 2), [1, 0, 0], id="w mod= 2"),
    pytest.param(lambda w: operator.ipow(w, 2), [1, 4, 16], id="w pow= 2"),
    pytest.param(lambda w: operator.setitem(w, slice(None), 0.0), [0, 0, 0], id="w[:] = 0"),
    pytest.param(lambda w: operator.setitem(w, ..., 0.0), [0, 0, 0], id="w[...] = 0"),
    pytest.param(lambda w: operator.setitem(w, w > 1, 0.0), [1, 0, 0], id="w[mask] = 0"),
    pytest.param(lambda w: operator.setitem(w, [0, 2], 0.0), [0, 2, 0], id="w[list] = 0"),
    pytest.param(lambda w: operator.setitem(w, index(w), 0.0), [0, 2, 0], id="w[index] = 0"),
    pytest.param(lambda w: w.add_(1), [2, 3, 5], id="add_"),
    pytest.param(lambda w: w.sub_(1), [0, 1, 3], id="sub_"),
    pytest.param(lambda w: w.mul_(2), [2, 4, 8], id="mul_"),
    pytest.param(lambda w: w.div_(2), [0.5, 1, 2], id="div_"),
    pytest.param(lambda w: w.pow_(2), [1, 4, 16], id="pow_"),
    pytest.param(lambda w: w.neg_(), [-1, -2, -4], id="neg_"),
    pytest.param(lambda w: w.reciprocal_(), [1, 0.5, 0.25], id="reciprocal_"),
    pytest.param(lambda w: w.sign_(), [1, 1, 1], id="sign_"),
    pytest.param(lambda w: w.zero_(), [0, 0, 0], id="zero_"),
    pytest.param(lambda w: w.fill_(7), [7, 7, 7], id="fill_"),
    pytest.param(lambda w: w.copy_(torch.zeros(3)), [0, 0, 0], id="copy_"),
    pytest.param(lambda w: w.clamp_(max=2), [1, 2, 2], id="clamp_"),
    pytest.param(lambda w: w.cumsum_(0), [1, 3, 7], id="cumsum_"),
    pytest.param(lambda w: w.lerp_(torch.zeros_like(w), 0.5), [0.5, 1, 2], id="lerp_"),
    pytest.param(lambda w: w.addcmul_(torch.ones_like(w), torch.ones_like(w)), [2, 3, 5], id="addcmul_"),
    pytest.param(lambda w: w.masked_fill_(w > 1, 0), [1, 0, 0], id="masked_fill_"),
    pytest.param(lambda w: w.masked_scatter_(w > 1, torch.zeros_like(w)), [1, 0, 0], id="masked_scatter_"),
    pytest.param(lambda w: w.index_fill_(0, index(w), 0), [0, 2, 0], id="index_fill_"),
    pytest.param(lambda w: w.index_add_(0, index(w), w.new_ones(2)), [2, 2, 5], id="index_add_"),
    pytest.param(lambda w: w.index_copy_(0, index(w), w.new_zeros(2)), [0, 2, 0], id="index_copy_"),
    pytest.param(lambda w: w.index_put_((index(w),), w.new_zeros(2)), [0, 2, 0], id="index_put_"),
    pytest.param(lambda w: w.scatter_(0, index(w), 0.0), [0, 2, 0], id="scatter_"),
    pytest.param(lambda w: w.put_(index(w), w.new_zeros(2)), [0, 2, 0], id="put_"),
    pytest.param(lambda w: nn.functional.threshold(w, 1, 0, inplace=True), [0, 2, 4], id="F.threshold(inplace)"),
    pytest.param(lambda w: torch.clamp_(w, max=2), [1, 2, 2], id="torch.clamp_"),
    pytest.param(lambda w: w.unsqueeze_(0), [[1, 2, 4]], id="unsqueeze_, which only reshapes"),
]


@pitfall(
    "leaf-refuses-inplace",
    docs=["notes/autograd#locally-disabling-gradient-computation", "torch.no_grad", "torch.Tensor.is_leaf"],
    symptom="my hand-written gradient descent step raises an error about a leaf Variable",
    error="a leaf Variable that requires grad is being used in an in-place operation",
    priority=1,
)
class TestLeafRefusesInplace:
    """A leaf that requires grad refuses every in-place operation, however it is spelled.

    ``w -= lr * w.grad`` would put the update itself into the graph, and the leaf that gradients are meant to flow to
    would be gone. It is refused before anything is written. Update under ``torch.no_grad()``, or let an optimizer.
    """

    def test_trap_gradient_descent_step_raises(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w * 4).backward()
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
            w -= 0.1 * w.grad

    @pytest.mark.parametrize(("write", "written"), SPELLINGS)
    def test_trap_every_spelling_raises_and_writes_nothing(self, device, write, written):
        w = torch.tensor([1.0, 2.0, 4.0], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place"):
            write(w)
        assert w.tolist() == [1, 2, 4]

    @pytest.mark.parametrize(("write", "written"), SPELLINGS)
    def test_fix_every_spelling_works_under_no_grad(self, device, write, written):
        w = torch.tensor([1.0, 2.0, 4.0], device=device, requires_grad=True)
        with torch.no_grad():
            write(w)
        assert w.tolist() == written


@pitfall(
    "no-grad-update-must-be-in-place",
    docs=[("torch.no_grad", "the result of every computation will have"), "notes/autograd"],
    symptom="my weight stops requiring grad after the first update under no_grad",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
    priority=1,
)
class TestNoGradUpdateMustBeInPlace:
    """Under ``no_grad`` only ``w -= ...`` keeps the leaf: ``w = w - ...`` makes a tensor that requires no grad.

    Both lines run without complaint. The second one rebinds the name to a new constant, and the next ``backward()``
    finds nothing to differentiate. An optimizer's ``step()`` is the in-place update under ``no_grad``.
    """

    def test_trap_reassignment_forgets_requires_grad(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w * 4).backward()
        with torch.no_grad():
            w = w - 0.1 * w.grad
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            (w * 7).backward()

    def test_fix_update_in_place(self, device):
        w = leaf = torch.tensor([1.0], device=device, requires_grad=True)
        seen = []
        for x in (4, 7, 2, 8):
            w.grad = None
            (w * x).backward()
            with torch.no_grad():
                w -= 0.1 * w.grad
            seen.append(w.item())
        torch.testing.assert_close(seen, [0.6, -0.1, -0.3, -1.1], rtol=0, atol=1e-6)
        assert w is leaf

    def test_fix_let_an_optimizer_do_it(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.1)
        seen = []
        for x in (4, 7, 2, 8):
            optimizer.zero_grad()
            (w * x).backward()
            optimizer.step()
            seen.append(w.item())
        torch.testing.assert_close(seen, [0.6, -0.1, -0.3, -1.1], rtol=0, atol=1e-6)


VIEWS = [
    pytest.param(lambda w: w[0], id="w[0]"),
    pytest.param(lambda w: w[0, 1], id="w[0, 1]"),
    pytest.param(lambda w: w[:, 1:], id="w[:, 1:]"),
    pytest.param(lambda w: w[..., 0], id="w[..., 0]"),
    pytest.param(lambda w: w[None], id="w[None]"),
    pytest.param(lambda w: w.T, id="T"),
    pytest.param(lambda w: w.mT, id="mT"),
    pytest.param(lambda w: w.t(), id="t"),
    pytest.param(lambda w: w.transpose(0, 1), id="transpose"),
    pytest.param(lambda w: w.permute(1, 0), id="permute"),
    pytest.param(lambda w: w.movedim(0, 1), id="movedim"),
    pytest.param(lambda w: w.view(4), id="view"),
    pytest.param(lambda w: w.view_as(w), id="view_as"),
    pytest.param(lambda w: w.reshape(4), id="reshape"),
    pytest.param(lambda w: w.flatten(), id="flatten"),
    pytest.param(lambda w: w.unflatten(0, (1, 2)), id="unflatten"),
    pytest.param(lambda w: w.squeeze(), id="squeeze"),
    pytest.param(lambda w: w.unsqueeze(0), id="unsqueeze"),
    pytest.param(lambda w: w.select(0, 1), id="select"),
    pytest.param(lambda w: w.narrow(0, 0, 1), id="narrow"),
    pytest.param(lambda w: w.diagonal(), id="diagonal"),
    pytest.param(lambda w: w.unfold(0, 2, 1), id="unfold"),
    pytest.param(lambda w: w.as_strided((2,), (1,)), id="as_strided"),
]


@pitfall(
    "view-of-leaf-refuses-inplace",
    docs=["tensor_view", "torch.Tensor.requires_grad_", "notes/autograd"],
    symptom="w[0] = 1 fails on a tensor that I created with requires_grad=True",
    error="a view of a leaf Variable that requires grad is being used in an in-place operation",
    priority=1,
)
class TestViewOfLeafRefusesInplace:
    """Writing into one element of a leaf that requires grad is refused, since ``w[0]`` is a view of the leaf.

    So are writes through a slice, a transpose or a reshape. Fill the tensor first and call ``requires_grad_()``
    afterwards; write under ``no_grad``; or ``clone()`` it to get a tensor that is no leaf.
    """

    def test_trap_setting_one_element_raises(self, device):
        w = torch.zeros(2, 2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used"):
            w[0, 0] = 1.0

    @pytest.mark.parametrize("view", VIEWS)
    def test_trap_every_view_is_refused(self, device, view):
        w = torch.ones(2, 2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad is being used"):
            view(w).zero_()

    def test_fix_fill_first_and_require_grad_afterwards(self, device):
        w = torch.zeros(3, device=device)
        w[0] = 5.0
        w.requires_grad_()
        (w * w).sum().backward()
        assert w.grad.tolist() == [10, 0, 0]

    @pytest.mark.parametrize("view", VIEWS)
    def test_fix_write_under_no_grad(self, device, view):
        w = torch.ones(2, 2, device=device, requires_grad=True)
        with torch.no_grad():
            view(w).zero_()
        assert w.count_nonzero().item() == 4 - view(w).numel()

    def test_fix_clone_is_no_leaf(self, device):
        w = torch.ones(3, device=device, requires_grad=True)
        x = w.clone()
        x[0] = 5.0
        (x * x).sum().backward()
        assert w.grad.tolist() == [0, 2, 2]  # what was overwritten has no say in the result


@pitfall(
    "split-outputs-refuse-inplace",
    docs=[("torch.unsafe_split", "without enforcing the autograd restrictions"), "torch.split", "tensor_view"],
    symptom="I modify the chunks of a tensor in a loop and autograd says they are one of multiple views",
    error="This view is the output of a function that returns multiple views",
)
class TestSplitOutputsRefuseInplace:
    """What ``split``, ``chunk``, ``unbind`` or a ``for`` loop returns refuses in-place writes, even for a non-leaf.

    One view of a non-leaf may be written to, and autograd rewrites the history of its base. With several views out of
    one call it would have to rewrite each of them, so it refuses. Take the part by indexing, which is a single view.
    """

    @pytest.mark.parametrize(
        "take_first",
        [
            pytest.param(lambda x: x.split(1)[0], id="split"),
            pytest.param(lambda x: x.chunk(2)[0], id="chunk"),
            pytest.param(lambda x: x.unbind()[0], id="unbind"),
            pytest.param(lambda x: next(iter(x)), id="for row in x"),
        ],
    )
    def test_trap_one_of_many_views_cannot_be_written(self, device, take_first):
        x = torch.ones(2, device=device, requires_grad=True).clone()
        with pytest.raises(RuntimeError, match="function that returns multiple views"):
            take_first(x).mul_(3)

    @pytest.mark.parametrize(
        "take_first",
        [
            pytest.param(lambda x: x[0], id="x[0]"),
            pytest.param(lambda x: x[:1], id="x[:1]"),
            pytest.param(lambda x: x.narrow(0, 0, 1), id="narrow"),
            pytest.param(lambda x: x.select(0, 0), id="select"),
        ],
    )
    def test_fix_index_instead(self, device, take_first):
        w = torch.ones(2, device=device, requires_grad=True)
        x = w.clone()
        take_first(x).mul_(3)
        x.sum().backward()
        assert w.grad.tolist() == [3, 1]
