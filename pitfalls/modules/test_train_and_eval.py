"""Training mode, eval mode, frozen parameters and grad mode: four switches, and what each of them leaves alone."""

import pytest
import torch
from torch import nn

from pitfalls import pitfall


@pitfall(
    "modules-start-in-training-mode",
    docs=[
        ("torch.nn.Module.eval", "effect only on certain modules"),
        ("torch.nn.Module.train", "training mode (``True``) or evaluation"),
        "torch.nn.Dropout",
        "torch.nn.BatchNorm1d",
        "notes/modules",
    ],
    symptom="the same input gives different outputs; validation depends on the batch",
    priority=1,
)
class TestModulesStartInTrainingMode:
    """A module starts in training mode: until ``eval()``, dropout drops and batch norm uses the batch it is given.

    ``train()`` and ``eval()`` set a flag in all submodules, which a few layers read. In training mode batch norm also
    takes the batch into its running statistics. Call ``eval()`` to predict and ``train()`` to go on.
    """

    def test_trap_dropout_drops_at_first(self, device, seeded):
        net = nn.Sequential(nn.Dropout(0.5))
        outputs = net(torch.ones(100, device=device)).tolist()
        assert sorted(set(outputs)) == [0, 2]

    def test_trap_batch_norm_uses_the_batch_at_first(self, device):
        net = nn.BatchNorm1d(1, device=device)
        assert net(torch.tensor([[1.0], [3.0]], device=device)).round().tolist() == [[-1], [1]]

    def test_trap_and_learns_its_statistics(self, device):
        net = nn.BatchNorm1d(1, momentum=0.5, device=device)
        net(torch.tensor([[1.0], [3.0]], device=device))
        assert net.running_mean.tolist() == [1]

    def test_fix_eval_reaches_all_submodules(self, device):
        net = nn.Sequential(nn.Sequential(nn.Dropout(0.5)), nn.BatchNorm1d(1, device=device))
        net.eval()
        assert net(torch.tensor([[1.0], [3.0]], device=device)).round().tolist() == [[1], [3]]

    def test_fix_train_switches_back(self, device):
        net = nn.Sequential(nn.BatchNorm1d(1, device=device)).eval()
        net.train()
        assert net(torch.tensor([[1.0], [3.0]], device=device)).round().tolist() == [[-1], [1]]


@pitfall(
    "eval-does-not-stop-gradients",
    docs=[
        ("torch.nn.Module.eval", "similar mechanisms that may be confused with it"),
        "torch.no_grad",
        "notes/autograd",
    ],
    symptom="validation runs out of memory although the model is in eval mode",
    priority=1,
)
class TestEvalDoesNotStopGradients:
    """``eval()`` and ``no_grad`` are independent: one changes layers, the other stops recording; to predict use both.

    In eval mode the graph is recorded and kept as ever. Under ``no_grad`` dropout still drops, and batch norm still
    learns from what you validate on.
    """

    def test_trap_eval_records(self, device, seeded):
        net = nn.Linear(1, 1, device=device).eval()
        net(torch.ones(1, device=device)).backward()
        assert net.weight.grad.tolist() == [[1]]

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
    def test_trap_dropout_drops_without_gradients(self, device, seeded, mode):
        net = nn.Dropout(0.5)
        with mode():
            outputs = net(torch.ones(100, device=device)).tolist()
        assert sorted(set(outputs)) == [0, 2]

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
    def test_trap_batch_norm_learns_without_gradients(self, device, mode):
        net = nn.BatchNorm1d(1, momentum=0.5, device=device)
        with mode():
            net(torch.tensor([[1.0], [3.0]], device=device))
        assert net.running_mean.tolist() == [1]

    def test_fix_use_both(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, bias=False, device=device), nn.Dropout(0.5)).eval()
        nn.init.ones_(net[0].weight)
        with torch.no_grad():
            y = net(torch.ones(1, device=device))
        assert (y.requires_grad, y.tolist()) == (False, [1])


