"""``vmap`` and values: a mapped tensor can't decide a branch, become a Python number, or set a shape."""

import pytest
import torch
from torch.nn import functional as F

from pitfalls import before, pitfall, since


@pitfall(
    "vmap-refuses-branches-on-values",
    docs=["func.ux_limitations#data-dependent-python-control-flow", "torch.vmap"],
    symptom="RuntimeError: vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow",
    error="attempting to use a Tensor in some data-dependent control flow",
    priority=1,
)
class TestVmapRefusesBranchesOnValues:
    """Under ``vmap`` the value of a mapped tensor can't decide an ``if``, a ``while`` or an ``assert``.

    The function runs once for all examples, and they might go different ways. Compute both sides and choose with
    ``torch.where``. Branches on shapes, dtypes and Python numbers are fine, since all examples share them.
    """

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda x: x if x > 0 else -x, id="if"),
            pytest.param(lambda x: x > 0 and -x, id="and"),
            pytest.param(lambda x: not x, id="not"),
            pytest.param(lambda x: bool(x), id="bool"),
            pytest.param(lambda x: max(x, -x), id="max"),
            pytest.param(lambda x: x in [1.0], id="in"),
            pytest.param(lambda x: any([x > 0]), id="any"),
        ],
    )
    def test_trap_it_raises(self, device, f):
        x = torch.tensor([1.0, -2.0], device=device)
        with pytest.raises(RuntimeError, match="attempting to use a Tensor in some data-dependent control flow"):
            torch.vmap(f)(x)

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda x: torch.where(x > 0, x, -x), id="where"),
            pytest.param(lambda x: torch.maximum(x, -x), id="maximum"),
        ],
    )
    def test_fix_compute_both_sides(self, device, f):
        x = torch.tensor([1.0, -2.0], device=device)
        assert torch.vmap(f)(x).tolist() == [1, 2]

    def test_fix_branches_on_shapes_are_fine(self, device):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        assert torch.vmap(lambda row: row.sum() if row.dim() == 1 else row.prod())(x).tolist() == [3, 7]


@pitfall(
    "vmap-refuses-item",
    docs=["func.ux_limitations#data-dependent-operations-item", "torch.vmap"],
    symptom="RuntimeError: vmap: It looks like you're calling .item() on a Tensor",
    error="It looks like you're calling .item() on a Tensor",
    priority=2,
)
class TestVmapRefusesItem:
    """A mapped tensor has no one value: ``item()``, ``float()``, ``int()`` and formatting it raise under ``vmap``.

    Work with the tensor itself, and format or convert what comes out. A ``print`` shows the wrapper only through
    ``repr``.
    """

    @pytest.mark.parametrize(
        "read",
        [
            pytest.param(lambda x: x.item(), id="item"),
            pytest.param(lambda x: float(x), id="float"),
            pytest.param(lambda x: int(x), id="int"),
            pytest.param(lambda x: f"{x}", id="f-string"),
            pytest.param(lambda x: [0.0] * int(x), id="as a length"),
        ],
    )
    def test_trap_it_raises(self, device, read):
        x = torch.tensor([1.0, 2.0], device=device)
        with pytest.raises(RuntimeError, match=r"calling \.item\(\) on a Tensor"):
            torch.vmap(read)(x)

    def test_trap_repr_shows_all_examples(self, device):
        seen = []
        torch.vmap(lambda x: (seen.append(repr(x)), x)[1])(torch.tensor([1.0, 2.0], device=device))
        assert "BatchedTensor" in seen[0]

    def test_fix_go_on_with_the_tensor(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.vmap(lambda x: x * torch.exp2(x))(x).tolist() == [2, 8]


@pitfall(
    "vmap-refuses-sizes-that-depend-on-values",
    docs=["func.ux_limitations#dynamic-shape-operations-nonzero-and-friends", "torch.vmap"],
    symptom="RuntimeError: vmap: We do not support batching operators that can output dynamic shape",
    error="We do not support batching operators that can output dynamic shape",
    priority=2,
)
class TestVmapRefusesSizesThatDependOnValues:
    """Under ``vmap`` nothing may return as many elements as the data says: ``nonzero``, ``unique``, boolean masks.

    The results of the examples could not be stacked. Keep the shape: ``torch.where`` with a neutral element in place
    of a mask, or ``sum`` of the mask in place of a count.
    """

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda x: x.nonzero(), id="nonzero"),
            pytest.param(lambda x: torch.where(x > 0), id="where of one argument"),
            pytest.param(lambda x: x.unique(), id="unique"),
            pytest.param(lambda x: x[x > 0], id="mask"),
            pytest.param(lambda x: torch.masked_select(x, x > 0), id="masked_select"),
        ],
    )
    def test_trap_it_raises(self, device, f):
        x = torch.tensor([[1.0, 0.0], [2.0, 3.0]], device=device)
        with pytest.raises(RuntimeError, match=r"(dynamic shape|would return a differently shaped Tensor)"):
            torch.vmap(f)(x)

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda x: torch.where(x > 1, x, 0).sum(), id="where with zero"),
            pytest.param(lambda x: ((x > 1) * x).sum(), id="times the mask"),
        ],
    )
    def test_fix_keep_the_shape(self, device, f):
        x = torch.tensor([[1.0, 0.0], [2.0, 3.0]], device=device)
        assert torch.vmap(f)(x).tolist() == [0, 5]


