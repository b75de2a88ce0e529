"""Operators on sparse tensors: what they refuse, what comes out dense, and which gradients are sparse."""

import warnings

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pytest.fixture(autouse=True)
def quiet_constructors():
    """Some of it goes through CSR inside, which warns that it is in beta state."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        warnings.filterwarnings("ignore", "Sparse CS. tensor support is in beta state")
        yield


@pitfall(
    "sparse-keeps-zero-at-zero",
    docs=["sparse#supported-operations", "sparse#operator-overview"],
    symptom="NotImplementedError: Could not run 'aten::exp' with arguments from the 'SparseCPU' backend",
    error="with arguments from the 'SparseCPU' backend",
    priority=1,
)
class TestSparseKeepsZeroAtZero:
    """An operator that doesn't map zero to zero, such as ``exp`` or adding a number, raises for a sparse tensor.

    Its result would be dense. Functions like ``sin``, ``relu`` and ``expm1`` work, and so does a product with a number.
    Apply the function to the values if the missing ones shall stay missing, or convert with ``to_dense()``.
    """

    @pytest.mark.parametrize("function", [torch.exp, torch.cos, torch.log, torch.sigmoid], ids=lambda f: f.__name__)
    def test_trap_coo_has_no_kernel(self, device, function):
        with pytest.raises(NotImplementedError, match=f"Could not run 'aten::{function.__name__}"):
            function(torch.eye(2, device=device).to_sparse())

    @pytest.mark.parametrize("function", [torch.exp, torch.cos, torch.log, torch.sigmoid], ids=lambda f: f.__name__)
    def test_trap_csr_refuses_the_layout(self, device, function):
        with pytest.raises(RuntimeError, match="unsupported tensor layout: SparseCsr"):
            function(torch.eye(2, device=device).to_sparse_csr())

    def test_trap_no_number_can_be_added(self, device):
        with pytest.raises(RuntimeError, match=r"add\(sparse, dense\) is not supported"):
            torch.eye(2, device=device).to_sparse() + 1

    @pytest.mark.parametrize(
        "function", [torch.sin, torch.relu, torch.sqrt, torch.expm1, torch.neg], ids=lambda f: f.__name__
    )
    @pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr], ids=str)
    def test_fix_zero_stays_zero(self, device, function, layout):
        x = torch.eye(2, device=device)
        torch.testing.assert_close(function(x.to_sparse(layout=layout)).to_dense(), function(x))

    def test_fix_apply_it_to_the_values(self, device):
        x = torch.tensor([0.0, 2.0], device=device).to_sparse()
        y = torch.sparse_coo_tensor(x.indices(), x.values().exp(), x.shape)
        torch.testing.assert_close(y.to_dense(), torch.tensor([0.0, 7.389056], device=device))


@pitfall(
    "sparse-and-dense-arithmetic",
    docs=["sparse#operator-overview", "torch.sparse.addmm", "sparse"],
    symptom="RuntimeError: add(sparse, dense) is not supported. Use add(dense, sparse) instead.",
    error="add(sparse, dense) is not supported. Use add(dense, sparse) instead",
)
class TestSparseAndDenseArithmetic:
    """A dense plus a sparse tensor is dense, and only in this order; their product is sparse.

    The layout of the result follows from the operands and can't be chosen. A matrix product with a dense matrix is
    dense, with a sparse one of the same layout sparse; mixed layouts raise.
    """

    def test_trap_the_sparse_one_must_come_second(self, device):
        x, y = torch.eye(2, device=device).to_sparse(), torch.ones(2, 2, device=device)
        with pytest.raises(
            RuntimeError, match=r"add\(sparse, dense\) is not supported. Use add\(dense, sparse\) instead"
        ):
            x + y

    @pytest.mark.parametrize(
        ("compute", "layout"),
        [
            pytest.param(lambda x, y: y + x, torch.strided, id="dense + sparse"),
            pytest.param(lambda x, y: x * y, torch.sparse_coo, id="sparse * dense"),
            pytest.param(lambda x, _: x + x, torch.sparse_coo, id="sparse + sparse"),
            pytest.param(lambda x, y: x @ y, torch.strided, id="sparse @ dense"),
            pytest.param(lambda x, y: y @ x, torch.strided, id="dense @ sparse"),
            pytest.param(lambda x, _: x @ x, torch.sparse_coo, id="sparse @ sparse"),
            pytest.param(lambda x, y: x @ y[0], torch.strided, id="sparse @ vector"),
        ],
    )
    def test_trap_the_layout_of_the_result(self, device, compute, layout):
        x, y = torch.eye(2, device=device).to_sparse(), torch.ones(2, 2, device=device)
        assert compute(x, y).layout == layout

    @on("cpu")
    @pytest.mark.parametrize("multiply", [torch.matmul, torch.sparse.mm], ids=["matmul", "sparse.mm"])
    def test_trap_mixed_layouts_have_no_product(self, device, multiply):
        x = torch.eye(2, device=device)
        with pytest.raises(RuntimeError, match="addmm: computation on CPU is not implemented for Sparse"):
            multiply(x.to_sparse(), x.to_sparse_csr())

    def test_fix_dense_first(self, device):
        x, y = torch.eye(2, device=device).to_sparse(), torch.ones(2, 2, device=device)
        assert (y + x).tolist() == [[2, 1], [1, 2]]


@pitfall(
    "sparse-softmax-ignores-missing",
    docs=["torch.sparse.softmax", "torch.sparse.log_softmax"],
    symptom="torch.sparse.softmax gives other values than torch.softmax of the dense tensor",
)
class TestSparseSoftmaxIgnoresMissing:
    """``torch.sparse.softmax`` takes what isn't stored as minus infinity, not as zero; ``torch.softmax`` refuses COO.

    So a missing value gets the probability zero, and the stored ones of a row sum to one. For the softmax with zeros as
    values convert to dense first.
    """

    def test_trap_missing_counts_for_nothing(self, device):
        x = torch.tensor([[1.0, 0.0], [1.0, 1.0]], device=device)
        assert torch.sparse.softmax(x.to_sparse(), 1).to_dense().tolist() == [[1, 0], [0.5, 0.5]]

    def test_trap_a_stored_zero_counts(self, device):
        x = torch.sparse_coo_tensor([[0, 0], [0, 1]], [0.0, 0.0], (1, 3), device=device)
        assert torch.sparse.softmax(x, 1).to_dense().tolist() == [[0.5, 0.5, 0]]

    def test_trap_torch_softmax_refuses(self, device):
        with pytest.raises(NotImplementedError, match="Could not run 'aten::_softmax"):
            torch.softmax(torch.eye(2, device=device).to_sparse(), 1)

    def test_fix_dense_first(self, device):
        x = torch.tensor([[1.0, 0.0], [1.0, 1.0]], device=device).to_sparse()
        torch.testing.assert_close(torch.softmax(x.to_dense(), 1).sum(0)[0].item(), 1.2310586)


@pitfall(
    "sparse-views-and-slices-are-refused",
    docs=["sparse#working-with-sparse-coo-tensors", "torch.Tensor.index_select", "torch.Tensor.to_dense"],
    symptom="Could not run 'aten::as_strided' with arguments from the 'SparseCPU' backend; reshape is not implemented",
    error="Could not run 'aten::as_strided'",
)
class TestSparseViewsAndSlicesAreRefused:
    """A sparse COO tensor can be indexed by a number, but not sliced, reshaped, written to, compared or converted.

    It has no strides. ``index_select`` picks rows; for the rest go by way of ``to_dense()``.
    """

    @pytest.mark.parametrize(
        ("use", "error", "message"),
        [
            pytest.param(lambda x: x[:1], NotImplementedError, "Could not run 'aten::as_strided'", id="slice"),
            pytest.param(lambda x: x.view(4), NotImplementedError, "Could not run 'aten::view'", id="view"),
            pytest.param(lambda x: x.reshape(4), RuntimeError, "reshape is not implemented for sparse", id="reshape"),
            pytest.param(
                lambda x: x.__setitem__((0, 0), 5.0), TypeError, "Cannot assign to a sparse tensor", id="x[] ="
            ),
            pytest.param(lambda x: x.numpy(), TypeError, "can't convert Sparse layout tensor to numpy", id="numpy"),
            pytest.param(lambda x: x.max(), NotImplementedError, "Could not run 'aten::max'", id="max"),
            pytest.param(lambda x: x == x, NotImplementedError, "Could not run 'aten::eq.Tensor'", id="=="),
            pytest.param(lambda x: torch.equal(x, x), NotImplementedError, "Could not run 'aten::equal'", id="equal"),
        ],
    )
    def test_trap_these_are_refused(self, device, use, error, message):
        with pytest.raises(error, match=message):
            use(torch.eye(2, device=device).to_sparse())

    def test_fix_index_by_a_number(self, device):
        x = torch.eye(2, device=device).to_sparse()
        assert x[1].to_dense().tolist() == [0, 1]

    def test_fix_index_select_picks_rows(self, device):
        x = torch.eye(3, device=device).to_sparse()
        assert x.index_select(0, torch.tensor([2, 0], device=device)).to_dense().tolist() == [[0, 0, 1], [1, 0, 0]]


@pitfall(
    "sparse-gradient-follows-the-operator",
    docs=["torch.sparse.mm", "torch.sparse.addmm"],
    symptom="the gradient of my sparse matrix is dense and fills the memory; unsupported combination of layouts",
    error="unsupported combination of layouts",
)
class TestSparseGradientFollowsTheOperator:
    """``torch.sparse.mm`` gives a sparse matrix a sparse gradient, ``@`` a dense one with a value at every place.

    Between two CSR matrices the product has no gradient. ``torch.sparse.mm`` with a dense right-hand side has one in
    COO and CSR.
    """

    LAYOUTS = [torch.sparse_coo, torch.sparse_csr]

    @pytest.mark.parametrize("layout", LAYOUTS, ids=str)
    def test_trap_the_operator_gives_a_dense_one(self, device, layout):
        a = torch.eye(2, device=device).to_sparse(layout=layout).requires_grad_()
        (a @ torch.ones(2, 2, device=device)).sum().backward()
        assert a.grad.layout == torch.strided

    @on("cpu")
    def test_trap_csr_times_csr_has_none(self, device):
        a = torch.eye(2, device=device).to_sparse_csr().requires_grad_()
        with pytest.raises(RuntimeError, match="sparse_addmm_sparse_backward: unsupported combination of layouts"):
            torch.sparse.mm(a, a).to_dense().sum().backward()

    @pytest.mark.parametrize("layout", LAYOUTS, ids=str)
    def test_fix_sparse_mm_keeps_it_sparse(self, device, layout):
        a = torch.eye(2, device=device).to_sparse(layout=layout).requires_grad_()
        torch.sparse.mm(a, torch.ones(2, 2, device=device)).sum().backward()
        assert a.grad.layout == layout
        assert a.grad.to_dense().tolist() == [[2, 0], [0, 2]]


@pitfall(
    "sparse-gradients-need-their-optimizer",
    docs=[
        ("torch.optim.SparseAdam", "sparse gradients"),
        ("torch.nn.Embedding", "only a limited number of optimizers"),
    ],
    symptom="RuntimeError: Adam does not support sparse gradients, please consider SparseAdam instead",
    error="does not support sparse gradients",
    changed={
        "2.7": "AdamW refuses sparse gradients in the words of Adam; it had named itself",
        "2.14": "clip_grad_norm_ takes sparse gradients",
    },
)
class TestSparseGradientsNeedTheirOptimizer:
    """Only ``SGD``, ``Adagrad`` and ``SparseAdam`` take the sparse gradients of ``nn.Embedding(sparse=True)``.

    ``SparseAdam`` in turn refuses dense ones, so that a model with both needs two optimizers. Weight decay makes SGD
    refuse too, and ``clip_grad_norm_`` takes sparse gradients only since torch 2.14.
    """

    @pytest.mark.parametrize(
        "name", ["Adam", "AdamW", "RMSprop", "NAdam", "RAdam", "Adadelta", "Adamax", "ASGD", "Rprop"]
    )
    def test_trap_these_refuse(self, device, seeded, name):
        layer = torch.nn.Embedding(3, 2, sparse=True, device=device)
        layer(torch.tensor([1], device=device)).sum().backward()
        with pytest.raises(RuntimeError, match="does not support sparse gradients"):
            getattr(torch.optim, name)(layer.parameters(), lr=0.1).step()

    def test_trap_weight_decay_is_refused(self, device, seeded):
        layer = torch.nn.Embedding(3, 2, sparse=True, device=device)
        layer(torch.tensor([1], device=device)).sum().backward()
        with pytest.raises(RuntimeError, match=r"add\(sparse, dense\) is not supported"):
            torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1, foreach=False).step()

    def test_trap_sparse_adam_refuses_dense_ones(self, device, seeded):
        layer = torch.nn.Embedding(3, 2, device=device)
        layer(torch.tensor([1], device=device)).sum().backward()
        with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
            torch.optim.SparseAdam(layer.parameters()).step()

    @before("2.14")
    def test_trap_their_norm_could_not_be_clipped(self, device, seeded):
        layer = torch.nn.Embedding(3, 2, sparse=True, device=device)
        layer(torch.tensor([1], device=device)).sum().backward()
        with pytest.raises(NotImplementedError, match=r"norm.*' with arguments from the 'Sparse"):
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)

    @since("2.14")
    def test_fix_their_norm_can_be_clipped(self, device, seeded):
        layer = torch.nn.Embedding(3, 4, sparse=True, device=device)
        layer(torch.tensor([1], device=device)).sum().backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        torch.testing.assert_close(layer.weight.grad.to_dense()[1], torch.full((4,), 0.5, device=device))

    @pytest.mark.parametrize("name", ["SGD", "Adagrad", "SparseAdam"])
    def test_fix_these_take_them(self, device, seeded, name):
        layer = torch.nn.Embedding(3, 2, sparse=True, device=device)
        before_step = layer.weight.detach().clone()
        layer(torch.tensor([1], device=device)).sum().backward()
        getattr(torch.optim, name)(layer.parameters(), lr=0.1).step()
        assert (layer.weight != before_step).any(1).tolist() == [False, True, False]
