"""A torch that keeps other graphs: they live on, or are never made, and writes to what they saved go unnoticed."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, replace, writes


@counterfactual(
    "second-backward-finds-the-graph-freed",
    "two-losses-share-a-trunk",
    "hidden-state-carries-the-graph",
    "grad-fn-holds-the-operands",
)
def the_graph_is_always_retained(patch):
    backward, grad = torch.Tensor.backward, torch.autograd.grad
    patch.setattr(torch.Tensor, "backward", lambda y: backward(y, retain_graph=True))
    patch.setattr(torch.autograd, "grad", lambda y, x: grad(y, x, retain_graph=True))


@counterfactual("second-backward-finds-the-graph-freed")
def a_second_backward_does_nothing(patch):
    backward, done = torch.Tensor.backward, []

    def once(y):
        if all(y is not other for other in done):
            backward(y)
            done.append(y)

    patch.setattr(torch.Tensor, "backward", once)


@counterfactual("kept-results-keep-the-graph")
def a_product_saves_copies_of_its_operands(patch):
    mul = torch.Tensor.__mul__
    patch.setattr(torch.Tensor, "__mul__", lambda x, y: mul(x.clone(), y.clone()))


@counterfactual("grad-fn-holds-the-operands")
def a_product_swaps_its_operands(patch):
    mul = torch.Tensor.__mul__
    patch.setattr(torch.Tensor, "__mul__", lambda x, y: mul(y, x))


@counterfactual(
    "saved-result-must-not-change",
    "saved-input-must-not-change",
    "constant-operand-must-not-change",
    "no-grad-write-still-counts",
    "views-share-the-version-counter",
    "recurrence-into-a-preallocated-tensor",
    "step-invalidates-the-older-graph",
    "inplace-error-names-the-victim",
    "version-counter-counts-writes",
)
def writes_are_not_counted(patch):
    def by(function, *args, **kwargs):
        if not writes(function, kwargs):
            return function(*args, **kwargs)
        target = [*args, *kwargs.values()][0]
        with torch.autograd._unsafe_preserve_version_counter(target):
            return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("inplace-error-depends-on-the-op", "recurrence-into-a-preallocated-tensor")
def no_result_may_be_written_to(patch):
    def by(function, *args, **kwargs):
        if writes(function, kwargs) and args[0].requires_grad:
            raise RuntimeError("a result must not change")
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("data-hides-writes-from-autograd")
def data_shares_the_version_counter(patch):
    replace(patch, "data", read=lambda x: x.detach())


@counterfactual("set-grad-enabled-acts-at-once")
def set_grad_enabled_acts_in_a_with_block_only(patch):
    def init(self, mode):
        self.mode, self.prev = mode, torch.is_grad_enabled()

    patch.setattr(torch.set_grad_enabled, "__init__", init)
    patch.setattr(torch.set_grad_enabled, "__call__", lambda self, function: function)


@counterfactual("no-grad-decorator-without-parentheses")
def a_bare_decorator_does_nothing(patch):
    def new(cls, function=None):
        return function if callable(function) else object.__new__(cls)

    for mode in (torch.no_grad, torch.enable_grad, torch.inference_mode):
        patch.setattr(mode, "__new__", new)
