"""``DTensor`` on a mesh of one: what is taken on trust, what can't be changed, and where gradients go."""

import importlib
import sys
import time
import warnings
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist

from pitfalls import before, pitfall, since

pytestmark = pytest.mark.slow  # the import of DTensor takes seconds


@pytest.fixture
def on_mesh():
    """The names of ``torch.distributed.tensor``, with ``mesh`` for a mesh of this process alone."""
    hook, validated = sys.excepthook, torch.distributions.Distribution._validate_args
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = vars(importlib.import_module("torch.distributed.tensor"))
        parallel = vars(importlib.import_module("torch.distributed.tensor.parallel"))
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        yield SimpleNamespace(**{**parallel, **names}, mesh=dist.init_device_mesh("cpu", (1,)))
        time.sleep(0.03)  # until its threads let go of the last tensors: one that waits for the GIL then is waited for
        dist.destroy_process_group()
    sys.excepthook = hook
    torch.distributions.Distribution.set_default_validate_args(validated)


@since("2.5")
@pitfall(
    "dtensor-placement-is-read-only",
    docs=["distributed.tensor"],
    symptom="AttributeError: property 'placements' of 'DTensor' object has no setter",
    error="Cross device mesh comm not supported yet",
    priority=3,
)
class TestDtensorPlacementIsReadOnly:
    """``device_mesh`` and ``placements`` of a ``DTensor`` cannot be set, and ``redistribute`` stays on the mesh.

    It gives a new tensor with other placements. For another mesh take ``full_tensor()`` and distribute that.
    """

    @pytest.mark.parametrize("name", ["device_mesh", "placements"])
    def test_trap_it_cannot_be_set(self, on_mesh, name):
        from torch.distributed.tensor import distribute_tensor

        x = distribute_tensor(torch.ones(2), on_mesh.mesh, [on_mesh.Shard(0)])
        with pytest.raises(AttributeError, match=f"(property '{name}' of 'DTensor' object has no|can't set)"):
            setattr(x, name, getattr(x, name))

    def test_trap_another_mesh_is_refused(self, on_mesh):
        x = on_mesh.distribute_tensor(torch.ones(2), on_mesh.mesh, [on_mesh.Shard(0)])
        other = dist.init_device_mesh("cpu", (1, 1))
        with pytest.raises(NotImplementedError, match="Cross device mesh comm not supported yet"):
            x.redistribute(other, [on_mesh.Replicate(), on_mesh.Replicate()])

    def test_fix_redistribute_on_the_mesh(self, on_mesh):
        x = on_mesh.distribute_tensor(torch.ones(2), on_mesh.mesh, [on_mesh.Shard(0)])
        assert x.redistribute(placements=[on_mesh.Replicate()]).placements == (on_mesh.Replicate(),)


@since("2.5")
@pitfall(
    "from-local-believes-what-it-is-told",
    docs=["distributed.tensor"],
    symptom="a DTensor has another shape than its parts together, and nothing has complained",
    priority=3,
)
class TestFromLocalBelievesWhatItIsTold:
    """``DTensor.from_local`` takes the shape and the placements as they are given; it looks at no rank.

    Whether shards fit together or replicas are equal is for you to see. ``distribute_tensor`` cuts the parts itself.
    """

    def test_trap_a_shape_that_is_not_there(self, on_mesh):
        part = torch.ones(2)
        x = on_mesh.DTensor.from_local(part, on_mesh.mesh, [on_mesh.Shard(0)], shape=torch.Size([7]), stride=(1,))
        assert [x.shape, x.full_tensor().shape] == [(7,), (2,)]

    def test_fix_distribute_the_whole(self, on_mesh):
        x = on_mesh.distribute_tensor(torch.ones(7), on_mesh.mesh, [on_mesh.Shard(0)])
        assert [x.shape, x.full_tensor().shape] == [(7,), (7,)]


