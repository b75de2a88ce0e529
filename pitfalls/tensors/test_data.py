"""What ``torch.tensor`` can't be made of, and what becomes of numbers that a dtype can't hold."""

import pytest
import torch

from pitfalls import observe, pitfall


@pitfall(
    "nested-lists-must-be-rectangular",
    docs=[("torch.tensor", "Can be a list, tuple"), "torch.nn.utils.rnn.pad_sequence"],
    symptom="ValueError: expected sequence of length 3 at dim 1 (got 2)",
    error="expected sequence of length",
    priority=1,
)
class TestNestedListsMustBeRectangular:
    """A tensor has one length per dimension: lists of different lengths raise, as texts and batches often are.

    Pad them to the longest with ``torch.nn.utils.rnn.pad_sequence``, or concatenate them and remember the lengths.
    """

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            pytest.param([[1, 2, 3], [4, 5]], r"expected sequence of length 3 at dim 1 \(got 2\)", id="shorter row"),
            pytest.param([[1, 2], [3, 4, 5]], r"expected sequence of length 2 at dim 1 \(got 3\)", id="longer row"),
            pytest.param([[[1], [2]], [[3]]], r"expected sequence of length 2 at dim 1 \(got 1\)", id="shorter block"),
            pytest.param([[1, 2], []], r"expected sequence of length 2 at dim 1 \(got 0\)", id="empty row"),
        ],
    )
    @pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor], ids=["tensor", "as_tensor"])
    def test_trap_ragged_rows_are_refused(self, device, make, data, says):
        with pytest.raises(ValueError, match=says):
            make(data, device=device)

    @pytest.mark.parametrize("data", [[[1, 2], 3], [1, [2, 3]]], ids=["list first", "number first"])
    def test_trap_numbers_among_lists_are_refused(self, device, data):
        with pytest.raises(TypeError, match=r"not a sequence|cannot be interpreted as an integer"):
            torch.tensor(data, device=device)

    def test_fix_pad(self, device):
        rows = [torch.tensor([1, 2, 3], device=device), torch.tensor([4, 5], device=device)]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        assert padded.tolist() == [[1, 2, 3], [4, 5, -1]]

    def test_fix_concatenate_and_split(self, device):
        rows = torch.cat([torch.tensor([1, 2, 3], device=device), torch.tensor([4, 5], device=device)])
        assert [row.tolist() for row in rows.split([3, 2])] == [[1, 2, 3], [4, 5]]


@pitfall(
    "strings-are-not-tensor-data",
    docs=[("torch.tensor", "Can be a list, tuple"), "tensor_attributes#torch-dtype"],
    symptom="ValueError: too many dimensions 'str'",
    error="too many dimensions 'str'",
    priority=1,
)
class TestStringsAreNotTensorData:
    """torch has no dtype for text: strings raise, those of digits too, and a list of them with a misleading message.

    Labels become numbers first, by a dictionary; digits by ``int`` or ``float``. Raw bytes go by ``bytearray``.
    """

    @pytest.mark.parametrize("make", [torch.tensor, torch.as_tensor], ids=["tensor", "as_tensor"])
    @pytest.mark.parametrize("data", [["cat", "dog"], ["1", "2"], [["a"], ["b"]]], ids=str)
    def test_trap_a_list_of_strings(self, device, make, data):
        with pytest.raises(ValueError, match="too many dimensions 'str'"):
            make(data, device=device)

    @pytest.mark.parametrize("data", ["cat", "1", b"1"], ids=str)
    def test_trap_one_string(self, device, data):
        with pytest.raises(TypeError, match=r"invalid data type '(str|bytes)'"):
            torch.tensor(data, device=device)

    def test_fix_number_the_labels(self, device):
        numbers = {"cat": 0, "dog": 1}
        labels = torch.tensor([numbers[name] for name in ("dog", "cat", "dog")], device=device)
        assert labels.tolist() == [1, 0, 1]

    def test_fix_a_bytearray_is_numbers(self, device):
        assert torch.tensor(bytearray("cat", "ascii"), device=device).tolist() == [99, 97, 116]


