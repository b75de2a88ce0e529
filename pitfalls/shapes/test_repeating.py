"""Repeating and arranging: `repeat`, `repeat_interleave`, `expand`, `stack`, `cat`, `meshgrid`, `range`."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "repeat-tiles-the-tensor",
    docs=[
        ("torch.Tensor.repeat", "but is more similar to"),
        ("torch.repeat_interleave", "This is different from"),
        "torch.tile",
    ],
    symptom="x.repeat(2) gives [1, 2, 1, 2] where np.repeat(x, 2) gives [1, 1, 2, 2]",
    priority=1,
)
class TestRepeatTilesTheTensor:
    """``x.repeat(n)`` lays the whole tensor ``n`` times side by side; ``repeat_interleave`` repeats each element.

    NumPy's ``repeat`` is torch's ``repeat_interleave``, and torch's ``repeat`` is NumPy's ``tile``. With the wrong one
    the shape is right and samples meet the wrong labels.
    """

    def test_trap_repeat_is_not_numpys(self, device):
        x = torch.tensor([1, 2], device=device)
        assert x.repeat(2).tolist() == [1, 2, 1, 2]
        assert x.repeat(2).tolist() != np.repeat([1, 2], 2).tolist()

    def test_trap_rows_are_tiled_too(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert x.repeat(2, 1).tolist() == [[1, 2], [3, 4], [1, 2], [3, 4]]

    @pytest.mark.parametrize("dim", [0, 1], ids=str)
    @pytest.mark.parametrize("repeats", [2, [1, 2]], ids=["2", "1 and 2"])
    def test_fix_repeat_interleave_is_numpys(self, device, dim, repeats):
        values = [[1, 2], [3, 4]]
        repeated = torch.tensor(values, device=device).repeat_interleave(torch.tensor(repeats, device=device), dim)
        assert repeated.tolist() == np.repeat(values, repeats, dim).tolist()

    def test_fix_tile_is_numpys(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert x.tile(2).tolist() == np.tile([[1, 2], [3, 4]], 2).tolist()


@pitfall(
    "repeat-needs-every-dimension",
    docs=[("torch.Tensor.repeat", "Unlike"), ("torch.tile", "ones are prepended to"), "torch.Tensor.expand"],
    symptom="RuntimeError: Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
    error="Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor",
)
class TestRepeatNeedsEveryDimension:
    """``repeat`` wants a factor for each dimension, and further ones make new dimensions in front.

    ``repeat(3, 1)`` of a vector thus gives three rows. ``tile`` fills missing factors in with ones. Where nothing is
    written, ``expand`` does the same without a copy.
    """

    def test_trap_too_few_factors(self, device):
        with pytest.raises(RuntimeError, match="Number of dimensions of repeat dims can not be smaller"):
            torch.zeros(2, 3, device=device).repeat(2)

    def test_trap_more_factors_make_dimensions_in_front(self, device):
        assert torch.tensor([1, 2], device=device).repeat(2, 1).tolist() == [[1, 2], [1, 2]]

    def test_trap_it_copies(self, device):
        x = torch.zeros(1, device=device)
        x.repeat(3).fill_(1)
        assert x.item() == 0

    def test_fix_tile_fills_in_ones(self, device):
        assert torch.zeros(2, 3, device=device).tile(2).shape == (2, 6)


@pitfall(
    "repeat-interleave-flattens",
    docs=[("torch.repeat_interleave", "use the flattened input array"), "torch.Tensor.repeat_interleave"],
    symptom="repeat_interleave of a matrix returned a vector",
)
class TestRepeatInterleaveFlattens:
    """Without ``dim`` ``repeat_interleave`` flattens its input and returns a vector.

    A batch loses its rows. Say ``dim=0`` to repeat each sample.
    """

    @pytest.mark.parametrize(
        "repeat", [torch.repeat_interleave, torch.Tensor.repeat_interleave], ids=["torch", "Tensor"]
    )
    def test_trap_a_matrix_becomes_a_vector(self, device, repeat):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert repeat(x, 2).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]

    def test_fix_name_the_dimension(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert x.repeat_interleave(2, dim=0).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]


@pitfall(
    "expand-adds-dimensions-in-front",
    docs=[
        ("torch.Tensor.expand", "ones will be appended at the front"),
        ("torch.Tensor.expand", "size cannot be set to -1"),
    ],
    symptom="RuntimeError: The expanded size of the tensor (2) must match the existing size (3)",
    error="The expanded size of the tensor",
)
class TestExpandAddsDimensionsInFront:
    """``expand`` stretches sizes of one, and new dimensions go in front; no other size can change.

    A vector can be expanded to rows, not to columns. Give it the dimension first: ``v[:, None].expand(3, 2)``. For a
    dimension that is not there yet -1 means nothing, and raises.
    """

    @pytest.mark.parametrize(
        ("sizes", "match"),
        [
            pytest.param((3, 2), r"expanded size of the tensor \(2\) must match the existing size \(3\)", id="(3, 2)"),
            pytest.param((6,), r"expanded size of the tensor \(6\) must match the existing size \(3\)", id="(6,)"),
            pytest.param((-1, 3), r"\(-1\) isn't allowed in a leading, non-existing dimension 0", id="(-1, 3)"),
        ],
    )
    def test_trap_other_sizes_are_refused(self, device, sizes, match):
        with pytest.raises(RuntimeError, match=match):
            torch.zeros(3, device=device).expand(sizes)

    def test_trap_dimensions_are_never_dropped(self, device):
        with pytest.raises(RuntimeError, match="must be greater or equal to the number of dimensions in the tensor"):
            torch.zeros(1, 3, device=device).expand(3)

    def test_trap_a_vector_becomes_rows(self, device):
        assert torch.tensor([1, 2], device=device).expand(2, 2).tolist() == [[1, 2], [1, 2]]

    def test_fix_give_the_vector_its_dimension(self, device):
        v = torch.tensor([1, 2, 3], device=device)
        assert v[:, None].expand(3, 2).tolist() == [[1, 1], [2, 2], [3, 3]]


@pitfall(
    "cat-and-stack-never-broadcast",
    docs=[("torch.stack", "need to be of the same size"), ("torch.cat", "must either have the same shape")],
    symptom="RuntimeError: stack expects each tensor to be equal size; Sizes of tensors must match except in dimension",
    error="stack expects each tensor to be equal size",
)
class TestCatAndStackNeverBroadcast:
    """``stack`` wants equal shapes, and ``cat`` equal sizes but for its dimension; neither broadcasts.

    ``stack`` makes a new dimension, ``cat`` lengthens an old one, so 0-d tensors can be stacked only. The one exception
    is an empty vector: ``cat`` skips it, whatever the others are.
    """

    @pytest.mark.parametrize(
        ("join", "a", "b", "match"),
        [
            pytest.param(torch.stack, (2,), (3,), "stack expects each tensor to be equal size", id="stack"),
            pytest.param(torch.stack, (1, 3), (3,), "stack expects each tensor to be equal size", id="stack of ranks"),
            pytest.param(torch.cat, (2,), (3, 1), "Tensors must have same number of dimensions", id="cat of ranks"),
            pytest.param(torch.cat, (1, 3), (2, 4), "Sizes of tensors must match except in dimension 0", id="cat"),
            pytest.param(torch.cat, (), (), "cannot be concatenated", id="cat of 0-d"),
        ],
    )
    def test_trap_other_shapes_are_refused(self, device, join, a, b, match):
        with pytest.raises(RuntimeError, match=match):
            join([torch.ones(a, device=device), torch.ones(b, device=device)])

    def test_trap_an_empty_vector_is_skipped(self, device):
        empty = torch.ones(0, device=device)
        assert torch.cat([empty, torch.ones(2, 3, device=device)]).shape == (2, 3)

    @pytest.mark.parametrize(
        ("join", "shape"),
        [
            pytest.param(lambda a, b: torch.cat([a, b]), (4, 3), id="cat"),
            pytest.param(lambda a, b: torch.cat([a, b], dim=1), (2, 6), id="cat of columns"),
            pytest.param(lambda a, b: torch.stack([a, b]), (2, 2, 3), id="stack"),
            pytest.param(lambda a, b: torch.stack([a, b], dim=-1), (2, 3, 2), id="stack last"),
        ],
    )
    def test_fix_cat_lengthens_stack_adds(self, device, join, shape):
        assert join(torch.ones(2, 3, device=device), torch.ones(2, 3, device=device)).shape == shape


@pitfall(
    "meshgrid-is-not-numpys",
    docs=[("torch.meshgrid", "currently has the same behavior as calling"), "torch.cartesian_prod"],
    symptom="UserWarning: torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument",
    error="it will be required to pass the indexing argument",
)
class TestMeshgridIsNotNumpys:
    """``torch.meshgrid`` goes by rows first (``ij``), NumPy's by columns (``xy``); without ``indexing=`` it warns.

    A picture ported from NumPy comes out transposed. Say which is meant. The grids are expanded views, so a write to
    one element of them writes a whole row or column.
    """

    def test_trap_the_default_is_ij_and_warns(self, device):
        with pytest.warns(UserWarning, match="it will be required to pass the indexing argument"):
            rows, columns = torch.meshgrid(torch.arange(2, device=device), torch.arange(3, device=device))
        assert rows.tolist() == [[0, 0, 0], [1, 1, 1]]
        assert columns.tolist() == [[0, 1, 2], [0, 1, 2]]

    def test_trap_the_grids_share_their_elements(self, device):
        x = torch.arange(2, device=device)
        rows, _ = torch.meshgrid(x, torch.arange(3, device=device), indexing="ij")
        rows[0, 0] = 9
        assert rows.tolist() == [[9, 9, 9], [1, 1, 1]]
        assert x.tolist() == [9, 1]

    def test_trap_a_0d_tensor_counts_as_a_vector(self, device):
        grids = torch.meshgrid(torch.tensor(5, device=device), torch.arange(3, device=device), indexing="ij")
        assert grids[0].tolist() == [[5, 5, 5]]

    @pytest.mark.parametrize("indexing", ["xy", "ij"])
    def test_fix_say_the_indexing(self, device, indexing):
        grids = torch.meshgrid(torch.arange(2, device=device), torch.arange(3, device=device), indexing=indexing)
        expected = np.meshgrid(np.arange(2), np.arange(3), indexing=indexing)
        assert [grid.tolist() for grid in grids] == [grid.tolist() for grid in expected]
