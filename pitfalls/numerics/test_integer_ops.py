"""Integers: the ones that don't fit, shifts past the width, the length of ``arange``, and means that are refused."""

import pytest
import torch

from pitfalls import before, observe, on, pitfall, since

TOO_LARGE = [
    pytest.param(lambda d: torch.tensor(2**63, device=d), id="tensor"),
    pytest.param(lambda d: torch.tensor([0, -(2**63) - 1], device=d), id="tensor of a list"),
    pytest.param(lambda d: torch.zeros(1, dtype=torch.int64, device=d).__setitem__(0, 2**64), id="setitem"),
    pytest.param(lambda d: torch.zeros(1, device=d)[2**64], id="index"),
    pytest.param(lambda d: torch.zeros(1, device=d).sum(2**64), id="dim"),
]


@pitfall(
    "python-integer-beyond-int64",
    docs=["torch.tensor", "tensor_attributes#torch-dtype"],
    symptom="RuntimeError: Overflow when unpacking long; a sum with 2**63 is negative",
    error="Overflow when unpacking long",
    changed={
        "2.3": "2**63 to 2**64 - 1 became operands, which wrap; larger ones raise OverflowError, not RuntimeError",
        "2.9": "where a value, an index or a dimension overflows, ValueError is raised; it had been RuntimeError",
    },
)
class TestPythonIntegerBeyondInt64:
    """Python's integers are unbounded, torch's end at 64 bits: larger ones raise, and as operands they may wrap.

    Which exception it is depends on the release and on where the integer enters, so catch none of them: hashes and ids
    up to ``2**64 - 1`` fit into ``torch.uint64`` (since torch 2.3), larger magnitudes into ``torch.float64``, rounded.
    """

    @before("2.9")
    @pytest.mark.parametrize("use", TOO_LARGE)
    def test_trap_it_raised_runtime_error(self, device, use):
        with pytest.raises(RuntimeError, match="Overflow when unpacking long"):
            use(device)

    @since("2.9")
    @pytest.mark.parametrize("use", TOO_LARGE)
    def test_trap_it_raises_value_error(self, device, use):
        with pytest.raises(ValueError, match="Overflow when unpacking long"):
            use(device)

    @before("2.3")
    @pytest.mark.parametrize("number", [2**63, 2**64], ids=["2**63", "2**64"])
    def test_trap_an_operand_raised_runtime_error(self, device, number):
        with pytest.raises(RuntimeError, match="Overflow when unpacking long"):
            torch.ones(1, dtype=torch.int64, device=device) + number

    @since("2.3")
    def test_trap_an_operand_beyond_64_bits_raises(self, device):
        with pytest.raises(OverflowError, match="int too big to convert"):
            torch.ones(1, dtype=torch.int64, device=device) + 2**64

    @since("2.3")
    @on("cpu")
    def test_trap_an_operand_of_64_bits_wraps(self, device):
        x = torch.ones(1, dtype=torch.int64, device=device) + 2**63
        assert x.tolist() == [1 - 2**63]

    @pytest.mark.parametrize(
        ("number", "dtype"),
        [(256, torch.uint8), (2**15, torch.int16), (2**31, torch.int32)],
        ids=str,
    )
    def test_trap_a_narrow_dtype_refuses_it(self, device, number, dtype):
        with pytest.raises(RuntimeError, match=r"value cannot be converted to type .* without overflow"):
            torch.tensor(number, dtype=dtype, device=device)

    @since("2.3")
    def test_fix_uint64_holds_it(self, device):
        assert torch.tensor([2**63, 2**64 - 1], dtype=torch.uint64, device=device).tolist() == [2**63, 2**64 - 1]

    def test_fix_float64_rounds_it(self, device):
        assert torch.tensor(2.0**64, dtype=torch.float64, device=device).item() == 2**64


@pitfall(
    "shift-beyond-the-width",
    docs=["torch.bitwise_left_shift", "torch.bitwise_right_shift"],
    symptom="1 << 64 is 1 on one machine and 0 on another; a bit mask wraps round",
    changed={"2.1": "shifting by the width of the dtype or more gives 0, or the sign; it had been up to the processor"},
    priority=3,
)
class TestShiftBeyondTheWidth:
    """A tensor's shift loses the bits that leave its dtype, while Python's ``1 << 64`` grows.

    Before torch 2.1 a shift by the width or more did what the processor does, often a shift by the remainder. Now
    nothing is left of a number shifted that far but its sign. A mask of ``n`` bits needs a dtype wider than ``n``.
    """

    @since("2.1")
    @pytest.mark.parametrize("by", [64, 65, 1000, -1], ids=str)
    def test_trap_nothing_is_left(self, device, by):
        x = torch.tensor([1, 5, -1], device=device)
        assert (x << by).tolist() == [0, 0, 0]
        assert (x >> by).tolist() == [0, 0, -1]

    @since("2.1")
    @pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32], ids=str)
    def test_trap_narrow_dtypes_end_sooner(self, device, dtype):
        bits = torch.iinfo(dtype).bits
        x = torch.tensor([1, 3], dtype=dtype, device=device)
        assert (x << bits).tolist() == [0, 0]

    def test_trap_the_last_bit_is_the_sign(self, device):
        assert (torch.tensor(1, device=device) << 63).item() == -(2**63)
        observe(beyond=(torch.tensor(1, device=device) << 64).item())

    def test_fix_widen_before_shifting(self, device):
        x = torch.tensor([1, 3], dtype=torch.int8, device=device)
        assert (x.to(torch.int64) << 8).tolist() == [256, 768]


