"""Parametrizations: weights that are computed at each access, from parameters of other names."""

import io

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from pitfalls import pitfall, since


class Doubled(nn.Module):
    """A weight that is twice its parameter; counts how often it is computed."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, original):
        self.calls += 1
        return 2 * original

    def right_inverse(self, weight):
        return weight / 2


class Symmetric(nn.Module):
    """A weight that is symmetric: the upper triangle of its parameter, mirrored."""

    def forward(self, original):
        return original.triu() + original.triu(1).T


class Product(nn.Module):
    """A weight that is the product of two parameters."""

    def forward(self, first, second):
        return first * second

    def right_inverse(self, weight):
        return weight, torch.ones_like(weight)


@pitfall(
    "parametrized-weight-is-computed",
    docs=[
        ("torch.nn.utils.parametrize.cached", "enables the caching system within parametrizations"),
        "torch.nn.utils.parametrize.register_parametrization",
    ],
    symptom="a write to the weight of a parametrized layer has no effect",
)
class TestParametrizedWeightIsComputed:
    """A parametrized weight is computed afresh at each access: what is written to it in place is lost.

    Assign to it instead, which goes through ``right_inverse`` and raises where there is none, or write to
    ``layer.parametrizations.weight.original``. Within ``parametrize.cached()`` it is computed once.
    """

    def test_trap_a_write_is_lost(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        nn.init.ones_(layer.weight)
        parametrize.register_parametrization(layer, "weight", Doubled())
        with torch.no_grad():
            layer.weight.fill_(7)
        assert layer.weight.item() == 1

    def test_trap_each_access_computes_it(self, device, seeded):
        layer, doubled = nn.Linear(1, 1, device=device), Doubled()
        parametrize.register_parametrization(layer, "weight", doubled)
        doubled.calls = 0
        layer(layer.weight + layer.weight)
        assert doubled.calls == 3

    def test_trap_without_an_inverse_it_cannot_be_assigned(self, device, seeded):
        layer = nn.Linear(2, 2, device=device)
        parametrize.register_parametrization(layer, "weight", Symmetric())
        with pytest.raises(RuntimeError, match="does not implement right_inverse"):
            layer.weight = torch.ones(2, 2, device=device)

    def test_fix_assign_it(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        parametrize.register_parametrization(layer, "weight", Doubled())
        layer.weight = torch.full((1, 1), 6.0, device=device)
        assert (layer.weight.item(), layer.parametrizations.weight.original.item()) == (6, 3)

    def test_fix_cache_it(self, device, seeded):
        layer, doubled = nn.Linear(1, 1, device=device), Doubled()
        parametrize.register_parametrization(layer, "weight", doubled)
        doubled.calls = 0
        with parametrize.cached():
            layer(layer.weight + layer.weight)
        assert doubled.calls == 1


@pitfall(
    "parametrization-renames-the-parameter",
    docs=[
        "torch.nn.utils.parametrize.register_parametrization",
        ("torch.nn.utils.parametrize.remove_parametrizations", "the parametrizations on a tensor in a module"),
    ],
    symptom="Missing key(s) in state_dict: parametrizations.weight.original; a parametrized model can't be saved whole",
    error="Serialization of parametrized modules is only supported through state_dict()",
)
class TestParametrizationRenamesTheParameter:
    """A parametrized ``weight`` is saved as ``parametrizations.weight.original``, and a plain checkpoint is refused.

    The layer also gets a class of its own, made at run time, so it can't be pickled whole. Load before you parametrize,
    and call ``remove_parametrizations`` before you save for others.
    """

    def test_trap_the_key_is_another(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        parametrize.register_parametrization(layer, "weight", Doubled())
        assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]

    def test_trap_a_plain_checkpoint_is_refused(self, device, seeded):
        state = nn.Linear(1, 1, device=device).state_dict()
        layer = nn.Linear(1, 1, device=device)
        parametrize.register_parametrization(layer, "weight", Doubled())
        with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "parametrizations.weight.original"'):
            layer.load_state_dict(state)

    def test_trap_it_cannot_be_pickled(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        parametrize.register_parametrization(layer, "weight", Doubled())
        with pytest.raises(RuntimeError, match="Serialization of parametrized modules is only supported through"):
            torch.save(layer, io.BytesIO())

    def test_fix_remove_it_before_saving(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        parametrize.register_parametrization(layer, "weight", Doubled())
        parametrize.remove_parametrizations(layer, "weight")
        assert sorted(layer.state_dict()) == ["bias", "weight"]


@pitfall(
    "parametrization-adds-parameters",
    docs=[("torch.nn.utils.parametrize.register_parametrization", "If a parametrization depends on several inputs")],
    symptom="a weight-normalised layer does not train: the optimizer was made before",
    changed={"2.1": "torch.nn.utils.parametrizations.weight_norm came"},
)
class TestParametrizationAddsParameters:
    """A parametrization of several inputs has new parameters, which an optimizer made before does not know.

    Weight normalisation is one. With a single input the parameter stays the same object, under its new name. Make the
    optimizer afterwards.
    """

    @pytest.mark.parametrize(
        "register",
        [
            pytest.param(lambda net: parametrize.register_parametrization(net, "weight", Product()), id="two inputs"),
            pytest.param(lambda net: parametrizations.weight_norm(net), id="weight_norm", marks=since("2.1")),
        ],
    )
    def test_trap_the_optimizer_updates_nothing(self, device, seeded, register):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(layer.weight)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
        register(layer)
        layer(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert layer.weight.item() == 1

    def test_trap_one_input_is_the_same_parameter(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        weight = layer.weight
        parametrize.register_parametrization(layer, "weight", Doubled())
        assert layer.parametrizations.weight.original is weight

    def test_fix_make_the_optimizer_afterwards(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(layer.weight)
        parametrize.register_parametrization(layer, "weight", Product())
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
        layer(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert layer.weight.item() == 0.25


class FirstRow(nn.Module):
    """A weight that is the first row of its parameter."""

    def forward(self, original):
        return original[:1]


class Float64(nn.Module):
    """A weight that is its parameter in float64."""

    def forward(self, original):
        return original.double()


@pitfall(
    "register-parametrization-checks-once",
    docs=[
        ("torch.nn.utils.parametrize.register_parametrization", "will be called once to perform a number"),
        ("torch.nn.utils.parametrize.ParametrizationList", "unsafe"),
    ],
    symptom="Registering a parametrization may not change the shape of the tensor, unless `unsafe` flag is enabled",
    error="Registering a parametrization may not change the",
    priority=3,
)
class TestRegisterParametrizationChecksOnce:
    """``register_parametrization`` computes the weight once, to check that shape and dtype stay as they are.

    With ``unsafe=True`` it doesn't look: a weight of another shape is accepted, and fails, or broadcasts, where it is
    used. A parametrization with side effects has them at registration.
    """

    CHANGES = [pytest.param(FirstRow, "shape", id="shape"), pytest.param(Float64, "dtype", id="dtype")]

    @pytest.mark.parametrize(("parametrization", "what"), CHANGES)
    def test_trap_a_change_is_refused(self, device, seeded, parametrization, what):
        layer = nn.Linear(2, 2, device=device)
        with pytest.raises(ValueError, match=f"Registering a parametrization may not change the {what}"):
            parametrize.register_parametrization(layer, "weight", parametrization())

    def test_trap_it_is_called_once(self, device, seeded):
        layer, doubled = nn.Linear(1, 1, device=device), Doubled()
        parametrize.register_parametrization(layer, "weight", doubled)
        assert doubled.calls == 1

    def test_trap_unsafe_accepts_another_shape(self, device, seeded):
        layer = nn.Linear(2, 2, bias=False, device=device)
        parametrize.register_parametrization(layer, "weight", FirstRow(), unsafe=True)
        assert layer(torch.ones(2, device=device)).shape == (1,)

    def test_fix_leave_the_checks_on(self, device, seeded):
        layer = nn.Linear(2, 2, device=device)
        parametrize.register_parametrization(layer, "weight", Symmetric())
        assert layer.weight.shape == (2, 2)
