"""Masked tensors and masked reductions: which way round the mask is, and what an empty one gives."""

import math
import warnings

import pytest
import torch

from pitfalls import before, pitfall, since


@pytest.fixture(autouse=True)
def quiet_prototype():
    """Masked tensors warn as a prototype wherever one is made; one test below is about that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of MaskedTensors is in prototype stage")
        yield


@pitfall(
    "masked-means-true-is-kept",
    docs=["masked", "torch.Tensor.masked_fill", "torch.masked.masked_tensor"],
    symptom="the mask seems inverted between masked_fill, torch.masked and NumPy",
)
class TestMaskedMeansTrueIsKept:
    """In ``torch.masked`` True means that a value counts; ``masked_fill`` and NumPy's masked arrays replace at True.

    Attention in ``torch.nn`` has both conventions. Say in the name of a mask what True means; ``~mask`` inverts it.
    """

    def test_trap_masked_sum_takes_what_is_true(self, device):
        x, mask = torch.tensor([1.0, 2.0], device=device), torch.tensor([True, False], device=device)
        assert torch.masked.sum(x, mask=mask).item() == 1

    def test_trap_masked_tensor_shows_what_is_true(self, device):
        x, mask = torch.tensor([1.0, 2.0], device=device), torch.tensor([True, False], device=device)
        assert torch.masked.masked_tensor(x, mask).to_tensor(0.0).tolist() == [1, 0]

    def test_trap_masked_fill_replaces_what_is_true(self, device):
        x, mask = torch.tensor([1.0, 2.0], device=device), torch.tensor([True, False], device=device)
        assert x.masked_fill(mask, 0.0).tolist() == [0, 2]

    def test_fix_invert_it(self, device):
        x, mask = torch.tensor([1.0, 2.0], device=device), torch.tensor([True, False], device=device)
        assert x.masked_fill(~mask, 0.0).tolist() == [1, 0]


@pitfall(
    "masked-out-completely",
    docs=["torch.masked.mean", "torch.masked.softmax", "torch.masked.amax"],
    symptom="NaN from torch.masked.softmax or masked.mean for a sample without valid positions",
)
class TestMaskedOutCompletely:
    """Where the mask leaves nothing, ``torch.masked`` gives what an empty reduction has: NaN for mean and softmax.

    A sum is 0, a maximum minus infinity. Handle rows without a valid position before they reach the loss.
    """

    @pytest.mark.parametrize("reduce", [torch.masked.mean, torch.masked.var], ids=["mean", "var"])
    def test_trap_nan(self, device, reduce):
        x, nothing = torch.ones(2, device=device), torch.zeros(2, dtype=torch.bool, device=device)
        assert reduce(x, mask=nothing).isnan().item()

    @pytest.mark.parametrize("reduce", [torch.masked.softmax, torch.masked.log_softmax], ids=["softmax", "log_softmax"])
    def test_trap_softmax_is_nan_too(self, device, reduce):
        x, nothing = torch.ones(2, device=device), torch.zeros(2, dtype=torch.bool, device=device)
        assert reduce(x, 0, mask=nothing).isnan().all().item()

    @pytest.mark.parametrize(
        ("reduce", "empty"),
        [(torch.masked.sum, 0), (torch.masked.prod, 1), (torch.masked.amax, -math.inf), (torch.masked.amin, math.inf)],
        ids=["sum", "prod", "amax", "amin"],
    )
    def test_trap_the_neutral_element(self, device, reduce, empty):
        x, nothing = torch.ones(2, device=device), torch.zeros(2, dtype=torch.bool, device=device)
        assert reduce(x, mask=nothing).item() == empty

    def test_fix_ask_whether_something_is_left(self, device):
        x = torch.tensor([[1.0, 3.0], [5.0, 7.0]], device=device)
        mask = torch.tensor([[True, True], [False, False]], device=device)
        means = torch.masked.mean(x, 1, mask=mask)
        assert torch.where(mask.any(1), means, 0.0).tolist() == [2, 0]


@pitfall(
    "masked-tensors-refuse-another-mask",
    docs=["masked#supported-operations", "torch.masked.masked_tensor"],
    symptom="ValueError: Input masks must match. If you need support for this, please open an issue on Github.",
    error="Input masks must match",
)
class TestMaskedTensorsRefuseAnotherMask:
    """Two masked tensors can be added only if their masks are equal; many operators are missing altogether.

    There is no matrix product and no ``tolist``. Combine the masks yourself and build a new one from ``get_data()``.
    """

    def test_trap_masks_must_match(self, device):
        x, mask = torch.tensor([1.0, 2.0], device=device), torch.tensor([True, False], device=device)
        with pytest.raises(ValueError, match="Input masks must match"):
            torch.masked.masked_tensor(x, mask) + torch.masked.masked_tensor(x, ~mask)

    def test_trap_the_mask_must_be_bool(self, device):
        with pytest.raises(TypeError, match="mask must have dtype bool"):
            torch.masked.masked_tensor(torch.ones(2, device=device), torch.tensor([1, 0], device=device))

    def test_trap_the_mask_must_have_its_shape(self, device):
        with pytest.raises(ValueError, match=r"data.size\(\) must equal mask.size\(\)"):
            torch.masked.masked_tensor(torch.ones(2, device=device), torch.tensor([True], device=device))

    def test_trap_it_is_a_prototype(self, device):
        with pytest.warns(UserWarning, match="The PyTorch API of MaskedTensors is in prototype stage"):
            torch.masked.masked_tensor(torch.ones(2, device=device), torch.tensor([True, False], device=device))

    def test_fix_combine_the_masks(self, device):
        x = torch.tensor([1.0, 2.0, 3.0], device=device)
        left, right = torch.tensor([[True, True, False], [False, True, True]], device=device)
        total = torch.masked.masked_tensor(x + x, left & right)
        assert total.to_tensor(0.0).tolist() == [0, 4, 0]


@pitfall(
    "masked-fill-takes-bool-masks",
    docs=["torch.Tensor.masked_fill_", "torch.Tensor.masked_fill", "torch.Tensor.masked_scatter_"],
    symptom="RuntimeError: masked_fill_ only supports boolean masks, but got mask with dtype unsigned char",
    error="masked_fill_ only supports boolean masks",
    changed={"2.1": "a uint8 mask raises; it had been taken with a warning"},
)
class TestMaskedFillTakesBoolMasks:
    """``masked_fill`` takes a bool mask, broadcasts it, and casts the value to the dtype of the tensor.

    A float value loses its fraction in an integer tensor, and infinity raises there. Convert the mask with ``.bool()``,
    and the tensor before you fill it.
    """

    @before("2.1")
    def test_trap_uint8_was_taken_with_a_warning(self, device):
        mask = torch.tensor([1, 0], dtype=torch.uint8, device=device)
        with pytest.warns(UserWarning, match="masked_fill_ received a mask with dtype torch.uint8"):
            y = torch.ones(2, device=device).masked_fill(mask, 0.0)
        assert y.tolist() == [0, 1]

    @since("2.1")
    def test_trap_uint8_is_refused(self, device):
        mask = torch.tensor([1, 0], dtype=torch.uint8, device=device)
        with pytest.raises(RuntimeError, match="masked_fill_ only supports boolean masks"):
            torch.ones(2, device=device).masked_fill(mask, 0.0)

    def test_trap_the_fraction_is_cut(self, device):
        x, mask = torch.tensor([4, 4], device=device), torch.tensor([True, False], device=device)
        assert x.masked_fill(mask, 1.5).tolist() == [1, 4]

    def test_trap_infinity_does_not_fit(self, device):
        x, mask = torch.tensor([4, 4], device=device), torch.tensor([True, False], device=device)
        with pytest.raises(RuntimeError, match="value cannot be converted to type int64_t without overflow"):
            x.masked_fill(mask, -math.inf)

    def test_fix_convert_first(self, device):
        x, mask = torch.tensor([4, 4], device=device), torch.tensor([1, 0], dtype=torch.uint8, device=device)
        assert x.double().masked_fill(mask.bool(), 1.5).tolist() == [1.5, 4]
