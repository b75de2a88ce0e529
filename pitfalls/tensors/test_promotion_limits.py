"""Where promotion ends: what is allowed, what is never promoted, and dtypes that mix with nothing."""

import pytest
import torch

from pitfalls import before, on, pitfall, since


@pitfall(
    "can-cast-looks-at-kinds-alone",
    docs=[("torch.can_cast", "is allowed under PyTorch casting rules"), "tensor_attributes#torch-dtype"],
    symptom="torch.can_cast says that float64 fits float16, yet the result is inf",
)
class TestCanCastLooksAtKindsAlone:
    """``torch.can_cast`` asks whether the kind may change so, not whether the values fit: float64 to float16 is fine.

    Kinds rank bool, integer, float, complex, and only a step down is refused. It is the rule of in-place results and
    of ``out=``. For the range ask ``torch.finfo`` or ``torch.iinfo``.
    """

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            (torch.float64, torch.float16),
            (torch.int64, torch.uint8),
            (torch.int8, torch.uint8),
            (torch.complex128, torch.complex64),
            (torch.int64, torch.float16),
            (torch.bool, torch.uint8),
        ],
        ids=str,
    )
    def test_trap_the_size_does_not_count(self, source, target):
        assert torch.can_cast(source, target)

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            (torch.float16, torch.int64),
            (torch.uint8, torch.bool),
            (torch.complex64, torch.float64),
            (torch.float32, torch.bool),
        ],
        ids=str,
    )
    def test_trap_a_lower_kind_is_out(self, source, target):
        assert not torch.can_cast(source, target)

    def test_fix_compare_with_the_range(self, device):
        x = torch.tensor([60000.0, 70000.0], device=device)
        assert (x.abs() <= torch.finfo(torch.float16).max).tolist() == [True, False]


@pitfall(
    "cat-promotes-but-products-do-not",
    docs=["tensor_attributes#torch-dtype", "torch.cat", "torch.where", "torch.dot"],
    symptom="torch.cat of float32 and float64 works, torch.dot of the same two raises",
)
class TestCatPromotesButProductsDoNot:
    """``cat``, ``stack`` and ``where`` promote like a sum; ``dot``, ``lerp``, ``allclose`` and ``complex`` refuse.

    Element-wise operations and those that only move elements find a common dtype. Products of vectors and matrices
    leave that to you: convert one side.
    """

    @pytest.mark.parametrize(
        "join",
        [
            pytest.param(lambda x, y: torch.cat([x, y]), id="cat"),
            pytest.param(lambda x, y: torch.stack([x, y]), id="stack"),
            pytest.param(lambda x, y: torch.hstack([x, y]), id="hstack"),
            pytest.param(lambda x, y: torch.where(x > 1, x, y), id="where"),
            pytest.param(torch.maximum, id="maximum"),
            pytest.param(torch.outer, id="outer"),
        ],
    )
    @pytest.mark.parametrize(
        ("one", "other", "result"),
        [
            (torch.int64, torch.float32, torch.float32),
            (torch.float32, torch.float64, torch.float64),
            (torch.bool, torch.uint8, torch.uint8),
        ],
        ids=str,
    )
    def test_trap_joining_promotes(self, device, join, one, other, result):
        x, y = torch.ones(2, dtype=one, device=device), torch.ones(2, dtype=other, device=device)
        assert join(x, y).dtype == result

    @pytest.mark.parametrize(
        ("product", "says"),
        [
            pytest.param(torch.dot, "same dtype", id="dot"),
            pytest.param(lambda x, y: torch.lerp(x, y, 0.5), "expected dtype", id="lerp"),
            pytest.param(torch.allclose, "did not match", id="allclose"),
            pytest.param(torch.complex, "Expected object of scalar type", id="complex"),
        ],
    )
    def test_trap_products_refuse(self, device, product, says):
        x, y = torch.ones(2, device=device), torch.ones(2, dtype=torch.float64, device=device)
        with pytest.raises(RuntimeError, match=says):
            product(x, y)

    def test_fix_convert_one_side(self, device):
        x, y = torch.ones(2, device=device), torch.ones(2, dtype=torch.float64, device=device)
        assert torch.dot(x, y.float()).item() == 2


