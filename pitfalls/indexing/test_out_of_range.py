"""Indices out of range: an error on the CPU, a lost process on a GPU, and negative indices that count from the end."""

import pytest
import torch

from pitfalls import child, on, pitfall

LOSES_CUDA = child("""
import torch
x = torch.zeros(3, device="cuda")
try:
    x.gather(0, torch.tensor([3], device="cuda"))
    torch.cuda.synchronize()
except RuntimeError as error:
    print("device-side assert" in str(error))
try:
    torch.ones(1, device="cuda").add_(1).cpu()
except RuntimeError as error:
    print("device-side assert" in str(error))
""")


@pitfall(
    "index-out-of-range",
    docs=["torch.index_select", "torch.gather", "torch.nn.functional.embedding", "notes/cuda#asynchronous-execution"],
    symptom="IndexError: index out of range in self; CUDA error: device-side assert triggered",
    error="index out of range in self",
    priority=2,
)
class TestIndexOutOfRange:
    """An index out of range raises on the CPU; on CUDA a device-side assert makes the process unusable.

    On a GPU the error comes later, at some other call, and all further CUDA calls fail too: restart. Reproduce it on
    the CPU, or with ``CUDA_LAUNCH_BLOCKING=1``, to see the culprit. Labels from 1 to n are the usual cause.
    """

    @on("cpu")
    @pytest.mark.parametrize(
        ("use", "match"),
        [
            pytest.param(lambda x, i: x[i], "index 3 is out of bounds for dimension 0 with size 3", id="x[i]"),
            pytest.param(lambda x, i: x.index_select(0, i), "index out of range in self", id="index_select"),
            pytest.param(lambda x, i: x.index_fill(0, i, 1), "index 3 is out of bounds", id="index_fill"),
            pytest.param(lambda x, i: x.index_copy(0, i, x[:1]), "index 3 is out of bounds", id="index_copy"),
            pytest.param(lambda x, i: x.take(i), "tried to access index 3 on a tensor of 3 elements", id="take"),
            pytest.param(
                lambda x, i: torch.nn.functional.embedding(i, x[:, None]), "index out of range in self", id="embedding"
            ),
            pytest.param(lambda x, i: torch.nn.functional.nll_loss(x[None], i), "Target 3 is out of", id="nll_loss"),
        ],
    )
    def test_trap_most_raise_an_index_error(self, device, use, match):
        x, index = torch.zeros(3, device=device), torch.tensor([3], device=device)
        with pytest.raises(IndexError, match=match):
            use(x, index)

    @on("cpu")
    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda x, i: x.gather(0, i), id="gather"),
            pytest.param(lambda x, i: x.scatter(0, i, 1), id="scatter"),
            pytest.param(lambda x, i: x.scatter_add(0, i, x[:1]), id="scatter_add"),
        ],
    )
    def test_trap_gather_and_scatter_raise_a_runtime_error(self, device, use):
        x, index = torch.zeros(3, device=device), torch.tensor([3], device=device)
        with pytest.raises(RuntimeError, match="index 3 is out of bounds for dimension 0 with size 3"):
            use(x, index)

    @on("cuda")
    @pytest.mark.slow
    def test_trap_cuda_is_lost_for_the_process(self, device):
        done = LOSES_CUDA()
        assert done.stdout.split() == ["True", "True"]

    @pytest.mark.parametrize(("labels", "fine"), [([0, 2], True), ([1, 3], False), ([-100, 1], False)], ids=str)
    def test_fix_check_the_range_first(self, device, labels, fine):
        index = torch.tensor(labels, device=device)
        assert ((index >= 0) & (index < 3)).all().item() is fine


@pitfall(
    "negative-indices-are-not-for-all",
    docs=["torch.index_select", ("torch.Tensor.scatter_", "must be between"), "torch.take", "torch.gather"],
    symptom="index -1 is out of bounds in gather, scatter or index_select, but x[-1] works",
    error="index -1 is out of bounds for dimension 0 with size 3",
)
class TestNegativeIndicesAreNotForAll:
    """Brackets, ``take`` and ``index_fill`` count negative indices from the end; ``gather`` and others refuse them.

    ``scatter``, ``index_select`` and ``index_copy`` are strict as well. So -1 as a mark for "no label" picks the last
    element in one place and is an error in another. Bring indices into range with ``index % n``, or mask them out.
    """

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda x, i: x[i], id="x[i]"),
            pytest.param(lambda x, i: x.take(i), id="take"),
            pytest.param(lambda x, i: x[x.index_fill(0, i, 0) == 0], id="index_fill"),
        ],
    )
    def test_trap_some_count_from_the_end(self, device, use):
        x = torch.tensor([7, 8, 9], device=device)
        assert use(x, torch.tensor([-1], device=device)).tolist() == [9]

    @on("cpu")
    @pytest.mark.parametrize(
        ("use", "error"),
        [
            pytest.param(lambda x, i: x.index_select(0, i), IndexError, id="index_select"),
            pytest.param(lambda x, i: x.index_copy(0, i, x[:1]), IndexError, id="index_copy"),
            pytest.param(lambda x, i: x.gather(0, i), RuntimeError, id="gather"),
            pytest.param(lambda x, i: x.scatter(0, i, 1), RuntimeError, id="scatter"),
        ],
    )
    def test_trap_others_refuse(self, device, use, error):
        x, index = torch.tensor([7, 8, 9], device=device), torch.tensor([-1], device=device)
        with pytest.raises(error, match=r"(index -1 is out of bounds|index out of range in self)"):
            use(x, index)

    def test_fix_bring_it_into_range(self, device):
        x, index = torch.tensor([7, 8, 9], device=device), torch.tensor([-1], device=device)
        assert x.gather(0, index % len(x)).tolist() == [9]
