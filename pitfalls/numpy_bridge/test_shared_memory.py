"""Shared memory between torch and NumPy: who sees whose writes, and what breaks the link."""

import numpy as np
import pytest
import torch

from pitfalls import on, pitfall


@pitfall(
    "numpy-shares-memory",
    docs=[("torch.Tensor.numpy", "share their storage"), "torch.Tensor.cpu"],
    symptom="my NumPy array changes although I only trained the model",
    priority=1,
)
class TestNumpySharesMemory:
    """``x.numpy()`` is a second name for the memory of a CPU tensor: each sees what is written through the other.

    An array that was put aside before the next ``optimizer.step()`` shows the weights after it. Take
    ``x.numpy().copy()`` or ``x.clone().numpy()`` to keep the values.
    """

    @pytest.mark.parametrize(
        ("write", "seen"),
        [
            pytest.param(lambda x: x.add_(1), [2, 2], id="add_"),
            pytest.param(lambda x: x.mul_(3), [3, 3], id="mul_"),
            pytest.param(lambda x: x.zero_(), [0, 0], id="zero_"),
            pytest.param(lambda x: x.fill_(7), [7, 7], id="fill_"),
            pytest.param(lambda x: x.copy_(torch.tensor([5.0, 6.0])), [5, 6], id="copy_"),
            pytest.param(lambda x: x[:1].zero_(), [0, 1], id="through a slice"),
            pytest.param(lambda x: torch.add(x, 1, out=x), [2, 2], id="out="),
        ],
    )
    def test_trap_the_array_sees_what_the_tensor_gets(self, write, seen):
        a = torch.ones(2)
        b = a.numpy()
        write(a)
        assert b.tolist() == seen

    def test_trap_the_tensor_sees_what_the_array_gets(self):
        a = torch.ones(2)
        b = a.numpy()
        b[0] = 100
        assert a.tolist() == [100, 1]

    def test_trap_augmented_assignment_writes_too(self):
        a = torch.ones(2)
        b = a.numpy()
        a += 1
        assert b.tolist() == [2, 2]

    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool], ids=str
    )
    def test_trap_the_dtype_is_kept(self, dtype):
        assert str(torch.ones(4, dtype=dtype).numpy().dtype) == str(dtype).removeprefix("torch.")

    @pytest.mark.parametrize(
        "keep",
        [
            pytest.param(lambda x: x.numpy().copy(), id="copy the array"),
            pytest.param(lambda x: x.clone().numpy(), id="clone the tensor"),
        ],
    )
    def test_fix_copy_on_the_way(self, keep):
        a = torch.ones(2)
        b = keep(a)
        a.add_(1)
        assert b.tolist() == [1, 1]


@pitfall(
    "rebinding-breaks-the-link",
    docs=["torch.Tensor.numpy", "torch.from_numpy"],
    symptom="the array follows the tensor for a while and then stops",
    priority=1,
)
class TestRebindingBreaksTheLink:
    """``a = a + 1`` gives ``a`` new memory: the array that it shared with stays at the old values.

    In-place operations (``a.add_(1)``, ``a += 1``, ``a[:] = ...``) keep the link, an expression on the right of ``=``
    makes a new tensor. Write in place where the two shall stay together.
    """

    def test_trap_the_new_tensor_is_on_its_own(self):
        a = torch.ones(2)
        b = a.numpy()
        a = a + 1
        assert a.tolist() == [2, 2]
        assert b.tolist() == [1, 1]

    def test_fix_write_in_place(self):
        a = torch.ones(2)
        b = a.numpy()
        a[:] = a + 1
        assert b.tolist() == [2, 2]


