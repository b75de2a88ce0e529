"""Values that are taken over or combined without a copy of their own: module_load, fast paths, rounded correlations."""

import pytest
import torch
from torch import nn

from pitfalls import observe, pitfall, since


@pytest.fixture
def swapping():
    """Modules take over what they load by exchanging the tensors, until the end of the test."""
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield
    torch.__future__.set_swap_module_params_on_conversion(False)


class ReturnsItself(torch.Tensor):
    """A tensor that loads into itself."""

    def module_load(self, other, assign=False):
        """Copy, and return the wrong thing."""
        return self.copy_(other)


class ReturnsACopy(torch.Tensor):
    """A tensor that loads into a new object, as is wanted."""

    def module_load(self, other, assign=False):
        """Copy, and return an object of its own."""
        return self.copy_(other).detach()


@since("2.3")
@pitfall(
    "module-load-returns-a-new-tensor",
    docs=[
        ("torch.Tensor.module_load", "This method should always return a new object"),
        "torch.__future__.set_swap_module_params_on_conversion",
        "torch.nn.Module.load_state_dict",
    ],
    symptom="load_state_dict of my tensor subclass raises: module_load returned one of self or other",
    error="module_load returned one of self or other",
    priority=3,
)
class TestModuleLoadReturnsANewTensor:
    """``module_load`` must return an object that is neither the parameter nor what is loaded: both raise otherwise.

    What it returns is exchanged with the parameter. By default it copies into the parameter and returns it detached;
    with ``assign=True`` it returns what is loaded, detached, so that the memory is shared.
    """

    def test_trap_self_is_refused(self, swapping):
        net = nn.Module()
        net.w = nn.Parameter(torch.zeros(2).as_subclass(ReturnsItself), requires_grad=False)
        with pytest.raises(RuntimeError, match="module_load returned one of self or other"):
            net.load_state_dict({"w": torch.ones(2)})

    @pytest.mark.parametrize(("assign", "source"), [(False, 0), (True, 1)], ids=["copy", "assign"])
    def test_trap_memory_is_shared(self, device, assign, source):
        pair = torch.zeros(2, device=device), torch.ones(2, device=device)
        loaded = pair[0].module_load(pair[1], assign=assign)
        loaded.fill_(7)
        assert [x.tolist() == [7, 7] for x in pair] == [source == 0, source == 1]

    def test_fix_detach(self, swapping):
        net = nn.Module()
        net.w = nn.Parameter(torch.zeros(2).as_subclass(ReturnsACopy), requires_grad=False)
        net.load_state_dict({"w": torch.ones(2)})
        assert net.w.tolist() == [1, 1]


def operations(net, x):
    """The names of the operations that a call consists of."""
    with torch.autograd.profiler.profile() as measured:
        net(x, x, x, need_weights=False)
    return {event.key for event in measured.key_averages()}


@since("2.3")
@pitfall(
    "attention-fast-path-has-conditions",
    docs=[
        ("torch.backends.mha.get_fastpath_enabled", "might not be run even if ``get_fastpath_enabled`` returns"),
        "torch.nn.MultiheadAttention",
    ],
    symptom="torch.backends.mha.get_fastpath_enabled() is True, and attention is no faster",
    priority=3,
)
# Torch 2.10 to 2.12 warn on every start that events are cleared at the end of a cycle.
@pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")
class TestAttentionFastPathHasConditions:
    """``get_fastpath_enabled()`` says that the fast path is allowed, not that it is taken.

    It is taken in eval mode without gradients, among other conditions: in a training loop never.
    """

    def test_trap_with_gradients_it_is_not_taken(self, seeded):
        net = nn.MultiheadAttention(4, 2, batch_first=True).eval()
        found = operations(net, torch.ones(1, 2, 4))
        assert [torch.backends.mha.get_fastpath_enabled(), "aten::_native_multi_head_attention" in found] == [
            True,
            False,
        ]

    def test_fix_without_gradients_in_eval_mode(self, seeded):
        net = nn.MultiheadAttention(4, 2, batch_first=True).eval()
        with torch.no_grad():
            found = operations(net, torch.ones(1, 2, 4))
        assert "aten::_native_multi_head_attention" in found


@pitfall(
    "correlations-are-rounded",
    docs=[("torch.corrcoef", "Due to floating point rounding")],
    symptom="torch.corrcoef(x).diagonal() == 1 is False",
    priority=3,
)
class TestCorrelationsAreRounded:
    """The diagonal of ``corrcoef`` is 1 up to rounding, and the matrix symmetric up to rounding; it is never above 1.

    Values are clipped to -1 and 1. Compare with a tolerance, and symmetrise before ``cholesky`` or ``eigh``.
    """

    def test_trap_nearly_one(self, device):
        x = torch.tensor([[0.1, 0.2, 0.4], [1.0, 7.0, 3.0]], device=device)
        r = torch.corrcoef(x)
        torch.testing.assert_close(r.diagonal(), torch.ones(2, device=device))
        observe(exactly=r.diagonal().eq(1).tolist())

    def test_trap_never_above(self, device, seeded):
        x = torch.randn(50, 3, device=device)
        assert torch.corrcoef(torch.cat([x, x])).abs().max().item() == 1

    def test_fix_tolerance(self, device):
        x = torch.tensor([[0.1, 0.2, 0.4], [1.0, 7.0, 3.0]], device=device)
        assert torch.corrcoef(x).diagonal().allclose(torch.ones(2, device=device))
