"""COO tensors: duplicates, coalescing, stored zeros, and indices that nobody checks."""

import warnings

import pytest
import torch

from pitfalls import before, pitfall, since


@pytest.fixture(autouse=True)
def quiet_constructors():
    """Constructors warn that they check nothing, and those of CSR and CSC that they are in beta state."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        warnings.filterwarnings("ignore", "Sparse CS. tensor support is in beta state")
        yield


@pitfall(
    "coo-duplicates-are-summed",
    docs=[
        ("torch.sparse_coo_tensor", "coalesced"),
        ("torch.Tensor.coalesce", "Returns a coalesced copy"),
        "sparse#uncoalesced-sparse-coo-tensors",
    ],
    symptom="a repeated index in a sparse tensor adds up instead of replacing; nnz is larger than expected",
)
class TestCooDuplicatesAreSummed:
    """A COO tensor may hold an index more than once, and its value is the sum of all of them.

    The constructor leaves duplicates as they are, sums of COO tensors append entries, and ``clone`` keeps them.
    ``coalesce()`` adds them up and sorts. For the last value to win, drop the duplicates before you construct.
    """

    def test_trap_a_repeated_index_adds_up(self, device):
        x = torch.sparse_coo_tensor([[0, 1, 1]], [1.0, 2.0, 5.0], (3,), device=device)
        assert x.to_dense().tolist() == [1, 7, 0]

    def test_trap_fresh_ones_are_uncoalesced(self, device):
        x = torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (3,), device=device)
        assert x.is_coalesced() is False

    def test_trap_entries_are_counted_with_duplicates(self, device):
        x = torch.sparse_coo_tensor([[0, 1, 1]], [1.0, 2.0, 5.0], (3,), device=device)
        assert x._nnz() == 3
        assert x.coalesce()._nnz() == 2

    def test_trap_a_sum_appends_entries(self, device):
        x = torch.sparse_coo_tensor([[1, 0]], [1.0, 2.0], (3,), device=device)
        y = torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (3,), device=device)
        assert (x + y)._nnz() > (x + y).coalesce()._nnz()

    def test_fix_coalesce_adds_and_sorts(self, device):
        x = torch.sparse_coo_tensor([[2, 0, 2]], [1.0, 2.0, 5.0], (3,), device=device).coalesce()
        assert x.indices().tolist() == [[0, 2]]
        assert x.values().tolist() == [2, 6]


@pitfall(
    "coo-values-need-coalesce",
    docs=[("torch.Tensor.values", "only be called on a coalesced sparse tensor"), "torch.Tensor.indices"],
    symptom="RuntimeError: Cannot get values on an uncoalesced tensor, please call .coalesce() first",
    error="on an uncoalesced tensor, please call .coalesce() first",
)
class TestCooValuesNeedCoalesce:
    """``values()`` and ``indices()`` raise for a COO tensor that wasn't coalesced, and for any that isn't COO.

    ``_values()`` gives what is stored, duplicates and all, and cut off from the graph. Call ``x.coalesce().values()``,
    through which gradients flow.
    """

    @pytest.mark.parametrize("ask", ["values", "indices"])
    def test_trap_uncoalesced_is_refused(self, device, ask):
        x = torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (3,), device=device)
        with pytest.raises(RuntimeError, match=f"Cannot get {ask} on an uncoalesced tensor"):
            getattr(x, ask)()

    @pytest.mark.parametrize("ask", ["values", "indices", "coalesce"])
    def test_trap_dense_is_refused(self, device, ask):
        with pytest.raises(RuntimeError, match=f"{ask} expected sparse .*tensor layout but got Strided"):
            getattr(torch.ones(3, device=device), ask)()

    def test_trap_private_values_have_no_gradient(self, device):
        v = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        x = torch.sparse_coo_tensor(torch.tensor([[0, 1]], device=device), v, (3,))
        assert x._values().requires_grad is False

    def test_fix_coalesce_first(self, device):
        v = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        x = torch.sparse_coo_tensor(torch.tensor([[1, 1]], device=device), v, (3,))
        (x.coalesce().values() ** 2).sum().backward()
        assert v.grad.tolist() == [6, 6]


@pitfall(
    "coo-indices-are-columns",
    docs=[("torch.sparse_coo_tensor", "first dimension is the number of tensor dimensions"), "sparse#construction"],
    symptom="'len(size) == sparse_dim + dense_dim' is not satisfied; the values are in other places than I said",
    error="number of dimensions must be sparse_dim",
    changed={"2.10": "the message for indices with too many rows says that 'len(size) == sparse_dim + dense_dim'"},
)
class TestCooIndicesAreColumns:
    """The indices of a COO tensor have a row for each dimension, and a column for each value.

    A list of coordinates has it the other way round. With as many values as dimensions both fit, and the values land
    elsewhere without an error. Transpose the list.
    """

    def test_trap_a_square_list_is_misread(self, device):
        coordinates = [[0, 1], [0, 0]]
        x = torch.sparse_coo_tensor(coordinates, [5.0, 6.0], (2, 2), device=device)
        assert x.to_dense().tolist() == [[5, 0], [6, 0]]

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param("number of dimensions must be sparse_dim", id="old message", marks=before("2.10")),
            pytest.param("'len.size. == sparse_dim . dense_dim'", id="new message", marks=since("2.10")),
        ],
    )
    def test_trap_another_number_is_refused(self, device, message):
        coordinates = [[0, 1], [0, 0], [1, 1]]
        with pytest.raises(RuntimeError, match=message):
            torch.sparse_coo_tensor(coordinates, [5.0, 6.0], (2, 2), device=device)

    def test_fix_transpose_the_list(self, device):
        coordinates = torch.tensor([[0, 1], [0, 0]], device=device)
        x = torch.sparse_coo_tensor(coordinates.T, [5.0, 6.0], (2, 2), device=device)
        assert x.to_dense().tolist() == [[6, 5], [0, 0]]


@pitfall(
    "sparse-invariants-are-unchecked",
    docs=[
        ("torch.sparse_coo_tensor", "If sparse tensor invariants are checked"),
        "torch.sparse.check_sparse_tensor_invariants",
        "torch.sparse_csr_tensor",
    ],
    symptom="a sparse tensor with an index beyond its size is accepted; segmentation fault; values are lost",
    error="Sparse invariant checks are implicitly disabled",
    priority=1,
)
class TestSparseInvariantsAreUnchecked:
    """The constructors of sparse tensors check no index: one beyond the size is accepted, with undefined results.

    The check is off since it costs time, and on CUDA a wait for the device. Pass ``check_invariants=True``, or enter
    ``torch.sparse.check_sparse_tensor_invariants()``, which holds for all constructors.
    """

    OUT_OF_RANGE = [
        pytest.param(lambda d, **how: torch.sparse_coo_tensor([[5]], [1.0], (2,), device=d, **how), id="COO"),
        pytest.param(lambda d, **how: torch.sparse_coo_tensor([[-1]], [1.0], (2,), device=d, **how), id="negative"),
        pytest.param(
            lambda d, **how: torch.sparse_csr_tensor([0, 1], [5], [1.0], (1, 2), device=d, **how),
            id="CSR",
        ),
        pytest.param(
            lambda d, **how: torch.sparse_csc_tensor([0, 1], [5], [1.0], (2, 1), device=d, **how),
            id="CSC",
        ),
    ]

    @pytest.mark.parametrize("make", OUT_OF_RANGE)
    def test_trap_it_is_accepted(self, device, make):
        assert make(device)._nnz() == 1

    @pytest.mark.parametrize("make", OUT_OF_RANGE)
    def test_fix_check_this_one(self, device, make):
        with pytest.raises(RuntimeError, match=r"(is inconsistent with indices|negative index|is not satisfied)"):
            make(device, check_invariants=True)

    @pytest.mark.parametrize("make", OUT_OF_RANGE)
    def test_fix_check_them_all(self, device, make):
        with torch.sparse.check_sparse_tensor_invariants(True):
            with pytest.raises(RuntimeError, match=r"(is inconsistent with indices|negative index|is not satisfied)"):
                make(device)


@pitfall(
    "sparse-stores-zeros",
    docs=[
        ("torch.Tensor.sparse_mask", "even when the corresponding values in"),
        "torch.Tensor.to_sparse",
        "torch.sparse_coo_tensor",
        "sparse",
    ],
    symptom="the number of stored entries doesn't fall though the values have become zero",
)
class TestSparseStoresZeros:
    """A sparse tensor stores what it was given, zeros too; nothing removes an entry that has become zero.

    Multiplication by zero, cancelling duplicates and ``sparse_mask`` all leave stored zeros. Only a conversion from
    dense looks at the values: ``x.to_dense().to_sparse()``.
    """

    @pytest.mark.parametrize(
        ("make", "stored"),
        [
            pytest.param(lambda d: torch.sparse_coo_tensor([[0, 1]], [0.0, 1.0], (3,), device=d), 2, id="given"),
            pytest.param(
                lambda d: torch.sparse_coo_tensor([[0, 0]], [1.0, -1.0], (3,), device=d).coalesce(), 1, id="cancelled"
            ),
            pytest.param(lambda d: torch.ones(3, device=d).to_sparse() * 0, 3, id="times zero"),
            pytest.param(
                lambda d: torch.zeros(3, device=d).sparse_mask(torch.ones(3, device=d).to_sparse()), 3, id="sparse_mask"
            ),
        ],
    )
    def test_trap_zeros_stay(self, device, make, stored):
        assert make(device)._nnz() == stored

    def test_trap_a_mask_with_duplicates_gives_duplicates(self, device):
        mask = torch.sparse_coo_tensor([[1, 1]], [1.0, 1.0], (3,), device=device)
        assert torch.ones(3, device=device).sparse_mask(mask)._nnz() == 2

    def test_trap_rows_are_stored_whole(self, device):
        x = torch.tensor([[0.0, 1.0], [0.0, 0.0]], device=device)
        assert x.to_sparse(1).values().tolist() == [[0, 1]]

    def test_fix_by_way_of_dense(self, device):
        x = torch.sparse_coo_tensor([[0, 1]], [0.0, 1.0], (3,), device=device)
        assert x.to_dense().to_sparse()._nnz() == 1


@pitfall(
    "to-sparse-may-be-the-same",
    docs=[("torch.Tensor.to_sparse", "layout and blocksize parameters match"), "torch.sparse_coo_tensor"],
    symptom="a change of the converted tensor shows in the original",
    priority=3,
)
class TestToSparseMayBeTheSame:
    """``to_sparse()`` of a sparse tensor returns that very tensor, and the constructors copy no values.

    A write to the tensor of values shows in the sparse tensor that was made of it. ``clone()`` makes them independent.
    """

    def test_trap_it_is_the_same_object(self, device):
        x = torch.ones(3, device=device).to_sparse()
        assert x.to_sparse() is x

    def test_trap_the_values_are_shared(self, device):
        v = torch.tensor([1.0, 2.0], device=device)
        x = torch.sparse_coo_tensor(torch.tensor([[0, 1]], device=device), v, (2,))
        v.zero_()
        assert x.to_dense().tolist() == [0, 0]

    def test_fix_clone_them(self, device):
        v = torch.tensor([1.0, 2.0], device=device)
        x = torch.sparse_coo_tensor(torch.tensor([[0, 1]], device=device), v.clone(), (2,))
        v.zero_()
        assert x.to_dense().tolist() == [1, 2]
