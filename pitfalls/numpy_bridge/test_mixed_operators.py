"""Arrays and tensors in one expression: which side decides, what torch's functions refuse, and what NumPy's return."""

import operator
import warnings

import numpy as np
import pytest
import torch

from pitfalls import pitfall


@pytest.fixture(autouse=True)
def quiet():
    """NumPy 2 warns that tensors take its results in an old way; that is for torch to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@pitfall(
    "torch-functions-refuse-arrays",
    docs=[("torch.add", "the tensor or number to"), "torch.cat", "torch.from_numpy"],
    symptom="TypeError: add(): argument 'other' (position 2) must be Tensor, not numpy.ndarray",
    error="must be Tensor, not numpy.ndarray",
    priority=1,
)
class TestTorchFunctionsRefuseArrays:
    """torch's functions, methods and layers take tensors; a NumPy array in place of one raises TypeError.

    Only making a tensor, operators and indexing deal with arrays. Convert where the data enters, with
    ``torch.from_numpy`` or ``torch.as_tensor``.
    """

    CALLS = [
        pytest.param(lambda x, a: torch.add(x, a), id="torch.add"),
        pytest.param(lambda x, a: x.mul(a), id="mul"),
        pytest.param(lambda _, a: torch.sin(a), id="torch.sin"),
        pytest.param(lambda _, a: torch.sum(a), id="torch.sum"),
        pytest.param(lambda _, a: torch.relu(a), id="torch.relu"),
        pytest.param(lambda x, a: torch.cat([x, a]), id="cat"),
        pytest.param(lambda _, a: torch.stack([a, a]), id="stack"),
        pytest.param(lambda x, a: torch.where(x > 1, x, a), id="where"),
        pytest.param(lambda x, a: torch.nn.functional.linear(a, x.view(1, 2)), id="linear"),
        pytest.param(lambda x, a: x.copy_(a), id="copy_"),
        pytest.param(lambda x, a: operator.setitem(x, slice(None), a), id="assignment"),
    ]

    @pytest.mark.parametrize("call", CALLS)
    def test_trap_an_array_is_refused(self, call):
        with pytest.raises(TypeError, match=r"numpy\.ndarray"):
            call(torch.ones(2), np.ones(2))

    @pytest.mark.parametrize("make", [torch.from_numpy, torch.as_tensor], ids=["from_numpy", "as_tensor"])
    def test_fix_convert_the_array(self, make):
        assert torch.add(torch.ones(2), make(np.ones(2))).tolist() == [2, 2]


@pitfall(
    "array-times-tensor-is-asymmetric",
    docs=[("torch.mul", "other (Tensor or Number)"), "torch.from_numpy"],
    symptom="TypeError: unsupported operand type(s) for *: 'numpy.ndarray' and 'Tensor', but tensor * array works",
    error="unsupported operand type(s) for *: 'numpy.ndarray' and 'Tensor'",
    priority=1,
)
class TestArrayTimesTensorIsAsymmetric:
    """``tensor * array`` is computed by NumPy and comes back as a tensor, float64 as a rule; ``array * tensor`` raises.

    No gradient survives the way through NumPy, so that a tensor that requires grad is refused, and so is one on a GPU.
    A NumPy scalar is taken as a number on either side. Make a tensor of the array first.
    """

    OPERATORS = [
        pytest.param(operator.sub, id="minus"),
        pytest.param(operator.mul, id="times"),
        pytest.param(operator.floordiv, id="floor division"),
        pytest.param(operator.pow, id="power"),
        pytest.param(operator.matmul, id="matrix product"),
    ]

    @pytest.mark.parametrize("op", OPERATORS)
    def test_trap_an_array_on_the_left_raises(self, op):
        with pytest.raises(TypeError, match="unsupported operand type"):
            op(np.array([3.0, 3.0]), torch.tensor([2.0, 2.0]))

    @pytest.mark.parametrize("op", OPERATORS)
    def test_trap_an_array_on_the_right_gives_float64(self, op):
        x = op(torch.tensor([2.0, 2.0]), np.array([3.0, 3.0]))
        assert x.dtype == torch.float64
        assert x.tolist() == op(np.array([2.0, 2.0]), np.array([3.0, 3.0])).tolist()

    @pytest.mark.parametrize("op", OPERATORS)
    def test_trap_a_tensor_that_requires_grad_is_refused(self, op):
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
            op(torch.ones(2, requires_grad=True), np.ones(2))

    @pytest.mark.parametrize("compare", [operator.lt, operator.ge], ids=["less", "greater or equal"])
    def test_trap_order_is_refused_on_both_sides(self, compare):
        with pytest.raises(TypeError, match="not supported between instances of"):
            compare(torch.ones(2), np.ones(2))

    @pytest.mark.parametrize("number", [np.float64(2), np.float32(2), np.int64(2)], ids=["float64", "float32", "int64"])
    def test_fix_numpy_scalars_are_numbers(self, number):
        w = torch.ones(2, requires_grad=True)
        assert (number * w).dtype == torch.float32
        assert (number * w).requires_grad

    def test_fix_make_a_tensor_of_it(self):
        w = torch.ones(2, requires_grad=True)
        y = torch.from_numpy(np.array([3.0, 3.0], np.float32)) * w
        assert y.requires_grad
        assert y.tolist() == [3, 3]


@pitfall(
    "augmented-array-rebinds-the-tensor",
    docs=[("torch.Tensor.add_", "In-place version of"), "torch.from_numpy"],
    symptom="x += array made x float64, and what shared memory with x did not change",
)
class TestAugmentedArrayRebindsTheTensor:
    """``x += array`` isn't in place: NumPy computes a new tensor, and the name ``x`` moves to it.

    The old tensor, its views and its dtype are left behind. ``x += torch.from_numpy(array)`` writes in place.
    """

    @pytest.mark.parametrize(
        "augment",
        [
            pytest.param(operator.iadd, id="+="),
            pytest.param(operator.isub, id="-="),
            pytest.param(operator.imul, id="*="),
        ],
    )
    def test_trap_the_name_moves_on(self, augment):
        x = torch.tensor([3.0, 3.0])
        y = augment(x, np.array([2.0, 2.0]))
        assert x.tolist() == [3, 3]
        assert y.dtype == torch.float64

    def test_fix_a_tensor_is_added_in_place(self):
        x = torch.tensor([3.0, 3.0])
        y = x
        x += torch.from_numpy(np.array([2.0, 2.0]))
        assert y.tolist() == [5, 5]
        assert y.dtype == torch.float32


@pitfall(
    "numpy-functions-on-tensors",
    docs=["torch.Tensor.numpy", "torch.isnan", "torch.sum"],
    symptom="np.sum(x) raises TypeError about axis; np.isnan(x) is uint8; np.sin(w) wants detach",
)
class TestNumpyFunctionsOnTensors:
    """Some NumPy functions give tensors of a tensor, some give arrays, some raise, and none keeps the gradient.

    Element-wise ones return a tensor, with bools as uint8; those that move elements return an array; reductions call
    the tensor's own method with NumPy's keywords and fail. Use torch's functions, or ``numpy()`` first.
    """

    def test_trap_element_wise_gives_a_tensor(self):
        x = np.sqrt(torch.tensor([4.0, 9.0]))
        assert type(x) is torch.Tensor
        assert x.tolist() == [2, 3]

    @pytest.mark.parametrize("ask", [np.isnan, np.isfinite, np.signbit], ids=lambda f: f.__name__)
    def test_trap_bools_become_uint8(self, ask):
        assert ask(torch.tensor([4.0, 9.0])).dtype == torch.uint8

    @pytest.mark.parametrize(
        "move",
        [
            pytest.param(np.sort, id="sort"),
            pytest.param(np.unique, id="unique"),
            pytest.param(lambda x: np.concatenate([x, x]), id="concatenate"),
            pytest.param(lambda x: np.stack([x, x]), id="stack"),
            pytest.param(lambda x: np.where(x > 5, x, 0), id="where"),
            pytest.param(np.ones_like, id="ones_like"),
        ],
    )
    def test_trap_others_give_an_array(self, move):
        assert type(move(torch.tensor([4.0, 9.0]))) is np.ndarray

    @pytest.mark.parametrize("reduction", [np.sum, np.mean, np.max, np.std, np.all], ids=lambda f: f.__name__)
    def test_trap_reductions_raise(self, reduction):
        with pytest.raises(TypeError, match=r"unexpected keyword|invalid combination|must be int, not NoneType"):
            reduction(torch.tensor([4.0, 9.0]))

    @pytest.mark.parametrize("function", [np.sqrt, np.sort, np.asarray, np.linalg.norm], ids=lambda f: f.__name__)
    def test_trap_requires_grad_is_refused(self, function):
        with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
            function(torch.ones(2, requires_grad=True))

    def test_fix_torch_functions_stay_tensors(self):
        x = torch.tensor([4.0, 9.0], requires_grad=True)
        assert torch.sum(torch.sqrt(x)).requires_grad
        assert torch.isnan(x).dtype == torch.bool

    def test_fix_go_to_numpy_first(self):
        assert np.sum(torch.tensor([4.0, 9.0]).numpy()) == 13