@pitfall(
    "training-flag-reaches-registered-children",
    docs=["torch.nn.Module.train", "torch.nn.Module.eval", "notes/modules"],
    symptom="dropout is still active after model.eval()",
)
class TestTrainingFlagReachesRegisteredChildren:
    """``eval()`` reaches the children that are registered when it is called; setting ``training`` reaches nobody else.

    A layer in a plain list, or one that is added later, stays in training mode. Call ``eval()`` once the model is
    complete, and never assign ``model.training`` yourself.
    """

    def test_trap_a_layer_in_a_list_is_not_reached(self, device, seeded):
        dropout = nn.Dropout(0.5)
        net = nn.Module()
        net.layers = [dropout]
        net.eval()
        assert 0 in dropout(torch.ones(100, device=device)).tolist()

    def test_trap_a_layer_added_later_is_in_training_mode(self, device, seeded):
        net = nn.Sequential(nn.ReLU()).eval()
        net.append(nn.Dropout(0.5))
        assert 0 in net(torch.ones(100, device=device)).tolist()

    def test_trap_assigning_the_flag_is_not_recursive(self, device, seeded):
        net = nn.Sequential(nn.Dropout(0.5))
        net.training = False
        assert 0 in net(torch.ones(100, device=device)).tolist()

    @pytest.mark.parametrize("mode", [0, "eval", None], ids=["0", "eval", "None"])
    def test_trap_train_takes_a_bool_only(self, mode):
        with pytest.raises(ValueError, match="training mode is expected to be boolean"):
            nn.ReLU().train(mode)

    def test_fix_eval_last(self, device, seeded):
        net = nn.Sequential(nn.ReLU())
        net.append(nn.Dropout(0.5))
        net.eval()
        assert 0 not in net(torch.ones(100, device=device)).tolist()


@pitfall(
    "train-undoes-eval-of-a-layer",
    docs=["torch.nn.Module.train"],
    symptom="I put batch norm into eval mode, and its statistics change all the same",
)
class TestTrainUndoesEvalOfALayer:
    """``model.train()`` puts every submodule into training mode, also a layer that was put into eval mode on purpose.

    Training loops call it each epoch, so freezing batch norm once at the start does not last. Override ``train`` to
    put the layer back, or call ``layer.eval()`` after each ``model.train()``.
    """

    def test_trap_the_layer_is_in_training_mode_again(self, device):
        net = nn.Sequential(nn.BatchNorm1d(1, momentum=0.5, device=device))
        net[0].eval()
        net.train()
        net(torch.tensor([[1.0], [3.0]], device=device))
        assert net[0].running_mean.tolist() == [1]

    def test_fix_override_train(self, device):
        class Frozen(nn.BatchNorm1d):
            def train(self, mode=True):
                return super().train(False)

        net = nn.Sequential(Frozen(1, momentum=0.5, device=device))
        net.train()
        net(torch.tensor([[1.0], [3.0]], device=device))
        assert net[0].running_mean.tolist() == [0]


@pitfall(
    "frozen-batch-norm-still-moves",
    docs=["torch.nn.Module.requires_grad_", ("torch.nn.BatchNorm1d", "running estimates"), "notes/autograd"],
    symptom="a frozen backbone gives other features after fine-tuning",
    priority=1,
)
class TestFrozenBatchNormStillMoves:
    """``requires_grad_(False)`` freezes parameters; the running statistics of batch norm are buffers and still move.

    They are updated by each forward pass in training mode, gradients or not, and the batch statistics are what
    normalises. Put frozen batch norm layers into eval mode as well.
    """

    def test_trap_running_statistics_move(self, device):
        net = nn.BatchNorm1d(1, momentum=0.5, device=device).requires_grad_(False)
        net(torch.tensor([[1.0], [3.0]], device=device))
        assert (net.running_mean.tolist(), net.running_var.tolist()) == ([1], [1.5])

    def test_trap_the_batch_is_what_normalises(self, device):
        net = nn.BatchNorm1d(1, device=device).requires_grad_(False)
        assert net(torch.tensor([[1.0], [3.0]], device=device)).round().tolist() == [[-1], [1]]

    def test_fix_eval_as_well(self, device):
        net = nn.BatchNorm1d(1, momentum=0.5, device=device).requires_grad_(False).eval()
        net(torch.tensor([[1.0], [3.0]], device=device))
        assert net.running_mean.tolist() == [0]


