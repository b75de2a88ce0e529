"""Subclasses of `torch.Tensor`: what operations on them return, and what gets lost on the way."""

import pytest
import torch

from pitfalls import observe, pitfall


class Metres(torch.Tensor):
    """A subclass that does nothing of its own."""


class Seconds(torch.Tensor):
    """Another one."""


@pitfall(
    "operations-keep-the-subclass",
    docs=[("torch.Tensor.__torch_function__", "return a subclass instance instead of"), "notes/extending"],
    symptom="the loss, or a slice, is still of my tensor class; every operation is slower than on a plain tensor",
)
class TestOperationsKeepTheSubclass:
    """An operation on a subclass of ``Tensor`` returns that subclass, whatever became of the meaning.

    It spreads: a plain tensor plus a ``Metres`` is ``Metres``, and so is a comparison. ``as_subclass(torch.Tensor)``
    takes the class off; ``torch._C.DisableTorchFunctionSubclass()`` keeps results plain within a block.
    """

    @pytest.mark.parametrize(
        "operation",
        [
            pytest.param(lambda x: x + 1, id="plus a number"),
            pytest.param(lambda x: 1 - x, id="from a number"),
            pytest.param(lambda x: torch.ones(2, device=x.device) * x, id="times a plain tensor"),
            pytest.param(lambda x: x > 0, id="comparison"),
            pytest.param(lambda x: x.sum(), id="sum"),
            pytest.param(lambda x: x[0], id="index"),
            pytest.param(lambda x: x.view(2, 1), id="view"),
            pytest.param(lambda x: x.to(torch.float64), id="to"),
            pytest.param(lambda x: x.detach(), id="detach"),
            pytest.param(lambda x: torch.cat([torch.ones(1, device=x.device), x]), id="cat"),
            pytest.param(lambda x: torch.zeros_like(x), id="zeros_like"),
            pytest.param(lambda x: torch.nn.functional.relu(x), id="relu"),
            pytest.param(lambda x: x.topk(1).values, id="topk"),
        ],
    )
    def test_trap_the_result_is_of_the_subclass(self, device, operation):
        length = torch.ones(2, device=device).as_subclass(Metres)
        assert type(operation(length)) is Metres

    def test_fix_take_the_class_off(self, device):
        length = torch.ones(2, device=device).as_subclass(Metres)
        assert type(length.as_subclass(torch.Tensor) + 1) is torch.Tensor

    def test_fix_disable_it_in_a_block(self, device):
        length = torch.ones(2, device=device).as_subclass(Metres)
        with torch._C.DisableTorchFunctionSubclass():
            result = length + 1
        assert type(result) is torch.Tensor


