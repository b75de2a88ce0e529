"""Binary cross entropy: probabilities or logits, saturation, targets that must be floats, and `pos_weight`."""

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, on, pitfall, since


@pitfall(
    "bce-wants-probabilities",
    docs=[
        ("torch.nn.BCELoss", "between the target and the input probabilities"),
        "torch.nn.functional.binary_cross_entropy",
    ],
    symptom="RuntimeError: all elements of input should be between 0 and 1",
    error="all elements of input should be between 0 and 1",
    priority=1,
    changed={"2.1": "targets outside of [0, 1] raise too"},
)
class TestBceWantsProbabilities:
    """``binary_cross_entropy`` takes probabilities: a logit, or a NaN, is outside of 0 to 1 and raises.

    On a GPU the check is an assertion in the kernel. Give logits to ``binary_cross_entropy_with_logits``, which needs
    no sigmoid. Where probabilities raise all the same, they are NaN: the model has diverged before.
    """

    @on("cpu")
    @pytest.mark.parametrize("x", [1.5, -0.25, float("nan"), float("inf")], ids=str)
    def test_trap_logits_and_nan_raise(self, device, x):
        with pytest.raises(RuntimeError, match="all elements of input should be between 0 and 1"):
            F.binary_cross_entropy(torch.tensor([x], device=device), torch.tensor([1.0], device=device))

    @since("2.1")
    @on("cpu")
    @pytest.mark.parametrize("y", [2.0, -1.0], ids=str)
    def test_trap_targets_are_checked_too(self, device, y):
        with pytest.raises(RuntimeError, match="all elements of target should be between 0 and 1"):
            F.binary_cross_entropy(torch.tensor([0.5], device=device), torch.tensor([y], device=device))

    @before("2.1")
    @on("cpu")
    def test_trap_targets_were_not_checked(self, device):
        loss = F.binary_cross_entropy(torch.tensor([0.5], device=device), torch.tensor([-1.0], device=device))
        assert loss.item() == pytest.approx(0.693147, rel=1e-5)

    @pytest.mark.parametrize("x", [1.5, -0.25], ids=str)
    def test_fix_logits_have_a_loss_of_their_own(self, device, x):
        x, y = torch.tensor([x], device=device), torch.tensor([1.0], device=device)
        with_logits = F.binary_cross_entropy_with_logits(x, y)
        torch.testing.assert_close(with_logits, F.binary_cross_entropy(x.sigmoid(), y))


@pitfall(
    "bce-with-logits-is-stabler",
    docs=[
        ("torch.nn.BCEWithLogitsLoss", "more numerically stable than using a plain"),
        ("torch.nn.BCELoss", "clamps its log function outputs to be"),
        "torch.nn.functional.binary_cross_entropy_with_logits",
    ],
    symptom="the loss sticks at 100, and a model that is sure and wrong does not learn any more",
    priority=1,
)
class TestBceWithLogitsIsStabler:
    """After a saturated sigmoid ``binary_cross_entropy`` is 100 with gradient zero; from the logits both are exact.

    The logarithm is clamped at -100 to keep the loss finite, and the sigmoid passes no gradient where it is 0 or 1.
    Drop the sigmoid and use ``binary_cross_entropy_with_logits``.
    """

    @pytest.mark.parametrize(("logit", "y"), [(20.0, 0.0), (-200.0, 1.0)], ids=["sure of 1", "sure of 0"])
    def test_trap_sure_and_wrong_learns_nothing(self, device, logit, y):
        x = torch.tensor([logit], device=device, requires_grad=True)
        loss = F.binary_cross_entropy(x.sigmoid(), torch.tensor([y], device=device))
        loss.backward()
        assert loss.item() == 100
        assert x.grad.item() == 0

    @pytest.mark.parametrize(
        ("logit", "y", "grad"), [(20.0, 0.0, 1), (-200.0, 1.0, -1)], ids=["sure of 1", "sure of 0"]
    )
    def test_fix_from_the_logits_it_does(self, device, logit, y, grad):
        x = torch.tensor([logit], device=device, requires_grad=True)
        loss = F.binary_cross_entropy_with_logits(x, torch.tensor([y], device=device))
        loss.backward()
        assert loss.item() == abs(logit)
        assert x.grad.item() == grad


