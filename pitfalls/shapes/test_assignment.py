"""Assignment: how a value is broadcast, cast and refused on its way into a tensor."""

import operator

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "assignment-casts-silently",
    docs=[
        ("torch.Tensor.copy_", "may be of a different data type"),
        ("torch.Tensor.masked_fill_", "the value to fill in with"),
        "tensor_attributes#torch-dtype",
    ],
    symptom="I assigned 1.9 and the tensor holds 1",
    priority=1,
)
class TestAssignmentCastsSilently:
    """An assignment converts its value to the dtype of the tensor: ``x[0] = 1.9`` into integers stores 1.

    Fractions are cut towards zero, and tensors wrap around, without a word. ``x + 1.9`` would have promoted, and
    ``x += 1.9`` raised. Make the target a float tensor.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, _v: operator.setitem(x, 0, 1.9), id="number"),
            pytest.param(lambda x, v: operator.setitem(x, 0, v), id="tensor"),
            pytest.param(lambda x, v: operator.setitem(x, slice(None), v), id="slice"),
            pytest.param(lambda x, _v: operator.setitem(x, [0], 1.9), id="list"),
            pytest.param(lambda x, v: operator.setitem(x, x == 0, v), id="mask"),
            pytest.param(lambda x, v: x.copy_(v), id="copy_"),
            pytest.param(lambda x, _v: x.fill_(1.9), id="fill_"),
            pytest.param(lambda x, _v: x.masked_fill_(x == 0, 1.9), id="masked_fill_"),
            pytest.param(lambda x, _v: x.index_fill_(0, x.clone(), 1.9), id="index_fill_"),
        ],
    )
    def test_trap_fractions_are_cut(self, device, write):
        x = torch.zeros(1, dtype=torch.int64, device=device)
        write(x, torch.tensor(1.9, device=device))
        assert x.tolist() == [1]

    @pytest.mark.parametrize(
        ("dtype", "value", "stored"),
        [(torch.uint8, 300, 44), (torch.uint8, -1, 255), (torch.int8, 200, -56), (torch.bool, 2, True)],
        ids=str,
    )
    def test_trap_a_tensor_wraps_around(self, device, dtype, value, stored):
        x = torch.zeros(1, dtype=dtype, device=device)
        x[:] = torch.tensor([value], device=device)
        assert x.tolist() == [stored]

    def test_fix_a_float_target(self, device):
        x = torch.zeros(2, dtype=torch.int64, device=device).double()
        x[0] = 1.9
        assert x.tolist() == [1.9, 0]

    def test_fix_arithmetic_promotes_or_raises(self, device):
        x = torch.zeros(2, dtype=torch.int64, device=device)
        assert (x + 1.5).tolist() == [1.5, 1.5]
        with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
            x += 1.5


@pitfall(
    "number-must-fit-the-dtype",
    docs=["torch.Tensor.fill_", "type_info", "tensor_attributes#torch-dtype"],
    symptom="RuntimeError: value cannot be converted to type uint8_t without overflow",
    error="without overflow",
)
class TestNumberMustFitTheDtype:
    """A Python number that doesn't fit the dtype of the tensor raises on assignment; the same value in a tensor wraps.

    The check is for numbers out of range, NaN and infinity for integers, and imaginary parts. Convert by yourself what
    is meant: clamp it, or assign a tensor.
    """

    @pytest.mark.parametrize(
        ("dtype", "value"),
        [
            (torch.uint8, 300),
            (torch.int8, 128),
            (torch.int64, float("nan")),
            (torch.int64, float("inf")),
            (torch.float32, 1j),
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, value: operator.setitem(x, 0, value), id="item"),
            pytest.param(lambda x, value: x.fill_(value), id="fill_"),
        ],
    )
    def test_trap_it_is_refused(self, device, dtype, value, write):
        with pytest.raises(RuntimeError, match=r"value cannot be converted to type .* without overflow"):
            write(torch.zeros(2, dtype=dtype, device=device), value)

    def test_trap_minus_one_is_let_through(self, device):
        assert torch.zeros(1, dtype=torch.uint8, device=device).fill_(-1).tolist() == [255]

    def test_fix_clamp_to_the_range(self, device):
        x = torch.zeros(1, dtype=torch.uint8, device=device)
        x[0] = min(300, torch.iinfo(x.dtype).max)
        assert x.tolist() == [255]


@pitfall(
    "indexed-assignment-wants-the-dtype",
    docs=[("torch.Tensor.index_put_", "tensor of same dtype as"), "torch.Tensor.copy_"],
    symptom="RuntimeError: Index put requires the source and destination dtypes match",
    error="Index put requires the source and destination dtypes match",
)
class TestIndexedAssignmentWantsTheDtype:
    """``x[idx] = t`` for a list, an index tensor or a mask wants ``t`` in the dtype of ``x``; ``x[0:2] = t`` converts.

    A float64 value from NumPy is the usual cause. Numbers are converted in both cases. Say ``t.to(x.dtype)``.
    """

    INDEXES = [
        pytest.param([0, 1], id="list"),
        pytest.param([True, True, False], id="mask"),
    ]

    @pytest.mark.parametrize("index", INDEXES)
    @pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
    def test_trap_another_dtype_is_refused(self, device, index, dtype):
        x = torch.zeros(3, device=device)
        with pytest.raises(RuntimeError, match="Index put requires the source and destination dtypes match"):
            x[torch.tensor(index, device=device)] = torch.ones(2, dtype=dtype, device=device)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.int64], ids=str)
    def test_trap_a_slice_converts(self, device, dtype):
        x = torch.zeros(3, device=device)
        x[0:2] = torch.ones(2, dtype=dtype, device=device)
        assert x.tolist() == [1, 1, 0]

    @pytest.mark.parametrize("index", INDEXES)
    def test_fix_convert_the_value(self, device, index):
        x = torch.zeros(3, device=device)
        x[torch.tensor(index, device=device)] = torch.ones(2, dtype=torch.float64, device=device).to(x.dtype)
        assert x.tolist() == [1, 1, 0]


@pitfall(
    "assignment-broadcasts-its-value",
    docs=[("torch.Tensor.copy_", "with the"), "notes/broadcasting#in-place-semantics"],
    symptom="x[:] = row filled every row; x[0] = v fails: The expanded size of the tensor must match",
    error="The expanded size of the tensor",
)
class TestAssignmentBroadcastsItsValue:
    """An assigned value is broadcast to its target: a row fills all rows, one number everything.

    A value that was meant for a column, but is as long as a row, goes into all rows without an error. Only sizes that
    can't be paired raise. Give a column its dimension with ``[:, None]``.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, v: operator.setitem(x, slice(None), v), id="x[:] ="),
            pytest.param(lambda x, v: operator.setitem(x, Ellipsis, v), id="x[...] ="),
            pytest.param(lambda x, v: operator.setitem(x, [0, 1], v), id="list"),
            pytest.param(lambda x, v: x.copy_(v), id="copy_"),
        ],
    )
    @pytest.mark.parametrize(
        ("value", "result"),
        [
            (7, [[7, 7], [7, 7]]),
            ([1, 2], [[1, 2], [1, 2]]),
            ([[1, 2]], [[1, 2], [1, 2]]),
            ([[1], [2]], [[1, 1], [2, 2]]),
        ],
        ids=["number", "vector", "row", "column"],
    )
    def test_trap_the_value_is_repeated(self, device, write, value, result):
        x = torch.zeros(2, 2, dtype=torch.int64, device=device)
        write(x, torch.tensor(value, device=device))
        assert x.tolist() == result

    @pytest.mark.parametrize(("target", "value"), [((2, 3), (2,)), ((3,), (2,)), ((2, 3), (3, 1))], ids=str)
    def test_trap_sizes_that_do_not_pair(self, device, target, value):
        x = torch.zeros(target, device=device)
        with pytest.raises(RuntimeError, match=r"(The expanded size of the tensor|must match the size of tensor)"):
            x[:] = torch.ones(value, device=device)

    def test_fix_a_column_needs_its_dimension(self, device):
        x = torch.zeros(2, 2, dtype=torch.int64, device=device)
        x[:] = torch.tensor([1, 2], device=device)[:, None]
        assert x.tolist() == [[1, 1], [2, 2]]


