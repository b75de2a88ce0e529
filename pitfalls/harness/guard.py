"""The state that torch keeps per process or per thread, read before and after each case.

A case that changes some of it makes later cases, and the user's own tests, depend on the order they run in. What can be
read is compared; what can be set again is put back, so that one leak is reported once.
"""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.multiprocessing


class Item(NamedTuple):
    """One piece of state: how it is read, and how it is put back where torch has a way."""

    read: Callable[[], Any]
    restore: Callable[[Any], object] | None = None


def _flushes_denormals() -> bool:
    return sys.float_info.min / 2 == 0


def _default_device() -> str:
    return str(torch.empty(0).device)


def _restore_default_device(name: str) -> None:
    # Setting "cpu" would leave torch's function mode for default devices on the stack; None takes it off.
    torch.set_default_device(None if name == "cpu" else name)


def _cuda(read: Callable[[], Any]) -> Callable[[], Any]:
    """Read state of CUDA only once something else has initialised it."""
    return lambda: read() if torch.cuda.is_initialized() else None


def _change_directory(path: str) -> None:
    os.chdir(path)


def _environ() -> dict[str, str]:
    found = dict(os.environ)
    found.pop("PYTEST_CURRENT_TEST", None)  # pytest itself notes there which test runs
    return found


def _restore_environ(environ: dict[str, str]) -> None:
    for name in _environ().keys() - environ.keys():
        del os.environ[name]
    os.environ.update(environ)


def _restore_rng(state: bytes) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _numpy_rng() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=False)
    inner: Any = state["state"]
    return (inner["key"].tobytes(), inner["pos"], state["has_gauss"], state["gauss"])


def _restore_numpy_rng(state: tuple[Any, ...]) -> None:
    keys, *rest = state
    np.random.set_state(("MT19937", np.frombuffer(keys, dtype=np.uint32), *rest))


def _autocast() -> dict[str, Any]:
    state: dict[str, Any] = {"cache": torch.is_autocast_cache_enabled()}
    try:  # since 2.4 the questions take a device type
        for kind in ("cpu", "cuda"):
            state[kind] = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
    except (TypeError, AttributeError):
        state["cpu"] = (torch.is_autocast_cpu_enabled(), torch.get_autocast_cpu_dtype())
        state["cuda"] = (torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype())
    return state


def _restore_autocast(state: dict[str, Any]) -> None:
    torch.set_autocast_cache_enabled(state["cache"])
    for kind in ("cpu", "cuda"):
        enabled, dtype = state[kind]
        try:
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        except (TypeError, AttributeError):  # before 2.4
            name = "autocast_cpu" if kind == "cpu" else "autocast"
            getattr(torch, f"set_{name}_enabled")(enabled)
            getattr(torch, f"set_autocast_{'cpu' if kind == 'cpu' else 'gpu'}_dtype")(dtype)


@functools.cache
def _backend_owners() -> list[tuple[str, Any, str]]:
    """The switches of the backends that this torch has: name, object, attribute."""
    names = (  # noqa: SIM905 - as a list of strings it would fill a screen
        "cudnn.enabled cudnn.benchmark cudnn.deterministic cudnn.allow_tf32 cuda.matmul.allow_tf32 "
        "cuda.matmul.allow_fp16_reduced_precision_reduction cuda.matmul.allow_bf16_reduced_precision_reduction "
        "cuda.matmul.allow_fp16_accumulation fp32_precision cuda.matmul.fp32_precision cudnn.fp32_precision "
        "cudnn.conv.fp32_precision cudnn.rnn.fp32_precision mkldnn.fp32_precision mkldnn.matmul.fp32_precision "
        "mkldnn.conv.fp32_precision mkldnn.enabled mkldnn.deterministic quantized.engine opt_einsum.enabled "
        "opt_einsum.strategy"
    ).split()
    found = []
    for name in names:
        *path, last = name.split(".")
        owner: Any = torch.backends
        for part in path:
            owner = getattr(owner, part, None)
        if owner is not None:
            found.append((name, owner, last))
    return found


