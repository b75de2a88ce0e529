"""Sizes: what `size()` is, what counts elements and what counts dimensions, and the size that -1 stands for."""

import operator

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "size-is-a-tuple",
    docs=[("torch.Tensor.size", "subclass of"), ("torch.Tensor.shape", "Alias for")],
    symptom="TypeError: 'torch.Size' object is not callable; x.size == 6 is always False",
    changed={"2.8": "adding a Size to a tuple gives a Size, not a tuple"},
    priority=1,
)
class TestSizeIsATuple:
    """``x.size()`` and ``x.shape`` are the same ``torch.Size``, a tuple; ``size`` is a method, ``shape`` is not.

    ``x.size`` without parentheses is a bound method, so NumPy's ``x.size == 6`` is never true; the element count is
    ``x.numel()``. ``x.size(d)`` gives one size and knows negative dimensions. A Size equals tuples, but no list.
    """

    def test_trap_size_and_shape_are_one_tuple(self, device):
        x = torch.ones(3, 2, device=device)
        assert x.size() == (3, 2)
        assert x.shape == (3, 2)

    @pytest.mark.parametrize("kind", [torch.Size, tuple], ids=["Size", "tuple"])
    def test_trap_it_is_a_size_and_so_a_tuple(self, device, kind):
        x = torch.ones(3, 2, device=device)
        assert isinstance(x.size(), kind)
        assert isinstance(x.shape, kind)

    def test_trap_size_without_parentheses_is_a_method(self, device):
        x = torch.ones(3, 2, device=device)
        assert callable(x.size)
        with pytest.raises(TypeError, match=r"'torch.Size' object is not callable"):
            x.shape()

    def test_trap_a_size_equals_no_list(self, device):
        x = torch.ones(3, 2, device=device)
        assert x.shape != [3, 2]

    @before("2.8")
    def test_trap_tuple_plus_size_was_a_plain_tuple(self, device):
        longer = operator.add((1,), torch.ones(3, 2, device=device).shape)
        assert type(longer) is tuple

    @since("2.8")
    def test_trap_tuple_plus_size_is_a_size(self, device):
        longer = operator.add((1,), torch.ones(3, 2, device=device).shape)
        assert type(longer) is torch.Size

    @pytest.mark.parametrize(("dim", "size"), [(0, 3), (1, 2), (-1, 2), (-2, 3)], ids=str)
    def test_fix_size_takes_a_dimension(self, device, dim, size):
        assert torch.ones(3, 2, device=device).size(dim) == size

    @pytest.mark.parametrize("dim", [2, -3], ids=str)
    def test_trap_a_dimension_that_is_not_there(self, device, dim):
        with pytest.raises(IndexError, match="Dimension out of range"):
            torch.ones(3, 2, device=device).size(dim)

    def test_fix_it_unpacks_and_serves_as_a_key(self, device):
        rows, columns = torch.ones(3, 2, device=device).shape
        assert (rows, columns) == (3, 2)
        assert {(3, 2): "found"}[torch.ones(3, 2, device=device).size()] == "found"

    @pytest.mark.parametrize("sizes", [(3, 2), (2, 0, 4), ()], ids=str)
    def test_fix_a_size_makes_another_tensor_of_that_shape(self, device, sizes):
        x = torch.ones(sizes, device=device)
        assert torch.zeros(x.size(), device=device).shape == sizes


@pitfall(
    "numel-counts-elements",
    docs=[("torch.Size.numel", "does not return the number of dimensions"), "torch.Tensor.dim", "torch.numel"],
    symptom="x.shape.numel() or len(x) is not the number that I expected",
)
class TestNumelCountsElements:
    """``numel()`` counts elements, of a tensor and of a ``Size``; ``ndim`` counts dimensions, ``len(x)`` rows.

    ``x.shape.numel()`` is the product of the sizes, not their number. A 0-d tensor has one element and no dimension; a
    size of zero anywhere means no element at all.
    """

    @pytest.mark.parametrize(
        ("sizes", "elements", "dimensions"),
        [((4, 3, 2), 24, 3), ((5,), 5, 1), ((), 1, 0), ((2, 0, 4), 0, 3), ((1, 1), 1, 2)],
        ids=str,
    )
    def test_trap_elements_are_not_dimensions(self, device, sizes, elements, dimensions):
        x = torch.zeros(sizes, device=device)
        assert x.numel() == elements
        assert x.shape.numel() == elements
        assert x.ndim == dimensions

    def test_trap_len_is_the_first_size(self, device):
        assert len(torch.zeros(4, 3, 2, device=device)) == 4

    @pytest.mark.parametrize(
        ("use", "error", "match"),
        [
            pytest.param(len, TypeError, "len.. of a 0-d tensor", id="len"),
            pytest.param(list, TypeError, "iteration over a 0-d tensor", id="list"),
            pytest.param(lambda x: x[0], IndexError, "invalid index of a 0-dim tensor", id="index"),
        ],
    )
    def test_trap_a_0d_tensor_has_no_length(self, device, use, error, match):
        with pytest.raises(error, match=match):
            use(torch.tensor(3.0, device=device))

    def test_fix_reshape_a_0d_tensor_to_iterate(self, device):
        assert [x.item() for x in torch.tensor(3.0, device=device).reshape(-1)] == [3]


