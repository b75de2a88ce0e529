"""``torch.asarray``: when it gives its argument back, and whether that one still requires grad afterwards."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "asarray-changes-requires-grad",
    docs=[("torch.asarray", "then the returned tensor will require a gradient"), "torch.Tensor.requires_grad_"],
    symptom="a parameter stopped training after it had been passed through torch.asarray",
    changed={"2.12": "without requires_grad= the result keeps it, with a warning; it had been switched off"},
)
class TestAsarrayChangesRequiresGrad:
    """``torch.asarray`` gives a tensor back as it is, so its ``requires_grad=`` changes the tensor that you passed in.

    Before torch 2.12 the default was ``False``: a leaf that passed through ``asarray`` was frozen, a result was cut
    from its graph. Since then the default is to keep, with a warning. Pass ``x.detach()`` if you want the values alone.
    """

    @before("2.12")
    def test_trap_a_leaf_was_frozen(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        torch.asarray(w)
        assert not w.requires_grad

    @before("2.12")
    def test_trap_a_result_was_cut_off(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        assert not torch.asarray(w * 2).requires_grad

    @since("2.12")
    def test_trap_a_leaf_keeps_it_and_warns(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="unspecified requires_grad now defaults to obj.requires_grad"):
            x = torch.asarray(w)
        assert x.requires_grad

    @since("2.12")
    def test_trap_a_result_keeps_its_graph_and_warns(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="unspecified requires_grad now defaults to obj.requires_grad"):
            x = torch.asarray(w * 2)
        x.sum().backward()
        assert w.grad.tolist() == [2, 2]

    @pytest.mark.parametrize("mode", [True, False], ids=["on", "off"])
    def test_trap_requires_grad_changes_the_argument(self, device, mode):
        w = torch.ones(2, device=device, requires_grad=not mode)
        torch.asarray(w, requires_grad=mode)
        assert w.requires_grad == mode

    def test_fix_detach_leaves_the_argument_alone(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        x = torch.asarray(w.detach())
        assert not x.requires_grad
        assert w.requires_grad

    def test_fix_a_copy_leaves_the_argument_alone(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        x = torch.asarray(w, copy=True, requires_grad=False)
        x[0] = 5
        assert w.requires_grad
        assert w.tolist() == [1, 1]
