"""``torch.export``: how an exported program is called, what it accepts, and what its module is made of."""

import pytest
import torch

from pitfalls import before, pitfall, since


class Linear(torch.nn.Module):
    """A model with one layer, whose weights are known."""

    def __init__(self, device):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1, device="meta").to_empty(device=device)
        torch.nn.init.ones_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)

    def forward(self, x):
        return self.layer(x)


@since("2.1")
@pitfall(
    "exported-program-is-not-callable",
    docs=["torch.export.ExportedProgram", "torch.export.ExportedProgram.module"],
    symptom="RuntimeError: Unable to call ExportedProgram directly. You should use `exported_program.module()` instead",
    error="Unable to call ExportedProgram directly",
    changed={"2.3": "calling an ExportedProgram raises; it had run the program"},
)
@pytest.mark.slow  # the first export in a process takes seconds
class TestExportedProgramIsNotCallable:
    """``torch.export.export`` gives a description of a program, not a function: call its ``module()``.

    Up to torch 2.2 the program itself could be called. ``module()`` makes an ordinary module of it, with the parameters
    unlifted, in every release.
    """

    @before("2.3")
    def test_trap_it_could_be_called(self, device, export):
        program = export(Linear(device), (torch.ones(3, 2, device=device),))
        assert program(torch.ones(3, 2, device=device)).flatten().tolist() == [2, 2, 2]

    @since("2.3")
    def test_trap_it_cannot_be_called(self, device, export):
        program = export(Linear(device), (torch.ones(3, 2, device=device),))
        with pytest.raises(RuntimeError, match="Unable to call ExportedProgram directly"):
            program(torch.ones(3, 2, device=device))

    def test_fix_call_its_module(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        assert module(torch.ones(3, 2, device=device)).flatten().tolist() == [2, 2, 2]


@since("2.2")
@pitfall(
    "exported-module-accepts-the-example-shape",
    docs=["torch.export.export", "torch.export.ExportedProgram.module"],
    symptom="AssertionError: Guard failed: x.size()[0] == 3",
    error="Guard failed",
    changed={
        "2.3": "the message names the input and both sizes",
        "2.9": "an input of another shape raises AssertionError; it had been RuntimeError",
    },
)
@pytest.mark.slow  # the first export in a process takes seconds
class TestExportedModuleAcceptsTheExampleShape:
    """An exported module takes inputs of the sizes of the example, unless a dimension was declared dynamic.

    The batch size is the usual victim. Name the dimensions that vary in ``dynamic_shapes=`` at export.
    """

    @before("2.9")
    def test_trap_another_batch_size_raised_runtime_error(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        with pytest.raises(RuntimeError, match=r"(specialized at 3|to be equal to 3, but got 5)"):
            module(torch.ones(5, 2, device=device))

    @since("2.9")
    def test_trap_another_batch_size_fails_a_guard(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        with pytest.raises(AssertionError, match="Guard failed"):
            module(torch.ones(5, 2, device=device))

    @since("2.3")
    def test_fix_declare_the_batch_dynamic(self, device, export):
        batch = torch.export.Dim("batch", min=2, max=64)
        shapes = {"x": {0: batch}}
        module = export(Linear(device), (torch.ones(3, 2, device=device),), dynamic_shapes=shapes).module()
        assert module(torch.ones(5, 2, device=device)).flatten().tolist() == [2] * 5


@since("2.2")
@pitfall(
    "exported-module-has-children-of-its-own",
    docs=["torch.export.ExportedProgram.module"],
    symptom="a loop over named_children() of an exported module meets _guards_fn",
    changed={
        "2.3": "parameters keep their names (layer.weight), in submodules; they had lost them (layer_weight)",
        "2.9": "the checks of the inputs are a submodule, _guards_fn",
    },
    priority=3,
)
@pytest.mark.slow  # the first export in a process takes seconds
class TestExportedModuleHasChildrenOfItsOwn:
    """The module of an exported program has submodules that the original had not: since torch 2.9, ``_guards_fn``.

    It is a graph, not the model: layers are flattened into operators, and what is left of them holds the parameters. Go
    by ``state_dict()``, whose names are those of the original, not by ``children()``.
    """

    @before("2.3")
    def test_trap_parameters_were_renamed(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        assert list(module.state_dict()) == ["layer_weight", "layer_bias"]
        assert list(module.children()) == []

    @since("2.3")
    @before("2.9")
    def test_trap_children_were_those_with_parameters(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        assert [name for name, _ in module.named_children()] == ["layer"]

    @since("2.9")
    def test_trap_guards_are_a_child(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        assert [name for name, _ in module.named_children()] == ["layer", "_guards_fn"]

    @since("2.3")
    def test_fix_names_of_the_parameters_are_kept(self, device, export):
        module = export(Linear(device), (torch.ones(3, 2, device=device),)).module()
        assert list(module.state_dict()) == ["layer.weight", "layer.bias"]
