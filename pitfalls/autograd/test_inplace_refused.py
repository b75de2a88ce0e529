"""In-place writes that autograd refuses under other names: `out=`, initialisation, `inplace=True`, inference mode."""

import contextlib
import operator

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since

OUT_FUNCTIONS = [
    pytest.param(lambda w, out: torch.add(w, w, out=out), id="add"),
    pytest.param(lambda w, out: torch.sub(w, w, out=out), id="sub"),
    pytest.param(lambda w, out: torch.mul(w, w, out=out), id="mul"),
    pytest.param(lambda w, out: torch.div(w, 2, out=out), id="div"),
    pytest.param(lambda w, out: torch.pow(w, 2, out=out), id="pow"),
    pytest.param(lambda w, out: torch.neg(w, out=out), id="neg"),
    pytest.param(lambda w, out: torch.exp(w, out=out), id="exp"),
    pytest.param(lambda w, out: torch.sigmoid(w, out=out), id="sigmoid"),
    pytest.param(lambda w, out: torch.clamp(w, 0, 1, out=out), id="clamp"),
    pytest.param(lambda w, out: torch.cat([w], out=out), id="cat"),
    pytest.param(lambda w, out: torch.cumsum(w, 0, out=out), id="cumsum"),
    pytest.param(lambda w, out: torch.where(w > 1, w, w, out=out), id="where"),
    pytest.param(lambda w, out: torch.matmul(torch.eye(3, device=w.device), w, out=out), id="matmul"),
]


@pitfall(
    "out-refuses-autograd",
    docs=["notes/out"],
    symptom="torch.add(x, y, out=buffer) fails as soon as one of the tensors requires grad",
    error="functions with out=... arguments don't support automatic differentiation",
)
class TestOutRefusesAutograd:
    """``out=`` is never differentiable: it raises as soon as an input or the output itself requires grad.

    Reusing a buffer and recording a graph exclude each other. Under ``no_grad`` both work, for a leaf as output too;
    where gradients are wanted, leave ``out=`` away.
    """

    @pytest.mark.parametrize("call", OUT_FUNCTIONS)
    def test_trap_an_input_that_requires_grad(self, device, call):
        w = torch.ones(3, device=device, requires_grad=True)
        out = torch.empty(3, device=device)
        with pytest.raises(RuntimeError, match=r"functions with out=\.\.\. arguments don't support automatic diff"):
            call(w, out)

    @pytest.mark.parametrize("call", OUT_FUNCTIONS)
    def test_trap_an_output_that_requires_grad(self, device, call):
        x = torch.ones(3, device=device)
        out = torch.zeros(3, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"functions with out=\.\.\. arguments don't support automatic diff"):
            call(x, out)

    def test_fix_write_out_under_no_grad(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with torch.no_grad():
            torch.mul(w, 3, out=w)
        (w * w).sum().backward()
        assert w.grad.tolist() == [6, 12]


INIT_FUNCTIONS = [
    pytest.param(nn.init.zeros_, id="zeros_"),
    pytest.param(nn.init.ones_, id="ones_"),
    pytest.param(nn.init.eye_, id="eye_"),
    pytest.param(lambda w: nn.init.constant_(w, 3.0), id="constant_"),
    pytest.param(nn.init.uniform_, id="uniform_"),
    pytest.param(nn.init.normal_, id="normal_"),
    pytest.param(nn.init.trunc_normal_, id="trunc_normal_"),
    pytest.param(nn.init.xavier_uniform_, id="xavier_uniform_"),
    pytest.param(nn.init.xavier_normal_, id="xavier_normal_"),
    pytest.param(nn.init.kaiming_uniform_, id="kaiming_uniform_"),
    pytest.param(nn.init.kaiming_normal_, id="kaiming_normal_"),
    pytest.param(nn.init.orthogonal_, id="orthogonal_"),
    pytest.param(lambda w: nn.init.sparse_(w, sparsity=0.5), id="sparse_"),
]


@pitfall(
    "parameter-init-needs-no-grad",
    docs=["nn.init", "torch.nn.init.uniform_", ("torch.nn.Parameter", "context does NOT affect the default behavior")],
    symptom="self.weight.uniform_(-1, 1) in my module raises an error about a leaf Variable",
    error="a leaf Variable that requires grad is being used in an in-place operation",
)
class TestParameterInitNeedsNoGrad:
    """``weight.normal_()`` raises on a parameter where ``nn.init.normal_(weight)`` works.

    The functions of ``torch.nn.init`` run in ``no_grad`` mode; the tensor's own methods do not. Use the former, or put
    your initialisation under ``no_grad``: a parameter requires grad from its birth, even in that mode.
    """

    @pytest.mark.parametrize(
        "fill",
        [
            pytest.param(lambda w: w.uniform_(-1, 1), id="uniform_"),
            pytest.param(lambda w: w.normal_(), id="normal_"),
            pytest.param(lambda w: w.bernoulli_(0.5), id="bernoulli_"),
            pytest.param(lambda w: w.exponential_(), id="exponential_"),
            pytest.param(lambda w: w.fill_diagonal_(1.0), id="fill_diagonal_"),
        ],
    )
    def test_trap_own_methods_of_the_parameter(self, device, fill):
        with torch.no_grad():
            weight = nn.Parameter(torch.zeros(2, 2, device=device))
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place"):
            fill(weight)

    @pytest.mark.parametrize("init", INIT_FUNCTIONS)
    def test_fix_use_torch_nn_init(self, device, seeded, init):
        weight = nn.Parameter(torch.full((4, 4), 9.0, device=device))
        init(weight)
        assert 9.0 not in weight.flatten().tolist()


INPLACE_MODULES = [
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish, nn.RReLU,
    nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Dropout,
]  # fmt: skip


@pitfall(
    "inplace-activation-refuses-the-input",
    docs=[("torch.nn.ReLU", "can optionally do the operation in-place"), "torch.nn.Dropout", "notes/autograd"],
    symptom="a pretrained model with ReLU(inplace=True) fails once its input requires grad, as for a saliency map",
    error="a leaf Variable that requires grad is being used in an in-place operation",
)
class TestInplaceActivationRefusesTheInput:
    """A model that begins with ``inplace=True`` fails when its input is a leaf that requires grad.

    In training the input is plain data, which may be overwritten, and nobody notices. Saliency maps and adversarial
    examples need the gradient of the input, so the first layer meets a leaf. Build the layer without ``inplace``, or
    feed ``x.clone()``: the clone is overwritten and the gradient still arrives in ``x``.
    """

    @pytest.mark.parametrize("module", INPLACE_MODULES, ids=lambda module: module.__name__)
    def test_trap_inplace_module_on_a_leaf(self, device, seeded, module):
        x = torch.ones(3, device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place"):
            module(inplace=True)(x)

    def test_trap_plain_input_is_overwritten(self, device):
        x = torch.tensor([-1.0, 2.0], device=device)
        nn.ReLU(inplace=True)(x)
        assert x.tolist() == [0, 2]

    def test_fix_feed_a_clone(self, device):
        x = torch.tensor([-1.0, 2.0], device=device, requires_grad=True)
        nn.ReLU(inplace=True)(x.clone()).sum().backward()
        assert x.grad.tolist() == [0, 1]

    def test_fix_leave_inplace_off(self, device):
        x = torch.tensor([-1.0, 2.0], device=device, requires_grad=True)
        nn.ReLU()(x).sum().backward()
        assert x.grad.tolist() == [0, 1]


@pitfall(
    "inference-tensor-refuses-inplace",
    docs=[("torch.inference_mode", "tensors created in this mode cannot be used"), "torch.is_inference"],
    symptom="I cannot modify what my model returned under torch.inference_mode()",
    error="Inplace update to inference tensor outside InferenceMode is not allowed",
)
class TestInferenceTensorRefusesInplace:
    """A tensor made under ``inference_mode`` can't be written to afterwards, not even under ``no_grad``.

    It has no version counter, so autograd could never know that it changed. Its views are inference tensors too;
    ``clone()`` outside of the mode gives an ordinary one. Where this hurts, use ``no_grad`` instead.
    """

    @pytest.mark.parametrize("mode", [contextlib.nullcontext, torch.no_grad], ids=["grad mode", "no_grad"])
    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x: x.add_(1), id="add_"),
            pytest.param(lambda x: operator.setitem(x, 0, 5.0), id="x[0] = 5"),
            pytest.param(lambda x: x[:1].zero_(), id="x[:1].zero_()"),
            pytest.param(lambda x: nn.functional.relu(x, inplace=True), id="relu(inplace)"),
        ],
    )
    def test_trap_write_outside_of_the_mode(self, device, write, mode):
        with torch.inference_mode():
            x = torch.ones(2, device=device)
        with mode(), pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
            write(x)

    def test_trap_requires_grad_cannot_be_set(self, device):
        with torch.inference_mode():
            x = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match="Setting requires_grad=True on inference tensor"):
            x.requires_grad_()

    def test_fix_clone_outside(self, device):
        with torch.inference_mode():
            x = torch.ones(2, device=device)
        y = x.clone()
        y[0] = 5.0
        assert y.tolist() == [5, 1]

    def test_fix_no_grad_makes_ordinary_tensors(self, device):
        with torch.no_grad():
            x = torch.ones(2, device=device) * 2
        x.add_(1)
        assert x.tolist() == [3, 3]