@pitfall(
    "dtype-of-the-object-cannot-be-inferred",
    docs=[("torch.tensor", "Can be a list, tuple"), "torch.as_tensor"],
    symptom="RuntimeError: Could not infer dtype of NoneType",
    error="Could not infer dtype of NoneType",
)
class TestDtypeOfTheObjectCannotBeInferred:
    """``torch.tensor`` reads numbers, sequences, arrays and tensors; None, sets, dicts and generators raise.

    A missing value is ``float("nan")`` in a tensor. Put what can only be iterated into a list.
    """

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            pytest.param(None, "NoneType", id="None"),
            pytest.param([1.0, None], "NoneType", id="None in a list"),
            pytest.param({1, 2}, "set", id="set"),
            pytest.param({"a": 1}, "dict", id="dict"),
            pytest.param({"a": 1}.values(), "dict_values", id="dict values"),
            pytest.param((n for n in (1, 2)), "generator", id="generator"),
            pytest.param(map(int, "12"), "map", id="map"),
            pytest.param(object(), "object", id="object"),
        ],
    )
    def test_trap_it_is_refused(self, device, data, name):
        with pytest.raises(RuntimeError, match=f"Could not infer dtype of {name}"):
            torch.tensor(data, device=device)

    def test_fix_nan_for_what_is_missing(self, device):
        x = torch.tensor([float("nan") if n is None else n for n in (2.0, None)], device=device)
        assert x.isnan().tolist() == [False, True]

    @pytest.mark.parametrize(
        "data",
        [pytest.param(range(1, 3), id="range"), pytest.param((1, 2), id="tuple"), pytest.param([1, 2], id="list")],
    )
    def test_fix_sequences_are_read(self, device, data):
        assert torch.tensor(data, device=device).tolist() == [1, 2]


@pitfall(
    "made-with-a-check-converted-without",
    docs=["torch.tensor", "torch.full", ("torch.Tensor.to", "value cannot fit into the target type")],
    symptom="value cannot be converted to type uint8 without overflow; infinity became -9223372036854775808",
    error="without overflow",
)
class TestMadeWithACheckConvertedWithout:
    """Making a tensor of a number that its dtype can't hold raises; converting a tensor wraps or gives any integer.

    ``torch.tensor([300], dtype=torch.uint8)`` is an error, ``torch.tensor([300]).to(torch.uint8)`` is 44. Infinity, NaN
    and floats beyond the range give what the machine gives. Compare with ``torch.iinfo``, or ``clamp`` first.
    """

    MAKERS = [
        pytest.param(lambda number, dtype, d: torch.tensor([number], dtype=dtype, device=d), id="tensor"),
        pytest.param(lambda number, dtype, d: torch.full((1,), number, dtype=dtype, device=d), id="full"),
    ]

    @pytest.mark.parametrize(
        ("number", "dtype"),
        [(300, torch.uint8), (128, torch.int8), (2**31, torch.int32), (float("inf"), torch.int64)],
        ids=str,
    )
    @pytest.mark.parametrize("make", MAKERS)
    def test_trap_a_number_out_of_range_is_refused(self, device, make, number, dtype):
        with pytest.raises(RuntimeError, match=r"value cannot be converted to type u?int.* without overflow"):
            make(number, dtype, device)

    @pytest.mark.parametrize("make", MAKERS)
    def test_trap_minus_one_is_let_through(self, device, make):
        assert make(-1, torch.uint8, device).tolist() == [255]

    @pytest.mark.parametrize(
        ("number", "dtype", "result"),
        [(300, torch.uint8, 44), (-1, torch.uint8, 255), (200, torch.int8, -56), (2**32 + 5, torch.int32, 5)],
        ids=str,
    )
    def test_trap_a_conversion_of_integers_wraps(self, device, number, dtype, result):
        assert torch.tensor([number], device=device).to(dtype).tolist() == [result]

    @pytest.mark.parametrize("value", [float("inf"), -float("inf"), 1e20], ids=str)
    def test_trap_a_conversion_of_floats_gives_any_integer(self, device, value):
        x = torch.tensor([value], dtype=torch.float64, device=device)
        assert (x.long().double() == x).tolist() == [False]
        observe(integer=x.long().item())

    def test_fix_clamp_to_the_range(self, device):
        x = torch.tensor([-1.0, 300.0, float("inf")], device=device)
        assert x.clamp(0, torch.iinfo(torch.uint8).max).to(torch.uint8).tolist() == [0, 255, 255]
