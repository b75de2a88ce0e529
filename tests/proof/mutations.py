"""How one call of torch may misbehave: by what it gave in the clean run, the ways in which it could give otherwise."""

from __future__ import annotations

import copy
import inspect
import subprocess
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

Call = Callable[[], Any]
#: Takes the call and its positional arguments; returns or raises what the misbehaving call would.
Mutation = Callable[[Call, tuple[Any, ...]], Any]


class NotApplicable(Exception):
    """A mutation that would change nothing about this call."""


class Untrue(Exception):
    """An exception that torch never raises."""


def of(outcome: Any, raised: BaseException | None) -> Iterator[tuple[str, Mutation]]:
    """The mutations that suit a call, by what it returned or raised in the clean run."""
    if raised is not None:
        yield "give no warning", _silent
        yield "swallow the exception", _swallow
        yield "raise another exception", _raise_other
        yield "say something else", _say_other
        return
    yield "give no warning", _silent
    yield "skip the call", _skip
    yield "do it twice", _twice
    yield "work on copies of the arguments", _on_copies
    if isinstance(outcome, torch.Tensor):
        yield from TENSOR.items()
    elif isinstance(outcome, np.ndarray):
        yield from ARRAY.items()
    elif outcome is None:
        yield "give a tensor, not None", lambda call, args: (call(), torch.zeros_like(_tensor(args)))[1]
        yield "give a number, not None", lambda call, args: (call(), 1)[1]
    else:
        for name, change in _scalars(outcome):
            yield name, _then(change)
        if isinstance(outcome, (tuple, list)) and not isinstance(outcome, torch.Size):
            for index, inner in enumerate(outcome[:4]):
                for name, mutation in of(inner, None):
                    if name not in GENERIC:
                        yield f"item {index}: {name}", _inside(index, mutation)
        elif isinstance(outcome, dict):
            yield "lose an entry", _then(lambda found: type(found)(list(found.items())[1:]))
            for key in list(outcome)[:3]:
                for name, mutation in of(outcome[key], None):
                    if name not in GENERIC:
                        yield f"entry {key!r}: {name}", _inside(key, mutation)
        yield "give None", _then(lambda found: None)
    yield "raise for no reason", _raise


GENERIC = ("give no warning", "skip the call", "do it twice", "work on copies of the arguments", "raise for no reason")


def _tensor(args: tuple[Any, ...]) -> torch.Tensor:
    for arg in args:
        if isinstance(arg, torch.Tensor):
            return arg
        if isinstance(arg, (list, tuple)) and arg and isinstance(arg[0], torch.Tensor):
            return arg[0]
    return torch.zeros(())


def _then(change: Callable[[Any], Any]) -> Mutation:
    return lambda call, args: change(call())


def _inside(at: Any, mutation: Mutation) -> Mutation:
    """Apply a mutation to one item of a container that a call returned."""

    def mutate(call: Call, args: tuple[Any, ...]) -> Any:
        found = call()
        changed = mutation(lambda: found[at], args)
        if isinstance(found, dict):
            found = copy.copy(found)
            found[at] = changed
            return found
        items = [changed if index == at else item for index, item in enumerate(found)]
        if hasattr(found, "_fields"):
            return type(found)(*items)
        try:
            return type(found)(items)
        except TypeError:
            return tuple(items)

    return mutate


def _swallow(call: Call, args: tuple[Any, ...]) -> Any:
    try:
        return call()
    except Exception:
        return _tensor(args)


def _raise_other(call: Call, args: tuple[Any, ...]) -> Any:
    try:
        return call()
    except Exception as error:
        raise Untrue(str(error)) from None


def _say_other(call: Call, args: tuple[Any, ...]) -> Any:
    try:
        return call()
    except Exception as error:
        try:
            other = type(error)("something else")
        except TypeError:
            raise NotApplicable from None
        raise other from None


def _raise(call: Call, args: tuple[Any, ...]) -> Any:
    call()
    raise Untrue("raised for no reason")


def _silent(call: Call, args: tuple[Any, ...]) -> Any:
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        return call()


def _skip(call: Call, args: tuple[Any, ...]) -> Any:
    return _tensor(args)


def _twice(call: Call, args: tuple[Any, ...]) -> Any:
    call()
    return call()


