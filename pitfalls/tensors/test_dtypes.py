"""Dtypes: the default one, where another comes from, what in-place writes keep, and the legacy class torch.Tensor."""

import operator

import numpy as np
import pytest
import torch

from pitfalls import on, pitfall


@pytest.fixture
def default_float64():
    """float64 as the default dtype, put back afterwards."""
    was = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(was)


FACTORIES = [
    pytest.param(lambda d: torch.ones(3, 2, device=d), id="ones"),
    pytest.param(lambda d: torch.zeros(2, device=d), id="zeros"),
    pytest.param(lambda d: torch.empty(2, device=d), id="empty"),
    pytest.param(lambda d: torch.eye(2, device=d), id="eye"),
    pytest.param(lambda d: torch.linspace(0, 1, 2, device=d), id="linspace"),
    pytest.param(lambda d: torch.full((2,), 0.5, device=d), id="full with a float"),
    pytest.param(lambda d: torch.arange(3.0, device=d), id="arange of a float"),
    pytest.param(lambda d: torch.tensor([0.5], device=d), id="tensor of floats"),
    pytest.param(lambda d: torch.rand(2, device=d), id="rand"),
    pytest.param(lambda d: torch.tensor([1], device=d) * 0.5, id="integers times a float"),
    pytest.param(lambda d: torch.tensor([1], device=d) / 2, id="integers divided"),
]


@pitfall(
    "default-dtype-is-float32",
    docs=[("torch.get_default_dtype", "floating point"), ("torch.set_default_dtype", "is torch.float32")],
    symptom="torch.tensor(0.1).item() is 0.10000000149011612; results differ from NumPy in the eighth digit",
    priority=1,
)
class TestDefaultDtypeIsFloat32:
    """Floats in torch are float32 unless you say otherwise; Python's and NumPy's are float64.

    Factories and Python floats round to about seven digits on the way in, and ``item()`` shows the rounded number in
    full. Pass ``dtype=torch.float64`` where the digits matter.
    """

    @pytest.mark.parametrize("make", FACTORIES)
    def test_trap_float32_without_asking(self, device, seeded, make):
        assert make(device).dtype == torch.float32

    def test_trap_a_python_float_is_rounded(self, device):
        x = torch.tensor(0.1, device=device)
        assert x.item() != 0.1
        # Not even integers survive above 2**24.
        assert torch.full((1,), 2.0**24 + 1, device=device).item() == 2**24

    @pytest.mark.parametrize("number", [0.1, 2.0**24 + 1], ids=str)
    def test_fix_ask_for_float64(self, device, number):
        assert torch.tensor(number, dtype=torch.float64, device=device).item() == number


@pitfall(
    "set-default-dtype-scope",
    docs=[("torch.set_default_dtype", "Sets the default floating point dtype"), "tensor_attributes"],
    symptom="TypeError: only floating-point types are supported as the default type",
    error="only floating-point types are supported as the default type",
)
class TestSetDefaultDtypeScope:
    """``torch.set_default_dtype`` accepts float dtypes only, and changes what floats become, nothing else.

    Integers stay int64, NumPy arrays keep their dtype, existing tensors and modules stay as they are, complex numbers
    follow at twice the width. It is global to the process: put it back, or pass ``dtype=`` instead.
    """

    @pytest.mark.parametrize("make", FACTORIES)
    def test_trap_all_new_floats_follow(self, device, seeded, default_float64, make):
        assert make(device).dtype == torch.float64

    def test_trap_complex_numbers_follow(self, device, default_float64):
        assert torch.tensor([1j], device=device).dtype == torch.complex128

    @pytest.mark.parametrize(
        ("make", "dtype"),
        [
            pytest.param(lambda d: torch.tensor([1, 2], device=d), torch.int64, id="tensor of integers"),
            pytest.param(lambda d: torch.tensor([True], device=d), torch.bool, id="tensor of booleans"),
            pytest.param(lambda d: torch.arange(3, device=d), torch.int64, id="arange of integers"),
            pytest.param(lambda d: torch.full((2,), 1, device=d), torch.int64, id="full with an integer"),
            pytest.param(lambda d: torch.tensor(np.ones(2, np.float32), device=d), torch.float32, id="ndarray"),
        ],
    )
    def test_trap_what_is_no_python_float_does_not_follow(self, device, default_float64, make, dtype):
        assert make(device).dtype == dtype

    @pytest.mark.parametrize(
        "dtype",
        [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.complex64, torch.complex128],
        ids=str,
    )
    def test_trap_only_floats_can_be_the_default(self, dtype):
        with pytest.raises(TypeError, match="only floating-point types are supported as the default type"):
            torch.set_default_dtype(dtype)

    def test_fix_dtype_wins_over_the_default(self, device, default_float64):
        assert torch.ones(2, dtype=torch.float32, device=device).dtype == torch.float32


