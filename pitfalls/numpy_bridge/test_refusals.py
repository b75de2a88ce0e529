"""What does not cross between torch and NumPy, and how to bring it across."""

import signal

import numpy as np
import pytest
import torch

from pitfalls import before, child, observe, on, pitfall, since

WITHOUT_NUMPY = child(
    """
import sys
sys.modules["numpy"] = None  # as if it weren't installed, or were of a version that this torch was not built for
import torch

x = torch.tensor([1.0, 2.0])
print(x.tolist())
try:
    x.numpy()
except RuntimeError as error:
    print(error)
""",
    PYTHONWARNINGS="ignore",
)


@pitfall(
    "numpy-is-optional",
    docs=["torch.Tensor.numpy", "torch.Tensor.tolist"],
    symptom="Numpy is not available, though it is installed; or a module that was compiled using NumPy 1.x",
    error="Numpy is not available | Failed to initialize NumPy | A module that was compiled using NumPy 1.x",
)
class TestNumpyIsOptional:
    """Torch runs without NumPy, or beside one it was not built for: what needs NumPy raises only once it is called.

    Torch before 2.3 was built for NumPy 1 and can't use NumPy 2: install ``numpy<2`` beside it. ``tolist()`` and
    ``torch.tensor`` need no NumPy.
    """

    @pytest.mark.slow
    def test_trap_nothing_is_missed_before_the_call(self):
        lines = WITHOUT_NUMPY().stdout.splitlines()
        assert lines[:1] == ["[1.0, 2.0]"]
        observe(messages=lines[1:])  # no page of torch's says what happens then

    def test_fix_plain_lists(self):
        x = torch.tensor([1.0, 2.0])
        assert torch.tensor(x.tolist()).tolist() == [1, 2]


