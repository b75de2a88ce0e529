"""Bool tensors in arithmetic: minus is refused, plus and times are logical, and sums count."""

import operator

import pytest
import torch

from pitfalls import pitfall

MINUS = [
    pytest.param(lambda mask: -mask, id="negation"),
    pytest.param(lambda mask: torch.neg(mask), id="neg"),
    pytest.param(lambda mask: mask - mask, id="mask minus mask"),
    pytest.param(lambda mask: mask - True, id="mask minus True"),
    pytest.param(lambda mask: 1 - mask, id="1 minus mask"),
    pytest.param(lambda mask: True - mask, id="True minus mask"),
    pytest.param(lambda mask: mask - 1, id="mask minus 1"),
    pytest.param(lambda mask: mask.sub_(mask), id="sub_"),
    pytest.param(lambda mask: torch.tensor([1, 2], device=mask.device) - mask, id="integers minus mask"),
]


@pitfall(
    "bool-minus-is-refused",
    docs=["torch.logical_not", "torch.logical_xor", "torch.sub", "torch.neg"],
    symptom="RuntimeError: Subtraction, the `-` operator, with a bool tensor is not supported",
    error="with a bool tensor is not supported",
    changed={"2.14": "NotImplementedError is raised, which is a RuntimeError too"},
    priority=1,
)
class TestBoolMinusIsRefused:
    """Bool tensors can't be negated or subtracted: ``-mask``, ``1 - mask`` and ``a - b`` raise.

    Minus could mean "invert" or "numbers 0 and 1", so torch asks which. Invert a mask with ``~mask``, compare two with
    ``a ^ b``, and convert with ``mask.int()`` to compute.
    """

    # Since 2.14 it is NotImplementedError, a subclass, so that handlers of RuntimeError still work.
    @pytest.mark.parametrize("minus", MINUS)
    def test_trap_minus_is_refused(self, device, minus):
        mask = torch.tensor([True, False], device=device)
        with pytest.raises(RuntimeError, match=r"(Negation|Subtraction), the `-` operator, .* is not supported"):
            minus(mask)

    def test_trap_a_leading_plus_is_refused_too(self, device):
        with pytest.raises(RuntimeError, match=r"The `\+` operator, on a bool tensor is not supported"):
            operator.pos(torch.tensor([True, False], device=device))

    @pytest.mark.parametrize(
        "invert",
        [
            pytest.param(lambda mask: ~mask, id="tilde"),
            pytest.param(lambda mask: mask.logical_not(), id="logical_not"),
            pytest.param(lambda mask: mask == False, id="compare with False"),  # noqa: E712
            pytest.param(lambda mask: (1 - mask.int()).bool(), id="compute in integers"),
        ],
    )
    def test_fix_invert(self, device, invert):
        assert invert(torch.tensor([True, False], device=device)).tolist() == [False, True]

    @pytest.mark.parametrize("differ", [operator.xor, torch.logical_xor, operator.ne], ids=["^", "logical_xor", "!="])
    def test_fix_where_two_masks_differ(self, device, differ):
        a, b = torch.tensor([True, True, False], device=device), torch.tensor([True, False, False], device=device)
        assert differ(a, b).tolist() == [False, True, False]

    def test_fix_subtract_as_integers(self, device):
        a, b = torch.tensor([True, False], device=device), torch.tensor([False, True], device=device)
        assert (a.int() - b.int()).tolist() == [1, -1]


@pitfall(
    "bool-plus-is-or",
    docs=["torch.add", "torch.mul", "tensor_attributes#torch-dtype"],
    symptom="adding up boolean masks never gives more than True; mask + mask counts nothing",
)
class TestBoolPlusIsOr:
    """Plus and times of bool tensors stay bool, as "or" and "and", while ``sum`` counts in int64.

    Two masks added are not a count: ``True + True`` is ``True``. With an integer on the other side the result is an
    integer. Sum a stack of masks, or convert one of them.
    """

    @pytest.mark.parametrize(
        ("combine", "values"),
        [(operator.add, [True, True, False]), (operator.mul, [True, False, False])],
        ids=["plus", "times"],
    )
    def test_trap_the_result_stays_bool(self, device, combine, values):
        a, b = torch.tensor([True, True, False], device=device), torch.tensor([True, False, False], device=device)
        assert combine(a, b).tolist() == values
        assert combine(a, b).dtype == torch.bool

    def test_trap_an_integer_makes_it_count(self, device):
        x = torch.tensor([True, False], device=device) + 1
        assert x.tolist() == [2, 1]
        assert x.dtype == torch.int64

    @pytest.mark.parametrize(
        "count",
        [
            pytest.param(lambda a, b: torch.stack([a, b]).sum(0), id="sum"),
            pytest.param(lambda a, b: a.int() + b, id="convert one"),
        ],
    )
    def test_fix_count(self, device, count):
        a, b = torch.tensor([True, True, False], device=device), torch.tensor([True, False, False], device=device)
        assert count(a, b).tolist() == [2, 1, 0]
