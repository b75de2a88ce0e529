"""Where loaded tensors go: device tags, ``map_location``, and tensors that are not read at all."""

import io

import pytest
import torch

from pitfalls import before, observe, on, pitfall, since

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


def saved(content):
    """A file in memory that holds `content`."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file


@pytest.fixture
def from_a_gpu():
    """A file as a machine with a GPU writes it: in the old format, with the device tag replaced."""
    file = io.BytesIO()
    torch.save(torch.ones(2), file, _use_new_zipfile_serialization=False)
    return io.BytesIO(file.getvalue().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))


@pitfall(
    "load-puts-tensors-back-on-their-device",
    docs=[("torch.load", "those tensors will be loaded to GPU by"), "torch.load"],
    symptom="torch.load fills the memory of GPU 0, or fails on a machine without a GPU",
    error="Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False",
    priority=1,
)
class TestLoadPutsTensorsBackOnTheirDevice:
    """``torch.load`` puts each tensor back on the device it was saved from, unless ``map_location`` says otherwise.

    A checkpoint from a GPU needs a GPU of that number, and takes its memory a second time beside the model. Load with
    ``map_location="cpu"``; ``load_state_dict`` copies to where the parameters are.
    """

    def test_trap_it_comes_back_where_it_was(self, device):
        assert torch.load(saved(torch.ones(2, device=device)), weights_only=True).device.type == device.type

    def test_trap_without_a_gpu_it_is_refused(self, from_a_gpu, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(RuntimeError, match=r"deserialize object on a CUDA device but torch.cuda.is_available\(\)"):
            torch.load(from_a_gpu, weights_only=False)

    @pytest.mark.parametrize(
        "where",
        ["cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, _: storage],
        ids=["name", "device", "dictionary", "function"],
    )
    def test_fix_say_where(self, from_a_gpu, where):
        assert torch.load(from_a_gpu, map_location=where, weights_only=True).device.type == "cpu"

    def test_fix_load_on_the_cpu_into_a_model_elsewhere(self, device, seeded):
        net = torch.nn.Linear(1, 1, bias=False, device=device)
        state = torch.load(saved({"weight": torch.ones(1, 1, device=device)}), map_location="cpu", weights_only=True)
        net.load_state_dict(state)
        assert net.weight.device.type == device.type
        assert net.weight.tolist() == [[1]]


@pitfall(
    "map-location-takes-device-tags",
    docs=[("torch.load", "The builtin location tags are"), "torch.load"],
    symptom="map_location has no effect, or: don't know how to restore data location",
    error="don't know how to restore data location",
    changed={
        "2.1": "a tag that torch doesn't know raises AssertionError, about HPU; it had been RuntimeError",
        "2.2": "a tag that torch doesn't know raises RuntimeError again",
    },
)
class TestMapLocationTakesDeviceTags:
    """A dictionary as ``map_location`` renames the tags in the file; what it doesn't name goes back where it was.

    The tag of a GPU has its number: ``"cuda:0"``, not ``"cuda"``. A function is called with each storage, already on
    the CPU, and its tag; returning None leaves it to the default. A tag that torch doesn't know raises.
    """

    @on("cpu")
    def test_trap_a_dictionary_that_does_not_fit_does_nothing(self, device):
        file = saved(torch.ones(2, device=device))
        assert torch.load(file, map_location={"cuda:0": "meta"}, weights_only=True).device.type == "cpu"

    @on("cuda")
    def test_trap_the_tag_of_a_gpu_has_its_number(self, device):
        file = saved(torch.ones(2, device=device))
        assert torch.load(file, map_location={"cuda": "cpu"}, weights_only=True).device.type == "cuda"

    def test_trap_a_function_gets_storages_on_the_cpu(self, device):
        file, tags = saved(torch.ones(2, device=device)), []

        def where(storage, tag):
            tags.append(tag)
            return storage

        assert torch.load(file, map_location=where, weights_only=True).device.type == "cpu"
        observe(tags=tags)

    def test_trap_none_from_a_function_means_the_default(self, device):
        file = saved(torch.ones(2, device=device))
        assert torch.load(file, map_location=lambda *_: None, weights_only=True).device.type == device.type

    @pytest.mark.parametrize(
        "tag", [pytest.param("gpu", marks=since("2.2")), pytest.param("gpu", marks=before("2.1"), id="gpu before 2.1")]
    )
    def test_trap_an_unknown_tag_is_refused(self, device, tag):
        with pytest.raises(RuntimeError, match="don't know how to restore data location"):
            torch.load(saved(torch.ones(2, device=device)), map_location=tag, weights_only=False)

    @since("2.1")
    @before("2.2")
    def test_trap_an_unknown_tag_was_taken_for_hpu(self, device):
        with pytest.raises(AssertionError, match="HPU device module is not loaded"):
            torch.load(saved(torch.ones(2, device=device)), map_location="gpu", weights_only=False)

    def test_fix_one_device_for_everything(self, device):
        file = saved([torch.ones(2, device=device), torch.ones(1)])
        assert {x.device.type for x in torch.load(file, map_location="cpu", weights_only=True)} == {"cpu"}


@pitfall(
    "loading-to-meta-reads-no-numbers",
    docs=["torch.load", "meta", "notes/serialization"],
    symptom="Cannot copy out of meta tensor; no data! after torch.load",
    priority=3,
)
class TestLoadingToMetaReadsNoNumbers:
    """``map_location="meta"`` gives tensors with shapes and dtypes and no numbers: good for looking into a checkpoint.

    The numbers don't come back by moving the tensors; load the file again, or with ``mmap=True`` from the start.
    """

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64], ids=str)
    def test_trap_shape_and_dtype_are_known(self, device, dtype):
        file = saved(torch.ones(2, 3, dtype=dtype, device=device))
        x = torch.load(file, map_location="meta", weights_only=True)
        assert x.device.type == "meta"
        assert x.shape == (2, 3)
        assert x.dtype == dtype

    def test_trap_the_numbers_are_gone(self, device):
        x = torch.load(saved(torch.ones(2, device=device)), map_location="meta", weights_only=True)
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor; no data!"):
            x.to(device)
