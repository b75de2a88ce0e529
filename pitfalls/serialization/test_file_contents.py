"""Files of ``torch.save`` as files: broken ones, their names, where reading starts, and what is read lazily."""

import io
import pickle
import zipfile

import pytest
import torch

from pitfalls import observe, pitfall, since

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


def saved(content, **how):
    """A file in memory that holds `content`."""
    file = io.BytesIO()
    torch.save(content, file, **how)
    file.seek(0)
    return file


@pitfall(
    "broken-checkpoints-fail-by-their-contents",
    docs=["torch.load", "notes/serialization#serialized-file-format-for-torch-save"],
    symptom="PytorchStreamReader failed reading zip archive; invalid load key, '<'; Ran out of input",
    error="PytorchStreamReader failed reading zip archive: failed finding central directory",
    changed={
        "2.4": "the message of weights_only=True proposes to file an issue",
        "2.5": "the message of weights_only=True is laid out otherwise",
        "2.6": "the message of weights_only says that its default has changed",
        "2.9": "the message of weights_only is laid out otherwise",
    },
)
class TestBrokenCheckpointsFailByTheirContents:
    """A cut-off file, a saved web page and an empty file each make ``torch.load`` fail in a way of their own.

    The index of the archive is at its end, so "failed finding central directory" is an interrupted download or save.
    "invalid load key" shows the first byte: ``<`` of an HTML page, ``v`` of a pointer of Git LFS. None of it is about
    ``weights_only``. Get the file again.
    """

    def test_trap_a_cut_off_archive(self):
        half = saved(torch.ones(100)).getvalue()[:600]
        with pytest.raises(
            RuntimeError, match="PytorchStreamReader failed reading zip archive: failed finding central"
        ):
            torch.load(io.BytesIO(half), weights_only=True)

    @pytest.mark.parametrize(
        ("content", "key"),
        [
            pytest.param(b"<!DOCTYPE html>", "<", id="web page"),
            pytest.param(b"version https://", "v", id="LFS pointer"),
        ],
    )
    def test_trap_something_else_under_its_name(self, content, key):
        with pytest.raises(pickle.UnpicklingError, match=f"invalid load key, '{key}'"):
            torch.load(io.BytesIO(content), weights_only=False)

    def test_trap_weights_only_blames_itself(self):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed") as refused:
            torch.load(io.BytesIO(b"<!DOCTYPE html>"), weights_only=True)
        observe(message=str(refused.value))

    def test_trap_an_empty_file(self):
        with pytest.raises(EOFError, match="Ran out of input"):
            torch.load(io.BytesIO(b""), weights_only=False)

    def test_fix_look_whether_it_is_an_archive(self):
        assert zipfile.is_zipfile(saved(torch.ones(1)))


@pitfall(
    "file-extension-has-no-meaning",
    docs=[("torch.save", "A common PyTorch convention is to save"), "notes/serialization"],
    symptom="is it .pt, .pth or .bin?",
    priority=3,
)
class TestFileExtensionHasNoMeaning:
    """``torch.save`` writes the same format under any name, and ``torch.load`` looks at the contents alone.

    ``.pt`` is a convention. Folders are not made on the way: a missing one is an error.
    """

    @pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.zip", "w.txt", "w"])
    def test_trap_every_extension_is_the_same(self, tmp_path, name):
        torch.save(torch.ones(2), tmp_path / name)
        assert torch.load(tmp_path / name, weights_only=True).tolist() == [1, 1]

    def test_trap_a_missing_folder_is_an_error(self, tmp_path):
        with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
            torch.save(torch.ones(2), tmp_path / "run" / "w.pt")

    def test_fix_make_the_folder(self, tmp_path):
        (tmp_path / "run").mkdir()
        torch.save(torch.ones(2), tmp_path / "run" / "w.pt")
        assert torch.load(tmp_path / "run" / "w.pt", weights_only=True).tolist() == [1, 1]


