"""Rarely used constructors and methods of sparse tensors: resizing, diagonals, sampled products, devices."""

import warnings

import pytest
import torch

from pitfalls import on, pitfall, since


@pytest.fixture(autouse=True)
def quiet_constructors():
    """CSR tensors warn that they are in beta state."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        warnings.filterwarnings("ignore", "Sparse CS. tensor support is in beta state")
        yield


@pitfall(
    "sparse-resize-only-grows",
    docs=["torch.Tensor.sparse_resize_", "torch.Tensor.sparse_resize_and_clear_"],
    symptom="shrinking the size of sparse dimensions on a non-empty sparse tensor is not supported",
    error="on a non-empty sparse tensor is not supported",
    priority=3,
)
class TestSparseResizeOnlyGrows:
    """``sparse_resize_`` lets a tensor with entries grow, but not shrink or move dimensions from sparse to dense.

    A dense tensor has no such method. ``sparse_resize_and_clear_`` drops the entries and does anything.
    """

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            (((1, 1), 2, 0), "shrinking the size of sparse dimensions"),
            (((2, 2), 1, 1), "changing the number of sparse"),
        ],
        ids=["shrink", "another number of sparse dimensions"],
    )
    def test_trap_with_entries_it_is_refused(self, device, how, message):
        with pytest.raises(RuntimeError, match=message):
            torch.eye(2, device=device).to_sparse().sparse_resize_(*how)

    def test_trap_dense_is_refused(self, device):
        with pytest.raises(NotImplementedError, match="Could not run 'aten::sparse_resize_'"):
            torch.ones(2, device=device).sparse_resize_((2,), 1, 0)

    def test_fix_grow(self, device):
        x = torch.eye(2, device=device).to_sparse().sparse_resize_((2, 3), 2, 0)
        assert x.to_dense().tolist() == [[1, 0, 0], [0, 1, 0]]

    def test_fix_clear(self, device):
        x = torch.eye(2, device=device).to_sparse().sparse_resize_and_clear_((1,), 1, 0)
        assert x.to_dense().tolist() == [0]


@pitfall(
    "spdiags-starts-within-the-row",
    docs=["torch.sparse.spdiags", "torch.diag"],
    symptom="the first value of an upper diagonal is missing from the result of spdiags",
    priority=3,
)
class TestSpdiagsStartsWithinTheRow:
    """``torch.sparse.spdiags`` puts element k of a row first on diagonal k; what stands before it is dropped.

    Values stay in their column, as in SciPy. ``torch.diag(v, k)`` puts all of them on the diagonal and grows instead.
    """

    @pytest.mark.parametrize(
        ("offset", "expected"),
        [(1, [[0, 2, 0], [0, 0, 3], [0, 0, 0]]), (-1, [[0, 0, 0], [1, 0, 0], [0, 2, 0]])],
        ids=["above", "below"],
    )
    def test_trap_values_stay_in_their_column(self, offset, expected):
        x = torch.sparse.spdiags(torch.tensor([[1, 2, 3]]), torch.tensor([offset]), (3, 3))
        assert x.to_dense().tolist() == expected

    def test_fix_diag_takes_all(self, device):
        assert torch.diag(torch.tensor([1, 2], device=device), 1).tolist() == [[0, 1, 0], [0, 0, 2], [0, 0, 0]]


@pitfall(
    "sampled-addmm-wants-csr",
    docs=["torch.sparse.sampled_addmm"],
    symptom="Could not run 'aten::sparse_sampled_addmm'; Expected mat1 to have strided layout",
    error="sampled_addmm: Expected mat1 to have strided layout",
    priority=3,
)
class TestSampledAddmmWantsCsr:
    """``torch.sparse.sampled_addmm`` computes a dense product at the places of a CSR tensor, and takes nothing else.

    A COO tensor has no kernel, and the factors must be dense.
    """

    def test_trap_coo_is_refused(self, device):
        x = torch.eye(2, device=device)
        with pytest.raises(NotImplementedError, match="Could not run 'aten::sparse_sampled_addmm'"):
            torch.sparse.sampled_addmm(x.to_sparse(), x, x)

    def test_trap_sparse_factors_are_refused(self, device):
        x = torch.eye(2, device=device)
        with pytest.raises(RuntimeError, match="sampled_addmm: Expected mat1 to have strided layout"):
            torch.sparse.sampled_addmm(x.to_sparse_csr(), x.to_sparse_csr(), x)

    def test_fix_csr_and_dense_factors(self, device):
        x, ones = torch.eye(2, device=device), torch.ones(2, 2, device=device)
        y = torch.sparse.sampled_addmm(x.to_sparse_csr(), ones, ones)
        assert y.to_dense().tolist() == [[3, 0], [0, 3]]


@pitfall(
    "sparse-parts-need-one-device",
    docs=[("torch.sparse_coo_tensor", "and indices tensor(s) must match"), "torch.sparse_bsc_tensor"],
    symptom="RuntimeError: backend of indices (CPU) must match backend of values (CUDA)",
    error="must match backend of values",
    changed={
        "2.3": "CSR and CSC tensors say which parts are on another device; they had refused the meta device as such",
    },
    priority=3,
)
class TestSparsePartsNeedOneDevice:
    """Indices and values of a sparse tensor must be on one device, unless ``device=`` says where both shall go.

    Indices come from a data set on the CPU, values from a model on the GPU. Pass ``device=`` and both are copied there.
    """

    def test_trap_two_devices_are_refused(self, device):
        index, values = torch.tensor([[0]], device=device), torch.ones(1, device="meta")
        with pytest.raises(RuntimeError, match=r"backend of indices .* must match backend of values"):
            torch.sparse_coo_tensor(index, values, (1,))

    @since("2.3")
    @pytest.mark.parametrize("make", [torch.sparse_csr_tensor, torch.sparse_csc_tensor], ids=["CSR", "CSC"])
    def test_trap_compressed_layouts_refuse_them_too(self, device, make):
        pointers, inner = torch.tensor([0, 1], device=device), torch.tensor([0], device=device)
        with pytest.raises(RuntimeError, match="need to be on the same device"):
            make(pointers, inner, torch.ones(1, device="meta"), (1, 1))

    @on("cuda")
    @pytest.mark.parametrize("to", ["cpu", "cuda"])
    def test_fix_say_where(self, device, to):
        x = torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1, device=device), (1,), device=to)
        assert x.device.type == to