@pitfall(
    "masked-fill-grows-out-of-place",
    docs=[("torch.Tensor.masked_fill_", "with the shape of the underlying tensor"), "torch.Tensor.masked_fill"],
    symptom="masked_fill gave a tensor of another shape, and masked_fill_ raised",
    error="doesn't match the broadcast shape",
)
class TestMaskedFillGrowsOutOfPlace:
    """``masked_fill`` broadcasts tensor and mask against each other and may grow; ``masked_fill_`` keeps its shape.

    Attention masks with a dimension too many come out as scores with a dimension too many. The value is a number or a
    0-d tensor; to take other elements, use ``torch.where``.
    """

    def test_trap_the_result_takes_the_common_shape(self, device):
        scores = torch.zeros(3, device=device)
        assert scores.masked_fill(torch.ones(2, 3, dtype=torch.bool, device=device), 1).shape == (2, 3)

    def test_trap_in_place_it_is_refused(self, device):
        scores = torch.zeros(3, device=device)
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            scores.masked_fill_(torch.ones(2, 3, dtype=torch.bool, device=device), 1)

    def test_trap_the_value_must_be_one_number(self, device):
        mask = torch.tensor([True, False], device=device)
        with pytest.raises(RuntimeError, match="only supports a 0-dimensional value tensor"):
            torch.zeros(2, device=device).masked_fill(mask, torch.ones(2, device=device))

    def test_fix_a_smaller_mask_is_broadcast(self, device):
        mask = torch.tensor([True, False, False], device=device)
        assert torch.zeros(2, 3, device=device).masked_fill_(mask, 1).tolist() == [[1, 0, 0], [1, 0, 0]]

    def test_fix_where_takes_elements(self, device):
        mask = torch.tensor([True, False], device=device)
        values = torch.tensor([5.0, 6.0], device=device)
        assert torch.where(mask, values, torch.zeros(2, device=device)).tolist() == [5, 0]


