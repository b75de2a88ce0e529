"""From tensors to Python numbers and bools: one element, or an error."""

import math

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "item-needs-one-element",
    docs=[("torch.Tensor.item", "only works for tensors with one element"), "torch.Tensor.tolist"],
    symptom="RuntimeError: a Tensor with 6 elements cannot be converted to Scalar",
    error="elements cannot be converted to Scalar",
    priority=1,
)
class TestItemNeedsOneElement:
    """``item()`` turns a tensor of exactly one element, of any rank, into a Python number; any other count raises.

    It gives an int, float, bool or complex, whichever the dtype is. For several elements there is ``tolist()``. On a
    GPU each call waits for the device, so collect losses as tensors and convert them once.
    """

    @pytest.mark.parametrize(("sizes", "count"), [((2,), 2), ((2, 3), 6), ((1, 2), 2), ((0,), 0), ((3, 0), 0)], ids=str)
    def test_trap_any_other_count_raises(self, device, sizes, count):
        with pytest.raises(RuntimeError, match=f"a Tensor with {count} elements cannot be converted to Scalar"):
            torch.zeros(sizes, device=device).item()

    @pytest.mark.parametrize("sizes", [(), (1,), (1, 1), (1, 1, 1, 1)], ids=str)
    def test_trap_the_rank_does_not_matter(self, device, sizes):
        assert torch.full(sizes, 2.5, device=device).item() == 2.5

    @pytest.mark.parametrize(
        ("value", "dtype"),
        [
            (2.5, torch.float32),
            (2.5, torch.float16),
            (3, torch.int64),
            (3, torch.uint8),
            (True, torch.bool),
            (2j, torch.complex64),
        ],
        ids=str,
    )
    def test_fix_the_dtype_decides_the_python_type(self, device, value, dtype):
        number = torch.tensor(value, dtype=dtype, device=device).item()
        assert type(number) is type(value)
        assert number == value

    @pytest.mark.parametrize("values", [[[1, 2], [3, 4]], [], [[]], 5], ids=str)
    def test_fix_tolist_takes_any_count(self, device, values):
        assert torch.tensor(values, device=device).tolist() == values

    def test_fix_index_down_to_one_element(self, device):
        x = torch.tensor([[1, 2], [3, 4], [5, 6]], device=device)
        assert x[1, 1].item() == 4


@pitfall(
    "python-number-needs-one-element",
    docs=["torch.Tensor.item", "tensors"],
    symptom="only one element tensors can be converted to Python scalars, from float(x) or math.sqrt(x)",
    error="only one element tensors can be converted to Python scalars",
)
class TestPythonNumberNeedsOneElement:
    """``float(x)``, ``int(x)`` and the functions of ``math`` want one element, and cut the gradient.

    They convert like ``item()``, but raise ValueError where it raises RuntimeError. ``int`` truncates towards zero. Use
    torch's own functions (``x.sqrt()``, ``x.long()``), which work element by element.
    """

    @pytest.mark.parametrize("convert", [float, int, complex, math.sqrt, math.exp], ids=lambda f: f.__name__)
    @pytest.mark.parametrize("sizes", [(2,), (2, 3), (0,)], ids=str)
    def test_trap_any_other_count_raises(self, device, convert, sizes):
        with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
            convert(torch.ones(sizes, device=device))

    @pytest.mark.parametrize(
        ("value", "convert", "result"),
        [(2.75, float, 2.75), (2.75, int, 2), (-2.75, int, -2), (2.75, complex, 2.75 + 0j), (4.0, math.sqrt, 2.0)],
        ids=lambda x: getattr(x, "__name__", str(x)),
    )
    def test_trap_one_element_of_any_rank_is_converted(self, device, value, convert, result):
        assert convert(torch.tensor([[value]], device=device)) == result

    @pytest.mark.parametrize(
        ("convert", "result"),
        [
            pytest.param(lambda x: x.sqrt(), [1.5, 2.5], id="sqrt"),
            pytest.param(lambda x: x.long(), [2, 6], id="long"),
            pytest.param(lambda x: x.double(), [2.25, 6.25], id="double"),
        ],
    )
    def test_fix_convert_the_tensor(self, device, convert, result):
        assert convert(torch.tensor([2.25, 6.25], device=device)).tolist() == result


@pitfall(
    "truth-value-is-ambiguous",
    docs=[("torch.is_nonzero", "Throws a"), "torch.any", "torch.all"],
    symptom="RuntimeError: Boolean value of Tensor with more than one value is ambiguous",
    error="Boolean value of Tensor with more than one value is ambiguous",
    priority=1,
)
class TestTruthValueIsAmbiguous:
    """A tensor is true or false only if it has one element; with more, or with none, torch raises.

    ``if``, ``and``, ``or``, ``not``, chained comparisons, ``max()``, ``sorted()`` and ``in`` on a list of tensors all
    ask for that bool. Say ``any()`` or ``all()``, combine masks with ``&``, ``|`` and ``~``, compare whole tensors with
    ``torch.equal``.
    """

    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(bool, id="if x"),
            pytest.param(lambda x: not x, id="not x"),
            pytest.param(lambda x: x and x, id="x and x"),
            pytest.param(lambda x: x or x, id="x or x"),
            pytest.param(lambda x: 0 < x < 3, id="chained comparison"),
            pytest.param(lambda x: max(x, x + 1), id="max"),
            pytest.param(lambda x: sorted([x, x + 1]), id="sorted"),
            pytest.param(lambda x: x in [x + 1], id="in a list"),
            pytest.param(lambda x: [x + 1].index(x), id="list.index"),
            pytest.param(torch.is_nonzero, id="is_nonzero"),
        ],
    )
    def test_trap_many_elements_have_no_truth(self, device, ask):
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with more than one value is ambiguous"):
            ask(torch.tensor([1, 2], device=device))

    @pytest.mark.parametrize("ask", [bool, lambda x: not x, torch.is_nonzero], ids=["if x", "not x", "is_nonzero"])
    def test_trap_nor_has_an_empty_tensor(self, device, ask):
        with pytest.raises(RuntimeError, match="Boolean value of Tensor with no values is ambiguous"):
            ask(torch.tensor([], device=device))

    @pytest.mark.parametrize(
        ("value", "truth"), [(0.0, False), (-0.5, True), ([[0]], False), ([True], True), (float("nan"), True)], ids=str
    )
    def test_trap_one_element_is_true_unless_zero(self, device, value, truth):
        assert bool(torch.tensor(value, device=device)) is truth

    @pytest.mark.parametrize(
        ("ask", "answer"),
        [
            pytest.param(lambda x: (x > 1).any(), True, id="any"),
            pytest.param(lambda x: (x > 1).all(), False, id="all"),
            pytest.param(lambda x: torch.equal(x, x.clone()), True, id="equal"),
            pytest.param(lambda x: x.numel() > 0, True, id="numel"),
        ],
    )
    def test_fix_say_which_truth_is_meant(self, device, ask, answer):
        assert bool(ask(torch.tensor([1, 2], device=device))) is answer

    @pytest.mark.parametrize(
        ("mask", "result"),
        [
            pytest.param(lambda x: (x > 0) & (x < 2), [False, True, False], id="and"),
            pytest.param(lambda x: (x < 1) | (x > 1), [True, False, True], id="or"),
            pytest.param(lambda x: ~(x > 0), [True, False, False], id="not"),
        ],
    )
    def test_fix_combine_masks_by_element(self, device, mask, result):
        assert mask(torch.tensor([0, 1, 2], device=device)).tolist() == result
