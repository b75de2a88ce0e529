"""What a load gives beyond plain tensors of floats: complex numbers, settings of the program, and shapes alone."""

import io

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from pitfalls import pitfall, since

# torch 2.0 warns of its own storages.
pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")


@pitfall(
    "complex-tensors-survive-a-save",
    docs=["complex_numbers", "torch.save", "torch.load"],
    symptom="I save the real and the imaginary part of my tensors apart, to be sure",
    priority=3,
)
class TestComplexTensorsSurviveASave:
    """Complex tensors are saved and loaded as they are, with their dtype: there is no need to take them apart.

    Of a conjugate, which shares memory with its original, the numbers come back, too.
    """

    @pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
    def test_trap_numbers_and_dtype_come_back(self, device, dtype):
        file = io.BytesIO()
        torch.save(torch.tensor([1 + 2j, 3 - 4j], dtype=dtype, device=device), file)
        file.seek(0)
        x = torch.load(file, weights_only=True)
        assert (x.tolist(), x.dtype) == ([1 + 2j, 3 - 4j], dtype)

    def test_trap_of_a_conjugate(self, device):
        file = io.BytesIO()
        torch.save(torch.tensor([1 + 2j, 3 - 4j], device=device).conj(), file)
        file.seek(0)
        assert torch.load(file, weights_only=True).tolist() == [1 - 2j, 3 + 4j]


@since("2.7")
@pitfall(
    "mmap-can-be-the-default-of-load",
    docs=["torch.load", "notes/serialization"],
    symptom="torch.load of a BytesIO raises: f must be a file path in order to use the mmap argument; I passed no mmap",
    error="f must be a file path in order to use the mmap argument",
    priority=3,
)
class TestMmapCanBeTheDefaultOfLoad:
    """``torch.utils.serialization.config.load.mmap`` is what ``torch.load`` takes for ``mmap`` where none is passed.

    It holds for the whole program, so a library that sets it changes the loads of all others, and those from memory
    raise. Pass ``mmap=`` where it matters, and set the configuration with ``config.patch`` only.
    """

    def test_trap_a_load_from_memory_raises(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        file.seek(0)
        with (
            torch.utils.serialization.config.patch({"load.mmap": True}),
            pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"),
        ):
            torch.load(file, weights_only=True)

    def test_fix_pass_mmap(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        file.seek(0)
        with torch.utils.serialization.config.patch({"load.mmap": True}):
            assert torch.load(file, mmap=False, weights_only=True).tolist() == [1, 1]

    def test_fix_a_patch_ends(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        file.seek(0)
        with torch.utils.serialization.config.patch({"load.mmap": True}):
            pass
        assert torch.load(file, weights_only=True).tolist() == [1, 1]


@since("2.3")  # before, torch gets the shape wrong, or fails
@pitfall(
    "fake-mode-loads-shapes-alone",
    docs=["notes/serialization", "torch.load"],
    symptom="the tensors of my checkpoint are FakeTensors without numbers",
    priority=3,
)
class TestFakeModeLoadsShapesAlone:
    """Under ``FakeTensorMode`` ``torch.load`` reads shapes and dtypes, and none of the numbers.

    That is how to look into a checkpoint that is larger than the memory. The tensors stay fake when the mode has ended:
    load again without it to get the numbers.
    """

    def test_trap_the_tensors_are_fake(self, tmp_path):
        torch.save(torch.zeros(2, 3), tmp_path / "w.pt")
        with FakeTensorMode():
            x = torch.load(tmp_path / "w.pt", weights_only=True)
        assert isinstance(x, FakeTensor)

    def test_trap_they_have_shape_and_dtype(self, tmp_path):
        torch.save(torch.zeros(2, 3, dtype=torch.float16), tmp_path / "w.pt")
        with FakeTensorMode():
            x = torch.load(tmp_path / "w.pt", weights_only=True)
        assert (x.shape, x.dtype) == ((2, 3), torch.float16)

    def test_fix_load_without_it(self, tmp_path):
        torch.save(torch.tensor([5.0]), tmp_path / "w.pt")
        with FakeTensorMode():
            torch.load(tmp_path / "w.pt", weights_only=True)
        assert torch.load(tmp_path / "w.pt", weights_only=True).tolist() == [5]
