"""Leaves that stop being leaves: reassignment, conversion, arithmetic at creation, and what still holds the old one."""

import copy

import pytest
import torch
from torch import nn

from pitfalls import on, pitfall


@pitfall(
    "reassignment-loses-the-leaf",
    docs=[
        ("torch.Tensor.is_leaf", "not the result of an operation"),
        ("torch.Tensor.grad", "This attribute is ``None`` by default"),
        "notes/autograd",
    ],
    symptom="the second step of my gradient descent fails because w.grad is None",
    error="unsupported operand type(s) for *: 'float' and 'NoneType' | 'NoneType' object has no attribute 'zero_'",
    priority=1,
)
class TestReassignmentLosesTheLeaf:
    """``w = w - lr * w.grad`` binds ``w`` to a result, and results get no ``.grad``: the next step finds None.

    The first step works, which hides the cause. The new ``w`` has a ``grad_fn`` and hangs on the old leaf, where all
    further gradients go. Write to the leaf (``w -= lr * w.grad`` under ``no_grad``) instead of rebinding its name.
    """

    def test_trap_second_step_finds_no_grad(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w * 1).backward()
        w = w - 0.1 * w.grad
        (w * 2).backward()
        with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
            with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \*: 'float' and 'NoneType'"):
                w = w - 0.1 * w.grad

    def test_trap_gradient_goes_to_the_old_leaf(self, device):
        w = leaf = torch.tensor([1.0], device=device, requires_grad=True)
        w = w - 0.5
        (w * 3).backward()
        assert not w.is_leaf
        assert leaf.grad.tolist() == [3]

    def test_fix_write_to_the_leaf(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        for x in (1, 2):
            w.grad = None
            (w * x).backward()
            with torch.no_grad():
                w -= 0.5 * w.grad
        assert w.tolist() == [-0.5]

    def test_fix_make_the_result_a_new_leaf(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        for x in (1, 2):
            (w * x).backward()
            w = (w - 0.5 * w.grad).detach().requires_grad_()
        assert w.tolist() == [-0.5]


@pitfall(
    "converted-leaf-gets-no-grad",
    docs=[
        ("torch.Tensor.is_leaf", "the operation that cast a cpu Tensor into"),
        ("torch.Tensor.to", "then ``self`` is returned."),
        ("torch.Tensor.cuda", "no copy is performed and the original object"),
    ],
    symptom="w.grad is None after moving w to the GPU, and the same script works on the CPU",
    priority=1,
)
class TestConvertedLeafGetsNoGrad:
    """``torch.zeros(3, requires_grad=True).to(device)`` is a leaf on the CPU and no leaf on the GPU.

    A conversion is a recorded operation, so its result is no leaf and gets no ``.grad``; but a conversion that has
    nothing to do returns the very same tensor. So the bug shows where the code really moves or casts. Create the
    tensor with the right ``device=`` and ``dtype=``, or convert first and call ``requires_grad_()`` afterwards.
    """

    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda w: w.to(torch.float64), id="to(float64)"),
            pytest.param(lambda w: w.double(), id="double"),
            pytest.param(lambda w: w.half(), id="half"),
            pytest.param(lambda w: w.bfloat16(), id="bfloat16"),
            pytest.param(lambda w: w.to(torch.complex64), id="to(complex64)"),
            pytest.param(lambda w: w.type(torch.float64), id="type"),
            pytest.param(lambda w: w.type_as(torch.ones(1, dtype=torch.float64, device=w.device)), id="type_as"),
            pytest.param(lambda w: torch.as_tensor(w, dtype=torch.float64), id="as_tensor"),
            pytest.param(lambda w: w.to(w.device, copy=True), id="to(copy=True)"),
            pytest.param(lambda w: w.clone(), id="clone"),
        ],
    )
    def test_trap_conversion_makes_a_result(self, device, convert):
        w = torch.ones(3, device=device, requires_grad=True)
        assert not convert(w).is_leaf

    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda w: w.to(torch.float32), id="to(float32)"),
            pytest.param(lambda w: w.float(), id="float"),
            pytest.param(lambda w: w.to(w.device), id="to(same device)"),
            pytest.param(lambda w: w.to(torch.ones_like(w)), id="to(tensor)"),
            pytest.param(lambda w: w.type(torch.float32), id="type"),
            pytest.param(lambda w: torch.as_tensor(w), id="as_tensor"),
            pytest.param(lambda w: w.contiguous(), id="contiguous"),
            pytest.param(lambda w: w.cuda() if w.is_cuda else w.cpu(), id="cpu or cuda, where it is"),
        ],
    )
    def test_trap_nothing_to_convert_returns_the_leaf(self, device, convert):
        w = torch.ones(3, device=device, requires_grad=True)
        assert convert(w) is w

    @on("cpu")
    def test_trap_move_is_harmless_on_the_cpu(self, device):
        w = torch.ones(3, requires_grad=True).to(device)
        (w * 2).sum().backward()
        assert w.grad.tolist() == [2, 2, 2]

    @on("cuda")
    def test_trap_move_loses_the_leaf_on_the_gpu(self, device):
        w = torch.ones(3, requires_grad=True).to(device)
        (w * 2).sum().backward()
        with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
            assert w.grad is None

    @on("cuda")
    @pytest.mark.parametrize(
        "move",
        [
            pytest.param(lambda w: w.cuda(), id="cuda"),
            pytest.param(lambda w: w.to("cuda"), id="to(cuda)"),
            pytest.param(lambda w: w.cuda().cpu(), id="there and back"),
        ],
    )
    def test_trap_every_move_makes_a_result(self, device, move):
        w = torch.ones(3, requires_grad=True)
        assert not move(w).is_leaf

    def test_fix_create_it_where_it_is_used(self, device):
        w = torch.ones(3, dtype=torch.float64, device=device, requires_grad=True)
        (w * 2).sum().backward()
        assert w.grad.tolist() == [2, 2, 2]

    def test_fix_require_grad_after_the_conversion(self, device):
        w = torch.ones(3).to(device, torch.float64).requires_grad_()
        (w * 2).sum().backward()
        assert w.grad.tolist() == [2, 2, 2]


