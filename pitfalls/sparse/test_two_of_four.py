"""Semi-structured sparsity, two numbers of four: where it works at all."""

import pytest
import torch

from pitfalls import on, pitfall, since


@since("2.1")
@pytest.mark.filterwarnings("ignore:The PyTorch API of SparseSemiStructuredTensor")
@pitfall(
    "semi-structured-sparsity-needs-a-gpu",
    docs=["sparse", "torch.sparse.to_sparse_semi_structured"],
    symptom="RuntimeError: Error original_tensor.device= cpu is not supported!",
    error="Only CUDA tensors are currently supported.",
    priority=3,
)
class TestSemiStructuredSparsityNeedsAGpu:
    """``to_sparse_semi_structured`` takes matrices on the GPU alone: the CPU has no such multiplication.

    Shapes must be multiples of what the kernels take, and numbers half precision or int8. On the CPU keep the zeros in
    a dense matrix, which gives the same products.
    """

    @on("cpu")
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int8], ids=str)
    def test_trap_the_cpu_is_refused(self, device, dtype):
        x = torch.tensor([0, 0, 1, 1], dtype=dtype, device=device).tile((64, 16))
        with pytest.raises(RuntimeError, match=r"Only CUDA tensors are currently supported\."):
            torch.sparse.to_sparse_semi_structured(x)

    @on("cuda")
    def test_trap_vectors_are_refused(self, device):
        with pytest.raises(RuntimeError, match=r"Only 2d tensors are currently supported\."):
            torch.sparse.to_sparse_semi_structured(torch.zeros(64, dtype=torch.float16, device=device))

    def test_fix_keep_the_zeros(self, device):
        x = torch.tensor([0.0, 0.0, 1.0, 1.0], device=device).tile((64, 16))
        assert (x @ torch.ones(64, 1, device=device)).unique().tolist() == [32]