@pitfall(
    "bce-with-logits-accepts-probabilities",
    docs=[
        ("torch.nn.BCEWithLogitsLoss", "in one single class"),
        "torch.nn.functional.binary_cross_entropy_with_logits",
    ],
    symptom="the loss never falls below 0.31, and everything is predicted as positive",
)
class TestBceWithLogitsAcceptsProbabilities:
    """``binary_cross_entropy_with_logits`` can't tell probabilities from logits, and applies the sigmoid a second time.

    Probabilities of 0 to 1 become 0.5 to 0.73, so a sure answer still costs 0.31 or 0.69. Targets outside of 0 to 1 are
    not refused either, and make the loss negative.
    """

    @pytest.mark.parametrize(("y", "loss"), [(1.0, 0.313262), (0.0, 0.693147)], ids=["positive", "negative"])
    def test_trap_a_perfect_answer_still_costs(self, device, y, loss):
        target = torch.tensor([y], device=device)
        assert F.binary_cross_entropy_with_logits(target.clone(), target).item() == pytest.approx(loss, rel=1e-5)

    def test_trap_targets_are_not_checked(self, device):
        x, y = torch.tensor([3.0], device=device), torch.tensor([5.0], device=device)
        assert F.binary_cross_entropy_with_logits(x, y).item() < -10

    @pytest.mark.parametrize("y", [1.0, 0.0], ids=["positive", "negative"])
    def test_fix_logits_have_no_bounds(self, device, y):
        x, target = torch.tensor([400 * y - 200], device=device), torch.tensor([y], device=device)
        assert F.binary_cross_entropy_with_logits(x, target).item() == 0


@pitfall(
    "binary-targets-are-floats",
    docs=[
        ("torch.nn.BCEWithLogitsLoss", "should be numbers between 0 and 1"),
        "torch.nn.functional.binary_cross_entropy",
        "torch.nn.functional.binary_cross_entropy_with_logits",
    ],
    symptom="RuntimeError: Found dtype Long but expected Float; result type Float can't be cast to Long",
    error="result type Float can't be cast to the desired output type Long",
    changed={"2.14": "with bool targets NotImplementedError is raised, which is a RuntimeError too"},
)
class TestBinaryTargetsAreFloats:
    """Binary losses want floating-point targets, unlike ``cross_entropy``, which wants int64.

    Labels from a dataset are integers or bools. Say ``y.float()``; ``binary_cross_entropy`` wants the very dtype of its
    input, so use ``y.to(x.dtype)``.
    """

    @pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool], ids=str)
    def test_trap_with_logits_integers_are_refused(self, device, dtype):
        x, y = torch.zeros(2, device=device), torch.tensor([0, 1], dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match=r"(can't be cast to the desired output type|with two bool tensors)"):
            F.binary_cross_entropy_with_logits(x, y)

    @pytest.mark.parametrize(
        ("dtype", "name"), [(torch.int64, "Long"), (torch.float64, "Double")], ids=["int64", "float64"]
    )
    def test_trap_of_probabilities_another_dtype_is_refused(self, device, dtype, name):
        x, y = torch.full((2,), 0.5, device=device), torch.tensor([0, 1], dtype=dtype, device=device)
        with pytest.raises(RuntimeError, match=f"Found dtype {name} but expected Float"):
            F.binary_cross_entropy(x, y)

    @pytest.mark.parametrize(
        "loss",
        [F.binary_cross_entropy, F.binary_cross_entropy_with_logits],
        ids=["binary_cross_entropy", "binary_cross_entropy_with_logits"],
    )
    def test_fix_the_dtype_of_the_input(self, device, loss):
        x, y = torch.tensor([0.5, 0.5], device=device), torch.tensor([0, 1], device=device)
        assert loss(x, y.to(x.dtype)).item() > 0


