"""Dtypes on both sides: which array makes which tensor, which make none, and names that are not interchangeable."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "numpy-dtype-is-no-torch-dtype",
    docs=["tensor_attributes#torch-dtype", "torch.from_numpy"],
    symptom="TypeError: zeros(): argument 'dtype' must be torch.dtype, not type; x.dtype == np.float32 is False",
)
class TestNumpyDtypeIsNoTorchDtype:
    """NumPy's dtypes and torch's are strangers: neither library takes the other's, and comparing them is False.

    A check like ``x.dtype == np.float32`` fails without a word. A tensor of an empty array tells the torch dtype of a
    NumPy one, and an array of an empty tensor the way back.
    """

    @pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"], ids=["class", "dtype", "string"])
    def test_trap_torch_takes_none_of_numpy(self, device, dtype):
        with pytest.raises(TypeError, match=r"dtype"):
            torch.zeros(2, dtype=dtype, device=device)

    def test_trap_numpy_takes_none_of_torch(self, device):
        x = torch.ones(2, device=device)
        with pytest.raises(TypeError, match=r"Cannot interpret 'torch\.float32' as a data type"):
            np.zeros(2, dtype=x.dtype)

    @pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), "float32"], ids=["class", "dtype", "string"])
    def test_trap_they_are_never_equal(self, device, dtype):
        x = torch.ones(2, device=device)
        assert [x.dtype == other for other in (dtype, torch.float32)] == [False, True]

    @pytest.mark.parametrize("name", ["float16", "float32", "float64", "int32", "uint8", "bool", "complex64"])
    def test_fix_ask_an_empty_one(self, name):
        assert torch.from_numpy(np.empty(0, dtype=name)).dtype == getattr(torch, name)
        assert torch.empty(0, dtype=getattr(torch, name)).numpy().dtype == np.dtype(name)


@pitfall(
    "python-float-as-dtype-is-float64",
    docs=["tensor_attributes#torch-dtype", "torch.get_default_dtype"],
    symptom="torch.zeros(2, dtype=float) is float64, although torch.float is float32",
)
class TestPythonFloatAsDtypeIsFloat64:
    """Python's ``float`` given as a dtype means float64, as Python's floats are; ``torch.float`` is float32.

    ``int`` means int64, ``bool`` torch.bool, while ``torch.int`` is int32. Write ``torch.float32``.
    """

    MAKERS = [
        pytest.param(lambda dtype, d: torch.zeros(2, dtype=dtype, device=d), id="zeros"),
        pytest.param(lambda dtype, d: torch.tensor([1, 2], dtype=dtype, device=d), id="tensor"),
        pytest.param(lambda dtype, d: torch.ones(2, device=d).to(dtype), id="to"),
    ]

    @pytest.mark.parametrize(
        ("python", "dtype"),
        [(float, torch.float64), (int, torch.int64), (bool, torch.bool)],
        ids=["float", "int", "bool"],
    )
    @pytest.mark.parametrize("make", MAKERS)
    def test_trap_the_width_is_that_of_python(self, device, make, python, dtype):
        assert make(python, device).dtype == dtype

    @pytest.mark.parametrize(
        ("alias", "dtype"),
        [
            (torch.float, torch.float32),
            (torch.int, torch.int32),
            (torch.long, torch.int64),
            (torch.half, torch.float16),
        ],
        ids=["float", "int", "long", "half"],
    )
    def test_trap_torchs_names_are_other_widths(self, device, alias, dtype):
        assert torch.zeros(2, dtype=alias, device=device).dtype is dtype

    @pytest.mark.parametrize("make", MAKERS)
    def test_fix_write_the_width(self, device, make):
        assert make(torch.float32, device).dtype == torch.float32


@pitfall(
    "from-numpy-takes-arrays-only",
    docs=[("torch.from_numpy", "Creates a :class:`Tensor` from a"), "torch.as_tensor"],
    symptom="TypeError: expected np.ndarray (got numpy.float64)",
    error="expected np.ndarray (got",
)
class TestFromNumpyTakesArraysOnly:
    """``torch.from_numpy`` takes arrays, those without dimensions too, but no NumPy scalars, lists or tensors.

    Indexing or reducing an array down to one element gives a scalar, which is no array. ``torch.as_tensor`` takes them
    all.
    """

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(np.ones(2)[0], id="element"),
            pytest.param(np.ones(2).sum(), id="sum"),
            pytest.param(1.0, id="float"),
            pytest.param([1.0], id="list"),
            pytest.param(torch.ones(2), id="tensor"),
        ],
    )
    def test_trap_it_is_refused(self, data):
        with pytest.raises(TypeError, match=r"expected np\.ndarray \(got"):
            torch.from_numpy(data)

    @pytest.mark.parametrize(
        ("array", "shape"), [(np.array(1.0), ()), (np.ones((0, 3)), (0, 3))], ids=["no dimensions", "no elements"]
    )
    def test_fix_any_array_will_do(self, array, shape):
        assert torch.from_numpy(array).shape == shape

    @pytest.mark.parametrize(
        "data", [np.ones(2).sum(), 2.0, [2.0], torch.tensor(2.0)], ids=["sum", "float", "list", "tensor"]
    )
    def test_fix_as_tensor_takes_them_all(self, data):
        assert torch.as_tensor(data).item() == 2


ALIGNED = [("x", "f4"), ("n", "i4")]


PACKED = [("x", "f4"), ("flag", "i1")]


@pitfall(
    "structured-arrays-cross-by-column",
    docs=[("torch.from_numpy", "It currently accepts")],
    symptom="can't convert np.ndarray of type numpy.void; strides not a multiple of the element byte size",
    error="strides not a multiple of the element byte size",
)
class TestStructuredArraysCrossByColumn:
    """A structured array has no tensor; a column of one has, if the rows are a multiple of its element in bytes.

    Columns share memory with the array, with a step. Packed rows of 5 bytes have no such step: copy the column. Wider
    floats than float64 are refused too.
    """

    @pytest.mark.parametrize("fields", [ALIGNED, PACKED], ids=["aligned", "packed"])
    def test_trap_the_whole_is_refused(self, fields):
        with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type numpy\.void"):
            torch.from_numpy(np.zeros(2, dtype=fields))

    def test_trap_a_packed_column_is_refused(self):
        with pytest.raises(ValueError, match="strides not a multiple of the element byte size"):
            torch.from_numpy(np.zeros(2, dtype=PACKED)["x"])

    @pytest.mark.parametrize("wide", [np.longdouble, np.clongdouble], ids=["longdouble", "clongdouble"])
    def test_trap_wider_floats_are_refused(self, wide):
        with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type numpy"):
            torch.from_numpy(np.zeros(2, dtype=wide))

    def test_trap_an_aligned_column_shares(self):
        rows = np.zeros(2, dtype=ALIGNED)
        torch.from_numpy(rows["x"]).fill_(7)
        assert rows["x"].tolist() == [7, 7]

    def test_fix_copy_the_column(self):
        rows = np.zeros(2, dtype=PACKED)
        assert torch.from_numpy(rows["x"].copy()).tolist() == [0, 0]
