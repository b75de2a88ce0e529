"""Tensors made after another one: `new_tensor`, the `*_like` factories, and `flatten` of a single number."""

import numpy as np
import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "new-tensor-copies-its-data",
    docs=[("torch.Tensor.new_tensor", "always copies"), ("torch.Tensor.new_tensor", "constructs a leaf variable")],
    symptom="x.new_tensor(array) does not follow the array; no gradient flows to the tensor that I gave it",
)
class TestNewTensorCopiesItsData:
    """``new_tensor`` copies whatever it is given, and its result is a leaf without a past.

    Of ``x`` itself it takes dtype and device only. To share an array use ``from_numpy`` or ``as_tensor``; to copy a
    tensor and keep its graph, ``clone``.
    """

    @pytest.mark.parametrize("source", [list, np.array], ids=["list", "ndarray"])
    def test_trap_the_source_is_left_behind(self, device, source):
        data = source([1.0, 2.0])
        x = torch.zeros(1, device=device).new_tensor(data)
        data[0] = 100
        assert x.tolist() == [1, 2]

    def test_trap_asking_for_grad_makes_a_leaf(self, device):
        w = torch.tensor([2.0], device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="To copy construct from a tensor"):
            x = w.new_tensor(w * 3, requires_grad=True)
        x.sum().backward()
        assert w.grad is None
        assert x.grad.tolist() == [1]

    def test_trap_dtype_comes_from_the_first(self, device):
        assert torch.zeros(1, dtype=torch.int64, device=device).new_tensor([1.5]).tolist() == [1]

    def test_fix_clone_keeps_the_graph(self, device):
        w = torch.tensor([2.0], device=device, requires_grad=True)
        (w * 3).clone().sum().backward()
        assert w.grad.tolist() == [3]


@pitfall(
    "like-factories-take-no-out",
    docs=[("torch.zeros_like", "this function does not support an"), ("torch.ones_like", "does not support an")],
    symptom="TypeError: zeros_like() got an unexpected keyword argument 'out'",
    priority=3,
)
class TestLikeFactoriesTakeNoOut:
    """``zeros_like``, ``ones_like`` and ``full_like`` have no ``out=``; ``zeros``, ``ones`` and ``full`` have one.

    To refill a tensor that is there, use ``zero_()`` or ``fill_``.
    """

    @pytest.mark.parametrize("like", [torch.zeros_like, torch.ones_like], ids=lambda f: f.__name__)
    def test_trap_out_is_unknown(self, device, like):
        x = torch.zeros(2, device=device)
        with pytest.raises(TypeError, match=r"(unexpected keyword argument 'out'|invalid combination of arguments)"):
            like(x, out=x)

    @pytest.mark.parametrize(
        ("fill", "result"),
        [
            pytest.param(lambda x: x.zero_(), [0, 0], id="zero_"),
            pytest.param(lambda x: torch.ones(x.shape, out=x), [1, 1], id="ones"),
        ],
    )
    def test_fix_fill_what_is_there(self, device, fill, result):
        x = torch.full((2,), 5.0, device=device)
        fill(x)
        assert x.tolist() == result


@pitfall(
    "flatten-of-a-number-is-a-vector",
    docs=[("torch.flatten", "Flattening a zero-dimensional tensor will return a"), "torch.ravel", "torch.Tensor.view"],
    symptom="flatten of a 0-d tensor has one dimension",
    priority=3,
)
class TestFlattenOfANumberIsAVector:
    """``flatten`` and ``ravel`` give a vector even of a 0-d tensor, with the one element that it has.

    The result is a view of it. ``squeeze`` goes back to no dimension.
    """

    FLATTEN = [
        pytest.param(torch.flatten, id="flatten"),
        pytest.param(torch.ravel, id="ravel"),
        pytest.param(lambda x: x.view(-1), id="view"),
    ]

    @pytest.mark.parametrize("flatten", FLATTEN)
    def test_trap_a_dimension_appears(self, device, flatten):
        assert flatten(torch.tensor(5, device=device)).tolist() == [5]

    @pytest.mark.parametrize("flatten", FLATTEN)
    def test_trap_a_write_goes_through(self, device, flatten):
        x = torch.tensor(5, device=device)
        flatten(x)[0] = 7
        assert x.item() == 7

    def test_fix_squeeze_goes_back(self, device):
        assert torch.tensor([5], device=device).squeeze().shape == ()
