"""CSR, CSC and block layouts: the beta warning, the inferred size, and what becomes of a transpose."""

import warnings

import pytest
import torch

from pitfalls import pitfall


@pytest.fixture(autouse=True)
def quiet_constructors():
    """Each compressed layout warns that it is in beta state; one pitfall below is about that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        warnings.filterwarnings("ignore", "Sparse CS. tensor support is in beta state")
        yield


@pitfall(
    "compressed-sparse-is-beta",
    docs=["sparse#sparse-csr-tensor", "torch.Tensor.to_sparse_csr", "torch.sparse_csr_tensor"],
    symptom="UserWarning: Sparse CSR tensor support is in beta state",
    error="tensor support is in beta state",
)
class TestCompressedSparseIsBeta:
    """Every compressed sparse layout warns, once a process, that its support is in beta state.

    Many operators are missing, and which ones differs between layouts and devices. The warning appears where such a
    tensor is made, also inside an operator; COO tensors give none.
    """

    @pytest.mark.parametrize(
        ("layout", "make"),
        [
            ("CSR", lambda x: x.to_sparse_csr()),
            ("CSC", lambda x: x.to_sparse_csc()),
            ("BSR", lambda x: x.to_sparse_bsr((1, 1))),
            ("BSC", lambda x: x.to_sparse_bsc((1, 1))),
        ],
        ids=["CSR", "CSC", "BSR", "BSC"],
    )
    def test_trap_it_warns(self, device, layout, make):
        with pytest.warns(UserWarning, match=f"Sparse {layout} tensor support is in beta state"):
            make(torch.eye(2, device=device))

    def test_fix_coo_does_not(self, device):
        assert torch.eye(2, device=device).to_sparse().layout == torch.sparse_coo


@pitfall(
    "is-sparse-means-coo",
    docs=["torch.Tensor.is_sparse", "torch.Tensor.is_sparse_csr", "torch.Tensor.sparse_dim", "torch.Tensor.dense_dim"],
    symptom="x.is_sparse is False for a CSR tensor",
    priority=3,
)
class TestIsSparseMeansCoo:
    """``x.is_sparse`` is True for COO tensors only; a CSR, CSC or block tensor says False.

    Compare ``x.layout`` with ``torch.strided`` to ask for any of them. ``sparse_dim()`` and ``dense_dim()`` work on
    every tensor: a dense one has no sparse dimensions, and all its dimensions are dense.
    """

    @pytest.mark.parametrize(
        ("make", "sparse"),
        [(lambda x: x.to_sparse(), True), (lambda x: x.to_sparse_csr(), False), (lambda x: x.to_sparse_csc(), False)],
        ids=["COO", "CSR", "CSC"],
    )
    def test_trap_only_coo_is_sparse(self, device, make, sparse):
        assert make(torch.eye(2, device=device)).is_sparse is sparse

    def test_trap_a_dense_tensor_has_these_dimensions_too(self, device):
        x = torch.ones(2, 3, device=device)
        assert x.sparse_dim() == 0
        assert x.dense_dim() == 2

    @pytest.mark.parametrize(
        "make",
        [lambda x: x.to_sparse(), lambda x: x.to_sparse_csr(), lambda x: x.to_sparse_csc()],
        ids=["COO", "CSR", "CSC"],
    )
    def test_fix_ask_for_the_layout(self, device, make):
        assert make(torch.eye(2, device=device)).layout != torch.strided


@pitfall(
    "sparse-size-is-inferred",
    docs=[("torch.sparse_csr_tensor", "the size will be inferred as the minimum"), "torch.sparse_coo_tensor"],
    symptom="the sparse tensor has fewer columns than it should; sizes differ from batch to batch",
)
class TestSparseSizeIsInferred:
    """Without ``size`` a sparse tensor ends at its largest index: trailing empty rows or columns are missing.

    Whether it fits the next matrix thus depends on the data. Always pass the size.
    """

    def test_trap_coo_ends_at_the_largest_index(self, device):
        x = torch.sparse_coo_tensor([[0], [1]], [1.0], device=device, check_invariants=False)
        assert x.shape == (1, 2)

    def test_trap_csr_ends_at_the_largest_column(self, device):
        x = torch.sparse_csr_tensor([0, 1, 1], [1], [1.0], device=device, check_invariants=True)
        assert x.shape == (2, 2)

    def test_fix_pass_the_size(self, device):
        x = torch.sparse_csr_tensor([0, 1, 1], [1], [1.0], (2, 5), device=device)
        assert x.shape == (2, 5)


@pitfall(
    "compressed-indices-differ-by-layout",
    docs=["torch.sparse_csc_tensor", "torch.transpose", "sparse#sparse-csc-tensor", "torch.Tensor.crow_indices"],
    symptom="the transpose of a CSR tensor is CSC; crow_indices expected sparse row compressed tensor layout",
    error="expected sparse row compressed tensor layout",
)
class TestCompressedIndicesDifferByLayout:
    """Transposing a CSR tensor gives a CSC tensor, whose indices have other names; nothing is converted.

    ``sparse_csc_tensor`` takes the pointers of the columns first, then the rows. ``x.t().to_sparse_csr()`` converts.
    """

    @pytest.mark.parametrize(
        ("make", "layout"),
        [
            pytest.param(lambda x: x.to_sparse_csr().t(), torch.sparse_csc, id="t of CSR"),
            pytest.param(lambda x: x.to_sparse_csr().transpose(0, 1), torch.sparse_csc, id="transpose of CSR"),
            pytest.param(lambda x: x.to_sparse_csc().t(), torch.sparse_csr, id="t of CSC"),
            pytest.param(lambda x: x.to_sparse().t(), torch.sparse_coo, id="t of COO"),
        ],
    )
    def test_trap_a_transpose_changes_the_layout(self, device, make, layout):
        assert make(torch.ones(2, 3, device=device)).layout == layout

    def test_trap_its_indices_have_another_name(self, device):
        x = torch.ones(2, 3, device=device).to_sparse_csr().t()
        with pytest.raises(RuntimeError, match="expected sparse row compressed tensor layout but got SparseCsc"):
            x.crow_indices()

    def test_trap_csc_takes_the_columns_first(self, device):
        pointers, inner = [0, 1, 2, 2], [1, 0]
        x = torch.sparse_csc_tensor(pointers, inner, [5.0, 6.0], (2, 3), device=device)
        assert x.to_dense().tolist() == [[0, 6, 0], [5, 0, 0]]

    def test_fix_convert_back(self, device):
        x = torch.ones(2, 3, device=device).to_sparse_csr().t().to_sparse_csr()
        assert x.crow_indices().tolist() == [0, 2, 4, 6]


@pitfall(
    "compressed-batches-are-even",
    docs=["sparse#sparse-csr-tensor", "torch.Tensor.to_sparse_csr"],
    symptom="RuntimeError: Expect the same number of specified elements per batch.",
    error="Expect the same number of specified elements per batch",
    priority=3,
)
class TestCompressedBatchesAreEven:
    """The matrices of a batched CSR tensor must all have the same number of entries.

    A batch of real data rarely has. Store explicit zeros to fill up, keep a list of matrices, or use COO.
    """

    def test_trap_uneven_batches_are_refused(self, device):
        x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]], device=device)
        with pytest.raises(RuntimeError, match="Expect the same number of specified elements per batch"):
            x.to_sparse_csr()

    @pytest.mark.parametrize("zeros", [[[1.0, 0.0], [0.0, 0.0]]], ids=["one of four"])
    def test_trap_zeros_are_dropped_on_the_way(self, device, zeros):
        assert torch.tensor(zeros, device=device).to_sparse_csr()._nnz() == 1

    def test_fix_coo_takes_them(self, device):
        x = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]]], device=device)
        assert x.to_sparse()._nnz() == 3
