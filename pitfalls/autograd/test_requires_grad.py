"""What `requires_grad` and `is_leaf` say: who may require grad, who gets one, and what freezing does."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]
INTEGERS = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


@pitfall(
    "only-floats-require-grad",
    docs=[("torch.Tensor.to", "floating-point or complex dtypes can require gradients"), "notes/autograd"],
    symptom="torch.tensor([1, 2, 3], requires_grad=True) raises",
    error="Only Tensors of floating point and complex dtype can require gradients",
    priority=1,
)
class TestOnlyFloatsRequireGrad:
    """Only floating point and complex tensors can require grad: ``torch.tensor(1, requires_grad=True)`` raises.

    A Python int makes an int64 tensor, and one forgotten decimal point is enough. Write ``torch.tensor(1.0)`` or give
    a ``dtype``. The gradient has the dtype of the tensor that it belongs to.
    """

    @pytest.mark.parametrize("dtype", INTEGERS, ids=str)
    @pytest.mark.parametrize(
        "require",
        [
            pytest.param(lambda x: torch.ones_like(x, requires_grad=True), id="at creation"),
            pytest.param(
                lambda x: torch.tensor([1], dtype=x.dtype, device=x.device, requires_grad=True), id="torch.tensor"
            ),
            pytest.param(lambda x: x.requires_grad_(), id="requires_grad_()"),
            pytest.param(lambda x: setattr(x, "requires_grad", True), id="requires_grad = True"),
            pytest.param(nn.Parameter, id="nn.Parameter"),
        ],
    )
    def test_trap_integers_are_refused(self, device, dtype, require):
        x = torch.ones(2, dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match=r"(?i)only tensors of floating point .*can require gradients"):
            require(x)

    def test_trap_forgotten_decimal_point(self, device):
        with pytest.raises(RuntimeError, match="Only Tensors of floating point and complex dtype can require"):
            torch.tensor(1, device=device, requires_grad=True)

    @pytest.mark.parametrize("dtype", FLOATS, ids=str)
    def test_fix_floats_and_complex_numbers(self, device, dtype):
        x = torch.ones(2, dtype=dtype, device=device, requires_grad=True)
        (x * 3).real.sum().backward()
        assert x.grad.tolist() == [3, 3]
        assert x.grad.dtype == dtype

    def test_fix_write_the_decimal_point(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = 4 * x**2
        y.backward()
        assert x.grad.item() == 8

    def test_fix_integer_parameter_without_grad(self, device):
        p = nn.Parameter(torch.ones(2, dtype=torch.int64, device=device), requires_grad=False)
        assert p.dtype == torch.int64


@pitfall(
    "grad-needs-a-used-required-leaf",
    docs=[
        ("torch.Tensor.is_leaf", "Only leaf Tensors will have their"),
        ("torch.Tensor.requires_grad", "attribute will be populated, see"),
        "notes/autograd#setting-requires-grad",
    ],
    symptom="x.grad is None after backward",
    priority=1,
)
class TestGradNeedsAUsedRequiredLeaf:
    """``backward()`` fills ``.grad`` only of tensors that were used, that require grad, and that are leaves.

    Each condition that fails leaves None, without an error. ``requires_grad=True`` alone promises nothing: results of
    operations have it as well. Call ``retain_grad()`` on a result whose gradient is wanted.
    """

    def test_trap_not_used(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        unused = torch.tensor(2.0, device=device, requires_grad=True)
        (x * x).backward()
        assert unused.grad is None

    def test_trap_requires_no_grad(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        constant = torch.tensor(3.0, device=device)
        (x * constant).backward()
        assert constant.grad is None

    def test_trap_no_leaf(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x * 3
        (y * y).backward()
        with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
            assert y.grad is None

    def test_trap_result_requires_grad_all_the_same(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        constant = torch.tensor(3.0, device=device)
        assert (x * constant).requires_grad

    def test_fix_all_three_hold(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        (x * x).backward()
        assert x.grad.item() == 4

    def test_fix_retain_grad_of_a_result(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        y = x * 3
        y.retain_grad()
        (y * y).backward()
        assert y.grad.item() == 12


@pitfall(
    "integer-conversion-drops-requires-grad",
    docs=[("torch.Tensor.to", "implicitly set ``requires_grad=False``"), ("torch.Tensor.to", "integer type")],
    symptom="backward says that my loss does not require grad after a .long() on the way",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
    priority=1,
)
class TestIntegerConversionDropsRequiresGrad:
    """Converting to an integer dtype cuts the graph without a word; converting back does not mend it.

    ``x.long().float()`` has the values of ``trunc`` and no history. What is only partly built on it gets wrong, not
    missing, gradients. Keep floats wherever a gradient must pass; ``trunc``, ``floor`` and ``round`` stay in the graph,
    though their derivative is zero.
    """

    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda x: x.to(torch.int32), id="to(int32)"),
            pytest.param(lambda x: x.long(), id="long"),
            pytest.param(lambda x: x.int(), id="int"),
            pytest.param(lambda x: x.bool(), id="bool"),
            pytest.param(lambda x: x.byte(), id="byte"),
            pytest.param(lambda x: x.type(torch.int64), id="type"),
            pytest.param(lambda x: x.long().float(), id="there and back"),
        ],
    )
    def test_trap_result_requires_no_grad(self, device, convert):
        x = torch.tensor([1.5, 2.5], device=device, requires_grad=True)
        assert not convert(x).requires_grad

    def test_trap_gradient_is_partly_missing(self, device):
        x = torch.tensor(3.0, device=device, requires_grad=True)
        (x * x.long()).backward()
        assert x.grad.item() == 3  # of x * x it would be 6

    def test_fix_stay_with_floats(self, device):
        x = torch.tensor(3.0, device=device, requires_grad=True)
        (x * x.double()).backward()
        assert x.grad.item() == 6


@pitfall(
    "is-leaf-does-not-mean-trainable",
    docs=[("torch.Tensor.is_leaf", "will be leaf Tensors by convention"), "torch.Tensor.requires_grad"],
    symptom="a tensor says is_leaf=True and still gets no gradient",
)
class TestIsLeafDoesNotMeanTrainable:
    """``is_leaf`` is True for every tensor that requires no grad, even for the result of a long computation.

    Constants, detached tensors and whatever was computed under ``no_grad`` are leaves by convention. A tensor that
    collects gradients has ``is_leaf`` and ``requires_grad``; a result with a history has a ``grad_fn``.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda w: torch.ones(2, device=w.device), id="constant"),
            pytest.param(lambda w: torch.ones(2, device=w.device) * 3 + 1, id="result of constants"),
            pytest.param(lambda w: (w * 3).detach(), id="detach"),
            pytest.param(lambda w: (w * 3).detach_(), id="detach_"),
            pytest.param(lambda w: torch.no_grad()(torch.exp)(w), id="result under no_grad"),
            pytest.param(lambda w: w > 0, id="comparison"),
            pytest.param(lambda w: w.argmax(), id="argmax"),
        ],
    )
    def test_trap_leaf_without_gradient(self, device, make):
        x = make(torch.ones(2, device=device, requires_grad=True))
        assert x.is_leaf
        assert not x.requires_grad

    def test_trap_writing_to_a_constant_makes_it_a_result(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        total = torch.zeros(2, device=device)
        total += w
        assert not total.is_leaf

    def test_fix_detach_what_is_only_recorded(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        total = torch.zeros(2, device=device)
        total += w.detach()
        assert not total.requires_grad


@pitfall(
    "result-cannot-stop-requiring-grad",
    docs=["notes/autograd#setting-requires-grad", ("torch.Tensor.detach_", "Views cannot be detached in-place"),
          "torch.Tensor.requires_grad_"],
    symptom="setting y.requires_grad = False raises",
    error="you can only change requires_grad flags of leaf variables",
)  # fmt: skip
class TestResultCannotStopRequiringGrad:
    """``requires_grad`` can be switched off for leaves only; a result has it from what it was computed from.

    ``y.detach()`` gives the same values without the history; ``y.detach_()`` takes it away from ``y`` itself, unless
    that is a view. Or compute under ``no_grad`` to begin with.
    """

    @pytest.mark.parametrize(
        "switch_off",
        [
            pytest.param(lambda y: setattr(y, "requires_grad", False), id="requires_grad = False"),
            pytest.param(lambda y: y.requires_grad_(False), id="requires_grad_(False)"),
        ],
    )
    @pytest.mark.parametrize(
        "make",
        [pytest.param(lambda w: w * 2, id="result"), pytest.param(lambda w: w[:1], id="view of a leaf")],
    )
    def test_trap_flag_of_a_result(self, device, make, switch_off):
        y = make(torch.ones(2, device=device, requires_grad=True))
        with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
            switch_off(y)

    def test_trap_view_cannot_be_detached_in_place(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="Can't detach views in-place"):
            w[:1].detach_()

    @pytest.mark.parametrize(
        "cut",
        [pytest.param(lambda y: y.detach(), id="detach"), pytest.param(lambda y: y.detach_(), id="detach_")],
    )
    def test_fix_detach(self, device, cut):
        y = torch.ones(2, device=device, requires_grad=True) * 2
        assert not cut(y).requires_grad


@pitfall(
    "freezing-counts-twice",
    docs=["notes/autograd#setting-requires-grad", "torch.nn.Module.requires_grad_"],
    symptom="a weight that I froze after the forward pass gets no gradient, and unfreezing it doesn't bring one",
    priority=3,
)
class TestFreezingCountsTwice:
    """``requires_grad`` is asked in the forward pass, for recording, and again in ``backward()``, for accumulating.

    A leaf that is frozen in between gets nothing although it is in the graph; one that is unfrozen in between is not in
    the graph. Freeze and unfreeze before the forward pass.
    """

    def test_trap_frozen_after_the_forward_pass(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        loss = (w * w).sum()
        w.requires_grad_(False)
        loss.backward()
        assert w.grad is None

    def test_trap_unfrozen_after_the_forward_pass(self, device):
        w = torch.ones(2, device=device)
        loss = (w * w).sum()
        w.requires_grad_()
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            loss.backward()

    def test_fix_before_the_forward_pass(self, device):
        w = torch.ones(2, device=device)
        w.requires_grad_()
        (w * w).sum().backward()
        assert w.grad.tolist() == [2, 2]


@pitfall(
    "frozen-parameter-keeps-its-grad",
    docs=[("torch.optim.Optimizer.zero_grad", "it skips the step altogether"), "torch.nn.Module.requires_grad_"],
    symptom="a layer that I froze in the middle of training goes on changing",
)
class TestFrozenParameterKeepsItsGrad:
    """``requires_grad_(False)`` leaves the last ``.grad`` in place, and the optimizer goes on stepping along it.

    An optimizer looks at ``.grad``, not at ``requires_grad``; it skips a parameter whose grad is None. Clear the grads
    together with the flag: ``optimizer.zero_grad()`` sets them to None.
    """

    def test_trap_stale_grad_is_applied(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        (w * 4).backward()
        w.requires_grad_(False)
        optimizer.step()
        assert w.tolist() == [-1]

    @pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
    def test_fix_clear_the_grad_as_well(self, device, optimizer):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = optimizer([w], lr=0.5, weight_decay=0.5)
        (w * 4).backward()
        w.requires_grad_(False)
        optimizer.zero_grad(set_to_none=True)
        optimizer.step()
        assert w.tolist() == [1]
