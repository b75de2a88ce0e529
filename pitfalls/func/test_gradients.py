"""``torch.func.grad`` and its relatives: what they differentiate, what they return, and which modes they heed."""

import pytest
import torch

from pitfalls import before, pitfall, since


@pitfall(
    "func-grad-wants-a-scalar",
    docs=[("torch.func.grad", "Must return a single-element Tensor"), "torch.func.vjp", "torch.func.jacrev"],
    symptom="RuntimeError: grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor",
    error="Expected f(*args) to return a scalar tensor",
    contradicts={"torch.func.grad": "A result of one element is accepted only if it has no dimensions."},
    priority=2,
)
class TestFuncGradWantsAScalar:
    """``torch.func.grad`` wants a function whose result has no dimensions: shape ``(1,)`` is refused.

    ``backward()`` would take one element of any shape. Reduce with ``sum`` or ``squeeze``, or ask for all derivatives
    with ``jacrev``, or for a product with them from ``vjp``.
    """

    @pytest.mark.parametrize("values", [[1.0, 2.0], [1.0]], ids=["two elements", "one element"])
    @pytest.mark.parametrize("transform", [torch.func.grad, torch.func.grad_and_value], ids=["grad", "grad_and_value"])
    def test_trap_a_vector_is_refused(self, device, transform, values):
        with pytest.raises(RuntimeError, match=r"to return a scalar [Tt]ensor"):
            transform(lambda x: x**2)(torch.tensor(values, device=device))

    def test_trap_a_number_is_refused(self, device):
        with pytest.raises(RuntimeError, match=r"to return a Tensor, got <class 'float'>"):
            torch.func.grad(lambda x: 2.0)(torch.ones(2, device=device))

    def test_fix_reduce_it(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.func.grad(lambda x: (x**2).sum())(x).tolist() == [2, 4]

    def test_fix_jacrev_takes_vectors(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.func.jacrev(lambda x: x**2)(x).tolist() == [[2, 0], [0, 4]]


@pitfall(
    "func-grad-differentiates-the-first-argument",
    docs=[("torch.func.grad", "Specifies arguments to compute gradients with respect to"), "torch.func.jacrev"],
    symptom="func.grad returns one gradient although the function has two arguments",
    priority=2,
)
class TestFuncGradDifferentiatesTheFirstArgument:
    """``grad`` and ``jacrev`` differentiate by the first positional argument, unless ``argnums`` says more.

    ``requires_grad`` plays no part, and keywords can't be named. A tuple gives a tuple, an int one tensor; what the
    function does not use has a gradient of zeros.
    """

    def test_trap_the_first_alone(self, device):
        x, y = torch.tensor(2.0, device=device), torch.tensor(5.0, device=device, requires_grad=True)
        assert torch.func.grad(lambda x, y: x * y)(x, y).item() == 5

    def test_trap_a_keyword_is_no_argument(self, device):
        with pytest.raises(RuntimeError, match="Got argnum=0, but only 0 positional inputs"):
            torch.func.grad(lambda x: x * x)(x=torch.tensor(2.0, device=device))

    def test_trap_an_unused_argument_has_zeros(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.func.grad(lambda x, y: x.sum(), argnums=1)(x, x).tolist() == [0, 0]

    @pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev], ids=["grad", "jacrev"])
    def test_fix_name_both(self, device, transform):
        x, y = torch.tensor(2.0, device=device), torch.tensor(5.0, device=device)
        by_x, by_y = transform(lambda x, y: x * y**2, argnums=(0, 1))(x, y)
        assert by_x.item() == 25
        assert by_y.item() == 20


@pitfall(
    "func-grad-heeds-no-grad-inside-only",
    docs=[("torch.func.grad", "respect the inner"), "torch.func.vjp", "torch.func.jacrev"],
    symptom="func.grad returns gradients although it is called under torch.no_grad()",
    priority=2,
)
class TestFuncGradHeedsNoGradInsideOnly:
    """``no_grad`` within the function is heeded by ``grad``, ``vjp`` and ``jacrev``; ``no_grad`` around them is not.

    What the function computes under ``no_grad`` counts as constant. Around the call it only decides whether the
    gradient itself can be differentiated further by ``backward``.
    """

    @pytest.mark.parametrize(
        "slope",
        [
            pytest.param(lambda f, x: torch.func.grad(f)(x), id="grad"),
            pytest.param(lambda f, x: torch.func.jacrev(f)(x), id="jacrev"),
            pytest.param(lambda f, x: torch.func.vjp(f, x)[1](torch.ones_like(x))[0], id="vjp"),
        ],
    )
    def test_trap_outside_it_changes_nothing(self, device, slope):
        with torch.no_grad():
            result = slope(lambda x: x**3, torch.tensor(2.0, device=device))
        assert result.item() == 12

    @pytest.mark.parametrize(
        "slope",
        [
            pytest.param(lambda f, x: torch.func.grad(f)(x), id="grad"),
            pytest.param(lambda f, x: torch.func.jacrev(f)(x), id="jacrev"),
            pytest.param(lambda f, x: torch.func.vjp(f, x)[1](torch.ones_like(x))[0], id="vjp"),
        ],
    )
    def test_trap_inside_it_makes_constants(self, device, slope):
        def f(x):
            with torch.no_grad():
                constant = x**2
            return x**3 - constant

        assert slope(f, torch.tensor(2.0, device=device)).item() == 12  # not 8

    def test_trap_outside_it_cuts_the_outer_graph(self, device):
        x = torch.tensor(2.0, device=device, requires_grad=True)
        with torch.no_grad():
            slope = torch.func.grad(lambda x: x**3)(x)
        assert slope.requires_grad is False


@pitfall(
    "backward-is-refused-inside-transforms",
    docs=["func.ux_limitations#torch-autograd-apis", "torch.func.grad"],
    symptom="RuntimeError: backward() called inside a functorch transform",
    error="backward() called inside a functorch transform",
    priority=2,
)
class TestBackwardIsRefusedInsideTransforms:
    """Inside ``vmap`` or ``grad`` neither ``backward()`` nor ``requires_grad_()`` can be called.

    A function that differentiates the old way can't be mapped. Write the inner derivative with ``torch.func.grad``,
    which nests in any order: ``vmap(grad(f))`` gives the gradient of each sample.
    """

    @pytest.mark.parametrize("transform", [torch.vmap, torch.func.grad], ids=["vmap", "grad"])
    def test_trap_backward_is_refused(self, device, transform):
        def f(x):
            y = (x**2).sum()
            y.backward()
            return y

        with pytest.raises(RuntimeError, match=r"backward\(\) called inside a functorch transform"):
            transform(f)(torch.tensor([1.0, 2.0], device=device, requires_grad=True))

    @pytest.mark.parametrize("transform", [torch.vmap, torch.func.grad], ids=["vmap", "grad"])
    def test_trap_requires_grad_is_refused(self, device, transform):
        with pytest.raises(RuntimeError, match=r"attempting to call Tensor\.requires_grad_\(\)"):
            transform(lambda x: x.detach().requires_grad_().sum())(torch.tensor([1.0, 2.0], device=device))

    def test_trap_autograd_grad_finds_no_graph_under_vmap(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            torch.vmap(lambda x: torch.autograd.grad(x.sum(), x)[0])(x)

    def test_fix_func_grad_nests(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.vmap(torch.func.grad(lambda x: x**2))(x).tolist() == [2, 4]
        assert torch.vmap(torch.func.grad(torch.func.grad(lambda x: x**3)))(x).tolist() == [6, 12]


@pitfall(
    "vjp-returns-a-function-of-tuples",
    docs=["torch.func.vjp"],
    symptom="TypeError: unsupported operand for tuple: vjp_fn(v) * 2",
    priority=3,
)
class TestVjpReturnsAFunctionOfTuples:
    """The function that ``vjp`` returns gives a tuple, even for one input, and wants cotangents shaped as the outputs.

    ``torch.func.grad`` gives the bare tensor for one input. Unpack ``(gradient,) = vjp_fn(v)``.
    """

    def test_trap_one_input_gives_a_tuple(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        _, pull = torch.func.vjp(lambda x: x**2, x)
        assert isinstance(pull(torch.ones(2, device=device)), tuple)

    def test_trap_two_outputs_want_two(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        _, pull = torch.func.vjp(lambda x: (x, x**2), x)
        with pytest.raises(RuntimeError, match="Expected pytree structure of cotangents to be the same"):
            pull(torch.ones(2, device=device))

    def test_fix_unpack_it(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        _, pull = torch.func.vjp(lambda x: (x, x**2), x)
        (gradient,) = pull((torch.ones(2, device=device), torch.ones(2, device=device)))
        assert gradient.tolist() == [3, 5]


class Square(torch.autograd.Function):
    """x squared, whose backward pass reads a number."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x):
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, _):
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x * (0 if gradient.sum().item() == 0 else 1)


@pitfall(
    "jacrev-maps-the-backward-pass",
    docs=[("torch.func.jacrev", "chunk_size"), "torch.vmap"],
    symptom="torch.func.jacrev runs out of memory, or raises an error of vmap",
    priority=3,
)
class TestJacrevMapsTheBackwardPass:
    """``jacrev`` runs the backward passes of all outputs at once, under ``vmap``, with the limits of ``vmap``.

    It needs the memory of all of them. ``chunk_size=`` bounds it; with 1 it is a loop over the outputs, without
    ``vmap``, and takes backward passes that ``vmap`` refuses.
    """

    def test_trap_a_backward_pass_may_not_be_mappable(self, device):
        with pytest.raises(RuntimeError, match=r"calling \.item\(\) on a Tensor"):
            torch.func.jacrev(Square.apply)(torch.tensor([1.0, 2.0], device=device))

    def test_fix_one_at_a_time(self, device):
        x = torch.tensor([1.0, 2.0], device=device)
        assert torch.func.jacrev(Square.apply, chunk_size=1)(x).tolist() == [[2, 0], [0, 4]]


@pitfall(
    "func-grad-under-inference-mode",
    docs=["torch.inference_mode", ("torch.func.grad", "respect the inner")],
    symptom="torch.func.grad returns zeros under torch.inference_mode()",
    changed={"2.12": "torch.func.grad gives the gradient under inference_mode; it had given zeros"},
    priority=2,
)
class TestFuncGradUnderInferenceMode:
    """Up to torch 2.11 ``torch.func.grad`` silently returned zeros under ``inference_mode``.

    The mode switched the inner graph off too. Now the call gives the gradient, as it does under ``no_grad`` in every
    release, which is the mode to use where old torches count.
    """

    @before("2.12")
    def test_trap_it_was_zero(self, device):
        with torch.inference_mode():
            slope = torch.func.grad(lambda x: x**3)(torch.tensor(2.0, device=device))
        assert slope.item() == 0

    @since("2.12")
    def test_trap_it_is_the_gradient(self, device):
        with torch.inference_mode():
            slope = torch.func.grad(lambda x: x**3)(torch.tensor(2.0, device=device))
        assert slope.item() == 12

    def test_fix_no_grad_spares_it(self, device):
        with torch.no_grad():
            slope = torch.func.grad(lambda x: x**3)(torch.tensor(2.0, device=device))
        assert slope.item() == 12