@pitfall(
    "from-numpy-shares-memory",
    docs=[("torch.from_numpy", "share the same memory"), "torch.as_tensor", "torch.asarray"],
    symptom="my data set changes while the model is trained on tensors made from it",
    priority=1,
)
class TestFromNumpySharesMemory:
    """``from_numpy``, ``as_tensor`` and ``asarray`` alias the array they are given; ``torch.tensor`` copies it.

    In-place normalisation of such a tensor rewrites the data that it came from. Use ``torch.tensor(a)``, or
    ``clone()``, where the array must stay as it is.
    """

    ALIASING = [
        pytest.param(torch.from_numpy, id="from_numpy"),
        pytest.param(torch.as_tensor, id="as_tensor"),
        pytest.param(torch.asarray, id="asarray"),
    ]

    @pytest.mark.parametrize("make", ALIASING)
    def test_trap_the_array_sees_the_tensor(self, make):
        a = np.ones(2)
        make(a).mul_(3)
        assert a.tolist() == [3, 3]

    @pytest.mark.parametrize("make", ALIASING)
    def test_trap_the_tensor_sees_the_array(self, make):
        a = np.ones(2)
        x = make(a)
        a[0] = 7
        assert x.tolist() == [7, 1]

    @pytest.mark.parametrize("make", [torch.as_tensor, torch.asarray], ids=["as_tensor", "asarray"])
    def test_trap_another_dtype_makes_a_copy(self, make):
        a = np.ones(2)
        make(a, dtype=torch.float32).zero_()
        assert a.tolist() == [1, 1]

    @on("cuda")
    @pytest.mark.parametrize("make", [torch.as_tensor, torch.asarray], ids=["as_tensor", "asarray"])
    def test_trap_on_the_gpu_it_is_a_copy(self, device, make):
        a = np.ones(2)
        make(a, device=device).zero_()
        assert a.tolist() == [1, 1]

    @pytest.mark.parametrize(
        "copy",
        [
            pytest.param(torch.tensor, id="tensor"),
            pytest.param(lambda a: torch.from_numpy(a).clone(), id="clone"),
            pytest.param(lambda a: torch.asarray(a, copy=True), id="asarray(copy=True)"),
        ],
    )
    def test_fix_copy(self, copy):
        a = np.ones(2)
        copy(a).zero_()
        assert a.tolist() == [1, 1]


@pitfall(
    "numpy-is-float64",
    docs=["torch.from_numpy", "tensor_attributes"],
    symptom="RuntimeError: mat1 and mat2 must have the same dtype, but got Double and Float",
    error="mat1 and mat2 must have the same dtype",
    priority=1,
)
class TestNumpyIsFloat64:
    """NumPy's floats are float64 and keep that dtype in torch, whose own are float32.

    Mixed arithmetic promotes to float64 without a word; layers and matrix products refuse. Convert once, where the data
    enters: ``torch.from_numpy(a).float()``.
    """

    def test_trap_the_dtype_is_kept(self):
        assert torch.from_numpy(np.ones(5)).dtype == torch.float64

    def test_trap_mixed_arithmetic_is_float64(self, device):
        x = torch.from_numpy(np.ones(2)).to(device)
        assert (x + torch.ones(2, device=device)).dtype == torch.float64

    def test_trap_a_layer_refuses(self, device):
        x = torch.from_numpy(np.ones((2, 2))).to(device)
        weight, bias = torch.ones(2, 2, device=device), torch.zeros(2, device=device)
        with pytest.raises(RuntimeError, match=r"mat1 and mat2 .*have the same dtype"):
            torch.nn.functional.linear(x, weight, bias)

    def test_fix_convert_where_the_data_enters(self, device):
        x = torch.from_numpy(np.ones((2, 2))).float().to(device)
        assert (x @ torch.ones(2, 2, device=device)).tolist() == [[2, 2], [2, 2]]


@pitfall(
    "strided-views-share-too",
    docs=["torch.Tensor.numpy", "torch.from_numpy"],
    symptom="writing to a transposed or sliced array changes my tensor",
)
class TestStridedViewsShareToo:
    """Slices, steps and transposes cross between torch and NumPy with their strides, and still share.

    No copy is made to put the elements in order. ``contiguous()`` or ``np.ascontiguousarray`` makes one, unless they
    are in order already.
    """

    @pytest.mark.parametrize(
        "view",
        [
            pytest.param(lambda x: x[1], id="row"),
            pytest.param(lambda x: x[:, 1], id="column"),
            pytest.param(lambda x: x[:, ::2], id="step"),
            pytest.param(lambda x: x.T, id="transpose"),
        ],
    )
    def test_trap_a_view_of_the_tensor(self, view):
        x = torch.arange(6.0).view(2, 3)
        view(x).numpy()[...] = -1
        assert view(x).max().item() == -1

    @pytest.mark.parametrize(
        "view",
        [
            pytest.param(lambda a: a[1], id="row"),
            pytest.param(lambda a: a[:, 1], id="column"),
            pytest.param(lambda a: a[:, ::2], id="step"),
            pytest.param(lambda a: a.T, id="transpose"),
        ],
    )
    def test_trap_a_view_of_the_array(self, view):
        a = np.arange(6.0).reshape(2, 3)
        torch.from_numpy(view(a)).fill_(-1)
        assert view(a).max() == -1

    def test_fix_contiguous_copies_what_is_out_of_order(self):
        x = torch.arange(6.0).view(2, 3)
        x.T.contiguous().numpy()[...] = -1
        assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