@pitfall(
    "module-requires-grad-is-a-plain-attribute",
    docs=[("torch.nn.Module.requires_grad_", "This method sets the parameters' :attr:`requires_grad` attributes")],
    symptom="layer.requires_grad = False did not freeze the layer",
    priority=1,
)
class TestModuleRequiresGradIsAPlainAttribute:
    """``layer.requires_grad = False`` freezes nothing: on a module it is an attribute that nobody reads.

    ``requires_grad`` belongs to tensors, and a module takes any attribute without a word. Call
    ``layer.requires_grad_(False)``, with the underscore, which sets it for each parameter.
    """

    def test_trap_parameters_are_trained_on(self, device, seeded):
        net = nn.Linear(1, 1, bias=False, device=device)
        nn.init.ones_(net.weight)
        net.requires_grad = False
        net(torch.ones(1, device=device)).backward()
        torch.optim.SGD(net.parameters(), lr=0.5).step()
        assert net.weight.tolist() == [[0.5]]

    def test_fix_underscore(self, device, seeded):
        net = nn.Linear(1, 1, device=device)
        net.requires_grad_(False)
        assert [p.requires_grad for p in net.parameters()] == [False, False]


@pitfall(
    "parameter-requires-grad-under-no-grad",
    docs=[("torch.nn.Parameter", "does NOT affect the"), "torch.no_grad"],
    symptom="parameters created under torch.no_grad() are trained",
    priority=3,
)
class TestParameterRequiresGradUnderNoGrad:
    """An ``nn.Parameter`` requires grad also if it is created under ``no_grad``; pass ``requires_grad=False``.

    Grad mode is about results of operations. A parameter shares the memory of the tensor that it is made from, whether
    or not that one requires grad. Only floating point and complex tensors can be parameters that require grad.
    """

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
    def test_trap_it_requires_grad(self, device, mode):
        with mode():
            weight = nn.Parameter(torch.ones(1, device=device))
        assert weight.requires_grad

    def test_trap_it_shares_memory(self, device):
        x = torch.ones(1, device=device)
        weight = nn.Parameter(x)
        x.fill_(7)
        assert weight.tolist() == [7]

    def test_trap_integers_are_refused(self, device):
        with pytest.raises(
            RuntimeError, match="Only Tensors of floating point and complex dtype can require gradients"
        ):
            nn.Parameter(torch.ones(1, dtype=torch.int64, device=device))

    def test_fix_say_so(self, device):
        weight = nn.Parameter(torch.ones(1, dtype=torch.int64, device=device), requires_grad=False)
        assert not weight.requires_grad


@pitfall(
    "layer-made-after-the-optimizer",
    docs=["torch.optim.Optimizer", ("torch.optim.Optimizer.add_param_group", "Add a param group to the"), "optim"],
    symptom="a layer that I added later does not train",
)
class TestLayerMadeAfterTheOptimizer:
    """An optimizer knows the parameters that it was given: those of a layer made afterwards are never updated.

    Gradients are there, ``step()`` just doesn't see the parameter. Make the optimizer last, or hand over the new
    parameters with ``add_param_group``.
    """

    def test_trap_the_new_layer_stays(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, device=device))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
        net.append(nn.Linear(1, 1, bias=False, device=device))
        nn.init.ones_(net[1].weight)
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert net[1].weight.item() == 1

    def test_fix_add_its_parameters(self, device, seeded):
        net = nn.Sequential(nn.Identity())
        optimizer = torch.optim.SGD([torch.ones(1, device=device)], lr=0.5)
        net.append(nn.Linear(1, 1, bias=False, device=device))
        nn.init.ones_(net[1].weight)
        optimizer.add_param_group({"params": net[1].parameters()})
        net(torch.ones(1, device=device)).backward()
        optimizer.step()
        assert net[1].weight.item() == 0.5
