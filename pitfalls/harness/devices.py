"""Which devices a run is about, and whether this machine really has them."""

from __future__ import annotations

import functools
import re

import pytest

KNOWN = re.compile(r"cpu|(cuda|mps|xpu)(:\d+)?")


def asked_for(config: pytest.Config) -> list[str]:
    """The devices of this run: those of ``--device``, or cpu and cuda."""
    return config.getoption("pitfalls_device", None) or ["cpu", "cuda"]


def kinds(config: pytest.Config) -> set[str]:
    """The device types of this run, without their indices."""
    return {name.partition(":")[0] for name in asked_for(config)}


def cases(metafunc: pytest.Metafunc) -> list[str]:
    """The devices for which a test gets a case; a test marked ``on`` another device keeps one, to be skipped aloud."""
    devices = asked_for(metafunc.config)
    mark = metafunc.definition.get_closest_marker("on")
    if mark is None:
        return devices
    return [name for name in devices if name.partition(":")[0] in mark.args] or [mark.args[0]]


@functools.cache
def absent(name: str) -> str | None:
    """Why the device is not there, or None if one element can be allocated on it.

    A device count above zero and a driver that answers are not enough: a machine whose GPU is taken exclusively or
    broken has both, so the proof is one element really allocated.
    """
    import torch

    kind = name.partition(":")[0]
    if kind == "cpu":
        return None
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": getattr(torch, "xpu", None)}[kind]
    if backend is None or not backend.is_available():
        return f"{kind.upper()} is not available"
    if kind != "mps" and backend.device_count() == 0:
        return f"{kind.upper()} reports no device"
    try:
        torch.zeros(1, device=name)
    except RuntimeError as error:
        return f"{name} can't be used: {str(error).splitlines()[0]}"
    return None
