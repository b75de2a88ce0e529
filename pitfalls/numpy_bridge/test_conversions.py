"""What becomes of NumPy's scalars, wide integers and lists of arrays, and what shared memory can't do."""

import numpy as np
import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "shared-memory-cannot-grow",
    docs=[("torch.from_numpy", "The returned tensor is not resizable"), "torch.Tensor.resize_"],
    symptom="RuntimeError: Trying to resize storage that is not resizable",
    error="Trying to resize storage that is not resizable",
)
class TestSharedMemoryCannotGrow:
    """A tensor on NumPy's memory can't grow: ``resize_`` beyond it, and an ``out=`` that needs more, raise.

    The memory belongs to the array. Shrinking works, since it leaves the memory alone. Clone the tensor first.
    """

    @pytest.mark.parametrize(
        "grow",
        [
            pytest.param(lambda x: x.resize_(5), id="resize_"),
            pytest.param(lambda x: torch.ones(5, dtype=x.dtype, out=x), id="out"),
        ],
    )
    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda: torch.from_numpy(np.ones(0)), id="from_numpy"),
            pytest.param(lambda: torch.frombuffer(bytearray(8), dtype=torch.float64), id="frombuffer"),
        ],
    )
    def test_trap_growing_is_refused(self, make, grow):
        x = make().resize_(0)
        with pytest.raises(RuntimeError, match="Trying to resize storage that is not resizable"):
            grow(x)

    def test_trap_shrinking_leaves_the_memory_alone(self):
        a = np.array([1.0, 2.0])
        x = torch.from_numpy(a).resize_(1)
        x.fill_(5)
        assert x.tolist() == [5]
        assert a.tolist() == [5, 2]

    def test_fix_clone_first(self):
        x = torch.from_numpy(np.ones(2)).clone().resize_(3)
        assert x.shape == (3,)


@pitfall(
    "numpy-scalars-keep-float64",
    docs=[("torch.tensor", "if ``None``, infers data type from"), "torch.asarray"],
    symptom="a tensor made from np.mean(...) is float64, although torch.tensor(0.5) is float32",
)
class TestNumpyScalarsKeepFloat64:
    """A NumPy scalar keeps its dtype: ``torch.tensor(np.float64(1))`` is float64 and ``torch.tensor(1.0)`` float32.

    ``np.float64`` is a subclass of ``float``, and means and sums of arrays give it without a word. Say ``dtype=``, or
    pass ``float(value)``.
    """

    @pytest.mark.parametrize(
        ("value", "dtype"),
        [
            (np.float64(1), torch.float64),
            (np.float16(1), torch.float16),
            (np.int32(1), torch.int32),
            (np.array(1.0), torch.float64),
            ([np.float64(1)], torch.float64),
        ],
        ids=["float64", "float16", "int32", "0-d array", "list of float64"],
    )
    @pytest.mark.parametrize(
        "make", [torch.tensor, torch.as_tensor, torch.asarray], ids=["tensor", "as_tensor", "asarray"]
    )
    def test_trap_the_dtype_is_kept(self, make, value, dtype):
        assert make(value).dtype == dtype

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda value: torch.tensor(float(value)), id="float"),
            pytest.param(lambda value: torch.tensor(value, dtype=torch.get_default_dtype()), id="dtype"),
        ],
    )
    def test_fix_say_what_it_is(self, make):
        assert make(np.ones(3).mean()).dtype == torch.float32