@pitfall(
    "squeeze-drops-the-batch",
    docs=[("torch.squeeze", "will also remove the batch dimension")],
    symptom="the code fails for the last batch, which has a single sample",
    priority=1,
)
class TestSqueezeDropsTheBatch:
    """``squeeze()`` without a dimension removes every dimension of size one, the batch's too.

    With a dimension, a size other than one is left alone without an error, where NumPy raises. Name the dimension,
    and check its size where it matters.
    """

    def test_trap_a_batch_of_one_loses_its_batch(self, device):
        assert torch.zeros(8, 1, device=device).squeeze().shape == (8,)
        assert torch.zeros(1, 1, device=device).squeeze().shape == ()

    @pytest.mark.parametrize("dim", [0, -1, (0, 1)], ids=str)
    def test_trap_a_wider_dimension_is_left_alone(self, device, dim):
        assert torch.zeros(3, 2, device=device).squeeze(dim).shape == (3, 2)

    @pytest.mark.parametrize("batch", [8, 1], ids=str)
    def test_fix_name_the_dimension(self, device, batch):
        assert torch.zeros(batch, 1, device=device).squeeze(1).shape == (batch,)


INFERRING = [
    pytest.param(lambda x, *sizes: x.view(*sizes), id="view"),
    pytest.param(lambda x, *sizes: x.view(sizes), id="view of a tuple"),
    pytest.param(lambda x, *sizes: x.reshape(*sizes), id="reshape"),
    pytest.param(lambda x, *sizes: torch.reshape(x, sizes), id="torch.reshape"),
]


@pitfall(
    "minus-one-hides-a-wrong-size",
    docs=[("torch.Tensor.view", "is inferred from other dimensions"), ("torch.reshape", "inferred from the remaining")],
    symptom="after x.view(-1, n) the batch has a different size, and the samples are mixed up",
    priority=1,
)
class TestMinusOneHidesAWrongSize:
    """``view(-1, n)`` infers the other size from the number of elements, whether or not rows stay together.

    Any ``n`` that divides the count goes through. If it is not the size of a sample, samples are cut and the batch
    changes its size. Keep the batch fixed and infer the rest: ``x.view(x.size(0), -1)``, or ``flatten(1)``.
    """

    @pytest.mark.parametrize("infer", INFERRING)
    @pytest.mark.parametrize(
        ("sizes", "shape"),
        [((-1, 8), (2, 8)), ((8, -1), (8, 2)), ((-1,), (16,)), ((2, -1, 4), (2, 2, 4)), ((16, -1), (16, 1))],
        ids=str,
    )
    def test_fix_one_size_is_inferred(self, device, infer, sizes, shape):
        x = torch.arange(16, device=device).view(4, 4)
        y = infer(x, *sizes)
        assert y.shape == shape
        assert y.flatten().tolist() == list(range(16))

    @pytest.mark.parametrize("infer", INFERRING)
    def test_trap_samples_are_cut_without_a_word(self, device, infer):
        batch = torch.tensor([[1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]], device=device)
        assert infer(batch, -1, 6).tolist() == [[1, 1, 1, 1, 2, 2], [2, 2, 3, 3, 3, 3]]

    @pytest.mark.parametrize(
        "keep",
        [
            pytest.param(lambda x: x.view(x.size(0), -1), id="view"),
            pytest.param(lambda x: x.flatten(1), id="flatten"),
        ],
    )
    def test_fix_keep_the_batch_and_infer_the_rest(self, device, keep):
        assert keep(torch.zeros(3, 2, 2, device=device)).shape == (3, 4)

    def test_fix_spell_every_size_to_be_told(self, device):
        with pytest.raises(RuntimeError, match=r"shape '\[3, 6\]' is invalid for input of size 12"):
            torch.zeros(3, 4, device=device).view(3, 6)


