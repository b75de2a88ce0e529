"""A torch with other linear algebra, spectra and sparse tensors."""

import torch

from tests.counterfactuals import counterfactual
from tests.counterfactuals.answered import answer, leaves


@counterfactual("eig-is-complex")
def eigenvalues_are_real_for_real_matrices(patch):
    def by(function, *args, **kwargs):
        found = function(*args, **kwargs)
        if function is torch.linalg.eigvals:
            return found.real
        if function is torch.linalg.eig:
            return torch.return_types.linalg_eig((found.eigenvalues.real, found.eigenvectors.real))
        return found

    answer(patch, by)


@counterfactual("one-triangle-is-read")
def symmetry_is_checked(patch):
    functions = (torch.linalg.eigh, torch.linalg.eigvalsh, torch.linalg.cholesky, torch.linalg.matrix_rank)

    def by(function, *args, **kwargs):
        if function in functions and not torch.equal(args[0], args[0].mT):
            raise ValueError("the matrix is not symmetric")
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("gradient-of-equal-eigenvalues")
def gradients_of_eigenvectors_are_bounded(patch):
    def by(function, *args, **kwargs):
        found = function(*args, **kwargs)
        if function is torch.Tensor.backward:
            for leaf in leaves(args[0]):
                leaf.grad = leaf.grad.nan_to_num(0.0, 0.0, 0.0).clamp(-1, 1)
        return found

    answer(patch, by)


@counterfactual("svd-returns-vh")
def svd_is_the_old_one_and_the_old_one_the_new(patch):
    old, new = torch.svd, torch.linalg.svd
    patch.setattr(torch, "svd", lambda a, **how: new(a))
    patch.setattr(torch.linalg, "svd", lambda a, **how: old(a))


@counterfactual("singular-is-exact")
def nearly_singular_matrices_have_a_pseudoinverse(patch):
    def by(function, *args, **kwargs):
        if function is torch.linalg.inv:
            return torch.linalg.pinv(args[0], rtol=1e-3)
        if function is torch.linalg.solve:
            return torch.linalg.pinv(args[0], rtol=1e-3) @ args[1]
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("norm-flattens")
def each_norm_takes_the_other_for_itself(patch):
    flatten = (torch.norm, torch.Tensor.norm, torch.linalg.vector_norm)

    def by(function, *args, **kwargs):
        if function in flatten:
            return torch.linalg.matrix_norm(*args, **kwargs)
        if function in (torch.linalg.norm, torch.linalg.matrix_norm):
            return torch.linalg.vector_norm(*args, **kwargs)
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("irfft-needs-the-length")
def signals_are_taken_for_odd(patch):
    one = (torch.fft.irfft, torch.fft.hfft)
    more = (torch.fft.irfft2, torch.fft.irfftn, torch.fft.hfft2, torch.fft.hfftn)

    def by(function, *args, **kwargs):
        if function in one:
            kwargs.setdefault("n", 2 * args[0].shape[-1] - 1)
        if function in more:
            kwargs.setdefault("s", (*args[0].shape[:-1], 2 * args[0].shape[-1] - 1))
        return function(*args, **kwargs)

    answer(patch, by)


@counterfactual("sparse-invariants-are-unchecked")
def sparse_tensors_are_checked(patch):
    for name in ("sparse_coo_tensor", "sparse_csr_tensor", "sparse_csc_tensor"):
        make = getattr(torch, name)
        patch.setattr(torch, name, lambda *args, make=make, **how: make(*args, **{**how, "check_invariants": True}))


@counterfactual("sparse-keeps-zero-at-zero")
def results_become_dense_where_they_must(patch):
    def by(function, *args, **kwargs):
        try:
            return function(*args, **kwargs)
        except RuntimeError:
            return function(args[0].to_dense(), *args[1:], **kwargs)

    answer(patch, by)
