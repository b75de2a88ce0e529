"""Changing a tensor that backward still needs: what the version counter catches, and what slips past it."""

import pytest
import torch
from torch import nn

from pitfalls import before, pitfall, since

# Operations whose derivative is computed from the result.
SAVE_THE_RESULT = [
    pytest.param(torch.relu, id="relu"),
    pytest.param(torch.sigmoid, id="sigmoid"),
    pytest.param(torch.tanh, id="tanh"),
    pytest.param(torch.exp, id="exp"),
    pytest.param(torch.exp2, id="exp2"),
    pytest.param(torch.expm1, id="expm1"),
    pytest.param(torch.sqrt, id="sqrt"),
    pytest.param(torch.rsqrt, id="rsqrt"),
    pytest.param(torch.reciprocal, id="reciprocal"),
    pytest.param(torch.tan, id="tan"),
    pytest.param(lambda x: x.softmax(0), id="softmax"),
    pytest.param(lambda x: x.log_softmax(0), id="log_softmax"),
]

# Operations whose derivative is computed from the input.
SAVE_THE_INPUT = [
    pytest.param(lambda x: x * x, id="x * x"),
    pytest.param(lambda x: x**2, id="x squared"),
    pytest.param(lambda x: x @ x, id="x @ x"),
    pytest.param(lambda x: torch.ones_like(x) / x, id="one div x"),
    pytest.param(torch.square, id="square"),
    pytest.param(torch.sin, id="sin"),
    pytest.param(torch.cos, id="cos"),
    pytest.param(torch.sinh, id="sinh"),
    pytest.param(torch.atan, id="atan"),
    pytest.param(torch.log, id="log"),
    pytest.param(torch.log1p, id="log1p"),
    pytest.param(torch.erf, id="erf"),
    pytest.param(torch.abs, id="abs"),
    pytest.param(lambda x: x.clamp(0, 1), id="clamp"),
    pytest.param(nn.functional.silu, id="silu"),
    pytest.param(nn.functional.gelu, id="gelu"),
    pytest.param(nn.functional.softplus, id="softplus"),
    pytest.param(lambda x: nn.functional.layer_norm(x, (3,)), id="layer_norm"),
]

# Operations whose derivative needs no value of x or of the result, only constants, shapes or positions.
SAVE_NO_VALUE = [
    pytest.param(lambda x: x + 1, id="x + 1"),
    pytest.param(lambda x: 2 - x, id="2 - x"),
    pytest.param(lambda x: x * 3, id="x * 3"),
    pytest.param(torch.neg, id="neg"),
    pytest.param(torch.sum, id="sum"),
    pytest.param(torch.clone, id="clone"),
    pytest.param(lambda x: x.cumsum(0), id="cumsum"),
    pytest.param(lambda x: x.flip(0), id="flip"),
    pytest.param(lambda x: torch.cat([x, x]), id="cat"),
    pytest.param(lambda x: torch.stack([x, x]), id="stack"),
    pytest.param(lambda x: x.max(0).values, id="max along a dimension"),
    pytest.param(torch.mean, id="mean", marks=since("2.2")),
]


@pitfall(
    "saved-result-must-not-change",
    docs=["autograd#in-place-correctness-checks", "notes/autograd#in-place-correctness-checks"],
    symptom="backward fails because of x += residual after an activation",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
    priority=1,
)
class TestSavedResultMustNotChange:
    """``y = relu(x); y += r`` breaks ``backward()``: relu, sigmoid, tanh, exp, sqrt, softmax keep their result.

    Their derivative is computed from it: that of ``exp`` is ``exp`` itself. The write succeeds and the forward pass is
    right; the error comes at ``backward()``, far from the culprit. Write ``y = y + r``.
    """

    def test_trap_residual_added_in_place_after_relu(self, device):
        x = torch.tensor([-1.0, 2.0], device=device, requires_grad=True)
        y = torch.relu(x)
        y += x
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            y.sum().backward()

    @pytest.mark.parametrize("op", SAVE_THE_RESULT)
    def test_trap_result_is_changed(self, device, op):
        w = torch.tensor([0.25, 0.5, 0.75], device=device, requires_grad=True)
        y = op(w)
        y.add_(1)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            y.sum().backward()

    def test_fix_write_out_of_place(self, device):
        x = torch.tensor([-1.0, 2.0], device=device, requires_grad=True)
        y = torch.relu(x)
        y = y + x
        y.sum().backward()
        assert x.grad.tolist() == [1, 2]


