"""How far a grad mode reaches: one thread, one block, results but not leaves; and what inference mode adds."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitfalls import pitfall

MODES = [pytest.param(torch.no_grad, id="no_grad"), pytest.param(torch.inference_mode, id="inference_mode")]


@pitfall(
    "no-grad-is-per-thread",
    docs=[("torch.no_grad", "context manager is thread local"), "torch.inference_mode", "torch.enable_grad"],
    symptom="memory grows in my worker threads although the main thread is under torch.no_grad()",
    priority=2,
)
class TestNoGradIsPerThread:
    """Grad mode belongs to a thread: under ``no_grad`` a thread that is started there records all the same.

    A thread begins with the defaults, whatever the mode of the one that started it. Enter ``no_grad`` in the function
    that the thread runs, for instance by decorating it.
    """

    @pytest.mark.parametrize("mode", MODES)
    def test_trap_a_new_thread_records(self, device, mode):
        w = torch.ones(1, device=device, requires_grad=True)
        with mode(), ThreadPoolExecutor(1) as pool:
            y = pool.submit(lambda: w * 2).result()
        assert y.requires_grad

    @pytest.mark.parametrize("mode", MODES)
    def test_fix_enter_it_in_the_thread(self, device, mode):
        w = torch.ones(1, device=device, requires_grad=True)

        @mode()
        def work():
            return w * 2

        with ThreadPoolExecutor(1) as pool:
            y = pool.submit(work).result()
        assert not y.requires_grad


@pitfall(
    "no-grad-around-a-yield",
    docs=["torch.no_grad", ("torch.no_grad", "Also functions as a decorator"), "notes/autograd#no-grad-mode"],
    symptom="gradients are off in my training loop, because it iterates over a generator that uses no_grad",
    priority=2,
)
class TestNoGradAroundAYield:
    """``with torch.no_grad():`` around a ``yield`` switches recording off for whoever consumes the generator.

    The block is open while the generator waits, and the mode is that of the thread, not of the function. Decorate the
    generator instead: the mode is then entered at each step, and left at each ``yield``.
    """

    def test_trap_the_consumer_is_under_no_grad(self, device):
        w = torch.ones(1, device=device, requires_grad=True)

        def batches():
            with torch.no_grad():
                yield torch.ones(1, device=device)

        loader = batches()
        y = w * next(loader)
        loader.close()
        assert not y.requires_grad

    def test_fix_decorate_the_generator(self, device):
        w = torch.ones(1, device=device, requires_grad=True)

        @torch.no_grad()
        def batches():
            yield w * 3

        loader = batches()
        batch = next(loader)
        assert not batch.requires_grad
        assert (w * batch).requires_grad


@pitfall(
    "bare-no-grad-call-does-nothing",
    docs=["torch.no_grad", ("torch.no_grad", "Context-manager that disables gradient calculation"), "notes/autograd"],
    symptom="I call torch.no_grad() at the start of validation and memory still grows",
    priority=2,
)
class TestBareNoGradCallDoesNothing:
    """``torch.no_grad()`` as a statement of its own makes a context manager, throws it away, and changes nothing.

    Only ``set_grad_enabled`` acts when it is called. Write ``with torch.no_grad():``, or decorate a function.
    """

    @pytest.mark.parametrize("mode", [*MODES, pytest.param(torch.enable_grad, id="enable_grad")])
    def test_trap_the_call_alone_changes_nothing(self, device, mode):
        w = torch.ones(1, device=device, requires_grad=True)
        mode()
        assert (w * 2).requires_grad

    @pytest.mark.parametrize("mode", MODES)
    def test_fix_write_with(self, device, mode):
        w = torch.ones(1, device=device, requires_grad=True)
        with mode():
            y = w * 2
        assert not y.requires_grad


@pitfall(
    "no-grad-spares-factories",
    docs=[("torch.no_grad", "There is an exception! All factory functions"), "torch.ones", "torch.nn.Linear"],
    symptom="a tensor that was made under no_grad requires grad",
    priority=3,
)
class TestNoGradSparesFactories:
    """``no_grad`` governs results, not leaves: ``requires_grad=True`` and new modules mean what they say under it.

    Thus a model may be built under ``no_grad`` and trained afterwards. What is computed from its parameters there is
    not recorded.
    """

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda device: torch.ones(1, device=device, requires_grad=True), id="ones"),
            pytest.param(lambda device: torch.tensor([1.0], device=device, requires_grad=True), id="tensor"),
            pytest.param(lambda device: torch.empty(1, device=device).requires_grad_(), id="requires_grad_"),
            pytest.param(lambda device: nn.Parameter(torch.ones(1, device=device)), id="Parameter"),
            pytest.param(lambda device: nn.PReLU(device=device).weight, id="a module"),
        ],
    )
    @pytest.mark.parametrize("mode", MODES)
    def test_trap_a_new_leaf_requires_grad(self, device, mode, make):
        with mode():
            w = make(device)
        assert w.requires_grad

    @pytest.mark.parametrize("mode", MODES)
    def test_fix_results_do_not(self, device, mode):
        with mode():
            y = torch.ones(1, device=device, requires_grad=True) * 2
        assert not y.requires_grad


@pitfall(
    "no-grad-result-is-a-constant",
    docs=[("torch.no_grad", "the result of every computation will have"), "notes/autograd#no-grad-mode"],
    symptom="one part of the model gets no gradient, without an error",
    priority=2,
)
class TestNoGradResultIsAConstant:
    """What is computed under ``no_grad`` enters later computations as a constant, and its part of the gradient is gone.

    Nothing warns as long as something else in the loss requires grad. That is the way to freeze a backbone or a target;
    whatever is to be trained has to be computed outside.
    """

    def test_trap_its_part_of_the_gradient_is_missing(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        with torch.no_grad():
            target = w * w
        (target * w).backward()
        assert w.grad.item() == 9

    def test_trap_nothing_else_requires_grad(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        with torch.no_grad():
            loss = w * w
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            loss.backward()

    def test_fix_compute_it_outside(self, device):
        w = torch.tensor(3.0, device=device, requires_grad=True)
        (w * w * w).backward()
        assert w.grad.item() == 27


@pitfall(
    "enable-grad-inside-inference-mode",
    docs=["torch.inference_mode", "torch.enable_grad", "notes/autograd#inference-mode"],
    symptom="enable_grad() inside inference_mode does not bring gradients back",
    priority=2,
)
class TestEnableGradInsideInferenceMode:
    """``enable_grad()`` undoes ``no_grad()``, but inside ``inference_mode()`` nothing is recorded in spite of it.

    Gradients with respect to the input, inside an evaluation loop, need ``torch.inference_mode(False)``. That one is no
    mere undo: it switches recording on inside ``no_grad()`` too.
    """

    @pytest.mark.parametrize(
        ("outer", "recorded"),
        [
            pytest.param(torch.no_grad, True, id="no_grad"),
            pytest.param(torch.inference_mode, False, id="inference_mode"),
        ],
    )
    def test_trap_it_depends_on_what_is_outside(self, device, outer, recorded):
        w = torch.ones(1, device=device, requires_grad=True)
        with outer(), torch.enable_grad():
            y = w * 2
        assert y.requires_grad == recorded

    @pytest.mark.parametrize("outer", MODES)
    def test_fix_leave_inference_mode(self, device, outer):
        w = torch.ones(1, device=device, requires_grad=True)
        with outer(), torch.inference_mode(False):
            y = w * 2
        assert y.requires_grad


@pitfall(
    "inference-tensor-cannot-be-saved",
    docs=[("torch.inference_mode", "that tensors created in this mode cannot"), "notes/autograd#inference-mode"],
    symptom="RuntimeError: Inference tensors cannot be saved for backward",
    error="Inference tensors cannot be saved for backward",
    priority=2,
)
class TestInferenceTensorCannotBeSaved:
    """A tensor made under ``inference_mode`` can't be an operand of what saves its operands for ``backward()``.

    It has no version counter, so autograd could not notice a write. Features that are extracted under it thus fail in
    the first layer that is trained, while ``+``, which saves nothing, works. Extract them under ``no_grad()``.
    """

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda x, w: x * w, id="product"),
            pytest.param(lambda x, w: x @ w, id="matmul"),
            pytest.param(lambda x, w: F.linear(x, w[None]), id="linear"),
            pytest.param(lambda x, w: F.mse_loss(w, x), id="target of mse_loss"),
        ],
    )
    def test_trap_saving_raises(self, device, use):
        w = torch.ones(2, device=device, requires_grad=True)
        with torch.inference_mode():
            x = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
            use(x, w)

    def test_trap_it_cannot_become_a_leaf(self, device):
        with torch.inference_mode():
            x = torch.ones(2, device=device)
        with pytest.raises(RuntimeError, match="requires_grad=True on inference tensor outside InferenceMode"):
            x.requires_grad_()

    def test_trap_a_sum_works(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        with torch.inference_mode():
            x = torch.ones(2, device=device)
        (x + w).sum().backward()
        assert w.grad.tolist() == [1, 1]

    @pytest.mark.parametrize("extract", [torch.no_grad, torch.inference_mode], ids=["no_grad", "clone outside"])
    def test_fix_no_grad_or_clone(self, device, extract):
        w = torch.ones(2, device=device, requires_grad=True)
        with extract():
            x = torch.full((2,), 3.0, device=device)
        if x.is_inference():
            x = x.clone()
        (x * w).sum().backward()
        assert w.grad.tolist() == [3, 3]
