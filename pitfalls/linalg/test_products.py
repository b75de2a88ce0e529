"""Products: what `dot`, `mm`, `bmm` and `mv` refuse to broadcast, and what `matmul`, `einsum` and `*` make of it."""

import pytest
import torch
import torch.backends.opt_einsum  # einsum imports it on its first use

from pitfalls import pitfall


@pitfall(
    "products-do-not-broadcast",
    docs=[
        ("torch.mm", "This function does not"),
        ("torch.dot", "intentionally only supports computing the dot product"),
        "torch.bmm",
        "torch.mv",
        "torch.vdot",
        "torch.outer",
    ],
    symptom="RuntimeError: 1D tensors expected, but got 2D and 2D tensors; batch2 must be a 3D tensor",
    error="1D tensors expected, but got",
    changed={"2.15": "mm says 'mat2 must be a matrix, got 1-D tensor'"},
)
class TestProductsDoNotBroadcast:
    """``dot``, ``mv``, ``mm``, ``bmm`` and ``outer`` each take one number of dimensions, and broadcast nothing.

    ``numpy.dot`` multiplies matrices; ``torch.dot`` takes two vectors. ``matmul``, or ``@``, takes vectors, matrices
    and batches of them, and broadcasts the batches.
    """

    @pytest.mark.parametrize(
        ("product", "left", "right", "message"),
        [
            pytest.param(torch.dot, (2, 2), (2, 2), "1D tensors expected, but got 2D and 2D", id="dot of matrices"),
            pytest.param(torch.dot, (2,), (1,), "inconsistent tensor size", id="dot of a single element"),
            pytest.param(torch.vdot, (2, 2), (2, 2), "1D tensors expected, but got 2D and 2D", id="vdot of matrices"),
            pytest.param(torch.vdot, (2,), (1,), "inconsistent tensor size", id="vdot of a single element"),
            pytest.param(torch.mv, (1, 2, 2), (2,), r"vector \+ matrix @ vector expected", id="mv of a batch"),
            pytest.param(torch.mv, (2, 2), (2, 1), r"vector \+ matrix @ vector expected", id="mv of a column"),
            pytest.param(torch.outer, (2, 2), (2,), "Expected 1-D argument self, but got 2-D", id="outer of a matrix"),
            pytest.param(torch.mm, (2, 2), (2,), "mat2 must be a matrix", id="mm of a vector"),
            pytest.param(torch.mm, (1, 2, 2), (2, 2), "self must be a matrix", id="mm of a batch"),
            pytest.param(torch.bmm, (1, 2, 2), (2, 2), "batch2 must be a 3D tensor", id="bmm of a matrix"),
            pytest.param(torch.bmm, (3, 2, 2), (1, 2, 2), "Expected size for first two", id="bmm of a batch of one"),
        ],
    )
    def test_trap_other_shapes_are_refused(self, device, product, left, right, message):
        with pytest.raises(RuntimeError, match=message):
            product(torch.ones(left, device=device), torch.ones(right, device=device))

    @pytest.mark.parametrize(
        ("left", "right", "shape"),
        [((2,), (2,), ()), ((2, 2), (2,), (2,)), ((3, 2, 2), (2, 2), (3, 2, 2)), ((3, 2, 2), (1, 2, 4), (3, 2, 4))],
        ids=["vectors", "matrix and vector", "batch and matrix", "batch and batch of one"],
    )
    def test_fix_matmul_broadcasts(self, device, left, right, shape):
        found = torch.matmul(torch.ones(left, device=device), torch.ones(right, device=device))
        assert found.shape == shape


