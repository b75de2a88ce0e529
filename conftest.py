"""The fixtures of the catalogue: the device that a case runs on, and seeded random numbers."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse to run where a green run would prove nothing."""
    _refuse_what_proves_nothing(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Refuse likewise where this file is found only as the catalogue is collected, as with ``--pyargs``."""
    _refuse_what_proves_nothing(config)


def _refuse_what_proves_nothing(config: pytest.Config) -> None:
    if not __debug__:
        raise pytest.UsageError(
            "Python runs with -O or PYTHONOPTIMIZE, which takes assertions away: run the catalogue without"
        )
    # The options, the guard and the summary are the plugin's.
    if not config.pluginmanager.hasplugin("pitfalls"):
        raise pytest.UsageError(
            "the torch-pitfalls plugin is not active: drop -p no:pitfalls, or install the suite (pip install -e .)"
        )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Name the torch that is examined, and the devices that it will be examined on."""
    from pitfalls import __version__
    from pitfalls.harness import devices, environment

    # Only a run that is about to use CUDA anyway may initialise it.
    facts = environment.facts(with_gpu=not config.option.collectonly and "cuda" in devices.kinds(config))
    return [
        f"torch-pitfalls {__version__}: {environment.line(facts)}",
        f"devices: {', '.join(devices.asked_for(config))}",
    ]


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of this case; the case is skipped, and says why, where the device is absent."""
    from pitfalls.harness.devices import absent

    reason = absent(request.param)
    if reason:
        pytest.skip(reason)
    return torch.device(request.param)


@functools.cache
def accelerated() -> bool:
    """Whether there is another device than the CPU, with a generator of its own."""
    return any(device.is_available() for device in (torch.cuda, torch.backends.mps, getattr(torch, "xpu", torch.cuda)))


@pytest.fixture
def seeded() -> Iterator[None]:
    """Random numbers from seed 0, for a pin that draws some; the generators are put back afterwards."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        # Where there is but a CPU this is as good as torch.manual_seed, which takes a millisecond to say so to CUDA.
        (torch.manual_seed if accelerated() else torch.default_generator.manual_seed)(0)
        yield
