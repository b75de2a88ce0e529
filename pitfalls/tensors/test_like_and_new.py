"""The ``*_like`` and ``new_*`` families: they take the dtype over, but no ``requires_grad``; and random fills."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pytest.fixture
def default_float64():
    """float64 as the default dtype, put back afterwards."""
    was = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(was)


@pitfall(
    "like-casts-its-fill-value",
    docs=[("torch.full_like", "Returns a tensor with the same size as"), "torch.Tensor.new_full", "torch.full"],
    symptom="torch.full_like(labels, 0.5) is all zeros; torch.full(2, 0.5) raises TypeError",
)
class TestLikeCastsItsFillValue:
    """``full_like`` and ``new_full`` keep the dtype of their tensor, so 0.5 into integers is 0, without a warning.

    ``torch.full`` goes by the value instead, and takes its size as a tuple, where ``zeros`` takes numbers too. Say
    ``dtype=``.
    """

    LIKES = [
        pytest.param(lambda x, value, **how: torch.full_like(x, value, **how), id="full_like"),
        pytest.param(lambda x, value, **how: x.new_full((2,), value, **how), id="new_full"),
    ]

    @pytest.mark.parametrize(
        ("dtype", "value", "filled"),
        [
            (torch.int64, 2.75, 2),
            (torch.int64, -0.5, 0),
            (torch.bool, 0.5, True),
            (torch.float32, 0.1, 0.10000000149011612),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("like", LIKES)
    def test_trap_the_value_is_cast(self, device, like, dtype, value, filled):
        x = torch.zeros(2, dtype=dtype, device=device)
        assert like(x, value).tolist() == [filled, filled]

    def test_trap_full_wants_a_tuple(self, device):
        with pytest.raises(TypeError, match="tuple of ints"):
            torch.full(2, 0.5, device=device)

    @pytest.mark.parametrize("like", LIKES)
    def test_fix_say_the_dtype(self, device, like):
        x = torch.zeros(2, dtype=torch.int64, device=device)
        assert like(x, 2.75, dtype=torch.float32).tolist() == [2.75, 2.75]

    def test_fix_full_of_a_tuple(self, device):
        assert torch.full((2,), 2.75, device=device).tolist() == [2.75, 2.75]


@pitfall(
    "like-leaves-requires-grad-behind",
    docs=[("torch.zeros_like", "If autograd should record operations on the"), "torch.Tensor.new_zeros"],
    symptom="torch.ones_like(w) has no gradient, although w requires grad",
)
class TestLikeLeavesRequiresGradBehind:
    """``*_like`` and ``new_*`` take dtype and device over, never ``requires_grad``; a parameter gives a plain tensor.

    What they make has no history either. Ask with ``requires_grad=True``, or wrap the result in ``nn.Parameter``.
    """

    LIKES = [
        pytest.param(torch.zeros_like, id="zeros_like"),
        pytest.param(torch.ones_like, id="ones_like"),
        pytest.param(torch.empty_like, id="empty_like"),
        pytest.param(lambda w, **how: torch.full_like(w, 2, **how), id="full_like"),
        pytest.param(lambda w, **how: w.new_zeros(2, **how), id="new_zeros"),
        pytest.param(lambda w, **how: w.new_tensor([1, 2], **how), id="new_tensor"),
    ]

    @pytest.mark.parametrize("like", LIKES)
    def test_trap_it_does_not_require_grad(self, device, like):
        w = torch.ones(2, dtype=torch.float64, device=device, requires_grad=True)
        x = like(w)
        assert not x.requires_grad
        assert x.dtype == torch.float64

    @pytest.mark.parametrize("like", LIKES)
    def test_trap_it_is_no_parameter(self, device, like):
        w = torch.nn.Parameter(torch.ones(2, device=device))
        assert type(like(w)) is torch.Tensor

    @pytest.mark.parametrize("like", LIKES)
    def test_fix_ask_for_it(self, device, like):
        w = torch.ones(2, device=device, requires_grad=True)
        assert like(w, requires_grad=True).requires_grad


@pitfall(
    "new-tensor-has-the-dtype-of-its-tensor",
    docs=[("torch.Tensor.new_tensor", "By default, the returned Tensor has the same"), "torch.tensor"],
    symptom="labels.new_tensor([0.5]) is 0",
)
class TestNewTensorHasTheDtypeOfItsTensor:
    """``x.new_tensor(data)`` casts the data to the dtype of ``x``: of integers, it cuts fractions off.

    ``torch.tensor(data)`` goes by the data. Both copy. Give ``new_tensor`` a ``dtype=``, or use ``torch.tensor`` with
    ``device=x.device``.
    """

    @pytest.mark.parametrize(
        ("dtype", "data", "values"),
        [
            (torch.int64, [0.5, 2.75], [0, 2]),
            (torch.bool, [0.5, 0], [True, False]),
            (torch.float64, [1, 2], [1, 2]),
        ],
        ids=str,
    )
    def test_trap_the_data_is_cast(self, device, dtype, data, values):
        y = torch.zeros(3, dtype=dtype, device=device).new_tensor(data)
        assert y.dtype == dtype
        assert y.tolist() == values

    def test_fix_torch_tensor_goes_by_the_data(self, device):
        labels = torch.zeros(3, dtype=torch.int64, device=device)
        assert torch.tensor([0.5, 2.75], device=labels.device).tolist() == [0.5, 2.75]


@pitfall(
    "random-floats-refuse-integers",
    docs=["torch.rand_like", ("torch.randint", "this function returns a tensor with dtype"), "torch.Tensor.normal_"],
    symptom="torch.rand_like(labels): \"check_uniform_bounds\" not implemented for 'Long'",
    error="not implemented for 'Long'",
    changed={"2.8": "random kernels refuse integers with NotImplementedError, which is a RuntimeError too"},
)
class TestRandomFloatsRefuseIntegers:
    """``rand_like``, ``randn_like``, ``uniform_`` and ``normal_`` of an integer tensor raise: they draw floats only.

    ``randint`` draws int64 whatever the default dtype is, and takes its size as a tuple. Give ``dtype=`` to the
    ``*_like`` functions.
    """

    DRAWS = [
        pytest.param(torch.rand_like, id="rand_like"),
        pytest.param(torch.randn_like, id="randn_like"),
        pytest.param(torch.Tensor.normal_, id="normal_"),
        pytest.param(torch.Tensor.uniform_, id="uniform_"),
    ]

    @before("2.8")
    @pytest.mark.parametrize("draw", DRAWS)
    def test_trap_integers_were_refused_with_a_runtime_error(self, device, seeded, draw):
        with pytest.raises(RuntimeError, match="not implemented for 'Long'") as caught:
            draw(torch.ones(2, dtype=torch.int64, device=device))
        assert caught.type is RuntimeError

    @since("2.8")
    @pytest.mark.parametrize("draw", DRAWS)
    def test_trap_integers_are_refused(self, device, seeded, draw):
        with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
            draw(torch.ones(2, dtype=torch.int64, device=device))

    @pytest.mark.parametrize(
        "draw",
        [
            pytest.param(lambda d: torch.randint(2, (3,), device=d), id="randint"),
            pytest.param(lambda d: torch.randperm(3, device=d), id="randperm"),
            pytest.param(lambda d: torch.multinomial(torch.ones(3, device=d), 2), id="multinomial"),
        ],
    )
    def test_trap_random_integers_are_int64(self, device, seeded, default_float64, draw):
        assert draw(device).dtype == torch.int64

    def test_trap_randint_wants_its_size_as_a_tuple(self, device, seeded):
        with pytest.raises(TypeError, match="tuple of ints"):
            torch.randint(2, 64, device=device)

    @pytest.mark.parametrize("draw", [torch.rand_like, torch.randn_like], ids=["rand_like", "randn_like"])
    def test_fix_say_the_dtype(self, device, seeded, draw):
        labels = torch.ones(2, dtype=torch.int64, device=device)
        assert draw(labels, dtype=torch.float32).dtype == torch.float32
