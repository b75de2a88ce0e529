"""Tensors on the meta device: shapes and dtypes without values."""

import pytest
import torch

from pitfalls import before, pitfall, since

VALUES = [
    pytest.param(lambda x: x.item(), id="item"),
    pytest.param(lambda x: float(x), id="float"),
    pytest.param(lambda x: int(x), id="int"),
    pytest.param(lambda x: bool(x > 0), id="bool"),
    pytest.param(lambda x: torch.allclose(x, x), id="allclose"),
]


@pitfall(
    "meta-tensor-has-no-value",
    docs=[("torch.Tensor.is_meta", "but they carry no data"), "meta"],
    symptom="RuntimeError: Tensor.item() cannot be called on meta tensors",
    error="cannot be called on meta tensors",
    changed={"2.4": "item(), float() and bool() raise RuntimeError; it had been NotImplementedError"},
)
class TestMetaTensorHasNoValue:
    """A tensor on the meta device has a shape and a dtype, and no values: whatever needs one raises.

    A model built under ``torch.device("meta")`` must not look at values, in an ``if`` or a range, on its way. Decide by
    shapes there; to get values, move the module with ``to_empty`` and load them.
    """

    @before("2.4")
    @pytest.mark.parametrize("read", VALUES)
    def test_trap_reading_raised_not_implemented(self, read):
        with pytest.raises(NotImplementedError, match="aten::_local_scalar_dense"):
            read(torch.ones(1, device="meta"))

    @since("2.4")
    @pytest.mark.parametrize("read", VALUES)
    def test_trap_reading_raises(self, read):
        with pytest.raises(RuntimeError, match=r"Tensor\.item\(\) cannot be called on meta tensors"):
            read(torch.ones(1, device="meta"))

    @pytest.mark.parametrize(
        "copy",
        [
            pytest.param(lambda x, d: x.to(d), id="to"),
            pytest.param(lambda x, d: torch.ones(1, device=d).copy_(x), id="copy_"),
        ],
    )
    def test_trap_there_is_nothing_to_copy(self, device, copy):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data"):
            copy(torch.ones(1, device="meta"), device)

    def test_fix_shapes_are_known(self):
        x = torch.ones(2, 3, device="meta")
        assert (x @ x.T).shape == (2, 2)

    def test_fix_to_empty_then_load(self, device):
        layer = torch.nn.Linear(1, 1, device="meta").to_empty(device=device)
        layer.load_state_dict({"weight": torch.tensor([[2.0]]), "bias": torch.tensor([1.0])})
        assert layer(torch.tensor([3.0], device=device)).tolist() == [7]