@pitfall(
    "numpy-refuses-requires-grad",
    docs=[("torch.Tensor.numpy", "does not require grad"), "torch.Tensor.detach"],
    symptom="plotting a loss or a weight fails until I call detach",
    error="Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
    priority=1,
)
class TestNumpyRefusesRequiresGrad:
    """``numpy()`` raises on a tensor that requires grad, since NumPy could write to it behind autograd's back.

    ``x.detach().numpy()`` works, and shares the memory of ``x`` all the same: copy it before you write.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda w: w, id="leaf"),
            pytest.param(lambda w: w * 2, id="result"),
            pytest.param(torch.nn.Parameter, id="parameter"),
        ],
    )
    def test_trap_it_raises(self, make):
        x = make(torch.ones(2, requires_grad=True))
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
            x.numpy()

    def test_trap_the_detached_array_shares(self):
        w = torch.ones(2, requires_grad=True)
        w.detach().numpy()[0] = 5
        assert w.tolist() == [5, 1]

    def test_fix_detach(self):
        w = torch.ones(2, requires_grad=True)
        assert w.detach().numpy().tolist() == [1, 1]

    def test_fix_force(self):
        w = torch.ones(2, requires_grad=True)
        assert w.numpy(force=True).tolist() == [1, 1]


@pitfall(
    "numpy-refuses-cuda",
    docs=[("torch.Tensor.numpy", "only if the tensor is on the CPU"), "torch.Tensor.cpu"],
    symptom="can't convert cuda:0 device type tensor to numpy",
    error="can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.",
    priority=1,
)
class TestNumpyRefusesCuda:
    """A tensor on the GPU has no NumPy array: ``numpy()`` raises, and ``cpu()`` makes the copy that has one.

    On the CPU the same line shares memory, so code that was tried there alone fails on the GPU, or, once ``cpu()`` is
    added, no longer shares: ``cpu()`` returns the tensor itself on the CPU and a copy from the GPU.
    """

    @on("cuda")
    def test_trap_it_raises(self, device):
        x = torch.ones(5, device=device)
        y = torch.zeros(5).to(device)
        z = x + y
        with pytest.raises(TypeError, match=r"can't convert cuda:\d device type tensor to numpy"):
            z.numpy()

    @on("cuda")
    def test_trap_the_copy_from_the_gpu_shares_nothing(self, device):
        z = torch.ones(2, device=device)
        z.cpu().numpy()[0] = 5
        assert z.tolist() == [1, 1]

    @on("cpu")
    def test_trap_on_the_cpu_the_same_line_shares(self, device):
        z = torch.ones(2, device=device)
        z.cpu().numpy()[0] = 5
        assert z.tolist() == [5, 1]

    @pytest.mark.parametrize(
        "host",
        [
            pytest.param(lambda z: z.to("cpu").numpy(), id="to"),
            pytest.param(lambda z: z.cpu().numpy(), id="cpu"),
            pytest.param(lambda z: z.numpy(force=True), id="force"),
        ],
    )
    def test_fix_go_by_way_of_the_host(self, device, host):
        assert host(torch.ones(2, device=device) + 1).tolist() == [2, 2]


@pitfall(
    "to-the-same-device-is-no-copy",
    docs=[("torch.Tensor.to", "then ``self`` is returned."), "torch.Tensor.cpu"],
    symptom="x.to(device) copies on one machine and aliases on another",
)
class TestToTheSameDeviceIsNoCopy:
    """``x.to(device)`` returns ``x`` itself if it is there already, and a copy otherwise.

    Whether a later write reaches ``x`` thus depends on the machine. Say ``copy=True``, or ``clone()``, for a copy.
    """

    def test_trap_it_is_the_same_object(self, device):
        x = torch.ones(2, device=device)
        assert x.to(x.device) is x

    def test_fix_ask_for_a_copy(self, device):
        x = torch.ones(2, device=device)
        x.to(x.device, copy=True).zero_()
        assert x.tolist() == [1, 1]


FLIPPED_BY_DLPACK = child("import numpy as np, torch; torch.from_dlpack(np.ones(3)[::-1])")


@pitfall(
    "from-numpy-refuses-negative-strides",
    docs=["torch.from_numpy", "torch.Tensor.numpy"],
    symptom="torch.from_numpy(image[:, ::-1]) fails after a flip",
    error="At least one stride in the given numpy array is negative, and tensors with negative strides are not",
    changed={"2.14": "from_dlpack raises as well; it had ended the process"},
    priority=1,
)
class TestFromNumpyRefusesNegativeStrides:
    """An array that was flipped by ``[::-1]`` has negative strides, which torch has no way to represent.

    ``np.flip`` and ``np.rot90`` give such views too. ``.copy()`` puts the elements in order; ``torch.flip`` copies by
    itself.
    """

    @pytest.mark.parametrize(
        "make", [torch.from_numpy, torch.as_tensor, torch.tensor], ids=["from_numpy", "as_tensor", "tensor"]
    )
    @pytest.mark.parametrize(
        "flip",
        [
            pytest.param(lambda a: a[::-1], id="step -1"),
            pytest.param(np.flip, id="np.flip"),
            pytest.param(np.rot90, id="np.rot90"),
            pytest.param(np.fliplr, id="np.fliplr"),
        ],
    )
    def test_trap_a_flipped_array_is_refused(self, flip, make):
        a = np.array([[1.0, 2.0], [3.0, 4.0]])
        with pytest.raises(ValueError, match=r"one (of the strides|stride) in the given numpy array is negative"):
            make(flip(a))

    @before("2.14")
    @pytest.mark.slow
    def test_trap_from_dlpack_ended_the_process(self):
        done = FLIPPED_BY_DLPACK()
        assert done.returncode == -signal.SIGABRT
        assert "Storage size calculation overflowed" in done.stderr

    @since("2.14")
    def test_trap_from_dlpack_refuses_it_too(self):
        with pytest.raises(RuntimeError, match="Storage size calculation overflowed"):
            torch.from_dlpack(np.ones(3)[::-1])

    def test_fix_copy_the_array(self):
        a = np.array([1.0, 2.0, 3.0])
        assert torch.from_numpy(a[::-1].copy()).tolist() == [3, 2, 1]

    def test_fix_flip_the_tensor(self):
        a = np.array([1.0, 2.0, 3.0])
        assert torch.from_numpy(a).flip(0).tolist() == [3, 2, 1]


@pitfall(
    "bfloat16-has-no-numpy",
    docs=["torch.Tensor.numpy", "torch.from_numpy"],
    symptom="Got unsupported ScalarType BFloat16",
    error="Got unsupported ScalarType BFloat16",
    priority=1,
)
class TestBfloat16HasNoNumpy:
    """NumPy knows no bfloat16: ``numpy()`` of such a tensor raises.

    ``x.float().numpy()`` is exact, because every bfloat16 is a float32.
    """

    def test_trap_it_is_refused(self):
        with pytest.raises(TypeError, match="Got unsupported ScalarType BFloat16"):
            torch.ones(2, dtype=torch.bfloat16).numpy()

    def test_fix_widen_first(self):
        assert torch.tensor([1.5, -2.0], dtype=torch.bfloat16).float().numpy().tolist() == [1.5, -2]


@pitfall(
    "from-numpy-refuses-other-dtypes",
    docs=[("torch.from_numpy", "It currently accepts")],
    symptom="can't convert np.ndarray of type numpy.object_",
    error="can't convert np.ndarray of type",
    priority=1,
)
class TestFromNumpyRefusesOtherDtypes:
    """Arrays of objects, strings, dates, or bytes in foreign order have no dtype in torch and are refused.

    Ragged lists and data frames with mixed columns become object arrays. Convert in NumPy: ``a.astype(np.float32)``,
    or ``a.astype(a.dtype.newbyteorder("="))`` for the byte order.
    """

    @pytest.mark.parametrize(
        "array",
        [
            pytest.param(np.array([1, None]), id="objects"),
            pytest.param(np.array(["a", "b"]), id="strings"),
            pytest.param(np.array(["2020-01-01"], dtype="datetime64[D]"), id="dates"),
        ],
    )
    def test_trap_it_is_refused(self, array):
        with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type"):
            torch.from_numpy(array)

    def test_trap_a_foreign_byte_order_is_refused(self):
        foreign = np.array([1.0, 2.0]).astype(np.dtype("f8").newbyteorder())
        with pytest.raises(ValueError, match="byte order"):
            torch.from_numpy(foreign)

    def test_fix_convert_in_numpy(self):
        assert torch.from_numpy(np.array([1, 2], dtype=object).astype(np.float32)).tolist() == [1, 2]

    def test_fix_swap_the_bytes(self):
        foreign = np.array([1.0, 2.0]).astype(np.dtype("f8").newbyteorder())
        assert torch.from_numpy(foreign.astype(np.float64)).tolist() == [1, 2]


@pitfall(
    "read-only-arrays-warn",
    docs=[("torch.from_numpy", "will result in undefined behavior")],
    symptom="UserWarning: The given NumPy array is not writable",
    error="The given NumPy array is not writable",
)
class TestReadOnlyArraysWarn:
    """A tensor made from a read-only array may be written to all the same; torch only warns when it is made.

    Broadcast views and memory maps are read-only. Copy the array first.
    """

    def test_trap_it_warns(self):
        a = np.ones(2)
        a.flags.writeable = False
        with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
            torch.from_numpy(a)

    def test_fix_copy_it(self):
        a = np.ones(2)
        a.flags.writeable = False
        x = torch.from_numpy(a.copy())
        x[0] = 5
        assert x.tolist() == [5, 1]


@pitfall(
    "lazy-bits-refuse-numpy",
    docs=[("torch.Tensor.numpy", "does not have its conjugate bit set"), "torch.resolve_conj", "torch.resolve_neg"],
    symptom="Can't call numpy() on Tensor that has conjugate bit set",
    error="Can't call numpy() on Tensor that has conjugate bit set",
)
class TestLazyBitsRefuseNumpy:
    """``conj()`` only sets a bit on a view, and ``numpy()`` refuses a tensor that carries one.

    The imaginary part of a conjugate carries a negative bit likewise. ``resolve_conj()`` and ``resolve_neg()`` do the
    arithmetic.
    """

    @pytest.mark.parametrize(
        ("make", "bit"),
        [
            pytest.param(lambda z: z.conj(), "conjugate", id="conj"),
            pytest.param(lambda z: z.conj().imag, "negative", id="imag of conj"),
        ],
    )
    def test_trap_the_bit_is_refused(self, make, bit):
        z = torch.tensor([1 + 2j])
        with pytest.raises(RuntimeError, match=rf"Can't call numpy\(\) on Tensor that has {bit} bit set"):
            make(z).numpy()

    def test_fix_resolve_conj(self):
        assert torch.tensor([1 + 2j]).conj().resolve_conj().numpy().tolist() == [1 - 2j]

    def test_fix_resolve_neg(self):
        assert torch.tensor([1 + 2j]).conj().imag.resolve_neg().numpy().tolist() == [-2]
