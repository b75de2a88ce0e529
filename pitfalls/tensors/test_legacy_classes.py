"""The legacy classes: ``torch.Tensor`` of a tensor, ``torch.LongTensor``, and the type that every tensor has."""

import numpy as np
import pytest
import torch

from pitfalls import on, pitfall


@pitfall(
    "tensor-class-aliases-and-tracks",
    docs=["tensors", "torch.tensor"],
    symptom="torch.Tensor(x) changes with x, has another dtype than float32, and requires grad",
)
class TestTensorClassAliasesAndTracks:
    """``torch.Tensor(x)`` of a tensor is an alias of ``x`` in the graph: same memory, same dtype, gradient and all.

    Of anything else it makes a float32 copy. ``torch.tensor(x)`` copies and is cut off from the graph. Say
    ``x.clone()``, ``x.detach()`` or ``x.detach().clone()``, whichever is meant.
    """

    def test_trap_the_memory_is_shared(self):
        x = torch.zeros(2)
        y = torch.Tensor(x)
        x[0] = 7
        assert y.tolist() == [7, 0]
        assert y is not x

    def test_trap_the_gradient_flows_back(self):
        w = torch.tensor([2.0], requires_grad=True)
        torch.Tensor(w * 3).backward()
        assert w.grad.item() == 3

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.bool], ids=str)
    def test_trap_the_dtype_of_a_tensor_is_kept(self, dtype):
        assert torch.Tensor(torch.ones(2, dtype=dtype)).dtype == dtype

    @pytest.mark.parametrize("number", [3.0, np.float32(3), True], ids=["float", "np.float32", "bool"])
    def test_trap_a_number_is_no_data(self, number):
        with pytest.raises(TypeError, match=r"data must be a sequence \(got"):
            torch.Tensor(number)

    @pytest.mark.parametrize(
        "copy",
        [pytest.param(torch.clone, id="clone"), pytest.param(lambda x: x.detach().clone(), id="detach and clone")],
    )
    def test_fix_say_that_a_copy_is_meant(self, device, copy):
        x = torch.zeros(2, device=device)
        y = copy(x)
        x[0] = 7
        assert y.tolist() == [0, 0]


@pitfall(
    "typed-class-reads-a-size-and-truncates",
    docs=["tensors", "tensor_attributes#torch-dtype"],
    symptom="torch.LongTensor(3) has three random values; torch.LongTensor([1.7]) is 1",
)
class TestTypedClassReadsASizeAndTruncates:
    """``torch.LongTensor``, ``FloatTensor`` and so on take an integer for a size, and cut values down to their dtype.

    They accept no ``dtype=`` and no tensor of another dtype. Use ``torch.tensor(data,
    dtype=...)``, or ``torch.empty`` where a size is meant.
    """

    CLASSES = [
        (torch.FloatTensor, torch.float32),
        (torch.DoubleTensor, torch.float64),
        (torch.LongTensor, torch.int64),
        (torch.IntTensor, torch.int32),
        (torch.ByteTensor, torch.uint8),
        (torch.BoolTensor, torch.bool),
    ]

    @pytest.mark.parametrize(("make", "dtype"), CLASSES, ids=lambda x: getattr(x, "__name__", str(x)))
    def test_trap_an_integer_is_a_size(self, make, dtype):
        x = make(3)
        assert x.shape == (3,)
        assert x.dtype == dtype

    @pytest.mark.parametrize(
        ("make", "data", "values"),
        [
            pytest.param(torch.LongTensor, [1.7, -1.7], [1, -1], id="LongTensor"),
            pytest.param(torch.ByteTensor, [1.7, -1], [1, 255], id="ByteTensor"),
            pytest.param(torch.BoolTensor, [0.5, 0], [True, False], id="BoolTensor"),
            pytest.param(torch.FloatTensor, [2**24 + 1, True], [2**24, 1], id="FloatTensor"),
        ],
    )
    def test_trap_values_are_cast(self, make, data, values):
        assert make(data).tolist() == values

    def test_trap_a_tensor_of_another_dtype_is_refused(self):
        with pytest.raises(TypeError, match=r"expected TensorOptions\(dtype=long int"):
            torch.LongTensor(torch.ones(2))

    @pytest.mark.parametrize(("_", "dtype"), CLASSES, ids=lambda x: getattr(x, "__name__", str(x)))
    def test_fix_torch_tensor_takes_a_value_and_a_dtype(self, device, _, dtype):
        x = torch.tensor(1, dtype=dtype, device=device)
        assert x.dtype == dtype
        assert x.item() == 1


@pitfall(
    "every-tensor-has-the-same-class",
    docs=[("torch.Tensor.type", "Returns the type if `dtype` is not provided"), "tensors", "torch.is_floating_point"],
    symptom="type(x) == torch.FloatTensor is False, although x.type() says torch.FloatTensor",
)
class TestEveryTensorHasTheSameClass:
    """``type(x)`` is ``torch.Tensor`` whatever the dtype; ``torch.FloatTensor`` is only ever found by ``isinstance``.

    ``x.type()`` names the class as a string, with the device in it. Ask for ``x.dtype``, ``x.device`` and
    ``x.is_floating_point()``.
    """

    @pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool], ids=str)
    def test_trap_the_class_says_nothing(self, device, dtype):
        x = torch.ones(2, dtype=dtype, device=device)
        assert type(x) is torch.Tensor

    @on("cpu")
    @pytest.mark.parametrize(
        ("dtype", "name"), [(torch.float32, "torch.FloatTensor"), (torch.int64, "torch.LongTensor")], ids=str
    )
    def test_trap_type_is_a_string_without_the_device(self, device, dtype, name):
        assert torch.ones(2, dtype=dtype, device=device).type() == name

    @on("cuda")
    @pytest.mark.parametrize(
        ("dtype", "name"), [(torch.float32, "torch.cuda.FloatTensor"), (torch.int64, "torch.cuda.LongTensor")], ids=str
    )
    def test_trap_type_is_a_string_with_the_device(self, device, dtype, name):
        assert torch.ones(2, dtype=dtype, device=device).type() == name

    @on("cpu")
    def test_trap_isinstance_asks_for_dtype_and_device(self, device):
        assert isinstance(torch.ones(2, device=device), torch.FloatTensor)
        assert not isinstance(torch.ones(2, dtype=torch.float64, device=device), torch.FloatTensor)

    @on("cuda")
    def test_trap_isinstance_of_a_cpu_class_is_false(self, device):
        assert not isinstance(torch.ones(2, device=device), torch.FloatTensor)

    def test_fix_ask_for_the_dtype(self, device):
        x = torch.ones(2, device=device)
        assert x.dtype == torch.float32
        assert x.is_floating_point()
