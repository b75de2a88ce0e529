"""A torch that compiles nothing, and a tracer that keeps what it was given."""

import torch

from tests.counterfactuals import counterfactual


@counterfactual("compiled-module-is-a-wrapper")
def compile_returns_the_module(patch):
    patch.setattr(torch, "compile", lambda module, **_: module)


@counterfactual("trace-freezes-control-flow")
def a_trace_is_the_function(patch):
    patch.setattr(torch.jit, "trace", lambda function, *_, **__: function)
