"""Modules as functions: ``functional_call`` and ``stack_module_state``, tied weights, buffers and wrong names."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from pitfalls import pitfall


class Tied(nn.Module):
    """A module with one parameter under two names."""

    def __init__(self, device):
        super().__init__()
        self.first = nn.Parameter(torch.tensor(1.0, device=device))
        self.second = self.first

    def forward(self, x):
        return x * self.first + x * self.second


class Counter(nn.Module):
    """A module that counts its calls in a buffer."""

    def __init__(self, device):
        super().__init__()
        self.register_buffer("calls", torch.tensor(0.0, device=device))

    def forward(self, x):
        self.calls.add_(1)
        return x + self.calls


@pitfall(
    "functional-call-ties-weights",
    docs=["torch.func.functional_call", "torch.nn.utils.stateless.functional_call"],
    symptom="functional_call with one of two tied weights changes both",
    error="functional_call got multiple values for keys",
    priority=2,
)
class TestFunctionalCallTiesWeights:
    """``functional_call`` replaces a tied weight under all its names when one is given, and refuses two values.

    ``tie_weights=False`` replaces the names that were given and no other.
    """

    def test_trap_one_name_replaces_both(self, device):
        x, ten = torch.tensor(1.0, device=device), torch.tensor(10.0, device=device)
        assert functional_call(Tied(device), {"first": ten}, x).item() == 20

    def test_trap_two_values_are_refused(self, device):
        x, ten = torch.tensor(1.0, device=device), torch.tensor(10.0, device=device)
        with pytest.raises(ValueError, match="functional_call got multiple values for keys"):
            functional_call(Tied(device), {"first": ten, "second": ten * 2}, x)

    def test_fix_untie_them(self, device):
        x, ten = torch.tensor(1.0, device=device), torch.tensor(10.0, device=device)
        assert functional_call(Tied(device), {"first": ten}, x, tie_weights=False).item() == 11
        both = {"first": ten, "second": ten * 2}
        assert functional_call(Tied(device), both, x, tie_weights=False).item() == 30


@pitfall(
    "functional-call-writes-to-the-dictionary",
    docs=["torch.func.functional_call", "torch.nn.utils.stateless.functional_call"],
    symptom="the buffers that I gave to functional_call have changed; those of the module have not",
    priority=2,
)
class TestFunctionalCallWritesToTheDictionary:
    """What a module writes to its buffers within ``functional_call`` lands in the dictionary that was given.

    Running statistics of normalisation layers do so too. Give clones of the buffers to keep the originals, and keep
    the dictionary to have what was updated.
    """

    def test_trap_the_dictionary_changes(self, device):
        module, state = Counter(device), {"calls": torch.tensor(5.0, device=device)}
        functional_call(module, state, torch.tensor(0.0, device=device))
        assert state["calls"].item() == 6

    def test_trap_the_module_does_not(self, device):
        module, state = Counter(device), {"calls": torch.tensor(5.0, device=device)}
        result = functional_call(module, state, torch.tensor(0.0, device=device))
        assert result.item() == 6
        assert module.calls.item() == 0

    def test_fix_give_clones(self, device):
        module, state = Counter(device), {"calls": torch.tensor(5.0, device=device)}
        clones = {name: value.clone() for name, value in state.items()}
        functional_call(module, clones, torch.tensor(0.0, device=device))
        assert state["calls"].item() == 5


@pitfall(
    "functional-call-ignores-unknown-names",
    docs=["torch.func.functional_call"],
    symptom="functional_call gives the same result whatever parameters I pass",
    error="Error(s) in reparametrizing for",
    priority=2,
)
class TestFunctionalCallIgnoresUnknownNames:
    """``functional_call`` takes missing names from the module and ignores unknown ones, unless ``strict=True``.

    A misspelt name leaves the module's own weight in use, and its gradient is zero. Pass ``strict=True``.
    """

    def test_trap_a_misspelt_name_is_ignored(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(layer.weight)
        state = {"wieght": torch.tensor([[5.0]], device=device)}
        assert functional_call(layer, state, torch.ones(1, device=device)).item() == 1

    def test_trap_its_gradient_is_zero(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        state = {"wieght": torch.tensor([[5.0]], device=device)}
        slopes = torch.func.grad(lambda state: functional_call(layer, state, torch.ones(1, device=device)).sum())
        assert slopes(state)["wieght"].item() == 0

    @pytest.mark.parametrize("names", [["weight"], ["weight", "bias", "scale"]], ids=["missing", "unknown"])
    def test_fix_strict_refuses(self, device, seeded, names):
        layer = nn.Linear(1, 1, device=device)
        state = {name: torch.ones(1, 1, device=device) for name in names}
        with pytest.raises(RuntimeError, match=r"Error\(s\) in reparametrizing for Linear"):
            functional_call(layer, state, (torch.ones(1, device=device),), strict=True)


@pitfall(
    "stacked-modules-must-be-alike",
    docs=["torch.func.stack_module_state"],
    symptom="RuntimeError: stack_module_state: Expected all models to have the same training/eval mode",
    error="stack_module_state: Expected all models to",
    priority=2,
)
class TestStackedModulesMustBeAlike:
    """``stack_module_state`` wants modules of one class, in one mode, and with the same parameters frozen.

    It returns copies, which are leaves: training them leaves the modules as they were. Copy the slices back.
    """

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            pytest.param(lambda: nn.Linear(1, 1).eval(), "the same training/eval mode", id="another mode"),
            pytest.param(lambda: nn.Bilinear(1, 1, 1), "to be of the same class", id="another class"),
            pytest.param(
                lambda: nn.Linear(1, 1).requires_grad_(False), r"to have the same \.requires_grad", id="frozen"
            ),
        ],
    )
    def test_trap_others_are_refused(self, seeded, other, message):
        with pytest.raises(RuntimeError, match=message):
            stack_module_state([nn.Linear(1, 1), other()])

    def test_trap_the_stack_is_a_copy(self, device, seeded):
        layers = [nn.Linear(1, 1, device=device) for _ in range(2)]
        for layer in layers:
            nn.init.ones_(layer.weight)
        params, _ = stack_module_state(layers)
        with torch.no_grad():
            params["weight"].zero_()
        assert layers[0].weight.item() == 1

    def test_fix_run_them_as_one(self, device, seeded):
        layers = [nn.Linear(1, 1, device=device) for _ in range(2)]
        params, buffers = stack_module_state(layers)
        x = torch.ones(1, device=device)
        outputs = torch.vmap(lambda params, buffers: functional_call(layers[0], (params, buffers), x))(params, buffers)
        torch.testing.assert_close(outputs, torch.stack([layer(x) for layer in layers]))


@pitfall(
    "batch-norm-refuses-vmap",
    docs=["func.batch_norm", "torch.vmap"],
    symptom="RuntimeError: Batch norm got a batched tensor as input while the running_mean or running_var",
    error="Batch norm got a batched tensor as input",
    priority=2,
)
class TestBatchNormRefusesVmap:
    """Batch normalisation in training mode raises under ``vmap``: its running statistics belong to no one example.

    Leave them out (``track_running_stats=False``, or ``replace_all_batch_norm_modules_`` for a whole model), use
    ``eval()``, or another normalisation.
    """

    def test_trap_it_raises(self, device):
        layer = nn.BatchNorm1d(2, device=device)
        with pytest.raises(RuntimeError, match="Batch norm got a batched tensor as input"):
            torch.vmap(layer)(torch.ones(3, 4, 2, device=device))

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda: nn.BatchNorm1d(2).eval(), id="eval"),
            pytest.param(lambda: nn.BatchNorm1d(2, track_running_stats=False), id="no statistics"),
            pytest.param(lambda: torch.func.replace_all_batch_norm_modules_(nn.BatchNorm1d(2)), id="replaced"),
            pytest.param(lambda: nn.GroupNorm(1, 2), id="GroupNorm"),
        ],
    )
    def test_fix_without_running_statistics(self, device, make):
        assert torch.vmap(make().to(device))(torch.ones(3, 4, 2, device=device)).shape == (3, 4, 2)


class Doubled(nn.Module):
    """A parametrization whose weight is twice the original."""

    def forward(self, original):
        return original * 2

    def right_inverse(self, weight):
        return weight / 2


class Positive(nn.Module):
    """A parametrization that can't be undone."""

    def forward(self, original):
        return original.abs()