@pitfall(
    "matmul-takes-a-batch-of-vectors-for-a-matrix",
    docs=["torch.matmul"],
    symptom="mat1 and mat2 shapes cannot be multiplied (6x2 and 3x2) for a batch of matrices times a batch of vectors",
)
class TestMatmulTakesABatchOfVectorsForAMatrix:
    """``matmul`` takes a tensor of shape ``(n, m)`` as one matrix for the whole batch, never as ``n`` vectors.

    If ``n`` equals ``m`` it raises nothing and multiplies by that matrix. Add a dimension for the vectors and take it
    away again: ``(a @ v[..., None])[..., 0]``, or name the dimensions with ``einsum``.
    """

    def test_trap_it_multiplies_by_the_matrix(self, device):
        a = torch.stack([torch.eye(2, device=device), 2 * torch.eye(2, device=device)])
        v = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        assert (a @ v).tolist() == [[[1, 2], [3, 4]], [[2, 4], [6, 8]]]

    def test_trap_or_raises(self, device):
        with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied \(6x2 and 3x2\)"):
            torch.ones(3, 2, 2, device=device) @ torch.ones(3, 2, device=device)

    @pytest.mark.parametrize(
        "multiply",
        [
            pytest.param(lambda a, v: (a @ v[..., None])[..., 0], id="added dimension"),
            pytest.param(lambda a, v: torch.einsum("nij,nj->ni", a, v), id="einsum"),
        ],
    )
    def test_fix_a_vector_for_each_matrix(self, device, multiply):
        a = torch.stack([torch.eye(2, device=device), 2 * torch.eye(2, device=device)])
        v = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=device)
        assert multiply(a, v).tolist() == [[1, 2], [6, 8]]


@pitfall(
    "star-is-elementwise",
    docs=["torch.mul", "torch.linalg.matrix_power", "torch.linalg.matrix_exp", "torch.matmul"],
    symptom="A * B and A ** 2 are not the matrix product",
    priority=2,
)
class TestStarIsElementwise:
    """``*``, ``**`` and ``exp`` work on each element, also for matrices; the matrix operations have names of their own.

    Whoever comes from MATLAB writes ``@``, ``torch.linalg.matrix_power`` and ``torch.linalg.matrix_exp`` instead.
    """

    @pytest.mark.parametrize(
        ("compute", "expected"),
        [
            pytest.param(lambda a: a * a, [[1, 1], [1, 1]], id="*"),
            pytest.param(lambda a: a**2, [[1, 1], [1, 1]], id="**"),
            pytest.param(lambda a: torch.exp(a - 1), [[1, 1], [1, 1]], id="exp"),
        ],
    )
    def test_trap_each_element_alone(self, device, compute, expected):
        assert compute(torch.ones(2, 2, device=device)).tolist() == expected

    @pytest.mark.parametrize(
        ("compute", "expected"),
        [
            pytest.param(lambda a: a @ a, [[2, 2], [2, 2]], id="@"),
            pytest.param(lambda a: torch.linalg.matrix_power(a, 2), [[2, 2], [2, 2]], id="matrix_power"),
            pytest.param(lambda a: torch.linalg.matrix_exp(a - 1), [[1, 0], [0, 1]], id="matrix_exp"),
        ],
    )
    def test_fix_the_matrix_operation(self, device, compute, expected):
        assert compute(torch.ones(2, 2, device=device)).tolist() == expected


@pitfall(
    "vdot-conjugates",
    docs=["torch.vdot", "torch.dot", "torch.linalg.vecdot", "torch.inner"],
    symptom="the dot product of a complex vector with itself is not its squared length",
    priority=3,
)
class TestVdotConjugates:
    """``dot``, ``inner`` and ``@`` conjugate nothing, so that a complex vector times itself need not be positive.

    ``vdot`` and ``torch.linalg.vecdot`` conjugate their first argument, which gives the squared length.
    """

    @pytest.mark.parametrize("product", [torch.dot, torch.inner, torch.matmul], ids=["dot", "inner", "matmul"])
    def test_trap_no_conjugate(self, device, product):
        x = torch.tensor([1 + 0j, 2j], device=device)
        assert product(x, x).item() == -3

    @pytest.mark.parametrize("product", [torch.vdot, torch.linalg.vecdot], ids=["vdot", "vecdot"])
    def test_fix_the_first_is_conjugated(self, device, product):
        x = torch.tensor([1 + 0j, 2j], device=device)
        assert product(x, x).item() == 5


