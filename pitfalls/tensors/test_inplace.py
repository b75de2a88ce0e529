"""In-place operations: what the trailing underscore changes, what it refuses, and who else sees the change."""

import operator

import pytest
import torch

from pitfalls import pitfall

ELEMENTWISE = {
    "add": (10,),
    "sub": (1,),
    "mul": (2,),
    "div": (2,),
    "pow": (2,),
    "fmod": (3,),
    "remainder": (3,),
    "floor_divide": (2,),
    "neg": (),
    "abs": (),
    "sqrt": (),
    "square": (),
    "exp": (),
    "log": (),
    "sin": (),
    "tanh": (),
    "sigmoid": (),
    "relu": (),
    "reciprocal": (),
    "floor": (),
    "ceil": (),
    "round": (),
    "trunc": (),
    "clamp": (2, 5),
    "eq": (4,),
    "lt": (4,),
    "logical_not": (),
    "cumsum": (0,),
    "masked_fill": (torch.tensor([[True, False], [False, True]]), 7),
    "index_add": (0, torch.tensor([0]), torch.tensor([[10.5, 20.5]])),
}


@pytest.fixture(params=ELEMENTWISE, ids=str)
def op(request, device):
    """The name of an operation that has an in-place version, and its arguments on the device."""
    return request.param, [
        arg.to(device) if isinstance(arg, torch.Tensor) else arg for arg in ELEMENTWISE[request.param]
    ]


