"""``DistributedDataParallel`` in a group of one: what the wrapper adds, what it refuses, and what it doesn't see."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pitfalls import on, pitfall, since


class TwoHeads(nn.Module):
    """A network with a head that its forward pass leaves out."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x):
        """Use one of the two."""
        return self.used(x)


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-parameters-must-be-used",
    docs=["torch.nn.parallel.DistributedDataParallel", "notes/ddp#internal-design"],
    symptom="the second iteration raises: Expected to have finished reduction in the prior iteration",
    error="Expected to have finished reduction in the prior iteration before starting a new one",
    priority=1,
)
class TestDdpParametersMustBeUsed:
    """Under DDP each parameter needs a gradient in each backward pass; else the next forward pass raises.

    The reduction of the missing ones never ends. Freeze what is not trained before you wrap it; use
    ``find_unused_parameters=True`` where it differs from step to step.
    """

    def test_trap_the_second_forward_raises(self, group, seeded):
        model = DistributedDataParallel(TwoHeads())
        model(torch.ones(1, 1)).sum().backward()
        with pytest.raises(RuntimeError, match="Expected to have finished reduction in the prior iteration"):
            model(torch.ones(1, 1))

    def test_trap_a_loss_that_leaves_an_output_out(self, group, seeded):
        model = DistributedDataParallel(nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)}))
        model.module.forward = lambda x: (model.module["a"](x), model.module["b"](x))
        model(torch.ones(1, 1))[0].sum().backward()
        with pytest.raises(RuntimeError, match="Expected to have finished reduction in the prior iteration"):
            model(torch.ones(1, 1))

    @pytest.mark.parametrize(
        "wrap",
        [
            pytest.param(lambda net: DistributedDataParallel(net, find_unused_parameters=True), id="find unused"),
            pytest.param(lambda net: DistributedDataParallel(net, static_graph=True), id="static graph"),
        ],
    )
    def test_fix_say_that_some_are_unused(self, group, seeded, wrap):
        model = wrap(TwoHeads())
        for _ in range(2):
            model(torch.ones(1, 1)).sum().backward()
        assert model.module.used.weight.grad.tolist() == [[2]]

    def test_fix_freeze_what_is_not_trained(self, group, seeded):
        net = TwoHeads()
        net.unused.requires_grad_(False)
        model = DistributedDataParallel(net)
        for _ in range(2):
            model(torch.ones(1, 1)).sum().backward()
        assert model.module.used.weight.grad.tolist() == [[2]]


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-state-dict-has-a-prefix",
    docs=[
        "torch.nn.parallel.DistributedDataParallel",
        "torch.nn.modules.utils.consume_prefix_in_state_dict_if_present",
    ],
    symptom='Missing key(s) in state_dict: "weight"; Unexpected key(s): "module.weight"',
    error='Unexpected key(s) in state_dict: "module.weight"',
    priority=2,
)
class TestDdpStateDictHasAPrefix:
    """The keys of a DDP model's ``state_dict()`` begin with ``module.``, so the plain model refuses them.

    Save ``model.module.state_dict()``. In a file that has them, take the prefix off with
    ``consume_prefix_in_state_dict_if_present``.
    """

    def test_trap_keys_begin_with_module(self, group, seeded):
        model = DistributedDataParallel(nn.Linear(1, 1))
        assert list(model.state_dict()) == ["module.weight", "module.bias"]

    def test_trap_the_plain_model_refuses_them(self, group, seeded):
        saved = DistributedDataParallel(nn.Linear(1, 1)).state_dict()
        with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "module\.weight"'):
            nn.Linear(1, 1).load_state_dict(saved)

    def test_fix_save_the_inner_module(self, group, seeded):
        model = DistributedDataParallel(nn.Linear(1, 1))
        assert list(model.module.state_dict()) == ["weight", "bias"]

    def test_fix_take_the_prefix_off(self, group, seeded):
        saved = DistributedDataParallel(nn.Linear(1, 1)).state_dict()
        nn.modules.utils.consume_prefix_in_state_dict_if_present(saved, "module.")
        assert sorted(saved) == ["bias", "weight"]


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-refuses-some-modules",
    docs=["torch.nn.parallel.DistributedDataParallel"],
    symptom="DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient",
    error="DistributedDataParallel is not needed when a module doesn't have any parameter",
    priority=3,
)
class TestDdpRefusesSomeModules:
    """DDP raises for a module that has nothing to train, or whose parameters are not there yet.

    A frozen teacher or an evaluation needs no wrapper. Run lazy modules once on an example before you wrap them.
    """

    def test_trap_a_frozen_module(self, group, seeded):
        frozen = nn.Linear(1, 1).requires_grad_(False)
        with pytest.raises(RuntimeError, match="DistributedDataParallel is not needed when a module doesn't have any"):
            DistributedDataParallel(frozen)

    @pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
    def test_trap_a_lazy_module(self, group, seeded):
        with pytest.raises(RuntimeError, match="Modules with uninitialized parameters can't be used"):
            DistributedDataParallel(nn.LazyLinear(1))

    def test_fix_train_something(self, group, seeded):
        net = nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))
        DistributedDataParallel(net)(torch.ones(1, 1)).sum().backward()
        assert net[1].bias.grad.tolist() == [1]


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "ddp-takes-one-communication-hook",
    docs=[
        ("torch.nn.parallel.DistributedDataParallel.register_comm_hook", "can only be registered once"),
        "torch.distributed.GradBucket.buffer",
    ],
    symptom="register_comm_hook or register_builtin_comm_hook can only be called once",
    error="register_comm_hook or register_builtin_comm_hook can only be called once",
    priority=3,
)
class TestDdpTakesOneCommunicationHook:
    """A DDP model takes one communication hook, once: the hook replaces the all-reduce and also its division.

    What it leaves in the future becomes the gradient. Combine several in one function, which divides by the world size.
    """

    def test_trap_the_second_raises(self, group, seeded):
        model = DistributedDataParallel(nn.Linear(1, 1))
        model.register_comm_hook(None, lambda _, bucket: bucket)
        with pytest.raises(RuntimeError, match="can only be called once"):
            model.register_comm_hook(None, lambda _, bucket: bucket)

    def test_trap_it_decides_on_the_gradient(self, group, seeded):
        def hook(_, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
            done = torch.futures.Future()
            done.set_result(bucket.buffer() * 10)
            return done

        model = DistributedDataParallel(nn.Linear(1, 1, bias=False))
        model.register_comm_hook(None, hook)
        model(torch.ones(1, 1)).sum().backward()
        assert model.module.weight.grad.tolist() == [[10]]


@since("2.4")  # a group that DDP has used hangs in some releases before, as it is destroyed
@pitfall(
    "sync-batch-norm-needs-a-gpu",
    docs=["torch.nn.SyncBatchNorm", "torch.nn.SyncBatchNorm.convert_sync_batchnorm"],
    symptom="SyncBatchNorm expected input tensor to be on GPU",
    error="SyncBatchNorm expected input tensor to be on GPU",
    priority=3,
)
class TestSyncBatchNormNeedsAGpu:
    """In training under a process group ``SyncBatchNorm`` refuses tensors on the CPU.

    Without a process group, or in ``eval()`` mode, it is an ordinary batch norm, on the CPU too. For tests on the CPU,
    convert the batch norms only if the model is on a GPU.
    """

    @on("cpu")
    def test_trap_training_raises(self, device, group, seeded):
        norm = nn.SyncBatchNorm(1).to(device)
        with pytest.raises(ValueError, match="SyncBatchNorm expected input tensor to be on GPU"):
            norm(torch.ones(2, 1, device=device))

    @on("cpu")
    def test_trap_converted_layers_raise(self, device, group, seeded):
        net = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.BatchNorm1d(1)))
        with pytest.raises(ValueError, match="SyncBatchNorm expected input tensor to be on GPU"):
            net(torch.ones(2, 1, device=device))

    @on("cpu")
    def test_fix_evaluation(self, device, group, seeded):
        norm = nn.SyncBatchNorm(1).eval().to(device)
        assert norm(torch.ones(2, 1, device=device)).round().tolist() == [[1], [1]]

    def test_fix_without_a_group(self, device, seeded):
        norm = nn.SyncBatchNorm(1).to(device)
        y = norm(torch.tensor([[1.0], [3.0]], device=device))
        torch.testing.assert_close(y, torch.tensor([[-1.0], [1.0]], device=device))
