"""Nested tensors: ragged batches, what they have no shape for, and which of them fit together."""

import warnings

import pytest
import torch

from pitfalls import pitfall, since


@pytest.fixture(autouse=True)
def quiet_prototype():
    """Nested tensors warn as a prototype wherever one is made; one test below is about that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors is in prototype stage")
        yield


@pitfall(
    "nested-tensors-are-a-prototype",
    docs=["nested", "torch.nested.nested_tensor", "torch.Tensor.size"],
    symptom="UserWarning: The PyTorch API of nested tensors is in prototype stage and will change in the near future",
    error="The PyTorch API of nested tensors is in prototype stage",
)
class TestNestedTensorsAreAPrototype:
    """A nested tensor of the strided layout, the default, warns as a prototype and has no shape to ask for.

    Even ``x.shape`` and ``len(x)`` raise, since a ragged dimension has no size. Use ``layout=torch.jagged``, where one
    dimension may be ragged and more operators work, ``x.size(0)`` and ``unbind()``.
    """

    def test_trap_it_warns(self, device):
        with pytest.warns(UserWarning, match="The PyTorch API of nested tensors is in prototype stage"):
            torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)

    @pytest.mark.parametrize("ask", [lambda x: x.shape, len], ids=["shape", "len"])
    def test_trap_it_has_no_shape(self, device, ask):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        with pytest.raises(RuntimeError, match="NestedTensorImpl doesn't support sizes"):
            ask(x)

    def test_trap_its_ragged_dimension_has_no_size(self, device):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        with pytest.raises(RuntimeError, match="Given dimension 1 is irregular and does not have a size"):
            x.size(1)

    def test_fix_ask_for_what_it_has(self, device):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        assert x.size(0) == 2
        assert [row.tolist() for row in x.unbind()] == [[1, 2], [3]]

    @since("2.2")
    def test_fix_jagged_has_a_length(self, device):
        x = torch.nested.nested_tensor(
            [torch.ones(2, device=device), torch.ones(1, device=device)], layout=torch.jagged
        )
        assert len(x) == 2


@pitfall(
    "nested-lacks-most-operators",
    docs=["nested#supported-operations", "torch.nested.to_padded_tensor"],
    symptom="NotImplementedError: Could not run 'aten::sum' with arguments from the 'NestedTensorCPU' backend",
    error="with arguments from the 'NestedTensor",
)
class TestNestedLacksMostOperators:
    """Most operators have no kernel for strided nested tensors: no ``sum``, ``mean``, ``max``, ``exp`` or ``stack``.

    Nothing broadcasts against a plain tensor either. Compute on what ``unbind()`` gives, or on the padded tensor with a
    mask.
    """

    @pytest.mark.parametrize(
        ("use", "name"),
        [
            pytest.param(torch.sum, "sum", id="sum"),
            pytest.param(torch.mean, "mean", id="mean"),
            pytest.param(torch.max, "max", id="max"),
            pytest.param(torch.exp, "exp", id="exp"),
            pytest.param(lambda x: torch.stack([x, x]), "stack", id="stack"),
        ],
    )
    def test_trap_these_have_no_kernel(self, device, use, name):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        with pytest.raises(NotImplementedError, match=f"Could not run 'aten::{name}' with arguments from the 'Nested"):
            use(x)

    def test_trap_a_plain_tensor_does_not_fit(self, device):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        with pytest.raises(RuntimeError, match="Expected both self and other to be nested"):
            x + torch.ones(2, 2, device=device)

    def test_trap_the_batch_dimension_stays_first(self, device):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        with pytest.raises(RuntimeError, match="Nested tensor dimension 0 cannot be transposed"):
            x.transpose(0, 1)

    def test_fix_row_by_row(self, device):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        assert [row.sum().item() for row in x.unbind()] == [3, 3]


@since("2.2")
@pitfall(
    "jagged-tensors-need-the-same-offsets",
    docs=["nested", "torch.nested.nested_tensor"],
    symptom="cannot call binary pointwise function add.Tensor with inputs of shapes (2, j1) and (2, j2)",
    error="cannot call binary pointwise function",
)
class TestJaggedTensorsNeedTheSameOffsets:
    """Two jagged tensors fit together only if they share one tensor of offsets; equal lengths are not enough.

    Each construction from a list makes a new symbolic size, ``j1``, ``j2`` and so on. Make both with
    ``nested_tensor_from_jagged`` from the same offsets, or compute one from the other.
    """

    def test_trap_equal_lengths_do_not_fit(self, device):
        rows = [torch.ones(2, device=device), torch.ones(1, device=device)]
        x = torch.nested.nested_tensor(rows, layout=torch.jagged)
        y = torch.nested.nested_tensor(rows, layout=torch.jagged)
        with pytest.raises(RuntimeError, match=r"cannot call binary pointwise function add\.Tensor"):
            x + y

    def test_trap_only_one_dimension_may_be_ragged(self, device):
        rows = [torch.ones(1, 2, device=device), torch.ones(2, 1, device=device)]
        with pytest.raises(RuntimeError, match="Cannot represent given tensor list as a nested tensor with the jagged"):
            torch.nested.nested_tensor(rows, layout=torch.jagged)

    @since("2.4")
    def test_fix_share_the_offsets(self, device):
        offsets = torch.tensor([0, 2, 3], device=device)
        x = torch.nested.nested_tensor_from_jagged(torch.tensor([1.0, 2.0, 3.0], device=device), offsets)
        y = torch.nested.nested_tensor_from_jagged(torch.tensor([4.0, 5.0, 6.0], device=device), offsets)
        assert (x + y).values().tolist() == [5, 7, 9]


@pitfall(
    "nested-tensor-copies",
    docs=[
        ("torch.nested.nested_tensor", "Constructs a nested tensor with no autograd history"),
        ("torch.nested.as_nested_tensor", "Constructs a nested tensor preserving autograd history"),
        "torch.nested.to_padded_tensor",
    ],
    symptom="no gradient reaches the tensors that I put into a nested tensor",
)
class TestNestedTensorCopies:
    """``nested_tensor`` copies its parts and cuts them off the graph, as ``torch.tensor`` does; nothing says so.

    ``as_nested_tensor`` keeps the graph; it copies too. ``to_padded_tensor`` always copies, so that a write to the
    result never reaches the nested tensor.
    """

    def test_trap_the_graph_is_cut(self, device):
        a = torch.ones(2, device=device, requires_grad=True)
        assert torch.nested.nested_tensor([a, a]).requires_grad is False

    def test_trap_the_parts_are_copied(self, device):
        a = torch.ones(2, device=device)
        x = torch.nested.nested_tensor([a, a])
        a.zero_()
        assert x.unbind()[0].tolist() == [1, 1]

    def test_trap_the_padded_tensor_is_a_copy(self, device):
        x = torch.nested.nested_tensor([[1.0, 2.0], [3.0]], device=device)
        torch.nested.to_padded_tensor(x, 0.0).zero_()
        assert x.unbind()[0].tolist() == [1, 2]

    def test_fix_as_nested_tensor_keeps_the_graph(self, device):
        a = torch.ones(2, device=device, requires_grad=True)
        x = torch.nested.as_nested_tensor([a, a])
        torch.nested.to_padded_tensor(x, 0.0).sum().backward()
        assert a.grad.tolist() == [2, 2]
