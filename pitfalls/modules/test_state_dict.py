"""State dicts: what they alias, which keys they have, and what `load_state_dict` accepts, converts and replaces."""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

from pitfalls import before, observe, pitfall, since


@pitfall(
    "state-dict-is-live",
    docs=[("torch.nn.Module.state_dict", "to the module's parameters and buffers"), "torch.nn.Module.load_state_dict"],
    symptom="restoring the best weights kept from model.state_dict() gives the last weights",
    priority=1,
)
class TestStateDictIsLive:
    """``state_dict()`` holds the module's own tensors: training goes on in a state dict that was kept earlier.

    ``best = model.state_dict()`` is thus always the present state, and so are its buffers. ``dict(...)`` and
    ``copy.copy`` copy the dictionary only. Use ``copy.deepcopy(model.state_dict())``, or save it to a file.
    """

    @pytest.mark.parametrize(
        "keep",
        [
            pytest.param(lambda net: net.state_dict(), id="state_dict"),
            pytest.param(lambda net: dict(net.state_dict()), id="dict"),
            pytest.param(lambda net: copy.copy(net.state_dict()), id="copy"),
            pytest.param(lambda net: {name: x.detach() for name, x in net.state_dict().items()}, id="detached"),
        ],
    )
    def test_trap_training_changes_it(self, device, seeded, keep):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(net.weight)
        best = keep(net)
        net(torch.ones(1, device=device)).backward()
        torch.optim.SGD(net.parameters(), lr=0.5).step()
        assert best["weight"].tolist() == [[0.5]]

    def test_trap_loading_it_restores_nothing(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(net.weight)
        best = net.state_dict()
        with torch.no_grad():
            net.weight.fill_(7)
        net.load_state_dict(best)
        assert net.weight.tolist() == [[7]]

    @pytest.mark.parametrize(
        "keep",
        [
            pytest.param(lambda net: copy.deepcopy(net.state_dict()), id="deepcopy"),
            pytest.param(lambda net: {name: x.clone() for name, x in net.state_dict().items()}, id="clone"),
        ],
    )
    def test_fix_copy_the_tensors(self, device, seeded, keep):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(net.weight)
        best = keep(net)
        with torch.no_grad():
            net.weight.fill_(7)
        net.load_state_dict(best)
        assert net.weight.tolist() == [[1]]


@pitfall(
    "state-dict-is-no-model",
    docs=[("torch.nn.Module.state_dict", "a dictionary containing references to the whole")],
    symptom="AttributeError: 'collections.OrderedDict' object has no attribute 'eval'",
    error="object has no attribute 'eval'",
)
class TestStateDictIsNoModel:
    """A state dict is a dictionary of tensors: it can't be called, moved or put into eval mode.

    The code of the model is not in it, so loading a file of weights gives no model. Make the model and load the state
    dict into it, which in turn takes the dictionary, not the name of a file.
    """

    @pytest.mark.parametrize("method", ["eval", "to", "cuda", "parameters"])
    def test_trap_it_has_no_methods_of_a_module(self, device, seeded, method):
        state = nn.Linear(1, 1, device=device).state_dict()
        with pytest.raises(AttributeError, match=f"'collections.OrderedDict' object has no attribute '{method}'"):
            getattr(state, method)

    @pytest.mark.parametrize("given", ["model.pt", nn.ReLU()], ids=["file name", "model"])
    def test_trap_load_state_dict_takes_nothing_else(self, device, seeded, given):
        net = nn.Linear(1, 1, device=device)
        with pytest.raises(TypeError, match="Expected state_dict to be dict-like"):
            net.load_state_dict(given)

    def test_fix_load_it_into_a_model(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        net.load_state_dict({"weight": torch.tensor([[2.0]]), "bias": torch.tensor([1.0])})
        assert net.eval()(torch.tensor([3.0], device=device)).tolist() == [7]


@pitfall(
    "load-state-dict-is-strict",
    docs=[
        ("torch.nn.Module.load_state_dict", "must exactly match the keys returned"),
        ("torch.nn.Module.load_state_dict", "fields"),
    ],
    symptom="RuntimeError: Error(s) in loading state_dict: Missing key(s), Unexpected key(s)",
    error="Error(s) in loading state_dict",
    priority=1,
)
class TestLoadStateDictIsStrict:
    """``load_state_dict`` raises unless its keys are exactly those of the module; ``strict=False`` takes any keys.

    The message lists both what is missing and what is unexpected, which shows a prefix or a renamed layer at a glance.
    With ``strict=False`` a state dict in which nothing matches loads nothing, without a word: look at what it returns.
    """

    def test_trap_missing_keys_raise(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "bias"'):
            net.load_state_dict({"weight": torch.tensor([[2.0]])})
        observe(loaded_before_it_raised=net.weight.item() == 2)

    def test_trap_both_sides_are_listed(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        with pytest.raises(RuntimeError, match=r'Missing key\(s\).*: "bias".\s+Unexpected key\(s\).*: "scale"'):
            net.load_state_dict({"weight": torch.tensor([[2.0]]), "scale": torch.ones(1)})

    def test_trap_not_strict_may_load_nothing(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(net.weight)
        net.load_state_dict({"module.weight": torch.tensor([[2.0]])}, strict=False)
        assert net.weight.item() == 1

    def test_fix_look_at_what_it_returns(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        result = net.load_state_dict({"weight": torch.ones(1, 1), "scale": torch.ones(1)}, strict=False)
        assert (result.missing_keys, result.unexpected_keys) == (["bias"], ["scale"])


@pitfall(
    "strict-false-still-checks-shapes",
    docs=["torch.nn.Module.load_state_dict"],
    symptom="RuntimeError: size mismatch for fc.weight, in spite of strict=False",
    error="size mismatch for",
)
class TestStrictFalseStillChecksShapes:
    """``strict=False`` is about keys: a value of another shape raises all the same, also if it could be broadcast.

    That is what stops a head for other classes. Drop those keys from the state dict first. ``assign=True`` checks
    shapes too.
    """

    @pytest.mark.parametrize("shape", [(3, 2), (1, 1), (4,)], ids=str)
    def test_trap_another_shape_is_refused(self, device, seeded, shape):
        net = nn.Linear(2, 2, device=device)
        with pytest.raises(RuntimeError, match="size mismatch for weight: copying a param with shape"):
            net.load_state_dict({"weight": torch.ones(shape)}, strict=False)

    def test_fix_drop_what_does_not_fit(self, device, seeded):
        net = nn.Linear(2, 2, device=device)
        state = {"weight": torch.ones(3, 2), "bias": torch.tensor([5.0, 6.0])}
        own = net.state_dict()
        net.load_state_dict({k: v for k, v in state.items() if v.shape == own[k].shape}, strict=False)
        assert net.bias.tolist() == [5, 6]


@pitfall(
    "load-state-dict-copies-and-converts",
    docs=["torch.nn.Module.load_state_dict", "torch.Tensor.copy_"],
    symptom="a float64 or bfloat16 checkpoint loads without a word, but the model is still float32",
)
class TestLoadStateDictCopiesAndConverts:
    """``load_state_dict`` writes into the existing parameters: dtype and device stay those of the module.

    Values are converted silently, also where that loses digits or, for integer buffers, fractions. The parameters stay
    the same objects, so an optimizer that holds them goes on working. Convert the module, or pass ``assign=True``.
    """

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64], ids=str)
    def test_trap_the_dtype_of_the_module_stays(self, device, seeded, dtype):
        net = nn.Linear(1, 1, bias=False, device=device)
        net.load_state_dict({"weight": torch.full((1, 1), 3, dtype=dtype)})
        assert (net.weight.dtype, net.weight.item()) == (torch.float32, 3)

    def test_trap_an_integer_buffer_drops_fractions(self, device):
        net = nn.Module()
        net.register_buffer("count", torch.tensor(0, device=device))
        net.load_state_dict({"count": torch.tensor(2.75)})
        assert net.count.item() == 2

    def test_trap_the_source_can_change_afterwards(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        state = {"weight": torch.ones(1, 1, device=device)}
        net.load_state_dict(state)
        state["weight"].fill_(7)
        assert net.weight.item() == 1

    def test_fix_convert_the_module_first(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device).double()
        net.load_state_dict({"weight": torch.full((1, 1), 0.1, dtype=torch.float64)})
        assert net.weight.item() == 0.1


@since("2.1")
@pitfall(
    "load-state-dict-assign-replaces",
    docs=[("torch.nn.Module.load_state_dict", "the optimizer must be created after"), "meta"],
    symptom="after load_state_dict(..., assign=True) the model doesn't train, or is float16 all of a sudden",
    changed={"2.1": "load_state_dict has assign=True"},
)
class TestLoadStateDictAssignReplaces:
    """``load_state_dict(assign=True)`` puts the loaded tensors in the place of the parameters.

    They keep their own dtype, device and memory, an optimizer made before holds the old parameters, and tied weights
    are tied no more. Make the optimizer, and tie again, after loading. Whether they require grad is as before.
    """

    def test_trap_the_optimizer_holds_the_old_ones(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        net.load_state_dict({"weight": torch.ones(1, 1, device=device)}, assign=True)
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert net.weight.item() == 1

    def test_trap_dtype_is_that_of_the_checkpoint(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        net.load_state_dict({"weight": torch.ones(1, 1, dtype=torch.float16, device=device)}, assign=True)
        assert net.weight.dtype == torch.float16

    def test_trap_memory_is_shared_with_the_checkpoint(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        state = {"weight": torch.ones(1, 1, device=device)}
        net.load_state_dict(state, assign=True)
        state["weight"].fill_(7)
        assert net.weight.item() == 7

    def test_trap_tied_weights_come_apart(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, bias=False, device=device), nn.Linear(1, 1, bias=False, device=device))
        net[1].weight = net[0].weight
        state = {"0.weight": torch.ones(1, 1, device=device), "1.weight": torch.ones(1, 1, device=device)}
        net.load_state_dict(state, assign=True)
        assert len(list(net.parameters())) == 2

    def test_fix_make_the_optimizer_afterwards(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        net.load_state_dict({"weight": torch.ones(1, 1, device=device)}, assign=True)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert net.weight.item() == 0.5


@pitfall(
    "state-dict-positional-arguments",
    docs=["torch.nn.Module.state_dict"],
    symptom="FutureWarning: Positional args are being deprecated, from model.state_dict(...)",
    error="Positional args are being deprecated",
    priority=3,
    changed={"2.4": "state_dict with positional arguments gives a FutureWarning; it had been a UserWarning"},
)
class TestStateDictPositionalArguments:
    """``state_dict`` takes its destination, prefix and ``keep_vars`` by name; by position they are deprecated.

    Code that overrides ``state_dict`` to call its parents' with arguments is where it comes from. The parameters in
    it don't require grad unless ``keep_vars=True``.
    """

    @pytest.mark.parametrize(
        "category",
        [
            pytest.param(UserWarning, id="UserWarning", marks=before("2.4")),
            pytest.param(FutureWarning, id="FutureWarning", marks=since("2.4")),
        ],
    )
    def test_trap_by_position_it_warns(self, device, seeded, category):
        net = nn.Linear(1, 1, bias=False, device=device)
        with pytest.warns(category, match="Positional args are being deprecated"):
            state = net.state_dict(OrderedDict(), "net.")
        assert list(state) == ["net.weight"]

    def test_fix_by_name(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        state = net.state_dict(prefix="net.", keep_vars=True)
        assert {name: value.requires_grad for name, value in state.items()} == {"net.weight": True}
