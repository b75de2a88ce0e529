"""Writes that reach a saved tensor from afar: under `no_grad`, through views, from `step()`, or past the counter."""

import pytest
import torch
from torch import nn

from pitfalls import observe, on, pitfall, since


@pitfall(
    "no-grad-write-still-counts",
    docs=["notes/autograd#in-place-correctness-checks", "torch.no_grad", "torch.Tensor.detach"],
    symptom="I edited an activation under no_grad and backward fails all the same",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
    priority=1,
)
class TestNoGradWriteStillCounts:
    """``no_grad`` and ``inference_mode`` hide a write from the graph, not from the check at ``backward()``.

    The modes say what is recorded; the memory that an earlier operation saved is changed all the same, and its version
    counter with it. Copy what you want to edit: ``x = x.detach().clone()``.
    """

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
    def test_trap_write_between_forward_and_backward(self, device, mode):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        loss = (w * w).sum()
        with mode():
            w.mul_(10)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            loss.backward()

    def test_fix_edit_a_copy(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        loss = (w * w).sum()
        with torch.no_grad():
            w.clone().mul_(10)
        loss.backward()
        assert w.grad.tolist() == [2, 4]


@pitfall(
    "data-hides-writes-from-autograd",
    docs=[
        ("torch.autograd.function.FunctionCtx.mark_dirty", "This would lead to wrong gradients"),
        ("torch.Tensor.detach", "may trigger errors in correctness checks"),
        "notes/autograd#in-place-correctness-checks",
    ],
    symptom="gradients are silently wrong after I changed a tensor through .data",
    priority=1,
)
class TestDataHidesWritesFromAutograd:
    """A write through ``.data`` or ``.numpy()`` escapes the version counter, and gradients are silently wrong.

    ``x.data`` shares the memory of ``x`` but not its counter, so backward computes with the new values. ``x.detach()``
    shares both, and the same write raises. Whoever must write behind autograd's back says so with
    ``torch.autograd.graph.increment_version(x)``.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x: x.data.mul_(10), id="data.mul_"),
            pytest.param(lambda x: x.data[:].fill_(10), id="view of data"),
            pytest.param(lambda x: setattr(x, "data", x.data * 10), id="data = ..."),
            pytest.param(lambda x: torch.from_dlpack(x.detach()).mul_(10), id="dlpack"),
        ],
    )
    def test_trap_gradient_is_silently_wrong(self, device, write):
        w = torch.ones(2, device=device, requires_grad=True)
        loss = (w * w).sum()
        write(w)
        loss.backward()
        assert w.grad.tolist() == [20, 20]  # at w = 1, where the loss was computed, it is 2

    @on("cpu")
    def test_trap_numpy_writes_unseen_as_well(self, device):
        w = torch.ones(2, requires_grad=True)
        loss = (w * w).sum()
        w.detach().numpy().fill(10)
        loss.backward()
        assert w.grad.tolist() == [20, 20]

    def test_fix_detach_is_checked(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        loss = (w * w).sum()
        w.detach().mul_(10)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            loss.backward()

    @since("2.1")
    def test_fix_report_the_write(self, device):
        w = torch.ones(2, device=device, requires_grad=True)
        loss = (w * w).sum()
        w.data.mul_(10)
        torch.autograd.graph.increment_version(w)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            loss.backward()


@pitfall(
    "views-share-the-version-counter",
    docs=["tensor_view", "notes/autograd#in-place-correctness-checks", "torch.Tensor.detach"],
    symptom="backward fails because of a write to another part of the same tensor",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
)
class TestViewsShareTheVersionCounter:
    """A write anywhere in a tensor invalidates every saved view of it, also where they do not overlap.

    A base, its views and their ``detach()`` have one counter between them: autograd does not track which elements were
    written. Use separate tensors for what changes and for what is kept, or ``clone()`` the part before using it.
    """

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x: x[2:].zero_(), id="another slice"),
            pytest.param(lambda x: x.view(2, 2)[1].zero_(), id="view of a view"),
            pytest.param(lambda x: x.detach()[3].zero_(), id="detached slice"),
        ],
    )
    def test_trap_other_half_is_changed(self, device, write):
        x = torch.ones(4, device=device, requires_grad=True).clone()
        half = x[:2]
        loss = (half * half).sum()
        write(x)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            loss.backward()

    def test_fix_clone_the_part(self, device):
        w = torch.ones(4, device=device, requires_grad=True)
        x = w.clone()
        half = x[:2].clone()
        loss = (half * half).sum()
        x[2:].zero_()
        loss.backward()
        assert w.grad.tolist() == [2, 2, 0, 0]


@pitfall(
    "recurrence-into-a-preallocated-tensor",
    docs=["notes/autograd#in-place-operations-with-autograd", "torch.stack", "tensor_view"],
    symptom="h[t] = h[t - 1] * w in a loop fails in backward",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
    priority=1,
)
class TestRecurrenceIntoAPreallocatedTensor:
    """``h[t] = h[t - 1] * w`` into a preallocated ``h`` breaks ``backward()``: each step changes what the last saved.

    ``h[t - 1]`` is a view, the product saves it, and the next assignment raises the version of all of ``h``. With a
    plain sum instead of a product it happens to work. Collect the steps in a list and ``torch.stack`` them.
    """

    def test_trap_state_is_written_into_a_tensor(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        h = torch.ones(4, device=device)
        for t in range(1, 4):
            h[t] = h[t - 1] * w
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            h[3].backward()

    def test_trap_sum_happens_to_work(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        h = torch.ones(4, device=device)
        for t in range(1, 4):
            h[t] = h[t - 1] + w
        h[3].backward()
        assert w.grad.item() == 3

    def test_fix_stack_a_list(self, device):
        w = torch.tensor(2.0, device=device, requires_grad=True)
        h = [torch.tensor(1.0, device=device)]
        for _ in range(3):
            h.append(h[-1] * w)
        torch.stack(h)[3].backward()
        assert w.grad.item() == 12  # of w ** 3


@pitfall(
    "step-invalidates-the-older-graph",
    docs=["torch.optim.Optimizer.step", "notes/autograd#in-place-correctness-checks"],
    symptom="GAN training: the second backward after optimizer.step() says that a weight was modified",
    error="one of the variables needed for gradient computation has been modified by an inplace operation",
    priority=1,
)
class TestStepInvalidatesTheOlderGraph:
    """``optimizer.step()`` writes to the weights, so a graph recorded before it can't be differentiated afterwards.

    In a GAN the generator's loss is computed with the discriminator's old weights, then those are updated, then the
    loss is to go backward: too late. Compute the loss after the step, or call every ``backward()`` before any
    ``step()``. ``retain_graph=True`` doesn't help. Loading a state dict and ``nn.init`` are writes as well.
    """

    @pytest.mark.parametrize(
        "update",
        [
            pytest.param(lambda net: torch.optim.SGD(net.parameters(), lr=0.5).step(), id="SGD"),
            pytest.param(lambda net: torch.optim.Adam(net.parameters(), lr=0.5).step(), id="Adam"),
            pytest.param(lambda net: torch.optim.AdamW(net.parameters(), lr=0.5).step(), id="AdamW"),
            pytest.param(lambda net: net.load_state_dict(net.state_dict()), id="load_state_dict"),
            pytest.param(lambda net: nn.init.ones_(net[1].weight), id="nn.init"),
        ],
    )
    def test_trap_backward_after_the_weights_changed(self, device, seeded, update):
        net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).to(device)
        loss = net(torch.ones(1, 1, device=device)).sum()
        loss.backward(retain_graph=True)
        update(net)
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            loss.backward()

    def test_trap_generator_after_the_discriminator_step(self, device):
        generator = torch.tensor([1.0], device=device, requires_grad=True)
        discriminator = torch.tensor([2.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([discriminator], lr=0.5)
        generator_loss = discriminator * generator
        (discriminator * generator.detach()).backward()
        optimizer.step()
        with pytest.raises(RuntimeError, match="needed for gradient computation has been modified by an inplace"):
            generator_loss.backward()

    def test_fix_compute_the_loss_after_the_step(self, device):
        generator = torch.tensor([1.0], device=device, requires_grad=True)
        discriminator = torch.tensor([2.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([discriminator], lr=0.5)
        (discriminator * generator.detach()).backward()
        optimizer.step()
        (discriminator * generator).backward()
        assert generator.grad.item() == 1.5  # the discriminator after its step


@pitfall(
    "inplace-error-names-the-victim",
    docs=[("torch.autograd.detect_anomaly", "traceback of the forward operation"), "torch.autograd.set_detect_anomaly"],
    symptom="the in-place error points at backward() and does not say which line wrote to the tensor",
    error="is at version 2; expected version 0 instead",
    changed={"2.13": "the message names the operation (Exp), no longer the node of the graph (ExpBackward0)"},
)
class TestInplaceErrorNamesTheVictim:
    """The in-place error is raised at ``backward()`` and says how often a tensor was written to, not by which line.

    The difference of the two versions is the number of writes since it was saved. ``torch.autograd.detect_anomaly()``
    adds the traceback of the operation that saved it: the culprit is a write to that tensor afterwards.
    """

    def test_trap_message_counts_the_writes(self, device):
        x = torch.ones(3, device=device, requires_grad=True).clone()
        y = x.exp()
        y += 1
        y *= 2
        with pytest.raises(RuntimeError, match=r"\[3\].* is at version 2; expected version 0 instead") as caught:
            y.sum().backward()
        observe(message=str(caught.value).partition(" Hint:")[0].replace("torch.cuda.", "torch."))

    def test_fix_anomaly_mode_shows_the_operation_that_saved_it(self, device):
        with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
            anomaly_mode = torch.autograd.detect_anomaly()
        with anomaly_mode:
            y = torch.ones(3, device=device, requires_grad=True).exp()
            y += 1
            with pytest.warns(UserWarning, match=r"(?s)ExpBackward0.*requires_grad=True\).exp\(\)"):
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    y.sum().backward()