@pitfall(
    "underscore-mutates-and-returns-self",
    docs=["tensors", ("torch.Tensor.add_", "In-place version of"), "torch.Tensor.copy_"],
    symptom="x.add(1) does nothing; or a tensor changes although I only computed y = x.add_(1)",
    priority=1,
)
class TestUnderscoreMutatesAndReturnsSelf:
    """A method that ends in an underscore changes its tensor and returns that very tensor; without it, a new one.

    ``x.add(1)`` alone on a line computes a result and drops it. ``y = x.add_(1)`` makes ``y`` a second name of ``x``,
    and the old values are gone. Write ``x = x.add(1)``, or ``x.clone().add_(1)``.
    """

    def test_trap_the_underscore_returns_the_same_object(self, device, op):
        name, args = op
        x = torch.tensor([[1.5, 4.0], [9.0, 2.5]], device=device)
        assert getattr(x, f"{name}_")(*args) is x

    def test_trap_the_underscore_writes_the_result_into_x(self, device, op):
        name, args = op
        x = torch.tensor([[1.5, 4.0], [9.0, 2.5]], device=device)
        alias = x.view(4)  # shares the memory of x
        expected = getattr(x, name)(*args).to(x.dtype)
        getattr(x, f"{name}_")(*args)
        assert alias.tolist() == expected.view(4).tolist()

    def test_trap_without_it_x_stays_as_it_is(self, device, op):
        name, args = op
        x = torch.tensor([[1.5, 4.0], [9.0, 2.5]], device=device)
        getattr(x, name)(*args)
        assert x.tolist() == [[1.5, 4.0], [9.0, 2.5]]

    @pytest.mark.parametrize(
        ("write", "result"),
        [
            pytest.param(lambda x: x.fill_(7), [7, 7], id="fill_"),
            pytest.param(lambda x: x.zero_(), [0, 0], id="zero_"),
            pytest.param(lambda x: x.copy_(torch.tensor([8.0, 9.0])), [8, 9], id="copy_"),
            pytest.param(lambda x: torch.nn.init.ones_(x), [1, 1], id="nn.init.ones_"),
            pytest.param(lambda x: torch.relu_(x), [0, 2], id="torch.relu_"),
        ],
    )
    def test_trap_those_without_a_twin_do_so_too(self, device, write, result):
        x = torch.tensor([-1.0, 2.0], device=device)
        assert write(x) is x
        assert x.tolist() == result

    def test_fix_clone_first(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        y = x.clone().add_(10)
        assert x.tolist() == [1, 2]
        assert y.tolist() == [11, 12]


@pitfall(
    "inplace-never-broadcasts-its-target",
    docs=["notes/broadcasting#in-place-semantics", "torch.Tensor.add_", "torch.Tensor.copy_"],
    symptom="RuntimeError: output with shape [3] doesn't match the broadcast shape [2, 3]",
    error="doesn't match the broadcast shape",
    priority=1,
)
class TestInplaceNeverBroadcastsItsTarget:
    """An in-place operation broadcasts its other operands to its target; the target itself keeps its shape.

    A tensor can't grow where it stands, so if the common shape is larger, torch raises, where the same expression
    without the underscore works. Rebind (``x = x + y``), or reduce the other operand first.
    """

    @pytest.mark.parametrize(
        ("target", "other"),
        [((3,), (2, 3)), ((), (3,)), ((1, 3), (3, 1)), ((3,), (3, 1)), ((2, 1), (2, 3)), ((3,), (1, 3)), ((1,), (0,))],
        ids=str,
    )
    def test_trap_the_target_keeps_its_shape(self, device, target, other):
        x, y = torch.ones(target, device=device), torch.ones(other, device=device)
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            x.add_(y)

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, y: x.sub_(y), id="sub_"),
            pytest.param(lambda x, y: x.mul_(y), id="mul_"),
            pytest.param(lambda x, y: x.div_(y), id="div_"),
            pytest.param(lambda x, y: x.pow_(y), id="pow_"),
            pytest.param(lambda x, y: x.eq_(y), id="eq_"),
            pytest.param(lambda x, y: x.clamp_(min=y), id="clamp_"),
            pytest.param(lambda x, y: x.lerp_(y, 0.5), id="lerp_"),
            pytest.param(lambda x, y: x.addcmul_(y, y), id="addcmul_"),
            pytest.param(lambda x, y: x.copy_(y), id="copy_"),
            pytest.param(operator.iadd, id="+="),
            pytest.param(operator.isub, id="-="),
            pytest.param(operator.imul, id="*="),
            pytest.param(operator.itruediv, id="div="),
        ],
    )
    def test_trap_no_operation_is_an_exception(self, device, write):
        with pytest.raises(RuntimeError, match=r"output with shape \[3\] doesn't match the broadcast shape \[2, 3\]"):
            write(torch.ones(3, device=device), torch.ones(2, 3, device=device))

    @pytest.mark.parametrize("other", [(3,), (1, 3), (2, 1), (), (1, 1)], ids=str)
    def test_fix_the_smaller_goes_into_the_larger(self, device, other):
        x = torch.ones(2, 3, device=device)
        x.add_(torch.ones(other, device=device))
        assert x.tolist() == [[2, 2, 2], [2, 2, 2]]

    def test_fix_rebind_to_let_it_grow(self, device):
        x = torch.ones(3, device=device)
        x = x + torch.ones(2, 3, device=device)
        assert x.tolist() == [[2, 2, 2], [2, 2, 2]]