@pitfall(
    "functional-call-of-parametrized-weights",
    docs=["torch.func.functional_call", "torch.nn.utils.parametrize.register_parametrization"],
    symptom="functional_call with the plain name of a parametrized weight skips the parametrization, or raises",
    error="does not implement right_inverse",
    contradicts={
        "torch.func.functional_call": "The plain name does not disable the parametrization: the value goes through it."
    },
    priority=2,
)
class TestFunctionalCallOfParametrizedWeights:
    """Under its plain name ``functional_call`` takes a parametrized weight as the final value, not as the original.

    It goes through ``right_inverse`` and back, or raises where there is none. Name the original,
    ``parametrizations.weight.original``, to have the parametrization applied.
    """

    def test_trap_the_plain_name_is_the_final_weight(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
        state = {"weight": torch.tensor([[5.0]], device=device)}
        assert functional_call(layer, state, torch.ones(1, device=device)).item() == 5

    def test_trap_without_an_inverse_it_raises(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.utils.parametrize.register_parametrization(layer, "weight", Positive())
        state = {"weight": torch.tensor([[5.0]], device=device)}
        with pytest.raises(RuntimeError, match="does not implement right_inverse"):
            functional_call(layer, state, torch.ones(1, device=device))

    def test_fix_name_the_original(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
        state = {"parametrizations.weight.original": torch.tensor([[5.0]], device=device)}
        assert functional_call(layer, state, torch.ones(1, device=device)).item() == 10
