"""Names of old times: flags of the build, default tensor types and named tensors, and what stands in their place."""

import pytest
import torch

from pitfalls import before, pitfall, since

FLAGS = [
    pytest.param("has_cuda", lambda: torch.backends.cuda.is_built(), id="has_cuda"),
    pytest.param("has_mps", lambda: torch.backends.mps.is_built(), id="has_mps"),
    pytest.param("has_mkldnn", lambda: torch.backends.mkldnn.is_available(), id="has_mkldnn"),
]


@pitfall(
    "has-cuda-is-about-the-build",
    docs=[("torch.backends.cuda.is_built", "this doesn't necessarily mean CUDA is available"), "backends"],
    symptom="UserWarning: 'has_cuda' is deprecated, please use 'torch.backends.cuda.is_built()'",
    error="is deprecated, please use 'torch.backends",
    changed={"2.1": "torch.has_cuda, has_cudnn, has_mps and has_mkldnn warn as deprecated"},
    priority=3,
)
class TestHasCudaIsAboutTheBuild:
    """``torch.has_cuda`` says how torch was compiled, not whether there is a GPU, and is deprecated.

    So are ``has_cudnn``, ``has_mps`` and ``has_mkldnn``. The same question is ``torch.backends.cuda.is_built()``; the
    question that most code means is ``torch.cuda.is_available()``.
    """

    @before("2.1")
    @pytest.mark.parametrize(("flag", "is_built"), FLAGS)
    def test_trap_flag_was_about_the_build(self, flag, is_built):
        assert getattr(torch, flag) == is_built()

    @since("2.1")
    @pytest.mark.parametrize(("flag", "is_built"), FLAGS)
    def test_trap_flag_is_about_the_build_and_warns(self, flag, is_built):
        with pytest.warns(UserWarning, match=f"'{flag}' is deprecated, please use 'torch.backends"):
            told = getattr(torch, flag)
        assert told == is_built()

    def test_fix_ask_the_backend(self):
        assert torch.backends.cuda.is_built() == (torch.version.cuda is not None or torch.version.hip is not None)


@pytest.fixture
def default_dtype():
    """The default dtype is put back afterwards."""
    was = torch.get_default_dtype()
    yield
    torch.set_default_dtype(was)


@pitfall(
    "set-default-tensor-type-is-deprecated",
    docs=[
        ("torch.set_default_tensor_type", "This function is deprecated as of PyTorch 2.1"),
        "torch.set_default_dtype",
    ],
    symptom="UserWarning: torch.set_default_tensor_type() is deprecated as of PyTorch 2.1",
    error="torch.set_default_tensor_type() is deprecated",
    changed={"2.1": "set_default_tensor_type warns as deprecated"},
    priority=3,
)
class TestSetDefaultTensorTypeIsDeprecated:
    """``torch.set_default_tensor_type`` sets a dtype and a device in one; it still works, and warns.

    Say the two apart: ``torch.set_default_dtype`` and ``torch.set_default_device``.
    """

    @before("2.1")
    @pytest.mark.parametrize("kind", [torch.DoubleTensor, "torch.DoubleTensor"], ids=["class", "name"])
    def test_trap_it_set_the_dtype(self, default_dtype, kind):
        torch.set_default_tensor_type(kind)
        assert torch.zeros(1).dtype == torch.float64

    @since("2.1")
    @pytest.mark.parametrize("kind", [torch.DoubleTensor, "torch.DoubleTensor"], ids=["class", "name"])
    def test_trap_it_sets_the_dtype_and_warns(self, default_dtype, kind):
        with pytest.warns(UserWarning, match="deprecated as of PyTorch 2.1"):
            torch.set_default_tensor_type(kind)
        assert torch.zeros(1).dtype == torch.float64

    def test_fix_set_the_dtype(self, default_dtype):
        torch.set_default_dtype(torch.float64)
        assert torch.zeros(1).dtype == torch.float64


@pitfall(
    "named-tensors-are-gone",
    docs=["named_tensor", "torch.Tensor.movedim", "torch.Tensor.unflatten"],
    symptom="TypeError: zeros() got an unexpected keyword argument 'names'",
    error="got an unexpected keyword argument 'names'",
    changed={"2.13": "named tensors are gone: names=, x.names, rename, refine_names, align_to"},
    priority=3,
)
class TestNamedTensorsAreGone:
    """Named tensors, an experiment since torch 1.3, were taken out in torch 2.13.

    Factories refuse ``names=``, and ``rename``, ``refine_names`` and ``align_to`` are no methods any more. Positions do
    the same work: ``movedim`` for ``align_to``, ``unflatten`` and ``flatten`` for splitting and joining.
    """

    @before("2.13")
    def test_trap_they_worked_with_a_warning(self, device):
        with pytest.warns(UserWarning, match="Named tensors and all their associated APIs are an experimental feature"):
            names = torch.zeros(2, 3, names=("rows", "columns"), device=device).sum("rows").names
        assert names == ("columns",)

    @since("2.13")
    def test_trap_factories_refuse_names(self, device):
        with pytest.raises(TypeError, match="unexpected keyword argument 'names'"):
            torch.zeros(2, 3, names=("rows", "columns"), device=device)

    @since("2.13")
    @pytest.mark.parametrize("name", ["names", "rename", "refine_names", "align_to"], ids=str)
    def test_trap_the_methods_are_gone(self, device, name):
        x = torch.zeros(2, 3, device=device)
        with pytest.raises(AttributeError, match=f"'Tensor' object has no attribute '{name}'"):
            getattr(x, name)

    def test_fix_count_dimensions(self, device):
        x = torch.arange(6, device=device).view(2, 3)
        assert x.movedim(0, -1).tolist() == [[0, 3], [1, 4], [2, 5]]
        assert x.unflatten(1, (3, 1)).shape == (2, 3, 1)
