"""What a file of ``torch.save`` is: a zip archive, whose bytes are not promised, with whole storages in it."""

import io
import zipfile

import pytest
import torch

from pitfalls import observe, pitfall

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


@pitfall(
    "saved-bytes-change-with-the-release",
    docs=["torch.save", "notes/serialization"],
    symptom="the hash of a checkpoint differs although the weights are the same",
    changed={
        "2.1": "the archive has records of the byte order and a serialization id",
        "2.7": "the archive has records of its format version and of the alignment",
    },
    priority=3,
)
class TestSavedBytesChangeWithTheRelease:
    """``torch.save`` writes a zip archive whose records change from release to release: hash the weights, not the file.

    The pickle and the raw data of each storage are in it, and by now an id, the byte order, a version and an alignment.
    Every release reads what the older ones wrote. Compare tensors, or hash their bytes.
    """

    def test_trap_the_records_are_not_promised(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        names = {name.partition("/")[2] for name in zipfile.ZipFile(file).namelist()}
        assert {"data.pkl", "data/0", "version"} <= names
        observe(records=sorted(names))

    def test_fix_compare_the_tensors(self):
        file = io.BytesIO()
        torch.save({"w": torch.ones(2)}, file)
        file.seek(0)
        assert torch.load(file, weights_only=True)["w"].tolist() == [1, 1]


@pitfall(
    "saving-a-slice-saves-its-storage",
    docs=[
        "torch.save",
        "notes/serialization#saving-and-loading-tensors-preserves-views",
    ],
    symptom="a checkpoint of a few values is as large as the tensor they were cut from",
    priority=2,
)
class TestSavingASliceSavesItsStorage:
    """``torch.save`` of a view writes the whole storage behind it, and loading gives back views that share it.

    A row of a large table, or one sample of a batch, drags all of it into the file, with whatever was in there. Save
    ``x.clone()`` for the elements alone.
    """

    @pytest.mark.parametrize(
        ("view", "bytes_saved"),
        [
            pytest.param(lambda x: x[:2], 40_000, id="slice"),
            pytest.param(lambda x: x[5], 40_000, id="element"),
            pytest.param(lambda x: x[:2].clone(), 8, id="clone of a slice"),
        ],
    )
    def test_trap_the_whole_storage_is_saved(self, view, bytes_saved):
        file = io.BytesIO()
        torch.save(view(torch.zeros(10_000)), file)
        file.seek(0)
        assert torch.load(file, weights_only=True).untyped_storage().nbytes() == bytes_saved

    def test_trap_what_shared_memory_still_does(self):
        x = torch.zeros(3)
        file = io.BytesIO()
        torch.save([x, x[1:]], file)
        file.seek(0)
        whole, part = torch.load(file, weights_only=True)
        part[0] = 5
        assert whole.tolist() == [0, 5, 0]

    def test_fix_clone_what_is_needed(self):
        file = io.BytesIO()
        torch.save(torch.zeros(10_000)[:2].clone(), file)
        assert len(file.getvalue()) < 5_000
