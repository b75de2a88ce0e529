"""The list of view operations in the manual, and the namesakes that copy."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall

VIEW_OPS = [
    pytest.param(lambda x: x[:1], id="slicing"),
    pytest.param(lambda x: x.adjoint(), id="adjoint"),
    pytest.param(lambda x: x.as_strided((2,), (1,)), id="as_strided"),
    pytest.param(lambda x: x.detach(), id="detach"),
    pytest.param(lambda x: x.diagonal(), id="diagonal"),
    pytest.param(lambda x: x.expand(4, 2, 2), id="expand"),
    pytest.param(lambda x: x.expand_as(torch.zeros(4, 2, 2)), id="expand_as"),
    pytest.param(lambda x: x.movedim(0, 1), id="movedim"),
    pytest.param(lambda x: x.narrow(0, 0, 1), id="narrow"),
    pytest.param(lambda x: x.permute(1, 0), id="permute"),
    pytest.param(lambda x: x.select(0, 0), id="select"),
    pytest.param(lambda x: x[:1].squeeze(0), id="squeeze"),
    pytest.param(lambda x: x.transpose(0, 1), id="transpose"),
    pytest.param(lambda x: x.t(), id="t"),
    pytest.param(lambda x: x.T, id="T"),
    pytest.param(lambda x: x.H, id="H"),
    pytest.param(lambda x: x.mT, id="mT"),
    pytest.param(lambda x: x.mH, id="mH"),
    pytest.param(lambda x: x.real, id="real"),
    pytest.param(lambda x: x.imag, id="imag"),
    pytest.param(lambda x: torch.view_as_real(x), id="view_as_real"),
    pytest.param(lambda x: x.unflatten(0, (2, 1)), id="unflatten"),
    pytest.param(lambda x: x.unfold(0, 1, 1), id="unfold"),
    pytest.param(lambda x: x.unsqueeze(0), id="unsqueeze"),
    pytest.param(lambda x: x.view(2, 2, 1), id="view"),
    pytest.param(lambda x: x.view_as(torch.zeros(2, 2, 1)), id="view_as"),
    pytest.param(lambda x: x.unbind(0)[0], id="unbind"),
    pytest.param(lambda x: x.split(1)[0], id="split"),
    pytest.param(lambda x: x.hsplit(2)[0], id="hsplit"),
    pytest.param(lambda x: x.vsplit(2)[0], id="vsplit"),
    pytest.param(lambda x: x.tensor_split(2)[0], id="tensor_split"),
    pytest.param(lambda x: x.split_with_sizes([1, 1])[0], id="split_with_sizes"),
    pytest.param(lambda x: x.swapaxes(0, 1), id="swapaxes"),
    pytest.param(lambda x: x.swapdims(0, 1), id="swapdims"),
    pytest.param(lambda x: x.chunk(2)[0], id="chunk"),
]


@pitfall(
    "view-ops-never-copy",
    docs=["tensor_view", "torch.Tensor.unsqueeze", ("torch.squeeze", "shares the storage with the input tensor")],
    symptom="I took x.real, x.mT or x.chunk(2)[0] for a copy, and a write to it changed x",
)
class TestViewOpsNeverCopy:
    """Every operation on the manual's list of view operations returns a view; none of them ever copies.

    The strides of the tensor don't matter, and ``real``, ``imag`` and the adjoint of a complex tensor are views as
    well. Take ``clone()`` of the result for a tensor of its own.
    """

    @pytest.mark.parametrize("op", VIEW_OPS)
    @pytest.mark.parametrize("transposed", [False, True], ids=["contiguous", "transposed"])
    def test_trap_a_write_lands_in_x(self, device, op, transposed):
        x = torch.full((2, 2), 1 + 1j, device=device)
        x = x.t() if transposed else x
        op(x).zero_()
        assert x[0, 0].item() != 1 + 1j

    @pytest.mark.parametrize("op", VIEW_OPS)
    @pytest.mark.parametrize("transposed", [False, True], ids=["contiguous", "transposed"])
    def test_trap_the_storage_is_the_same(self, device, op, transposed):
        x = torch.full((2, 2), 1 + 1j, device=device)
        x = x.t() if transposed else x
        assert op(x).untyped_storage().data_ptr() == x.untyped_storage().data_ptr()

    @pytest.mark.parametrize("part", [torch.Tensor.values, torch.Tensor.indices], ids=["values", "indices"])
    def test_trap_parts_of_a_sparse_tensor_are_views_too(self, device, part):
        x = torch.eye(2, device=device).to_sparse()
        part(x).fill_(0)
        assert part(x).eq(0).all().item()

    @pytest.mark.parametrize("op", VIEW_OPS)
    def test_fix_clone(self, device, op):
        x = torch.full((2, 2), 1 + 1j, device=device)
        op(x).clone().zero_()
        assert x[0, 0].item() == 1 + 1j


@pitfall(
    "numpy-views-where-torch-copies",
    docs=[
        ("torch.flip", "makes a copy of"),
        ("torch.fliplr", "makes a copy of"),
        ("torch.flipud", "makes a copy of"),
        "torch.rot90",
    ],
    symptom="code ported from NumPy writes into np.flip(x)'s twin, and the original does not change",
)
class TestNumpyViewsWhereTorchCopies:
    """``flip``, ``fliplr``, ``flipud`` and ``rot90`` copy in torch and are views in NumPy.

    NumPy reverses with a negative stride, which a tensor can't have. Write to the original through the reversed index,
    or assign the flipped tensor back with ``x.copy_(...)``.
    """

    REVERSERS = [
        pytest.param(lambda x: torch.flip(x, (0,)), np.flipud, id="flip"),
        pytest.param(torch.fliplr, np.fliplr, id="fliplr"),
        pytest.param(torch.flipud, np.flipud, id="flipud"),
        pytest.param(torch.rot90, np.rot90, id="rot90"),
    ]

    @pytest.mark.parametrize(("reverse", "numpy_reverse"), REVERSERS)
    def test_trap_a_write_is_lost_in_torch_alone(self, device, reverse, numpy_reverse):
        x, array = torch.zeros(2, 2, device=device), np.zeros((2, 2))
        reverse(x).fill_(1)
        numpy_reverse(array).fill(1)
        assert x.tolist() == [[0, 0], [0, 0]]
        assert torch.tensor(array, device=device).tolist() == [[1, 1], [1, 1]]

    @pytest.mark.parametrize(("reverse", "numpy_reverse"), REVERSERS)
    def test_fix_copy_the_result_back(self, device, reverse, numpy_reverse):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        array = x.tolist()
        x.copy_(reverse(x))
        assert x.tolist() == numpy_reverse(array).tolist()


@pitfall(
    "flip-of-rows-needs-dimensions",
    docs=[
        ("torch.fliplr", "Requires the tensor to be at least 2-D"),
        ("torch.flipud", "Requires the tensor to be at least 1-D"),
    ],
    symptom="RuntimeError: Input must be >= 2-d.",
    error="Input must be >=",
    priority=3,
)
class TestFlipOfRowsNeedsDimensions:
    """``fliplr`` raises for a vector and ``flipud`` for a 0-d tensor: each needs the dimension that it reverses.

    A vector has no columns: its left-right flip is ``flip(0)``, or ``flipud``.
    """

    @pytest.mark.parametrize(
        ("flip", "value", "match"),
        [(torch.fliplr, [1, 2], "Input must be >= 2-d"), (torch.flipud, 1, "Input must be >= 1-d")],
        ids=["fliplr", "flipud"],
    )
    def test_trap_too_few_dimensions(self, device, flip, value, match):
        with pytest.raises(RuntimeError, match=match):
            flip(torch.tensor(value, device=device))

    @pytest.mark.parametrize("flip", [torch.flipud, lambda x: x.flip(0)], ids=["flipud", "flip"])
    def test_fix_reverse_the_only_dimension(self, device, flip):
        assert flip(torch.tensor([1, 2, 3], device=device)).tolist() == [3, 2, 1]


@pitfall(
    "loop-variable-is-a-view",
    docs=["tensor_view", ("torch.unbind", "Removes a tensor dimension"), "torch.Tensor.add_"],
    symptom="a loop over the rows of a tensor changes nothing, or changes everything",
)
class TestLoopVariableIsAView:
    """``for row in x`` hands out views: ``row += 1`` changes ``x``, ``row = row + 1`` changes nothing.

    The second makes a new tensor and gives it the name of the loop variable. Mostly no loop is needed: write the whole
    tensor at once, ``x += 1`` or ``x = x + 1``, and say which of the two is meant.
    """

    def test_trap_rebinding_changes_nothing(self, device):
        x = torch.zeros(2, 2, device=device)
        for row in x:
            row = row + 1  # a new tensor of that name
        assert row.tolist() == [1, 1]
        assert x.tolist() == [[0, 0], [0, 0]]

    def test_trap_augmented_assignment_changes_the_rows(self, device):
        x = torch.zeros(2, 2, device=device)
        for row in x:
            row += 1
        assert x.tolist() == [[1, 1], [1, 1]]

    def test_trap_a_scalar_taken_from_a_vector_is_a_view_too(self, device):
        x = torch.tensor([1, 2], device=device)
        first = x[0]
        first += 10
        assert x.tolist() == [11, 2]

    def test_fix_clone_the_row(self, device):
        x = torch.zeros(2, 2, device=device)
        rows = [row.clone().add_(1) for row in x]
        assert torch.stack(rows).tolist() == [[1, 1], [1, 1]]
        assert x.tolist() == [[0, 0], [0, 0]]


@pitfall(
    "list-times-n-repeats-one-tensor",
    docs=["torch.Tensor.add_", "torch.stack", "torch.zeros"],
    symptom="writing to the first of my buffers changes all of them",
)
class TestListTimesNRepeatsOneTensor:
    """``[torch.zeros(2)] * 3`` holds one tensor three times; an in-place change of one shows in all.

    Python repeats the reference. Rebinding an entry (``buffers[0] = ...``) is harmless, which hides the trap until the
    first in-place operation. Build the list with a comprehension, or take one tensor with a dimension more.
    """

    def test_trap_all_entries_change(self, device):
        buffers = [torch.zeros(2, device=device)] * 3
        buffers[0].add_(1)
        assert buffers[2].tolist() == [1, 1]

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda device: [torch.zeros(2, device=device) for _ in range(3)], id="comprehension"),
            pytest.param(lambda device: list(torch.zeros(3, 2, device=device)), id="one tensor"),
        ],
    )
    def test_fix_a_tensor_for_each_entry(self, device, make):
        buffers = make(device)
        buffers[0].add_(1)
        assert buffers[0].tolist() == [1, 1]
        assert buffers[2].tolist() == [0, 0]
