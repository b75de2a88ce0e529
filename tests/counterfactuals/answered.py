"""What counterfactuals share: a way to answer every call of torch, also of what a test got hold of beforehand."""

import torch
from torch.overrides import TorchFunctionMode

BASE = torch.Tensor.__base__


class _Answering(TorchFunctionMode):
    """Passes each call that a test makes to `answer`; on while `on` is true."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return self.answer(function, *args, **(kwargs or {}))

    @property
    def on(self):
        return False

    @on.setter
    def on(self, on):
        self.__enter__() if on else self.__exit__(None, None, None)


def answer(patch, by):
    """Have `by(function, *args, **kwargs)` answer the calls of torch; what it calls itself is not asked again."""
    patch.setattr(_Answering(by), "on", True)


def writes(function, kwargs):
    """Whether a call writes to its first argument."""
    name = getattr(function, "__name__", "")
    underscored = name.endswith("_") and not name.startswith("__") and not name.startswith("requires_grad")
    return underscored or kwargs.get("inplace", False) or name in ("__setitem__", "__iand__", "__ior__", "__ixor__")


def leaves(result):
    """The leaves that `result` was computed from."""
    nodes, found = [result.grad_fn], []
    for node in nodes:
        if hasattr(node, "variable"):
            found.append(node.variable)
        nodes += [parent for parent, _ in getattr(node, "next_functions", ()) if parent not in nodes]
    return found


def attribute(name):
    """What reads an attribute of a tensor, also after it was replaced."""
    return vars(BASE)[name].__get__


def replace(patch, name, read=None, write=None):
    """Read or write an attribute of every tensor in another way."""
    was = vars(BASE)[name]
    patch.setattr(torch.Tensor, name, property(read or was.__get__, write or getattr(was, "__set__", None)))