@since("2.5")
@pitfall(
    "dtensor-conversions-are-differentiable",
    docs=["distributed.tensor"],
    symptom="memory grows over a training loop that keeps to_local() or full_tensor() of a loss for its log",
    priority=3,
)
class TestDtensorConversionsAreDifferentiable:
    """``from_local``, ``to_local`` and ``full_tensor`` keep the graph: each side requires a gradient if the other does.

    What is kept for a log keeps the graph alive, and the collective runs again in the backward pass. Detach first.
    """

    CONVERSIONS = [
        pytest.param(lambda x: x.to_local(), id="to_local"),
        pytest.param(lambda x: x.full_tensor(), id="full_tensor"),
    ]

    def test_trap_the_gradient_reaches_the_local_tensor(self, on_mesh):
        part = torch.ones(2, requires_grad=True)
        x = on_mesh.DTensor.from_local(part, on_mesh.mesh, [on_mesh.Shard(0)])
        (x.to_local() * 3).sum().backward()
        assert part.grad.tolist() == [3, 3]

    @pytest.mark.parametrize("convert", CONVERSIONS)
    def test_trap_the_gradient_reaches_the_dtensor(self, on_mesh, convert):
        leaf = on_mesh.distribute_tensor(torch.ones(2, requires_grad=True), on_mesh.mesh, [on_mesh.Shard(0)])
        (convert(leaf) * 3).sum().backward()
        assert leaf.grad.to_local().tolist() == [3, 3]

    @pytest.mark.parametrize("needed", [True, False], ids=["required", "not required"])
    def test_trap_from_local_follows_its_input(self, on_mesh, needed):
        part = torch.ones(2, requires_grad=needed)
        assert on_mesh.DTensor.from_local(part, on_mesh.mesh, [on_mesh.Shard(0)]).requires_grad is needed

    @pytest.mark.parametrize("convert", CONVERSIONS)
    def test_fix_detach_first(self, on_mesh, convert):
        leaf = on_mesh.distribute_tensor(torch.ones(2, requires_grad=True), on_mesh.mesh, [on_mesh.Shard(0)])
        assert convert(leaf.detach()).requires_grad is False


@since("2.5")
@pitfall(
    "gradient-of-a-partial-dtensor-is-replicated",
    docs=["distributed.tensor"],
    symptom="the gradient of a Partial DTensor has the placement Replicate",
    priority=3,
)
class TestGradientOfAPartialDtensorIsReplicated:
    """Behind ``from_local`` with ``Partial`` the gradient is ``Replicate``, since each summand has that of the sum.

    A gradient is thus not always placed as its tensor is. Other placements keep theirs.
    """

    @pytest.mark.parametrize(
        ("forward", "backward"),
        [("Partial", "Replicate"), ("Shard", "Shard"), ("Replicate", "Replicate")],
        ids=["Partial", "Shard", "Replicate"],
    )
    def test_trap_its_placement(self, on_mesh, forward, backward):
        places = {"Partial": on_mesh.Partial(), "Shard": on_mesh.Shard(0), "Replicate": on_mesh.Replicate()}
        part = torch.ones(2, requires_grad=True)
        x = on_mesh.DTensor.from_local(part, on_mesh.mesh, [places[forward]])
        x.retain_grad()
        x.full_tensor().sum().backward()
        assert x.grad.placements == (places[backward],)


def cube(on_mesh):
    """A DTensor of 3 and the cube of it, redistributed."""
    x = on_mesh.distribute_tensor(torch.tensor([3.0], requires_grad=True), on_mesh.mesh, [on_mesh.Shard(0)])
    return x, (x.redistribute(placements=[on_mesh.Replicate()]).to_local() ** 3).sum()


