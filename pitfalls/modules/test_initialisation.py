"""Initialising parameters: what layers do by default, and what ``torch.nn.init`` takes for granted."""

import pytest
import torch
from torch import nn

from pitfalls import before, observe, pitfall, since


@pitfall(
    "default-initialisation-of-layers",
    docs=[("torch.nn.Linear", "The values are initialized from"), "torch.nn.Conv2d", "torch.nn.Embedding"],
    symptom="my embedding dominates the linear layers beside it; a bias is not zero at the start",
)
class TestDefaultInitialisationOfLayers:
    """Linear and convolution layers start with uniform values up to ``1 / sqrt(fan_in)``, embeddings with normal ones.

    The bias is drawn too, it isn't zero, and an embedding has a standard deviation of 1 however wide it is. Neither is
    the Xavier or He initialisation of the papers: apply ``nn.init`` for those.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda device: nn.Linear(100, 500, device=device), id="Linear"),
            pytest.param(lambda device: nn.Conv2d(4, 500, 5, device=device), id="Conv2d"),
        ],
    )
    def test_trap_the_bound_is_one_over_the_root_of_fan_in(self, device, seeded, make):
        layer = make(device)
        assert round(layer.weight.abs().max().item(), 2) == 0.1
        assert round(layer.bias.abs().max().item(), 2) == 0.1

    @pytest.mark.parametrize("width", [10, 1000])
    def test_trap_an_embedding_has_a_deviation_of_one(self, device, seeded, width):
        layer = nn.Embedding(10_000 // width, width, device=device)
        assert round(layer.weight.std().item(), 1) == 1

    def test_fix_initialise_explicitly(self, device, seeded):
        layer = nn.Linear(600, 500, device=device)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        assert round(layer.weight.abs().max().item(), 2) == 0.1
        assert layer.bias.count_nonzero().item() == 0


@pitfall(
    "fan-in-is-the-second-dimension",
    docs=[
        ("torch.nn.init.kaiming_uniform_", "fan_in"),
        ("torch.nn.init.kaiming_normal_", "fan_in"),
        "nn.init",
    ],
    symptom="activations shrink from layer to layer although the weights were initialised with kaiming_normal_",
)
class TestFanInIsTheSecondDimension:
    """``nn.init`` takes the second dimension for the inputs, as ``nn.Linear`` does, which computes ``x @ w.T``.

    A weight that is laid out for ``x @ w`` has it the other way round and gets the scale of its outputs. Initialise
    the transposed view, or ask for ``mode="fan_out"``.
    """

    def test_trap_uniform_has_the_scale_of_the_outputs(self, device, seeded):
        w = torch.empty(6, 600, device=device)  # for x @ w: 6 inputs, which ask for a bound of 1
        nn.init.kaiming_uniform_(w, nonlinearity="relu")
        assert round(w.abs().max().item(), 2) == 0.1

    def test_trap_normal_has_the_scale_of_the_outputs(self, device, seeded):
        w = torch.empty(2, 5000, device=device)  # for x @ w: 2 inputs, which ask for a deviation of 1
        nn.init.kaiming_normal_(w, nonlinearity="relu")
        assert round(w.std().item(), 3) == 0.02

    @pytest.mark.parametrize(
        "initialise",
        [
            pytest.param(lambda w: nn.init.kaiming_normal_(w.T, nonlinearity="relu"), id="transposed"),
            pytest.param(lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu"), id="fan_out"),
        ],
    )
    def test_fix_transpose_or_fan_out(self, device, seeded, initialise):
        w = torch.empty(2, 5000, device=device)
        initialise(w)
        assert round(w.std().item(), 1) == 1


@pitfall(
    "init-needs-two-dimensions",
    docs=["torch.nn.init.xavier_uniform_", "torch.nn.init.kaiming_normal_", "nn.init"],
    symptom="ValueError: Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
    error="Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
)
class TestInitNeedsTwoDimensions:
    """Xavier and Kaiming initialisation need a fan-in, so they refuse biases and the weights of norm layers.

    A loop over all parameters thus raises at the first of them. Initialise by ``p.dim()``, or by the type of the layer.
    """

    @pytest.mark.parametrize(
        "initialise",
        [nn.init.xavier_uniform_, nn.init.xavier_normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_],
        ids=lambda function: function.__name__,
    )
    def test_trap_a_bias_is_refused(self, device, initialise):
        bias = torch.empty(3, device=device)
        with pytest.raises(ValueError, match="can not be computed for tensor with fewer than 2 dimensions"):
            initialise(bias)

    def test_fix_choose_by_the_dimensions(self, device, seeded):
        net = nn.Linear(2, 3, device=device)
        for p in net.parameters():
            nn.init.xavier_uniform_(p) if p.dim() > 1 else nn.init.zeros_(p)
        assert net.bias.tolist() == [0, 0, 0]


@pitfall(
    "trunc-normal-bounds-are-absolute",
    docs=[("torch.nn.init.trunc_normal_", "the minimum cutoff value"), "nn.init"],
    symptom="trunc_normal_(w, std=0.02) has values beyond two standard deviations",
    changed={"2.12": "trunc_normal_ draws other numbers for the same seed"},
    priority=3,
)
class TestTruncNormalBoundsAreAbsolute:
    """``trunc_normal_`` cuts at the values ``a`` and ``b``, which are -2 and 2, not at two standard deviations.

    With a small ``std`` nothing is ever cut. Pass ``a=-2 * std, b=2 * std``.
    """

    def test_trap_nothing_is_cut(self, device, seeded):
        w = torch.empty(10_000, device=device)
        nn.init.trunc_normal_(w, std=0.02)
        assert w.abs().max().item() > 0.06
        observe(first=[round(value, 4) for value in w[:3].tolist()])

    def test_trap_a_mean_outside_warns(self, device, seeded):
        with pytest.warns(UserWarning, match="mean is more than 2 std from"):
            nn.init.trunc_normal_(torch.empty(10, device=device), mean=5.0)

    def test_fix_scale_the_bounds(self, device, seeded):
        w = torch.empty(10_000, device=device)
        nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04)
        assert round(w.abs().max().item(), 2) == 0.04


@pitfall(
    "gain-of-selu-is-not-for-selu-networks",
    docs=[("torch.nn.init.calculate_gain", "should use ``nonlinearity='linear'`` instead of"), "nn.init"],
    symptom="a self-normalising network with calculate_gain('selu') is not self-normalising",
    priority=3,
)
class TestGainOfSeluIsNotForSeluNetworks:
    """``calculate_gain("selu")`` is 3/4, a compromise; self-normalising networks need the gain 1 of ``"linear"``.

    Activations that it doesn't know, such as ``gelu``, raise. ``leaky_relu`` takes its slope as the second argument.
    """

    @pytest.mark.parametrize(
        ("nonlinearity", "gain"), [("selu", 0.75), ("sigmoid", 1), ("tanh", 5 / 3), ("relu", 2**0.5)], ids=str
    )
    def test_trap_gains(self, nonlinearity, gain):
        assert nn.init.calculate_gain(nonlinearity) == gain

    @pytest.mark.parametrize("nonlinearity", ["gelu", "silu", "softmax"], ids=str)
    def test_trap_others_are_unknown(self, nonlinearity):
        with pytest.raises(ValueError, match=f"Unsupported nonlinearity {nonlinearity}"):
            nn.init.calculate_gain(nonlinearity)

    def test_fix_linear_for_selu_networks(self):
        assert nn.init.calculate_gain("linear") == 1


@pitfall(
    "init-without-underscore-is-deprecated",
    docs=["torch.nn.init.constant", "nn.init"],
    symptom="FutureWarning: `nn.init.xavier_uniform` is now deprecated in favor of `nn.init.xavier_uniform_`",
    error="is now deprecated in favor of",
    priority=3,
    changed={"2.4": "the names without an underscore give a FutureWarning; it had been a UserWarning"},
)
class TestInitWithoutUnderscoreIsDeprecated:
    """The functions of ``nn.init`` without an underscore are deprecated: they warn, and write in place all the same.

    They are old names, not variants that leave their argument alone. Add the underscore.
    """

    @pytest.mark.parametrize(
        "category",
        [
            pytest.param(UserWarning, id="UserWarning", marks=before("2.4")),
            pytest.param(FutureWarning, id="FutureWarning", marks=since("2.4")),
        ],
    )
    @pytest.mark.parametrize(
        ("old", "shape"),
        [
            pytest.param(nn.init.uniform, (2, 2), id="uniform"),
            pytest.param(nn.init.normal, (2, 2), id="normal"),
            pytest.param(nn.init.eye, (2, 2), id="eye"),
            pytest.param(nn.init.dirac, (1, 1, 1), id="dirac"),
            pytest.param(nn.init.xavier_uniform, (2, 2), id="xavier_uniform"),
            pytest.param(nn.init.xavier_normal, (2, 2), id="xavier_normal"),
            pytest.param(nn.init.kaiming_uniform, (2, 2), id="kaiming_uniform"),
            pytest.param(nn.init.kaiming_normal, (2, 2), id="kaiming_normal"),
            pytest.param(nn.init.orthogonal, (2, 2), id="orthogonal"),
            pytest.param(lambda w: nn.init.constant(w, 3.0), (2, 2), id="constant"),
            pytest.param(lambda w: nn.init.sparse(w, 0.5), (2, 2), id="sparse"),
        ],
    )
    def test_trap_it_warns_and_writes(self, device, seeded, old, shape, category):
        w = torch.zeros(shape, device=device)
        with pytest.warns(category, match="is now deprecated in favor of .?nn.init"):
            old(w)
        assert w.count_nonzero().item() > 0

    def test_fix_with_the_underscore(self, device):
        w = torch.zeros(2, device=device)
        nn.init.constant_(w, 3.0)
        assert w.tolist() == [3, 3]
