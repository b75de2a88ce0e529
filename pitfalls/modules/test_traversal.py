"""Going through a module: its children, modules and parameters, which of them are yielded twice, and what is shared."""

import copy

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


@pitfall(
    "children-is-one-level-deep",
    docs=[
        ("torch.nn.Module.children", "an iterator over immediate children modules"),
        ("torch.nn.Module.modules", "iterator over all modules in the network"),
        "notes/modules",
    ],
    symptom="my loop over model.children() doesn't find the convolutions inside the blocks",
)
class TestChildrenIsOneLevelDeep:
    """``children()`` yields the modules directly inside, ``modules()`` all of them at any depth and the module itself.

    A loop over ``children()`` misses what is in a block; one over ``modules()`` meets containers too, and the model
    first of all. Use ``modules()`` with ``isinstance``.
    """

    def test_trap_children_misses_what_is_nested(self, device, seeded):
        net = nn.Sequential(nn.Sequential(nn.Linear(1, 1, device=device)), nn.ReLU())
        assert [type(child) for child in net.children()] == [nn.Sequential, nn.ReLU]

    def test_trap_modules_begins_with_the_module_itself(self, device, seeded):
        net = nn.Sequential(nn.Sequential(nn.Linear(1, 1, device=device)), nn.ReLU())
        assert [type(module) for module in net.modules()] == [nn.Sequential, nn.Sequential, nn.Linear, nn.ReLU]

    def test_trap_named_modules_calls_the_module_itself_nothing(self, device, seeded):
        net = nn.Sequential(nn.Sequential(nn.Linear(1, 1, device=device)), nn.ReLU())
        assert [name for name, _ in net.named_modules()] == ["", "0", "0.0", "1"]

    def test_fix_modules_and_isinstance(self, device, seeded):
        net = nn.Sequential(nn.Sequential(nn.Linear(1, 1, device=device)), nn.ReLU())
        assert [name for name, module in net.named_modules() if isinstance(module, nn.Linear)] == ["0.0"]


@pitfall(
    "shared-module-is-yielded-once",
    docs=[
        ("torch.nn.Module.modules", "Duplicate modules are returned only once"),
        ("torch.nn.Module.named_modules", "Duplicate modules are returned only once"),
    ],
    symptom="model.modules() yields fewer layers than the model runs",
)
class TestSharedModuleIsYieldedOnce:
    """A module that is used in several places is one module: ``modules()`` and ``children()`` yield it once.

    ``named_modules()`` gives its first name only, whereas ``len`` of a container and ``state_dict`` count each place.
    ``named_modules(remove_duplicate=False)`` gives all names.
    """

    @pytest.mark.parametrize("walk", [nn.Module.modules, nn.Module.children], ids=["modules", "children"])
    def test_trap_it_is_yielded_once(self, device, seeded, walk):
        layer = nn.Linear(1, 1, device=device)
        net = nn.Sequential(layer, layer, layer)
        assert sum(module is layer for module in walk(net)) == 1

    @pytest.mark.parametrize("walk", [nn.Module.named_modules, nn.Module.named_children], ids=["modules", "children"])
    def test_trap_under_its_first_name(self, device, seeded, walk):
        layer = nn.Linear(1, 1, device=device)
        net = nn.Sequential(layer, layer, layer)
        assert [name for name, module in walk(net) if module is layer] == ["0"]

    def test_fix_ask_for_duplicates(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        net = nn.Sequential(layer, layer, layer)
        assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]


@pitfall(
    "shared-parameter-has-two-names",
    docs=[("torch.nn.Module.named_parameters", "whether to remove the duplicated"), "torch.nn.Module.parameters"],
    symptom="the state_dict has more elements than the model has parameters",
)
class TestSharedParameterHasTwoNames:
    """``parameters()`` yields a shared parameter once; ``state_dict()`` lists it under each of its names.

    So tied weights are trained and counted once and saved under both names; when they are loaded, the last name wins.
    ``[layer] * 3`` makes such a model too: three places, one layer. Call the constructor each time for three layers.
    """

    def test_trap_tied_weights_count_once(self, device, seeded):
        net = nn.Sequential(nn.Linear(2, 2, bias=False, device=device), nn.Linear(2, 2, bias=False, device=device))
        net[1].weight = net[0].weight
        assert sum(p.numel() for p in net.parameters()) == 4
        assert sum(value.numel() for value in net.state_dict().values()) == 8

    def test_trap_a_multiplied_list_is_one_layer(self, device, seeded):
        net = nn.Sequential(*[nn.Linear(2, 2, device=device)] * 3)
        with torch.no_grad():
            net[0].bias.fill_(7)
        assert net[2].bias.tolist() == [7, 7]

    def test_trap_the_last_name_wins(self, device, seeded):
        net = nn.Sequential(*[nn.Linear(1, 1, bias=False, device=device)] * 2)
        net.load_state_dict({"0.weight": torch.tensor([[3.0]]), "1.weight": torch.tensor([[5.0]])})
        assert net[0].weight.tolist() == [[5]]

    def test_fix_ask_for_both_names(self, device, seeded):
        net = nn.Sequential(*[nn.Linear(1, 1, bias=False, device=device)] * 2)
        assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "1.weight"]

    def test_fix_make_each_layer(self, device, seeded):
        net = nn.Sequential(*[nn.Linear(2, 2, device=device) for _ in range(3)])
        assert len(list(net.parameters())) == 6

    def test_fix_a_deep_copy_stays_tied(self, device, seeded):
        net = nn.Sequential(nn.Linear(2, 2, bias=False, device=device), nn.Linear(2, 2, bias=False, device=device))
        net[1].weight = net[0].weight
        assert len(list(copy.deepcopy(net).parameters())) == 1


