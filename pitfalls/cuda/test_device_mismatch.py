"""Tensors on different devices: which operations refuse them, and which move a tensor silently."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from pitfalls import on, pitfall

MIXTURES = [
    pytest.param(lambda x, y: torch.add(x, y), id="add"),
    pytest.param(lambda x, y: torch.cat([x, y]), id="cat"),
    pytest.param(lambda x, y: torch.stack([x, y]), id="stack"),
    pytest.param(lambda x, y: torch.addmm(x, y, y), id="addmm"),
    pytest.param(lambda x, y: F.linear(x, y, y[0]), id="linear"),
    pytest.param(lambda x, y: F.mse_loss(x, y), id="mse_loss"),
    pytest.param(lambda x, y: F.cross_entropy(x, y.argmax(1)), id="cross_entropy, labels"),
    pytest.param(lambda x, y: F.cross_entropy(x, x, weight=y[0]), id="cross_entropy, weight"),
    pytest.param(lambda x, y: F.layer_norm(x, (2,), weight=y[0]), id="layer_norm"),
]


@pitfall(
    "operands-must-share-a-device",
    docs=["notes/cuda", "tensor_attributes#torch-device", "torch.Tensor.to"],
    symptom="RuntimeError: Expected all tensors to be on the same device, but found at least two devices",
    error="Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! | "
    "All input tensors must be on the same device. Received cuda:0 and cpu",
    priority=1,
)
class TestOperandsMustShareADevice:
    """No operation moves its operands to a common device: inputs, labels, weights and masks must be there already.

    It doesn't matter where most of them are, nor what the selected device is. Move each batch, labels included, with
    ``to(device)`` and create tensors with ``device=x.device``. The meta device stands for any other device here.
    """

    @pytest.mark.parametrize("mix", MIXTURES)
    def test_trap_the_cpu_and_another_device(self, mix):
        with pytest.raises(RuntimeError, match=r"is not on the expected device|to be on the same device"):
            mix(torch.ones(2, 2, device="meta"), torch.ones(2, 2))

    @on("cuda")
    @pytest.mark.parametrize("mix", MIXTURES)
    def test_trap_the_cpu_and_the_gpu(self, device, mix):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            mix(torch.ones(2, 2, device=device), torch.ones(2, 2))

    @on("cuda")
    @pytest.mark.parametrize(
        ("layer", "x"),
        [
            pytest.param(nn.Linear, [[0.0, 1.0]], id="Linear"),
            pytest.param(nn.Embedding, [[0, 1]], id="Embedding"),
        ],
    )
    def test_trap_a_model_on_the_gpu_and_an_input_on_the_cpu(self, device, seeded, layer, x):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            layer(2, 2).to(device)(torch.tensor(x))

    @on("cuda")
    def test_trap_convolutions_complain_of_types(self, device, seeded):
        with pytest.raises(RuntimeError, match=r"Input type \(.*\) and weight type \(.*\) should be the same"):
            nn.Conv1d(1, 1, 1).to(device)(torch.ones(1, 1, 3))

    def test_fix_move_the_input(self, device, seeded):
        net = nn.Linear(2, 1, device=device)
        x = torch.ones(3, 2).to(net.weight.device)
        assert net(x).shape == (3, 1)

    def test_fix_move_the_labels_too(self, device):
        logits = torch.zeros(2, 2, device=device)
        labels = torch.tensor([0, 1]).to(logits.device)
        torch.testing.assert_close(F.cross_entropy(logits, labels).item(), 0.6931, atol=1e-4, rtol=0)


@pitfall(
    "copies-cross-devices",
    docs=[("torch.Tensor.copy_", "be of a different data type or reside"), "notes/cuda"],
    symptom="assigning CPU values into a tensor on the GPU works, adding them doesn't",
)
class TestCopiesCrossDevices:
    """``copy_`` and assignment to an index take a source on another device; the target stays where it is.

    So a row of a tensor on the GPU can be set from the CPU, one transfer each time, while the same two tensors can't be
    added. ``load_state_dict`` copies this way.
    """

    def test_trap_copy_takes_another_device(self):
        x = torch.zeros(2, device="meta")
        assert x.copy_(torch.ones(2)).device.type == "meta"

    @on("cuda")
    def test_trap_copy_takes_the_cpu(self, device):
        x = torch.zeros(2, device=device)
        assert x.copy_(torch.tensor([3.0, 4.0])).tolist() == [3, 4]
        assert x.device.type == "cuda"

    @on("cuda")
    def test_trap_so_does_an_assignment(self, device):
        x = torch.zeros(2, 2, device=device)
        x[1] = torch.tensor([3.0, 4.0])
        assert x.tolist() == [[0, 0], [3, 4]]

    def test_fix_move_once_and_compute_there(self, device):
        x = torch.ones(2, device=device)
        assert (x + torch.tensor([3.0, 4.0]).to(x.device)).tolist() == [4, 5]


@pitfall(
    "results-stay-on-the-device-of-their-operands",
    docs=["notes/cuda", ("torch.cuda.device", "Context-manager that changes the selected device.")],
    symptom="with torch.cuda.device(1) doesn't move my tensors to the second GPU",
)
class TestResultsStayOnTheDeviceOfTheirOperands:
    """The selected device is for new tensors alone: results are where their operands are, whatever is selected.

    ``torch.cuda.device(1)`` decides where ``device="cuda"`` means, at that moment. Tensors that exist move with ``to``.
    """

    def test_trap_a_default_device_moves_no_result(self, device):
        x = torch.ones(2, device=device)
        with torch.device("meta"):
            y = x * 2
        assert y.device == x.device

    @on("cuda")
    def test_trap_a_selected_gpu_moves_no_result(self, device):
        if torch.cuda.device_count() < 2:
            pytest.skip("there is one GPU only")
        x = torch.ones(2, device="cuda:0")
        with torch.cuda.device(1):
            y, new = x * 2, torch.ones(2, device="cuda")
        assert y.device == torch.device("cuda:0")
        assert new.device == torch.device("cuda:1")

    @on("cuda")
    def test_trap_two_gpus_do_not_mix(self, device):
        if torch.cuda.device_count() < 2:
            pytest.skip("there is one GPU only")
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            torch.ones(2, device="cuda:0") + torch.ones(2, device="cuda:1")

    def test_fix_move_it(self, device):
        y = (torch.ones(2) * 2).to(device)
        assert y.device.type == device.type


@pitfall(
    "indices-may-be-on-the-cpu",
    docs=["notes/cuda", "tensor_attributes#torch-device"],
    symptom="RuntimeError: indices should be either on cpu or on the same device as the indexed tensor (cpu)",
    error="indices should be either on cpu or on the same device as the indexed tensor",
    priority=3,
)
class TestIndicesMayBeOnTheCpu:
    """Square brackets take indices on the CPU for a tensor on any device, but none on a GPU for a CPU tensor.

    Such indices are copied to the device at each use, which costs time. ``gather`` takes none.
    """

    def test_trap_brackets_take_cpu_indices(self):
        x = torch.zeros(3, 2, device="meta")
        assert x[torch.tensor([0, 2])].shape == (2, 2)

    @on("cuda")
    def test_trap_brackets_take_cpu_indices_on_the_gpu(self, device):
        x = torch.tensor([1.0, 2.0, 3.0], device=device)
        assert x[torch.tensor([0, 2])].tolist() == [1, 3]

    @on("cuda")
    def test_trap_a_cpu_tensor_takes_none_on_the_gpu(self, device):
        x, index = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2], device=device)
        with pytest.raises(RuntimeError, match="on the same device as the indexed tensor"):
            x[index]

    @on("cuda")
    def test_trap_gather_takes_none_on_the_cpu(self, device):
        x, index = torch.tensor([1.0, 2.0, 3.0], device=device), torch.tensor([0, 2])
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            x.gather(0, index)

    def test_fix_move_the_indices(self, device):
        x = torch.tensor([1.0, 2.0, 3.0], device=device)
        assert x[torch.tensor([0, 2]).to(x.device)].tolist() == [1, 3]


@pitfall(
    "default-device-breaks-shuffling",
    docs=["torch.set_default_device", "torch.utils.data.DataLoader", "torch.Generator"],
    symptom="DataLoader fails after torch.set_default_device: Expected a 'cuda' device type for generator",
    error="Expected a 'cuda' device type for generator but found 'cpu'",
    changed={"2.4": "item() of a meta tensor raises RuntimeError; it had been NotImplementedError"},
)
class TestDefaultDeviceBreaksShuffling:
    """Samplers make their random numbers on the default device, with a generator that is on the CPU: they clash.

    A DataLoader that shuffles fails so when the default device is a GPU; its seed is drawn there as well. Give it
    ``generator=torch.Generator(device)``, or set no default device around it.
    """

    @pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
    def test_trap_its_random_numbers_follow_the_default(self, shuffle):
        loader = DataLoader([1.0, 2.0], shuffle=shuffle)
        with (
            torch.device("meta"),
            pytest.raises((RuntimeError, NotImplementedError), match=r"[Mm]eta"),
        ):
            list(loader)

    @on("cuda")
    def test_trap_shuffling_fails_on_the_gpu(self, device, seeded):
        loader = DataLoader([1.0, 2.0], shuffle=True)
        with (
            torch.device(device),
            pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"),
        ):
            list(loader)

    def test_fix_a_generator_of_that_device(self, device, seeded):
        loader = DataLoader([1.0, 2.0], shuffle=True, generator=torch.Generator(device))
        with torch.device(device):
            numbers = [batch.item() for batch in loader]
        assert sorted(numbers) == [1, 2]

    def test_fix_no_default_around_it(self, device, seeded):
        numbers = [batch.to(device).item() for batch in DataLoader([1.0, 2.0], shuffle=True)]
        assert sorted(numbers) == [1, 2]
