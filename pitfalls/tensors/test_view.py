"""Views: who shares memory with whom, when `view` refuses, and when `reshape` quietly copies."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "view-shares-storage",
    docs=["tensor_view", ("torch.Tensor.view", "shares the same data")],
    symptom="changing the result of view, transpose or squeeze changes the original tensor",
    priority=1,
)
class TestViewSharesStorage:
    """A view is a second way to look at one storage: a write through either shows in both.

    ``view`` and all the documented view operations rearrange sizes and strides and move no element. ``clone()`` is
    what makes an independent tensor.
    """

    VIEWS = [
        pytest.param(lambda x: x.view(6), id="view"),
        pytest.param(lambda x: x.view(-1), id="view of -1"),
        pytest.param(lambda x: x.view_as(torch.zeros(6)), id="view_as"),
        pytest.param(lambda x: x.reshape(6), id="reshape"),
        pytest.param(lambda x: torch.reshape(x, (3, 2)), id="torch.reshape"),
        pytest.param(lambda x: x.flatten(), id="flatten"),
        pytest.param(lambda x: x.ravel(), id="ravel"),
        pytest.param(lambda x: x.unflatten(1, (3, 1)), id="unflatten"),
        pytest.param(lambda x: x.contiguous(), id="contiguous"),
        pytest.param(lambda x: x.t(), id="t"),
        pytest.param(lambda x: x.T, id="T"),
        pytest.param(lambda x: x.mT, id="mT"),
        pytest.param(lambda x: x.transpose(0, 1), id="transpose"),
        pytest.param(lambda x: x.permute(1, 0), id="permute"),
        pytest.param(lambda x: x.swapaxes(0, 1), id="swapaxes"),
        pytest.param(lambda x: x.movedim(0, 1), id="movedim"),
        pytest.param(lambda x: x.unsqueeze(0), id="unsqueeze"),
        pytest.param(lambda x: x.squeeze(), id="squeeze"),
        pytest.param(lambda x: x.expand(4, 2, 3), id="expand"),
        pytest.param(lambda x: x.diagonal(), id="diagonal"),
        pytest.param(lambda x: x.unfold(1, 2, 1), id="unfold"),
        pytest.param(lambda x: x.as_strided((3,), (2,)), id="as_strided"),
        pytest.param(lambda x: x.view(torch.int32), id="view of a dtype"),
        pytest.param(lambda x: x.detach(), id="detach"),
        pytest.param(lambda x: x.view(2, 3)[0], id="index"),
    ]

    @pytest.mark.parametrize("view", VIEWS)
    def test_trap_a_write_to_the_view_lands_in_x(self, device, view):
        x = torch.ones(2, 3, device=device)
        view(x).zero_()
        assert x[0, 0].item() == 0

    @pytest.mark.parametrize("view", VIEWS)
    def test_trap_a_write_to_x_shows_in_the_view(self, device, view):
        x = torch.ones(2, 3, device=device)
        y = view(x)
        x.zero_()
        assert not y.any().item()

    @pytest.mark.parametrize("view", VIEWS)
    def test_trap_the_storage_is_the_same(self, device, view):
        x = torch.ones(2, 3, device=device)
        assert view(x).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()

    @pytest.mark.parametrize("view", VIEWS)
    def test_fix_clone_is_independent(self, device, view):
        x = torch.ones(2, 3, device=device)
        y = view(x).clone()
        x.zero_()
        assert y.all().item()

    def test_fix_sixteen_values_in_one_dimension(self, device):
        x = torch.arange(16.0, device=device).view(4, 4)
        y = x.view(16)
        y[5] = 100
        assert x[1, 1].item() == 100


NOT_CONTIGUOUS = [
    pytest.param(lambda x: x.t(), [1, 4, 2, 5, 3, 6], id="t"),
    pytest.param(lambda x: x.transpose(0, 1), [1, 4, 2, 5, 3, 6], id="transpose"),
    pytest.param(lambda x: x.permute(1, 0), [1, 4, 2, 5, 3, 6], id="permute"),
    pytest.param(lambda x: x[:, :2], [1, 2, 4, 5], id="slice of columns"),
    pytest.param(lambda x: x[:, ::2], [1, 3, 4, 6], id="step"),
    pytest.param(lambda x: x.unfold(1, 2, 1), [1, 2, 2, 3, 4, 5, 5, 6], id="unfold"),
    pytest.param(lambda x: x[:, :1].expand(2, 2), [1, 1, 4, 4], id="expand"),
]


@pitfall(
    "view-needs-compatible-strides",
    docs=[("torch.Tensor.view", "compatible with its original size and stride"), "tensor_view"],
    symptom="x.t().view(-1) or x.transpose(1, 2).view(...) fails and tells me to use .reshape(...) instead",
    error="view size is not compatible with input tensor's size and stride",
    priority=1,
)
class TestViewNeedsCompatibleStrides:
    """``view`` never copies, so it raises where the elements don't lie in memory in the order that is asked for.

    After a transpose or a slice of columns they don't. ``reshape`` copies where it must; ``contiguous().view(...)``
    says so. A view that keeps the dimensions apart is possible for any strides.
    """

    @pytest.mark.parametrize(("apart", "elements"), NOT_CONTIGUOUS)
    def test_trap_view_raises(self, device, apart, elements):
        x = apart(torch.tensor([[1, 2, 3], [4, 5, 6]], device=device))
        with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
            x.view(-1)

    @pytest.mark.parametrize(
        "flat",
        [
            pytest.param(lambda x: x.reshape(-1), id="reshape"),
            pytest.param(lambda x: x.flatten(), id="flatten"),
            pytest.param(lambda x: x.contiguous().view(-1), id="contiguous and view"),
        ],
    )
    @pytest.mark.parametrize(("apart", "elements"), NOT_CONTIGUOUS)
    def test_fix_reshape_copies_where_it_must(self, device, flat, apart, elements):
        x = apart(torch.tensor([[1, 2, 3], [4, 5, 6]], device=device))
        assert flat(x).tolist() == elements

    def test_trap_channels_last_is_not_flat_either(self, device):
        images = torch.zeros(2, 3, 4, 4, device=device).to(memory_format=torch.channels_last)
        with pytest.raises(RuntimeError, match="view size is not compatible with input tensor's size and stride"):
            images.view(2, -1)

    @pytest.mark.parametrize("sizes", [(3, 1, 2), (3, 2, 1), (1, 3, 2)], ids=str)
    def test_fix_a_view_may_keep_the_dimensions_apart(self, device, sizes):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device).t()
        y = x.view(sizes)
        assert y.shape == sizes
        assert y.flatten().tolist() == [1, 4, 2, 5, 3, 6]


@pitfall(
    "reshape-may-copy",
    docs=[("torch.reshape", "should not depend on the copying"), ("torch.flatten", "this function may return")],
    symptom="writing into x.reshape(...) or x.flatten() sometimes changes x and sometimes does not",
    priority=1,
)
class TestReshapeMayCopy:
    """``reshape`` and ``flatten`` return a view where the strides allow it, and a copy where they don't.

    Whether a write through the result reaches the original thus depends on how the original was made. Use ``view``
    where it must be shared (it raises otherwise), and ``clone()`` where it must not.
    """

    FLAT = [
        pytest.param(lambda x: x.reshape(-1), id="reshape"),
        pytest.param(lambda x: torch.reshape(x, (6,)), id="torch.reshape"),
        pytest.param(lambda x: x.reshape_as(torch.zeros(6)), id="reshape_as"),
        pytest.param(lambda x: x.flatten(), id="flatten"),
        pytest.param(lambda x: x.ravel(), id="ravel"),
    ]

    @pytest.mark.parametrize("flat", FLAT)
    def test_trap_a_contiguous_tensor_is_shared(self, device, flat):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        flat(x)[0] = 100
        assert x[0, 0].item() == 100

    @pytest.mark.parametrize("flat", FLAT)
    def test_trap_a_transposed_tensor_is_copied(self, device, flat):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device).t()
        flat(x)[0] = 100
        assert x[0, 0].item() == 1

    def test_trap_reshape_to_its_own_shape_is_shared_even_so(self, device):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device).t()
        x.reshape(3, 2)[0, 0] = 100
        assert x[0, 0].item() == 100

    @pytest.mark.parametrize("transposed", [False, True], ids=["contiguous", "transposed"])
    def test_fix_clone_is_never_shared(self, device, transposed):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        x = x.t() if transposed else x
        x.clone().reshape(-1)[0] = 100
        assert x[0, 0].item() == 1


@pitfall(
    "view-is-not-transpose",
    docs=[
        ("torch.Tensor.view", "Does not change tensor layout in memory"),
        ("torch.transpose", "are swapped"),
        "torch.permute",
    ],
    symptom="the shape is right after x.view(w, h), but the image is scrambled",
    priority=1,
)
class TestViewIsNotTranspose:
    """``view`` and ``reshape`` read the elements in the same order into other sizes; they swap no dimensions.

    For ``(h, w)`` to ``(w, h)`` both give the right shape, but only ``t``, ``transpose`` and ``permute`` keep each
    element with its row and column. The classic case is images from (h, w, c) to (c, h, w).
    """

    @pytest.mark.parametrize(
        "same_order",
        [pytest.param(lambda x: x.view(3, 2), id="view"), pytest.param(lambda x: x.reshape(3, 2), id="reshape")],
    )
    def test_trap_the_order_stays(self, device, same_order):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        assert same_order(x).tolist() == [[1, 2], [3, 4], [5, 6]]

    @pytest.mark.parametrize(
        "swap",
        [
            pytest.param(lambda x: x.t(), id="t"),
            pytest.param(lambda x: x.mT, id="mT"),
            pytest.param(lambda x: x.transpose(0, 1), id="transpose"),
            pytest.param(lambda x: x.permute(1, 0), id="permute"),
            pytest.param(lambda x: x.movedim(0, 1), id="movedim"),
        ],
    )
    def test_fix_transpose_swaps(self, device, swap):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device)
        assert swap(x).tolist() == [[1, 4], [2, 5], [3, 6]]

    def test_trap_viewed_channels_are_mixed(self, device):
        pixels = torch.tensor([[[1, 0], [1, 0]], [[1, 0], [1, 0]]], device=device)  # (h, w, c): only channel 0 is lit
        assert pixels.view(2, 2, 2).sum(dim=(1, 2)).tolist() == [2, 2]

    def test_fix_permuted_channels_are_apart(self, device):
        pixels = torch.tensor([[[1, 0], [1, 0]], [[1, 0], [1, 0]]], device=device)
        assert pixels.permute(2, 0, 1).sum(dim=(1, 2)).tolist() == [4, 0]


@pitfall(
    "contiguous-copies-only-if-needed",
    docs=[("torch.Tensor.contiguous", "this function returns the"), "tensor_view"],
    symptom="x.contiguous() did not copy, and a write to it changed x",
)
class TestContiguousCopiesOnlyIfNeeded:
    """``contiguous()`` returns the tensor itself if its elements lie in order already, and a copy otherwise.

    It is no way to get a copy, and no way to keep the link either. Rows of a matrix are contiguous, columns and
    transposes are not; dimensions of size one don't count.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: x, id="fresh"),
            pytest.param(lambda x: x[1:], id="rows"),
            pytest.param(lambda x: x[1], id="one row"),
            pytest.param(lambda x: x[:1].t(), id="one row transposed"),
            pytest.param(lambda x: x.t().t(), id="transposed twice"),
        ],
    )
    def test_trap_in_order_it_is_the_same_object(self, device, make):
        x = make(torch.ones(2, 3, device=device))
        assert x.contiguous() is x

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: x.t(), id="transposed"),
            pytest.param(lambda x: x[:, 0], id="one column"),
            pytest.param(lambda x: x[:, :2], id="columns"),
            pytest.param(lambda x: x[:1].expand(2, 3), id="expanded"),
        ],
    )
    def test_trap_out_of_order_it_is_a_copy(self, device, make):
        x = torch.ones(2, 3, device=device)
        make(x).contiguous().zero_()
        assert x.all().item()

    def test_fix_clone_always_copies(self, device):
        x = torch.ones(2, 3, device=device)
        x.clone(memory_format=torch.contiguous_format).zero_()
        assert x.all().item()
