"""Calling a module: `forward` and the hooks around it, and attributes that modules don't have."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "forward-skips-hooks",
    docs=[("torch.nn.Module.forward", "registered hooks while the latter silently ignores them")],
    symptom="my hook is never called, because the code calls model.forward(x)",
    priority=1,
)
class TestForwardSkipsHooks:
    """``module.forward(x)`` computes the same as ``module(x)``, but runs none of the module's hooks.

    Tools for pruning, quantization, weight normalisation and feature extraction work through hooks, so they silently
    stop working. Define ``forward`` and call the module.
    """

    HOOKS = [
        pytest.param(lambda net, hook: net.register_forward_hook(hook), id="forward hook"),
        pytest.param(lambda net, hook: net.register_forward_pre_hook(hook), id="forward pre-hook"),
    ]

    @pytest.mark.parametrize("register", HOOKS)
    def test_trap_forward_runs_no_hook(self, device, register):
        net, seen = nn.ReLU(), []
        register(net, lambda *_: seen.append("hook"))
        net(torch.ones(1, device=device))
        for _ in range(3):
            net.forward(torch.ones(1, device=device))
        assert len(seen) == 1

    def test_trap_a_replaced_output_is_not_replaced(self, device):
        net = nn.ReLU()
        net.register_forward_hook(lambda _module, _args, output: output * 10)
        assert net.forward(torch.ones(1, device=device)).item() == 1

    def test_trap_backward_hooks_are_skipped_too(self, device):
        net, seen = nn.ReLU(), []
        net.register_full_backward_hook(lambda *_: seen.append("hook"))
        x = torch.ones(1, device=device, requires_grad=True)
        (net(x) + net.forward(x) + net.forward(x)).backward()
        assert len(seen) == 1

    @pytest.mark.parametrize("register", HOOKS)
    def test_fix_call_the_module(self, device, register):
        net, seen = nn.ReLU(), []
        register(net, lambda *_: seen.append("hook"))
        net(torch.ones(1, device=device))
        assert seen == ["hook"]


@pitfall(
    "forward-is-missing",
    docs=[("torch.nn.Module.forward", "Should be overridden by all subclasses"), "torch.nn.ModuleList"],
    symptom='NotImplementedError: Module [Net] is missing the required "forward" function',
    error='is missing the required "forward" function',
)
class TestForwardIsMissing:
    """A module without a ``forward`` of its own raises when it is called, not when it is made.

    Usually the name is misspelt, or the method is indented into ``__init__``. ``ModuleList`` and ``ModuleDict`` have
    none either: they hold modules and don't say how to chain them. ``Sequential`` does.
    """

    def test_trap_a_misspelt_forward(self, device):
        class Net(nn.Module):
            def foward(self, x):
                return x

        net = Net()
        with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
            net(torch.ones(1, device=device))

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda layer: nn.ModuleList([layer]), id="ModuleList"),
            pytest.param(lambda layer: nn.ModuleDict({"first": layer}), id="ModuleDict"),
        ],
    )
    def test_trap_containers_have_none(self, device, make):
        layers = make(nn.ReLU())
        with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
            layers(torch.ones(1, device=device))

    def test_fix_chain_them_with_sequential(self, device):
        layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        assert nn.Sequential(*layers)(torch.zeros(1, device=device)).tolist() == [0]


@pitfall(
    "forward-hook-replaces-the-output",
    docs=[
        ("torch.nn.Module.register_forward_hook", "The hook can modify the output"),
        ("torch.nn.Module.register_forward_pre_hook", "We will wrap the value into a"),
        "notes/modules",
    ],
    symptom="registering a hook that only looks at activations changed what the model computes",
)
class TestForwardHookReplacesTheOutput:
    """What a forward hook returns, unless None, replaces the output; what a pre-hook returns replaces the input.

    A one-line lambda returns the value of its expression, so a hook that only logs must not be one that returns
    something. Hooks get the positional arguments as a tuple; those passed by name are left out unless
    ``with_kwargs=True``. Keep the handle, and remove the hook when you are done.
    """

    def test_trap_a_returned_value_replaces_the_output(self, device):
        net = nn.Identity()
        net.register_forward_hook(lambda _module, _args, output: output.mean())
        assert net(torch.tensor([1.0, 3.0], device=device)).tolist() == 2

    def test_trap_a_pre_hook_replaces_the_input(self, device):
        net = nn.Identity()
        net.register_forward_pre_hook(lambda _module, args: args[0] + 1)
        assert net(torch.tensor([1.0, 3.0], device=device)).tolist() == [2, 4]

    def test_trap_inputs_are_a_tuple_without_keywords(self, device):
        net, seen = nn.Bilinear(1, 1, 1, device="meta"), []
        net.register_forward_hook(lambda _module, args, _output: seen.append(len(args)))
        x = torch.ones(1, device="meta")
        net(x, input2=x)
        assert seen == [1]

    def test_fix_ask_for_keywords(self, device):
        net, seen = nn.Bilinear(1, 1, 1, device="meta"), []
        net.register_forward_hook(
            lambda _module, args, kwargs, _output: seen.append((len(args), *kwargs)), with_kwargs=True
        )
        x = torch.ones(1, device="meta")
        net(x, input2=x)
        assert seen == [(1, "input2")]

    def test_fix_return_nothing_and_remove_it(self, device):
        net, seen = nn.Identity(), []
        handle = net.register_forward_hook(lambda _module, _args, output: seen.append(output.mean().item()))
        outputs = [net(torch.tensor([1.0, 3.0], device=device)).tolist()]
        handle.remove()
        outputs.append(net(torch.tensor([5.0], device=device)).tolist())
        assert outputs == [[1, 3], [5]]
        assert seen == [2]


@pitfall(
    "full-backward-hook-replaces-the-gradient",
    docs=[("torch.nn.Module.register_full_backward_hook", "in place of"), "notes/modules"],
    symptom="gradients before a layer are wrong since I registered a backward hook that returns something",
)
class TestFullBackwardHookReplacesTheGradient:
    """What a full backward hook returns, unless None, is passed on in place of the gradient of the module's input.

    ``grad_input`` and ``grad_output`` are tuples, and so must be what is returned. The gradients of the module's own
    parameters are not affected. To look only, return None.
    """

    def test_trap_returned_gradient_goes_on(self, device):
        net = nn.Sequential(nn.Identity())
        net.register_full_backward_hook(lambda _module, grad_input, _grad_output: (grad_input[0] * 10,))
        x = torch.ones(1, device=device, requires_grad=True)
        (net(x) * 3).backward()
        assert x.grad.tolist() == [30]

    def test_trap_gradients_come_as_tuples(self, device):
        net, seen = nn.Sequential(nn.Identity()), []
        net.register_full_backward_hook(lambda _module, *grads: seen.append([type(grad) for grad in grads]))
        net(torch.ones(1, device=device, requires_grad=True)).backward()
        assert seen == [[tuple, tuple]]

    def test_fix_return_none_to_look_only(self, device):
        net, seen = nn.Sequential(nn.Identity()), []
        net.register_full_backward_hook(lambda _module, grad_input, _: seen.append(grad_input[0].item()))
        x = torch.ones(1, device=device, requires_grad=True)
        (net(x) * 3).backward()
        assert (x.grad.tolist(), seen) == ([3], [3])


@pitfall(
    "module-hooks-of-the-process",
    docs=[
        ("torch.nn.modules.module.register_module_forward_hook", "This adds global state to the"),
        ("torch.nn.modules.module.register_module_buffer_registration_hook", "This adds global state to the"),
    ],
    symptom="a hook from torch.nn.modules.module runs for models that I never gave it to",
    priority=3,
)
class TestModuleHooksOfTheProcess:
    """The hooks of ``torch.nn.modules.module`` run for every module of the process until their handle is removed.

    They are for debugging and profiling; a model made or called later by other code is not spared. Remove them in a
    ``finally``, or register a hook with the module that it is about.
    """

    def test_trap_every_module_is_watched(self, device):
        seen = []
        handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module)))
        try:
            nn.Sequential(nn.ReLU())(torch.ones(1, device=device))
        finally:
            handle.remove()
        assert seen == [nn.ReLU, nn.Sequential]

    @pytest.mark.parametrize(
        ("register", "names"),
        [
            pytest.param(
                nn.modules.module.register_module_parameter_registration_hook, ["weight", "bias"], id="parameter"
            ),
            pytest.param(
                nn.modules.module.register_module_buffer_registration_hook,
                ["running_mean", "running_var", "num_batches_tracked"],
                id="buffer",
            ),
            pytest.param(nn.modules.module.register_module_module_registration_hook, ["0"], id="module"),
        ],
    )
    def test_trap_every_registration_is_watched(self, device, register, names):
        seen = []
        handle = register(lambda _module, name, _: seen.append(name))
        try:
            nn.Sequential(nn.BatchNorm1d(1, device=device))
        finally:
            handle.remove()
        assert seen == names

    def test_fix_remove_the_handle(self, device):
        seen = []
        handle = nn.modules.module.register_module_forward_hook(lambda module, *_: seen.append(type(module)))
        handle.remove()
        nn.ReLU()(torch.ones(1, device=device))
        assert seen == []


@pitfall(
    "module-has-no-device",
    docs=["torch.nn.Module", "torch.nn.Module.to", ("torch.nn.Module.parameters", "iterator over module parameters")],
    symptom="AttributeError: 'Net' object has no attribute 'device'",
    error="object has no attribute",
)
class TestModuleHasNoDevice:
    """A module has no ``device`` and no ``dtype``: its parameters have, and they may differ.

    Ask one of them, ``next(model.parameters()).device``. The message names what is missing; for a property that fails
    inside with an ``AttributeError``, it names the property, as modules look up what Python did not find.
    """

    @pytest.mark.parametrize("name", ["device", "dtype", "requires_grad", "shape", "is_cuda"])
    def test_trap_there_is_no_such_attribute(self, device, seeded, name):
        with pytest.raises(AttributeError, match=f"'Linear' object has no attribute '{name}'"):
            getattr(nn.Linear(1, 1, device=device), name)

    def test_trap_a_failing_property_seems_missing(self):
        class Net(nn.Module):
            @property
            def width(self):
                return self.wieght.shape[0]

        with pytest.raises(AttributeError, match="'Net' object has no attribute 'width'"):
            Net().width

    def test_fix_ask_a_parameter(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        assert next(net.parameters()).device.type == device.type
