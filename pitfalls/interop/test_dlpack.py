"""DLPack: what ``torch.from_dlpack`` shares, what a tensor refuses to export, and what a capsule does not check."""

import pytest
import torch

from pitfalls import before, observe, pitfall, since

REFUSED = [
    pytest.param(lambda d: torch.ones(2, device=d, requires_grad=True), id="requires grad"),
    pytest.param(lambda d: torch.tensor([1 + 2j], device=d).conj(), id="lazily conjugated"),
    pytest.param(lambda d: torch.ones(2, device=d).to_sparse(), id="sparse"),
]


@pitfall(
    "dlpack-refuses-grad-conj-and-sparse",
    docs=["torch.from_dlpack", "torch.Tensor.__dlpack__"],
    symptom="BufferError: Can't export tensors that require gradient, use tensor.detach()",
    error="Can't export tensors",
    changed={"2.9": "what can't be exported raises BufferError, as the standard asks for; it had been RuntimeError"},
)
class TestDlpackRefusesGradConjAndSparse:
    """DLPack carries plain memory: a tensor that requires grad, or is lazily conjugated or sparse, can't be exported.

    Other libraries know nothing of the graph, of the conjugate bit, or of torch's layouts. Hand over ``x.detach()``,
    ``x.resolve_conj()``, ``x.to_dense()``.
    """

    @before("2.9")
    @pytest.mark.parametrize("make", REFUSED)
    def test_trap_export_raised_runtime_error(self, device, make):
        with pytest.raises(RuntimeError, match="Can't export tensors"):
            torch.from_dlpack(make(device))

    @since("2.9")
    @pytest.mark.parametrize("make", REFUSED)
    def test_trap_export_raises_buffer_error(self, device, make):
        with pytest.raises(BufferError, match="Can't export tensors"):
            torch.from_dlpack(make(device))

    @pytest.mark.parametrize(
        ("plain", "values"),
        [
            pytest.param(lambda d: torch.ones(2, device=d, requires_grad=True).detach(), [1, 1], id="detach"),
            pytest.param(lambda d: torch.tensor([1 + 2j], device=d).conj().resolve_conj(), [1 - 2j], id="resolve_conj"),
            pytest.param(lambda d: torch.ones(2, device=d).to_sparse().to_dense(), [1, 1], id="to_dense"),
        ],
    )
    def test_fix_make_it_plain_first(self, device, plain, values):
        assert torch.from_dlpack(plain(device)).tolist() == values


@pitfall(
    "to-dlpack-lets-gradients-slip",
    docs=["torch.utils.dlpack.to_dlpack", "torch.from_dlpack"],
    symptom="a parameter changed although nothing in torch wrote to it; the gradient of an exchanged tensor is lost",
    changed={"2.9": "from_dlpack raises BufferError for a tensor that requires grad; it had been RuntimeError"},
    priority=3,
)
class TestToDlpackLetsGradientsSlip:
    """``torch.utils.dlpack.to_dlpack`` exports a tensor that requires grad without a word; its capsule serves once.

    What comes out shares the memory and is unknown to autograd, so that a write to it changes a leaf behind autograd's
    back. Pass the tensor itself to ``from_dlpack``: the checks are made there, and there is no capsule to use up.
    """

    def test_trap_no_check_and_shared_memory(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        x = torch.from_dlpack(torch.utils.dlpack.to_dlpack(w))
        x[0] = 5
        assert not x.requires_grad
        assert w.tolist() == [5, 1]

    def test_trap_a_capsule_serves_once(self, device):
        capsule = torch.utils.dlpack.to_dlpack(torch.ones(2, device=device))
        torch.from_dlpack(capsule)
        with pytest.raises(RuntimeError, match="capsules can be consumed only once"):
            torch.from_dlpack(capsule)

    def test_fix_pass_the_tensor(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with pytest.raises((RuntimeError, BufferError), match=r"use tensor\.detach"):
            torch.from_dlpack(w)


@pitfall(
    "dlpack-bool-needs-torch-2-2",
    docs=["torch.from_dlpack", ("torch.utils.dlpack.from_dlpack", "will share the memory with the input tensor")],
    symptom="RuntimeError: Bool type is not supported by dlpack",
    error="Bool type is not supported by dlpack",
    changed={"2.2": "bool tensors can be exchanged"},
    priority=3,
)
class TestDlpackBoolNeedsTorch22:
    """A bool mask crosses DLPack since torch 2.2; before, it has to travel as ``uint8``.

    A view as ``uint8`` has the same bytes, and a view of what arrives is a mask again: no copy either way.
    """

    @before("2.2")
    def test_trap_a_mask_was_refused(self, device):
        mask = torch.tensor([True, False], device=device)
        with pytest.raises(RuntimeError, match="Bool type is not supported by dlpack"):
            torch.from_dlpack(mask)

    @since("2.2")
    def test_trap_a_mask_crosses_and_is_shared(self, device):
        mask = torch.tensor([True, False], device=device)
        torch.from_dlpack(mask)[1] = True
        assert mask.tolist() == [True, True]

    def test_fix_travel_as_bytes(self, device):
        mask = torch.tensor([True, False], device=device)
        arrived = torch.from_dlpack(mask.view(torch.uint8)).view(torch.bool)
        arrived[1] = True
        assert mask.tolist() == [True, True]


@pitfall(
    "dlpack-may-restride-size-one",
    docs=["torch.from_dlpack", "torch.utils.dlpack.to_dlpack"],
    symptom="the strides of a one-row tensor are others after a round trip through DLPack",
    changed={
        "2.9": "a dimension of size one keeps its stride through DLPack if the tensor has more than one element",
        "2.10": "dimensions of size one always keep their strides through DLPack",
    },
    priority=3,
)
class TestDlpackMayRestrideSizeOne:
    """The stride of a dimension of size one means nothing, and DLPack does not promise to carry it.

    The elements are the same in any case, and in the same memory. Don't compare strides; ask ``is_contiguous()``.
    """

    @pytest.mark.parametrize(
        "part", [pytest.param(lambda x: x[1:], id="row"), pytest.param(lambda x: x[1:, 2:], id="element")]
    )
    def test_trap_strides_are_not_promised(self, device, part):
        x = torch.arange(6, device=device).view(2, 3)
        y = torch.from_dlpack(part(x))
        assert y.tolist() == part(x).tolist()
        observe(strides=list(y.stride()))

    @pytest.mark.parametrize(
        "part", [pytest.param(lambda x: x[1:], id="row"), pytest.param(lambda x: x[1:, 2:], id="element")]
    )
    def test_fix_ask_whether_it_is_contiguous(self, device, part):
        x = torch.arange(6, device=device).view(2, 3)
        assert torch.from_dlpack(part(x)).is_contiguous()