ARANGES = [
    pytest.param(lambda d: torch.arange(2.5, dtype=torch.int64, device=d), [0, 1, 2], id="end"),
    pytest.param(lambda d: torch.arange(0.5, 2.6, dtype=torch.int64, device=d), [0, 1, 2], id="start and end"),
    pytest.param(lambda d: torch.arange(-2.5, 0, dtype=torch.int64, device=d), [-2, -1, 0], id="start"),
    pytest.param(lambda d: torch.arange(0, -2.5, -1, dtype=torch.int64, device=d), [0, -1, -2], id="downwards"),
    pytest.param(
        lambda d: torch.arange(2.5, out=torch.empty(0, dtype=torch.int64, device=d)), [0, 1, 2], id="end with out"
    ),
]


@pitfall(
    "arange-fraction-with-integer-dtype",
    docs=[("torch.arange", "taken with common difference")],
    symptom="torch.arange(2.5, dtype=torch.int64) has 2 elements, or 3 after an upgrade",
    changed={"2.14": "the length follows the bounds as given; int64 had cut their fractions off first"},
)
class TestArangeFractionWithIntegerDtype:
    """``torch.arange`` with a fractional bound and ``dtype=torch.int64``: the length depends on the release.

    The length is the distance of the bounds by the step, rounded up. Before torch 2.14 int64 cut the fractions of the
    bounds off first, which lost the last element; other integer dtypes did not. Round the bounds yourself.
    """

    @before("2.14")
    @pytest.mark.parametrize(("make", "values"), ARANGES)
    def test_trap_the_last_element_was_lost(self, device, make, values):
        assert make(device).tolist() == values[:-1]

    @since("2.14")
    @pytest.mark.parametrize(("make", "values"), ARANGES)
    def test_trap_the_length_follows_the_bounds(self, device, make, values):
        assert make(device).tolist() == values

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32], ids=str)
    def test_trap_other_dtypes_always_round_up(self, device, dtype):
        assert torch.arange(2.5, dtype=dtype, device=device).tolist() == [0, 1, 2]

    @pytest.mark.parametrize("end", [2, 3], ids=str)
    def test_fix_integer_bounds(self, device, end):
        assert torch.arange(end, device=device).tolist() == [0, 1, 2][:end]


AVERAGES = [
    pytest.param(lambda x: x.mean(), id="mean"),
    pytest.param(lambda x: x.mean(0), id="mean over a dimension"),
    pytest.param(lambda x: x.nanmean(), id="nanmean"),
    pytest.param(lambda x: x.std(), id="std"),
    pytest.param(lambda x: x.var(), id="var"),
    pytest.param(lambda x: torch.std_mean(x), id="std_mean"),
    pytest.param(lambda x: x.norm(), id="norm"),
    pytest.param(lambda x: torch.linalg.vector_norm(x), id="vector_norm"),
    pytest.param(lambda x: torch.nn.functional.l1_loss(x, x), id="l1_loss"),
]


@pitfall(
    "mean-of-integers-is-refused",
    docs=[("torch.mean", "Input must be floating point or complex"), "torch.std"],
    symptom="RuntimeError: mean(): could not infer output dtype. Input dtype must be either a floating point",
    error="could not infer output dtype",
    changed={"2.15": "NotImplementedError is raised, which is a RuntimeError too"},
    priority=1,
)
class TestMeanOfIntegersIsRefused:
    """``mean``, ``std``, ``var`` and ``norm`` of an integer or bool tensor raise, where NumPy gives a float.

    Accuracy is the case people meet: ``(prediction == target).mean()``. Convert to floats, or pass ``dtype=``.
    """

    # Since 2.15 it is NotImplementedError, a subclass, so that handlers of RuntimeError still work.
    @pytest.mark.parametrize("average", AVERAGES)
    def test_trap_integers_are_refused(self, device, average):
        with pytest.raises(RuntimeError, match=r"(floating point|infer output dtype)"):
            average(torch.tensor([1, 2], device=device))

    def test_trap_a_comparison_has_no_mean(self, device):
        hits = torch.tensor([1, 2], device=device) == torch.tensor([1, 3], device=device)
        with pytest.raises(RuntimeError, match="infer output dtype"):
            hits.mean()

    @pytest.mark.parametrize(
        "mean",
        [
            pytest.param(lambda x: x.mean(dtype=torch.float32), id="dtype"),
            pytest.param(lambda x: x.float().mean(), id="float"),
            pytest.param(lambda x: x.sum() / x.numel(), id="sum by number"),
        ],
    )
    @pytest.mark.parametrize("values", [[0, 1], [False, True]], ids=["integers", "booleans"])
    def test_fix_ask_for_floats(self, device, mean, values):
        assert mean(torch.tensor(values, device=device)).item() == 0.5
