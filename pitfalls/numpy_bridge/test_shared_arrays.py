"""Arrays made of tensors and tensors made of special arrays: who shares, who copies, and what gets lost on the way."""

import array
import io
import pickle
import warnings
import weakref

import numpy as np
import pytest
import torch

from pitfalls import on, pitfall


@pytest.fixture(autouse=True)
def quiet():
    """NumPy 2 warns that tensors can't be told whether to copy; that is for torch to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pitfall(
    "asarray-shares-array-copies",
    docs=[("torch.Tensor.numpy", "will share their storage"), "torch.from_numpy"],
    symptom="writing into np.asarray(x) changes the tensor, writing into np.array(x) does not",
)
class TestAsarrayShareArrayCopies:
    """``np.asarray`` of a CPU tensor is a second name for its memory, as ``numpy()`` is; ``np.array`` copies.

    Another dtype makes ``asarray`` copy too. Say which is meant, with ``np.array`` or ``numpy().copy()``.
    """

    @pytest.mark.parametrize(
        ("make", "values"),
        [
            pytest.param(np.asarray, [7, 1], id="asarray"),
            pytest.param(np.ascontiguousarray, [7, 1], id="ascontiguousarray"),
            pytest.param(np.array, [1, 1], id="array"),
            pytest.param(lambda x: np.asarray(x, dtype=np.float64), [1, 1], id="asarray of another dtype"),
            pytest.param(np.copy, [1, 1], id="copy"),
        ],
    )
    def test_trap_it_depends_on_the_function(self, make, values):
        x = torch.ones(2)
        make(x)[0] = 7
        assert x.tolist() == values

    def test_trap_an_expanded_tensor_is_one_element(self):
        x = torch.ones(1)
        np.asarray(x.expand(3))[0] = 7
        assert x.tolist() == [7]

    def test_fix_copy_the_array(self):
        x = torch.ones(2)
        x.numpy().copy()[0] = 7
        assert x.tolist() == [1, 1]


@pitfall(
    "numpy-force-may-share",
    docs=[("torch.Tensor.numpy", "the ndarray may be a copy of the")],
    symptom="after x.numpy(force=True) writing to the array sometimes changes x",
)
class TestNumpyForceMayShare:
    """``x.numpy(force=True)`` detaches, moves and resolves what it has to, and shares where nothing has to move.

    A CPU tensor that requires grad is shared, a lazily conjugated one or one on a GPU copied. bfloat16 and sparse
    tensors are refused all the same. ``x.numpy(force=True).copy()`` is never shared.
    """

    @pytest.mark.parametrize(
        ("make", "first"),
        [
            pytest.param(lambda x: x, 7, id="plain"),
            pytest.param(lambda x: x.requires_grad_(), 7, id="requires grad"),
            pytest.param(lambda x: x[:1], 7, id="slice"),
            pytest.param(lambda x: torch.complex(x, x).conj(), 1, id="conjugate"),
        ],
    )
    def test_trap_it_shares_if_it_can(self, make, first):
        x = make(torch.ones(2))
        x.numpy(force=True)[0] = 7
        assert x[0].real.item() == first

    @on("cuda")
    def test_trap_from_the_gpu_it_is_a_copy(self, device):
        x = torch.ones(2, device=device)
        x.numpy(force=True)[0] = 7
        assert x.tolist() == [1, 1]

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            pytest.param(lambda x: x.bfloat16(), "Got unsupported ScalarType BFloat16", id="bfloat16"),
            pytest.param(lambda x: x.to_sparse(), "can't convert Sparse layout tensor to numpy", id="sparse"),
        ],
    )
    def test_trap_what_numpy_lacks_is_refused(self, make, says):
        with pytest.raises(TypeError, match=says):
            make(torch.ones(2)).numpy(force=True)

    def test_fix_copy_what_is_to_be_written(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        x.numpy(force=True).copy()[0] = 7
        assert x.tolist() == [1, 1]


@pitfall(
    "masked-arrays-lose-their-mask",
    docs=["torch.from_numpy", "torch.as_tensor", "torch.masked"],
    symptom="values that were masked in NumPy take part in the mean of the tensor",
)
class TestMaskedArraysLoseTheirMask:
    """A tensor made of a NumPy masked array has all its values, those under the mask too, without a warning.

    torch sees the array beneath. Fill the masked places first, with NaN for ``nanmean``, or carry the mask along as a
    bool tensor.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(torch.tensor, id="tensor"),
            pytest.param(torch.from_numpy, id="from_numpy"),
            pytest.param(torch.as_tensor, id="as_tensor"),
            pytest.param(torch.asarray, id="asarray"),
        ],
    )
    def test_trap_hidden_values_are_back(self, make):
        a = np.ma.masked_array([1.0, 999.0, 3.0], mask=[False, True, False])
        assert make(a).tolist() == [1, 999, 3]

    def test_fix_fill_with_nan(self):
        a = np.ma.masked_array([1.0, 999.0, 3.0], mask=[False, True, False])
        assert torch.from_numpy(a.filled(np.nan)).nanmean().item() == 2

    def test_fix_carry_the_mask_along(self):
        a = np.ma.masked_array([1.0, 999.0, 3.0], mask=[False, True, False])
        assert torch.from_numpy(a.data)[torch.from_numpy(~a.mask)].tolist() == [1, 3]


