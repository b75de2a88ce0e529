"""Storages: what lies behind a tensor, how long it lives, and the calls that exchange or resize it."""

import pytest
import torch

from pitfalls import pitfall


@pytest.fixture
def once_again(monkeypatch):
    """Has torch warn of typed storages again, which it does once a process."""
    monkeypatch.setattr(torch.storage._warn_typed_storage_removal, "has_warned", False, raising=False)


@pitfall(
    "resize-is-not-reshape",
    docs=[("torch.Tensor.resize_", "The storage is reinterpreted as C-contiguous"), "torch.reshape"],
    symptom="after x.resize_(...) there are fewer elements, or some that I never wrote",
)
class TestResizeIsNotReshape:
    """``resize_`` changes the number of elements in place: it cuts off, or appends memory that nobody has written.

    It reads the storage in order and ignores the strides, so a transposed tensor shows its elements in another order.
    Use ``reshape`` or ``view``, which insist on the count, and ``nn.functional.pad`` to append values of your choice.
    """

    def test_trap_elements_are_cut_off_without_a_word(self, device):
        x = torch.arange(6, device=device).view(2, 3)
        assert x.resize_(2, 2) is x
        assert x.tolist() == [[0, 1], [2, 3]]

    def test_trap_what_was_cut_off_comes_back(self, device):
        x = torch.arange(4, device=device)
        x.resize_(2).resize_(4)
        assert x.tolist() == [0, 1, 2, 3]

    def test_trap_new_elements_are_uninitialised(self, device):
        x = torch.arange(4, device=device)
        x.resize_(6)
        assert x.shape == (6,)
        assert x[:4].tolist() == [0, 1, 2, 3]

    def test_trap_a_transpose_is_read_in_the_order_of_its_memory(self, device):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device).t()
        x.resize_(2, 3)
        assert x.tolist() == [[1, 2, 3], [4, 5, 6]]

    def test_trap_unless_the_size_stays(self, device):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device).t()
        x.resize_(3, 2)
        assert x.tolist() == [[1, 4], [2, 5], [3, 6]]

    def test_fix_reshape_keeps_order_and_count(self, device):
        x = torch.tensor([[1, 2, 3], [4, 5, 6]], device=device).t()
        assert x.reshape(2, 3).tolist() == [[1, 4, 2], [5, 3, 6]]
        with pytest.raises(RuntimeError, match="is invalid for input of size 6"):
            x.reshape(2, 2)


@pitfall(
    "resize-refuses-requires-grad",
    docs=["torch.Tensor.resize_", "torch.reshape", "torch.nn.functional.pad"],
    symptom="RuntimeError: cannot resize variables that require grad",
    error="cannot resize variables that require grad",
    priority=3,
)
class TestResizeRefusesRequiresGrad:
    """``resize_`` has no gradient, and raises for a tensor that requires one.

    A slice, ``reshape`` and ``pad`` have one, and each says which of the meanings is wanted.
    """

    @pytest.mark.parametrize("make", [lambda w: w, lambda w: w * 2], ids=["leaf", "result"])
    def test_trap_it_is_refused(self, device, make):
        x = make(torch.ones(4, device=device, requires_grad=True))
        with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
            x.resize_(2)

    def test_fix_a_slice_has_a_gradient(self, device):
        w = torch.ones(4, device=device, requires_grad=True)
        w[:2].sum().backward()
        assert w.grad.tolist() == [1, 1, 0, 0]


@pitfall(
    "set-shares-the-other-storage",
    docs=[("torch.Tensor.set_", "will share the same storage"), "torch.Tensor.copy_", "torch.Tensor.is_set_to"],
    symptom="x.set_(y) was meant to copy, and later writes to y show in x",
)
class TestSetSharesTheOtherStorage:
    """``x.set_(y)`` copies nothing: it makes ``x`` a second view of the memory of ``y``, in its shape.

    What ``x`` held is gone from it, but views taken of the old memory still show it. ``x.copy_(y)`` writes the values
    and keeps the memory.
    """

    def test_trap_later_writes_show_in_both(self, device):
        x, y = torch.zeros(2, device=device), torch.arange(3.0, device=device)
        x.set_(y)
        y[0] = 100
        assert x.tolist() == [100, 1, 2]

    def test_trap_older_views_keep_the_old_memory(self, device):
        x = torch.zeros(2, device=device)
        view = x[:]
        x.set_(torch.ones(2, device=device))
        assert x.tolist() == [1, 1]
        assert view.tolist() == [0, 0]

    @pytest.mark.parametrize(("write", "shared"), [("set_", True), ("copy_", False)], ids=["set_", "copy_"])
    def test_fix_copy_writes_the_values(self, device, write, shared):
        x, y = torch.zeros(2, device=device), torch.ones(2, device=device)
        getattr(x, write)(y)
        assert x.is_set_to(y) is shared
        assert x.tolist() == [1, 1]


