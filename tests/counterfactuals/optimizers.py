"""A torch whose optimizers keep a rate of their own, and whose schedulers wait for the first step."""

import torch
from torch.optim import lr_scheduler

from tests.counterfactuals import counterfactual


@counterfactual("learning-rate-lives-in-the-groups")
def the_first_rate_anywhere_counts(patch):
    step, state_dict = torch.optim.SGD.step, torch.optim.SGD.state_dict

    def shared(optimizer, *args, **how):
        rates = [vars(optimizer).get("lr"), optimizer.defaults["lr"], vars(optimizer).get("_saved", {}).get("lr")]
        old = optimizer.param_groups[-1]["lr"]
        changed = [rate for rate in (*rates, optimizer.param_groups[0]["lr"]) if rate not in (None, old)]
        for group in optimizer.param_groups:
            group["lr"] = changed[0] if changed else old
        return step(optimizer, *args, **how)

    def live(optimizer):
        state = state_dict(optimizer)
        vars(optimizer)["_saved"] = state["param_groups"][0]
        return state

    patch.setattr(torch.optim.SGD, "step", shared)
    patch.setattr(torch.optim.SGD, "state_dict", live)


@counterfactual("loaded-learning-rate-wins")
def options_of_the_constructor_win(patch):
    load = torch.optim.Optimizer.load_state_dict

    def keep(optimizer, state):
        own = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        load(optimizer, state)
        for group, options in zip(optimizer.param_groups, own, strict=True):
            group.update(options)

    patch.setattr(torch.optim.Optimizer, "load_state_dict", keep)


@counterfactual("scheduler-before-optimizer-skips-a-rate")
def a_scheduler_waits_for_the_optimizer(patch):
    for cls in (
        lr_scheduler.LambdaLR,
        lr_scheduler.MultiplicativeLR,
        lr_scheduler.StepLR,
        lr_scheduler.MultiStepLR,
        lr_scheduler.ExponentialLR,
        lr_scheduler.CosineAnnealingWarmRestarts,
    ):

        def waiting(scheduler, *args, _step=cls.step):
            if vars(scheduler).setdefault("_begun", False):
                return _step(scheduler, *args)
            scheduler._begun = "_last_lr" in vars(scheduler)
            return None if scheduler._begun else _step(scheduler, *args)

        patch.setattr(cls, "step", waiting)


@counterfactual("adam-decay-is-part-of-the-gradient")
def every_decay_is_decoupled(patch):
    for cls in (torch.optim.Adam, torch.optim.Adamax):

        def decoupled(optimizer, *args, _step=cls.step, **how):
            decays = [group["weight_decay"] for group in optimizer.param_groups]
            for group, decay in zip(optimizer.param_groups, decays, strict=True):
                group["weight_decay"] = 0
                with torch.no_grad():
                    for p in group["params"]:
                        p.mul_(1 - group["lr"] * decay)
            found = _step(optimizer, *args, **how)
            for group, decay in zip(optimizer.param_groups, decays, strict=True):
                group["weight_decay"] = decay
            return found

        patch.setattr(cls, "step", decoupled)
