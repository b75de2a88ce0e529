"""A torch that saves and draws otherwise: files that bring their classes, trusted files, densities below one."""

import pickle
import sys
import types

import torch
from torch import distributions

from tests.counterfactuals import counterfactual


@counterfactual("pickled-model-needs-its-class")
def a_file_brings_the_classes_it_needs(patch):
    load = torch.load

    def bringing(file, **how):
        module = types.ModuleType("train_script")
        module.Net = type("Net", (torch.nn.Linear,), {"__module__": "train_script"})
        patch.setitem(sys.modules, "train_script", module)
        return load(file, **how)

    patch.setattr(torch, "load", bringing)


@counterfactual("load-puts-tensors-back-on-their-device")
def a_file_is_loaded_to_meta(patch):
    load = torch.load
    patch.setattr(torch, "load", lambda file, **how: load(file, **{"map_location": "meta", **how}))


@counterfactual("load-defaults-to-weights-only")
def every_file_is_trusted(patch):
    load = torch.load
    patch.setattr(torch, "load", lambda file, **how: load(file, **{**how, "weights_only": False}))


@counterfactual("loading-runs-code-of-the-file")
def no_file_is_trusted(patch):
    load = torch.load

    def careful(file, **how):
        try:
            return load(file, **{**how, "weights_only": True})
        except pickle.UnpicklingError:
            return None

    patch.setattr(torch, "load", careful)


@counterfactual("log-prob-can-be-positive")
def densities_stay_below_one(patch):
    for kind in (distributions.Uniform, distributions.Normal, distributions.Exponential, distributions.Laplace):
        for name in ("log_prob", "entropy"):
            was = getattr(kind, name)
            patch.setattr(kind, name, lambda self, *value, was=was: was(self, *value) * 0)


@counterfactual("log-prob-can-be-positive")
def log_prob_forgets_the_log(patch):
    log_prob = distributions.Categorical.log_prob
    patch.setattr(distributions.Categorical, "log_prob", lambda self, value: log_prob(self, value).exp())


@counterfactual("distribution-parameters-differ-from-the-textbook")
def normal_takes_a_variance(patch):
    init = distributions.Normal.__init__

    def of_variance(self, loc, scale, validate_args=None):
        init(self, loc, scale**0.5, validate_args)

    patch.setattr(distributions.Normal, "__init__", of_variance)