@pitfall(
    "results-of-a-subclass-have-no-attributes",
    docs=["torch.Tensor.__torch_function__", ("torch.Tensor.as_subclass", "same data pointer"), "notes/extending"],
    symptom="AttributeError on the result of an operation: my tensor class sets that attribute in __init__",
    error="object has no attribute",
)
class TestResultsOfASubclassHaveNoAttributes:
    """A result is of the subclass without ever having been through its ``__init__``: it has none of its attributes.

    The same is true of an attribute that was put on a plain tensor. Write ``__torch_function__``, let
    ``super().__torch_function__`` do the operation, and hand the attributes on.
    """

    def test_trap_init_is_not_called_for_a_result(self, device):
        class Length(torch.Tensor):
            def __init__(self, data):
                self.unit = "m"

        length = Length(torch.ones(2, device=device))
        assert length.unit == "m"
        with pytest.raises(AttributeError, match="object has no attribute 'unit'"):
            (length + 1).unit

    @pytest.mark.parametrize(
        "operation",
        [pytest.param(lambda x: x + 1, id="add"), pytest.param(lambda x: x.clone(), id="clone")],
    )
    def test_trap_nor_does_a_plain_tensor_keep_one(self, device, operation):
        x = torch.ones(2, device=device)
        x.unit = "m"
        assert not hasattr(operation(x), "unit")

    def test_trap_an_operation_that_has_nothing_to_do_keeps_it(self, device):
        length = torch.ones(2, device=device).as_subclass(Metres)
        length.unit = "m"
        assert length.contiguous().unit == "m"  # the same object

    def test_fix_hand_it_on(self, device):
        class Length(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                result = super().__torch_function__(func, types, args, kwargs)
                if isinstance(result, cls):
                    result.unit = next(arg.unit for arg in args if isinstance(arg, cls))
                return result

        length = torch.ones(2, device=device).as_subclass(Length)
        length.unit = "m"
        assert (1 + length).unit == "m"


@pitfall(
    "unrelated-subclasses-do-not-mix",
    docs=["notes/extending", "torch.Tensor.__torch_function__"],
    symptom="TypeError when I add tensors of two libraries",
    error="unsupported operand type(s) for +",
)
class TestUnrelatedSubclassesDoNotMix:
    """Two subclasses of ``Tensor`` neither of which descends from the other can't meet in one operation.

    Each leaves the decision to the other, and nobody takes it. With a plain tensor or a descendant it goes well, and
    the result is of the more derived class. Convert one of them with ``as_subclass``.
    """

    def test_trap_an_operator_raises(self, device):
        length = torch.ones(2, device=device).as_subclass(Metres)
        time = torch.ones(2, device=device).as_subclass(Seconds)
        with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'Metres' and 'Seconds'"):
            length + time

    @pytest.mark.parametrize("function", [torch.add, torch.mul, torch.dot], ids=["add", "mul", "dot"])
    def test_trap_a_function_raises(self, device, function):
        length = torch.ones(2, device=device).as_subclass(Metres)
        time = torch.ones(2, device=device).as_subclass(Seconds)
        with pytest.raises(TypeError, match=r"no implementation found|all __torch_function__ handlers returned"):
            function(length, time)

    def test_fix_convert_one(self, device):
        length = torch.ones(2, device=device).as_subclass(Metres)
        time = torch.ones(2, device=device).as_subclass(Seconds)
        assert type(length / time.as_subclass(torch.Tensor)) is Metres

    @pytest.mark.parametrize("first", [0, 1], ids=["parent first", "child first"])
    def test_fix_a_descendant_wins(self, device, first):
        class Miles(Metres):
            pass

        pair = [torch.ones(2, device=device).as_subclass(kind) for kind in (Metres, Miles)]
        assert type(pair[first] + pair[1 - first]) is Miles


@pitfall(
    "torch-function-calls-itself",
    docs=[("torch.Tensor.__torch_function__", "We recommend always calling"), "notes/extending"],
    symptom="RecursionError in my __torch_function__",
    error="maximum recursion depth exceeded",
)
class TestTorchFunctionCallsItself:
    """Within ``__torch_function__`` of a subclass ``func(*args)`` comes back to the same method, until Python gives up.

    ``super().__torch_function__(func, types, args, kwargs)`` runs the operation with the override switched off. To
    print an argument, or to read its shape, comes back as well.
    """

    def test_trap_calling_func_recurses(self, device):
        class Logged(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                return func(*args, **(kwargs or {}))

        x = torch.ones(2, device=device).as_subclass(Logged)
        with pytest.raises(RecursionError, match="maximum recursion depth exceeded"):
            x + 1

    def test_fix_call_super(self, device):
        class Logged(torch.Tensor):
            @classmethod
            def __torch_function__(cls, func, types, args=(), kwargs=None):
                calls.append(func.__name__)
                return super().__torch_function__(func, types, args, kwargs)

        calls = []
        x = torch.ones(2, device=device).as_subclass(Logged)
        assert (1 + x).tolist() == [2, 2]
        assert calls == ["add", "tolist"]


@pitfall(
    "as-subclass-stays-in-the-graph",
    docs=[("torch.Tensor.as_subclass", "stays attached to the autograd graph")],
    symptom="gradients do not reach the tensor that I wrapped in my class",
)
class TestAsSubclassStaysInTheGraph:
    """``as_subclass`` shares the memory of a tensor and stays in its graph; ``Tensor._make_subclass`` leaves the graph.

    Much code wraps with ``_make_subclass``, as ``nn.Parameter`` does, whose purpose is to be a new leaf.
    """

    def test_trap_make_subclass_leaves_the_graph(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        assert not torch.Tensor._make_subclass(Metres, x * 2).requires_grad

    @pytest.mark.parametrize(
        "wrap",
        [
            pytest.param(lambda x: x.as_subclass(Metres), id="as_subclass"),
            pytest.param(lambda x: torch.Tensor._make_subclass(Metres, x), id="_make_subclass"),
        ],
    )
    def test_trap_both_share_the_memory(self, device, wrap):
        x = torch.zeros(2, device=device)
        wrap(x).fill_(1)
        assert x.tolist() == [1, 1]

    def test_fix_as_subclass(self, device):
        x = torch.ones(2, device=device, requires_grad=True)
        (x * 2).as_subclass(Metres).sum().backward()
        assert x.grad.tolist() == [2, 2]

    def test_fix_the_gradient_of_a_subclass(self, device):
        length = torch.ones(2, device=device).as_subclass(Metres).requires_grad_()
        length.sum().backward()
        assert length.grad.tolist() == [1, 1]
        observe(class_of_the_gradient=type(length.grad).__name__)