@pitfall(
    "zero-dim-numpy-is-an-array",
    docs=[("torch.Tensor.numpy", "tensor will share their storage"), "torch.Tensor.item"],
    symptom="a logged loss changes afterwards, because loss.numpy() is an array and no number",
)
class TestZeroDimNumpyIsAnArray:
    """``numpy()`` of a tensor without dimensions is an array without dimensions on the same memory, not a number.

    A list of such arrays follows the tensor as it is updated in place. ``item()`` gives a Python number.
    """

    def test_trap_it_follows_the_tensor(self):
        total = torch.tensor(0.0)
        seen = []
        for _ in range(3):
            total += 1
            seen.append(total.numpy())
        assert [float(one) for one in seen] == [3, 3, 3]

    def test_fix_item_is_a_number(self):
        total = torch.tensor(0.0)
        seen = []
        for _ in range(3):
            total += 1
            seen.append(total.item())
        assert seen == [1, 2, 3]
        assert {type(number) for number in seen} == {float}


UNSIGNED = [
    pytest.param(np.array([2**16 - 1], dtype=np.uint16), id="uint16"),
    pytest.param(np.array([2**32 - 1], dtype=np.uint32), id="uint32"),
    pytest.param(np.array([2**64 - 1], dtype=np.uint64), id="uint64"),
]


@pitfall(
    "wide-unsigned-integers-barely-exist",
    docs=["torch.from_numpy", "tensor_attributes#torch-dtype"],
    symptom="can't convert np.ndarray of type numpy.uint16; \"add_stub\" not implemented for 'UInt16'",
    error="not implemented for 'UInt16'",
    changed={
        "2.3": "uint16, uint32 and uint64 arrays become tensors of these dtypes; they had been refused",
        "2.8": "operators without a kernel for them raise NotImplementedError, which is a RuntimeError too",
    },
)
class TestWideUnsignedIntegersBarelyExist:
    """Arrays of uint16, uint32 and uint64 become tensors since torch 2.3, which can do little but be converted.

    Images and depth maps of 16 bits are where they come from. Additions and comparisons of order lack kernels. Convert
    to a wider signed integer or to floats, in NumPy if old torches are to be served.
    """

    @before("2.3")
    @pytest.mark.parametrize("a", UNSIGNED)
    def test_trap_they_were_refused(self, a):
        with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type numpy\.uint"):
            torch.from_numpy(a)

    @since("2.3")
    @pytest.mark.parametrize("a", UNSIGNED)
    def test_trap_they_cross_and_share(self, a):
        a = a.copy()
        x = torch.from_numpy(a)
        assert x.tolist() == a.tolist()
        a[0] = 7
        assert x.tolist() == [7]

    @since("2.3")
    @pytest.mark.parametrize("a", UNSIGNED)
    def test_trap_they_cannot_be_added(self, a):
        x = torch.from_numpy(a)
        with pytest.raises(RuntimeError, match=r"not implemented for 'UInt(16|32|64)'"):
            x + x

    def test_fix_widen_in_numpy(self):
        a = np.array([2**16 - 1], dtype=np.uint16)
        x = torch.from_numpy(a.astype(np.int32))
        assert (x + 1).tolist() == [2**16]


@pitfall(
    "tensor-of-arrays-is-slow",
    docs=["torch.tensor", "torch.from_numpy"],
    symptom="UserWarning: Creating a tensor from a list of numpy.ndarrays is extremely slow",
    error="Creating a tensor from a list of numpy.ndarrays is extremely slow",
)
class TestTensorOfArraysIsSlow:
    """``torch.tensor`` of a list of arrays goes through them number by number, and warns that this is slow.

    ``torch.from_numpy(np.stack(arrays))`` copies whole blocks instead.
    """

    @pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor], ids=["tensor", "as_tensor"])
    @pytest.mark.parametrize("kind", [list, tuple], ids=["list", "tuple"])
    def test_trap_it_warns(self, kind, make):
        with pytest.warns(UserWarning, match="from a list of numpy.ndarrays is extremely slow"):
            x = make(kind([np.ones(2), np.zeros(2)]))
        assert x.tolist() == [[1, 1], [0, 0]]

    def test_fix_stack_in_numpy(self):
        x = torch.from_numpy(np.stack([np.ones(2), np.zeros(2)]))
        assert x.tolist() == [[1, 1], [0, 0]]
