"""``torch.testing.make_tensor``: random test data within bounds."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "make-tensor-needs-room-between-its-bounds",
    docs=[("torch.testing.make_tensor", "for floating or complex types is deprecated"), "torch.full"],
    symptom="FutureWarning: Passing `low==high` to `torch.testing.make_tensor` is deprecated",
    error="Passing `low==high` to `torch.testing.make_tensor`",
    changed={"2.1": "equal bounds warn for floats; for integers ValueError is raised, it had been RuntimeError"},
    priority=3,
)
class TestMakeTensorNeedsRoomBetweenItsBounds:
    """``make_tensor`` draws from ``low`` to below ``high``: equal bounds leave nothing to draw.

    For integers it raises; for floats it gives the bound and warns of a removal that was announced for torch 2.3 and
    has not come. Use ``torch.full`` for a constant.
    """

    @before("2.1")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
    def test_trap_floats_gave_the_bound(self, device, seeded, dtype):
        x = torch.testing.make_tensor(2, dtype=dtype, device=device, low=3, high=3)
        assert x.real.tolist() == [3, 3]

    @since("2.1")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
    def test_trap_floats_give_the_bound_and_warn(self, device, seeded, dtype):
        with pytest.warns(FutureWarning, match="Passing `low==high` to `torch.testing.make_tensor`"):
            x = torch.testing.make_tensor(2, dtype=dtype, device=device, low=3, high=3)
        assert x.real.tolist() == [3, 3]

    @before("2.1")
    def test_trap_integers_raised_runtime_error(self, device, seeded):
        with pytest.raises(RuntimeError, match="random_ expects 'from' to be less than 'to'"):
            torch.testing.make_tensor(2, dtype=torch.int64, device=device, low=3, high=3)

    @since("2.1")
    def test_trap_integers_raise(self, device, seeded):
        with pytest.raises(ValueError, match="`low` must be less than `high`"):
            torch.testing.make_tensor(2, dtype=torch.int64, device=device, low=3, high=3)

    def test_fix_full(self, device):
        assert torch.full((2,), 3.0, device=device).tolist() == [3, 3]

    def test_fix_high_is_exclusive_for_integers(self, device, seeded):
        assert torch.testing.make_tensor(2, dtype=torch.int64, device=device, low=3, high=4).tolist() == [3, 3]