@pitfall(
    "parameters-is-used-up",
    docs=[("torch.nn.Module.parameters", "iterator over module parameters")],
    symptom="ValueError: optimizer got an empty parameter list, though the model has parameters",
    error="optimizer got an empty parameter list",
)
class TestParametersIsUsedUp:
    """``parameters()`` is an iterator: what goes through it once leaves nothing for whoever comes second.

    Counting the parameters and then handing the same object to an optimizer or to clipping gives them none. Call
    ``model.parameters()`` each time, or keep a list.
    """

    def test_trap_the_optimizer_gets_nothing(self, device, seeded):
        parameters = nn.Linear(2, 1, device=device).parameters()
        assert sum(p.numel() for p in parameters) == 3
        with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
            torch.optim.SGD(parameters, lr=0.1)

    def test_trap_it_has_no_length(self, device, seeded):
        with pytest.raises(TypeError, match="has no len"):
            len(nn.Linear(2, 1, device=device).parameters())

    def test_fix_keep_a_list(self, device, seeded):
        parameters = list(nn.Linear(2, 1, device=device).parameters())
        assert sum(p.numel() for p in parameters) == 3
        assert len(torch.optim.SGD(parameters, lr=0.1).param_groups[0]["params"]) == 2


@pitfall(
    "method-called-on-the-class",
    docs=["torch.nn.Module.parameters", "torch.nn.Module.state_dict"],
    symptom="TypeError: parameters() missing 1 required positional argument: 'self'",
    error="missing 1 required positional argument: 'self'",
)
class TestMethodCalledOnTheClass:
    """``Net.parameters()`` asks the class, which has no parameters: they are made with each instance, by ``Net()``.

    The parentheses after the class are what is missing. Where a method has arguments, the first of them is taken for
    the instance, and the message is stranger.
    """

    @pytest.mark.parametrize(
        "method",
        [nn.Module.parameters, nn.Module.state_dict, nn.Module.eval, nn.Module.zero_grad],
        ids=lambda method: method.__name__,
    )
    def test_trap_self_is_missing(self, method):
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'self'"):
            method()

    def test_fix_make_an_instance(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        assert [name for name, _ in net.named_parameters()] == ["weight", "bias"]


@pitfall(
    "apply-visits-children-first",
    docs=[("torch.nn.Module.apply", "recursively to every submodule (as returned by"), "torch.nn.init"],
    symptom="model.apply(init) initialised a shared layer twice, or overwrote what a block had set for its layers",
    priority=3,
)
class TestApplyVisitsChildrenFirst:
    """``apply`` calls its function for the innermost modules first and the model last, unlike ``modules()``.

    So what it sets for a block overrides what it set for the layers inside. A layer shared between blocks is visited
    once in each. A loop over ``modules()`` meets each module once, from the outside in.
    """

    def test_trap_the_model_comes_last(self):
        net, seen = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh()), []
        net.apply(lambda module: seen.append(type(module)))
        assert seen == [nn.ReLU, nn.Sequential, nn.Tanh, nn.Sequential]

    def test_trap_a_shared_layer_is_visited_in_each_block(self):
        layer, seen = nn.ReLU(), []
        nn.Sequential(nn.Sequential(layer), nn.Sequential(layer)).apply(lambda module: seen.append(module is layer))
        assert sum(seen) == 2

    def test_fix_modules_meets_it_once(self):
        layer = nn.ReLU()
        net = nn.Sequential(nn.Sequential(layer), nn.Sequential(layer))
        assert sum(module is layer for module in net.modules()) == 1


@pitfall(
    "submodule-by-path",
    docs=[("torch.nn.Module.get_submodule", "if it exists, otherwise"), "torch.nn.Module.get_parameter"],
    symptom="AttributeError: `weight` is not an nn.Module, from model.get_submodule",
    error="is not an nn.Module",
    priority=3,
)
class TestSubmoduleByPath:
    """``get_submodule`` takes the dotted path of a module only, and raises for one that isn't there.

    Parameters and buffers have ``get_parameter`` and ``get_buffer``. The empty path is the module itself.
    """

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            pytest.param("1", "Sequential has no attribute `1`", id="not there"),
            pytest.param("0.weight", "`weight` is not an nn.Module", id="parameter"),
        ],
    )
    def test_trap_only_modules_are_found(self, device, seeded, path, message):
        net = nn.Sequential(nn.Linear(1, 1, device=device))
        with pytest.raises(AttributeError, match=message):
            net.get_submodule(path)

    def test_trap_the_empty_path_is_the_module(self):
        net = nn.ReLU()
        assert net.get_submodule("") is net

    def test_fix_get_the_parameter(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, device=device))
        assert net.get_parameter("0.weight").shape == (1, 1)


@since("2.5")
@pitfall(
    "set-submodule-creates-what-is-missing",
    docs=["torch.nn.Module.set_submodule"],
    symptom="set_submodule with a misspelt path raised nothing and the model is unchanged where I wanted it",
    priority=3,
    changed={"2.7": "set_submodule has strict=True, with which a missing module raises"},
)
class TestSetSubmoduleCreatesWhatIsMissing:
    """``set_submodule`` replaces the module at a path, and adds it where the last name is not there yet.

    A misspelt name thus adds a module that nobody calls. Pass ``strict=True`` (since torch 2.7), with which it raises.
    """

    def test_trap_a_misspelt_name_is_added(self):
        net = nn.Sequential(nn.ReLU())
        net.set_submodule("O", nn.Tanh())
        assert [name for name, _ in net.named_children()] == ["0", "O"]

    @since("2.7")
    def test_fix_strict_raises(self):
        net = nn.Sequential(nn.ReLU())
        with pytest.raises(AttributeError, match="Sequential has no attribute `O`"):
            net.set_submodule("O", nn.Tanh(), strict=True)
