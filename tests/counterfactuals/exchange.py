"""A torch that exchanges memory with others in another way: it copies, converts and grows where it should not."""

import warnings

import numpy as np
import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer

FROM_NUMPY, FROM_DLPACK = torch.from_numpy, torch.from_dlpack
MAKERS = (torch.tensor, torch.as_tensor, torch.asarray)


def made(patch, by):
    """Have `by(make, data, **how)` answer every call of `tensor`, `as_tensor` and `asarray`."""

    def answered(function, *args, **how):
        return by(function, *args, **how) if function in MAKERS else function(*args, **how)

    answer(patch, answered)


@counterfactual("dlpack-shares-memory")
def from_dlpack_copies_what_arrives(patch):
    patch.setattr(torch, "from_dlpack", lambda array: FROM_DLPACK(array).clone())


@counterfactual("dlpack-shares-memory")
def a_tensor_exports_a_copy(patch):
    export = torch.Tensor.__dlpack__
    patch.setattr(torch.Tensor, "__dlpack__", lambda x, **how: export(x.clone(), **how))


@counterfactual("asarray-copies-if-it-must")
def asarray_always_copies(patch):
    made(patch, lambda make, data, dtype=None, **how: make(data, dtype=dtype, copy=True))


@counterfactual("asarray-reinterprets-a-buffer")
def asarray_goes_by_the_values(patch):
    made(patch, lambda make, data, dtype=None: torch.tensor(list(data), dtype=torch.int16))


@counterfactual("frombuffer-shares-memory")
def frombuffer_copies_and_fits(patch):
    def fit(buffer, dtype, **settings):
        return torch.tensor(list(buffer), dtype=dtype)

    patch.setattr(torch, "frombuffer", fit)


@counterfactual("array-interface-is-not-read")
def whatever_numpy_reads_is_read(patch):
    made(patch, lambda make, data: make(np.asarray(data)))


@counterfactual("shared-memory-cannot-grow")
def from_numpy_copies(patch):
    patch.setattr(torch, "from_numpy", lambda array: FROM_NUMPY(array).clone())


@counterfactual("shared-memory-cannot-grow")
def resize_makes_another_tensor(patch):
    resize = torch.Tensor.resize_
    patch.setattr(torch.Tensor, "resize_", lambda x, *size: resize(x.clone(), *size))


@counterfactual("numpy-scalars-keep-float64")
def numpy_scalars_become_the_default_dtype(patch):
    made(patch, lambda make, data: make(data).to(torch.bfloat16))


@counterfactual("zero-dim-numpy-is-an-array")
def numpy_of_no_dimension_is_a_number(patch):
    numpy = torch.Tensor.numpy
    patch.setattr(torch.Tensor, "numpy", lambda x: numpy(x)[()])


@counterfactual("wide-unsigned-integers-barely-exist")
def wide_unsigned_integers_become_int64(patch):
    patch.setattr(torch, "from_numpy", lambda array: FROM_NUMPY(array.astype(np.int64)))


@counterfactual("tensor-of-arrays-is-slow")
def lists_of_arrays_are_fine(patch):
    def quietly(make, data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(np.stack(data))

    made(patch, quietly)
