"""Sequences of several lengths: padding is computed like data, and what packing, unpacking and lengths are like."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence

from pitfalls import before, on, pitfall, since


@pitfall(
    "padding-runs-through-the-state",
    docs=["torch.nn.utils.rnn.pack_padded_sequence", ("torch.nn.LSTM", "packed variable length sequence")],
    symptom="the final state of a sequence depends on how much padding it was given",
    priority=1,
)
class TestPaddingRunsThroughTheState:
    """A recurrent layer takes padding for data: the final state is the one after the padding.

    The same sequence then has another state in another batch. Pack the batch, and each sequence stops at its own
    length; the output at the padding is then zero.
    """

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_trap_padding_moves_the_state(self, device, seeded, layer):
        rnn = layer(1, 4, batch_first=True, device=device)
        _, alone = rnn(torch.tensor([[[1.0], [2.0]]], device=device))
        _, padded = rnn(torch.tensor([[[1.0], [2.0], [0.0], [0.0]]], device=device))
        assert not torch.allclose(alone, padded)

    @pytest.mark.parametrize("layer", [nn.RNN, nn.GRU], ids=["RNN", "GRU"])
    def test_fix_packed_it_stops(self, device, seeded, layer):
        rnn = layer(1, 4, batch_first=True, device=device)
        _, alone = rnn(torch.tensor([[[1.0], [2.0]]], device=device))
        batch = torch.tensor([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [2.0], [0.0], [0.0]]], device=device)
        _, state = rnn(pack_padded_sequence(batch, [4, 2], batch_first=True))
        torch.testing.assert_close(state[:, 1:], alone)


@pitfall(
    "last-step-of-unpacked-output-is-padding",
    docs=["torch.nn.utils.rnn.pad_packed_sequence", ("torch.nn.LSTM", "the output will also be a packed sequence")],
    symptom="output[:, -1] after pad_packed_sequence is zero for the shorter sequences",
)
class TestLastStepOfUnpackedOutputIsPadding:
    """After unpacking, the last step of a shorter sequence is padding, and a mean over time counts the padding.

    The state holds the last step of each; for other steps index with the lengths, and divide sums by them.
    """

    def test_trap_last_step_and_mean(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)  # so the layer adds up what it has seen
        packed, _ = rnn(pack_padded_sequence(torch.ones(2, 4, 1, device=device), [4, 2], batch_first=True))
        output, _ = pad_packed_sequence(packed, batch_first=True)
        assert output[:, -1].flatten().tolist() == [4, 0]
        assert output.mean(1).flatten().tolist() == [2.5, 0.75]  # the second holds 1 and 2

    def test_fix_take_the_state(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        _, state = rnn(pack_padded_sequence(torch.ones(2, 4, 1, device=device), [4, 2], batch_first=True))
        assert state[-1].flatten().tolist() == [4, 2]

    def test_fix_use_the_lengths(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, batch_first=True, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        packed, _ = rnn(pack_padded_sequence(torch.ones(2, 4, 1, device=device), [4, 2], batch_first=True))
        output, lengths = pad_packed_sequence(packed, batch_first=True)
        lengths = lengths.to(device)  # they come back on the CPU
        assert output[torch.arange(2), lengths - 1].flatten().tolist() == [4, 2]
        assert (output.sum(1).flatten() / lengths).tolist() == [2.5, 1.5]


@pitfall(
    "pack-wants-lengths-in-order",
    docs=[
        ("torch.nn.utils.rnn.pack_padded_sequence", "For unsorted sequences, use"),
        "torch.nn.utils.rnn.pack_sequence",
    ],
    symptom="RuntimeError: `lengths` array must be sorted in decreasing order when `enforce_sorted` is True",
    error="array must be sorted in decreasing order when `enforce_sorted` is True",
)
class TestPackWantsLengthsInOrder:
    """By default packing wants the longest sequence first; ``enforce_sorted=False`` sorts, and undoes it at the end.

    Output and state of a recurrent layer then come back in the order of the batch; only ``data`` of the packed sequence
    is in the sorted order. There is nothing to sort by hand.
    """

    @pytest.mark.parametrize(
        "pack",
        [
            pytest.param(lambda a, b: pack_sequence([a, b]), id="pack_sequence"),
            pytest.param(lambda a, b: pack_padded_sequence(pad_sequence([a, b]), [1, 3]), id="pack_padded_sequence"),
        ],
    )
    def test_trap_shortest_first_is_refused(self, device, pack):
        a, b = torch.ones(1, 1, device=device), torch.ones(3, 1, device=device)
        with pytest.raises(RuntimeError, match="must be sorted in decreasing order when `enforce_sorted` is True"):
            pack(a, b)

    def test_trap_data_is_in_the_sorted_order(self, device):
        a, b = torch.tensor([[1.0]], device=device), torch.tensor([[10.0], [20.0]], device=device)
        packed = pack_sequence([a, b], enforce_sorted=False)
        assert packed.data.flatten().tolist() == [10, 1, 20]

    def test_fix_results_are_in_the_order_of_the_batch(self, device, seeded):
        rnn = nn.RNN(1, 1, nonlinearity="relu", bias=False, device=device)
        for weight in rnn.parameters():
            nn.init.ones_(weight)
        a, b = torch.tensor([[1.0]], device=device), torch.tensor([[10.0], [20.0]], device=device)
        packed, state = rnn(pack_sequence([a, b], enforce_sorted=False))
        output, lengths = pad_packed_sequence(packed, batch_first=True)
        assert state.flatten().tolist() == [1, 30]
        assert output.flatten().tolist() == [1, 0, 10, 30]
        assert lengths.tolist() == [1, 2]


@pitfall(
    "pack-wants-lengths-on-the-cpu",
    docs=[("torch.nn.utils.rnn.pack_padded_sequence", "must be on the CPU if provided")],
    symptom="RuntimeError: 'lengths' argument should be a 1D CPU int64 tensor, but got 1D cuda:0 Long tensor",
    error="'lengths' argument should be a 1D CPU int64 tensor",
)
class TestPackWantsLengthsOnTheCpu:
    """The lengths for packing must be on the CPU, wherever the sequences are, and one for each sequence.

    Moving a whole batch with ``.to(device)`` moves them as well. Write ``lengths.cpu()``, or give a list.
    """

    @pytest.mark.parametrize("device_of_lengths", ["meta", pytest.param("cuda", marks=on("cuda"))], ids=str)
    def test_trap_elsewhere_they_are_refused(self, device, device_of_lengths):
        lengths = torch.tensor([3, 2], device=device_of_lengths)
        with pytest.raises(RuntimeError, match="'lengths' argument should be a 1D CPU int64 tensor, but got 1D"):
            pack_padded_sequence(torch.ones(2, 3, 1, device=device), lengths, batch_first=True)

    def test_trap_a_column_of_lengths_is_refused(self, device):
        with pytest.raises(RuntimeError, match="'lengths' argument should be a 1D CPU int64 tensor, but got 2D cpu"):
            pack_padded_sequence(torch.ones(2, 3, 1, device=device), torch.tensor([[3], [2]]), batch_first=True)

    def test_trap_unpacked_lengths_are_on_the_cpu(self, device):
        packed = pack_padded_sequence(torch.ones(2, 3, 1, device=device), [3, 2], batch_first=True)
        assert pad_packed_sequence(packed)[1].device.type == "cpu"

    @pytest.mark.parametrize(
        "give",
        [
            pytest.param(lambda lengths: lengths.cpu(), id="cpu"),
            pytest.param(lambda lengths: lengths.tolist(), id="list"),
        ],
    )
    def test_fix_bring_them(self, device, give):
        lengths = torch.tensor([3, 2], device=device)
        packed = pack_padded_sequence(torch.ones(2, 3, 1, device=device), give(lengths), batch_first=True)
        assert packed.batch_sizes.tolist() == [2, 2, 1]


@pitfall(
    "pack-refuses-empty-sequences",
    docs=["torch.nn.utils.rnn.pack_padded_sequence", "torch.nn.utils.rnn.pack_sequence"],
    symptom="RuntimeError: Length of all samples has to be greater than 0, in the middle of an epoch",
    error="Length of all samples has to be greater than 0",
)
class TestPackRefusesEmptySequences:
    """A sequence of length zero can't be packed: one empty text in a batch stops the training.

    Leave empty sequences out of the data, or count one step of padding as theirs.
    """

    def test_trap_length_zero(self, device):
        with pytest.raises(RuntimeError, match="Length of all samples has to be greater than 0"):
            pack_padded_sequence(torch.ones(2, 3, 1, device=device), [3, 0], batch_first=True)

    def test_fix_count_one_step(self, device):
        lengths = torch.tensor([3, 0]).clamp(min=1)
        packed = pack_padded_sequence(torch.ones(2, 3, 1, device=device), lengths, batch_first=True)
        assert packed.batch_sizes.tolist() == [2, 1, 1]


@pitfall(
    "packed-batch-sizes-are-not-lengths",
    docs=[
        ("torch.nn.utils.rnn.PackedSequence", "not the varying sequence lengths passed to"),
        ("torch.nn.utils.rnn.pack_padded_sequence", "padded batch of variable length sequences"),
    ],
    symptom="batch_sizes of a packed sequence has another length than my batch",
)
class TestPackedBatchSizesAreNotLengths:
    """``batch_sizes`` of a packed sequence says how many sequences are alive at each step, and is always on the CPU.

    ``data`` goes step by step through all sequences, without what lies beyond their lengths. Lengths come from
    ``pad_packed_sequence``.
    """

    def test_trap_alive_at_each_step(self, device):
        batch = torch.tensor([[1, 2, 3, 4], [10, 20, 0, 0]], device=device)
        packed = pack_padded_sequence(batch, [4, 2], batch_first=True)
        assert packed.batch_sizes.tolist() == [2, 2, 1, 1]
        assert packed.data.tolist() == [1, 10, 2, 20, 3, 4]

    def test_trap_what_is_beyond_is_cut(self, device):
        batch = torch.tensor([[1, 2, 3, 4], [10, 20, 30, 40]], device=device)
        packed = pack_padded_sequence(batch, [3, 1], batch_first=True)
        assert pad_packed_sequence(packed, batch_first=True)[0].tolist() == [[1, 2, 3], [10, 0, 0]]

    @pytest.mark.parametrize("move", ["meta", torch.float64], ids=str)
    def test_trap_batch_sizes_stay_on_the_cpu(self, device, move):
        packed = pack_sequence([torch.ones(3, 1, device=device), torch.ones(1, 1, device=device)]).to(move)
        assert packed.batch_sizes.device.type == "cpu"

    def test_fix_lengths_from_unpacking(self, device):
        packed = pack_sequence([torch.ones(4, 1, device=device), torch.ones(2, 1, device=device)])
        assert pad_packed_sequence(packed)[1].tolist() == [4, 2]


@pitfall(
    "packed-sequence-is-no-tensor",
    docs=[
        ("torch.nn.utils.rnn.PackedSequence", "All RNN modules accept packed sequences as inputs"),
        ("torch.nn.utils.rnn.PackedSequence.to", "then ``self`` is returned"),
    ],
    symptom="TypeError: linear(): argument 'input' must be Tensor, not PackedSequence",
    error="must be Tensor, not PackedSequence",
)
class TestPackedSequenceIsNoTensor:
    """A packed sequence is a tuple of tensors: recurrent layers take it, and nothing else does.

    Layers and functions refuse it. Unpack it before the next layer, or apply the function to its ``data``.
    ``to`` returns the sequence itself where nothing is to be converted.
    """

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda packed: nn.Linear(1, 1)(packed), id="Linear"),
            pytest.param(lambda packed: nn.Dropout()(packed), id="Dropout"),
            pytest.param(lambda packed: torch.relu(packed), id="relu"),
        ],
    )
    def test_trap_other_layers_refuse_it(self, device, seeded, use):
        packed = pack_sequence([torch.ones(3, 1, device=device), torch.ones(1, 1, device=device)])
        with pytest.raises(TypeError, match="must be Tensor, not PackedSequence"):
            use(packed)

    def test_trap_to_may_return_itself(self, device):
        packed = pack_sequence([torch.ones(3, 1, device=device)])
        assert packed.to(torch.float32) is packed
        assert packed.to(torch.float64) is not packed

    def test_fix_unpack_it(self, device, seeded):
        linear = nn.Linear(1, 1, bias=False, device=device)
        nn.init.constant_(linear.weight, 2)
        packed = pack_sequence([torch.ones(3, 1, device=device), torch.ones(1, 1, device=device)])
        padded, _ = pad_packed_sequence(packed, batch_first=True)
        assert linear(padded).flatten().tolist() == [2, 2, 2, 2, 0, 0]


@pitfall(
    "pad-sequence-is-sequence-first",
    docs=[("torch.nn.utils.rnn.pad_sequence", "``T x B x *`` otherwise"), "torch.nn.utils.rnn.pack_padded_sequence"],
    symptom="pad_sequence gives (longest, batch) where (batch, longest) is expected",
    changed={"2.5": "pad_sequence takes padding_side, and can pad on the left"},
)
class TestPadSequenceIsSequenceFirst:
    """``pad_sequence`` puts the length first and the batch second, unless it is given ``batch_first=True``.

    It pads on the right with zeros, which may be a valid token. Only the length may differ: other dimensions must be
    equal.
    """

    def test_trap_each_sequence_is_a_column(self, device):
        a, b = torch.tensor([1, 2, 3], device=device), torch.tensor([4], device=device)
        assert pad_sequence([a, b]).tolist() == [[1, 4], [2, 0], [3, 0]]

    def test_trap_other_dimensions_must_agree(self, device):
        a, b = torch.ones(3, 1, device=device), torch.ones(2, 2, device=device)
        with pytest.raises(
            RuntimeError, match=r"output with shape \[2, 1\] doesn't match the broadcast shape \[2, 2\]"
        ):
            pad_sequence([a, b])

    @pytest.mark.parametrize(("value", "padded"), [(0, [4, 0, 0]), (-100, [4, -100, -100])], ids=["default", "-100"])
    def test_fix_batch_first(self, device, value, padded):
        a, b = torch.tensor([1, 2, 3], device=device), torch.tensor([4], device=device)
        assert pad_sequence([a, b], batch_first=True, padding_value=value).tolist() == [[1, 2, 3], padded]

    @since("2.5")
    def test_fix_pad_on_the_left(self, device):
        a, b = torch.tensor([1, 2, 3], device=device), torch.tensor([4], device=device)
        assert pad_sequence([a, b], batch_first=True, padding_side="left").tolist() == [[1, 2, 3], [0, 0, 4]]

    @before("2.5")
    def test_fix_pad_the_reversed_on_the_right(self, device):
        a, b = torch.tensor([1, 2, 3], device=device), torch.tensor([4], device=device)
        assert pad_sequence([a.flip(0), b.flip(0)], batch_first=True).flip(1).tolist() == [[1, 2, 3], [0, 0, 4]]