def _backend_flags() -> dict[str, Any]:
    """The switches as they are; one that this torch lacks, or refuses to read in its mixed state, reads as such."""
    state: dict[str, Any] = {}
    for name, owner, last in _backend_owners():
        try:
            state[name] = getattr(owner, last)
        except (AttributeError, AssertionError, RuntimeError) as error:
            state[name] = type(error).__name__
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        enabled = getattr(torch.backends.cuda, f"{name}_sdp_enabled", None)
        state[f"{name}_sdp"] = enabled() if enabled else None
    return state


def _restore_backend_flags(flags: dict[str, Any]) -> None:
    for name, value in flags.items():
        if _backend_flags()[name] == value or name.endswith("_sdp"):
            continue
        *path, last = name.split(".")
        owner: Any = torch.backends
        for part in path:
            owner = getattr(owner, part)
        setattr(owner, last, value)
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        if (enable := getattr(torch.backends.cuda, f"enable_{name}_sdp", None)) is not None:
            enable(flags[f"{name}_sdp"])


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _fill() -> bool | None:
    module = getattr(torch.utils, "deterministic", None)
    return None if module is None else bool(module.fill_uninitialized_memory)


def _restore_fill(value: bool | None) -> None:
    if value is not None:
        vars(torch.utils)["deterministic"].fill_uninitialized_memory = value


def _module_hooks() -> tuple[tuple[str, int], ...]:
    module = sys.modules["torch.nn.modules.module"]
    return tuple(
        (name, len(value))
        for name, value in sorted(vars(module).items())
        if name.startswith("_global_") and isinstance(value, dict)
    )


def _safe_globals() -> tuple[str, ...]:
    read = getattr(torch.serialization, "get_safe_globals", None)
    return tuple(sorted(map(repr, read()))) if read else ()


def _serialization_defaults() -> tuple[str, ...]:
    readers = ("get_default_load_endianness", "get_default_mmap_options", "get_crc32_options")
    return tuple(str(read()) for name in readers if (read := getattr(torch.serialization, name, None)) is not None)


def _distributions_validate() -> bool | None:
    loaded = sys.modules.get("torch.distributions.distribution")
    return None if loaded is None else loaded.Distribution._validate_args


def _restore_distributions_validate(value: bool | None) -> None:
    if value is not None:
        torch.distributions.Distribution.set_default_validate_args(value)


def _conversion() -> tuple[object, ...]:
    return tuple(
        read()
        for name in ("get_overwrite_module_params_on_conversion", "get_swap_module_params_on_conversion")
        if (read := getattr(torch.__future__, name, None)) is not None
    )


def _process_group() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _live_threads() -> int:
    return sum(not thread.daemon for thread in threading.enumerate())


def _end_children(_: int) -> None:
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


