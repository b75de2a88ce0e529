"""The limits of an autocast region: the forms it skips, its cache of weights, threads, custom functions, old names."""
# ruff: noqa: ARG004 - forward and backward take ctx whether they use it or not

import threading

import pytest
import torch
import torch.nn.functional as F

from pitfalls import before, pitfall, since


@pitfall(
    "autocast-skips-float64-and-inplace",
    docs=["amp#autocast-op-reference", "torch.autocast"],
    symptom="under autocast a.addmm_(b, c) or out= raises because of mixed dtypes, and float64 stays slow",
)
class TestAutocastSkipsFloat64AndInplace:
    """Autocast leaves float64 and complex numbers alone, and in-place and ``out=`` forms whatever their dtype.

    So ``a.addmm_(b, c)`` raises where ``torch.addmm(a, b, c)`` converts its arguments. A model that got float64 from
    NumPy gains nothing. ``cat`` and ``stack`` of mixed dtypes give the widest.
    """

    @pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
    def test_trap_other_dtypes_stay(self, device, dtype):
        x = torch.ones(2, 2, dtype=dtype, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            assert (x @ x).dtype == dtype

    @pytest.mark.parametrize(
        "product",
        [
            pytest.param(lambda x, y: x.clone().addmm_(x, y), id="addmm_"),
            pytest.param(lambda x, y: torch.mm(x, y, out=torch.empty_like(x)), id="out"),
        ],
    )
    def test_trap_inplace_and_out_convert_nothing(self, device, product):
        x, y = torch.ones(2, 2, device=device), torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        with (
            torch.autocast(device.type, dtype=torch.bfloat16),
            pytest.raises(RuntimeError, match=r"have the same dtype|expected scalar type"),
        ):
            product(x, y)

    @pytest.mark.parametrize("join", [torch.cat, torch.stack], ids=["cat", "stack"])
    def test_trap_the_widest_wins_when_joining(self, device, join):
        x, y = torch.ones(2, device=device), torch.ones(2, dtype=torch.bfloat16, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            assert join([x, y]).dtype == torch.float32

    def test_fix_the_form_that_returns(self, device):
        x, y = torch.ones(2, 2, device=device), torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            assert torch.addmm(x, x, y).tolist() == [[3, 3], [3, 3]]


@pitfall(
    "autocast-caches-lowered-weights",
    docs=["torch.autocast", "torch.clear_autocast_cache"],
    symptom="element 0 of tensors does not require grad, after a no_grad forward inside autocast",
    error="element 0 of tensors does not require grad and does not have a grad_fn",
    changed={"2.11": "a forward pass under no_grad inside autocast no longer takes the gradients of the next one"},
)
class TestAutocastCachesLoweredWeights:
    """Within one autocast region each weight is converted once, and the copy is used until the region ends.

    A weight that changes inside goes on with its old value. Before torch 2.11 a copy made under ``no_grad`` had no
    gradient either. Enter autocast anew for each forward pass, or pass ``cache_enabled=False``.
    """

    def test_trap_a_changed_weight_is_not_seen(self, device):
        w = torch.ones(2, 2, device=device, requires_grad=True)
        x = torch.ones(1, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            F.linear(x, w)
            with torch.no_grad():
                w.zero_()
            y = F.linear(x, w)
        assert y.tolist() == [[2, 2]]

    @since("2.11")
    def test_trap_a_look_under_no_grad_is_harmless(self, device):
        w = torch.ones(2, 2, device=device, requires_grad=True)
        x = torch.ones(1, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                F.linear(x, w)
            y = F.linear(x, w)
        assert y.requires_grad

    @before("2.11")
    def test_trap_a_look_under_no_grad_took_the_gradient(self, device):
        w = torch.ones(2, 2, device=device, requires_grad=True)
        x = torch.ones(1, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                F.linear(x, w)
            y = F.linear(x, w)
        with pytest.raises(
            RuntimeError, match="element 0 of tensors does not require grad and does not have a grad_fn"
        ):
            y.sum().backward()

    def test_fix_without_the_cache(self, device):
        w = torch.ones(2, 2, device=device, requires_grad=True)
        x = torch.ones(1, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False):
            F.linear(x, w)
            with torch.no_grad():
                w.zero_()
            y = F.linear(x, w)
        assert y.tolist() == [[0, 0]]


@pitfall(
    "autocast-is-per-thread",
    docs=["notes/amp_examples#working-with-multiple-gpus", "torch.autocast"],
    symptom="a thread started inside autocast computes in float32",
    priority=3,
)
class TestAutocastIsPerThread:
    """Autocast is a state of the thread: a thread that is started inside the region runs without it.

    Thread pools and hand-written data parallelism lose it that way. Enter autocast inside the function that the thread
    runs, or decorate that function, or ``forward``, with it.
    """

    def test_trap_a_new_thread_is_without(self, device):
        seen = []
        x = torch.ones(2, 2, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            thread = threading.Thread(target=lambda: seen.append((x @ x).dtype))
            thread.start()
            thread.join()
        assert seen == [torch.float32]

    def test_fix_decorate_the_function(self, device):
        seen = []
        x = torch.ones(2, 2, device=device)
        work = torch.autocast(device.type, dtype=torch.bfloat16)(lambda: seen.append((x @ x).dtype))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert seen == [torch.bfloat16]


@since("2.4")
@pitfall(
    "custom-function-under-autocast",
    docs=["torch.amp.custom_fwd", "torch.amp.custom_bwd", "notes/amp_examples#autocast-and-custom-autograd-functions"],
    symptom="the backward of my autograd.Function fails with mixed dtypes under autocast",
)
class TestCustomFunctionUnderAutocast:
    """``backward`` of a custom function runs without autocast, unless it is decorated with ``custom_bwd``.

    The incoming gradient is low, the saved inputs are float32, and their product raises. With ``cast_inputs`` the
    forward pass converts its inputs and runs without autocast; outside of autocast that is ignored.
    """

    def test_trap_backward_meets_mixed_dtypes(self, device):
        class Product(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x @ x

            @staticmethod
            def backward(ctx, grad):
                return grad @ ctx.saved_tensors[0].t()

        x = torch.ones(2, 2, device=device, requires_grad=True)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = Product.apply(x)
        with pytest.raises(RuntimeError, match=r"have the same dtype|expected scalar type"):
            y.sum().backward()

    @pytest.mark.parametrize(
        ("enabled", "dtype"), [(True, torch.float32), (False, torch.bfloat16)], ids=["inside", "outside"]
    )
    def test_trap_cast_inputs_is_for_inside_only(self, device, enabled, dtype):
        class Product(torch.autograd.Function):
            @staticmethod
            @torch.amp.custom_fwd(device_type=device.type, cast_inputs=torch.float32)
            def forward(ctx, x):
                return x @ x

        x = torch.ones(2, 2, dtype=torch.bfloat16, device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
            y = Product.apply(x)
        assert y.dtype == dtype

    def test_fix_custom_fwd_and_custom_bwd(self, device):
        class Product(torch.autograd.Function):
            @staticmethod
            @torch.amp.custom_fwd(device_type=device.type)
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x @ x

            @staticmethod
            @torch.amp.custom_bwd(device_type=device.type)
            def backward(ctx, grad):
                return grad @ ctx.saved_tensors[0].t()

        x = torch.ones(2, 2, device=device, requires_grad=True)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            y = Product.apply(x)
        y.sum().backward()
        assert x.grad.tolist() == [[2, 2], [2, 2]]


@pitfall(
    "autocast-names-of-a-device-are-deprecated",
    docs=["amp", "torch.cpu.amp.autocast"],
    symptom="FutureWarning: torch.cpu.amp.autocast(args...) is deprecated",
    error="is deprecated. Please use `torch.amp.autocast",
    changed={
        "2.2": "autocast on the CPU accepts float16",
        "2.4": "torch.cpu.amp.autocast, torch.cuda.amp.autocast and the getters of one device warn",
    },
    priority=3,
)
class TestAutocastNamesOfADeviceAreDeprecated:
    """Autocast is ``torch.autocast(device_type)`` for every device; the names with a device in them warn since 2.4.

    Write ``torch.autocast("cpu")``, ``torch.amp.GradScaler("cuda")`` and ``torch.get_autocast_dtype("cpu")``. The
    device type is required, and must be that of the tensors.
    """

    @since("2.4")
    def test_trap_the_old_context_warns(self):
        with pytest.warns(FutureWarning, match=r"torch.cpu.amp.autocast\(args...\)` is deprecated"):
            torch.cpu.amp.autocast()

    @since("2.4")
    def test_trap_the_old_getters_warn(self):
        with pytest.warns(DeprecationWarning, match=r"torch.get_autocast_cpu_dtype\(\) is deprecated"):
            torch.get_autocast_cpu_dtype()
        with pytest.warns(DeprecationWarning, match=r"torch.is_autocast_cpu_enabled\(\) is deprecated"):
            torch.is_autocast_cpu_enabled()

    @before("2.4")
    def test_trap_they_did_not_warn(self):
        assert torch.get_autocast_cpu_dtype() == torch.bfloat16

    @since("2.2")
    def test_fix_float16_on_the_cpu(self):
        x = torch.ones(2, 2)
        with torch.autocast("cpu", dtype=torch.float16):
            y = x @ x
        assert y.dtype == torch.float16

    @before("2.2")
    def test_trap_float16_was_refused_on_the_cpu(self):
        x = torch.ones(2, 2)
        with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not supported"):
            region = torch.autocast("cpu", dtype=torch.float16)
        with pytest.raises(RuntimeError, match="AutocastCPU only support Bfloat16"), region:
            x @ x
