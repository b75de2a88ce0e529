"""The archive that ``torch.save`` writes, in detail: byte order, alignment, checksums, and no numbers at all."""

import io
import zipfile

import pytest
import torch

from pitfalls import pitfall, since

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


def saved(content):
    """A file in memory that holds `content`."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file


@pytest.fixture
def no_checksums():
    """Checksums are switched on again afterwards."""
    torch.serialization.set_crc32_options(False)
    yield
    torch.serialization.set_crc32_options(True)


@pitfall(
    "saved-archive-is-not-compressed",
    docs=["notes/serialization#serialized-file-format-for-torch-save", "torch.save"],
    symptom="a checkpoint full of zeros is as large as one of random numbers",
    priority=3,
)
class TestSavedArchiveIsNotCompressed:
    """The archive of ``torch.save`` stores its records as they are, each storage at a multiple of 64 bytes.

    That is what lets ``mmap`` use them in place; an archive that another tool packed again can lose it. Compress the
    whole file for transport, or save in a smaller dtype.
    """

    def test_trap_zeros_take_their_full_size(self):
        file = io.BytesIO()
        torch.save(torch.zeros(1000), file)
        (data,) = (record for record in zipfile.ZipFile(file).infolist() if record.filename.endswith("data/0"))
        assert data.compress_size == 4000

    @pytest.mark.parametrize("value", [7.5, 8.5], ids=["first", "second"])
    def test_trap_each_storage_starts_at_64_bytes(self, value):
        file = io.BytesIO()
        torch.save([torch.full((3,), 7.5), torch.full((5,), 8.5)], file)
        found = file.getvalue().index(torch.full((3,), value).numpy().tobytes())
        assert found % 64 == 0

    def test_fix_a_smaller_dtype_is_a_smaller_file(self):
        file = io.BytesIO()
        torch.save(torch.zeros(1000).to(torch.bfloat16), file)
        (data,) = (record for record in zipfile.ZipFile(file).infolist() if record.filename.endswith("data/0"))
        assert data.file_size == 2000


@since("2.1")
@pitfall(
    "byte-order-is-a-record",
    docs=["torch.serialization.set_default_load_endianness", "notes/serialization"],
    symptom="a checkpoint from a machine of the other byte order",
    changed={"2.1": "the archive has a record of its byte order, which torch.load follows"},
    priority=3,
)
class TestByteOrderIsARecord:
    """The archive has a record ``byteorder``, and ``torch.load`` swaps the bytes if it isn't that of the machine.

    Only files from before torch 2.1 lack it: they are read in the order of the machine, unless
    ``set_default_load_endianness`` says otherwise.
    """

    @pytest.mark.parametrize(
        ("order", "values"), [pytest.param("little", [1, 2], id="little"), pytest.param("big", [256, 512], id="big")]
    )
    def test_trap_the_record_decides(self, order, values):
        saved, repacked = io.BytesIO(), io.BytesIO()
        torch.save(torch.tensor([1, 2], dtype=torch.int16), saved)
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(repacked, "w") as target:
            for name in source.namelist():
                target.writestr(name, order if name.endswith("/byteorder") else source.read(name))
        repacked.seek(0)
        assert torch.load(repacked, weights_only=True).tolist() == values


@since("2.6")
@pitfall(
    "no-checksums-look-corrupt",
    docs=["torch.serialization.set_crc32_options", "notes/serialization"],
    symptom="unzip says bad CRC for a checkpoint that torch.load reads",
    changed={"2.6": "torch.serialization.set_crc32_options came"},
    priority=3,
)
class TestNoChecksumsLookCorrupt:
    """After ``set_crc32_options(False)`` saving is faster, and every other zip tool may call the file corrupt.

    ``torch.load`` doesn't mind. The setting is that of the process: it lasts until it is switched back.
    """

    def test_trap_another_tool_finds_it_corrupt(self, no_checksums):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        assert zipfile.ZipFile(file).testzip() is not None

    def test_trap_the_setting_lasts(self, no_checksums):
        torch.save(torch.ones(2), io.BytesIO())
        assert torch.serialization.get_crc32_options() is False

    def test_fix_torch_reads_it(self, no_checksums):
        assert torch.load(saved(torch.ones(2)), weights_only=True).tolist() == [1, 1]

    def test_fix_with_checksums_it_is_whole(self):
        file = io.BytesIO()
        torch.save(torch.ones(2), file)
        assert zipfile.ZipFile(file).testzip() is None


@since("2.5")
@pitfall(
    "skip-data-leaves-room-for-the-numbers",
    docs=["torch.serialization.skip_data", "notes/serialization"],
    symptom="a checkpoint that was saved under skip_data loads as zeros",
    changed={"2.5": "torch.serialization.skip_data came"},
    priority=3,
)
class TestSkipDataLeavesRoomForTheNumbers:
    """Under ``skip_data`` a file gets its full size and structure, but the bytes of the tensors are not written.

    They are meant to be filled in later, by something faster than ``torch.save``. Until then the file loads without a
    complaint, with whatever bytes are there.
    """

    def test_trap_the_size_is_that_of_the_numbers(self):
        file = io.BytesIO()
        with torch.serialization.skip_data():
            torch.save(torch.ones(1000), file)
        assert len(file.getvalue()) > 4000

    def test_trap_the_numbers_are_not_there(self):
        file = io.BytesIO()
        with torch.serialization.skip_data():
            torch.save(torch.ones(2), file)
        file.seek(0)
        assert torch.load(file, weights_only=True).tolist() != [1, 1]

    def test_fix_save_outside_of_it(self):
        with torch.serialization.skip_data():
            pass
        assert torch.load(saved(torch.ones(2)), weights_only=True).tolist() == [1, 1]
