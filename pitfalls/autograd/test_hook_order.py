"""Hooks of several kinds at one tensor: tensor, node, `retain_grad`, after accumulation, and over several tensors."""

import pytest
import torch
from torch.autograd.graph import register_multi_grad_hook

from pitfalls import pitfall, since


@pitfall(
    "retain-grad-runs-after-tensor-hooks",
    docs=["torch.Tensor.retain_grad", "notes/autograd#the-order-in-which-the-different-hooks-are-fired"],
    symptom="the .grad of an intermediate result is not what flows on to its inputs",
    priority=3,
    contradicts={"notes/autograd#the-order-in-which-the-different-hooks-are-fired": "it comes after pre-hooks"},
)
class TestRetainGradRunsAfterTensorHooks:
    """``retain_grad()`` stores the gradient after all tensor hooks and before the hooks of the node.

    It does so whenever it was called, also before the hooks were registered. The manual places it after the pre-hooks
    of the node, but what those change is not in ``.grad``.
    """

    def test_trap_later_tensor_hooks_count_too(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        y.retain_grad()
        y.register_hook(lambda grad: grad * 10)
        (y * 2).backward()
        assert y.grad.item() == 20

    def test_trap_pre_hooks_of_the_node_do_not(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
        y.retain_grad()
        (y * 2).backward()
        assert y.grad.item() == 2
        assert x.grad.item() == 60

    def test_fix_look_at_it_in_the_last_hook(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        y.grad_fn.register_prehook(lambda grads: (grads[0] * 10,))
        y.grad_fn.register_prehook(lambda grads: seen.append(grads[0].item()))
        (y * 2).backward()
        assert seen == [20]


@pitfall(
    "tensor-hooks-run-before-node-hooks",
    docs=[
        "notes/autograd#the-order-in-which-the-different-hooks-are-fired",
        "torch.autograd.graph.Node.register_hook",
        "torch.autograd.graph.Node.register_prehook",
    ],
    symptom="my hooks run in another order than I registered them",
    priority=3,
)
class TestTensorHooksRunBeforeNodeHooks:
    """Hooks run by kind: those of the tensor, pre-hooks of its node, the node itself, then the hooks of the node.

    The order of registration counts within a kind only. A pre-hook gets the gradients of the outputs of the node; a
    hook gets those of its inputs as well, when they are computed.
    """

    def test_trap_the_kind_decides(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        y.grad_fn.register_hook(lambda grads_in, _: seen.append(("node", grads_in[0].item())))
        y.grad_fn.register_prehook(lambda grads_out: seen.append(("pre", grads_out[0].item())))
        y.register_hook(lambda grad: seen.append(("tensor", grad.item())))
        (y * 2).backward()
        assert seen == [("tensor", 2), ("pre", 2), ("node", 6)]

    def test_fix_one_kind_keeps_the_order(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        for name in ("first", "second"):
            y.register_hook(lambda _, name=name: seen.append(name))
        (y * 2).backward()
        assert seen == ["first", "second"]


@pitfall(
    "node-hook-of-an-input-does-not-run",
    docs=[
        "notes/autograd#whether-a-particular-hook-will-be-fired",
        ("torch.autograd.backward", "will call its grad_fn"),
    ],
    symptom="a hook on grad_fn runs under backward() and not under autograd.grad",
    priority=3,
)
class TestNodeHookOfAnInputDoesNotRun:
    """``autograd.grad(z, y)`` stops at ``y``: the node that made ``y`` does not run, and neither do its hooks.

    ``z.backward(inputs=[y])`` runs that node although nothing needs it, which torch calls an implementation detail. A
    hook on the tensor runs in both.
    """

    @pytest.mark.parametrize(
        ("differentiate", "runs"),
        [
            pytest.param(lambda z, y: torch.autograd.grad(z, y), 0, id="grad"),
            pytest.param(lambda z, y: z.backward(inputs=[y]), 1, id="backward with inputs"),
            pytest.param(lambda z, _: z.backward(), 1, id="backward"),
        ],
    )
    def test_trap_it_depends_on_the_call(self, device, differentiate, runs):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        y.grad_fn.register_prehook(lambda grads: seen.append(grads[0].item()))
        differentiate(y * 2, y)
        assert seen == [2] * runs

    @pytest.mark.parametrize(
        "differentiate",
        [
            pytest.param(lambda z, y: torch.autograd.grad(z, y), id="grad"),
            pytest.param(lambda z, y: z.backward(inputs=[y]), id="backward with inputs"),
            pytest.param(lambda z, _: z.backward(), id="backward"),
        ],
    )
    def test_fix_a_tensor_hook_runs_in_all(self, device, differentiate):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        y.register_hook(lambda grad: seen.append(grad.item()))
        differentiate(y * 2, y)
        assert seen == [2]


@since("2.1")
@pitfall(
    "post-accumulate-hook-is-for-leaves",
    docs=[
        ("torch.Tensor.register_post_accumulate_grad_hook", "Registering this hook on a non-leaf tensor"),
        "notes/autograd#whether-a-particular-hook-will-be-fired",
    ],
    symptom="RuntimeError: post accumulate grad hooks cannot be registered on non-leaf tensors",
    error="post accumulate grad hooks cannot be registered on non-leaf tensors",
    priority=2,
)
class TestPostAccumulateHookIsForLeaves:
    """A hook that runs after accumulation gets the leaf, not the gradient, and only leaves can have one.

    It sees the sum in ``.grad`` and may step and clear it, so the gradients of a model need not all exist at once. It
    runs under no-grad mode, unless ``create_graph=True``, and not at all under ``autograd.grad``.
    """

    def test_trap_a_result_is_refused(self, device):
        y = torch.tensor(1.0, device=device, requires_grad=True) * 2
        with pytest.raises(RuntimeError, match="post accumulate grad hooks cannot be registered on non-leaf tensors"):
            y.register_post_accumulate_grad_hook(print)

    def test_trap_it_sees_the_sum(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        w.register_post_accumulate_grad_hook(lambda w: seen.append(w.grad.item()))
        (w * 3).backward()
        (w * 4).backward()
        assert seen == [3, 7]

    def test_trap_what_it_computes_is_not_recorded(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        w.register_post_accumulate_grad_hook(lambda w: seen.append(w * 2))
        (w * 3).backward()
        assert not seen[0].requires_grad

    def test_trap_with_create_graph_it_is(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        w.register_post_accumulate_grad_hook(lambda w: seen.append(w * 2))
        with pytest.warns(UserWarning, match="create_graph=True will create a reference cycle"):
            (w * 3).backward(create_graph=True)
        assert seen[0].requires_grad
        w.grad = None

    def test_trap_autograd_grad_accumulates_nothing(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        w.register_post_accumulate_grad_hook(lambda w: seen.append(w.grad.item()))
        torch.autograd.grad(w * 3, w)
        (w * 4).backward()
        assert seen == [4]

    def test_fix_step_in_the_hook(self, device):
        w = torch.tensor(1.0, device=device, requires_grad=True)

        def step(w):
            w -= 0.5 * w.grad
            w.grad = None

        w.register_post_accumulate_grad_hook(step)
        (w * 3).backward()
        assert w.item() == -0.5
        assert w.grad is None


@pitfall(
    "multi-grad-hook-waits-for-the-last",
    docs=[
        ("torch.autograd.graph.register_multi_grad_hook", "this tensor will be ignored"),
        "notes/autograd#special-hooks",
    ],
    symptom="a hook over several tensors is called with None among its gradients",
    changed={"2.3": "register_multi_grad_hook takes mode='any'"},
    priority=3,
)
class TestMultiGradHookWaitsForTheLast:
    """A multi-grad hook runs once a pass, when all gradients that this pass computes are there; others are None.

    A tensor that is not part of the graph does not hold it up. With ``mode="any"``, since torch 2.3, it runs at the
    first gradient and gets that one alone.
    """

    def test_trap_what_is_not_computed_is_none(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        w = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        register_multi_grad_hook([x, w], lambda grads: seen.append([None if g is None else g.item() for g in grads]))
        (x * 3).backward()
        (x * 3 + w * 4).backward()
        assert seen == [[3, None], [3, 4]]

    @since("2.3")
    def test_trap_any_runs_at_the_first(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        y = x * 3
        seen = []
        register_multi_grad_hook([x, y], lambda grad: seen.append(grad.item()), mode="any")
        (y * 4).backward()
        assert seen == [4]

    def test_fix_remove_it_by_its_handle(self, device):
        x = torch.tensor(1.0, device=device, requires_grad=True)
        seen = []
        handle = register_multi_grad_hook([x], lambda grads: seen.append(grads[0].item()))
        (x * 3).backward()
        handle.remove()
        (x * 4).backward()
        assert seen == [3]
