"""Recurrent layers: which dimension is time, what the two results are, and what a wrong shape is called."""

import pytest
import torch
from torch import nn

from pitfalls import before, on, pitfall, since

LAYERS = [nn.RNN, nn.GRU, nn.LSTM]


@pitfall(
    "recurrent-layers-are-sequence-first",
    docs=[("torch.nn.LSTM", "then the input and output tensors are provided"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="an LSTM learns nothing, and its result for a sample depends on the other samples of the batch",
    priority=1,
)
class TestRecurrentLayersAreSequenceFirst:
    """By default a recurrent layer takes the first dimension for time and the second for the batch.

    A batch of shape ``(batch, length, features)`` is accepted without a word: the samples become the steps of one
    sequence. Pass ``batch_first=True``, or transpose.
    """

    def test_trap_samples_become_steps(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)  # so the layer adds up what it has seen
        batch = torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]], device=device)
        output, _ = rnn(batch)
        assert output.flatten().tolist() == [1, 2, 11, 22]

    def test_fix_batch_first(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        batch = torch.tensor([[[1.0], [2.0]], [[10.0], [20.0]]], device=device)
        output, _ = rnn(batch)
        assert output.flatten().tolist() == [1, 3, 10, 30]

    @pytest.mark.parametrize(("layer", "states"), [(nn.RNN, 1), (nn.GRU, 1), (nn.LSTM, 2)], ids=["RNN", "GRU", "LSTM"])
    def test_trap_there_is_a_state_for_each_step(self, device, seeded, layer, states):
        _, state = layer(3, 4, device=device)(torch.ones(2, 5, 3, device=device))  # two samples of five steps are meant
        shapes = [h.shape for h in (state if states == 2 else [state])]
        assert shapes == [(1, 5, 4)] * states


@pitfall(
    "batch-first-spares-the-state",
    docs=[("torch.nn.LSTM", "does not apply to hidden or cell states"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="RuntimeError: Expected hidden[0] size (1, 2, 4), got [2, 1, 4] although batch_first=True",
    error="Expected hidden[0] size",
)
class TestBatchFirstSparesTheState:
    """``batch_first=True`` concerns input and output; the hidden state stays ``(layers, batch, features)``.

    So ``state[0]`` is the first layer, not the first sample, in both layouts, and an initial state that is batch first
    is refused, or mixed up in silence where batch and layers are equally many.
    """

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_trap_the_state_has_the_layers_first(self, device, seeded, layer):
        output, state = layer(3, 4, num_layers=2, batch_first=True, device=device)(torch.ones(5, 6, 3, device=device))
        assert output.shape == (5, 6, 4)
        assert state.shape == (2, 5, 4)

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_trap_a_batch_first_state_is_refused(self, device, seeded, layer):
        rnn = layer(3, 4, batch_first=True, device=device)
        with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 2, 4\), got \[2, 1, 4\]"):
            rnn(torch.ones(2, 5, 3, device=device), torch.zeros(2, 1, 4, device=device))

    def test_trap_lstm_refuses_it_too(self, device, seeded):
        lstm, h = nn.LSTM(3, 4, batch_first=True, device=device), torch.zeros(2, 1, 4, device=device)
        with pytest.raises(RuntimeError, match=r"Expected hidden\[0\] size \(1, 2, 4\), got \[2, 1, 4\]"):
            lstm(torch.ones(2, 5, 3, device=device), (h, h))

    @pytest.mark.parametrize("batch_first", [False, True], ids=["sequence first", "batch first"])
    def test_fix_layers_first_in_both_layouts(self, device, seeded, batch_first):
        gru = nn.GRU(3, 4, batch_first=batch_first, device=device)
        x = torch.ones((2, 5, 3) if batch_first else (5, 2, 3), device=device)
        _, state = gru(x, torch.zeros(1, 2, 4, device=device))
        assert state.shape == (1, 2, 4)


@pitfall(
    "recurrent-output-is-the-last-layer",
    docs=[("torch.nn.LSTM", "from the last layer of the LSTM"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="which of the two results of an LSTM is the hidden state that I want?",
)
class TestRecurrentOutputIsTheLastLayer:
    """A recurrent layer returns every step of its last layer, and the last step of every layer.

    They meet in one place: ``output[-1]`` is ``state[-1]``. ``state[0]`` is the first layer's, and the output of the
    layers below is not to be had from a stacked module.
    """

    def test_trap_the_two_results(self, device, seeded):
        rnn = nn.RNN(1, 1, num_layers=2, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)  # the first layer adds up the input, the second adds up the first
        output, state = rnn(torch.tensor([[1.0], [1.0], [1.0]], device=device))
        assert output.flatten().tolist() == [1, 3, 6]
        assert state.flatten().tolist() == [3, 6]

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_fix_last_step_of_the_last_layer(self, device, seeded, layer):
        output, state = layer(3, 4, num_layers=2, device=device)(torch.ones(5, 2, 3, device=device))
        torch.testing.assert_close(output[-1], state[-1])


@pitfall(
    "last-step-of-bidirectional-output",
    docs=[("torch.nn.LSTM", "is not equivalent to the last element of"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="a bidirectional LSTM classifies badly from output[-1]",
)
class TestLastStepOfBidirectionalOutput:
    """In the last step of a bidirectional output the backward half has seen one element: the last.

    Output holds both directions side by side at each step, forward first. What each direction knows at its end is in
    the last step's forward half and the first step's backward half, and in the state, as ``state[-2]`` and
    ``state[-1]``.
    """

    def test_trap_halves_of_the_output(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, bidirectional=True, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        output, _ = rnn(torch.tensor([[1.0], [10.0], [100.0]], device=device))
        assert output.tolist() == [[1, 111], [11, 110], [111, 100]]

    def test_trap_the_state_is_not_the_last_step(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, bidirectional=True, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        _, state = rnn(torch.tensor([[1.0], [10.0], [100.0]], device=device))
        assert state.flatten().tolist() == [111, 111]

    def test_trap_the_state_is_ordered_by_layer(self, device, seeded):
        rnn = nn.RNN(1, 1, num_layers=2, nonlinearity="relu", bias=False, bidirectional=True, device=device)
        for name, weight in rnn.named_parameters():
            nn.init.constant_(weight, 0 if "l1" in name else 1)  # the second layer is silent
        _, state = rnn(torch.tensor([[1.0], [2.0]], device=device))
        assert state.flatten().tolist() == [3, 3, 0, 0]

    @pytest.mark.parametrize(("layer", "states"), [(nn.RNN, 1), (nn.GRU, 1), (nn.LSTM, 2)], ids=["RNN", "GRU", "LSTM"])
    def test_fix_ends_of_both_directions(self, device, seeded, layer, states):
        output, state = layer(3, 4, num_layers=2, bidirectional=True, device=device)(torch.ones(5, 2, 3, device=device))
        h = state[0] if states == 2 else state
        forward, backward = output.view(5, 2, 2, 4).unbind(2)
        torch.testing.assert_close(torch.cat([h[-2], h[-1]], dim=1), torch.cat([forward[-1], backward[0]], dim=1))


@pitfall(
    "two-dimensions-are-one-sequence",
    docs=[("torch.nn.GRU", "argument is ignored for unbatched inputs"), "torch.nn.RNN", "torch.nn.LSTM"],
    symptom="a batch of vectors goes through an LSTM as one long sequence",
    error="input, hx should also be",
)
class TestTwoDimensionsAreOneSequence:
    """A recurrent layer takes an input of two dimensions for one sequence without a batch, whatever ``batch_first``.

    A batch of single steps ``(batch, features)`` is thus read as the steps of one sequence. The state then has two
    dimensions as well, and one of three is refused. Add the missing dimension with ``unsqueeze``.
    """

    @pytest.mark.parametrize("batch_first", [False, True], ids=["sequence first", "batch first"])
    def test_trap_rows_are_steps(self, device, seeded, batch_first):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=batch_first, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        output, _ = rnn(torch.tensor([[1.0], [10.0], [100.0]], device=device))
        assert output.flatten().tolist() == [1, 11, 111]

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_trap_state_without_a_batch(self, device, seeded, layer):
        rnn = layer(3, 4, device=device)
        with pytest.raises(RuntimeError, match="For unbatched 2-D input, hx should also be 2-D but got 3-D tensor"):
            rnn(torch.ones(5, 3, device=device), torch.zeros(1, 1, 4, device=device))

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_trap_state_with_a_batch(self, device, seeded, layer):
        rnn = layer(3, 4, device=device)
        with pytest.raises(RuntimeError, match="For batched 3-D input, hx should also be 3-D but got 2-D tensor"):
            rnn(torch.ones(5, 2, 3, device=device), torch.zeros(2, 4, device=device))

    def test_fix_one_step_for_each_sample(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        output, _ = rnn(torch.tensor([[1.0], [10.0], [100.0]], device=device).unsqueeze(0))
        assert output.flatten().tolist() == [1, 10, 100]


@pitfall(
    "recurrent-input-size-is-the-last-dimension",
    docs=[("torch.nn.LSTM", "number of expected features in the input"), "torch.nn.RNN", "torch.nn.GRU"],
    symptom="RuntimeError: input.size(-1) must be equal to input_size. Expected 1, got 5",
    error="input.size(-1) must be equal to input_size",
    changed={
        "2.1": "LSTM on the CPU takes an input with too many features and computes nonsense; it had raised",
        "2.3": "LSTM raises again",
    },
)
class TestRecurrentInputSizeIsTheLastDimension:
    """``input_size`` is how many features a step has, the last dimension; the length of a sequence is given nowhere.

    A series of numbers has one feature a step, and needs a last dimension of size one. In torch 2.1 and 2.2 an ``LSTM``
    on the CPU did not check it, and multiplied with whatever the memory behind its weights held.
    """

    @pytest.mark.parametrize(
        "layer",
        [
            nn.RNN,
            nn.GRU,
            pytest.param(nn.LSTM, marks=before("2.1"), id="LSTM before 2.1"),
            pytest.param(nn.LSTM, marks=since("2.3"), id="LSTM"),
        ],
    )
    def test_trap_a_batch_of_series_has_no_features(self, device, seeded, layer):
        rnn = layer(1, 4, batch_first=True, device=device)
        with pytest.raises(RuntimeError, match=r"input.size\(-1\) must be equal to input_size. Expected 1, got 5"):
            rnn(torch.ones(2, 5, device=device))

    @since("2.1")
    @before("2.3")
    @on("cpu")
    def test_trap_lstm_computed_something(self, device, seeded):
        output, _ = nn.LSTM(1, 4, batch_first=True, device=device)(torch.ones(2, 5, device=device))
        assert output.shape == (2, 4)

    @pytest.mark.parametrize("layer", LAYERS, ids=["RNN", "GRU", "LSTM"])
    def test_fix_unsqueeze(self, device, seeded, layer):
        rnn = layer(1, 4, batch_first=True, device=device)
        output, _ = rnn(torch.ones(2, 5, device=device).unsqueeze(-1))
        assert output.shape == (2, 5, 4)


@pitfall(
    "recurrent-input-rank",
    docs=["torch.nn.RNN", "torch.nn.GRU", "torch.nn.LSTM", "torch.nn.GRUCell"],
    symptom="ValueError: LSTM: Expected input to be 2D or 3D, got 4D instead",
    error="Expected input to be 2D or 3D",
    changed={"2.1": "an input of the wrong rank raises ValueError; it had raised AssertionError"},
)
class TestRecurrentInputRank:
    """Recurrent layers take two or three dimensions, and their cells, which do a single step, one or two.

    Feature maps and images must be flattened into steps of features first, and a cell is called once for each step.
    """

    @before("2.1")
    @pytest.mark.parametrize("layer", LAYERS, ids=["RNN", "GRU", "LSTM"])
    def test_trap_layers_asserted_the_rank(self, device, seeded, layer):
        with pytest.raises(AssertionError, match="Expected input to be 2-D or 3-D but received 4-D tensor"):
            layer(3, 4, device=device)(torch.ones(1, 2, 5, 3, device=device))

    @before("2.1")
    @pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell], ids=["RNNCell", "GRUCell", "LSTMCell"])
    def test_trap_cells_asserted_the_rank(self, device, seeded, cell):
        with pytest.raises(AssertionError, match="Expected input to be 1-D or 2-D but received 3-D tensor"):
            cell(3, 4, device=device)(torch.ones(2, 5, 3, device=device))

    @since("2.1")
    @pytest.mark.parametrize("layer", LAYERS, ids=["RNN", "GRU", "LSTM"])
    def test_trap_layers_refuse_four_dimensions(self, device, seeded, layer):
        with pytest.raises(ValueError, match="Expected input to be 2D or 3D, got 4D"):
            layer(3, 4, device=device)(torch.ones(1, 2, 5, 3, device=device))

    @since("2.1")
    @pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell], ids=["RNNCell", "GRUCell", "LSTMCell"])
    def test_trap_cells_refuse_a_sequence(self, device, seeded, cell):
        with pytest.raises(ValueError, match="Expected input to be 1D or 2D, got 3D"):
            cell(3, 4, device=device)(torch.ones(2, 5, 3, device=device))

    def test_fix_a_cell_is_called_for_each_step(self, device, seeded):
        gru, cell = nn.GRU(3, 4, device=device), nn.GRUCell(3, 4, device=device)
        cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in gru.state_dict().items()})
        x = torch.ones(2, 5, 3, device=device)
        steps, h = [], torch.zeros(5, 4, device=device)
        for step in x:
            h = cell(step, h)
            steps.append(h)
        torch.testing.assert_close(torch.stack(steps), gru(x)[0])
