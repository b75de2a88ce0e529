"""The proof itself: planted vacuous, unreachable, leaking and flaky pins are caught by name."""

import os
import subprocess
import sys

import pytest

from pitfalls.harness import source
from tests.test_record import suite  # noqa: F401 - a fixture

PLANTED = '''
"""A planted pin."""

import pytest
import torch

from pitfalls import pitfall


@pitfall("planted", docs=["torch.ones"], symptom="planted")
class TestPlanted:
    """A planted pin is caught."""

    def test_trap_sound(self):
        assert torch.ones(2).tolist() == [1, 1]

    def test_trap_planted(self):
{body}
'''

BODIES = {
    "empty": ("torch.ones(2)", "planted/test_trap_planted: vacuous: it asserts nothing"),
    "tautology": ("x = torch.ones(2)\nassert True", "no mutation turns red: assert True"),
    "same on both sides": ("x = torch.ones(2)\nassert x is x", "no mutation turns red: assert x is x"),
    "branch never taken": (
        "x = torch.ones(2)\nif x.sum() == 3:\n    assert x.tolist() == [1, 2]",
        "never reached: assert x.tolist() == [1, 2]",
    ),
    "behind another": (
        "x = torch.ones(2).tolist()\nassert x == [1, 1]\nassert x[0] == 1",
        "no mutation turns red: assert x[0] == 1",
    ),
    "about Python": ("assert sorted([2, 1]) == [1, 2]", "no mutation turns red: assert sorted([2, 1]) == [1, 2]"),
}


def prove(suite, body, by="tests.proof.plugin", after=""):  # noqa: F811
    lines = "\n".join("        " + line for line in body.splitlines())
    (suite / "pitfalls" / "basics" / "test_basics.py").write_text(PLANTED.replace("{body}", lines) + after)
    path = os.pathsep.join([str(suite), str(source.PACKAGE.parent)])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", by, "-p", "no:randomly", "--pyargs", "pitfalls"],
        cwd=suite.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("planted", BODIES, ids=str)
def test_a_pin_that_cannot_fail_is_caught_by_name(suite, planted):  # noqa: F811
    body, says = BODIES[planted]
    done = prove(suite, body)
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stdout
    assert "planted/test_trap_sound:" not in done.stdout


def test_a_sound_pin_passes_the_proof(suite):  # noqa: F811
    body = "w = torch.ones(1, requires_grad=True)\nwith pytest.raises(RuntimeError, match='leaf'):\n    w.add_(1)"
    done = prove(suite, body)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 tests, 2 killed, 0 survivors" in done.stdout
    assert "2 assertions, 2 turned red on their own, 0 not" in done.stdout


def test_a_pin_that_does_not_hold_to_begin_with_proves_nothing(suite):  # noqa: F811
    done = prove(suite, "assert torch.ones(2).tolist() == [2, 2]")
    assert done.returncode == 1
    assert "planted/test_trap_planted: does not hold when watched" in done.stdout


#: What only another order, or another run, can show.
LEAVING = {
    "what it leaves": (
        "torch.left = getattr(torch, 'left', 0) + 1\nassert torch.left == 1",
        "planted/test_trap_other: in random order",
    ),
    "a leak of grad mode": (
        "torch.set_grad_enabled(False)\nassert torch.ones(2).tolist() == [1, 1]",
        "planted/test_trap_planted: in alone: Failed: planted/test_trap_planted leaks grad mode",
    ),
    "chance": (
        "import os\nassert torch.ones(2).tolist() == [1, 1 + os.urandom(1)[0] % 2]",
        "planted/test_trap_planted: in random order",
    ),
}
OTHER = "\n    def test_trap_other(self):\n        assert not hasattr(torch, 'left')\n"


@pytest.mark.parametrize("planted", LEAVING, ids=str)
def test_a_pin_that_leaks_or_flakes_is_caught_by_name(suite, planted):  # noqa: F811
    body, says = LEAVING[planted]
    done = prove(suite, body, by="tests.proof.orders", after=OTHER)
    assert done.returncode == 1, done.stdout + done.stderr
    assert says in done.stdout


def test_pins_that_keep_to_themselves_pass_in_any_order(suite):  # noqa: F811
    done = prove(suite, "assert torch.zeros(1).tolist() == [0]", by="tests.proof.orders")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 cases in 10 random orders, as many times over, and 2 of them alone: 0 outcomes differ" in done.stdout


REVERSED = """
import sys
import pytest
from tests.counterfactuals import {module}

with pytest.MonkeyPatch.context() as patch:
    {module}.{name}(patch)
    sys.exit(pytest.main(["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--device", "cpu", {path!r}]))
"""


@pytest.mark.parametrize(
    ("module", "name", "path", "slug"),
    [
        ("numpy_bridge", "numpy_returns_a_copy", "numpy_bridge/test_shared_memory.py", "numpy-shares-memory"),
        ("gradients", "backward_overwrites_the_grad", "autograd/test_gradient_accumulation.py", "grad-accumulates"),
        ("leaves", "every_write_is_under_no_grad", "autograd/test_inplace_on_leaf.py", "leaf-refuses-inplace"),
        ("graphs", "the_graph_is_always_retained", "autograd/test_freed_graph.py", "two-losses-share-a-trunk"),
    ],
)
def test_a_reversed_torch_turns_the_summary_to_the_right_story(module, name, path, slug):
    code = REVERSED.format(module=module, name=name, path=str(source.PACKAGE / path))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source.PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"\n{slug} no longer holds on" in done.stdout or f"\n{slug} no longer holds\n" in done.stdout
    assert "no longer hold as documented:" in done.stdout.replace("holds", "hold")
    assert f"\n  {slug}: " in done.stdout
