"""What several modules of this area need: the compiler, and what it is built of."""

import importlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch


@pytest.fixture
def compiler() -> Iterator[None]:
    """A compiler that has compiled nothing before, and that leaves nothing of what it did behind."""
    validated = torch.distributions.Distribution._validate_args  # switched off when the compiler is imported
    config = importlib.import_module("torch._inductor.config")
    with warnings.catch_warnings(), config.patch(compile_threads=1):  # torch 2.3 starts workers, 2.8 leaves a filter
        warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
        try:
            torch.compile(lambda: None, backend="eager")
        except RuntimeError as error:  # this Python is too new for this torch's compiler
            pytest.skip(str(error).splitlines()[0])
        torch._dynamo.reset()
        yield
    torch._dynamo.reset()
    torch.distributions.Distribution.set_default_validate_args(validated)


@pytest.fixture
def export(compiler: None) -> Callable[..., Any]:  # noqa: ARG001 - what it leaves behind is cleared away
    """``torch.export.export``."""
    from torch.export import export

    return export