@pitfall(
    "vmap-refuses-examples-of-different-lengths",
    docs=[("torch.vmap", "does not provide general autobatching"), "torch.nn.utils.rnn.pad_sequence"],
    symptom="ValueError: vmap: Expected all tensors to have the same size in the mapped dimension",
    error="Expected all tensors to have the same size in the mapped dimension",
    priority=2,
)
class TestVmapRefusesExamplesOfDifferentLengths:
    """``vmap`` maps over a dimension of a tensor, not over a list: examples of different lengths don't fit into it.

    A list of tensors is one input with several parts, each of which is mapped over its own rows. Pad the sequences into
    one tensor and map over that, with their lengths beside them.
    """

    def test_trap_a_list_is_not_a_batch(self, device):
        sequences = [torch.tensor([1.0, 2.0], device=device), torch.tensor([3.0], device=device)]
        with pytest.raises(ValueError, match="Expected all tensors to have the same size in the mapped dimension"):
            torch.vmap(lambda sequence: sequence)(sequences)

    def test_trap_parts_of_one_length_are_mapped_together(self, device):
        parts = [torch.tensor([1.0, 2.0], device=device), torch.tensor([3.0, 4.0], device=device)]
        assert torch.vmap(lambda pair: pair[0] * pair[1])(parts).tolist() == [3, 8]

    def test_fix_pad_them(self, device):
        sequences = [torch.tensor([1.0, 2.0], device=device), torch.tensor([3.0], device=device)]
        padded = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
        assert torch.vmap(torch.sum)(padded).tolist() == [3, 3]


@pitfall(
    "vmap-indexes-with-mapped-indices",
    docs=["torch.vmap", "func.ux_limitations#data-dependent-operations-item"],
    symptom="x[i] raises about .item() under vmap",
    changed={"2.11": "a tensor that isn't mapped can be indexed with a mapped integer; it had raised"},
    priority=2,
)
class TestVmapIndexesWithMappedIndices:
    """Up to torch 2.10 a mapped index into a captured tensor was read with ``item()``, which raised under ``vmap``.

    Since torch 2.11 it is a gather. ``gather`` and ``embedding`` work in every release.
    """

    @before("2.11")
    def test_trap_the_index_was_read(self, device):
        table, index = torch.tensor([10, 20, 30], device=device), torch.tensor([2, 0], device=device)
        with pytest.raises(RuntimeError, match=r"calling \.item\(\) on a Tensor"):
            torch.vmap(lambda i: table[i])(index)

    @since("2.11")
    def test_trap_it_is_a_gather(self, device):
        table, index = torch.tensor([10, 20, 30], device=device), torch.tensor([2, 0], device=device)
        assert torch.vmap(lambda i: table[i])(index).tolist() == [30, 10]

    @pytest.mark.parametrize(
        "pick",
        [
            pytest.param(lambda table, i: table.gather(0, i[None]).sum(), id="gather"),
            pytest.param(lambda table, i: F.embedding(i, table[:, None]).sum(), id="embedding"),
        ],
    )
    def test_fix_select_with_the_tensor(self, device, pick):
        table, index = torch.tensor([10, 20, 30], device=device), torch.tensor([2, 0], device=device)
        assert torch.vmap(lambda i: pick(table, i))(index).tolist() == [30, 10]
