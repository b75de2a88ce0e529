"""Embedding tables: which indices they take, what the padding row is, and who else writes to the weight."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import on, pitfall

WRONG_INDICES = [
    pytest.param(torch.float32, id="float32"),
    pytest.param(torch.int16, id="int16"),
    pytest.param(torch.uint8, id="uint8"),
    pytest.param(torch.bool, id="bool"),
]


@pitfall(
    "embedding-indices-are-int32-or-int64",
    docs=[("torch.nn.Embedding", "IntTensor or LongTensor of arbitrary shape containing")],
    symptom="Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int",
    error="Expected tensor for argument #1 'indices' to have one of the following scalar types",
)
class TestEmbeddingIndicesAreInt32OrInt64:
    """An embedding takes indices of int64 or int32 and no others: floats, bytes and bools are refused.

    Data that went through a float tensor, a DataFrame or a file of bytes ends here. Convert the indices with
    ``.long()``; int32 needs no conversion, contrary to what old answers say.
    """

    @pytest.mark.parametrize("dtype", WRONG_INDICES)
    def test_trap_others_are_refused(self, device, dtype):
        weight = torch.ones(3, 2, device=device)
        indices = torch.tensor([0, 1], device=device).to(dtype)
        with pytest.raises(RuntimeError, match="'indices' to have one of the following scalar types: Long, Int"):
            F.embedding(indices, weight)

    def test_trap_a_list_is_no_tensor(self, device):
        with pytest.raises(TypeError, match=r"argument 'indices' \(position 2\) must be Tensor, not list"):
            F.embedding([0, 1], torch.ones(3, 2, device=device))

    @pytest.mark.parametrize("dtype", WRONG_INDICES)
    def test_fix_long(self, device, dtype):
        weight = torch.tensor([[1, 2], [3, 4]], device=device)
        indices = torch.tensor([1, 0], device=device).to(dtype)
        assert F.embedding(indices.long(), weight).tolist() == [[3, 4], [1, 2]]

    @pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
    def test_fix_both_of_these_work(self, device, dtype):
        weight = torch.tensor([[1, 2], [3, 4]], device=device)
        assert F.embedding(torch.tensor([1], dtype=dtype, device=device), weight).tolist() == [[3, 4]]


@pitfall(
    "embedding-index-out-of-range",
    docs=[("torch.nn.Embedding", "size of the dictionary of embeddings"), "torch.nn.functional.embedding"],
    symptom="IndexError: index out of range in self; on a GPU CUDA error: device-side assert triggered",
    error="index out of range in self",
    priority=1,
)
class TestEmbeddingIndexOutOfRange:
    """An embedding of n rows takes the indices 0 to n - 1; on the CPU others raise "index out of range in self".

    The size must count every token: the padding and the unknown one, and ids that start at 1. A position beyond the
    longest trained one raises the same. Check ``indices.max() < num_embeddings`` on the CPU; CUDA aborts instead.
    """

    @on("cpu")
    @pytest.mark.parametrize("index", [3, -1], ids=str)
    def test_trap_it_raises(self, device, seeded, index):
        embedding = nn.Embedding(3, 2, device=device)
        with pytest.raises(IndexError, match="index out of range in self"):
            embedding(torch.tensor([0, index], device=device))

    @on("cpu")
    def test_trap_ids_that_start_at_one(self, device, seeded):
        words = {"a": 1, "b": 2, "c": 3}
        embedding = nn.Embedding(len(words), 2, device=device)
        with pytest.raises(IndexError, match="index out of range in self"):
            embedding(torch.tensor(list(words.values()), device=device))

    def test_fix_one_row_more_than_the_largest_id(self, device, seeded):
        words = {"a": 1, "b": 2, "c": 3}
        embedding = nn.Embedding(max(words.values()) + 1, 2, device=device)
        assert embedding(torch.tensor(list(words.values()), device=device)).shape == (3, 2)


@pitfall(
    "padding-idx-only-blocks-the-gradient",
    docs=[
        ("torch.nn.Embedding", "can be updated to another value to be"),
        ("torch.nn.functional.embedding", "are expected to differ from the numerical ones"),
    ],
    symptom="the padding row of my embedding is not zero, although padding_idx is set",
    priority=1,
)
class TestPaddingIdxOnlyBlocksTheGradient:
    """``padding_idx`` makes the row zero once, at construction, and lets no gradient into it; other writes stay.

    Initialising the weights anew fills it, and so do ``from_pretrained`` and ``F.embedding`` with a table of your own;
    training then never changes it. Write zeros into the row after every initialisation.
    """

    def test_trap_initialisation_fills_it(self, device, seeded):
        embedding = nn.Embedding(3, 2, padding_idx=0, device=device)
        nn.init.ones_(embedding.weight)
        assert embedding(torch.tensor([0], device=device)).tolist() == [[1, 1]]

    @pytest.mark.parametrize(
        "look_up",
        [
            pytest.param(lambda i, w: F.embedding(i, w, padding_idx=0), id="F.embedding"),
            pytest.param(lambda i, w: nn.Embedding.from_pretrained(w, padding_idx=0)(i), id="from_pretrained"),
        ],
    )
    def test_trap_a_table_of_your_own_stays_as_it_is(self, device, look_up):
        weight = torch.tensor([[1, 2], [3, 4]], dtype=torch.float32, device=device)
        assert look_up(torch.tensor([0], device=device), weight).tolist() == [[1, 2]]

    @pytest.mark.parametrize("padding_idx", [0, -2], ids=["counted from the front", "counted from the back"])
    def test_trap_no_gradient_reaches_it(self, device, padding_idx):
        weight = torch.ones(2, 1, device=device, requires_grad=True)
        F.embedding(torch.tensor([0, 1, 1], device=device), weight, padding_idx=padding_idx).sum().backward()
        assert weight.grad.tolist() == [[0], [2]]

    def test_trap_gradients_of_other_uses_do_reach_it(self, device):
        weight = torch.ones(2, 1, device=device, requires_grad=True)
        hidden = F.embedding(torch.tensor([0], device=device), weight, padding_idx=0)
        (hidden @ weight.t()).sum().backward()  # the weight tied to the output layer
        assert weight.grad.tolist() == [[1], [1]]

    def test_fix_zero_the_row_after_initialising(self, device, seeded):
        embedding = nn.Embedding(3, 2, padding_idx=0, device=device)
        nn.init.ones_(embedding.weight)
        nn.init.zeros_(embedding.weight[embedding.padding_idx])
        assert embedding.weight.tolist() == [[0, 0], [1, 1], [1, 1]]


@pitfall(
    "embedding-max-norm-writes-to-the-weight",
    docs=[
        ("torch.nn.Embedding", "requires cloning ``Embedding.weight`` when"),
        ("torch.nn.functional.embedding", "this will modify :attr:`weight` in-place"),
    ],
    symptom="looking up an embedding with max_norm changes its weight, or backward fails after an inplace operation",
    error="has been modified by an inplace operation",
)
class TestEmbeddingMaxNormWritesToTheWeight:
    """With ``max_norm`` the forward pass shortens the rows that it looks up, in place, also in eval mode.

    Backward of whatever used the weight before then finds it modified. Clone the weight for the other use, or look up
    first. ``F.embedding`` writes to the tensor that it is given just the same.
    """

    @pytest.mark.parametrize(
        "look_up",
        [
            pytest.param(lambda i, w: F.embedding(i, w, max_norm=1.0), id="F.embedding"),
            pytest.param(
                lambda i, w: nn.Embedding.from_pretrained(w, max_norm=1.0).eval()(i), id="module in eval mode"
            ),
            pytest.param(lambda i, w: F.embedding_bag(i[None], w, max_norm=1.0), id="F.embedding_bag"),
        ],
    )
    def test_trap_rows_that_were_looked_up_are_shortened(self, device, look_up):
        weight = torch.tensor([[4.0], [4.0]], device=device)
        look_up(torch.tensor([0], device=device), weight)
        torch.testing.assert_close(weight, torch.tensor([[1.0], [4.0]], device=device))

    def test_trap_backward_of_an_earlier_use_fails(self, device, seeded):
        embedding = nn.Embedding(2, 1, max_norm=1.0, device=device)
        nn.init.constant_(embedding.weight, 4.0)
        penalty = embedding.weight.square().sum()
        embedding(torch.tensor([0], device=device))
        with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
            penalty.backward()

    def test_fix_clone_the_weight(self, device, seeded):
        embedding = nn.Embedding(2, 1, max_norm=1.0, device=device)
        nn.init.constant_(embedding.weight, 4.0)
        penalty = embedding.weight.clone().square().sum()
        embedding(torch.tensor([0], device=device))
        penalty.backward()
        assert embedding.weight.grad.tolist() == [[8], [8]]

    def test_fix_shorten_a_copy(self, device):
        weight = torch.tensor([[4.0], [0.5]], device=device)
        F.embedding(torch.tensor([0, 1], device=device), weight.renorm(2, 0, 1.0), max_norm=1.0)
        assert weight.tolist() == [[4], [0.5]]


DENSE_ONLY = [
    pytest.param(lambda p: torch.optim.Adam(p), id="Adam"),
    pytest.param(lambda p: torch.optim.AdamW(p, weight_decay=0.0), id="AdamW"),
    pytest.param(lambda p: torch.optim.RMSprop(p), id="RMSprop"),
    pytest.param(lambda p: torch.optim.Adamax(p), id="Adamax"),
    pytest.param(lambda p: torch.optim.Adadelta(p), id="Adadelta"),
]


@pitfall(
    "sparse-embedding-needs-its-optimizer",
    docs=[("torch.nn.Embedding", "only a limited number of optimizers support"), "torch.optim.SparseAdam"],
    symptom="RuntimeError: Adam does not support sparse gradients, please consider SparseAdam instead",
    error="does not support sparse gradients",
)
class TestSparseEmbeddingNeedsItsOptimizer:
    """An embedding with ``sparse=True`` has a sparse gradient, which SGD, Adagrad and SparseAdam take and Adam doesn't.

    SparseAdam in turn refuses dense gradients, so such a model needs two optimizers. SGD refuses weight decay for it.
    Use ``sparse=True`` only for tables so large that a dense gradient hurts.
    """

    @pytest.mark.parametrize("make", DENSE_ONLY)
    def test_trap_most_optimizers_refuse(self, device, seeded, make):
        embedding = nn.Embedding(3, 2, sparse=True, device=device)
        optimizer = make(embedding.parameters())
        embedding(torch.tensor([1], device=device)).sum().backward()
        with pytest.raises(RuntimeError, match="does not support sparse gradients"):
            optimizer.step()

    def test_trap_weight_decay_is_refused(self, device, seeded):
        embedding = nn.Embedding(3, 2, sparse=True, device=device)
        embedding(torch.tensor([1], device=device)).sum().backward()
        with pytest.raises(RuntimeError, match=r"add\(sparse, dense\) is not supported"):
            torch.optim.SGD(embedding.parameters(), lr=1.0, weight_decay=0.5).step()

    def test_trap_sparse_adam_refuses_dense_gradients(self, device, seeded):
        layer = nn.Linear(1, 1, device=device)
        layer(torch.ones(1, device=device)).backward()
        with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients"):
            torch.optim.SparseAdam(layer.parameters()).step()

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda p: torch.optim.SGD(p, lr=0.5), id="SGD"),
            pytest.param(lambda p: torch.optim.SparseAdam(p, lr=0.5), id="SparseAdam"),
        ],
    )
    def test_fix_those_that_take_it(self, device, make):
        embedding = nn.Embedding.from_pretrained(torch.zeros(2, 2, device=device), freeze=False, sparse=True)
        embedding(torch.tensor([1], device=device)).sum().backward()
        make(list(embedding.parameters())).step()
        torch.testing.assert_close(embedding.weight.data, torch.tensor([[0, 0], [-0.5, -0.5]], device=device))

    @pytest.mark.parametrize("make", DENSE_ONLY)
    def test_fix_a_dense_gradient(self, device, seeded, make):
        embedding = nn.Embedding(3, 2, device=device)
        kept = embedding.weight.detach().clone()
        optimizer = make(embedding.parameters())
        embedding(torch.tensor([1], device=device)).sum().backward()
        optimizer.step()
        assert (embedding.weight == kept).tolist() == [[True, True], [False, False], [True, True]]


@pitfall(
    "from-pretrained-is-frozen",
    docs=[("torch.nn.Embedding.from_pretrained", "the tensor does not get updated in the")],
    symptom="my pretrained embeddings do not change in training; element 0 of tensors does not require grad",
    error="element 0 of tensors does not require grad",
)
class TestFromPretrainedIsFrozen:
    """``Embedding.from_pretrained`` freezes the weight unless ``freeze=False``, and shares the memory of the table.

    The sharing means that training, or ``max_norm``, changes the tensor that you passed. Give it a ``clone()`` if the
    table is used elsewhere.
    """

    @pytest.mark.parametrize("cls", [nn.Embedding, nn.EmbeddingBag], ids=["Embedding", "EmbeddingBag"])
    def test_trap_no_gradient(self, device, cls):
        embedding = cls.from_pretrained(torch.ones(3, 2, device=device))
        with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
            embedding(torch.tensor([[0]], device=device)).sum().backward()

    def test_trap_training_changes_the_table(self, device):
        table = torch.ones(2, 1, device=device)
        embedding = nn.Embedding.from_pretrained(table, freeze=False)
        embedding(torch.tensor([1], device=device)).sum().backward()
        torch.optim.SGD(embedding.parameters(), lr=1.0).step()
        assert table.tolist() == [[1], [0]]

    def test_fix_freeze_false_and_a_copy(self, device):
        table = torch.ones(2, 1, device=device)
        embedding = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        embedding(torch.tensor([1], device=device)).sum().backward()
        torch.optim.SGD(embedding.parameters(), lr=1.0).step()
        assert (embedding.weight.tolist(), table.tolist()) == ([[1], [0]], [[1], [1]])
