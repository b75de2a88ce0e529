"""Beyond ``numpy()`` and ``from_numpy``: DLPack, ``asarray``, buffers and array interfaces."""

import array

import numpy as np
import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "dlpack-shares-memory",
    docs=[("torch.from_dlpack", "will share the memory with the input tensor"), "torch.Tensor.__dlpack__"],
    symptom="an array changed although only the tensor made by from_dlpack was written to",
    priority=2,
)
class TestDlpackSharesMemory:
    """``torch.from_dlpack`` shares memory with the other library's array, and so does what another makes of a tensor.

    An in-place operation reaches the array, whatever library it belongs to. ``clone()`` what must be on its own.
    """

    def test_trap_a_write_to_the_tensor_reaches_the_array(self):
        a = np.ones(2)
        torch.from_dlpack(a).add_(4)
        assert a.tolist() == [5, 5]

    @on("cpu")
    def test_trap_what_numpy_makes_of_a_tensor_follows_it(self, device):
        x = torch.ones(2, device=device)
        a = np.from_dlpack(x)
        x.add_(4)
        assert a.tolist() == [5, 5]

    def test_fix_clone_what_arrives(self):
        a = np.ones(2)
        torch.from_dlpack(a).clone().add_(4)
        assert a.tolist() == [1, 1]


@pitfall(
    "asarray-copies-if-it-must",
    docs=[("torch.asarray", "a copy is requested then it will not"), "torch.tensor"],
    symptom="ValueError: can't alias tensor with dtype 'Double' into dtype 'Float'",
    error="can't alias",
)
class TestAsarrayCopiesIfItMust:
    """``torch.asarray`` shares an array's memory if it can and copies if it must, unless ``copy=`` says which.

    A list, another dtype or another device is what forces a copy. With ``copy=False`` it raises rather than copy, and
    with ``copy=True`` it never shares, so that one line does the same whatever comes in.
    """

    @pytest.mark.parametrize(
        ("dtype", "values"), [(None, [5, 1]), (torch.float64, [5, 1]), (torch.float32, [1, 1])], ids=str
    )
    def test_trap_it_depends_on_the_dtype(self, dtype, values):
        a = np.ones(2)
        torch.asarray(a, dtype=dtype)[0] = 5
        assert a.tolist() == values

    @pytest.mark.parametrize(
        ("data", "dtype", "says"),
        [
            pytest.param(np.ones(2), torch.float32, "into dtype 'Float'", id="another dtype"),
            pytest.param([1.0, 2.0], None, "arbitrary sequence into a tensor", id="a list"),
        ],
    )
    def test_trap_without_a_copy_it_raises(self, data, dtype, says):
        with pytest.raises(ValueError, match=f"can't alias .*{says}"):
            torch.asarray(data, dtype=dtype, copy=False)

    def test_fix_say_copy(self):
        a = np.ones(2)
        torch.asarray(a, copy=True)[0] = 5
        assert a.tolist() == [1, 1]


@pitfall(
    "asarray-reinterprets-a-buffer",
    docs=[("torch.asarray", "then the buffer is interpreted as an array"), "torch.frombuffer"],
    symptom="torch.asarray of an array.array of integers gives tiny floats such as 1.4013e-45",
    changed={"2.15": "without dtype= the dtype is that of the buffer; it had been the default dtype, bit by bit"},
    priority=2,
)
class TestAsarrayReinterpretsABuffer:
    """``torch.asarray`` of a ``bytearray`` or an ``array.array`` reads its bytes anew, as ``dtype=`` says.

    Up to torch 2.14 the default was float32, and integers came out as tiny floats; since then the buffer's own format
    counts. ``torch.tensor`` goes by the values. Pass ``dtype=`` to be served by every release.
    """

    @before("2.15")
    def test_trap_integers_were_read_as_floats(self):
        assert torch.asarray(array.array("i", [0x3F800000, 0x40000000])).tolist() == [1.0, 2.0]

    @since("2.15")
    @pytest.mark.parametrize(
        ("buffer", "dtype"),
        [
            pytest.param(array.array("i", [1, 2]), torch.int32, id="array of int"),
            pytest.param(array.array("d", [1, 2]), torch.float64, id="array of double"),
            pytest.param(bytearray([1, 2]), torch.uint8, id="bytearray"),
        ],
    )
    def test_trap_the_format_of_the_buffer_counts(self, buffer, dtype):
        x = torch.asarray(buffer)
        assert x.tolist() == [1, 2]
        assert x.dtype == dtype

    def test_trap_another_dtype_regroups_the_bytes(self):
        assert torch.asarray(array.array("i", [0x00020001]), dtype=torch.int16).tolist() == [1, 2]

    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(lambda values: torch.asarray(values, dtype=torch.int32), id="asarray with its dtype"),
            pytest.param(lambda values: torch.tensor(values), id="tensor"),
        ],
    )
    def test_fix_say_the_dtype(self, convert):
        assert convert(array.array("i", [1, 2])).tolist() == [1, 2]