@pitfall(
    "file-object-is-read-from-where-it-stands",
    docs=[("torch.load", "a file-like object (has to implement"), "torch.save"],
    symptom="EOFError: Ran out of input, from a buffer that was just written",
    error="Ran out of input",
)
class TestFileObjectIsReadFromWhereItStands:
    """After ``torch.save`` a file object stands at its end, and ``torch.load`` finds nothing there: rewind it.

    A file is opened in binary mode: ``"wb"`` and ``"rb"``. In text mode both raise TypeError.
    """

    def test_trap_after_saving_there_is_nothing_to_read(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        with pytest.raises(EOFError, match="Ran out of input"):
            torch.load(file, weights_only=False)

    def test_trap_text_mode_is_refused(self, tmp_path):
        with (tmp_path / "w.pt").open("w") as file, pytest.raises(TypeError, match="must be str, not"):
            torch.save(torch.ones(2), file)

    def test_fix_rewind(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        file.seek(0)
        assert torch.load(file, weights_only=True).tolist() == [1, 1]


@pitfall(
    "old-format-still-loads",
    docs=[("torch.save", "load files in the old format"), "torch.load"],
    symptom="the checkpoint is no zip archive, and mmap=True refuses it",
    error="mmap can only be used with files saved with",
    changed={"2.1": "torch.load takes mmap=True, which it refuses for this format"},
    priority=3,
)
class TestOldFormatStillLoads:
    """Files from before torch 1.6 are a sequence of pickles, not an archive; ``torch.load`` reads both, ``mmap`` one.

    Load such a file once and save it again: that makes an archive of it.
    """

    def test_trap_it_can_be_one_after_the_other(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file, _use_new_zipfile_serialization=False)
        torch.save(torch.zeros(1), file, _use_new_zipfile_serialization=False)
        file.seek(0)
        assert torch.load(file, weights_only=True).tolist() == [1, 1]
        assert torch.load(file, weights_only=True).tolist() == [0]

    @since("2.1")
    def test_trap_it_cannot_be_mapped(self, tmp_path):
        torch.save(torch.ones(2), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
        with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
            torch.load(str(tmp_path / "w.pt"), mmap=True, weights_only=True)

    def test_fix_load_reads_it(self):
        file = saved({"w": torch.ones(2)}, _use_new_zipfile_serialization=False)
        assert torch.load(file, weights_only=True)["w"].tolist() == [1, 1]


@since("2.1")
@pitfall(
    "mapped-tensors-are-private-copies",
    docs=["torch.load", "notes/serialization"],
    symptom="changes of a tensor that was loaded with mmap=True are not in the file",
    error="f must be a file path in order to use the mmap argument",
    changed={"2.1": "torch.load takes mmap=True"},
    priority=3,
)
class TestMappedTensorsArePrivateCopies:
    """``torch.load(path, mmap=True)`` reads numbers as they are used; writes to them stay in memory, not in the file.

    What is never used is never read, which helps with files larger than the memory. It wants a path, no file object.
    """

    def test_trap_writes_do_not_reach_the_file(self, tmp_path):
        torch.save(torch.zeros(3), tmp_path / "w.pt")
        torch.load(str(tmp_path / "w.pt"), mmap=True, weights_only=True)[0] = 5
        assert torch.load(tmp_path / "w.pt", weights_only=True).tolist() == [0, 0, 0]

    def test_trap_a_file_object_is_refused(self):
        with pytest.raises(ValueError, match=r"f must be a (file path|string filename) in order to use"):
            torch.load(saved(torch.zeros(3)), mmap=True, weights_only=True)

    def test_fix_save_what_was_changed(self, tmp_path):
        torch.save(torch.zeros(3), tmp_path / "w.pt")
        x = torch.load(str(tmp_path / "w.pt"), mmap=True, weights_only=True)
        x[0] = 5
        torch.save(x, tmp_path / "changed.pt")
        assert torch.load(tmp_path / "changed.pt", weights_only=True).tolist() == [5, 0, 0]
