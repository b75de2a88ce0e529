"""Parameter groups: where the learning rate and the other options live, and whose option wins."""

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from pitfalls import before, pitfall, since


@pitfall(
    "learning-rate-lives-in-the-groups",
    docs=["torch.optim.Optimizer", "optim#per-parameter-options"],
    symptom="optimizer.lr = 0.01 changes nothing; how do I change the learning rate during training",
    priority=1,
)
class TestLearningRateLivesInTheGroups:
    """The learning rate is ``optimizer.param_groups[i]["lr"]``, read at each step; nothing else of the optimizer is.

    An attribute ``optimizer.lr`` is yours alone, and ``optimizer.defaults`` is only for groups that are added later.
    Assign to ``group["lr"]`` for every group; no new optimizer is needed, which would lose the momentum.
    """

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda optimizer: setattr(optimizer, "lr", 100.0), id="attribute"),
            pytest.param(lambda optimizer: optimizer.defaults.update(lr=100.0), id="defaults"),
            pytest.param(lambda optimizer: optimizer.state_dict()["param_groups"][0].update(lr=100.0), id="state_dict"),
        ],
    )
    def test_trap_these_change_nothing(self, device, change):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        change(optimizer)
        w.grad = torch.tensor([2.0], device=device)
        optimizer.step()
        assert w.item() == 3

    def test_trap_first_group_is_not_all(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([{"params": [w]}, {"params": [b]}], lr=0.5)
        optimizer.param_groups[0]["lr"] = 0.25
        w.grad, b.grad = torch.tensor([2.0], device=device), torch.tensor([2.0], device=device)
        optimizer.step()
        assert (w.item(), b.item()) == (3.5, 3)

    def test_fix_assign_in_every_group(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([{"params": [w]}, {"params": [b]}], lr=0.5)
        for group in optimizer.param_groups:
            group["lr"] = 0.25
        w.grad, b.grad = torch.tensor([2.0], device=device), torch.tensor([2.0], device=device)
        optimizer.step()
        assert (w.item(), b.item()) == (3.5, 3.5)


OPTIMIZERS = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]


@pitfall(
    "group-options-win",
    docs=["optim#per-parameter-options", "torch.optim.Optimizer.add_param_group"],
    symptom="the lr that I give to the optimizer has no effect for some layers; a misspelt option is no error",
)
class TestGroupOptionsWin:
    """An option in a group's dict wins over the keyword argument, which is only the default of groups without it.

    Any other key is kept too and read by nobody, so a misspelt ``learning_rate`` leaves the default in force. The
    constructor refuses unknown keyword arguments; for groups compare their keys with ``optimizer.defaults``.
    """

    @pytest.mark.parametrize("optimizer_class", OPTIMIZERS, ids=lambda cls: cls.__name__)
    def test_trap_keyword_is_only_a_default(self, device, optimizer_class):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = optimizer_class([{"params": [w], "lr": 0.25}, {"params": [b]}], lr=0.5)
        assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.5]

    @pytest.mark.parametrize("optimizer_class", OPTIMIZERS, ids=lambda cls: cls.__name__)
    def test_trap_misspelt_option_is_ignored(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = optimizer_class([{"params": [w], "learning_rate": 0.25}], lr=0.5)
        assert optimizer.param_groups[0]["lr"] == 0.5

    @pytest.mark.parametrize("optimizer_class", OPTIMIZERS, ids=lambda cls: cls.__name__)
    def test_fix_unknown_keyword_is_refused(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'learning_rate'"):
            optimizer_class([w], learning_rate=0.25)

    @pytest.mark.parametrize("optimizer_class", OPTIMIZERS, ids=lambda cls: cls.__name__)
    def test_fix_compare_keys_with_the_defaults(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = optimizer_class([{"params": [w], "learning_rate": 0.25}], lr=0.5)
        assert set(optimizer.param_groups[0]) - set(optimizer.defaults) == {"params", "learning_rate"}


@pitfall(
    "weight-decay-reaches-biases",
    docs=["optim#per-parameter-options", ("torch.optim.SGD", "weight decay (L2 penalty)")],
    symptom="biases and the scales of normalisation layers shrink with weight_decay",
)
class TestWeightDecayReachesBiases:
    """``weight_decay`` shrinks whatever the optimizer holds: biases and normalisation scales as well as weights.

    ``model.parameters()`` makes no difference between them. Put what is not to decay into a group of its own with
    ``weight_decay=0``.
    """

    @pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.AdamW], ids=lambda cls: cls.__name__)
    def test_trap_scale_and_bias_shrink(self, device, optimizer_class):
        norm = nn.LayerNorm(1, device=device)
        nn.init.ones_(norm.bias)
        for p in norm.parameters():
            p.grad = torch.zeros_like(p)
        optimizer_class(norm.parameters(), lr=0.5, weight_decay=0.5).step()
        assert (norm.weight.item(), norm.bias.item()) == (0.75, 0.75)

    @pytest.mark.parametrize("optimizer_class", [torch.optim.SGD, torch.optim.AdamW], ids=lambda cls: cls.__name__)
    def test_fix_group_of_their_own(self, device, optimizer_class):
        norm = nn.LayerNorm(1, device=device)
        nn.init.ones_(norm.bias)
        for p in norm.parameters():
            p.grad = torch.zeros_like(p)
        groups = [{"params": [norm.weight]}, {"params": [norm.bias], "weight_decay": 0.0}]
        optimizer_class(groups, lr=0.5, weight_decay=0.5).step()
        assert (norm.weight.item(), norm.bias.item()) == (0.75, 1)


@pitfall(
    "parameter-in-two-groups",
    docs=["torch.optim.Optimizer.add_param_group", "optim#per-parameter-options"],
    symptom="ValueError: some parameters appear in more than one parameter group",
    error="some parameters appear in more than one parameter group",
)
class TestParameterInTwoGroups:
    """A parameter in two groups is refused; twice in one group it is stepped twice, with no more than a warning.

    This happens when a layer's parameters are given beside those of the whole model, or with tied weights that were
    collected by name. Leave out the ones that have a group already, and drop duplicates with ``dict.fromkeys``.
    """

    def test_trap_two_groups_are_refused(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
            torch.optim.SGD([{"params": [w], "lr": 0.25}, {"params": [w]}], lr=0.5)

    def test_trap_so_is_an_added_group(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        optimizer = torch.optim.SGD([w], lr=0.5)
        with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
            optimizer.add_param_group({"params": [w]})

    def test_trap_twice_in_one_group_steps_twice(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.warns(UserWarning, match="optimizer contains a parameter group with duplicate parameters"):
            optimizer = torch.optim.SGD([w, w], lr=0.5)
        w.grad = torch.tensor([1.0], device=device)
        optimizer.step()
        assert w.item() == 3

    def test_fix_leave_out_what_has_a_group(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).to(device)
        special = set(net[1].parameters())
        rest = [p for p in net.parameters() if p not in special]
        optimizer = torch.optim.SGD([{"params": rest}, {"params": net[1].parameters(), "lr": 0.25}], lr=0.5)
        assert [len(group["params"]) for group in optimizer.param_groups] == [2, 2]


@pitfall(
    "group-added-under-a-scheduler",
    docs=[
        ("torch.optim.Optimizer.add_param_group", "Add a param group to the"),
        ("torch.optim.lr_scheduler.LambdaLR", "one for each group in optimizer.param_groups"),
    ],
    symptom="ValueError: zip() argument 2 is shorter than argument 1, from scheduler.step() after add_param_group",
    changed={"2.10": "LambdaLR raises for a group that was added after it was built; it had left its rate alone"},
)
class TestGroupAddedUnderAScheduler:
    """A scheduler remembers the groups that it was built with; one that is added later is left alone or an error.

    ``LambdaLR`` works from one initial rate for each group that it saw. ``StepLR`` and others that scale the present
    rate take the new group along, from the next step on. Add all groups first, or build a new scheduler.
    """

    @before("2.10")
    def test_trap_lambda_left_it_alone(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        optimizer.add_param_group({"params": [b]})
        optimizer.step()
        scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1]

    @since("2.10")
    def test_trap_lambda_raises(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        optimizer.add_param_group({"params": [b]})
        optimizer.step()
        with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter than argument 1"):
            scheduler.step()

    def test_trap_others_take_it_along(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([w], lr=1.0)
        scheduler = lr_scheduler.StepLR(optimizer, 1, 0.5)
        optimizer.add_param_group({"params": [b], "lr": 0.25})
        optimizer.step()
        scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.125]

    def test_fix_add_the_group_first(self, device):
        w, b = (torch.tensor([4.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([w], lr=1.0)
        optimizer.add_param_group({"params": [b], "lr": 0.25})
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        optimizer.step()
        scheduler.step()
        assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.125]


@pitfall(
    "learning-rate-had-no-default",
    docs=[("torch.optim.SGD", "learning rate (default: 1e-3)")],
    symptom="ValueError: parameter group didn't specify a value of required optimization parameter lr",
    error="parameter group didn't specify a value of required optimization parameter lr",
    changed={"2.2": "SGD without lr uses 0.001; it had been an error"},
    priority=3,
)
class TestLearningRateHadNoDefault:
    """``SGD`` without ``lr`` trains with 0.001 since torch 2.2, and was an error before.

    A learning rate that a configuration forgot is thus no longer noticed. Each optimizer has a default of its own, from
    0.001 for ``Adam`` to 1 for ``LBFGS``, so say the rate.
    """

    @before("2.2")
    def test_trap_it_was_required(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter lr"):
            torch.optim.SGD([w])

    @since("2.2")
    def test_trap_default_is_small(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        assert torch.optim.SGD([w]).param_groups[0]["lr"] == 0.001

    @pytest.mark.parametrize("optimizer_class", OPTIMIZERS, ids=lambda cls: cls.__name__)
    def test_fix_say_the_rate(self, device, optimizer_class):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        assert optimizer_class([w], lr=0.5).param_groups[0]["lr"] == 0.5
