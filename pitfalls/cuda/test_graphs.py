"""CUDA graphs: recorded work that is played again, at the same addresses and with the same numbers."""

import pytest
import torch
from torch import nn

from pitfalls import child, on, pitfall


@pitfall(
    "graphs-replay-their-addresses",
    docs=["notes/cuda#cuda-graphs", ("torch.cuda.graph", "Context-manager that captures CUDA work into a")],
    symptom="graph.replay() gives the same result for every batch; an old result changes by itself",
)
class TestGraphsReplayTheirAddresses:
    """A CUDA graph replays the captured kernels on the captured memory, with the numbers of Python as they were.

    Nothing runs at capture, and a new tensor under the old name is not seen. Copy new data into the static input,
    ``x.copy_(batch)``, and clone results that are to survive the next replay.
    """

    @on("cuda")
    def test_trap_another_tensor_is_not_seen(self, device):
        x, graph = torch.ones(2, device=device), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = x * 2
        static, x = x, torch.full((2,), 5.0, device=device)
        graph.replay()
        assert y.tolist() == [2, 2]
        assert static.tolist() == [1, 1]

    @on("cuda")
    def test_trap_numbers_of_python_are_fixed(self, device):
        x, graph, factors = torch.ones(2, device=device), torch.cuda.CUDAGraph(), {"scale": 2}
        with torch.cuda.graph(graph):
            y = x * factors["scale"]
        factors["scale"] = 3
        graph.replay()
        assert y.tolist() == [2, 2]

    @on("cuda")
    def test_trap_the_next_replay_overwrites_the_result(self, device):
        x, graph = torch.ones(2, device=device), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = x * 2
        graph.replay()
        kept, copied = y, y.clone()
        x.fill_(5)
        graph.replay()
        assert kept.tolist() == [10, 10]
        assert copied.tolist() == [2, 2]

    @on("cuda")
    def test_fix_copy_into_the_static_input(self, device):
        x, graph = torch.ones(2, device=device), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = x * 2
        x.copy_(torch.tensor([3.0, 4.0]))
        graph.replay()
        assert y.tolist() == [6, 8]


ASKS_IN_A_CAPTURE = child("""
import torch
x = torch.ones(2, device="cuda")
try:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        x.sum().item()
except RuntimeError as error:
    print("captur" in str(error), flush=True)
""")


@pitfall(
    "graphs-capture-no-waiting",
    docs=["notes/cuda#cuda-graphs", "torch.cuda.graph", "torch.cuda.CUDAGraph"],
    symptom="CUDA error: operation not permitted when stream is capturing",
    error="operation not permitted when stream is capturing",
)
class TestGraphsCaptureNoWaiting:
    """What waits for the GPU or needs values from it can't be captured: ``item()``, ``cpu()``, an ``if`` on a tensor.

    The capture fails as a whole. Stay on the GPU (``torch.where`` for ``if``), or capture the parts in between. The
    test runs in a process of its own, which a failed capture doesn't leave usable.
    """

    @on("cuda")
    @pytest.mark.slow
    def test_trap_item_breaks_the_capture(self, device):
        done = ASKS_IN_A_CAPTURE()
        assert done.stdout.split() == ["True"]

    @on("cuda")
    def test_fix_choose_on_the_gpu(self, device):
        x, graph = torch.tensor([1.0, -2.0], device=device), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = torch.where(x > 0, x, 0 * x)
        graph.replay()
        assert y.tolist() == [1, 0]


@pitfall(
    "graphed-callables-are-picky",
    docs=[
        ("torch.cuda.make_graphed_callables", "must contain only Tensors. Other types are not"),
        ("torch.cuda.make_graphed_callables", "Buffers must have ``requires_grad=False``"),
        ("torch.cuda.make_graphed_callables", "must not have module hooks"),
    ],
    symptom="AssertionError: Modules must not have hooks registered at the time they are passed",
    error="In the beta API, sample_args for each callable must contain only Tensors",
    priority=3,
)
class TestGraphedCallablesArePicky:
    """``make_graphed_callables`` refuses sample arguments that are no tensors, modules with hooks and trained buffers.

    It checks before anything is captured, so the errors come without a GPU, too. Register hooks afterwards. Under
    autocast its cache must be off.
    """

    def test_trap_arguments_that_are_no_tensors(self):
        with pytest.raises(AssertionError, match="sample_args for each callable must contain only Tensors"):
            torch.cuda.make_graphed_callables(nn.ReLU(), (1,))

    def test_trap_hooks(self, device):
        net = nn.ReLU()
        net.register_forward_hook(lambda *_: None)
        with pytest.raises(AssertionError, match="Modules must not have hooks registered at the time they are passed"):
            torch.cuda.make_graphed_callables(net, (torch.ones(2, device=device),))

    def test_trap_buffers_that_are_trained(self, device):
        net = nn.ReLU()
        net.register_buffer("scale", torch.ones(1, device=device, requires_grad=True))
        with pytest.raises(AssertionError, match="only parameters may be trainable"):
            torch.cuda.make_graphed_callables(net, (torch.ones(2, device=device),))

    @on("cuda")
    def test_trap_the_cache_of_autocast(self, device):
        with torch.autocast("cuda"), pytest.raises(RuntimeError, match="does not support the autocast caching"):
            torch.cuda.make_graphed_callables(nn.ReLU(), (torch.ones(2, device=device),))

    @on("cuda")
    def test_fix_plain_modules_and_tensors(self, device):
        x = torch.tensor([3.0, 4.0], device=device, requires_grad=True)
        double = torch.cuda.make_graphed_callables(lambda x: x * 2, (torch.ones_like(x, requires_grad=True),))
        assert double(x).tolist() == [6, 8]