@since("2.5")
@pitfall(
    "redistribute-differentiates-twice",
    docs=["distributed.tensor"],
    symptom="a gradient penalty through redistribute() of a DTensor raises",
    error="appears to not have been used in the graph",
    changed={"2.12": "the gradient of redistribute() has a graph of its own; it had none"},
    priority=3,
)
class TestRedistributeDifferentiatesTwice:
    """``redistribute`` can be differentiated twice since torch 2.12; before, its gradient was cut off from the graph.

    A gradient penalty needs the newer torch, or the redistribution outside of what it differentiates.
    """

    @before("2.12")
    def test_trap_there_was_no_second_derivative(self, on_mesh):
        x, y = cube(on_mesh)
        (first,) = torch.autograd.grad(y, x, create_graph=True)
        with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
            torch.autograd.grad(first.to_local().sum(), x)

    @since("2.12")
    def test_trap_there_is_a_second_derivative(self, on_mesh):
        x, y = cube(on_mesh)
        (first,) = torch.autograd.grad(y, x, create_graph=True)
        (second,) = torch.autograd.grad(first.to_local().sum(), x)
        assert second.to_local().tolist() == [18]


def loss_of(on_mesh, mesh, places):
    """The mean of the cross entropy of two rows of zeros, which are placed so."""
    logits = on_mesh.distribute_tensor(torch.zeros(2, 4, requires_grad=True), mesh, places)
    with on_mesh.loss_parallel():
        return torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1]))


@since("2.5")
@pitfall(
    "loss-parallel-wants-one-dimension",
    docs=["distributed.tensor.parallel"],
    symptom="loss_parallel() refuses a mesh with data and tensor parallelism, for the mean at least",
    error="only supported on one-dimensional DeviceMesh | only supports input on one-dimensional DeviceMesh",
    changed={
        "2.13": "NotImplementedError is raised, and for the mean alone; it had been ValueError, for sum and none too",
    },
    priority=3,
)
class TestLossParallelWantsOneDimension:
    """Under ``loss_parallel`` the mean of ``cross_entropy`` is taken on a mesh of one dimension, and refused elsewhere.

    It would divide by the count of the rank. Use the submesh of tensor parallelism, or the sum, and divide yourself.
    """

    def test_trap_two_dimensions_are_refused(self, on_mesh):
        mesh = dist.init_device_mesh("cpu", (1, 1))
        with pytest.raises((NotImplementedError, ValueError), match=r"only support(s input|ed) on one-dimensional"):
            loss_of(on_mesh, mesh, [on_mesh.Replicate(), on_mesh.Shard(1)])

    def test_fix_one_dimension(self, on_mesh):
        loss = loss_of(on_mesh, on_mesh.mesh, [on_mesh.Shard(1)])
        torch.testing.assert_close(loss.full_tensor(), torch.tensor(4.0).log())


@since("2.6")
@pitfall(
    "colwise-output-is-sharded",
    docs=["distributed.tensor.parallel"],
    symptom="view or split behind a layer with ColwiseParallel fails, with the number of features over that of ranks",
    priority=3,
)
class TestColwiseOutputIsSharded:
    """A layer under ``ColwiseParallel`` gives its output sharded on the last dimension, as a plain tensor by default.

    Each rank sees a part of the features: code that follows and knows their number must divide it. Ask for the whole
    with ``output_layouts=Replicate()``.
    """

    def test_trap_the_last_dimension_is_cut(self, on_mesh):
        layer = torch.nn.Linear(2, 4, device="meta").to_empty(device="cpu")
        style = on_mesh.ColwiseParallel(use_local_output=False)
        y = on_mesh.parallelize_module(layer, on_mesh.mesh, style)(torch.ones(3, 2))
        assert y.placements == (on_mesh.Shard(1),)

    def test_trap_it_is_a_plain_tensor(self, on_mesh):
        layer = torch.nn.Linear(2, 4, device="meta").to_empty(device="cpu")
        y = on_mesh.parallelize_module(layer, on_mesh.mesh, on_mesh.ColwiseParallel())(torch.ones(3, 2))
        assert type(y) is torch.Tensor

    def test_fix_ask_for_the_whole(self, on_mesh):
        layer = torch.nn.Linear(2, 4, device="meta").to_empty(device="cpu")
        style = on_mesh.ColwiseParallel(use_local_output=False, output_layouts=on_mesh.Replicate())
        y = on_mesh.parallelize_module(layer, on_mesh.mesh, style)(torch.ones(3, 2))
        assert y.placements == (on_mesh.Replicate(),)
