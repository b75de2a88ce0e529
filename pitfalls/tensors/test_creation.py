"""Creating tensors: what is in them, which dtype they get, and whether they copy what they are made from."""

import numpy as np
import pytest
import torch

from pitfalls import before, pitfall, since


@pytest.fixture
def deterministic_fill(monkeypatch):
    """Deterministic algorithms with the fill of fresh memory switched on, put back afterwards."""
    was = torch.get_deterministic_debug_mode()
    # "error" is use_deterministic_algorithms(True), minus that function's import of the compiler's configuration.
    torch.set_deterministic_debug_mode("error")
    if hasattr(torch.utils, "deterministic"):  # torch 2.1 fills, but has no switch for it yet
        monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    yield
    torch.set_deterministic_debug_mode(was)


@pitfall(
    "empty-is-uninitialized",
    docs=[("torch.empty", "filled with uninitialized data"), ("torch.empty_like", "uninitialized tensor")],
    symptom="torch.empty sometimes gives zeros and sometimes garbage or nan",
    priority=1,
)
class TestEmptyIsUninitialized:
    """``torch.empty`` promises a shape and a dtype, and nothing about the values.

    It hands out memory as it finds it. Fresh memory often happens to be zero, so code that forgets to fill the tensor
    passes its tests and fails later. Ask for ``zeros``, ``ones`` or ``full``, unless every element gets written.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda like: torch.empty(2, 3, dtype=torch.float64, device=like.device), id="empty"),
            pytest.param(lambda like: torch.empty_like(like), id="empty_like"),
            pytest.param(lambda like: like.new_empty(2, 3), id="new_empty"),
            pytest.param(lambda like: torch.empty_strided((2, 3), (3, 1), dtype=like.dtype, device=like.device),
                         id="empty_strided"),
        ],
    )  # fmt: skip
    def test_trap_only_shape_and_dtype_are_promised(self, device, make):
        x = make(torch.zeros(2, 3, dtype=torch.float64, device=device))
        assert x.shape == (2, 3)
        assert x.dtype == torch.float64
        assert x.device.type == device.type
        # Nothing can be asserted about x.tolist(): that is the pitfall.

    @pytest.mark.parametrize(
        "fill",
        [
            pytest.param(lambda like: torch.zeros(2, 3, device=like.device), id="zeros"),
            pytest.param(lambda like: torch.zeros_like(like), id="zeros_like"),
            pytest.param(lambda like: like.new_zeros(2, 3), id="new_zeros"),
            pytest.param(lambda like: torch.full((2, 3), 0.0, device=like.device), id="full"),
            pytest.param(lambda like: torch.empty_like(like).zero_(), id="empty then zero_"),
            pytest.param(lambda like: torch.empty_like(like).fill_(0), id="empty then fill_"),
        ],
    )
    def test_fix_ask_for_the_values(self, device, fill):
        ones = torch.ones(2, 3, device=device)
        assert fill(ones).tolist() == [[0, 0, 0], [0, 0, 0]]


@since("2.1")
@pitfall(
    "deterministic-mode-fills-empty",
    docs=[
        ("torch.empty", "Floating point and complex tensors are filled with"),
        "deterministic",
    ],
    symptom="nan appears everywhere after torch.use_deterministic_algorithms(True)",
    changed={"2.1": "deterministic algorithms fill fresh memory unless told not to"},
)
class TestDeterministicModeFillsEmpty:
    """Under deterministic algorithms ``torch.empty`` is filled: NaN for floats, the maximum for integers.

    The fill makes reading forgotten memory loud and repeatable; it is on by default once the mode is on, and costs
    time. The NaN is not made by the mode: it shows a read of memory that nobody had written.
    """

    @pytest.mark.parametrize(
        "dtype",
        [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128],
        ids=str,
    )
    def test_trap_floats_become_nan(self, device, deterministic_fill, dtype):
        assert torch.empty(3, dtype=dtype, device=device).isnan().tolist() == [True, True, True]

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64], ids=str)
    def test_trap_integers_become_the_maximum(self, device, deterministic_fill, dtype):
        assert torch.empty(2, dtype=dtype, device=device).tolist() == [torch.iinfo(dtype).max] * 2

    def test_trap_booleans_become_true(self, device, deterministic_fill):
        assert torch.empty(2, dtype=torch.bool, device=device).tolist() == [True, True]

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: torch.empty_like(x), id="empty_like"),
            pytest.param(lambda x: x.new_empty(3), id="new_empty"),
            pytest.param(lambda x: torch.empty_strided((3,), (1,), device=x.device), id="empty_strided"),
            pytest.param(lambda x: x[:0].clone().resize_(3), id="resize_"),
        ],
    )
    def test_trap_every_source_of_fresh_memory_is_filled(self, device, deterministic_fill, make):
        assert make(torch.zeros(3, device=device)).isnan().tolist() == [True, True, True]

    def test_fix_what_is_written_is_no_longer_nan(self, device, deterministic_fill):
        x = torch.empty(3, device=device)
        torch.add(torch.tensor([1.0, 2.0, 3.0], device=device), 1, out=x)
        assert x.tolist() == [2, 3, 4]


@pitfall(
    "tensor-infers-dtype",
    docs=[("torch.tensor", "infers data type from"), "torch.set_default_dtype"],
    symptom="expected scalar type Float but found Long, after torch.tensor([1, 2, 3])",
    changed={"2.15": "the mean of integers raises NotImplementedError, which is a RuntimeError too"},
    priority=1,
)
class TestTensorInfersDtype:
    """``torch.tensor`` takes its dtype from the data: integers give int64, and one float makes all of them float32.

    A list without a decimal point is therefore no float tensor: its mean is refused and it can't require grad. Write
    ``1.0`` or, better, ``dtype=torch.float32``.
    """

    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            pytest.param([1, 2], torch.int64, id="integers"),
            pytest.param([2.5, 0.1], torch.float32, id="floats"),
            pytest.param([1, 2.5], torch.float32, id="integer and float"),
            pytest.param([True, False], torch.bool, id="booleans"),
            pytest.param([True, 2], torch.int64, id="boolean and integer"),
            pytest.param([True, 2.0], torch.float32, id="boolean and float"),
            pytest.param([1, 2.0, 1j], torch.complex64, id="any complex"),
            pytest.param([], torch.float32, id="nothing"),
            # NumPy's scalars bring their own dtype with them.
            pytest.param([np.float64(1)], torch.float64, id="np.float64"),
            pytest.param([np.int32(1)], torch.int32, id="np.int32"),
        ],
    )
    def test_trap_the_data_decides(self, device, data, dtype):
        assert torch.tensor(data, device=device).dtype == dtype

    def test_trap_integers_have_no_mean(self, device):
        with pytest.raises(RuntimeError, match="must be either a floating point or complex dtype"):
            torch.tensor([1, 2], device=device).mean()

    @pytest.mark.parametrize(
        "data", [[1, 2], [True, 2], [1, 2.0], [np.float64(1), 2]], ids=["int", "bool", "float", "np.float64"]
    )
    def test_fix_say_the_dtype(self, device, data):
        x = torch.tensor(data, dtype=torch.float32, device=device)
        assert x.dtype == torch.float32
        assert x.mean().item() == 1.5


@pitfall(
    "tensor-copies-its-data",
    docs=[("torch.tensor", "by copying"), ("torch.as_tensor", "sharing data and preserving autograd history")],
    symptom="changing the array or tensor after torch.tensor(data) has no effect on the new tensor",
    priority=1,
)
class TestTensorCopiesItsData:
    """``torch.tensor`` copies what it is given; ``torch.as_tensor`` copies only if it has to.

    Later writes to the source don't reach the copy, and large arrays are paid for twice. ``as_tensor`` returns the very
    tensor that it is given, as long as dtype and device fit.
    """

    @pytest.mark.parametrize("source", [list, np.array], ids=["list", "ndarray"])
    def test_trap_the_source_is_left_behind(self, device, source):
        data = source([1.0, 2.0])
        x = torch.tensor(data, device=device)
        data[0] = 100
        assert x.tolist() == [1, 2]

    @pytest.mark.parametrize("writer", ["source", "copy"])
    def test_trap_a_tensor_is_copied_too(self, device, writer):
        source = torch.tensor([1.0, 2.0], device=device)
        with pytest.warns(UserWarning, match="To copy construct from a tensor"):
            copy = torch.tensor(source)
        written, other = (source, copy) if writer == "source" else (copy, source)
        written[0] = 100
        assert other.tolist() == [1, 2]

    def test_fix_as_tensor_returns_what_fits(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.as_tensor(x, dtype=torch.float32, device=x.device) is x

    def test_trap_as_tensor_copies_what_does_not_fit(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        y = torch.as_tensor(x, dtype=torch.float64)
        y[0] = 100
        assert x.tolist() == [1, 2]


@pitfall(
    "tensor-of-a-tensor-detaches",
    docs=[("torch.tensor", "no autograd history"), ("torch.Tensor.new_tensor", "constructs a leaf variable")],
    symptom="UserWarning: To copy construct from a tensor, it is recommended to use ...; the gradient is lost",
    error="To copy construct from a tensor, it is recommended to use",
    priority=1,
)
class TestTensorOfATensorDetaches:
    """``torch.tensor(t)`` of a tensor copies the values, drops the autograd history, and warns.

    It builds a new leaf, so no gradient flows back to ``t``. ``t.clone()`` is the copy that stays in the graph,
    ``t.detach().clone()`` the one that does not; both say which they are.
    """

    @pytest.mark.parametrize(
        "copy",
        [pytest.param(torch.tensor, id="tensor"), pytest.param(lambda t: t.new_tensor(t), id="new_tensor")],
    )
    def test_trap_the_copy_is_cut_off(self, device, copy):
        w = torch.tensor([2.0], device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="To copy construct from a tensor, it is recommended to use"):
            y = copy(w * 3)
        assert y.item() == 6
        assert not y.requires_grad

    def test_trap_asking_for_grad_makes_a_new_leaf(self, device):
        w = torch.tensor([2.0], device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="To copy construct from a tensor"):
            y = torch.tensor(w * 3, requires_grad=True)
        y.backward()
        assert w.grad is None
        assert y.grad.item() == 1

    @pytest.mark.parametrize(
        "keep", [pytest.param(torch.clone, id="clone"), pytest.param(torch.as_tensor, id="as_tensor")]
    )
    def test_fix_clone_keeps_the_gradient(self, device, keep):
        w = torch.tensor([2.0], device=device, requires_grad=True)
        keep(w * 3).backward()
        assert w.grad.item() == 3

    def test_fix_detach_and_clone_say_what_they_do(self, device):
        w = torch.tensor([2.0], device=device, requires_grad=True)
        y = w.detach().clone()
        assert not y.requires_grad
        y[0] = 100
        assert w.item() == 2


@pitfall(
    "tensor-of-tensors-needs-stack",
    docs=["torch.tensor", ("torch.stack", "Concatenates a sequence of tensors along")],
    symptom="torch.tensor(list_of_tensors) raises ValueError: only one element tensors can be converted",
    error="only one element tensors can be converted to Python scalars",
    changed={"2.8": "torch.tensor warns when it drops the gradient of a scalar in a list"},
    priority=1,
)
class TestTensorOfTensorsNeedsStack:
    """``torch.tensor`` reads a list of tensors as a list of Python numbers; ``torch.stack`` joins tensors.

    Tensors with several elements are refused. One-element tensors are accepted, one by one through Python, and lose
    their gradient on the way: a list of losses becomes a constant.
    """

    @pytest.mark.parametrize(
        ("rows", "error", "match"),
        [
            pytest.param([[1.0, 2.0], [3.0, 4.0]], ValueError, "only one element tensors", id="floats"),
            pytest.param([[1, 2], [3, 4]], TypeError, "only integer tensors of a single element", id="integers"),
        ],
    )
    def test_trap_rows_are_refused(self, device, rows, error, match):
        tensors = [torch.tensor(row, device=device) for row in rows]
        with pytest.raises(error, match=match):
            torch.tensor(tensors)

    @before("2.8")
    def test_trap_scalars_lose_their_gradient_silently(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        losses = torch.tensor([w * 3, w * 4], device=device)
        assert losses.tolist() == [6, 8]
        assert not losses.requires_grad

    @since("2.8")
    def test_trap_scalars_lose_their_gradient_with_a_warning(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="Converting a tensor with requires_grad=True to a scalar"):
            losses = torch.tensor([w * 3, w * 4], device=device)
        assert losses.tolist() == [6, 8]
        assert not losses.requires_grad

    @pytest.mark.parametrize("rows", [[[1.0, 2.0], [3.0, 4.0]], [[1, 2], [3, 4]]], ids=["floats", "integers"])
    def test_fix_stack_the_rows(self, device, rows):
        assert torch.stack([torch.tensor(row, device=device) for row in rows]).tolist() == rows

    def test_fix_stack_keeps_the_gradient(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        torch.stack([w * 3, w * 4]).sum().backward()
        assert w.grad.item() == 7
