"""``vmap`` and side effects: in-place writes, ``out=``, appended lists, and tensors that escape."""

import pytest
import torch

from pitfalls import pitfall


@pitfall(
    "vmap-refuses-writes-to-unmapped-tensors",
    docs=["func.ux_limitations#arbitrary-mutation-of-python-data-structures", "torch.vmap", "torch.Tensor.new_zeros"],
    symptom="RuntimeError: vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor",
    error="vmap: inplace arithmetic(self, *extra_args) is not possible because",
    priority=1,
)
class TestVmapRefusesWritesToUnmappedTensors:
    """Under ``vmap`` a value of an example can't be written into a tensor that all examples share.

    What is captured, or made by ``torch.zeros`` within the function, has no room for a value each. Make the buffer from
    a mapped tensor (``new_zeros``, ``zeros_like``), or use the operator that returns a new tensor.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda buffer, x: buffer[0].copy_(x), id="copy_"),
            pytest.param(lambda buffer, x: buffer[0].mul_(x), id="mul_"),
            pytest.param(lambda buffer, x: buffer[0].sub_(x), id="sub_"),
            pytest.param(lambda buffer, x: buffer[0].div_(x), id="div_"),
            pytest.param(lambda buffer, x: buffer.__setitem__(0, x), id="assignment"),
        ],
    )
    @pytest.mark.parametrize("captured", [False, True], ids=["made inside", "captured"])
    def test_trap_it_raises(self, device, write, captured):
        outside = torch.ones(2, device=device)

        def f(x):
            buffer = outside if captured else torch.ones(2, device=device)
            write(buffer, x)
            return buffer

        with pytest.raises(RuntimeError, match=r"vmap: inplace arithmetic\(self, \*extra_args\) is not possible"):
            torch.vmap(f)(torch.tensor([1.0, 2.0, 3.0], device=device))

    def test_trap_add_complains_about_shapes(self, device):
        total = torch.zeros((), device=device)
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            torch.vmap(lambda x: total.add_(x))(torch.tensor([1.0, 2.0, 3.0], device=device))

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda x: x.new_zeros(2), id="new_zeros"),
            pytest.param(lambda x: torch.zeros_like(x.expand(2)), id="zeros_like"),
        ],
    )
    def test_fix_a_buffer_of_the_mapped_tensor(self, device, make):
        def f(x):
            buffer = make(x)
            buffer[0] = x
            return buffer

        assert torch.vmap(f)(torch.tensor([1.0, 2.0], device=device)).tolist() == [[1, 0], [2, 0]]

    def test_fix_return_and_sum(self, device):
        x = torch.tensor([1.0, 2.0, 3.0], device=device)
        assert torch.vmap(lambda x: x * 2)(x).sum().item() == 12


@pitfall(
    "vmap-writes-reach-the-mapped-tensor",
    docs=["func.ux_limitations#arbitrary-mutation-of-python-data-structures", "torch.vmap"],
    symptom="an in-place operation inside vmap changed the tensor that I mapped over",
    priority=2,
)
class TestVmapWritesReachTheMappedTensor:
    """An example under ``vmap`` is a view of the mapped tensor: an in-place write to it changes the original.

    An expanded tensor, whose examples are one memory, can't be written at all. Use the operator without underscore.
    """

    @pytest.mark.parametrize("in_dim", [0, 1, -1], ids=str)
    def test_trap_the_original_changes(self, device, in_dim):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        torch.vmap(lambda example: example.mul_(10), in_dims=in_dim)(x)
        assert x.tolist() == [[10, 20], [30, 40]]

    def test_trap_a_part_of_it_changes(self, device):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)

        def f(example):
            example[0] = 0
            return example.sum()

        assert torch.vmap(f)(x).tolist() == [2, 4]
        assert x.tolist() == [[0, 2], [0, 4]]

    def test_trap_expanded_examples_refuse(self, device):
        x = torch.ones(1, device=device).expand(3)
        with pytest.raises(RuntimeError, match="refers to a single memory location"):
            torch.vmap(lambda example: example.mul_(10))(x)

    def test_fix_without_underscore(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.vmap(lambda example: example.mul(10))(x).tolist() == [10, 20]
        assert x.tolist() == [1, 2]


@pitfall(
    "vmap-refuses-out",
    docs=["func.ux_limitations", "torch.vmap"],
    symptom="RuntimeError: Batching rule not implemented for aten::add.out; the fallback path doesn't work on out=",
    error="the fallback path doesn't work on out= or view ops",
    priority=3,
)
class TestVmapRefusesOut:
    """``out=`` raises under ``vmap``, whatever the tensor that it names.

    Return the result: ``vmap`` makes the tensor that holds all of them.
    """

    @pytest.mark.parametrize(
        "f",
        [
            pytest.param(lambda x: torch.add(x, x, out=torch.empty_like(x)), id="add into a mapped tensor"),
            pytest.param(lambda x: torch.mul(x, x, out=torch.empty(2, device=x.device)), id="mul into a fresh one"),
        ],
    )
    def test_trap_it_raises(self, device, f):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        with pytest.raises(RuntimeError, match="fallback path doesn't work on out="):
            torch.vmap(f)(x)

    def test_fix_return_it(self, device):
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        assert torch.vmap(lambda x: torch.add(x, x))(x).tolist() == [[2, 4], [6, 8]]


@pitfall(
    "vmap-runs-the-function-once",
    docs=["torch.vmap", "func.ux_limitations#arbitrary-mutation-of-python-data-structures"],
    symptom="print inside vmap shows once; a list that the function appends to has one element",
    priority=2,
)
class TestVmapRunsTheFunctionOnce:
    """``vmap`` calls the function once for all examples, or once a chunk: side effects don't happen per example.

    A counter counts 1, a list gets one entry, a printed shape lacks the mapped dimension. Return what each example is
    to leave behind, and collect it from the result.
    """

    @pytest.mark.parametrize(
        ("chunk_size", "calls"), [(None, 1), (4, 1), (2, 2), (1, 4)], ids=["no chunks", "4", "2", "1"]
    )
    def test_trap_one_call_a_chunk(self, device, chunk_size, calls):
        seen = []

        def f(x):
            seen.append(x.shape)
            return x * 2

        result = torch.vmap(f, chunk_size=chunk_size)(torch.ones(4, 3, device=device))
        assert result.shape == (4, 3)
        assert seen == [(3,)] * calls

    def test_trap_popping_takes_one_element(self, device):
        queue = [1.0, 2.0, 3.0]
        result = torch.vmap(lambda x: x + queue.pop())(torch.zeros(3, device=device))
        assert result.tolist() == [3, 3, 3]

    def test_fix_map_over_what_differs(self, device):
        queue = torch.tensor([1.0, 2.0, 3.0], device=device)
        assert torch.vmap(torch.add)(torch.zeros(3, device=device), queue).tolist() == [1, 2, 3]


@pitfall(
    "tensors-escape-from-vmap",
    docs=["func.ux_limitations#general-limitations", "torch.func.grad"],
    symptom="RuntimeError: your tensor may have escaped from inside a function being vmapped",
    error="your tensor may have escaped from inside a function being vmapped",
    priority=2,
)
class TestTensorsEscapeFromVmap:
    """A tensor that a mapped function puts into a list or an attribute is a wrapper, useless once ``vmap`` is over.

    Nearly every operation on it raises. Return the intermediate next to the result (for ``grad`` with
    ``has_aux=True``).
    """

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda x: x + 1, id="add"),
            pytest.param(lambda x: x.sum(), id="sum"),
            pytest.param(lambda x: x.clone(), id="clone"),
        ],
    )
    def test_trap_it_is_dead_afterwards(self, device, use):
        kept = []

        def f(x):
            kept.append(x * 2)
            return x

        torch.vmap(f)(torch.tensor([1.0, 2.0], device=device))
        with pytest.raises(RuntimeError, match="may have escaped from inside a function being vmapped"):
            use(kept[0])

    def test_fix_return_it_too(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        result, kept = torch.vmap(lambda x: (x, x * 2))(x)
        assert result.tolist() == [1, 2]
        assert kept.tolist() == [2, 4]

    def test_fix_has_aux_returns_it_from_grad(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        slopes, kept = torch.func.grad(lambda x: ((x * 2).sum(), x * 2), has_aux=True)(x)
        assert slopes.tolist() == [2, 2]
        assert kept.tolist() == [2, 4]
