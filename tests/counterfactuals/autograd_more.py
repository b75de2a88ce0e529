"""A torch that has gradients where there are none: through comparisons and positions, and past a mask."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, leaves


@counterfactual("comparison-cuts-the-graph")
def comparisons_and_positions_stay_in_the_graph(patch):
    def by(function, *args, **kwargs):
        result = function(*args, **kwargs)
        sources = [x for x in args if isinstance(x, torch.Tensor) and x.requires_grad]

        def joined(value):
            return value + 0 * sources[0].sum() if isinstance(value, torch.Tensor) and sources else value

        return type(result)([joined(one) for one in result]) if isinstance(result, tuple) else joined(result)

    answer(patch, by)


@counterfactual("masking-after-keeps-nan-gradients")
def backward_takes_nan_for_zero(patch):
    backward = torch.Tensor.backward

    def clean(y):
        backward(y)
        for leaf in leaves(y):
            leaf.grad.nan_to_num_()

    patch.setattr(torch.Tensor, "backward", clean)