@pitfall(
    "scaled-at-creation-is-no-leaf",
    docs=[("torch.Tensor.is_leaf", "c was created by the addition operation"), "torch.Tensor.requires_grad_"],
    symptom="my weight torch.randn(3, requires_grad=True) * 0.01 never gets a gradient",
    error="The .grad attribute of a Tensor that is not a leaf Tensor is being accessed",
    priority=1,
)
class TestScaledAtCreationIsNoLeaf:
    """``torch.randn(3, requires_grad=True) * 0.01`` is no leaf: the leaf is the unscaled tensor, which nobody holds.

    Everything done after ``requires_grad=True`` is recorded, reshaping and transposing included, and only the tensor
    before it gets a ``.grad``. Finish the values first and call ``requires_grad_()`` last.
    """

    @pytest.mark.parametrize(
        "finish",
        [
            pytest.param(lambda x: x * 0.5, id="scaled"),
            pytest.param(lambda x: x + 1, id="shifted"),
            pytest.param(lambda x: -x, id="negated"),
            pytest.param(lambda x: x.reshape(4), id="reshape"),
            pytest.param(lambda x: x.view(4), id="view"),
            pytest.param(lambda x: x.T, id="T"),
            pytest.param(lambda x: x.unsqueeze(0), id="unsqueeze"),
            pytest.param(lambda x: x[0], id="index"),
            pytest.param(lambda x: x.triu(), id="triu"),
        ],
    )
    def test_trap_grad_stays_none(self, device, finish):
        w = finish(torch.ones(2, 2, device=device, requires_grad=True))
        w.sum().backward()
        with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
            assert w.grad is None

    def test_fix_require_grad_last(self, device):
        w = (torch.ones(3, device=device) * 0.5).requires_grad_()
        w.sum().backward()
        assert w.grad.tolist() == [1, 1, 1]

    def test_fix_retain_grad_of_the_result(self, device):
        w = torch.ones(3, device=device, requires_grad=True) * 0.5
        w.retain_grad()
        w.sum().backward()
        assert w.grad.tolist() == [1, 1, 1]


@pitfall(
    "parameter-of-a-result-is-cut-off",
    docs=["torch.nn.Parameter", ("torch.tensor", "Constructs a tensor with no autograd history")],
    symptom="no gradient flows through nn.Parameter(x) or torch.tensor(x) to the x that it was made from",
)
class TestParameterOfAResultIsCutOff:
    """``nn.Parameter(x)`` is always a leaf: no gradient reaches what ``x`` was computed from.

    It takes the values of ``x``, without a copy, and forgets how they came about. To put a computed tensor in the place
    of a weight, call the function with it (``F.linear(x, weight)``, ``torch.func.functional_call``).
    """

    def test_trap_gradient_stops_at_the_parameter(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        p = nn.Parameter(w * 3)
        (p * 2).sum().backward()
        assert w.grad is None
        assert p.grad.tolist() == [2, 2]

    def test_fix_use_the_result_itself(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        nn.functional.linear(torch.ones(2, device=device), w * 3).backward()
        assert w.grad.tolist() == [3, 3]


@pitfall(
    "deepcopy-refuses-a-non-leaf",
    docs=["torch.Tensor.is_leaf", "torch.Tensor.detach", "notes/autograd"],
    symptom="copy.deepcopy(model) fails after a forward pass that stores an activation",
    error="Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol",
)
class TestDeepcopyRefusesANonLeaf:
    """``copy.deepcopy`` takes leaves only: a model that keeps a result with a graph as an attribute can't be copied.

    A copy of the tensor would need a copy of its graph. Keep ``h.detach()`` in the module instead. Of a leaf the copy
    has its own ``.grad``, with the same values.
    """

    def test_trap_result_as_an_attribute(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        net.last = net(torch.ones(1, device=device))
        with pytest.raises(RuntimeError, match=r"\(graph leaves\) support the deepcopy protocol"):
            copy.deepcopy(net)

    def test_trap_grad_is_copied_along(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        w.sum().backward()
        other = copy.deepcopy(w)
        w.grad.zero_()
        assert other.grad.tolist() == [1, 1]

    def test_fix_keep_it_detached(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(net.weight)
        net.last = net(torch.ones(1, device=device)).detach()
        assert copy.deepcopy(net).last.tolist() == [1]
