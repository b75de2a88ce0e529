"""What an optimizer accepts: named parameters, sets, bare tensors and hyperparameters out of range."""

import pytest
import torch

from pitfalls import before, pitfall, since

DENSE = [
    torch.optim.Adadelta,
    torch.optim.Adagrad,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.ASGD,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.SGD,
]


@pitfall(
    "optimizer-names-do-not-match-state",
    docs=[
        ("torch.optim.SGD", "iterable of parameters or named_parameters to optimize"),
        ("torch.optim.Optimizer.load_state_dict", "will not affect the loading process"),
        ("torch.optim.Optimizer.load_state_dict", "will be saved and override the current names"),
    ],
    symptom="TypeError: optimizer can only optimize Tensors, but one of the params is tuple",
    error="optimizer can only optimize Tensors, but one of the params is tuple",
    changed={"2.6": "optimizers accept named_parameters() and keep the names; it had been a TypeError"},
)
class TestOptimizerNamesDoNotMatchState:
    """An optimizer keeps the names of ``named_parameters()``, yet it matches a loaded state by position alone.

    The names are written into ``param_groups`` and into the state dict for you to use; loading neither compares nor
    reorders, and the loaded names replace the optimizer's own. Give the parameters in the same order, or sort the
    loaded group by its names first.
    """

    @before("2.6")
    @pytest.mark.parametrize("optimizer_class", DENSE, ids=lambda cls: cls.__name__)
    def test_trap_named_parameters_were_refused(self, device, optimizer_class):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        with pytest.raises(TypeError, match="optimizer can only optimize Tensors, but one of the params is tuple"):
            optimizer_class([("w", w)], lr=0.5)

    @since("2.6")
    @pytest.mark.parametrize("optimizer_class", [*DENSE, torch.optim.SparseAdam], ids=lambda cls: cls.__name__)
    def test_trap_named_parameters_must_all_have_names(self, device, optimizer_class):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        with pytest.raises(ValueError, match=r"all optimizer params should be with/without names"):
            optimizer_class([("w", w), b], lr=0.5)

    @since("2.6")
    def test_trap_all_groups_must_have_names(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        optimizer = torch.optim.SGD([("w", w)], lr=0.5)
        with pytest.raises(ValueError, match=r"all optimizer param groups should be with/without names"):
            optimizer.add_param_group({"params": [b]})

    @since("2.6")
    def test_trap_state_is_loaded_by_position(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        w.grad, b.grad = torch.tensor([3.0], device=device), torch.tensor([5.0], device=device)
        old = torch.optim.SGD([("w", w), ("b", b)], lr=0.5, momentum=0.5)
        old.step()
        new = torch.optim.SGD([("b", b), ("w", w)], lr=0.5, momentum=0.5)
        new.load_state_dict(old.state_dict())
        assert new.state[b]["momentum_buffer"].item() == 3
        assert new.param_groups[0]["param_names"] == ["w", "b"]

    @since("2.6")
    def test_fix_sort_the_loaded_group_by_name(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        w.grad, b.grad = torch.tensor([3.0], device=device), torch.tensor([5.0], device=device)
        old = torch.optim.SGD([("w", w), ("b", b)], lr=0.5, momentum=0.5)
        old.step()
        new = torch.optim.SGD([("b", b), ("w", w)], lr=0.5, momentum=0.5)
        state = old.state_dict()
        group = state["param_groups"][0]
        number = dict(zip(group["param_names"], group["params"], strict=True))
        group["param_names"] = new.param_groups[0]["param_names"]
        group["params"] = [number[name] for name in group["param_names"]]
        new.load_state_dict(state)
        assert [new.state[p]["momentum_buffer"].item() for p in (w, b)] == [3, 5]

    def test_fix_same_order_on_both_sides(self, device):
        w, b = (torch.tensor([1.0], device=device, requires_grad=True) for _ in range(2))
        w.grad, b.grad = torch.tensor([3.0], device=device), torch.tensor([5.0], device=device)
        old = torch.optim.SGD([w, b], lr=0.5, momentum=0.5)
        old.step()
        new = torch.optim.SGD([w, b], lr=0.5, momentum=0.5)
        new.load_state_dict(old.state_dict())
        assert [new.state[p]["momentum_buffer"].item() for p in (w, b)] == [3, 5]


@pitfall(
    "optimizer-parameters-from-a-set",
    docs=[
        ("torch.optim.Optimizer", "collections that have a deterministic ordering"),
        "torch.optim.Optimizer.add_param_group",
    ],
    symptom="a resumed training diverges, because the optimizer's state went to other parameters than before",
    error="optimizer parameters need to be organized in ordered collections",
    changed={
        "2.2": "SparseAdam refuses a set in a parameter group, as the others did",
        "2.15": "a bare set of parameters gives a FutureWarning; it had been accepted without a word",
    },
)
class TestOptimizerParametersFromASet:
    """A parameter group refuses a set, but a set given to the optimizer itself is accepted, in an order of its own.

    Saved state is matched to parameters by position, and a set of tensors comes in another order in each process. It
    warns since torch 2.15 and is to be an error. To drop duplicates, such as tied weights, use ``dict.fromkeys``.
    """

    @pytest.mark.parametrize(
        "optimizer_class",
        [*DENSE, pytest.param(torch.optim.SparseAdam, marks=since("2.2"))],
        ids=lambda cls: cls.__name__,
    )
    def test_trap_set_in_a_group_is_refused(self, device, optimizer_class):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        with pytest.raises(TypeError, match="parameters need to be organized in ordered collections"):
            optimizer_class([{"params": {w}}], lr=0.5)

    @before("2.2")
    def test_trap_sparse_adam_took_a_set_in_a_group(self, device):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = torch.optim.SparseAdam([{"params": {w}}], lr=0.5)
        assert optimizer.param_groups[0]["params"][0] is w

    @before("2.15")
    @pytest.mark.parametrize("optimizer_class", [*DENSE, torch.optim.SparseAdam], ids=lambda cls: cls.__name__)
    def test_trap_bare_set_was_accepted(self, device, optimizer_class):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        optimizer = optimizer_class({w}, lr=0.5)
        assert optimizer.param_groups[0]["params"][0] is w

    @since("2.15")
    @pytest.mark.parametrize("optimizer_class", [*DENSE, torch.optim.SparseAdam], ids=lambda cls: cls.__name__)
    def test_trap_bare_set_warns(self, device, optimizer_class):
        w = torch.tensor([1.0], device=device, requires_grad=True)
        with pytest.warns(FutureWarning, match="parameters need to be organized in ordered collections"):
            optimizer = optimizer_class({w}, lr=0.5)
        assert optimizer.param_groups[0]["params"][0] is w

    def test_fix_drop_duplicates_in_order(self, device):
        w, tied = (torch.tensor([value], device=device, requires_grad=True) for value in (1.0, 2.0))
        optimizer = torch.optim.SGD(list(dict.fromkeys([tied, w, tied])), lr=0.5)
        assert [p.item() for p in optimizer.param_groups[0]["params"]] == [2, 1]


@pitfall(
    "optimizer-given-a-bare-tensor",
    docs=[
        ("torch.optim.Optimizer", "an iterable of"),
        ("torch.optim.SparseAdam", "iterable of parameters or named_parameters to optimize"),
    ],
    symptom="TypeError: params argument given to the optimizer should be an iterable of Tensors or dicts",
    error="params argument given to the optimizer should be an iterable of Tensors or dicts",
    changed={
        "2.2": "SparseAdam warns of a bare tensor; it had split it into rows without a word",
        "2.3": "SparseAdam optimizes the bare tensor as a whole, with the same warning",
        "2.4": "SparseAdam raises TypeError, as every other optimizer always did",
    },
)
class TestOptimizerGivenABareTensor:
    """An optimizer takes an iterable of tensors; a bare tensor, although one can iterate over it, is refused.

    Its rows would be new tensors, not leaves that could get a gradient, which is what ``SparseAdam`` stumbled over
    before it refused too. Wrap the tensor in a list.
    """

    @pytest.mark.parametrize(
        "optimizer_class",
        [*DENSE, torch.optim.LBFGS, pytest.param(torch.optim.SparseAdam, marks=since("2.4"))],
        ids=lambda cls: cls.__name__,
    )
    def test_trap_bare_tensor_is_refused(self, device, optimizer_class):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts, but got torch"):
            optimizer_class(w, lr=0.5)

    @before("2.2")
    def test_trap_sparse_adam_split_it_into_rows(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
            torch.optim.SparseAdam(w)

    @since("2.2")
    @before("2.3")
    def test_trap_sparse_adam_warned_and_split_it(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with pytest.warns(FutureWarning, match="Passing in a raw Tensor as ``params`` to SparseAdam is deprecated"):
            with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
                torch.optim.SparseAdam(w)

    @since("2.3")
    @before("2.4")
    def test_trap_sparse_adam_warned_and_took_it_whole(self, device):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with pytest.warns(FutureWarning, match="Passing in a raw Tensor as ``params`` to SparseAdam is deprecated"):
            optimizer = torch.optim.SparseAdam(w)
        assert [p.tolist() for p in optimizer.param_groups[0]["params"]] == [[1, 2]]

    @pytest.mark.parametrize(
        "optimizer_class", [*DENSE, torch.optim.LBFGS, torch.optim.SparseAdam], ids=lambda cls: cls.__name__
    )
    def test_fix_wrap_it_in_a_list(self, device, optimizer_class):
        w = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        optimizer = optimizer_class([w], lr=0.5)
        assert [p.tolist() for p in optimizer.param_groups[0]["params"]] == [[1, 2]]


@pitfall(
    "asgd-negative-decay",
    docs=[("torch.optim.ASGD", "decay term (default: 1e-4)"), ("torch.optim.ASGD", "power for eta update")],
    symptom="weights under ASGD grow although their gradients are zero",
    error="Invalid lambd value",
    changed={"2.15": "ASGD refuses a negative lambd or alpha; it had computed with them"},
    priority=3,
)
class TestAsgdNegativeDecay:
    """``ASGD`` shrinks each weight by ``lambd`` times the step size; before torch 2.15 a negative one made it grow.

    ``alpha`` lets the step size fall from step to step, and a negative one let it rise. Other hyperparameters, such as
    ``weight_decay``, were always checked. Keep both non-negative.
    """

    @before("2.15")
    def test_trap_negative_lambd_made_the_weight_grow(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        torch.optim.ASGD([w], lr=0.5, lambd=-1.0).step()
        assert w.item() == 6

    @before("2.15")
    def test_trap_negative_alpha_made_the_steps_longer(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        optimizer = torch.optim.ASGD([w], lr=0.5, lambd=1.0, alpha=-1.0)
        seen = []
        for _ in range(2):
            optimizer.step()
            seen.append(w.item())
        assert seen == [2, 0.5]

    @pytest.mark.parametrize(
        "option",
        [pytest.param("lambd", marks=since("2.15")), pytest.param("alpha", marks=since("2.15")), "weight_decay", "lr"],
        ids=str,
    )
    def test_trap_negative_values_are_refused(self, device, option):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        with pytest.raises(ValueError, match=r"Invalid (lambd|alpha|weight_decay value|learning rate).*: -1\.0"):
            torch.optim.ASGD([w], **{option: -1.0})

    def test_fix_positive_decay_shrinks_the_weight(self, device):
        w = torch.tensor([4.0], device=device, requires_grad=True)
        w.grad = torch.zeros(1, device=device)
        optimizer = torch.optim.ASGD([w], lr=0.5, lambd=1.0, alpha=1.0)
        seen = []
        for _ in range(2):
            optimizer.step()
            seen.append(round(w.item(), 4))
        assert seen == [2, 1.3333]
