"""Which containers ``torch.func`` looks into for tensors."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest
import torch

from pitfalls import before, pitfall, since

Pair = namedtuple("Pair", "first second")

CONTAINERS = [
    pytest.param(lambda a, b: deque([a, b]), id="deque", marks=since("2.2")),
    pytest.param(lambda a, b: defaultdict(list, a=a, b=b), id="defaultdict", marks=since("2.2")),
    pytest.param(lambda a, b: [a, b], id="list"),
    pytest.param(lambda a, b: (a, b), id="tuple"),
    pytest.param(Pair, id="namedtuple"),
    pytest.param(lambda a, b: {"a": a, "b": b}, id="dict"),
    pytest.param(lambda a, b: OrderedDict(a=a, b=b), id="OrderedDict"),
]
OPAQUE = [
    pytest.param(lambda a, b: deque([a, b]), id="deque", marks=before("2.2")),
    pytest.param(lambda a, b: defaultdict(list, a=a, b=b), id="defaultdict", marks=before("2.2")),
    pytest.param(lambda a, b: {a, b}, id="set"),
]


@pitfall(
    "containers-that-vmap-looks-into",
    docs=["torch.func.vmap", "torch.func.grad", "func.ux_limitations"],
    symptom="ValueError: Got in_dim=0 for an input but the input is of type <class 'collections.deque'>",
    error="We cannot vmap over non-Tensor arguments",
    changed={"2.2": "deques and defaultdicts are containers; they had been values"},
    priority=3,
)
class TestContainersThatVmapLooksInto:
    """``vmap`` and ``grad`` find tensors in lists, tuples and dicts; any other object is one value, which they refuse.

    A deque or a defaultdict is looked into since torch 2.2 only, a set never. Turn them into a list or a plain dict.
    """

    @pytest.mark.parametrize("make", OPAQUE)
    def test_trap_another_container_is_refused(self, device, make):
        inputs = make(torch.ones(2, device=device), torch.ones(2, device=device))
        with pytest.raises(ValueError, match="We cannot vmap over non-Tensor arguments"):
            torch.func.vmap(lambda pair: pair)(inputs)

    @pytest.mark.parametrize("make", CONTAINERS)
    def test_trap_a_known_container_is_looked_into(self, device, make):
        inputs = make(torch.tensor([1.0, 2.0], device=device), torch.tensor([3.0, 4.0], device=device))

        def total(pair):
            first, second = pair.values() if isinstance(pair, dict) else pair
            return first * second

        assert torch.func.vmap(total)(inputs).tolist() == [3, 8]

    def test_fix_pass_a_list(self, device):
        window = deque([torch.tensor([1.0, 2.0], device=device), torch.tensor([3.0, 4.0], device=device)])
        assert torch.func.vmap(lambda pair: pair[0] * pair[1])(list(window)).tolist() == [3, 8]
