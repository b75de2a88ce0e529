"""Targets of classification losses: class indices or probabilities, in which shape, dtype and range."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import child, on, pitfall


@pitfall(
    "cross-entropy-takes-one-hot-floats",
    docs=[
        ("torch.nn.CrossEntropyLoss", "Probabilities for each class; useful when labels"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="RuntimeError: Expected floating point type for target with class probabilities, got Long",
    error="Expected floating point type for target with class probabilities",
)
class TestCrossEntropyTakesOneHotFloats:
    """A target of the shape of the logits is one probability for each class, and must be floating-point.

    So ``F.one_hot(y).float()`` is fine, ``F.one_hot(y)`` is refused because it is of integers, and class indices are
    simpler and faster. ``nll_loss`` takes class indices only.
    """

    def test_trap_one_hot_integers_are_refused(self, device):
        x, y = torch.zeros(2, 3, device=device), torch.tensor([0, 1], device=device)
        with pytest.raises(RuntimeError, match="Expected floating point type for target with class probabilities"):
            F.cross_entropy(x, F.one_hot(y, 3))

    @pytest.mark.parametrize("dtype", [torch.int64, torch.float32], ids=str)
    def test_trap_nll_loss_takes_no_one_hot_at_all(self, device, dtype):
        x, y = torch.zeros(2, 3, device=device), torch.tensor([0, 1], device=device)
        with pytest.raises(RuntimeError, match="0D or 1D target tensor expected, multi-target not supported"):
            F.nll_loss(x, F.one_hot(y, 3).to(dtype))

    def test_fix_one_hot_floats_are_the_same_as_indices(self, device):
        x = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], device=device)
        y = torch.tensor([0, 1], device=device)
        torch.testing.assert_close(F.cross_entropy(x, F.one_hot(y, 3).float()), F.cross_entropy(x, y))

    def test_fix_argmax_gives_the_indices(self, device):
        x = torch.tensor([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], device=device)
        one_hot = torch.tensor([[1, 0, 0], [0, 1, 0]], device=device)
        assert F.cross_entropy(x, one_hot.argmax(1)).item() == pytest.approx(2.288726, rel=1e-5)


@pitfall(
    "probability-targets-are-unchecked",
    docs=[
        ("torch.nn.CrossEntropyLoss", "PyTorch does not strictly enforce probability constraints on"),
        "torch.nn.functional.cross_entropy",
    ],
    symptom="distillation from the teacher's logits gives a negative or absurd loss, without an error",
    priority=1,
)
class TestProbabilityTargetsAreUnchecked:
    """Class probabilities as a target are not checked: ``cross_entropy`` takes negative ones, and any sum of them.

    The teacher's logits, percentages, or a mask with several ones give a number that looks like a loss. Normalise the
    target, with ``softmax(1)`` or by its sum.
    """

    def test_trap_logits_as_target_give_a_negative_loss(self, device):
        x = torch.tensor([[0.0, 4.0]], device=device)
        assert F.cross_entropy(x, torch.tensor([[-3.0, 2.0]], device=device)).item() < -10

    def test_trap_the_loss_grows_with_the_sum_of_the_target(self, device):
        x = torch.tensor([[0.0, 0.0]], device=device)
        percent = torch.tensor([[25.0, 75.0]], device=device)
        assert F.cross_entropy(x, percent).item() == pytest.approx(69.3147, rel=1e-5)

    @pytest.mark.parametrize(
        "normalise",
        [
            pytest.param(lambda t: t / t.sum(1, keepdim=True), id="divide by the sum"),
            pytest.param(lambda t: t.log().softmax(1), id="softmax"),
        ],
    )
    def test_fix_normalise_the_target(self, device, normalise):
        x = torch.tensor([[0.0, 0.0]], device=device)
        target = normalise(torch.tensor([[25.0, 75.0]], device=device))
        assert F.cross_entropy(x, target).item() == pytest.approx(0.693147, rel=1e-5)


@pitfall(
    "class-indices-are-int64",
    docs=[
        ("torch.nn.CrossEntropyLoss", "required to be long when using class indices"),
        "torch.nn.functional.nll_loss",
    ],
    symptom="RuntimeError: expected scalar type Long but found Float, or Int, from the labels",
    error="expected scalar type Long but found | Expected object of scalar type Long but got scalar type Float",
    priority=1,
    changed={"2.12": "the message says: expected target dtype to be Long or Byte, but got Float"},
)
class TestClassIndicesAreInt64:
    """Class indices are int64 and one number a sample: float32, int32 and a trailing dimension of 1 are refused.

    Labels become floats by way of a CSV file or a division, int32 by way of NumPy on Windows or a DataFrame, and get
    their dimension from a column. Say ``y.long()`` and ``y.squeeze(1)``.
    """

    @pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss], ids=["cross_entropy", "nll_loss"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int16, torch.bool], ids=str)
    @on("cpu")
    def test_trap_another_dtype_is_refused(self, device, dtype, loss):
        x, y = torch.zeros(2, 3, device=device), torch.tensor([0, 1], dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match=r"expected (scalar type|target dtype to be) Long"):
            loss(x, y)

    @pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss], ids=["cross_entropy", "nll_loss"])
    def test_trap_a_column_of_labels_is_refused(self, device, loss):
        x, y = torch.zeros(2, 3, device=device), torch.tensor([[0], [1]], device=device)
        with pytest.raises(RuntimeError, match="0D or 1D target tensor expected, multi-target not supported"):
            loss(x, y)

    def test_trap_the_batch_sizes_must_be_equal(self, device):
        x, y = torch.zeros(2, 3, device=device), torch.tensor([0, 1, 2], device=device)
        with pytest.raises(ValueError, match=r"Expected input batch_size \(2\) to match target batch_size \(3\)"):
            F.cross_entropy(x, y)

    def test_fix_long_and_squeeze(self, device):
        x = torch.tensor([[100.0, 0.0], [0.0, 100.0]], device=device)
        y = torch.tensor([[0.0], [1.0]], device=device)
        assert F.cross_entropy(x, y.squeeze(1).long()).item() == 0


ASSERTS = child("""
import torch
x, y = torch.zeros(2, 3, device="cuda"), torch.tensor([1, 3], device="cuda")
try:
    torch.nn.functional.cross_entropy(x, y).item()