GUARDED: dict[str, Item] = {
    "grad mode": Item(torch.is_grad_enabled, torch.set_grad_enabled),
    "inference mode": Item(torch.is_inference_mode_enabled),
    "default dtype": Item(torch.get_default_dtype, torch.set_default_dtype),
    "default device": Item(_default_device, _restore_default_device),
    "autocast": Item(_autocast, _restore_autocast),
    "deterministic algorithms": Item(
        _deterministic, lambda v: torch.use_deterministic_algorithms(v[0], warn_only=v[1])
    ),
    "fill of uninitialized memory": Item(_fill, _restore_fill),
    "float32 matmul precision": Item(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "backend flags": Item(_backend_flags, _restore_backend_flags),
    "anomaly mode": Item(
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda v: torch.autograd.set_detect_anomaly(*v),
    ),
    "number of threads": Item(torch.get_num_threads, torch.set_num_threads),
    "number of interop threads": Item(torch.get_num_interop_threads),
    "flushing of denormals": Item(_flushes_denormals, torch.set_flush_denormal),
    "print options": Item(
        lambda: dict(vars(torch._tensor_str.PRINT_OPTS)), lambda v: vars(torch._tensor_str.PRINT_OPTS).update(v)
    ),
    "CPU random state": Item(lambda: torch.get_rng_state().numpy().tobytes(), _restore_rng),
    "CUDA random state": Item(_cuda(lambda: [state.tolist() for state in torch.cuda.get_rng_state_all()])),
    "CUDA device and stream": Item(
        _cuda(lambda: (torch.cuda.current_device(), torch.cuda.current_stream().cuda_stream))
    ),
    "Python random state": Item(random.getstate, random.setstate),
    "NumPy random state": Item(_numpy_rng, _restore_numpy_rng),
    "sharing strategy": Item(torch.multiprocessing.get_sharing_strategy, torch.multiprocessing.set_sharing_strategy),
    "start method": Item(lambda: torch.multiprocessing.get_start_method(allow_none=True)),
    "warn-always": Item(torch.is_warn_always_enabled, torch.set_warn_always),
    "module hooks": Item(_module_hooks),
    "module conversion": Item(_conversion),
    "safe globals": Item(_safe_globals),
    "serialization defaults": Item(_serialization_defaults),
    "validation of distributions": Item(_distributions_validate, _restore_distributions_validate),
    "torch function modes": Item(lambda: len(torch.overrides._get_current_function_mode_stack())),
    "process group": Item(_process_group),
    "threads alive": Item(_live_threads),
    "child processes": Item(lambda: len(multiprocessing.active_children()), _end_children),
    "environment": Item(_environ, _restore_environ),
    "working directory": Item(os.getcwd, _change_directory),
    "warning filters": Item(lambda: list(warnings.filters)),
    "garbage collector": Item(gc.isenabled, lambda v: gc.enable() if v else gc.disable()),
    "recursion limit": Item(sys.getrecursionlimit, sys.setrecursionlimit),
    "excepthook": Item(lambda: sys.excepthook),
}


#: What torch's own modules change as they are imported, which some of its functions do on their first call only.
CHANGED_BY_IMPORTS = ("safe globals", "warning filters", "environment")
LOADED = "modules imported"

#: What pytest-randomly sets anew before each phase of each test, for its own good reasons.
RESEEDED = frozenset({"Python random state", "NumPy random state"})


#: What may change between two tests: pytest sets the filters, and threads and processes end when they will.
ANEW = ("warning filters", "threads alive", "child processes")


def read(ignored: frozenset[str] = frozenset(), known: dict[str, Any] | None = None) -> dict[str, Any]:
    """The guarded state as it is now, by name, but for the names to be ignored.

    Args:
        ignored: names in `GUARDED` to leave out.
        known: the state as it was found when the last case had ended, if nothing else has run since: reading it all
            takes as long as many a case.
    """
    if known is None:
        state = {name: item.read() for name, item in GUARDED.items() if name not in ignored}
    else:
        state = {**known, **{name: GUARDED[name].read() for name in ANEW}}
    state[LOADED] = len(sys.modules)
    return state


def leaks(before: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """What differs from ``before``, each as a phrase; differences are put back where torch has a way to.

    Returns:
        The differences, and the state that the next case finds.
    """
    found, after = [], {}
    imported = len(sys.modules) > before[LOADED]
    for name in (name for name in GUARDED if name in before):
        item = GUARDED[name]
        now = after[name] = item.read()
        if imported and name in CHANGED_BY_IMPORTS and _only_grew(before[name], now):
            continue
        # CUDA state that could not be read before its initialisation is no leak.
        if now == before[name] or (before[name] is None and name.startswith(("CUDA", "validation"))):
            continue
        found.append(f"{name}{_difference(before[name], now)}")
        if item.restore is not None:
            item.restore(before[name])
            after[name] = item.read()
    return found, after


def _only_grew(old: Any, new: Any) -> bool:
    if isinstance(old, dict):
        return all(new.get(key) == value for key, value in old.items())
    return all(entry in new for entry in old)


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        return ": " + ", ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in keys)
    if max(len(repr(old)), len(repr(new))) > 80:
        return ""
    return f": was {old!r}, is {new!r}"
