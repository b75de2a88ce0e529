"""Optimizers and modules that hold another tensor than you think, because a leaf was replaced or converted."""

import pytest
import torch
from torch import nn

from pitfalls import on, pitfall


@pitfall(
    "optimizer-refuses-a-non-leaf",
    docs=["torch.optim.Optimizer", "torch.Tensor.is_leaf", "optim"],
    symptom="torch.optim.SGD([w]) fails for a tensor that requires grad",
    error="can't optimize a non-leaf Tensor",
    priority=1,
)
class TestOptimizerRefusesANonLeaf:
    """An optimizer takes leaves only: what was scaled, cast or moved after ``requires_grad=True`` is refused.

    A non-leaf has no ``.grad`` to step along. Hand over ``w.detach().requires_grad_()``, or create the leaf in its
    final form. A tensor that does not require grad is accepted without a word, and is never changed.
    """

    @pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.LBFGS])
    def test_trap_result_is_refused(self, device, optimizer):
        w = torch.ones(3, device=device, requires_grad=True).double()
        with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
            optimizer([w], lr=0.5)

    def test_trap_constant_is_accepted_and_never_moves(self, device):
        scale = torch.ones(1, device=device)
        w = torch.ones(1, device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w, scale], lr=0.5)
        (w * scale).backward()
        optimizer.step()
        assert scale.tolist() == [1]

    def test_fix_detach_and_require_grad(self, device):
        w = torch.ones(1, device=device, requires_grad=True).double().detach().requires_grad_()
        optimizer = torch.optim.SGD([w], lr=0.5)
        w.sum().backward()
        optimizer.step()
        assert w.tolist() == [0.5]


@pitfall(
    "optimizer-keeps-the-old-tensor",
    docs=["torch.optim.Optimizer", ("torch.nn.Module.load_state_dict", "the optimizer must be created after"), "optim"],
    symptom="the loss stays constant although optimizer.step() runs and gradients are there",
    priority=1,
)
class TestOptimizerKeepsTheOldTensor:
    """An optimizer holds the tensors it was given: a parameter that is replaced afterwards is never updated.

    Rebinding a name or setting ``net.weight = nn.Parameter(...)`` leaves the optimizer with the old tensor, whose grad
    stays None, so that ``step()`` skips it silently. Write to the parameter with ``copy_`` under ``no_grad``, or build
    the optimizer afterwards.
    """

    def test_trap_replaced_parameter_is_not_trained(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        net.weight = nn.Parameter(torch.ones(1, 1, device=device))
        net(torch.ones(1, 1, device=device)).backward()
        optimizer.step()
        assert net.weight.item() == 1

    def test_fix_write_to_the_parameter(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        with torch.no_grad():
            net.weight.copy_(torch.ones(1, 1))
        net(torch.ones(1, 1, device=device)).backward()
        optimizer.step()
        assert net.weight.item() == 0.5

    def test_fix_create_the_optimizer_afterwards(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        net.weight = nn.Parameter(torch.ones(1, 1, device=device))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        net(torch.ones(1, 1, device=device)).backward()
        optimizer.step()
        assert net.weight.item() == 0.5


@pitfall(
    "module-refuses-a-plain-tensor-as-parameter",
    docs=["torch.nn.Module.register_parameter", ("torch.nn.Parameter", "Assigning a Tensor doesn't have such effect")],
    symptom="net.weight = net.weight - lr * net.weight.grad raises a TypeError",
    error="(torch.nn.Parameter or None expected)",
    priority=1,
)
class TestModuleRefusesAPlainTensorAsParameter:
    """Where a module has a parameter, only an ``nn.Parameter`` or None may be assigned, never a plain tensor.

    Arithmetic on parameters gives plain tensors, so the update by assignment fails here at once. Under any other name
    a tensor is accepted, as an attribute that ``parameters()`` does not list. Write in place under ``no_grad``.
    """

    @pytest.mark.parametrize(
        "new",
        [
            pytest.param(lambda weight: weight - 0.5, id="result"),
            pytest.param(lambda weight: weight.double(), id="converted"),
            pytest.param(lambda weight: weight.detach(), id="detached"),
            pytest.param(lambda weight: torch.ones_like(weight, requires_grad=True), id="leaf that requires grad"),
        ],
    )
    def test_trap_assignment_is_refused(self, device, seeded, new):
        net = nn.Linear(1, 1, device=device)
        with pytest.raises(TypeError, match=r"\(torch.nn.Parameter or None expected\)"):
            net.weight = new(net.weight)

    def test_trap_register_parameter_refuses_too(self, device):
        with pytest.raises(TypeError, match=r"\(torch.nn.Parameter or None required\)"):
            nn.Module().register_parameter("weight", torch.ones(1, device=device, requires_grad=True))

    def test_fix_write_in_place(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        with torch.no_grad():
            net.weight.fill_(3).sub_(0.5)
        assert net.weight.item() == 2.5


@pitfall(
    "converted-parameter-is-not-registered",
    docs=[
        ("torch.nn.Parameter", "automatically added to the list of"),
        ("torch.Tensor.to", "then ``self`` is returned."),
        ("torch.nn.Module.to", "This method modifies the module in-place"),
    ],
    symptom="self.w = nn.Parameter(...).to(device) trains on the CPU and is missing from parameters() on the GPU",
    priority=1,
)
class TestConvertedParameterIsNotRegistered:
    """``self.w = nn.Parameter(x).to(device)`` registers a parameter on the CPU and a mere tensor on the GPU.

    What a real conversion returns is a plain non-leaf tensor, which ``parameters()``, ``state_dict()`` and the
    optimizer never see. Convert the data (``nn.Parameter(x.to(device))``), or the whole module afterwards:
    ``module.to(...)`` keeps its parameters, as the same leaves.
    """

    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda p: p.double(), id="double"),
            pytest.param(lambda p: p.to(torch.float64), id="to(float64)"),
            pytest.param(lambda p: p * 0.5, id="scaled"),
        ],
    )
    def test_trap_module_has_no_parameter(self, device, convert):
        module = nn.Module()
        module.w = convert(nn.Parameter(torch.ones(1, device=device)))
        assert list(module.parameters()) == []

    @on("cuda")
    def test_trap_nor_has_it_on_the_gpu(self, device):
        module = nn.Module()
        module.w = nn.Parameter(torch.ones(1)).to(device)
        assert list(module.parameters()) == []

    @on("cpu")
    def test_trap_nothing_to_convert_on_the_cpu(self, device):
        module = nn.Module()
        module.w = nn.Parameter(torch.ones(1)).to(device)
        assert len(list(module.parameters())) == 1

    def test_fix_convert_the_data(self, device):
        module = nn.Module()
        module.w = nn.Parameter(torch.ones(1).to(device, torch.float64))
        assert len(list(module.parameters())) == 1

    def test_fix_convert_the_module(self, device):
        module = nn.Module()
        module.w = before = nn.Parameter(torch.ones(1))
        module.to(device, torch.float64)
        assert module.w is before
        assert module.w.dtype == torch.float64
