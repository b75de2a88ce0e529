"""Modules of one's own under data parallelism, where each replica sees a part of the batch."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pitfalls import pitfall


@pitfall(
    "unpacked-sequence-is-as-long-as-its-longest",
    docs=[("torch.nn.utils.rnn.pad_packed_sequence", "is useful to implement the"), "notes/faq"],
    symptom="a recurrent network with packed sequences fails under DataParallel: sizes of tensors must match",
    error="Sizes of tensors must match except in dimension",
    priority=2,
)
class TestUnpackedSequenceIsAsLongAsItsLongest:
    """``pad_packed_sequence`` pads to the longest sequence that it was given, not to the length before packing.

    Each replica has other sequences, so the results have other lengths and can't be put together again. Give
    ``total_length``, read from the padded input before it is packed.
    """

    def test_trap_the_padding_is_cut(self, device):
        batch = torch.ones(2, 5, device=device)
        packed = pack_padded_sequence(batch, [3, 1], batch_first=True)
        padded, lengths = pad_packed_sequence(packed, batch_first=True)
        assert padded.tolist() == [[1, 1, 1], [1, 0, 0]]
        assert lengths.tolist() == [3, 1]

    def test_trap_the_parts_do_not_fit_together(self, device):
        parts = []
        for batch, lengths in zip(torch.ones(4, 5, device=device).chunk(2), ([5, 4], [3, 1]), strict=True):
            packed = pack_padded_sequence(batch, lengths, batch_first=True)
            parts.append(pad_packed_sequence(packed, batch_first=True)[0])
        with pytest.raises(RuntimeError, match="Sizes of tensors must match except in dimension 0"):
            torch.cat(parts)

    def test_fix_total_length(self, device):
        parts = []
        for batch, lengths in zip(torch.ones(4, 5, device=device).chunk(2), ([5, 4], [3, 1]), strict=True):
            packed = pack_padded_sequence(batch, lengths, batch_first=True)
            parts.append(pad_packed_sequence(packed, batch_first=True, total_length=batch.size(1))[0])
        assert torch.cat(parts).sum(dim=1).tolist() == [5, 4, 3, 1]

    def test_trap_it_may_not_be_less(self, device):
        packed = pack_padded_sequence(torch.ones(2, 5, device=device), [3, 1], batch_first=True)
        with pytest.raises(ValueError, match="Expected total_length to be at least the length of the longest sequence"):
            pad_packed_sequence(packed, batch_first=True, total_length=2)
