"""Copies in memory and through files: what stays shared, what is shared no longer, and what is copied along."""

import copy
import io

import pytest
import torch
from torch import nn

from pitfalls import pitfall

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch 2.0 warns of its own loading


def through_a_file(content):
    """What comes back after saving and loading."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pitfall(
    "saved-apart-shares-no-longer",
    docs=["notes/serialization#saving-and-loading-tensors-preserves-views", "torch.save"],
    symptom="tied weights drift apart after loading, or a view no longer follows its base",
)
class TestSavedApartSharesNoLonger:
    """Tensors that share memory share it after loading if one ``torch.save`` took them both, and not if two did.

    Put what belongs together into one dictionary. Tied weights of a model are in its state dict twice, sharing; loaded
    into a model they are as tied as that model makes them.
    """

    def test_trap_two_files_are_two_storages(self):
        x = torch.zeros(3)
        whole, part = through_a_file(x), through_a_file(x[1:])
        part[0] = 5
        assert whole.tolist() == [0, 0, 0]

    def test_trap_tied_entries_of_one_file_share(self, seeded):
        net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        net[1].weight = net[0].weight
        state = through_a_file(net.state_dict())
        state["0.weight"].fill_(7)
        assert state["1.weight"].tolist() == [[7]]

    def test_trap_loading_them_ties_no_model(self, seeded):
        tied = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        tied[1].weight = tied[0].weight
        net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
        net.load_state_dict(through_a_file(tied.state_dict()))
        nn.init.zeros_(net[0].weight)
        assert net[1].weight.item() != 0

    def test_fix_one_file_for_both(self):
        x = torch.zeros(3)
        whole, part = through_a_file([x, x[1:]])
        part[0] = 5
        assert whole.tolist() == [0, 5, 0]


@pitfall(
    "one-storage-is-saved-as-one-dtype",
    docs=["notes/serialization#saving-and-loading-tensors-preserves-views", "torch.save"],
    symptom="RuntimeError: Cannot save multiple tensors or storages that view the same data as different types",
    error="Cannot save multiple tensors or storages that view the same data as different types",
    priority=3,
)
class TestOneStorageIsSavedAsOneDtype:
    """Two tensors that view the same storage as different dtypes can't be saved into one file.

    A file holds each storage once, with one dtype. Save a clone of one of them: its bytes are then in the file twice,
    and no longer shared.
    """

    def test_trap_two_dtypes_are_refused(self):
        x = torch.ones(2)
        with pytest.raises(RuntimeError, match="view the same data as different types"):
            torch.save([x, x.view(torch.int32)], io.BytesIO())

    def test_fix_save_a_clone(self):
        x = torch.ones(2)
        assert through_a_file([x, x.view(torch.int32).clone()])[1].tolist() == [1065353216, 1065353216]


@pitfall(
    "shallow-copy-shares-the-elements",
    docs=["torch.Tensor.clone", "tensor_view", "storage"],
    symptom="copy.copy(x), list(xs) or dict(state) was no copy: the values changed",
)
class TestShallowCopySharesTheElements:
    """``copy.copy`` of a tensor, and of a list or dictionary of tensors, copies no elements: writes show in both.

    So does ``dict(net.state_dict())`` as a backup of the weights. Take ``x.clone()``, or ``copy.deepcopy`` for what
    holds tensors.
    """

    @pytest.mark.parametrize(
        "duplicate",
        [
            pytest.param(lambda xs: [copy.copy(xs[0])], id="copy.copy of the tensor"),
            pytest.param(copy.copy, id="copy.copy of the list"),
            pytest.param(lambda xs: list(xs), id="list()"),
            pytest.param(lambda xs: xs[:], id="slice of the list"),
        ],
    )
    def test_trap_the_elements_are_shared(self, device, duplicate):
        x = torch.zeros(2, device=device)
        duplicate([x])[0][0] = 5
        assert x.tolist() == [5, 0]

    @pytest.mark.parametrize("duplicate", [dict, copy.copy], ids=["dict()", "copy.copy"])
    def test_trap_a_backup_of_a_state_dict_follows(self, device, seeded, duplicate):
        net = nn.Linear(1, 1, bias=False, device=device)
        backup = duplicate(net.state_dict())
        nn.init.zeros_(net.weight)
        assert backup["weight"].tolist() == [[0]]

    @pytest.mark.parametrize(
        "duplicate",
        [
            pytest.param(lambda xs: [x.clone() for x in xs], id="clone"),
            pytest.param(copy.deepcopy, id="copy.deepcopy"),
        ],
    )
    def test_fix_copies_of_the_elements(self, device, duplicate):
        x = torch.zeros(2, device=device)
        duplicate([x])[0][0] = 5
        assert x.tolist() == [0, 0]


@pitfall(
    "deepcopy-copies-whole-storages",
    docs=["storage", "torch.Tensor.clone", "torch.Tensor.untyped_storage"],
    symptom="deepcopy of a few rows takes the memory of the whole table",
)
class TestDeepcopyCopiesWholeStorages:
    """``copy.deepcopy`` of a view copies the whole storage behind it; ``clone()`` copies the elements of the view.

    In return, tensors that share memory share it in the copy, if one ``deepcopy`` took them both: a copied model is
    tied where the model was. Copied one by one, they are apart.
    """

    def test_trap_the_copy_of_a_slice_is_large(self, device):
        x = torch.zeros(1000, device=device)
        assert copy.deepcopy(x[:2]).untyped_storage().nbytes() == 4000

    def test_trap_what_shared_still_does(self, device):
        x = torch.zeros(3, device=device)
        whole, part = copy.deepcopy([x, x[1:]])
        part[0] = 5
        assert whole.tolist() == [0, 5, 0]

    def test_trap_one_by_one_they_are_apart(self, device, seeded):
        encoder, decoder = nn.Linear(1, 1, device=device), nn.Linear(1, 1, device=device)
        decoder.weight = encoder.weight
        encoder, decoder = copy.deepcopy(encoder), copy.deepcopy(decoder)
        nn.init.zeros_(encoder.weight)
        assert not torch.equal(encoder.weight, decoder.weight)

    def test_fix_clone_takes_what_is_needed(self, device):
        x = torch.zeros(1000, device=device)
        assert x[:2].clone().untyped_storage().nbytes() == 8

    def test_fix_copy_the_model_that_holds_both(self, device, seeded):
        net = nn.Sequential(nn.Linear(1, 1, device=device), nn.Linear(1, 1, device=device))
        net[1].weight = net[0].weight
        other = copy.deepcopy(net)
        assert other[1].weight is other[0].weight
