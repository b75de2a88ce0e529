"""Which release a torch counts as, which pitfalls are about it, and where its manual is."""

import pytest

from pitfalls.harness import links, versions


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("2.13.0+cpu", (2, 13, 0)),
        ("2.16.0.dev20261101+cu132", (2, 16, 0)),
        ("2.9.0a0+git1234", (2, 9, 0)),
        ("2.9.0rc2", (2, 9, 0)),
        ("2.9.1.post3", (2, 9, 1)),
        ("2.9", (2, 9)),
    ],
)
def test_the_release_is_the_number_alone(version, release):
    assert versions.release(version) == release


@pytest.mark.parametrize(
    ("torch", "since", "before", "reason"),
    [
        ("2.6.0", [], [], None),
        ("2.6.0", ["2.6"], [], None),
        ("2.5.1", ["2.6"], [], "about torch 2.6 and later"),
        ("2.6.0", [], ["2.6"], "about torch before 2.6"),
        ("2.5.1", [], ["2.6"], None),
        ("2.5.1", ["2.4"], ["2.6"], None),
        ("2.6.0", ["2.4"], ["2.6"], "about torch before 2.6"),
        ("2.4.1", ["2.3", "2.5"], [], "about torch 2.5 and later"),
        ("2.16.0.dev20261101+cu132", ["2.16"], [], None),
        ("2.16.0.dev20261101+cu132", [], ["2.16"], "about torch before 2.16"),
        ("2.9.0a0+git1234", ["2.10"], [], "about torch 2.10 and later"),
        ("3.0.0", ["2.6"], [], None),
    ],
)
def test_a_pin_is_about_the_releases_between_its_marks(torch, since, before, reason):
    assert versions.inapplicable(torch, since, before) == reason


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("torch.Tensor.backward", "2.13/generated/torch.Tensor.backward.html"),
        ("torch.utils.data.DataLoader", "2.13/data.html#torch.utils.data.DataLoader"),
        ("torch.utils.data", "2.13/data.html#torch.utils.data"),
        ("notes/autograd", "2.13/notes/autograd.html"),
        ("notes/autograd#saved-tensors", "2.13/notes/autograd.html#saved-tensors"),
        ("tensor_view", "2.13/tensor_view.html"),
    ],
)
def test_the_manual_is_that_of_the_release(name, address):
    assert links.link(name, "2.13.1+cpu") == f"https://docs.pytorch.org/docs/{address}"