@pitfall(
    "scatter-and-its-relatives-want-the-dtype",
    docs=["torch.Tensor.scatter_", "torch.Tensor.index_add_", "torch.Tensor.index_copy_", "torch.Tensor.put_"],
    symptom="scatter(): Expected self.dtype to be equal to src.dtype",
    error="Expected self.dtype to be equal to src.dtype",
)
class TestScatterAndItsRelativesWantTheDtype:
    """``scatter_``, ``index_add_``, ``index_copy_`` and their relatives take values of exactly the dtype they write to.

    ``copy_``, slices and ``masked_fill_`` convert without a word. float64 from NumPy and float16 from autocast are the
    usual causes. Say ``values.to(x.dtype)``.
    """

    WRITES = [
        pytest.param(lambda x, i, y: x.index_copy_(0, i, y), "same dtype", id="index_copy_"),
        pytest.param(lambda x, i, y: x.index_add_(0, i, y), "same scalar type", id="index_add_"),
        pytest.param(lambda x, i, y: x.scatter_(0, i, y), "self.dtype to be equal to src.dtype", id="scatter_"),
        pytest.param(lambda x, i, y: x.scatter_add_(0, i, y), "self.dtype to be equal to src.dtype", id="scatter_add_"),
        pytest.param(lambda x, i, y: x.put_(i, y), "same dtype", id="put_"),
        pytest.param(lambda x, i, y: x.masked_scatter_(i >= 0, y), "same dtypes", id="masked_scatter_"),
    ]

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64], ids=str)
    @pytest.mark.parametrize(("write", "says"), WRITES)
    def test_trap_another_dtype_is_refused(self, device, write, says, dtype):
        x, i = torch.ones(2, device=device), torch.tensor([0, 1], device=device)
        with pytest.raises(RuntimeError, match=says):
            write(x, i, torch.full((2,), 5, dtype=dtype, device=device))

    @pytest.mark.parametrize(
        "write",
        [
            pytest.param(lambda x, y: x.copy_(y), id="copy_"),
            pytest.param(lambda x, y: x.masked_fill_(x > 0, y[0]), id="masked_fill_"),
            pytest.param(lambda x, y: x.index_fill_(0, torch.tensor([0, 1], device=x.device), y[0]), id="index_fill_"),
        ],
    )
    def test_trap_others_convert(self, device, write):
        x = torch.ones(2, device=device)
        write(x, torch.full((2,), 5.5, dtype=torch.float64, device=device))
        assert x.tolist() == [5.5, 5.5]

    @pytest.mark.parametrize(("write", "says"), WRITES)
    def test_fix_convert_the_values(self, device, write, says):
        x, i = torch.zeros(2, device=device), torch.tensor([0, 1], device=device)
        write(x, i, torch.full((2,), 5.0, dtype=torch.float64, device=device).to(x.dtype))
        assert x.tolist() == [5, 5]