@pitfall(
    "frombuffer-shares-memory",
    docs=[("torch.frombuffer", "tensor and buffer share the same memory"), "torch.asarray"],
    symptom="UserWarning: The given buffer is not writable; a bytearray changed under me",
    error="The given buffer is not writable",
)
class TestFrombufferSharesMemory:
    """``torch.frombuffer`` shares the buffer's memory, takes its bytes for the dtype that you say, and checks no more.

    Writes go both ways, also into ``bytes``, which Python takes for immutable: torch only warns. Clone the tensor, and
    state the dtype that was written.
    """

    def test_trap_writes_go_both_ways(self):
        buffer = bytearray([1, 2])
        x = torch.frombuffer(buffer, dtype=torch.uint8)
        x[0] = 7
        buffer[1] = 8
        assert list(buffer) == [7, 8]
        assert x.tolist() == [7, 8]

    def test_trap_immutable_bytes_only_warn(self):
        with pytest.warns(UserWarning, match="The given buffer is not writable"):
            torch.frombuffer(bytes([1, 2]), dtype=torch.uint8)

    def test_trap_another_dtype_is_taken_at_its_word(self):
        x = torch.frombuffer(array.array("f", [1.0]), dtype=torch.int32)
        assert x.tolist() == [0x3F800000]

    @pytest.mark.parametrize(
        ("size", "settings", "says"),
        [
            pytest.param(3, {}, "must be a multiple of element size", id="odd length"),
            pytest.param(0, {}, "must not be 0", id="empty"),
            pytest.param(4, {"count": 3}, "must not be greater than actual buffer length", id="count"),
            pytest.param(4, {"offset": 4}, "must be non-negative and no greater than buffer", id="offset"),
        ],
    )
    def test_trap_a_buffer_that_does_not_fit_is_refused(self, size, settings, says):
        with pytest.raises(ValueError, match=says):
            torch.frombuffer(bytearray(size), dtype=torch.int16, **settings)

    def test_fix_clone(self):
        buffer = bytearray([1, 2])
        torch.frombuffer(buffer, dtype=torch.uint8).clone()[0] = 7
        assert list(buffer) == [1, 2]


class Interface:
    """Offers an array as libraries without a tie to NumPy do."""

    def __init__(self, values):
        self.values = values

    @property
    def __array_interface__(self):
        return self.values.__array_interface__


class Convertible:
    """Can be made an array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


@pitfall(
    "array-interface-is-not-read",
    docs=["torch.as_tensor", "torch.asarray", "torch.tensor"],
    symptom="RuntimeError: Could not infer dtype of my array class",
    error="Could not infer dtype of",
)
class TestArrayInterfaceIsNotRead:
    """torch reads no object that only offers ``__array_interface__`` or ``__array__``, as NumPy does.

    It knows NumPy's own arrays, DLPack and buffers; anything else is taken for a scalar, whose dtype can't be inferred.
    ``np.asarray`` makes an array of it, without a copy if the object shares its memory.
    """

    @pytest.mark.parametrize(
        "convert", [torch.tensor, torch.as_tensor, torch.asarray], ids=["tensor", "as_tensor", "asarray"]
    )
    @pytest.mark.parametrize("kind", [Interface, Convertible], ids=["__array_interface__", "__array__"])
    def test_trap_it_is_refused(self, kind, convert):
        with pytest.raises(RuntimeError, match="Could not infer dtype of"):
            convert(kind(np.ones(2)))

    @pytest.mark.parametrize("kind", [Interface, Convertible], ids=["__array_interface__", "__array__"])
    def test_fix_make_it_an_array(self, kind):
        a = np.ones(2)
        torch.from_numpy(np.asarray(kind(a)))[0] = 5
        assert a.tolist() == [5, 1]