@pitfall(
    "factory-dtype-follows-its-arguments",
    docs=[("torch.full", "dtype is inferred from"), "torch.arange", "torch.zeros_like"],
    symptom="torch.full((2,), 1) or torch.arange(3) is int64, and the fractions that I store in it disappear",
    priority=1,
)
class TestFactoryDtypeFollowsItsArguments:
    """``full``, ``arange`` and the ``*_like`` family take their dtype from their arguments, not from the default.

    An integer argument makes an integer tensor, and a float that is stored in it later loses its fraction without a
    word. ``zeros`` and ``ones`` always give floats. Say ``dtype=`` when you mean floats.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda d: torch.full((2,), 1, device=d), id="full"),
            pytest.param(lambda d: torch.full_like(torch.tensor([1, 2], device=d), 1), id="full_like"),
            pytest.param(lambda d: torch.arange(2, device=d), id="arange"),
            pytest.param(lambda d: torch.zeros_like(torch.tensor([1, 2], device=d)), id="zeros_like"),
            pytest.param(lambda d: torch.ones_like(torch.tensor([1, 2], device=d)), id="ones_like"),
            pytest.param(lambda d: torch.empty_like(torch.tensor([1, 2], device=d)), id="empty_like"),
            pytest.param(lambda d: torch.tensor([1, 2], device=d).new_zeros(2), id="new_zeros"),
        ],
    )
    def test_trap_integers_in_integers_out(self, device, make):
        x = make(device)
        assert x.dtype == torch.int64
        x[0] = 2.75
        assert x[0].item() == 2

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda d: torch.full((2,), 1.0, device=d), id="full with a float"),
            pytest.param(lambda d: torch.full((2,), 1, dtype=torch.float32, device=d), id="full with dtype"),
            pytest.param(lambda d: torch.arange(2, dtype=torch.float32, device=d), id="arange with dtype"),
            pytest.param(lambda d: torch.zeros_like(torch.tensor([1, 2], device=d), dtype=torch.float32),
                         id="zeros_like with dtype"),
        ],
    )  # fmt: skip
    def test_fix_say_that_it_is_a_float(self, device, make):
        x = make(device)
        x[0] = 2.75
        assert x[0].item() == 2.75


@pitfall(
    "tensor-class-is-not-torch-tensor",
    docs=["tensors", "torch.tensor"],
    symptom="torch.Tensor(3) shows garbage instead of 3; torch.Tensor([1, 2]) is float32",
    priority=1,
)
class TestTensorClassIsNotTorchTensor:
    """``torch.Tensor`` is a legacy constructor: an integer is a size, every list becomes float32, a tensor is aliased.

    ``torch.tensor`` reads its argument as data, keeps integers exact, copies, and takes a dtype and any device. Nothing
    new should call the class.
    """

    def test_trap_an_integer_is_a_size(self):
        assert torch.Tensor(3).shape == (3,)
        assert torch.Tensor(2, 3).shape == (2, 3)

    @pytest.mark.parametrize("data", [[1, 2], [True, False], np.array([1, 2])], ids=["integers", "booleans", "ndarray"])
    def test_trap_everything_becomes_float32(self, data):
        assert torch.Tensor(data).dtype == torch.float32

    def test_trap_large_integers_are_rounded(self):
        assert torch.Tensor([2**24 + 1]).tolist() == [2**24]

    def test_trap_a_tensor_is_aliased(self):
        x = torch.zeros(2)
        torch.Tensor(x)[0] = 1
        assert x.tolist() == [1, 0]

    def test_trap_it_takes_no_dtype(self):
        with pytest.raises(TypeError, match="invalid combination of arguments"):
            torch.Tensor([1, 2], dtype=torch.int64)

    @on("cuda")
    def test_trap_it_makes_cpu_tensors_only(self, device):
        with pytest.raises(RuntimeError, match="legacy constructor expects device type: cpu"):
            torch.Tensor([1, 2], device=device)

    def test_fix_an_integer_is_a_value(self, device):
        assert torch.tensor(3, device=device).item() == 3

    @pytest.mark.parametrize("data", [[1, 2], [2**24 + 1], [True, False]], ids=str)
    def test_fix_data_keeps_its_values_and_kind(self, device, data):
        x = torch.tensor(data, device=device)
        assert x.tolist() == data
        assert not x.is_floating_point()


@pitfall(
    "inplace-keeps-the-dtype",
    docs=["tensor_attributes#torch-dtype", ("torch.Tensor.copy_", "may be of a different data type")],
    symptom="RuntimeError: result type Float can't be cast to the desired output type Long",
    error="can't be cast to the desired output type",
    priority=1,
)
class TestInplaceKeepsTheDtype:
    """An in-place result keeps the dtype of its target; a result of a higher kind is refused.

    Kinds rise from bool to integer to float to complex. Within a kind the result is narrowed without a word, and
    assignment (``x[0] = 2.9``, ``copy_``, ``fill_``) casts even from float to integer. Rebind to let the dtype rise.
    """

    @pytest.mark.parametrize(
        ("target", "write"),
        [
            pytest.param([1, 2], lambda x: x.add_(0.5), id="integers add_ float"),
            pytest.param(
                [1, 2], lambda x: x.mul_(torch.tensor([0.5, 0.5], device=x.device)), id="integers mul_ floats"
            ),
            pytest.param([1, 2], lambda x: x.div_(2), id="integers div_"),
            pytest.param([1, 2], lambda x: operator.itruediv(x, 2), id="integers div="),
            pytest.param([1, 2], lambda x: x.sqrt_(), id="integers sqrt_"),
            pytest.param([1, 2], lambda x: x.exp_(), id="integers exp_"),
            pytest.param([1, 2], lambda x: x.sigmoid_(), id="integers sigmoid_"),
            pytest.param([True, False], lambda x: x.add_(1), id="booleans add_ integer"),
            pytest.param([1.0, 2.0], lambda x: x.add_(1j), id="floats add_ complex"),
        ],
    )
    def test_trap_a_higher_kind_is_refused(self, device, target, write):
        x = torch.tensor(target, device=device)
        with pytest.raises(RuntimeError, match=r"result type .* can't be cast to the desired output type"):
            write(x)

    def test_trap_within_a_kind_it_is_narrowed(self, device):
        x = torch.tensor([1.0], device=device)
        x += torch.tensor([2.0**-40], dtype=torch.float64, device=device)
        assert x.dtype == torch.float32
        assert x.tolist() == [1]

    def test_trap_narrow_integers_wrap(self, device):
        x = torch.tensor([200], dtype=torch.uint8, device=device)
        x += torch.tensor([100], device=device)
        assert x.tolist() == [44]

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x: operator.setitem(x, 0, 2.9), id="setitem"),
            pytest.param(
                lambda x: operator.setitem(x, 0, torch.tensor(2.9, device=x.device)), id="setitem of a tensor"
            ),
            pytest.param(lambda x: x.fill_(2.9), id="fill_"),
            pytest.param(lambda x: x.copy_(torch.tensor([2.9], device=x.device)), id="copy_"),
        ],
    )
    def test_trap_assignment_truncates(self, device, write):
        x = torch.tensor([1], device=device)
        write(x)
        assert x.tolist() == [2]

    @pytest.mark.parametrize(
        "new",
        [pytest.param(lambda x: x + 0.5, id="rebind"), pytest.param(lambda x: x.float().add_(0.5), id="convert first")],
    )
    def test_fix_rebind_or_convert_first(self, device, new):
        assert new(torch.tensor([1, 2], device=device)).tolist() == [1.5, 2.5]
