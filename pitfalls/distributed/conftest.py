"""What several modules of this area need: a process group."""

import sys
import time
import warnings
from collections.abc import Iterator

import pytest
import torch.distributed as dist


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone; afterwards it is destroyed, and Python's hook for errors put back."""
    hook = sys.excepthook
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    with warnings.catch_warnings():  # leaving Join sets a filter for the whole process
        warnings.filterwarnings("ignore", ".*torch.cpu.amp.autocast", FutureWarning)  # torch 2.4 warns of itself
        yield
    time.sleep(0.03)  # until its threads have let go of the last tensors: one that waits for the GIL then is waited for
    dist.destroy_process_group()
    sys.excepthook = hook
