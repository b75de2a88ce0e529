"""``module_load``: how a tensor takes over what is loaded into it."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall, since


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