class Descent(torch.optim.Optimizer):
    """The optimizer that everybody writes first: p -= lr * p.grad."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.5})

    def step(self):
        """Move each parameter against its gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad


@pitfall(
    "own-optimizer-needs-no-grad",
    docs=["torch.optim.Optimizer", "notes/autograd#locally-disabling-gradient-computation"],
    symptom="the step() of my own optimizer raises an error about a leaf Variable",
    error="a leaf Variable that requires grad is being used in an in-place operation",
    priority=3,
)
class TestOwnOptimizerNeedsNoGrad:
    """Deriving from ``Optimizer`` does not put ``step()`` under ``no_grad``.

    The optimizers of torch decorate their own ``step``; the base class wraps it for profiling alone. Decorate yours
    with ``@torch.no_grad()``. A post-accumulate-grad hook, on the other hand, is called in that mode already.
    """

    def test_trap_step_runs_in_grad_mode(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w * 4).backward()
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in an in-place"):
            Descent([w]).step()

    def test_fix_decorate_step(self, device):
        class Fixed(Descent):
            step = torch.no_grad()(Descent.step)

        w = torch.tensor([1.0], device=device, requires_grad=True)
        (w * 4).backward()
        Fixed([w]).step()
        assert w.tolist() == [-1]

    @since("2.1")
    def test_fix_hook_that_updates_during_backward(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        w.register_post_accumulate_grad_hook(lambda p: p.add_(p.grad, alpha=-0.5))
        (w * 4).backward()
        assert w.tolist() == [-1]