def _on_copies(call: Call, args: tuple[Any, ...]) -> Any:
    """Undo afterwards whatever the call did to its tensors: an in-place operation without its effect."""
    with torch.no_grad():
        kept = [
            (arg, arg.detach().clone()) for arg in args if isinstance(arg, torch.Tensor) and arg.layout == torch.strided
        ]
        arrays = [(arg, arg.copy()) for arg in args if isinstance(arg, np.ndarray) and arg.flags.writeable]
        found = call()
        changed = False
        for tensor, before in kept:
            if tensor.shape == before.shape and not torch.equal(tensor, before):
                tensor.detach().copy_(before)
                changed = True
        for array, before in arrays:
            if not np.array_equal(array, before):
                array[...] = before
                changed = True
    if not changed:
        raise NotApplicable
    return found


def _scalars(outcome: Any) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if isinstance(outcome, bool):
        yield "say the opposite", lambda found: not found
    elif isinstance(outcome, (int, float, complex)):
        yield "add one", lambda found: found + 1
        yield "negate", lambda found: -found if found else found - 1
        yield "give another type", lambda found: float(found) if isinstance(found, int) else int(found.real)
    elif isinstance(outcome, str):
        yield "say something else", lambda found: "something else"
    elif isinstance(outcome, torch.Size):
        yield "another size", lambda found: torch.Size([*found, 7])
        yield "no Size", lambda found: list(found)
        yield "a plain tuple", tuple
        yield "no size at all", lambda found: torch.Size([])
    elif isinstance(outcome, (tuple, list)):
        yield (
            "lose the last item",
            lambda found: type(found)(list(found)[:-1]) if not hasattr(found, "_fields") else found[:-1],
        )
        yield "gain an item", lambda found: (*found, found[-1] if found else 0)
        yield "reverse", lambda found: tuple(reversed(found))
    elif isinstance(outcome, torch.dtype):
        yield "another dtype", lambda found: torch.float64 if found != torch.float64 else torch.float32
        yield "an integer dtype", lambda found: torch.int8 if found != torch.int8 else torch.int16
    elif isinstance(outcome, torch.device):
        yield "another device", lambda found: torch.device("meta")
    elif isinstance(outcome, torch.nn.Module):
        yield "replace the parameters", _with_other_parameters
        yield "replace the children", _with_other_children
    elif isinstance(outcome, torch.Generator):
        yield "another generator", lambda found: torch.Generator().manual_seed(7)
    elif isinstance(outcome, subprocess.CompletedProcess):
        yield (
            "a child that ends otherwise",
            lambda found: _ended(found, found.returncode + 1, found.stdout, found.stderr),
        )
        yield "a child that says nothing", lambda found: _ended(found, found.returncode, "", "")
    elif inspect.isroutine(outcome):
        yield "a function that does nothing", lambda found: lambda *args, **kwargs: args[0]
        yield "a function that gives otherwise", lambda found: lambda *args, **kwargs: _perturb(found(*args, **kwargs))


def _with_other_parameters(found: torch.nn.Module) -> torch.nn.Module:
    for module in found.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                module._parameters[name] = torch.nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
    return found


