"""A torch whose collectives keep the graph, and whose DDP expects unused parameters."""

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.counterfactuals import counterfactual

WRAP = DistributedDataParallel.__init__


@counterfactual("all-gather-carries-no-gradient")
def all_gather_keeps_the_graph(patch):
    def all_gather(gathered, x):
        gathered[0] = x

    patch.setattr(dist, "all_gather", all_gather)


@counterfactual("ddp-parameters-must-be-used")
def ddp_finds_unused_parameters(patch):
    patch.setattr(
        DistributedDataParallel,
        "__init__",
        lambda self, net, **how: WRAP(self, net, **{"find_unused_parameters": True, **how}),
    )
