"""The weights of recurrent layers: the order of the gates, the two biases, and what differs from the papers."""

import math

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "lstm-gates-are-input-forget-cell-output",
    docs=[("torch.nn.LSTM", "(W_ii|W_if|W_ig|W_io)"), ("torch.nn.GRU", "(W_ir|W_iz|W_in)")],
    symptom="weights copied from another framework load, and the LSTM computes nonsense",
)
class TestLstmGatesAreInputForgetCellOutput:
    """The gates of an LSTM are stacked as input, forget, cell, output; those of a GRU as reset, update, new.

    Other frameworks stack them otherwise, with equal shapes. To open the forget gate at the start, set the second of
    four chunks; and mind that there are two biases, which add up.
    """

    @pytest.mark.parametrize(
        ("chunk", "cell"),
        [pytest.param(0, 2.5, id="input"), pytest.param(1, 3.5, id="forget"), pytest.param(3, 2.0, id="output")],
    )
    def test_trap_second_of_four_chunks_forgets(self, device, seeded, chunk, cell):
        lstm = nn.LSTM(1, 1, device=device)
        for weight in lstm.parameters():
            nn.init.zeros_(weight)
        with torch.no_grad():
            lstm.bias_hh_l0.chunk(4)[2].fill_(100)  # the new value is one
            lstm.bias_ih_l0.chunk(4)[chunk].fill_(100)  # this gate is open, the others are half open
        h, c = torch.zeros(1, 1, device=device), torch.full((1, 1), 3.0, device=device)
        _, (_, new) = lstm(torch.zeros(1, 1, device=device), (h, c))
        assert new.item() == cell

    @pytest.mark.parametrize(("gate", "kept"), [pytest.param(0, 0.5, id="reset"), pytest.param(1, 1.0, id="update")])
    def test_trap_second_chunk_of_three_updates(self, device, seeded, gate, kept):
        gru = nn.GRU(1, 1, device=device)
        for weight in gru.parameters():
            nn.init.zeros_(weight)
        with torch.no_grad():
            gru.bias_ih_l0.chunk(3)[gate].fill_(100)
        _, state = gru(torch.zeros(1, 1, device=device), torch.ones(1, 1, device=device))
        assert state.item() == kept  # an open update gate keeps the old state

    def test_trap_two_biases_add_up(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        assert rnn(torch.zeros(1, 1, device=device))[0].item() == 2


@pitfall(
    "gru-resets-after-the-product",
    docs=[("torch.nn.GRU", "in contrast to PyTorch implementation"), "torch.nn.GRUCell"],
    symptom="a GRU written after the paper gives other numbers than nn.GRU with the same weights",
    priority=3,
)
class TestGruResetsAfterTheProduct:
    """The reset gate of ``nn.GRU`` multiplies the product of weight and state, and not the state as in the paper.

    The two agree only for a diagonal matrix without bias, so that weights trained for one do not fit the other; Keras
    calls torch's variant ``reset_after``. There is no switch: for the other one write the cell.
    """

    def test_trap_bias_is_reset_as_well(self, device, seeded):
        gru = nn.GRUCell(1, 1, device=device)
        for weight in gru.parameters():
            nn.init.zeros_(weight)
        with torch.no_grad():
            gru.bias_ih.copy_(torch.tensor([-100.0, -100.0, 0.0]))  # reset to nothing, take the new state
            gru.bias_hh[2] = 1.0
        h = gru(torch.zeros(1, device=device), torch.ones(1, device=device))
        assert h.item() == 0  # tanh(1) in the paper, where the bias stands outside

    def test_fix_write_the_cell(self, device):
        w, b, h = torch.zeros(1, 1, device=device), torch.ones(1, device=device), torch.ones(1, device=device)
        reset = torch.sigmoid(torch.tensor([-100.0], device=device))
        new = torch.tanh(w @ (reset * h) + b)
        torch.testing.assert_close(new, torch.tensor([math.tanh(1.0)], device=device))


@pitfall(
    "recurrent-weights-start-by-hidden-size",
    docs=[("torch.nn.GRU", "All the weights and biases are initialized from"), "torch.nn.LSTM", "torch.nn.RNN"],
    symptom="an LSTM with a wide input starts with large activations; its biases are not zero",
    priority=3,
)
class TestRecurrentWeightsStartByHiddenSize:
    """All weights and biases of a recurrent layer start uniform within one over the root of ``hidden_size``.

    The size of the input plays no part, there is no orthogonal start for the recurrent weights, and no forget gate is
    opened. Initialise by name where you want one of these.
    """

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_trap_bound_is_that_of_hidden_size(self, device, seeded, layer):
        rnn = layer(100, 4, device=device)
        largest = max(weight.abs().max().item() for weight in rnn.parameters())
        assert 0.45 < largest <= 0.5

    def test_trap_biases_are_not_zero(self, device, seeded):
        lstm = nn.LSTM(3, 4, device=device)
        assert lstm.bias_hh_l0.all().item()

    def test_fix_initialise_by_name(self, device, seeded):
        lstm = nn.LSTM(3, 4, device=device)
        for name, weight in lstm.named_parameters():
            if "weight_hh" in name:
                for gate in weight.detach().chunk(4):
                    nn.init.orthogonal_(gate)
        gate = lstm.weight_hh_l0.detach()[:4]
        torch.testing.assert_close(gate @ gate.T, torch.eye(4, device=device))