@pitfall(
    "augmented-assignment-is-in-place",
    docs=["tensor_attributes#torch-dtype", "torch.Tensor.add_", "notes/broadcasting#in-place-semantics"],
    symptom="x += 1 inside a function changes the tensor of the caller",
    priority=1,
)
class TestAugmentedAssignmentIsInPlace:
    """``x += y`` writes into the tensor and everything that shares it; ``x = x + y`` makes a new one.

    Python lets ``+=`` mean either. For a float it rebinds the name; a tensor is changed where it stands, so a function
    that does it changes its argument, and views and aliases see it. ``@=`` is the exception and rebinds.
    """

    @pytest.mark.parametrize(
        ("assign", "result"),
        [
            pytest.param(operator.iadd, [6, 10], id="+="),
            pytest.param(operator.isub, [2, 6], id="-="),
            pytest.param(operator.imul, [8, 16], id="*="),
            pytest.param(operator.ifloordiv, [2, 4], id="floordiv="),
            pytest.param(operator.imod, [0, 0], id="mod="),
            pytest.param(operator.ipow, [16, 64], id="pow="),
            pytest.param(operator.iand, [0, 0], id="and="),
            pytest.param(operator.ior, [6, 10], id="or="),
            pytest.param(operator.ixor, [6, 10], id="xor="),
            pytest.param(operator.ilshift, [16, 32], id="lshift="),
            pytest.param(operator.irshift, [1, 2], id="rshift="),
        ],
    )
    def test_trap_the_alias_sees_it(self, device, assign, result):
        x = torch.tensor([4, 8], device=device)
        alias = x
        x = assign(x, 2)  # what `x += 2` does
        assert x is alias
        assert alias.tolist() == result

    def test_trap_a_function_changes_its_argument(self, device):
        def normalised(x):
            x -= 2
            x /= 4
            return x

        data = torch.tensor([4.0, 8.0], device=device)
        normalised(data)
        assert data.tolist() == [0.5, 1.5]

    def test_trap_a_slice_writes_through(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        row = x[0]
        row += 10
        assert x.tolist() == [[11, 12], [3, 4]]

    def test_trap_matmul_rebinds(self, device):
        x = torch.tensor([[0.0, 2.0], [1.0, 0.0]], device=device)
        alias = x
        x @= x
        assert x.tolist() == [[2, 0], [0, 2]]
        assert alias.tolist() == [[0, 2], [1, 0]]

    @pytest.mark.parametrize(
        "new", [operator.add, torch.add, torch.Tensor.add], ids=["x = x + y", "x = torch.add", "x = x.add"]
    )
    def test_fix_rebinding_leaves_the_alias_alone(self, device, new):
        x = torch.tensor([4, 8], device=device)
        alias = x
        x = new(x, 2)
        assert x.tolist() == [6, 10]
        assert alias.tolist() == [4, 8]


@pitfall(
    "expanded-tensor-shares-elements",
    docs=[("torch.Tensor.expand", "may refer to a single memory location"), "torch.broadcast_tensors"],
    symptom="writing one element of an expanded tensor changes a whole row",
    error="more than one element of the written-to tensor refers to a single memory location",
)
class TestExpandedTensorSharesElements:
    """The copies that ``expand`` shows are one element in memory: writing one writes them all, or is refused.

    In-place arithmetic raises, item assignment goes through. The same holds for ``broadcast_to``,
    ``broadcast_tensors`` and ``expand_as``. ``clone()`` before writing, or ``repeat`` instead of ``expand``.
    """

    EXPANDERS = [
        pytest.param(lambda x: x.expand(2, 3), id="expand"),
        pytest.param(lambda x: x.expand_as(torch.zeros(2, 3, device=x.device)), id="expand_as"),
        pytest.param(lambda x: torch.broadcast_to(x, (2, 3)), id="broadcast_to"),
        pytest.param(lambda x: torch.broadcast_tensors(x, torch.zeros(2, 3, device=x.device))[0],
                     id="broadcast_tensors"),
    ]  # fmt: skip

    @pytest.mark.parametrize("expand", EXPANDERS)
    def test_trap_arithmetic_is_refused(self, device, expand):
        x = torch.tensor([[1.0], [2.0]], device=device)
        with pytest.raises(RuntimeError, match="more than one element of the written-to tensor refers to a single"):
            expand(x).add_(1)

    @pytest.mark.parametrize("expand", EXPANDERS)
    def test_trap_one_item_writes_the_row(self, device, expand):
        x = torch.tensor([[1], [2]], device=device)
        wide = expand(x)
        wide[0, 0] = 100
        assert wide.tolist() == [[100, 100, 100], [2, 2, 2]]
        assert x.tolist() == [[100], [2]]

    @pytest.mark.parametrize(
        "copy",
        [
            pytest.param(lambda x: x.expand(2, 3).clone(), id="clone"),
            pytest.param(lambda x: x.repeat(1, 3), id="repeat"),
        ],
    )
    def test_fix_copy_before_writing(self, device, copy):
        wide = copy(torch.tensor([[1], [2]], device=device))
        wide[0, 0] = 100
        assert wide.add_(1).tolist() == [[101, 2, 2], [3, 3, 3]]
