"""A torch that is further from NumPy: what crosses is a copy, and of any kind."""

import numpy as np
import torch

from pitfalls.harness.ahead import Child
from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer

NUMPY, FROM_NUMPY = torch.Tensor.numpy, torch.from_numpy


@counterfactual(
    "numpy-shares-memory",
    "numpy-refuses-requires-grad",
    "numpy-refuses-cuda",
    "strided-views-share-too",
    "data-hides-writes-from-autograd",
)
def numpy_returns_a_copy(patch):
    patch.setattr(torch.Tensor, "numpy", lambda x: NUMPY(x).copy())


@counterfactual("numpy-shares-memory")
def numpy_widens_to_float64(patch):
    patch.setattr(torch.Tensor, "numpy", lambda x: NUMPY(x).astype(np.float64))


@counterfactual("numpy-refuses-requires-grad")
def numpy_detaches(patch):
    patch.setattr(torch.Tensor, "numpy", lambda x: NUMPY(x.detach()))


@counterfactual("bfloat16-has-no-numpy")
def numpy_widens_bfloat16(patch):
    patch.setattr(torch.Tensor, "numpy", lambda x: NUMPY(x.float()))


@counterfactual("lazy-bits-refuse-numpy")
def numpy_resolves_lazy_bits(patch):
    patch.setattr(torch.Tensor, "numpy", lambda x: NUMPY(x.resolve_conj().resolve_neg()))


@counterfactual("rebinding-breaks-the-link")
def a_sum_is_written_into_its_first_operand(patch):
    patch.setattr(torch.Tensor, "__add__", torch.Tensor.add_)


@counterfactual(
    "from-numpy-shares-memory",
    "from-numpy-refuses-negative-strides",
    "read-only-arrays-warn",
    "strided-views-share-too",
)
def from_numpy_copies(patch):
    patch.setattr(torch, "from_numpy", lambda array: FROM_NUMPY(array.copy()))
    answer(patch, lambda function, *args, **how: function(*(copied(x) for x in args), **how))


def copied(x):
    return x.copy() if isinstance(x, np.ndarray) else x


@counterfactual("from-numpy-refuses-negative-strides")
def from_dlpack_copies(patch):
    run, copying = Child.__call__, "import torch; torch.from_dlpack = lambda array: torch.tensor(array.copy()); "
    patch.setattr(torch, "from_dlpack", lambda array: FROM_NUMPY(array.copy()))
    patch.setattr(Child, "__call__", lambda program: run(Child(copying + program.code)))


@counterfactual("from-numpy-shares-memory", "tensor-copies-its-data")
def as_tensor_ignores_the_dtype(patch):
    def by(function, *args, **how):
        if function in (torch.as_tensor, torch.asarray):
            how.pop("dtype", None)
        return function(*args, **how)

    answer(patch, by)


@counterfactual("from-numpy-refuses-other-dtypes")
def from_numpy_converts_what_it_can_and_gives_zeros_for_the_rest(patch):
    def convert(array):
        return FROM_NUMPY(array.astype("f8") if array.dtype.kind == "f" else np.zeros(array.shape))

    patch.setattr(torch, "from_numpy", convert)


@counterfactual("numpy-is-float64")
def from_numpy_makes_float32(patch):
    patch.setattr(torch, "from_numpy", lambda array: FROM_NUMPY(array).float())


@counterfactual("to-the-same-device-is-no-copy", "converted-leaf-gets-no-grad", "converted-parameter-is-not-registered")
def to_always_copies(patch):
    to = torch.Tensor.to
    patch.setattr(torch.Tensor, "to", lambda x, *where, **how: to(x, *where, **{**how, "copy": True}))
