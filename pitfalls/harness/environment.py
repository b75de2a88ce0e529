"""What a run ran on: torch and everything beside it that can change an answer."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

#: The variables that torch reads, as they were before torch itself sets some.
AT_START = {name: value for name, value in sorted(os.environ.items()) if name.startswith(("TORCH", "PYTORCH", "CUDA"))}


def facts(with_gpu: bool) -> dict[str, Any]:
    """The environment of this process as plain JSON values.

    Args:
        with_gpu: also name the GPUs, which initialises CUDA where there is any.
    """
    import numpy as np
    import torch

    found: dict[str, Any] = {
        "torch": str(torch.__version__),
        "torch_git": torch.version.git_version,
        "cuda": torch.version.cuda,
        "hip": getattr(torch.version, "hip", None),
        "cudnn": None,
        "driver": None,
        "gpus": [],
        "numpy": np.__version__,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "os": platform.system(),
        "os_release": platform.release(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else None,
        "threads": torch.get_num_threads(),
        "environ": AT_START,
    }
    if with_gpu and torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found["cudnn"] = torch.backends.cudnn.version()
        found["driver"] = _driver()
    return found


def _driver() -> str | None:
    """The version of NVIDIA's driver, where the kernel tells it."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8").split()
    except OSError:
        return None
    return next((word for word in words if word.count(".") >= 1 and word[0].isdigit()), None)


def line(found: dict[str, Any]) -> str:
    """One line that names torch with its source revision, its GPU platform and GPUs, numpy and Python."""
    git = (found["torch_git"] or "unknown")[:10]
    platform_of = f"CUDA {found['cuda']}" if found["cuda"] else f"ROCm {found['hip']}" if found["hip"] else "no CUDA"
    gpus = ", ".join(found["gpus"]) or "no GPU"
    return (
        f"torch {found['torch']} (git {git}), {platform_of}, {gpus}, numpy {found['numpy']}, python {found['python']}"
    )
