"""Types of one's own in calls of torch: `__torch_function__` on classes that are no tensors."""

import pytest
import torch
from torch.overrides import handle_torch_function, has_torch_function

from pitfalls import pitfall


class Scalar:
    """A number that can be given to torch.mean, and to nothing else."""

    def __init__(self, value):
        self.value = value

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func.__name__ == "mean":
            return args[0].value
        return NotImplemented


@pitfall(
    "torch-refuses-foreign-types",
    docs=["notes/extending", "torch.overrides"],
    symptom="torch.mean(my_object) raises: must be Tensor",
    error="must be Tensor, not",
)
class TestTorchRefusesForeignTypes:
    """Functions of torch take no objects but tensors, unless the class of the object has ``__torch_function__``.

    With that method the call is handed to the class, which answers it or returns ``NotImplemented``. Constructors such
    as ``torch.tensor`` never ask it, and to ``torch.is_tensor`` it is no tensor.
    """

    def test_trap_a_class_without_the_method(self):
        class Plain:
            pass

        with pytest.raises(TypeError, match="must be Tensor, not Plain"):
            torch.mean(Plain())

    def test_fix_the_method_answers(self):
        assert torch.mean(Scalar(3)) == 3

    def test_trap_constructors_do_not_ask(self):
        with pytest.raises(RuntimeError, match="Could not infer dtype of Scalar"):
            torch.tensor(Scalar(3))

    def test_trap_the_call_must_fit_the_signature_of_torch(self):
        with pytest.raises(TypeError, match=r"mean\(\) received an invalid combination of arguments"):
            torch.mean(Scalar(3), weight=2)


@pitfall(
    "nobody-implements-it",
    docs=["notes/extending", "torch.overrides"],
    symptom="TypeError: no implementation found, or: all __torch_function__ handlers returned NotImplemented",
    error="no implementation found for",
)
class TestNobodyImplementsIt:
    """If every ``__torch_function__`` that was asked returns ``NotImplemented``, the call raises ``TypeError``.

    Among the arguments of one call a subclass is asked before its parent, and else the left before the right. A list of
    tensors counts as well: ``torch.cat`` asks its elements.
    """

    @pytest.mark.parametrize(
        "call",
        [
            pytest.param(lambda x: torch.add(x, 1), id="add"),
            pytest.param(lambda x: torch.sum(x), id="sum"),
            pytest.param(lambda x: torch.cat([torch.ones(1), x]), id="cat"),
            pytest.param(lambda x: torch.nn.functional.relu(x), id="relu"),
        ],
    )
    def test_trap_it_raises(self, call):
        with pytest.raises(TypeError, match=r"no implementation found|all __torch_function__ handlers returned"):
            call(Scalar(3))

    def test_trap_an_operator_says_something_else(self, device):
        with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'Tensor' and 'Scalar'"):
            torch.ones(1, device=device) + Scalar(3)

    @pytest.mark.parametrize("swap", [False, True], ids=["parent first", "child first"])
    def test_fix_a_subclass_is_asked_before_its_parent(self, swap):
        class Parent:
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return cls.__name__

        class Child(Parent):
            pass

        pair = (Child(), Parent()) if swap else (Parent(), Child())
        assert torch.add(*pair) == "Child"

    @pytest.mark.parametrize("swap", [False, True], ids=["left first", "right first"])
    def test_fix_else_the_left_is_asked_first(self, swap):
        class Left:
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return cls.__name__

        class Right:
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return cls.__name__

        pair = (Right(), Left()) if swap else (Left(), Right())
        assert torch.add(*pair) == type(pair[0]).__name__


@pitfall(
    "own-function-must-ask-for-overrides",
    docs=[
        ("torch.overrides.has_torch_function", "Considers exact"),
        "torch.overrides.handle_torch_function",
        "notes/extending",
    ],
    symptom="my own function that calls torch fails for a type that torch itself accepts",
    priority=3,
)
class TestOwnFunctionMustAskForOverrides:
    """A function of one's own is overridable only if it asks: ``has_torch_function`` and ``handle_torch_function``.

    Else the type is asked for each torch function inside. Plain tensors and parameters don't count as overriding, and a
    subclass without a ``__torch_function__`` of its own gets the plain function.
    """

    def test_trap_without_asking_the_parts_are_overridden(self):
        def span(x):
            return torch.max(x) - torch.min(x)

        with pytest.raises(TypeError, match=r"all __torch_function__ handlers returned|no implementation found"):
            span(Scalar(3))

    def test_fix_ask_first(self, device):
        def span(x):
            if has_torch_function((x,)):
                return handle_torch_function(span, (x,), x)
            return torch.max(x) - torch.min(x)

        class Constant(Scalar):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return 0 if func is span else NotImplemented

        assert span(Constant(3)) == 0
        assert span(torch.tensor([1, 5], device=device)).item() == 4