@pitfall(
    "binary-target-needs-the-shape-of-the-input",
    docs=[
        ("torch.nn.BCELoss", "same shape as the input"),
        ("torch.nn.BCEWithLogitsLoss", "same shape as the input"),
        "torch.nn.functional.binary_cross_entropy",
        "torch.nn.functional.binary_cross_entropy_with_logits",
    ],
    symptom="ValueError: Using a target size (torch.Size([2])) that is different to the input size",
    error="is deprecated. Please ensure they have the same size | must be the same as input size",
    priority=1,
)
class TestBinaryTargetNeedsTheShapeOfTheInput:
    """Binary losses never broadcast: an output of shape (n, 1) and labels of shape (n,) raise a ``ValueError``.

    A layer with one output gives a column, a dataset gives a vector. Say ``x.squeeze(1)`` or ``y.unsqueeze(1)``. That
    they raise is luck: ``mse_loss`` broadcasts to (n, n).
    """

    SIZES = [((2, 1), (2,)), ((2,), (2, 1)), ((2, 3), (1, 3)), ((3,), (2,))]

    @pytest.mark.parametrize(("x", "y"), SIZES, ids=str)
    def test_trap_probabilities(self, device, x, y):
        with pytest.raises(ValueError, match=r"Using a target size .* that is different to the input size"):
            F.binary_cross_entropy(torch.full(x, 0.5, device=device), torch.ones(y, device=device))

    @pytest.mark.parametrize(("x", "y"), SIZES, ids=str)
    def test_trap_logits(self, device, x, y):
        with pytest.raises(ValueError, match=r"Target size .* must be the same as input size"):
            F.binary_cross_entropy_with_logits(torch.zeros(x, device=device), torch.ones(y, device=device))

    @pytest.mark.parametrize(
        "fit",
        [
            pytest.param(lambda x, y: (x.squeeze(1), y), id="squeeze"),
            pytest.param(lambda x, y: (x, y.unsqueeze(1)), id="unsqueeze"),
        ],
    )
    def test_fix_make_them_equal(self, device, fit):
        x, y = torch.tensor([[200.0], [-200.0]], device=device), torch.tensor([1.0, 0.0], device=device)
        assert F.binary_cross_entropy_with_logits(*fit(x, y)).item() == 0


@pitfall(
    "pos-weight-broadcasts-over-classes",
    docs=[
        ("torch.nn.BCEWithLogitsLoss", "equal size along the class dimension"),
        "torch.nn.functional.binary_cross_entropy_with_logits",
    ],
    symptom="pos_weight fails with a size mismatch, or weighs samples where it should weigh classes",
)
class TestPosWeightBroadcastsOverClasses:
    """``pos_weight`` is broadcast from the last dimension: one number for each class of a ``(batch, classes)`` output.

    It multiplies the positive term only. A column weighs samples without a word, and maps of shape (batch, classes, h,
    w) need ``view(-1, 1, 1)``. It is negatives divided by positives, as a tensor; a Python number is refused.
    """

    def test_trap_another_number_of_classes(self, device):
        x, y = torch.zeros(2, 3, device=device), torch.ones(2, 3, device=device)
        with pytest.raises(RuntimeError, match="must match the size of tensor b"):
            F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor([2.0, 3.0], device=device))

    def test_trap_a_column_weighs_samples(self, device):
        x, y = torch.zeros(2, 2, device=device), torch.ones(2, 2, device=device)
        weight = torch.tensor([[1.0], [3.0]], device=device)
        loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=weight, reduction="none")
        torch.testing.assert_close(loss / loss[0, 0], torch.tensor([[1.0, 1.0], [3.0, 3.0]], device=device))

    def test_trap_maps_have_their_classes_elsewhere(self, device):
        x, y = torch.zeros(1, 2, 2, 2, device=device), torch.ones(1, 2, 2, 2, device=device)
        weight = torch.tensor([1.0, 3.0], device=device)
        loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=weight, reduction="none")
        assert (loss[0, 0, 0, 1] > loss[0, 0, 0, 0]).item()

    def test_trap_negatives_keep_their_weight(self, device):
        x, y = torch.zeros(1, 2, device=device), torch.tensor([[1.0, 0.0]], device=device)
        loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(3.0, device=device), reduction="none")
        torch.testing.assert_close(loss / loss[0, 1], torch.tensor([[3.0, 1.0]], device=device))

    def test_fix_one_number_a_class(self, device):
        x, y = torch.zeros(1, 2, 2, 2, device=device), torch.ones(1, 2, 2, 2, device=device)
        weight = torch.tensor([1.0, 3.0], device=device).view(-1, 1, 1)
        loss = F.binary_cross_entropy_with_logits(x, y, pos_weight=weight, reduction="none")
        torch.testing.assert_close(loss[0, 1], 3 * loss[0, 0])