def _ended(found: subprocess.CompletedProcess[str], *outcome: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(found.args, *outcome)


def _with_other_children(found: torch.nn.Module) -> torch.nn.Module:
    for name in list(found._modules):
        found._modules[name] = torch.nn.Linear(1, 1)
    return found


def _strided(found: torch.Tensor) -> torch.Tensor:
    if found.layout != torch.strided or found.is_nested:
        raise NotApplicable
    return found


def _perturb(found: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        other = _strided(found).detach().clone()
        if other.dtype == torch.bool:
            other.logical_not_()
        else:
            other += 1
    return _like(found, other)


def _perturb_one(found: torch.Tensor) -> torch.Tensor:
    if found.numel() < 2:
        raise NotApplicable
    with torch.no_grad():
        other = _strided(found).detach().clone(memory_format=torch.contiguous_format)
        last = other.view(-1)[-1:]
        last.logical_not_() if other.dtype == torch.bool else last.add_(1)
    return _like(found, other)


def _perturb_in_place(found: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        inner = _strided(found).detach()
        inner.logical_not_() if inner.dtype == torch.bool else inner.add_(1)
    return found


def _like(found: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Another tensor with the place in the graph that the first one had."""
    if not found.requires_grad:
        return other
    if found.is_leaf:
        return other.requires_grad_()
    with torch.no_grad():
        difference = other - found
    return found + difference


def _nan(found: torch.Tensor) -> torch.Tensor:
    if not found.is_floating_point():
        raise NotApplicable
    return _like(found, torch.full_like(_strided(found).detach(), float("nan")))


def _zeros(found: torch.Tensor) -> torch.Tensor:
    return _like(found, torch.zeros_like(_strided(found).detach()))


def _other_dtype(found: torch.Tensor) -> torch.Tensor:
    return found.to(torch.float64 if found.dtype != torch.float64 else torch.float32)


def _transposed_strides(found: torch.Tensor) -> torch.Tensor:
    if found.dim() < 2:
        raise NotApplicable
    return found.transpose(0, -1).contiguous().transpose(0, -1)


def _alias(call: Call, args: tuple[Any, ...]) -> Any:
    """Share memory with the argument instead of copying it."""
    found, source = call(), _tensor(args)
    if source.numel() != found.numel() or source.dtype != found.dtype or source is found:
        raise NotApplicable
    return source.detach().view_as(found) if source.is_contiguous() else source


def _alias_array(call: Call, args: tuple[Any, ...]) -> Any:
    found = call()
    array = next((arg for arg in args if isinstance(arg, np.ndarray)), None)
    if array is None or not array.flags.writeable or found.numel() != array.size:
        raise NotApplicable
    return torch.from_numpy(array)


def _copy(found: torch.Tensor) -> torch.Tensor:
    return found.clone()


#: What a torch that leaks would still hold.
KEPT: list[torch.Tensor] = []


def _keep(found: torch.Tensor) -> torch.Tensor:
    KEPT.append(found)
    return found


def _new_leaf(found: torch.Tensor) -> torch.Tensor:
    return found.detach().clone().requires_grad_(found.requires_grad)


def _flip_requires_grad(found: torch.Tensor) -> torch.Tensor:
    if not (found.is_floating_point() or found.is_complex()):
        raise NotApplicable
    return found.detach() if found.requires_grad else found.detach().clone().requires_grad_()


def _set_requires_grad(found: torch.Tensor) -> torch.Tensor:
    if not found.is_leaf or not (found.is_floating_point() or found.is_complex()):
        raise NotApplicable
    return found.requires_grad_(not found.requires_grad)


def _with_graph(found: torch.Tensor) -> torch.Tensor:
    if not (found.is_floating_point() or found.is_complex()):
        raise NotApplicable
    with torch.enable_grad():
        return found.detach().clone().requires_grad_() * 1


def _plain(found: torch.Tensor) -> torch.Tensor:
    if type(found) is torch.Tensor:
        raise NotApplicable
    return found.detach().as_subclass(torch.Tensor)


TENSOR: dict[str, Mutation] = {
    "another value": _then(_perturb),
    "another last value": _then(_perturb_one),
    "another value in place": _then(_perturb_in_place),
    "zeros": _then(_zeros),
    "NaN": _then(_nan),
    "another dtype": _then(_other_dtype),
    "one dimension more": _then(lambda found: found.unsqueeze(0)),
    "flattened": _then(lambda found: found.reshape(-1) if found.dim() != 1 else found.sum()),
    "one element less": _then(lambda found: found[:-1]),
    "twice the elements": _then(
        lambda found: torch.cat([found, found]) if found.dim() else torch.stack([found, found])
    ),
    "other strides": _then(_transposed_strides),
    "contiguous": _then(lambda found: found.contiguous()),
    "a copy": _then(_copy),
    "kept alive": _then(_keep),
    "an alias of the argument": _alias,
    "an alias of the array": _alias_array,
    "the argument itself": lambda call, args: (call(), _tensor(args))[1],
    "detached": _then(lambda found: found.detach()),
    "a new leaf": _then(_new_leaf),
    "the opposite requires_grad": _then(_flip_requires_grad),
    "the opposite requires_grad in place": _then(_set_requires_grad),
    "a graph behind it": _then(_with_graph),
    "no subclass": _then(_plain),
    "on the meta device": _then(lambda found: found.to("meta")),
    "None": _then(lambda found: None),
}


def _numpy_dtype(found: np.ndarray) -> np.ndarray:
    return found.astype(np.float64 if found.dtype != np.float64 else np.float32)


def _numpy_perturb(found: np.ndarray) -> np.ndarray:
    return ~found if found.dtype == bool else found + 1


ARRAY: dict[str, Mutation] = {
    "a copy": _then(lambda found: found.copy()),
    "another value": _then(_numpy_perturb),
    "another dtype": _then(_numpy_dtype),
    "one dimension more": _then(lambda found: found[None]),
    "one element less": _then(lambda found: found[:-1]),
    "None": _then(lambda found: None),
}