@pitfall(
    "view-must-keep-the-element-count",
    docs=[("torch.Tensor.view", "must have the same number of elements"), "torch.reshape"],
    symptom="RuntimeError: shape '[-1, 784]' is invalid for input of size 3136",
    error="is invalid for input of size",
    priority=1,
)
class TestViewMustKeepTheElementCount:
    """``view`` and ``reshape`` rearrange elements; they neither drop nor repeat any, also not to make -1 fit.

    The message names the shape asked for and the count there is: divide them to see which layer's size is off. To
    repeat use ``expand`` or ``repeat``, to drop use a slice.
    """

    @pytest.mark.parametrize("infer", INFERRING)
    @pytest.mark.parametrize("sizes", [(-1, 4), (4, -1), (5,), (2, 4), (2, 2), (1,), (0, -1)], ids=str)
    def test_trap_a_count_that_does_not_fit(self, device, infer, sizes):
        with pytest.raises(RuntimeError, match="is invalid for input of size 6"):
            infer(torch.arange(6, device=device), *sizes)

    def test_trap_unflatten_says_it_otherwise(self, device):
        with pytest.raises(RuntimeError, match=r"don't multiply up to the size of dim 0 \(6\)"):
            torch.arange(6, device=device).unflatten(0, (-1, 4))

    def test_fix_expand_repeats_and_a_slice_drops(self, device):
        x = torch.arange(6, device=device)
        assert x.expand(2, 6).shape == (2, 6)
        assert x[:4].view(-1, 4).tolist() == [[0, 1, 2, 3]]


@pitfall(
    "only-one-size-can-be-inferred",
    docs=[("torch.reshape", "A single dimension may be -1"), "torch.Tensor.view"],
    symptom="RuntimeError: only one dimension can be inferred",
    error="only one dimension can be inferred",
)
class TestOnlyOneSizeCanBeInferred:
    """Only one size may be -1; two would leave torch a choice.

    Take the others from the tensor: ``x.view(x.size(0), -1, x.size(-1))``. In ``expand`` -1 means something else, "as
    it is", and any number of sizes may be -1.
    """

    @pytest.mark.parametrize("infer", INFERRING)
    @pytest.mark.parametrize("sizes", [(-1, -1), (2, -1, -1), (-1, 6, -1)], ids=str)
    def test_trap_two_are_refused(self, device, infer, sizes):
        with pytest.raises(RuntimeError, match="only one dimension can be inferred"):
            infer(torch.arange(6, device=device), *sizes)

    def test_fix_take_the_other_sizes_from_the_tensor(self, device):
        x = torch.zeros(2, 3, 4, 5, device=device)
        assert x.view(x.size(0), -1, x.size(-1)).shape == (2, 12, 5)

    def test_trap_in_expand_it_means_as_it_is(self, device):
        x = torch.zeros(2, 1, 3, device=device)
        assert x.expand(-1, 4, -1).shape == (2, 4, 3)


@pitfall(
    "minus-one-is-ambiguous-without-elements",
    docs=["torch.reshape", "torch.Tensor.view", "torch.flatten"],
    symptom="an empty batch fails: cannot reshape tensor of 0 elements into shape [0, -1]",
    error="the unspecified dimension size -1 can be any value and is ambiguous",
)
class TestMinusOneIsAmbiguousWithoutElements:
    """``view(0, -1)`` raises: nothing divided into rows of nothing leaves the size of -1 open.

    It comes from ``x.view(x.size(0), -1)`` with an empty batch. ``flatten(1)`` multiplies the sizes instead of dividing
    the count, and works. With no zero among the given sizes the answer is 0.
    """

    @pytest.mark.parametrize("infer", INFERRING)
    @pytest.mark.parametrize("sizes", [(0, -1), (-1, 0), (3, -1, 0)], ids=str)
    def test_trap_an_empty_batch_cannot_be_inferred(self, device, infer, sizes):
        with pytest.raises(RuntimeError, match="-1 can be any value and is ambiguous"):
            infer(torch.zeros(0, 3, 4, device=device), *sizes)

    @pytest.mark.parametrize("infer", INFERRING)
    def test_trap_without_a_zero_it_is_zero(self, device, infer):
        assert infer(torch.zeros(0, 3, 4, device=device), -1, 12).shape == (0, 12)

    @pytest.mark.parametrize("batch", [0, 5], ids=str)
    def test_fix_flatten_keeps_empty_batches(self, device, batch):
        assert torch.zeros(batch, 3, 4, device=device).flatten(1).shape == (batch, 12)
