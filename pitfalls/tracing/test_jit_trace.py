"""``torch.jit.trace``: one run is recorded, with the branches, lengths and the mode that it had."""

import warnings

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pytest.fixture
def quiet():
    """No warnings: ``torch.jit`` is deprecated and says so; tests ask for the one that they are about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def double_or_negate(x):
    """Doubles what is positive in sum, and negates all else."""
    return x * 2 if x.sum() > 0 else -x


def add_rows(x):
    """Sums the rows in a loop over how many there are."""
    total = torch.zeros_like(x[0])
    for i in range(x.shape[0]):
        total = total + x[i]
    return total


@pitfall(
    "trace-freezes-control-flow",
    docs=["torch.jit.trace", "torch.jit.script"],
    symptom="the traced model ignores my if; it gives wrong results for another batch size",
    error="TracerWarning: Converting a tensor to a Python boolean might cause the trace to be incorrect",
    priority=1,
)
class TestTraceFreezesControlFlow:
    """``torch.jit.trace`` records one run: a branch or a loop becomes what the example took, for all later inputs.

    A branch on data gives a TracerWarning, a loop over ``range(x.shape[0])`` not even that. Compute without branches
    (``torch.where``), or compile the source with ``torch.jit.script``, which keeps them.
    """

    def test_trap_the_branch_of_the_example_stays(self, device, quiet):
        traced = torch.jit.trace(double_or_negate, torch.ones(2, device=device), check_trace=False)
        assert traced(-torch.ones(2, device=device)).tolist() == [-2, -2]  # not [1, 1]

    def test_trap_there_is_only_a_warning(self, device, quiet):
        with pytest.warns(torch.jit.TracerWarning, match="might cause the trace to be incorrect"):
            torch.jit.trace(double_or_negate, torch.ones(2, device=device), check_trace=False)

    def test_trap_a_loop_keeps_its_length(self, device, quiet):
        traced = torch.jit.trace(add_rows, torch.ones(2, 1, device=device), check_trace=False)
        assert traced(torch.ones(5, 1, device=device)).item() == 2

    def test_fix_script_keeps_the_branch(self, device, quiet):
        def double_or_negate(x):
            if x.sum() > 0:
                return x * 2
            return -x

        scripted = torch.jit.script(double_or_negate)
        assert scripted(-torch.ones(2, device=device)).tolist() == [1, 1]

    def test_fix_where_is_recorded(self, device, quiet):
        traced = torch.jit.trace(
            lambda x: torch.where(x.sum() > 0, x * 2, -x), torch.ones(2, device=device), check_trace=False
        )
        assert traced(-torch.ones(2, device=device)).tolist() == [1, 1]


@pitfall(
    "trace-keeps-the-mode",
    docs=["torch.jit.trace", "torch.nn.Module.eval"],
    symptom="model.eval() has no effect on a traced model: dropout goes on",
    priority=2,
)
class TestTraceKeepsTheMode:
    """Layers of a traced module behave as in the mode they were traced in: ``eval()`` and ``train()`` change nothing.

    A scripted module follows the mode. Call ``eval()`` before tracing for inference.
    """

    def test_trap_dropout_goes_on(self, device, quiet, seeded):
        traced = torch.jit.trace(nn.Dropout(0.5).train(), torch.ones(64, device=device), check_trace=False)
        assert 0.0 in traced.eval()(torch.ones(64, device=device)).tolist()

    def test_trap_eval_stays_eval(self, device, quiet, seeded):
        traced = torch.jit.trace(nn.Dropout(0.5).eval(), torch.ones(64, device=device), check_trace=False)
        assert traced.train()(torch.ones(64, device=device)).tolist() == [1] * 64

    def test_fix_script_follows_the_mode(self, device, quiet, seeded):
        scripted = torch.jit.script(nn.Dropout(0.5))
        assert scripted.eval()(torch.ones(64, device=device)).tolist() == [1] * 64


@pitfall(
    "trace-turns-numbers-into-constants",
    docs=["torch.jit.trace"],
    symptom="a traced function goes on with the global, or the result of item(), that it was traced with",
    priority=2,
)
class TestTraceTurnsNumbersIntoConstants:
    """Python numbers are recorded as constants, also those that ``item()``, ``int()`` or a global gave.

    Only tensors are traced. Keep a value a tensor, and pass it as an input.
    """

    @pytest.mark.parametrize("read", [lambda x: x.max().item(), lambda x: float(x.max())], ids=["item", "float"])
    def test_trap_the_value_of_the_example_stays(self, device, quiet, read):
        traced = torch.jit.trace(lambda x: x * read(x), torch.tensor([3.0], device=device), check_trace=False)
        assert traced(torch.tensor([5.0], device=device)).item() == 15

    def test_trap_a_variable_from_outside_stays(self, device, quiet):
        factors = [2]
        traced = torch.jit.trace(lambda x: x * factors[-1], torch.ones(1, device=device), check_trace=False)
        factors.append(5)
        assert traced(torch.ones(1, device=device)).item() == 2

    def test_fix_tensors_are_traced(self, device, quiet):
        traced = torch.jit.trace(lambda x: x * x.max(), torch.tensor([3.0], device=device), check_trace=False)
        assert traced(torch.tensor([5.0], device=device)).item() == 25


@pitfall(
    "script-accepts-a-part-of-python",
    docs=["torch.jit.script"],
    symptom="torch.jit.script rejects *args, lambdas, or a list of mixed types",
    error="Compiled functions can't take variable number of arguments",
    priority=3,
)
class TestScriptAcceptsAPartOfPython:
    """``torch.jit.script`` takes a typed part of Python: no ``*args``, no lists of mixed types; arguments are tensors.

    An argument without annotation is a Tensor, so an int needs ``n: int``.
    """

    def test_trap_variable_arguments_are_refused(self, quiet):
        def total(*numbers):
            return numbers

        with pytest.raises(torch.jit.frontend.NotSupportedError, match="can't take variable number of arguments"):
            torch.jit.script(total)

    def test_trap_an_argument_is_a_tensor(self, device, quiet):
        def power(x, n):
            return x**n

        with pytest.raises(RuntimeError, match="Expected a value of type 'Tensor"):
            torch.jit.script(power)(torch.ones(1, device=device), 2)

    def test_fix_annotate_it(self, device, quiet):
        def power(x, n: int):
            return x**n

        assert torch.jit.script(power)(torch.tensor([3.0], device=device), 2).item() == 9


@pitfall(
    "freeze-wants-eval-and-keeps-weights",
    docs=["torch.jit.freeze"],
    symptom="RuntimeError: Freezing is currently only implemented for modules in eval mode",
    error="Freezing is currently only implemented for modules in eval mode",
    priority=3,
)
class TestFreezeWantsEvalAndKeepsWeights:
    """``torch.jit.freeze`` refuses a module in training mode, and makes constants of its parameters.

    A frozen module has no parameters: ``to()`` and ``load_state_dict`` find nothing to change. Convert before freezing.
    """

    def test_trap_training_mode_is_refused(self, device, quiet, seeded):
        scripted = torch.jit.script(nn.Linear(1, 1, device=device))
        with pytest.raises(RuntimeError, match="only implemented for modules in eval mode"):
            torch.jit.freeze(scripted)

    def test_trap_its_weights_are_out_of_reach(self, device, quiet, seeded):
        frozen = torch.jit.freeze(torch.jit.script(nn.Linear(1, 1, device=device).eval()))
        assert list(frozen.parameters()) == []

    def test_trap_to_changes_nothing(self, device, quiet, seeded):
        frozen = torch.jit.freeze(torch.jit.script(nn.Linear(1, 1, device=device).eval()))
        frozen.to(torch.float64)
        assert frozen(torch.ones(1, device=device)).dtype == torch.float32

    def test_fix_convert_first(self, device, quiet, seeded):
        scripted = torch.jit.script(nn.Linear(1, 1, device=device).double().eval())
        frozen = torch.jit.freeze(scripted)
        assert frozen(torch.ones(1, dtype=torch.float64, device=device)).dtype == torch.float64