@pitfall(
    "inplace-module-overwrites-its-input",
    docs=[
        ("torch.nn.ReLU", "can optionally do the operation in-place"),
        "torch.nn.Dropout",
        "torch.nn.functional.relu",
    ],
    symptom="my input, or the activation that I kept, changes when the layer runs",
)
class TestInplaceModuleOverwritesItsInput:
    """A layer with ``inplace=True`` writes its result over its input and returns that very tensor.

    What was kept for a skip connection or a plot is the activated one then. The memory saved is one activation; leave
    the flag off unless that counts, or keep a ``clone()``.
    """

    ACTIVATIONS = [
        pytest.param(torch.nn.ReLU, id="ReLU"),
        pytest.param(torch.nn.Hardtanh, id="Hardtanh"),
        pytest.param(torch.nn.ReLU6, id="ReLU6"),
    ]

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_trap_the_input_is_gone(self, device, activation):
        x = torch.tensor([-2.0, 0.5], device=device)
        y = activation(inplace=True)(x)
        assert y is x
        assert x[0].item() > -2

    @pytest.mark.parametrize("activation", ACTIVATIONS)
    def test_fix_leave_the_flag_off(self, device, activation):
        x = torch.tensor([-2.0, 0.5], device=device)
        y = activation()(x)
        assert y[0].item() > -2
        assert x.tolist() == [-2, 0.5]