except RuntimeError as error:
    print("device-side assert" in str(error))
""")


@pitfall(
    "target-class-out-of-bounds",
    docs=[
        ("torch.nn.NLLLoss", "should be a class index in the range"),
        ("torch.nn.CrossEntropyLoss", "Class indices in the range"),
        "notes/cuda#asynchronous-execution",
    ],
    symptom="IndexError: Target 3 is out of bounds; on the GPU: CUDA error: device-side assert triggered",
    error="Target 3 is out of bounds",
    priority=1,
)
class TestTargetClassOutOfBounds:
    """Classes count from 0: a label equal to the number of classes, or -1, is out of bounds, also as padding.

    On the CPU that is an ``IndexError`` that names the label; on a GPU an assertion in the kernel, after which the
    process can't use the GPU any more. Shift labels that count from 1, and name the padding with ``ignore_index``.
    """

    @on("cpu")
    @pytest.mark.parametrize("label", [3, -1, 255], ids=str)
    @pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss], ids=["cross_entropy", "nll_loss"])
    def test_trap_the_label_is_named(self, device, loss, label):
        x, y = torch.zeros(2, 3, device=device), torch.tensor([1, label], device=device)
        with pytest.raises(IndexError, match=f"Target {label} is out of bounds"):
            loss(x, y)

    @on("cpu")
    def test_trap_pixels_too(self, device):
        x, y = torch.zeros(1, 3, 2, 2, device=device), torch.full((1, 2, 2), 3, device=device)
        with pytest.raises(IndexError, match="Target 3 is out of bounds"):
            F.cross_entropy(x, y)

    @on("cuda")
    @pytest.mark.slow
    def test_trap_the_gpu_asserts(self, device):
        done = ASSERTS()
        assert done.stdout.split() == ["True"]

    def test_fix_count_from_zero(self, device):
        x = torch.tensor([[100.0, 0.0, 0.0], [0.0, 0.0, 100.0]], device=device)
        labels = torch.tensor([1, 3], device=device)
        assert F.cross_entropy(x, labels - 1).item() == 0

    @pytest.mark.parametrize("padding", [-1, 3, 255], ids=str)
    def test_fix_ignore_the_padding(self, device, padding):
        x = torch.tensor([[100.0, 0.0, 0.0], [0.0, 0.0, 100.0]], device=device)
        y = torch.tensor([padding, 2], device=device)
        assert F.cross_entropy(x, y, ignore_index=padding).item() == 0