@pitfall(
    "saved-input-must-not-change",
    docs=[
        ("torch.autograd.graph.allow_mutation_on_saved_tensors", "mutating a tensor saved for backward will result"),
        "autograd#in-place-correctness-checks",
    ],
    symptom="backward fails because I changed a tensor after it had been used",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
    priority=1,
)
class TestSavedInputMustNotChange:
    """``y = x * x; x += 1`` breaks ``backward()``: products, powers, sin, log, matmul keep their inputs.

    They keep a reference, not a copy, so that a later write to ``x`` would falsify the gradient of ``y``; autograd
    notices and raises. Write to a copy (``x = x + 1``), or run forward and backward under
    ``torch.autograd.graph.allow_mutation_on_saved_tensors()``, which copies on write.
    """

    @pytest.mark.parametrize("op", SAVE_THE_INPUT)
    def test_trap_input_is_changed(self, device, op):
        w = torch.tensor([0.25, 0.5, 0.75], device=device, requires_grad=True)
        x = w.clone()
        y = op(x)
        x.add_(1)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            y.sum().backward()

    def test_fix_rebind_instead_of_writing(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        x = w.clone()
        y = x * x
        x = x + 1
        (y + x).sum().backward()
        assert w.grad.tolist() == [3, 5]

    def test_fix_allow_mutation(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            x = w.clone()
            y = x * x
            x.add_(1)
            y.sum().backward()
        assert w.grad.tolist() == [2, 4]


@pitfall(
    "inplace-error-depends-on-the-op",
    docs=["autograd#in-place-correctness-checks", "notes/autograd#in-place-correctness-checks"],
    symptom="the same in-place line works after one layer and fails after another",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
    changed={"2.2": "torch.mean keeps no tensor, so its input may change afterwards"},
)
class TestInplaceErrorDependsOnTheOp:
    """Whether ``x += 1`` breaks ``backward()`` depends on what the operations that used ``x`` saved.

    After ``+``, ``sum`` or ``cat`` nothing is saved and everything may be changed; after ``exp`` the input may, after
    ``sin`` the result may. That in-place code runs today proves nothing about the next layer that you insert.
    """

    @pytest.mark.parametrize("op", SAVE_NO_VALUE + SAVE_THE_RESULT)
    def test_trap_input_may_change(self, device, op):
        w = torch.tensor([0.25, 0.5, 0.75], device=device, requires_grad=True)
        (expected,) = torch.autograd.grad(op(w).sum(), w)
        x = w.clone()
        y = op(x)
        x.zero_()
        y.sum().backward()
        torch.testing.assert_close(w.grad, expected)

    @pytest.mark.parametrize("op", SAVE_NO_VALUE + SAVE_THE_INPUT)
    def test_trap_result_may_change(self, device, op):
        w = torch.tensor([0.25, 0.5, 0.75], device=device, requires_grad=True)
        (expected,) = torch.autograd.grad(op(w).sum(), w)
        y = op(w)
        y.add_(1)
        y.sum().backward()
        torch.testing.assert_close(w.grad, expected)

    @before("2.2")
    def test_trap_mean_kept_its_input(self, device):
        x = torch.ones(2, device=device, requires_grad=True).clone()
        y = x.mean()
        x.zero_()
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            y.backward()


@pitfall(
    "constant-operand-must-not-change",
    docs=["autograd#in-place-correctness-checks", "notes/autograd#in-place-correctness-checks"],
    symptom="backward fails although I only refilled the buffer of my batch, which does not require grad",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
)
class TestConstantOperandMustNotChange:
    """Data, masks and indices that require no grad are saved too: refilling them before ``backward()`` raises.

    The gradient of a weight is computed from the data that it met. A batch buffer that is filled with ``copy_`` for the
    next step while the graph of the last one is alive runs into this. Call ``backward()`` first, or use fresh tensors.
    """

    @pytest.mark.parametrize(
        ("use", "constant"),
        [
            pytest.param(lambda w, x: w * x, [1.0, 2.0, 4.0], id="data of a product"),
            pytest.param(lambda w, x: w @ x, [1.0, 2.0, 4.0], id="data of a matmul"),
            pytest.param(lambda w, x: w / x, [1.0, 2.0, 4.0], id="divisor"),
            pytest.param(lambda w, x: w.masked_fill(x, 0), [True, False, True], id="mask"),
            pytest.param(lambda w, x: torch.where(x, w, -w), [True, False, True], id="condition"),
            pytest.param(lambda w, x: w.gather(0, x), [0, 2, 1], id="index of gather"),
            pytest.param(lambda w, x: w[x], [0, 2, 1], id="index"),
        ],
    )
    def test_trap_constant_is_refilled(self, device, use, constant):
        w = torch.ones(3, device=device, requires_grad=True)
        x = torch.tensor(constant, device=device)
        loss = use(w, x).sum()
        x.zero_()
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            loss.backward()

    def test_fix_backward_first(self, device):
        w = torch.ones(3, device=device, requires_grad=True)
        x = torch.empty(3, device=device)
        for batch in ([1.0, 2.0, 4.0], [3.0, 3.0, 3.0]):
            x.copy_(torch.tensor(batch))
            (w * x).sum().backward()
        assert w.grad.tolist() == [4, 5, 7]


@pitfall(
    "version-counter-counts-writes",
    docs=[("torch.inference_mode", "version counter bumps"), "notes/autograd#in-place-correctness-checks"],
    symptom="backward says that a tensor was modified although its values are what they were",
    error="is at version 1; expected version 0 instead",
)
class TestVersionCounterCountsWrites:
    """Autograd counts the writes to a tensor and never looks at the values: ``x += 0`` invalidates it.

    Each in-place operation raises ``x._version`` by one, whatever it writes and in whatever grad mode; backward
    compares the count with the one at the time of saving. Undoing a change does not help, not changing does.
    """

    @pytest.mark.parametrize(
        ("write", "version"),
        [
            pytest.param(lambda x: x.add_(0), 1, id="add 0"),
            pytest.param(lambda x: x.copy_(x.clone()), 1, id="copy onto itself"),
            pytest.param(lambda x: x.clamp_(-100, 100), 1, id="clamp out of reach"),
            pytest.param(lambda x: x.add_(1).sub_(1), 2, id="add and subtract"),
            pytest.param(lambda x: x[:0].zero_(), 1, id="write to an empty slice"),
        ],
    )
    def test_trap_write_without_effect(self, device, write, version):
        x = torch.ones(2, device=device, requires_grad=True).clone()
        y = x * x
        with torch.no_grad():
            write(x)
        with pytest.raises(RuntimeError, match=f"is at version {version}; expected version 0 instead"):
            y.sum().backward()

    def test_trap_every_spelling_counts_once(self, device):
        x = torch.ones(2, device=device)
        counts = [x._version]
        x += 1
        counts.append(x._version)
        x[0] = 5
        counts.append(x._version)
        x[1:].zero_()
        counts.append(x._version)
        x = x + 1
        counts.append(x._version)
        assert counts == [0, 1, 2, 3, 0]  # the last one is another tensor
