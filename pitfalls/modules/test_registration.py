"""What a module registers: its children, parameters and buffers, and what it merely keeps as an attribute."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


@pitfall(
    "module-in-a-list-is-not-registered",
    docs=[
        ("torch.nn.ModuleList", "modules it contains are properly registered"),
        "torch.nn.ModuleDict",
        "notes/modules",
    ],
    symptom="layers kept in a Python list don't train, don't move to the GPU and are missing from the state_dict",
    error="optimizer got an empty parameter list",
    priority=1,
)
class TestModuleInAListIsNotRegistered:
    """A module registers what is assigned to its attributes, and doesn't look into plain lists, tuples and dicts.

    Layers inside one are called all the same, so the model runs; but ``parameters()``, ``to``, ``eval`` and
    ``state_dict`` don't reach them. Keep them in an ``nn.ModuleList`` or ``nn.ModuleDict``, parameters in an
    ``nn.ParameterList`` or ``nn.ParameterDict``.
    """

    PLAIN = [
        pytest.param(lambda item: [item], id="list"),
        pytest.param(lambda item: (item,), id="tuple"),
        pytest.param(lambda item: {"first": item}, id="dict"),
    ]

    @pytest.mark.parametrize("container", PLAIN)
    def test_trap_layers_are_not_found(self, device, seeded, container):
        net = nn.Module()
        net.layers = container(nn.Linear(2, 2, device=device))
        assert list(net.parameters()) == []
        assert list(net.state_dict()) == []

    @pytest.mark.parametrize("container", PLAIN)
    def test_trap_nor_are_parameters(self, device, container):
        net = nn.Module()
        net.weights = container(nn.Parameter(torch.ones(2, device=device)))
        assert list(net.parameters()) == []

    @pytest.mark.parametrize("container", PLAIN)
    def test_trap_they_are_not_converted(self, device, seeded, container):
        layer = nn.Linear(2, 2, device=device)
        net = nn.Module()
        net.layers = container(layer)
        net.double()
        assert layer.weight.dtype == torch.float32

    def test_trap_append_to_the_list_changes_nothing(self, device, seeded):
        net = nn.Module()
        net.layers = []
        net.layers.append(nn.Linear(2, 2, device=device))
        with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
            torch.optim.SGD(net.parameters(), lr=0.1)

    @pytest.mark.parametrize(
        ("container", "names"),
        [
            pytest.param(lambda a, b: nn.ModuleList([a, b]), ["layers.0.weight", "layers.1.weight"], id="ModuleList"),
            pytest.param(
                lambda a, b: nn.ModuleDict({"a": a, "b": b}), ["layers.a.weight", "layers.b.weight"], id="dict"
            ),
            pytest.param(nn.Sequential, ["layers.0.weight", "layers.1.weight"], id="Sequential"),
        ],
    )
    def test_fix_module_containers(self, device, seeded, container, names):
        net = nn.Module()
        net.layers = container(*(nn.Linear(2, 2, bias=False, device=device) for _ in range(2)))
        assert list(net.state_dict()) == names

    @pytest.mark.parametrize(
        ("container", "name"),
        [
            pytest.param(lambda x: nn.ParameterList([x]), "weights.0", id="ParameterList"),
            pytest.param(lambda x: nn.ParameterDict({"first": x}), "weights.first", id="ParameterDict"),
        ],
    )
    def test_fix_parameter_containers_make_parameters_of_tensors(self, device, container, name):
        net = nn.Module()
        net.weights = container(torch.ones(2, device=device))
        assert [(name, p.requires_grad) for name, p in net.named_parameters()] == [(name, True)]


@pitfall(
    "module-init-must-come-first",
    docs=[("torch.nn.Module", "to the parent class must be made before")],
    symptom="AttributeError: cannot assign module before Module.__init__() call",
    error="before Module.__init__() call",
    priority=1,
)
class TestModuleInitMustComeFirst:
    """A module refuses children, parameters and buffers until ``super().__init__()`` has run.

    The base initialiser makes the tables that they are registered in. Make it the first line of ``__init__``. A plain
    attribute may come before it, and a subclass without an ``__init__`` of its own needs nothing.
    """

    def test_trap_a_child_comes_too_early(self, device, seeded):
        class Net(nn.Module):
            def __init__(self):
                self.layer = nn.Linear(1, 1, device=device)

        with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__\(\) call"):
            Net()

    def test_trap_a_parameter_comes_too_early(self, device):
        class Net(nn.Module):
            def __init__(self):
                self.weight = nn.Parameter(torch.ones(1, device=device))

        with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call"):
            Net()

    def test_trap_a_buffer_comes_too_early(self, device):
        class Net(nn.Module):
            def __init__(self):
                self.register_buffer("mean", torch.ones(1, device=device))

        with pytest.raises(AttributeError, match=r"cannot assign buffer before Module.__init__\(\) call"):
            Net()

    def test_fix_call_it_first(self, device, seeded):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(1, 1, bias=False, device=device)

        assert list(Net().state_dict()) == ["layer.weight"]


@pitfall(
    "plain-tensor-is-no-buffer",
    docs=[
        ("torch.nn.Module.register_buffer", "This is typically used to register a buffer"),
        ("torch.nn.Parameter", "Assigning a Tensor doesn't have such effect"),
        "notes/modules",
    ],
    symptom="a tensor that I keep in my module stays on the CPU when the model moves, and is not saved",
    error="Expected all tensors to be on the same device",
    priority=1,
)
class TestPlainTensorIsNoBuffer:
    """A plain tensor assigned to a module is an attribute: ``to`` doesn't move it, ``state_dict`` doesn't list it.

    That holds also for a tensor that requires grad, which no optimizer will get from ``parameters()``. Use an
    ``nn.Parameter`` for what is trained and ``register_buffer`` for what is not.
    """

    def test_trap_to_leaves_it_where_it_is(self):
        net = nn.Module()
        net.mean = torch.ones(2)
        net.to("meta")
        assert net.mean.device.type == "cpu"

    def test_trap_to_leaves_its_dtype(self, device):
        net = nn.Module()
        net.mean = torch.ones(2, device=device)
        net.to(torch.float64)
        assert net.mean.dtype == torch.float32

    @pytest.mark.parametrize("requires_grad", [False, True], ids=["constant", "requires grad"])
    def test_trap_it_is_neither_saved_nor_trained(self, device, requires_grad):
        net = nn.Module()
        net.mean = torch.ones(2, device=device, requires_grad=requires_grad)
        assert list(net.state_dict()) == []
        assert list(net.parameters()) == []

    @pytest.mark.parametrize(
        "register",
        [
            pytest.param(lambda net, x: net.register_buffer("mean", x), id="register_buffer"),
            pytest.param(lambda net, x: net.register_parameter("mean", nn.Parameter(x)), id="register_parameter"),
            pytest.param(lambda net, x: setattr(net, "mean", nn.Parameter(x)), id="Parameter"),
            pytest.param(lambda net, x: setattr(net, "mean", nn.Buffer(x)), id="Buffer", marks=since("2.5")),
        ],
    )
    def test_fix_register_it(self, device, register):
        net = nn.Module()
        register(net, torch.ones(2, device=device))
        net.to(torch.float64)
        assert net.state_dict()["mean"].dtype == torch.float64


@pitfall(
    "buffer-that-is-not-persistent",
    docs=[("torch.nn.Module.register_buffer", "will not be a part of this module's"), "notes/modules"],
    symptom="a buffer is missing from the checkpoint although model.buffers() lists it",
)
class TestBufferThatIsNotPersistent:
    """A buffer registered with ``persistent=False`` moves with its module, but is neither saved nor loaded.

    It is meant for what can be computed again, such as masks and position tables. A checkpoint from before the change
    that still has the key is refused. The registration says whether it is saved; assigning to it changes nothing.
    """

    def test_trap_it_is_not_saved(self, device):
        net = nn.Module()
        net.register_buffer("mask", torch.ones(2, device=device), persistent=False)
        net.mask = torch.zeros(2, device=device)
        assert list(net.state_dict()) == []

    def test_trap_a_checkpoint_that_has_it_is_refused(self, device):
        net = nn.Module()
        net.register_buffer("mask", torch.ones(2, device=device), persistent=False)
        with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "mask"'):
            net.load_state_dict({"mask": torch.zeros(2)})

    def test_trap_it_moves_all_the_same(self, device):
        net = nn.Module()
        net.register_buffer("mask", torch.ones(2, device=device), persistent=False)
        net.double()
        assert [(name, buffer.dtype) for name, buffer in net.named_buffers()] == [("mask", torch.float64)]

    def test_fix_buffers_persist_by_default(self, device):
        net = nn.Module()
        net.register_buffer("mask", torch.ones(2, device=device))
        assert list(net.state_dict()) == ["mask"]


@pitfall(
    "buffer-keeps-its-registration",
    docs=["torch.nn.Module.register_buffer", "notes/modules"],
    symptom="KeyError: attribute 'mean' already exists; cannot assign 'float' as buffer 'mean'",
    error="as buffer",
)
class TestBufferKeepsItsRegistration:
    """Once a name is a buffer, a tensor assigned to it is the buffer, and nothing but a tensor or None is accepted.

    So ``self.mean = 0.9 * self.mean`` is fine, and ``self.mean = 0.0`` is not. The other way round it doesn't work: a
    name that is a plain attribute already can't be registered. Register first, assign later.
    """

    def test_trap_a_number_is_refused(self, device):
        net = nn.Module()
        net.register_buffer("mean", torch.ones(1, device=device))
        with pytest.raises(TypeError, match="cannot assign 'float' as buffer 'mean'"):
            net.mean = 0.0

    def test_trap_an_attribute_cannot_be_registered(self, device):
        net = nn.Module()
        net.mean = torch.ones(1, device=device)
        with pytest.raises(KeyError, match="attribute 'mean' already exists"):
            net.register_buffer("mean", net.mean)

    def test_fix_assign_a_tensor(self, device):
        net = nn.Module()
        net.register_buffer("mean", torch.ones(1, device=device))
        net.mean = 0.5 * net.mean
        assert net.state_dict()["mean"].tolist() == [0.5]


@pitfall(
    "registered-as-none",
    docs=[
        ("torch.nn.Module.register_parameter", "included in the module's :attr:`state_dict`"),
        ("torch.nn.Module.load_state_dict", "If a parameter or buffer is registered as"),
    ],
    symptom="Unexpected key(s) in state_dict: bias; a layer with bias=False refuses the checkpoint of one with a bias",
    error="Unexpected key(s) in state_dict",
)
class TestRegisteredAsNone:
    """A parameter, buffer or child that is None is in no list and no ``state_dict``, and loading a value for it raises.

    ``bias=False`` registers the bias as None. The name stays reserved for its kind: a parameter may be assigned later,
    a plain tensor may not.
    """

    def test_trap_it_is_not_listed(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        net.register_buffer("mean", None)
        assert list(net.state_dict()) == ["weight"]

    @pytest.mark.parametrize("name", ["bias", "mean"])
    def test_trap_a_value_for_it_is_refused(self, device, name):
        net = nn.Module()
        net.register_parameter("bias", None)
        net.register_buffer("mean", None)
        with pytest.raises(RuntimeError, match=rf'Unexpected key\(s\) in state_dict: "{name}"'):
            net.load_state_dict({name: torch.ones(1, device=device)})

    def test_trap_a_child_set_to_none_is_gone(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, device=device), nn.ReLU())
        net[0] = None
        assert [name for name, _ in net.named_children()] == ["1"]

    def test_trap_the_name_is_reserved(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        net.bias = None
        with pytest.raises(TypeError, match=r"as parameter 'bias' \(torch.nn.Parameter or None expected\)"):
            net.bias = torch.zeros(1, device=device)

    def test_fix_assign_a_parameter_later(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        net.bias = nn.Parameter(torch.ones(1, device=device))
        assert list(net.state_dict()) == ["weight", "bias"]
