"""A torch that minds leaves less: it lets them be written to, and lets anything require grad."""

import torch

from tests.counterfactuals import counterfactual


@counterfactual("no-grad-update-must-be-in-place")
def no_grad_records_all_the_same(patch):
    patch.setattr(torch.no_grad, "__enter__", lambda self: None)
    patch.setattr(torch.no_grad, "__exit__", lambda self, *error: None)
