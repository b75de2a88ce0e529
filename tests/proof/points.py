"""The calls of torch that a test makes, and the replacement of one of them by one that misbehaves."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name

from pitfalls import child
from pitfalls.harness.ahead import Child
from tests.proof.mutations import Mutation, of

resolve_name(torch.add)  # the first call looks at every name of torch, with its warnings: not inside a test


class Points(TorchFunctionMode):
    """Sees each call of torch on the outermost level; mutates the one that is asked for.

    ``torch.overrides.TorchFunctionMode`` sees factories, operators, methods and attributes of tensors; what it does not
    see (functions without tensor arguments, methods of modules and optimizers, contexts) is wrapped, see `watched`.
    """

    def __init__(self, target: int | None = None, mutation: Mutation | None = None) -> None:
        super().__init__()
        self.target, self.mutation = target, mutation
        # The mutations that suit a call are kept, not what it gave: pins ask what is still alive.
        self.seen: list[tuple[str, dict[str, Mutation]]] = []
        self.inside = 0
        self.applied = False

    def point(self, name: str, call: Callable[[], Any], args: tuple[Any, ...]) -> Any:
        """Pass a call on, or mutate it if it is the one."""
        if self.inside:
            return call()
        index = len(self.seen)
        self.seen.append((name, {}))
        self.inside += 1
        try:
            if index == self.target and self.mutation is not None:
                self.applied = True
                return self.mutation(call, args)
            found = call()
            if self.target is None:
                self.seen[index] = (name, dict(of(found, None)))
            return found
        except BaseException as error:
            if self.target is None:
                self.seen[index] = (name, dict(of(None, error)))
            raise
        finally:
            self.inside -= 1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = resolve_name(func) or getattr(func, "__qualname__", repr(func))
        return self.point(name, lambda: func(*args, **kwargs), (*args, *kwargs.values()))


def _imported(tree: ast.AST, module: ModuleType) -> Iterator[tuple[Any, str, Any]]:
    """What a piece of source imports of torch by name, as its owner, its name and itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            origin = importlib.import_module(str(node.module))
            owner = module if isinstance(tree, ast.ImportFrom) else origin
            for alias in node.names:
                yield owner, alias.asname or alias.name, getattr(origin, alias.name)


def _named(tree: ast.AST, scope: dict[str, Any]) -> Iterator[tuple[Any, str, Any]]:
    """Every ``torch.some.thing`` in a piece of source, as its owner, its last name and itself."""
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: Any = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if not parts or not isinstance(inner, ast.Name):
            continue
        owner = scope.get(inner.id)
        if getattr(owner, "__name__", "").partition(".")[0] != "torch":
            continue
        try:
            for part in parts[:-1]:
                owner = getattr(owner, part)
            yield owner, parts[-1], getattr(owner, parts[-1])
        except AttributeError:
            continue


def _wrapped(points: Points, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        found = points.point(name, lambda: function(*args, **kwargs), (*args, *kwargs.values()))
        return None if name.endswith("__init__") else found

    return call


#: Methods that are used without being spelled.
UNSPELLED = {"__init__", "__call__", "__iter__", "__len__", "__getitem__", "__next__", "__enter__"}
#: What Python itself needs of a class.
LEFT_ALONE = {"__new__", "__class__", "__getattr__", "__setattr__", "__getattribute__", "__init_subclass__"}


@dataclass
class Targets:
    """What a test uses of torch that the mode does not see: owner, name and routine of each.

    `mode` says whether the mode goes along: torch's compiler would trace it, and some modules leave their fast path
    where there is one.
    """

    routines: list[tuple[Any, str, Any]] = field(default_factory=list)
    mode: bool = True

    def add_class(self, cls: type, spelled: set[str]) -> None:
        """Add the methods of a class, and of its bases in torch, that the test's source spells."""
        for base in cls.__mro__:
            if not base.__module__.startswith("torch") or issubclass(base, (torch.Tensor, BaseException, torch.Size)):
                continue
            for name, member in vars(base).items():
                if name in spelled and name not in LEFT_ALONE and inspect.isfunction(member):
                    self.routines.append((base, name, member))


def targets(test: Callable[..., Any], arguments: dict[str, Any]) -> Targets:
    """What is to be wrapped for the time of a test, given its parameters."""
    module = inspect.getmodule(test)
    scope = {**vars(module), **arguments}
    trees: list[ast.AST] = [ast.parse(textwrap.dedent(inspect.getsource(test)))]
    trees += [
        node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, (ast.Assign, ast.FunctionDef, ast.AnnAssign, ast.ImportFrom)) or _helper_class(node)
    ]
    spelled = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)} | UNSPELLED
    found = Targets(mode="torch.compile" not in ast.unparse(trees[0]))
    if any(isinstance(node, ast.Name) and node.id == "getattr" for tree in trees for node in ast.walk(tree)):
        found.routines.append((torch, "__getattr__", torch.__getattr__))  # it warns of names of old times
    named = [scope.get(node.id) for node in ast.walk(trees[0]) if isinstance(node, ast.Name)]
    if any(isinstance(value, Child) or value is child for value in named):
        found.routines.append((Child, "__call__", Child.__call__))  # what torch does there can't be mutated from here
    for tree in trees:
        for owner, name, value in (*_named(tree, scope), *_imported(tree, module)):
            if value is torch.Tensor:
                found.routines.append((value, "__new__", torch.Tensor.__new__))
            elif isinstance(value, type):
                found.add_class(value, spelled)
            elif inspect.isroutine(value) and inspect.ismodule(owner):
                found.routines.append((owner, name, value))
    for value in arguments.values():
        if isinstance(value, type) and value.__module__.startswith("torch"):
            found.add_class(value, spelled)
    return found


@contextmanager
def watched(points: Points, found: Targets, arguments: dict[str, Any]) -> Iterator[None]:
    """Enter the mode for the time of a test, and wrap what it uses of torch and the mode does not see."""
    with ExitStack() as stack:
        if found.mode:
            stack.enter_context(points)
        done: set[tuple[int, str]] = set()
        for owner, name, routine in found.routines:
            if (id(owner), name) in done:
                continue
            done.add((id(owner), name))
            wrapped = _wrapped(
                points, f"{getattr(owner, '__module__', '')}.{owner.__name__}.{name}".lstrip("."), routine
            )
            had = name in vars(owner)
            try:
                setattr(owner, name, wrapped)
            except (TypeError, AttributeError):
                continue
            stack.callback(setattr, owner, name, routine) if had else stack.callback(delattr, owner, name)
        for name, value in list(arguments.items()):
            if inspect.isroutine(value) and (getattr(value, "__module__", "") or "torch").startswith("torch"):
                arguments[name] = _wrapped(points, getattr(value, "__name__", name), value)
        yield


def _helper_class(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and not node.name.startswith("Test")
