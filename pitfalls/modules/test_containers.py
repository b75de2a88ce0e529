"""``Sequential``, ``ModuleList`` and ``ModuleDict``: what they pass on, share, order and refuse."""

import copy

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "sequential-passes-one-value",
    docs=[("torch.nn.Sequential", 'then "chains" outputs to inputs sequentially'), "notes/modules"],
    symptom="TypeError: linear(): argument 'input' must be Tensor, not tuple, for an LSTM in an nn.Sequential",
    error="must be Tensor, not tuple",
)
class TestSequentialPassesOneValue:
    """``Sequential`` hands each module one value: what the last one returned, a tuple as a tuple.

    So an ``LSTM`` or ``MultiheadAttention``, which return several things, can't be followed by an ordinary layer, and
    ``Sequential`` itself takes one argument. Write a ``forward``, or a small module that picks what goes on.
    """

    def test_trap_a_tuple_is_not_unpacked(self, device, seeded):
        net = nn.Sequential(nn.LSTM(1, 2, device=device), nn.Linear(2, 1, device=device))
        with pytest.raises(TypeError, match="must be Tensor, not tuple"):
            net(torch.ones(3, 1, device=device))

    def test_trap_it_takes_one_argument(self, device):
        net = nn.Sequential(nn.Identity())
        with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
            net(torch.ones(1, device=device), torch.ones(1, device=device))

    def test_fix_a_module_that_picks(self, device, seeded):
        class First(nn.Module):
            def forward(self, outputs):
                return outputs[0]

        net = nn.Sequential(nn.LSTM(1, 2, device=device), First(), nn.Linear(2, 1, device=device))
        assert net(torch.ones(3, 1, device=device)).shape == (3, 1)


@pitfall(
    "children-in-sequential-lose-forward",
    docs=["torch.nn.Module.children", "torch.nn.Sequential", "torch.nn.Module.forward"],
    symptom="mat1 and mat2 shapes cannot be multiplied after nn.Sequential(*model.children())",
    error="mat1 and mat2 shapes cannot be multiplied",
)
class TestChildrenInSequentialLoseForward:
    """``nn.Sequential(*model.children())`` keeps the layers and loses what ``forward`` does between them.

    Flattening, skip connections, functional activations and the order of the calls are code, not children. To cut off
    the head, replace it with ``nn.Identity()`` or read the layer with a hook.
    """

    def test_trap_flatten_is_lost(self, device, seeded):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.pool = nn.AdaptiveAvgPool2d(1)
                self.head = nn.Linear(3, 2, device=device)

            def forward(self, x):
                return self.head(self.pool(x).flatten(1))

        net = Net()
        images = torch.ones(5, 3, 4, 4, device=device)
        assert net(images).shape == (5, 2)
        with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
            nn.Sequential(*net.children())(images)

    def test_trap_the_order_is_that_of_the_assignments(self, device):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.last, self.first = nn.ReLU(), nn.Tanh()

            def forward(self, x):
                return self.last(self.first(x))

        assert [type(child) for child in Net().children()] == [nn.ReLU, nn.Tanh]

    def test_fix_replace_the_head(self, device, seeded):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.pool = nn.AdaptiveAvgPool2d(1)
                self.head = nn.Linear(3, 2, device=device)

            def forward(self, x):
                return self.head(self.pool(x).flatten(1))

        net = Net()
        net.head = nn.Identity()
        assert net(torch.ones(5, 3, 4, 4, device=device)).shape == (5, 3)