@pitfall(
    "inner-contracts-last-dimensions",
    docs=[("torch.inner", "along their last dimension"), "torch.inner"],
    symptom="torch.inner of two matrices is A @ B.T, not a number and not A @ B",
    priority=3,
)
class TestInnerContractsLastDimensions:
    """``torch.inner`` sums over the last dimension of both arguments: for matrices it is ``a @ b.T``.

    A scalar argument multiplies. For the sum of all products write ``(a * b).sum()``.
    """

    def test_trap_matrices(self, device):
        a = torch.tensor([[1, 2], [3, 4]], device=device)
        b = torch.tensor([[0, 1], [0, 0]], device=device)
        assert torch.inner(a, b).tolist() == [[2, 0], [4, 0]]

    def test_trap_a_scalar_multiplies(self, device):
        a = torch.tensor([1, 2], device=device)
        assert torch.inner(a, torch.tensor(3, device=device)).tolist() == [3, 6]

    def test_fix_sum_of_all_products(self, device):
        a = torch.tensor([[1, 2], [3, 4]], device=device)
        assert (a * a).sum().item() == 30


@pitfall(
    "einsum-sums-what-the-output-leaves-out",
    docs=["torch.einsum"],
    symptom="einsum gives a smaller result than NumPy, which raises; the output of 'ba' is transposed",
    priority=2,
)
class TestEinsumSumsWhatTheOutputLeavesOut:
    """``einsum`` sums over every subscript that the output leaves out, also over an ellipsis, where NumPy raises.

    Without ``->`` the output has the subscripts that occur once in alphabetical order, so that ``"ba"`` transposes.
    Write the output out, with its ellipsis.
    """

    def test_trap_an_ellipsis_is_summed_over(self, device):
        x = torch.ones(4, 3, device=device)
        assert torch.einsum("...i->i", x).tolist() == [4, 4, 4]

    def test_trap_the_implicit_output_is_alphabetical(self, device):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert torch.einsum("ba", x).tolist() == [[1, 3], [2, 4]]

    @pytest.mark.parametrize(
        ("equation", "expected"), [("...i->...i", [[1, 2], [3, 4]]), ("ba->ba", [[1, 2], [3, 4]])], ids=str
    )
    def test_fix_write_the_output(self, device, equation, expected):
        x = torch.tensor([[1, 2], [3, 4]], device=device)
        assert torch.einsum(equation, x).tolist() == expected

    def test_trap_sublists_end_at_52(self, device):
        x = torch.ones(2, 3, device=device)
        assert torch.einsum(x, [0, 51], [0]).tolist() == [3, 3]
        with pytest.raises(ValueError, match=r"not within the valid range \[0, 52\)"):
            torch.einsum(x, [0, 52], [0])


@pitfall(
    "multi-dot-takes-no-batch",
    docs=[("torch.linalg.multi_dot", "This function does not broadcast"), "torch.chain_matmul"],
    symptom="RuntimeError: multi_dot(): tensor 1 must be 2D but got 3D",
    error="must be 2D but got 3D",
    priority=3,
)
class TestMultiDotTakesNoBatch:
    """``torch.linalg.multi_dot`` takes matrices only, with vectors at the ends; a batch raises, and nothing broadcasts.

    Chain ``@`` for batches, with parentheses where the order of the products matters for speed.
    """

    @pytest.mark.parametrize(
        ("shapes", "message"),
        [
            ([(2, 2), (3, 2, 2), (2, 2)], "tensor 1 must be 2D but got 3D"),
            ([(3, 2, 2), (2, 2)], "the first tensor must be 1D or 2D but got 3D"),
            ([(2, 2)], "expected at least 2 tensors but got 1"),
        ],
        ids=["batch inside", "batch first", "a single matrix"],
    )
    def test_trap_it_is_refused(self, device, shapes, message):
        with pytest.raises(RuntimeError, match=message):
            torch.linalg.multi_dot([torch.ones(shape, device=device) for shape in shapes])

    def test_fix_chain_the_operator(self, device):
        a, batch = torch.ones(2, 2, device=device), torch.ones(3, 2, 2, device=device)
        assert (a @ batch @ a).tolist() == [[[4, 4], [4, 4]]] * 3
