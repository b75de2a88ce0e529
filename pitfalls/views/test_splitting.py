"""Taking tensors apart: how many pieces there are, how large they are, and which dimensions a diagonal is taken of."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "chunk-may-give-fewer",
    docs=[("torch.chunk", "may return fewer than the specified number"), "torch.tensor_split"],
    symptom="x.chunk(6) returned five tensors; not enough values to unpack",
    priority=1,
)
class TestChunkMayGiveFewer:
    """``chunk(n)`` rounds the size of a chunk up, and may then need fewer than ``n`` of them.

    Ten elements in six chunks give five of two. ``tensor_split(n)`` always gives ``n`` pieces, whose sizes differ by
    one at most, and which are empty where there is nothing left.
    """

    @pytest.mark.parametrize(
        ("elements", "chunks", "sizes"),
        [
            (10, 6, [2, 2, 2, 2, 2]),
            (10, 7, [2, 2, 2, 2, 2]),
            (10, 4, [3, 3, 3, 1]),
            (9, 4, [3, 3, 3]),
            (3, 5, [1, 1, 1]),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("chunk", [torch.chunk, torch.Tensor.chunk], ids=["torch.chunk", "x.chunk"])
    def test_trap_the_last_chunks_are_missing(self, device, chunk, elements, chunks, sizes):
        pieces = chunk(torch.arange(elements, device=device), chunks)
        assert [piece.numel() for piece in pieces] == sizes

    @pytest.mark.parametrize(
        ("elements", "chunks", "sizes"),
        [(10, 6, [2, 2, 2, 2, 1, 1]), (10, 4, [3, 3, 2, 2]), (3, 5, [1, 1, 1, 0, 0])],
        ids=str,
    )
    def test_fix_tensor_split_gives_as_many_as_asked(self, device, elements, chunks, sizes):
        pieces = torch.arange(elements, device=device).tensor_split(chunks)
        assert [piece.numel() for piece in pieces] == sizes


@pitfall(
    "split-takes-a-size-not-a-count",
    docs=[("torch.split", "size of a single chunk or"), ("torch.tensor_split", "numpy.array_split")],
    symptom="x.split(2) gave five pieces where np.split(x, 2) gives two",
)
class TestSplitTakesASizeNotACount:
    """The number in ``split(n)`` is the size of a piece; in NumPy's ``split`` it is the number of pieces.

    A list gives the sizes of the pieces, again not NumPy's positions, and must add up to the dimension.
    ``tensor_split`` counts like NumPy's ``array_split``, for both.
    """

    def test_trap_pieces_of_two_not_two_pieces(self, device):
        x = torch.arange(10, device=device)
        assert [piece.tolist() for piece in x.split(2)] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
        assert len(x.split(2)) != len(np.split(np.arange(10), 2))

    def test_trap_the_last_piece_may_be_smaller(self, device):
        assert [piece.numel() for piece in torch.arange(10, device=device).split(4)] == [4, 4, 2]

    @pytest.mark.parametrize("sizes", [[4, 4], [4, 4, 4], [2, 8, 10]], ids=str)
    def test_trap_a_list_must_add_up(self, device, sizes):
        with pytest.raises(RuntimeError, match="expects split_sizes to sum exactly to 10"):
            torch.arange(10, device=device).split(sizes)

    @pytest.mark.parametrize("split", [2, [3], [2, 5]], ids=str)
    def test_fix_tensor_split_counts_like_numpy(self, device, split):
        pieces = torch.arange(10, device=device).tensor_split(split)
        assert [piece.tolist() for piece in pieces] == [p.tolist() for p in np.array_split(np.arange(10), split)]


@pitfall(
    "hsplit-must-divide-evenly",
    docs=[("torch.hsplit", "it must evenly divide the split dimension"), "torch.vsplit", "torch.tensor_split"],
    symptom="RuntimeError: torch.hsplit attempted to split along dimension 1, but the size is not divisible",
    error="is not divisible by the split_size",
    priority=3,
)
class TestHsplitMustDivideEvenly:
    """``hsplit``, ``vsplit`` and ``dsplit`` raise unless the pieces come out equal; ``tensor_split`` does not mind.

    They count pieces, like NumPy's functions of that name, which raise likewise.
    """

    @pytest.mark.parametrize("split", [torch.hsplit, torch.vsplit, torch.dsplit], ids=lambda f: f.__name__)
    def test_trap_a_rest_is_refused(self, device, split):
        with pytest.raises(RuntimeError, match="is not divisible by the split_size 2"):
            split(torch.zeros(3, 3, 3, device=device), 2)

    @pytest.mark.parametrize(("dim", "shape"), [(0, (2, 3, 3)), (1, (3, 2, 3)), (2, (3, 3, 2))], ids=str)
    def test_fix_tensor_split(self, device, dim, shape):
        pieces = torch.zeros(3, 3, 3, device=device).tensor_split(2, dim=dim)
        assert pieces[0].shape == shape


@pitfall(
    "slices-clip-narrow-raises",
    docs=[("torch.narrow", "length of the narrowed dimension"), ("torch.narrow_copy", "rather than shared storage")],
    symptom="x[3:10] is shorter than seven, and nothing said so",
)
class TestSlicesClipNarrowRaises:
    """A slice beyond the end is cut to what there is, down to nothing; ``narrow`` raises instead.

    A window that should have a fixed length is therefore better taken with ``narrow(dim, start, length)``. Both give
    views; ``narrow_copy`` copies.
    """

    @pytest.mark.parametrize(
        ("start", "stop", "values"), [(3, 10, [3, 4]), (5, 7, []), (4, 2, []), (-9, 2, [0, 1])], ids=str
    )
    def test_trap_a_slice_is_cut_silently(self, device, start, stop, values):
        assert torch.arange(5, device=device)[start:stop].tolist() == values

    def test_trap_a_write_to_such_a_slice_writes_less(self, device):
        x = torch.arange(5, device=device)
        x[3:10] = 0
        x[7:9] = 0
        assert x.tolist() == [0, 1, 2, 0, 0]

    @pytest.mark.parametrize(("start", "length"), [(3, 3), (0, 6), (-1, 2)], ids=str)
    def test_fix_narrow_insists_on_its_length(self, device, start, length):
        with pytest.raises(RuntimeError, match="exceeds dimension size"):
            torch.arange(5, device=device).narrow(0, start, length)

    @pytest.mark.parametrize(
        ("narrow", "left"),
        [(torch.narrow, [0, 5, 5]), (torch.narrow_copy, [0, 1, 2])],
        ids=["narrow", "narrow_copy"],
    )
    def test_fix_narrow_is_a_view_narrow_copy_is_not(self, device, narrow, left):
        x = torch.arange(3, device=device)
        narrow(x, 0, 1, 2).fill_(5)
        assert x.tolist() == left


@pitfall(
    "diagonal-takes-the-first-two-dimensions",
    docs=[("torch.diagonal", "To take a batch diagonal"), "torch.linalg.diagonal", "torch.diag_embed"],
    symptom="the diagonal of a batch of matrices has the wrong shape",
)
class TestDiagonalTakesTheFirstTwoDimensions:
    """``torch.diagonal`` of a batch crosses the batch: its default dimensions are 0 and 1, not the last two.

    For a batch pass ``dim1=-2, dim2=-1``, or use ``torch.linalg.diagonal``, whose default that is; ``diag_embed``, its
    inverse, takes the last two as well.
    """

    def test_trap_the_batch_is_crossed(self, device):
        batch = torch.arange(12, device=device).view(3, 2, 2)
        assert batch.diagonal().tolist() == [[0, 6], [1, 7]]

    @pytest.mark.parametrize(
        "diagonal",
        [
            pytest.param(lambda x: x.diagonal(dim1=-2, dim2=-1), id="dim1 and dim2"),
            pytest.param(torch.linalg.diagonal, id="linalg.diagonal"),
        ],
    )
    def test_fix_name_the_last_two(self, device, diagonal):
        batch = torch.arange(12, device=device).view(3, 2, 2)
        assert diagonal(batch).tolist() == [[0, 3], [4, 7], [8, 11]]

    def test_trap_diag_embed_takes_the_last_two(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert torch.diag_embed(x).diagonal(dim1=-2, dim2=-1).tolist() == [[1, 2], [3, 4]]
        assert torch.diag_embed(x).diagonal().tolist() == [[1, 0], [0, 4]]


@pitfall(
    "diag-copies-diagonal-shares",
    docs=[("torch.diagonal", "Returns a partial view of"), ("torch.diag", "is a vector (1-D tensor), then")],
    symptom="torch.diag(x).fill_(0) does not clear the diagonal of x",
)
class TestDiagCopiesDiagonalShares:
    """``diag`` returns a copy, or builds a matrix from a vector; ``diagonal`` always takes a diagonal, as a view.

    So a diagonal is written through ``x.diagonal()`` or ``fill_diagonal_``. ``diag`` changes its meaning with the rank,
    and refuses a batch.
    """

    def test_trap_a_write_to_diag_is_lost(self, device):
        x = torch.ones(2, 2, device=device)
        x.diag().fill_(0)
        assert x.tolist() == [[1, 1], [1, 1]]

    def test_trap_of_a_vector_it_makes_a_matrix(self, device):
        assert torch.diag(torch.tensor([1, 2], device=device)).tolist() == [[1, 0], [0, 2]]

    def test_trap_a_batch_is_refused(self, device):
        with pytest.raises(RuntimeError, match="Supports 1D or 2D tensors"):
            torch.diag(torch.ones(3, 2, 2, device=device))

    @pytest.mark.parametrize(
        "clear",
        [
            pytest.param(lambda x: x.diagonal().fill_(0), id="diagonal"),
            pytest.param(lambda x: x.fill_diagonal_(0), id="fill_diagonal_"),
        ],
    )
    def test_fix_diagonal_writes_through(self, device, clear):
        x = torch.ones(2, 2, device=device)
        clear(x)
        assert x.tolist() == [[0, 1], [1, 0]]


@pitfall(
    "scatter-variants-want-the-exact-shape",
    docs=[
        ("torch.select_scatter", "it should have the same shape as"),
        ("torch.diagonal_scatter", "it should have the same shape as"),
        "torch.slice_scatter",
        "torch.as_strided_scatter",
    ],
    symptom="RuntimeError: expected src to have a size equal to the slice of self",
    error="expected src to have a size equal to the slice of self",
    priority=3,
)
class TestScatterVariantsWantTheExactShape:
    """``select_scatter`` and its kin never broadcast: the source must have exactly the shape of what it replaces.

    They are assignments that return a new tensor and leave the old one alone. An assignment ``x[0] = src`` would have
    broadcast; here expand the source first.
    """

    @pytest.mark.parametrize(
        "scatter",
        [
            pytest.param(lambda x, one: torch.select_scatter(x, one, 0, 0), id="select_scatter"),
            pytest.param(lambda x, one: torch.diagonal_scatter(x, one), id="diagonal_scatter"),
            pytest.param(lambda x, one: torch.slice_scatter(x, one[:, None], 0, 0, 1), id="slice_scatter"),
            pytest.param(lambda x, one: torch.as_strided_scatter(x, one, (2,), (1,)), id="as_strided_scatter"),
        ],
    )
    def test_trap_nothing_is_broadcast(self, device, scatter):
        with pytest.raises(RuntimeError, match="expected src to have a size equal to the slice of self"):
            scatter(torch.zeros(2, 2, device=device), torch.ones(1, device=device))

    @pytest.mark.parametrize(
        ("scatter", "result"),
        [
            pytest.param(lambda x, ones: torch.select_scatter(x, ones, 0, 0), [[1, 1], [0, 0]], id="select_scatter"),
            pytest.param(torch.diagonal_scatter, [[1, 0], [0, 1]], id="diagonal_scatter"),
        ],
    )
    def test_fix_expand_the_source(self, device, scatter, result):
        x = torch.zeros(2, 2, device=device)
        assert scatter(x, torch.ones(1, device=device).expand(2)).tolist() == result
        assert x.tolist() == [[0, 0], [0, 0]]
