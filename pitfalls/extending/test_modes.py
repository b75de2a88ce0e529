"""Modes: `TorchFunctionMode` and `TorchDispatchMode` see the calls of a block, each on its own level."""

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pitfalls import pitfall


class Functions(TorchFunctionMode):
    """Notes the functions of torch that are called."""

    def __init__(self, calls, name=""):
        super().__init__()
        self.calls, self.name = calls, name

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls.append(self.name + func.__name__)
        return func(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    """Notes the operators that reach a kernel, with their arguments."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((str(func), len(args), sorted(kwargs or {})))
        return func(*args, **(kwargs or {}))


@pitfall(
    "dispatch-sees-below-autograd",
    docs=["notes/extending", "torch.utils._python_dispatch.TorchDispatchMode"],
    symptom="in __torch_dispatch__ results require no grad, and functions that I look for never come",
)
class TestDispatchSeesBelowAutograd:
    """``__torch_dispatch__`` sees operators below autograd, after composite functions were taken apart.

    There a result has no history yet, ``backward`` shows up as its operators, and ``torch.reshape`` or
    ``F.linear`` as what they consist of. ``__torch_function__`` sees the calls as they were written.
    """

    CALLS = [
        pytest.param(lambda x: x.reshape(4), ["reshape"], ["aten.view.default"], id="reshape"),
        pytest.param(lambda x: x.square(), ["square"], ["aten.pow.Tensor_Scalar"], id="square"),
        pytest.param(lambda x: x.matmul(x), ["matmul"], ["aten.mm.default"], id="matmul"),
        pytest.param(lambda x: x.narrow(0, 0, 1), ["narrow"], ["aten.slice.Tensor"], id="narrow"),
        pytest.param(lambda x: x.shape, ["__get__"], [], id="shape"),
    ]

    @pytest.mark.parametrize(("call", "functions", "operators"), CALLS)
    def test_trap_dispatch_sees_the_parts(self, device, call, functions, operators):
        x = torch.ones(2, 2, device=device)
        seen = []
        with Operators(seen):
            call(x)
        assert [name for name, _, _ in seen] == operators

    @pytest.mark.parametrize(("call", "functions", "operators"), CALLS)
    def test_fix_function_sees_the_call(self, device, call, functions, operators):
        x = torch.ones(2, 2, device=device)
        seen = []
        with Functions(seen):
            call(x)
        assert seen == functions

    def test_trap_the_result_has_no_history_yet(self, device):
        class Results(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                result = func(*args, **(kwargs or {}))
                seen.append(result.requires_grad)
                return result

        x = torch.ones(2, device=device, requires_grad=True)
        seen = []
        with Results():
            y = x * 2
        assert seen == [False]
        assert y.requires_grad

    def test_trap_backward_shows_up(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        y = x.cos().sum()
        seen = []
        with Operators(seen):
            y.backward()
        assert "aten.sin.default" in [name for name, _, _ in seen]


@pitfall(
    "dispatch-leaves-defaults-out",
    docs=["notes/extending"],
    symptom="__torch_dispatch__ gets another number of arguments than the schema of the operator has",
    priority=3,
)
class TestDispatchLeavesDefaultsOut:
    """``__torch_dispatch__`` gets no argument that equals its default, even if the caller spelled it.

    ``torch.add(x, y, alpha=1)`` arrives without ``alpha``. Take arguments by name with their defaults from the schema.
    """

    @pytest.mark.parametrize(
        ("call", "arrives"),
        [
            pytest.param(lambda x: torch.add(x, x, alpha=1), ("aten.add.Tensor", 2, []), id="alpha=1"),
            pytest.param(lambda x: torch.sum(x, 0, keepdim=False), ("aten.sum.dim_IntList", 2, []), id="keepdim=False"),
        ],
    )
    def test_trap_a_spelled_default_is_gone(self, device, call, arrives):
        x = torch.ones(2, device=device)
        seen = []
        with Operators(seen):
            call(x)
        assert seen == [arrives]

    @pytest.mark.parametrize(
        ("call", "arrives"),
        [
            pytest.param(lambda x: torch.add(x, x, alpha=2), ("aten.add.Tensor", 2, ["alpha"]), id="alpha=2"),
            pytest.param(lambda x: torch.sum(x, 0, keepdim=True), ("aten.sum.dim_IntList", 3, []), id="keepdim=True"),
        ],
    )
    def test_fix_another_value_arrives(self, device, call, arrives):
        x = torch.ones(2, device=device)
        seen = []
        with Operators(seen):
            call(x)
        assert seen == [arrives]


@pitfall(
    "innermost-mode-comes-first",
    docs=[
        ("torch.overrides.TorchFunctionMode", "forward on to the next mode"),
        "notes/extending",
    ],
    symptom="my mode does not see the calls that another mode, or a tensor subclass, makes or answers",
    priority=3,
)
class TestInnermostModeComesFirst:
    """Of nested modes the innermost is asked first, then the outer ones, then the classes of the arguments.

    Each sees what the one before calls, and none sees what it calls itself. A mode sees factories too, which have no
    tensor among their arguments.
    """

    def test_trap_the_inner_mode_is_asked_first(self, device):
        seen = []
        with Functions(seen, "outer "), Functions(seen, "inner "):
            torch.zeros(2, device=device)
        assert seen == ["inner zeros", "outer zeros"]

    def test_trap_a_subclass_is_asked_last(self, device):
        class Logged(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                seen.append("class " + func.__name__)
                return super().__torch_function__(func, types, args, kwargs)

        x = torch.ones(2, device=device).as_subclass(Logged)
        seen = []
        with Functions(seen, "mode "):
            x.exp()
        assert seen == ["mode exp", "class exp"]

    def test_fix_it_is_off_within_itself(self, device):
        class Doubling(TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                result = func(*args, **(kwargs or {}))
                return result * 2 if func.__name__ == "ones" else result

        with Doubling():
            x = torch.ones(2, device=device)
        assert x.tolist() == [2, 2]