@pitfall(
    "read-only-arrays-are-written",
    docs=[("torch.from_numpy", "will result in undefined behavior"), "torch.tensor"],
    symptom="an array that was made read-only has changed",
)
class TestReadOnlyArraysAreWritten:
    """A write through a tensor reaches a read-only array: the protection is NumPy's, and torch only warns about it.

    What is shown by ``np.broadcast_to`` is one element for all, so that one write changes all of them. Copy first:
    ``torch.tensor`` does, and gives no warning.
    """

    @pytest.mark.parametrize("make", [torch.from_numpy, torch.as_tensor], ids=["from_numpy", "as_tensor"])
    def test_trap_the_protection_is_gone(self, make):
        a = np.ones(2)
        a.flags.writeable = False
        with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
            x = make(a)
        x[0] = 5
        assert a.tolist() == [5, 1]

    def test_trap_one_write_for_all(self):
        a = np.broadcast_to(np.ones(1), (3,))
        with pytest.warns(UserWarning, match="The given NumPy array is not writable"):
            x = torch.from_numpy(a)
        x[0] = 5
        assert a.tolist() == [5, 5, 5]

    def test_fix_torch_tensor_copies(self):
        a = np.ones(2)
        a.flags.writeable = False
        x = torch.tensor(a)
        x[0] = 5
        assert x.tolist() == [5, 1]


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading
@pitfall(
    "pickle-parts-what-shared",
    docs=["notes/serialization", "torch.save", "torch.Tensor.numpy"],
    symptom="after pickling, or in a worker process, an array or a view no longer follows its tensor",
)
class TestPicklePartsWhatShared:
    """Plain ``pickle`` copies the memory once for each tensor and array: what shared before doesn't afterwards.

    Each view brings the whole storage that it looks into, an array only its own elements. ``torch.save`` keeps the
    sharing among tensors. Or make views and arrays anew on the other side.
    """

    @pytest.mark.parametrize(
        "share",
        [
            pytest.param(lambda x: x[:2], id="view"),
            pytest.param(lambda x: x.detach(), id="detached"),
            pytest.param(lambda x: x.numpy(), id="array"),
        ],
    )
    def test_trap_each_is_on_its_own(self, share):
        x = torch.zeros(3)
        y, other = pickle.loads(pickle.dumps((x, share(x))))
        y.fill_(7)
        assert other[0] == 0

    def test_trap_a_view_brings_its_storage(self):
        x = torch.zeros(1000)[:2]
        assert pickle.loads(pickle.dumps(x)).untyped_storage().nbytes() == 4000
        assert pickle.loads(pickle.dumps(x.numpy())).nbytes == 8

    def test_fix_torch_save_keeps_the_sharing(self):
        x, buffer = torch.zeros(3), io.BytesIO()
        torch.save((x, x[:2]), buffer)
        y, view = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
        y.fill_(7)
        assert view.tolist() == [7, 7]

    def test_fix_make_the_view_anew(self):
        y = pickle.loads(pickle.dumps(torch.zeros(3)))
        view = y.numpy()
        y.fill_(7)
        assert view.tolist() == [7, 7, 7]


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading
@pitfall(
    "pickled-result-becomes-a-leaf",
    docs=["torch.save", "torch.Tensor.is_leaf", "torch.Tensor.grad"],
    symptom="a loss that went through pickle or a queue has no graph; a pickled weight has lost its grad",
)
class TestPickledResultBecomesALeaf:
    """Pickling keeps ``requires_grad`` and drops the graph and ``.grad``: a computed tensor comes back as a leaf.

    ``copy.deepcopy`` keeps ``.grad`` and refuses such results. Pickle ``x.detach()`` where no gradient is meant, and
    ``x.grad`` beside ``x`` where one is.
    """

    def test_trap_a_result_is_a_leaf(self):
        w = torch.ones(2, requires_grad=True)
        y = pickle.loads(pickle.dumps(w * 2))
        assert y.requires_grad
        assert y.is_leaf

    def test_trap_the_gradient_is_gone(self):
        w = torch.ones(2, requires_grad=True)
        w.sum().backward()
        assert pickle.loads(pickle.dumps(w)).grad is None

    def test_fix_pickle_both(self):
        w = torch.ones(2, requires_grad=True)
        w.sum().backward()
        copy, copy.grad = pickle.loads(pickle.dumps((w, w.grad)))
        assert copy.grad.tolist() == [1, 1]

    def test_fix_detach_what_needs_no_gradient(self):
        w = torch.ones(2, requires_grad=True)
        assert not pickle.loads(pickle.dumps((w * 2).detach())).requires_grad


@pitfall(
    "buffer-lives-as-long-as-its-tensor",
    docs=[("torch.frombuffer", "tensor and buffer share the same memory"), "torch.from_numpy"],
    symptom="a large array is not freed, although only one number of it is still in use as a tensor",
    priority=3,
)
class TestBufferLivesAsLongAsItsTensor:
    """A tensor on somebody else's memory keeps the owner alive: the whole array, for a single element of it.

    A clone lets it go. An array likewise keeps the storage of the tensor that it looks into.
    """

    MAKERS = [
        pytest.param(lambda a: torch.frombuffer(a, dtype=torch.uint8), id="frombuffer"),
        pytest.param(lambda a: torch.asarray(a, dtype=torch.uint8), id="asarray"),
    ]

    @pytest.mark.parametrize("make", MAKERS)
    def test_trap_the_owner_is_kept(self, make):
        owner = array.array("B", [1, 2, 3])
        alive = weakref.ref(owner)
        last = make(owner)[2]
        del owner
        assert alive() is not None
        assert last.item() == 3

    @pytest.mark.parametrize("make", MAKERS)
    def test_fix_a_clone_lets_it_go(self, make):
        owner = array.array("B", [1, 2, 3])
        alive = weakref.ref(owner)
        last = make(owner)[2].clone()
        del owner
        assert alive() is None
        assert last.item() == 3
