"""The state of recurrent layers: what is forgotten between calls, pairs and single states, dropout and projections."""

import warnings

import pytest
import torch
from torch import nn

from pitfalls import before, on, pitfall, since

ONEDNN = "LSTM with projections is not supported with oneDNN"


@pitfall(
    "recurrent-layers-forget-between-calls",
    docs=[("torch.nn.LSTM", "if (h_0, c_0) is not provided"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="an LSTM that is fed step by step gives another result than for the whole sequence",
    priority=1,
)
class TestRecurrentLayersForgetBetweenCalls:
    """A recurrent layer keeps no state between calls: each call starts from zeros unless it is given a state.

    Feeding a sequence piece by piece means to hand on the returned state. The reverse holds as well: there is no state
    to reset between sequences or epochs.
    """

    def test_trap_each_call_starts_from_zero(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)  # so the layer adds up what it has seen
        step = torch.tensor([[1.0]], device=device)
        assert [rnn(step)[1].item() for _ in range(3)] == [1, 1, 1]

    def test_fix_hand_the_state_on(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        step, state, seen = torch.tensor([[1.0]], device=device), None, []
        for _ in range(3):
            _, state = rnn(step, state)
            seen.append(state.item())
        assert seen == [1, 2, 3]

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_fix_two_pieces_are_the_whole(self, device, seeded, layer):
        rnn, x = layer(3, 4, device=device), torch.ones(6, 2, 3, device=device)
        first, state = rnn(x[:2])
        second, _ = rnn(x[2:], state)
        torch.testing.assert_close(torch.cat([first, second]), rnn(x)[0])


@pitfall(
    "lstm-state-is-a-pair",
    docs=[("torch.nn.LSTM", "(h_n, c_n)"), "torch.nn.LSTMCell", "torch.nn.GRU", "torch.nn.GRUCell"],
    symptom="IndexError, or a complaint about hx and cx, after replacing a GRU by an LSTM",
    error="For batched 3-D input, hx and cx should also be 3-D",
)
class TestLstmStateIsAPair:
    """The state of an LSTM is a pair of tensors, hidden and cell; that of an RNN or a GRU is one tensor.

    One tensor in the place of the pair is taken apart along its first dimension, the layers. A cell of either kind
    returns its state alone, so that ``h = LSTMCell(...)(x)`` is a pair as well.
    """

    def test_trap_one_tensor_is_taken_apart(self, device, seeded):
        lstm, h = nn.LSTM(3, 4, num_layers=2, device=device), torch.zeros(2, 5, 4, device=device)
        with pytest.raises(RuntimeError, match=r"hx and cx should also be 3-D but got \(2-D, 2-D\) tensors"):
            lstm(torch.ones(6, 5, 3, device=device), h)

    def test_trap_one_tensor_of_one_layer(self, device, seeded):
        lstm, h = nn.LSTM(3, 4, device=device), torch.zeros(1, 5, 4, device=device)
        with pytest.raises(IndexError, match="index 1 is out of bounds for dimension 0 with size 1"):
            lstm(torch.ones(6, 5, 3, device=device), h)

    @pytest.mark.parametrize(
        ("make", "kind"),
        [
            pytest.param(lambda **to: nn.LSTMCell(3, 4, **to), tuple, id="LSTMCell"),
            pytest.param(lambda **to: nn.GRUCell(3, 4, **to), torch.Tensor, id="GRUCell"),
            pytest.param(lambda **to: nn.RNNCell(3, 4, **to), torch.Tensor, id="RNNCell"),
        ],
    )
    def test_trap_what_cells_return(self, device, seeded, make, kind):
        assert type(make(device=device)(torch.ones(2, 3, device=device))) is kind

    @pytest.mark.parametrize("pair", [tuple, list], ids=["tuple", "list"])
    def test_fix_give_both(self, device, seeded, pair):
        lstm, h = nn.LSTM(3, 4, device=device), torch.zeros(1, 5, 4, device=device)
        _, (hidden, cell) = lstm(torch.ones(6, 5, 3, device=device), pair([h, h]))
        assert hidden.shape == cell.shape == (1, 5, 4)


@pitfall(
    "recurrent-dropout-needs-two-layers",
    docs=[("torch.nn.LSTM", "layer except the last layer, with dropout probability"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="UserWarning: dropout option adds dropout after all but last recurrent layer",
    error="dropout option adds dropout after all but last recurrent layer",
)
class TestRecurrentDropoutNeedsTwoLayers:
    """The dropout of a recurrent layer lies between stacked layers: with one layer there is none, and it warns.

    It never falls on the output of the last layer. Use ``nn.Dropout`` on the output.
    """

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_trap_it_warns(self, device, seeded, layer):
        with pytest.warns(UserWarning, match="dropout option adds dropout after all but last recurrent layer"):
            layer(3, 4, dropout=0.5, device=device)

    def test_trap_nothing_is_dropped(self, device, seeded):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, dropout=1.0, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        assert rnn(torch.ones(3, 1, device=device))[0].flatten().tolist() == [1, 2, 3]

    def test_trap_between_two_layers_it_drops(self, device, seeded):
        rnn = nn.RNN(1, 1, num_layers=2, nonlinearity="relu", bias=False, dropout=1.0, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        _, state = rnn(torch.ones(3, 1, device=device))
        assert state.flatten().tolist() == [3, 0]  # the second layer gets zeros

    def test_fix_drop_from_the_output(self, device, seeded):
        rnn, drop = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device), nn.Dropout(1.0)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        output, _ = rnn(torch.ones(3, 1, device=device))
        assert drop(output).flatten().tolist() == [0, 0, 0]


@pitfall(
    "lstm-projection-splits-the-sizes",
    docs=[("torch.nn.LSTM", "``hidden_size`` to ``proj_size``"), "torch.nn.GRU", "torch.nn.RNN"],
    symptom="ValueError: proj_size has to be smaller than hidden_size",
    error="proj_size has to be smaller than hidden_size",
    priority=3,
)
class TestLstmProjectionSplitsTheSizes:
    """With ``proj_size`` the output and the hidden state of an LSTM are smaller than its cell state.

    An initial state of two equal zeros no longer fits, and the head after the LSTM takes ``proj_size`` features. The
    projection must be smaller than the hidden size, and only LSTM has one.
    """

    def test_trap_hidden_and_cell_differ(self, device, seeded):
        lstm = nn.LSTM(3, 4, proj_size=2, device=device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=ONEDNN)
            output, (hidden, cell) = lstm(torch.ones(6, 5, 3, device=device))
        assert output.shape == (6, 5, 2)
        assert hidden.shape == (1, 5, 2)
        assert cell.shape == (1, 5, 4)

    def test_trap_equal_states_do_not_fit(self, device, seeded):
        lstm, h = nn.LSTM(3, 4, proj_size=2, device=device), torch.zeros(1, 5, 4, device=device)
        with pytest.raises(RuntimeError, match=r"Expected hidden\[0\] size \(1, 5, 2\), got \[1, 5, 4\]"):
            lstm(torch.ones(6, 5, 3, device=device), (h, h))

    def test_trap_as_large_as_hidden_is_refused(self, device):
        with pytest.raises(ValueError, match="proj_size has to be smaller than hidden_size"):
            nn.LSTM(3, 4, proj_size=4, device=device)

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_trap_only_lstm_has_one(self, device, layer):
        with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM, not RNN or GRU"):
            layer(3, 4, proj_size=2, device=device)

    def test_fix_states_of_both_sizes(self, device, seeded):
        lstm, x = nn.LSTM(3, 4, proj_size=2, device=device), torch.ones(6, 5, 3, device=device)
        zeros = torch.zeros(1, 5, 2, device=device), torch.zeros(1, 5, 4, device=device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=ONEDNN)
            torch.testing.assert_close(lstm(x, zeros)[0], lstm(x)[0])


@pitfall(
    "rnn-positional-nonlinearity",
    docs=[("torch.nn.RNN", "The non-linearity to use. Can be either")],
    symptom="nn.RNN(3, 4, 1, 'relu') computes with tanh on an old torch",
    changed={"2.3": "nn.RNN takes the nonlinearity as its fourth positional argument; it had been ignored there"},
    priority=3,
)
class TestRnnPositionalNonlinearity:
    """The fourth positional argument of ``nn.RNN`` is the nonlinearity, which the others do not have.

    For ``LSTM`` and ``GRU`` the fourth is ``bias``, so that the arguments of one do not fit the other; and before
    torch 2.3 RNN itself read it as something else without a word. Name the arguments.
    """

    @pytest.mark.parametrize(
        "taken",
        [pytest.param("tanh", id="tanh", marks=before("2.3")), pytest.param("relu", id="relu", marks=since("2.3"))],
    )
    def test_trap_fourth_argument(self, device, seeded, taken):
        assert nn.RNN(3, 4, 1, "relu", device=device).nonlinearity == taken

    def test_trap_fourth_of_the_others_is_bias(self, device, seeded):
        assert "bias_ih_l0" not in dict(nn.GRU(3, 4, 1, False, device=device).named_parameters())

    def test_fix_name_it(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        assert rnn(torch.tensor([[5.0]], device=device))[0].item() == 5


@pitfall(
    "recurrent-backward-wants-training-mode-on-cuda",
    docs=["torch.nn.LSTM", "torch.nn.Module.eval", "torch.backends.cudnn.flags"],
    symptom="RuntimeError: cudnn RNN backward can only be called in training mode",
    error="cudnn RNN backward can only be called in training mode",
)
class TestRecurrentBackwardWantsTrainingModeOnCuda:
    """In eval mode a recurrent layer can be differentiated on the CPU, and not by cuDNN on a GPU.

    Gradients in eval mode are wanted for saliency maps, adversarial examples and frozen parts of a model. Keep the
    recurrent layer itself in training mode (its dropout set to zero), or switch cuDNN off around it.
    """

    @on("cpu")
    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_trap_cpu_does_not_mind(self, device, seeded, layer):
        x = torch.ones(5, 2, 3, device=device, requires_grad=True)
        layer(3, 4, device=device).eval()(x)[0].sum().backward()
        assert x.grad.shape == (5, 2, 3)

    @on("cuda")
    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_trap_cudnn_refuses(self, device, seeded, layer):
        x = torch.ones(5, 2, 3, device=device, requires_grad=True)
        output, _ = layer(3, 4, device=device).eval()(x)
        with pytest.raises(RuntimeError, match="cudnn RNN backward can only be called in training mode"):
            output.sum().backward()

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_fix_without_cudnn(self, device, seeded, layer):
        x = torch.ones(5, 2, 3, device=device, requires_grad=True)
        with torch.backends.cudnn.flags(enabled=False):
            layer(3, 4, device=device).eval()(x)[0].sum().backward()
        assert x.grad.shape == (5, 2, 3)

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM], ids=["RNN", "GRU", "LSTM"])
    def test_fix_leave_the_layer_in_training_mode(self, device, seeded, layer):
        x = torch.ones(5, 2, 3, device=device, requires_grad=True)
        net = nn.ModuleList([layer(3, 4, device=device), nn.Dropout()]).eval()
        net[0].train()
        net[0](x)[0].sum().backward()
        assert x.grad.shape == (5, 2, 3)