@pitfall(
    "small-view-keeps-the-big-storage",
    docs=["tensor_view", "storage", "torch.Tensor.untyped_storage"],
    symptom="memory is not freed although I kept only one row of each batch",
)
class TestSmallViewKeepsTheBigStorage:
    """A view keeps the whole storage alive: one row held in a list holds all of the batch that it was cut from.

    ``del`` of the large tensor frees nothing while a view of it lives. Keep ``x[0].clone()``. A detached tensor is a
    view in this respect too.
    """

    @pytest.mark.parametrize(
        "part",
        [
            pytest.param(lambda x: x[0], id="row"),
            pytest.param(lambda x: x[:, 0], id="column"),
            pytest.param(lambda x: x[0, 0], id="element"),
            pytest.param(lambda x: x[0].detach(), id="detached"),
            pytest.param(lambda x: x.chunk(100)[0], id="chunk"),
        ],
    )
    def test_trap_the_storage_is_that_of_the_whole(self, device, part):
        batch = torch.zeros(100, 100, device=device)
        kept = part(batch)
        del batch
        assert kept.untyped_storage().nbytes() == 40000

    @pytest.mark.parametrize(
        "part",
        [
            pytest.param(lambda x: x[0].clone(), id="clone"),
            pytest.param(lambda x: x[[0]], id="list"),
            pytest.param(lambda x: x.index_select(0, torch.tensor([0], device=x.device)), id="index_select"),
        ],
    )
    def test_fix_a_copy_has_its_own(self, device, part):
        assert part(torch.zeros(100, 100, device=device)).untyped_storage().nbytes() == 400


@pitfall(
    "storage-counts-bytes",
    docs=["torch.Tensor.untyped_storage", "torch.UntypedStorage", "storage"],
    symptom="len(x.untyped_storage()) is four times the number of elements, and its entries are no floats",
)
class TestStorageCountsBytes:
    """An untyped storage is a row of bytes: it knows neither dtype nor shape, and its length is in bytes.

    Its address is where the memory begins; ``x.data_ptr()`` is where the elements of ``x`` begin, which differs for a
    view with an offset. The gradient has a storage of its own.
    """

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.complex128], ids=str)
    def test_trap_its_length_is_in_bytes(self, device, dtype):
        x = torch.ones(3, dtype=dtype, device=device)
        assert len(x.untyped_storage()) == 3 * x.element_size()

    @pytest.mark.parametrize(("start", "offset"), [(0, 0), (2, 8), (3, 12)], ids=str)
    def test_trap_a_view_begins_later(self, device, start, offset):
        view = torch.arange(4.0, device=device)[start:]
        assert view.storage_offset() == start
        assert view.data_ptr() - view.untyped_storage().data_ptr() == offset

    def test_trap_filling_the_storage_fills_all_views(self, device):
        x = torch.ones(3, device=device)
        x[:1].untyped_storage().fill_(0)
        assert x.tolist() == [0, 0, 0]

    def test_trap_the_gradient_lies_elsewhere(self, device):
        w = torch.ones(3, device=device, requires_grad=True)
        w.sum().backward()
        assert w.untyped_storage().nbytes() == 12
        assert w.grad.untyped_storage().data_ptr() != w.untyped_storage().data_ptr()

    def test_fix_compare_storages_by_address(self, device):
        x = torch.ones(3, device=device)
        assert x[1:].untyped_storage().data_ptr() == x[:1].untyped_storage().data_ptr()
        assert x.clone().untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


@pitfall(
    "typed-storage-is-deprecated",
    docs=[("torch.Tensor.storage", "is deprecated. It will be removed in the"), "storage"],
    symptom="UserWarning: TypedStorage is deprecated",
    error="TypedStorage is deprecated",
)
class TestTypedStorageIsDeprecated:
    """``x.storage()`` returns a deprecated typed storage and warns; ``x.untyped_storage()`` is what remains.

    The typed one counts elements, the untyped one bytes. For the address of the elements there is ``x.data_ptr()``.
    """

    def test_trap_it_warns(self, device, once_again):
        x = torch.ones(3, device=device)
        with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
            address = x.storage().data_ptr()
        assert address == x.data_ptr()

    def test_fix_untyped_storage(self, device):
        x = torch.ones(3, device=device)
        assert x.untyped_storage().nbytes() == 12
        assert x.untyped_storage().data_ptr() == x.data_ptr()


@pitfall(
    "conversion-may-return-the-tensor-itself",
    docs=[("torch.Tensor.to", "then ``self`` is returned."), "torch.Tensor.float", "torch.Tensor.type"],
    symptom="I called x.float() to get a copy, and changing it changed x",
    priority=1,
)
class TestConversionMayReturnTheTensorItself:
    """``to``, ``float()``, ``type()`` and their kin return the very same tensor if nothing is to be converted.

    For another dtype they copy, so whether a write reaches the original depends on what it was. Say ``copy=True`` or
    ``clone()``. ``x.to(other)`` takes dtype and device from another tensor, by the same rule.
    """

    CONVERSIONS = [
        pytest.param(lambda x: x.to(torch.float32), id="to a dtype"),
        pytest.param(lambda x: x.to(torch.zeros(1, device=x.device)), id="to another tensor's"),
        pytest.param(lambda x: x.float(), id="float"),
        pytest.param(lambda x: x.type(torch.float32), id="type"),
        pytest.param(lambda x: x.type_as(torch.zeros(1, device=x.device)), id="type_as"),
    ]

    @pytest.mark.parametrize("convert", CONVERSIONS)
    def test_trap_without_a_change_it_is_the_same_object(self, device, convert):
        x = torch.ones(2, device=device)
        convert(x)[0] = 5
        assert x.tolist() == [5, 1]

    @pytest.mark.parametrize("convert", CONVERSIONS)
    def test_trap_with_a_change_it_is_a_copy(self, device, convert):
        x = torch.ones(2, dtype=torch.float64, device=device)
        convert(x)[0] = 5
        assert x.tolist() == [1, 1]

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize(
        "copy",
        [
            pytest.param(lambda x: x.to(torch.float32, copy=True), id="copy=True"),
            pytest.param(lambda x: x.float().clone(), id="clone"),
        ],
    )
    def test_fix_ask_for_a_copy(self, device, dtype, copy):
        x = torch.ones(2, dtype=dtype, device=device)
        copy(x)[0] = 5
        assert x.tolist() == [1, 1]