@since("2.3")
@pitfall(
    "wide-unsigned-mix-with-floats-only",
    docs=["tensor_attributes#torch-dtype", "torch.promote_types"],
    symptom="Promotion for uint16, uint32, uint64 types is not supported, attempted to promote UInt16 and Int",
    error="Promotion for uint16, uint32, uint64 types is not supported",
    changed={"2.4": "uint16, uint32 and uint64 promote with floats; they had raised"},
)
class TestWideUnsignedMixWithFloatsOnly:
    """uint16, uint32 and uint64 raise beside any other integer or a bool; with floats they promote since torch 2.4.

    They were added for exchange and compilation, with few operations. Convert to int32 or int64 first.
    """

    WIDE = ["uint16", "uint32", "uint64"]

    @pytest.mark.parametrize("other", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.complex64], ids=str)
    @pytest.mark.parametrize("name", WIDE)
    def test_trap_no_promotion_with_integers(self, device, name, other):
        x = torch.tensor([1, 1], dtype=getattr(torch, name), device=device)
        with pytest.raises(RuntimeError, match="Promotion for uint16, uint32, uint64 types is not supported"):
            x + torch.ones(2, dtype=other, device=device)

    @before("2.4")
    @on("cpu")
    @pytest.mark.parametrize("other", [torch.float16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("name", WIDE)
    def test_trap_floats_were_refused_too(self, device, name, other):
        x = torch.tensor([1, 1], dtype=getattr(torch, name), device=device)
        with pytest.raises(RuntimeError, match="Promotion for uint16, uint32, uint64 types is not supported"):
            x + torch.ones(2, dtype=other, device=device)

    @since("2.4")
    @on("cpu")
    @pytest.mark.parametrize("other", [torch.float16, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("name", WIDE)
    def test_trap_floats_win(self, device, name, other):
        x = torch.tensor([1, 1], dtype=getattr(torch, name), device=device)
        assert (x + torch.ones(2, dtype=other, device=device)).dtype == other

    @on("cpu")
    @pytest.mark.parametrize("name", WIDE)
    def test_fix_convert_first(self, device, name):
        x = torch.tensor([1, 1], dtype=getattr(torch, name), device=device)
        assert (x.long() + torch.tensor([1, 2], device=device)).tolist() == [2, 3]


@since("2.2")
@pitfall(
    "float8-mixes-with-nothing",
    docs=["tensor_attributes#torch-dtype", "torch.promote_types"],
    symptom="Promotion for Float8 Types is not supported, attempted to promote Float8_e4m3fn and Float",
    error="Promotion for Float8 Types is not supported",
    changed={"2.8": "a missing kernel raises NotImplementedError, which is a RuntimeError too"},
)
class TestFloat8MixesWithNothing:
    """The float8 dtypes are for storage: beside any other dtype they raise, and by themselves they add and sum nothing.

    ``can_cast`` denies them even float64. Convert with ``to()``, compute, convert back.
    """

    EIGHTS = ["float8_e4m3fn", "float8_e5m2"]

    @pytest.mark.parametrize("other", [torch.float16, torch.bfloat16, torch.float32, torch.int64], ids=str)
    @pytest.mark.parametrize("name", EIGHTS)
    def test_trap_no_promotion(self, device, name, other):
        x = torch.ones(2, device=device).to(getattr(torch, name))
        with pytest.raises(RuntimeError, match="Promotion for Float8 Types is not supported"):
            x + torch.ones(2, dtype=other, device=device)

    @on("cpu")
    @pytest.mark.parametrize("name", EIGHTS)
    def test_trap_no_addition_either(self, device, name):
        x = torch.ones(2, device=device).to(getattr(torch, name))
        with pytest.raises(RuntimeError, match="not implemented for 'Float8"):
            x + x

    @pytest.mark.parametrize("name", EIGHTS)
    def test_fix_convert_compute_convert_back(self, device, name):
        x = torch.ones(2, device=device).to(getattr(torch, name))
        assert (x.float() + 1).to(x.dtype).float().tolist() == [2, 2]


@since("2.8")
@pitfall(
    "float4-counts-bytes",
    docs=["tensor_attributes#torch-dtype"],
    symptom="a float4_e2m1fn_x2 tensor has half as many elements as I have numbers",
    priority=3,
)
class TestFloat4CountsBytes:
    """``float4_e2m1fn_x2`` packs two numbers into a byte, and its shapes count bytes: 8 numbers have the shape (4,).

    A view as uint8 has the same shape and shows both halves of each byte. Double the last size where numbers are meant.
    """

    def test_trap_the_shape_counts_bytes(self, device):
        packed = torch.tensor([0x21, 0x43], dtype=torch.uint8, device=device).view(torch.float4_e2m1fn_x2)
        assert packed.shape == (2,)
        assert packed.element_size() == 1

    def test_fix_take_the_bytes_apart(self, device):
        packed = torch.tensor([0x21, 0x43], dtype=torch.uint8, device=device).view(torch.float4_e2m1fn_x2)
        halves = packed.view(torch.uint8)
        assert torch.stack([halves & 15, halves >> 4], dim=1).flatten().tolist() == [1, 2, 3, 4]