@pitfall(
    "sequential-slice-shares-its-layers",
    docs=["torch.nn.Sequential", "torch.nn.ModuleList"],
    symptom="training model[:3] changed the model; the state_dict of model[3:] starts at 3.weight",
)
class TestSequentialSliceSharesItsLayers:
    """A slice of a ``Sequential`` or ``ModuleList`` is a new container with the same layers, not a copy.

    The layers of a sliced ``Sequential`` keep their names, so the keys of its ``state_dict`` don't start at 0, and a
    model built afresh refuses them. The container itself is in training mode, whatever the mode of its layers.
    ``copy.deepcopy`` makes a copy.
    """

    @pytest.mark.parametrize(
        "container", [nn.Sequential, lambda *layers: nn.ModuleList(layers)], ids=["Sequential", "list"]
    )
    def test_trap_the_layers_are_the_same(self, device, seeded, container):
        net = container(nn.Linear(1, 1, device=device), nn.ReLU())
        with torch.no_grad():
            net[:1][0].bias.fill_(7)
        assert net[0].bias.tolist() == [7]

    def test_trap_names_are_kept(self, device, seeded):
        net = nn.Sequential(nn.ReLU(), nn.Linear(1, 1, bias=False, device=device))
        assert list(net[1:].state_dict()) == ["1.weight"]

    def test_fix_a_new_container_counts_from_zero(self, device, seeded):
        net = nn.Sequential(nn.ReLU(), nn.Linear(1, 1, bias=False, device=device))
        assert list(nn.Sequential(*net[1:]).state_dict()) == ["0.weight"]

    def test_fix_copy_it(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, device=device), nn.ReLU())
        with torch.no_grad():
            copy.deepcopy(net[:1])[0].bias.fill_(7)
        assert net[0].bias.item() != 7


@pitfall(
    "module-dict-keeps-its-order",
    docs=[("torch.nn.ModuleDict", "the order of insertion, and"), "torch.nn.ModuleDict.update"],
    symptom="the layers of a ModuleDict run in an order that I did not expect",
    priority=3,
)
class TestModuleDictKeepsItsOrder:
    """A ``ModuleDict`` is ordered by insertion; a key that is assigned again keeps its old place.

    Pop the key first to move it to the end. The order is also that of ``parameters()``, thus of the state of an
    optimizer.
    """

    def test_trap_a_replaced_key_keeps_its_place(self):
        layers = nn.ModuleDict({"b": nn.ReLU(), "a": nn.ReLU()})
        layers.update({"c": nn.ReLU(), "b": nn.Tanh()})
        assert list(layers.keys()) == ["b", "a", "c"]

    def test_fix_pop_it_first(self):
        layers = nn.ModuleDict({"b": nn.ReLU(), "a": nn.ReLU()})
        layers["b"] = layers.pop("b")
        assert list(layers.keys()) == ["a", "b"]


@pitfall(
    "name-taken-in-a-module",
    docs=["torch.nn.Module.add_module", "torch.nn.ModuleDict", "torch.nn.Module.register_buffer"],
    symptom="KeyError: attribute 'keys' already exists, for a key of my ModuleDict",
    error="already exists",
    priority=3,
)
class TestNameTakenInAModule:
    """A child, parameter or buffer can't have the name of an attribute or method, nor one that is empty or has a dot.

    So a ``ModuleDict`` can't have ``"keys"``, ``"type"`` or ``"forward"`` as keys, nor paths such as ``"block.0"``.
    Prefix the keys, and replace dots. A child of the same name is replaced without a word.
    """

    @pytest.mark.parametrize("key", ["keys", "items", "type", "float", "forward", "training"])
    def test_trap_names_of_methods_are_taken(self, key):
        with pytest.raises(KeyError, match=f"attribute '{key}' already exists"):
            nn.ModuleDict({key: nn.ReLU()})

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            pytest.param("a.b", r"name can\W+t contain", id="dot"),
            pytest.param("", r"name can\W+t be empty", id="empty"),
        ],
    )
    def test_trap_dots_and_empty_names_are_refused(self, key, message):
        with pytest.raises(KeyError, match=message):
            nn.ModuleDict({key: nn.ReLU()})

    def test_trap_a_child_is_replaced_without_a_word(self):
        net = nn.Sequential(nn.ReLU())
        net.add_module("0", nn.Tanh())
        assert [type(child) for child in net.children()] == [nn.Tanh]

    def test_fix_prefix_the_key(self):
        layers = nn.ModuleDict({f"layer_{key}": nn.ReLU() for key in ("keys", "type")})
        assert list(layers) == ["layer_keys", "layer_type"]
