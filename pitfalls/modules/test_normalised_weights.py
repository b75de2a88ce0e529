"""Spectral and weight normalisation: layers whose weight is normalised at each access."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from pitfalls import before, pitfall, since


@pitfall(
    "spectral-norm-moves-when-read",
    docs=[("torch.nn.utils.parametrizations.spectral_norm", "power iteration"), "torch.nn.Module.eval"],
    symptom="two readings of a spectrally normalised weight differ",
)
class TestSpectralNormMovesWhenRead:
    """In training mode each reading of a spectrally normalised weight takes one more step of power iteration.

    So looking at ``layer.weight``, also under ``no_grad``, changes its buffers, and the weight until they have
    converged. Removing the parametrization reads it too. Switch to eval mode first.
    """

    @pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad], ids=["enable_grad", "no_grad"])
    def test_trap_reading_changes_it(self, device, seeded, mode):
        layer = nn.Linear(2, 2, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.98]]))  # close values converge slowly
        parametrizations.spectral_norm(layer)
        with mode():
            first, second = layer.weight, layer.weight
        assert not torch.equal(first, second)

    def test_trap_removing_it_reads_it(self, device, seeded):
        layer = nn.Linear(2, 2, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.98]]))
        parametrizations.spectral_norm(layer)
        before = layer.eval().weight.clone()
        parametrize.remove_parametrizations(layer.train(), "weight")
        assert not torch.equal(layer.weight, before)

    def test_fix_eval_first(self, device, seeded):
        layer = nn.Linear(2, 2, device=device)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.98]]))
        parametrizations.spectral_norm(layer).eval()
        before = layer.weight.clone()
        parametrize.remove_parametrizations(layer, "weight")
        assert torch.equal(layer.weight, before)


@since("2.1")
@pitfall(
    "weight-norm-has-two-forms",
    docs=["torch.nn.utils.weight_norm", "torch.nn.utils.parametrizations.weight_norm"],
    symptom="FutureWarning: torch.nn.utils.weight_norm is deprecated in favor of parametrizations.weight_norm",
    error="is deprecated in favor of",
    changed={
        "2.1": "there is parametrizations.weight_norm, and torch.nn.utils.weight_norm warns",
        "2.4": "the warning of torch.nn.utils.weight_norm is a FutureWarning; it had been a UserWarning",
    },
)
class TestWeightNormHasTwoForms:
    """``nn.utils.weight_norm`` is deprecated; the form in ``parametrizations`` has other keys and no hook.

    The old one saves ``weight_g`` and ``weight_v``, and its ``weight`` is out of date until the next forward pass. The
    new one calls them ``original0`` and ``original1``, computes the weight at each access, and loads old checkpoints.
    """

    @pytest.mark.parametrize(
        "category",
        [
            pytest.param(UserWarning, id="UserWarning", marks=before("2.4")),
            pytest.param(FutureWarning, id="FutureWarning", marks=since("2.4")),
        ],
    )
    def test_trap_the_old_form_warns(self, device, seeded, category):
        layer = nn.Linear(1, 1, bias=False, device=device)
        with pytest.warns(category, match="weight_norm.? is deprecated in favor of"):
            nn.utils.weight_norm(layer)
        assert list(layer.state_dict()) == ["weight_g", "weight_v"]

    def test_trap_its_weight_is_out_of_date(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(layer.weight)
        with pytest.warns((UserWarning, FutureWarning), match="weight_norm.? is deprecated in favor of"):
            nn.utils.weight_norm(layer)
        nn.init.constant_(layer.weight_g, 5.0)
        seen = [layer.weight.item()]
        layer(torch.ones(1, device=device))
        seen.append(layer.weight.item())
        assert seen == [1, 5]

    def test_trap_the_new_form_has_other_keys(self, device, seeded):
        layer = parametrizations.weight_norm(nn.Linear(1, 1, bias=False, device=device))
        assert list(layer.state_dict()) == ["parametrizations.weight.original0", "parametrizations.weight.original1"]

    def test_fix_the_new_form_is_up_to_date(self, device, seeded):
        layer = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(layer.weight)
        parametrizations.weight_norm(layer)
        nn.init.constant_(layer.parametrizations.weight.original0, 5.0)
        assert layer.weight.item() == 5

    def test_fix_the_new_form_loads_old_checkpoints(self, device, seeded):
        layer = parametrizations.weight_norm(nn.Linear(1, 1, bias=False, device=device))
        layer.load_state_dict({"weight_g": torch.tensor([[5.0]]), "weight_v": torch.tensor([[1.0]])})
        assert layer.weight.item() == 5
