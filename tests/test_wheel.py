"""The installed wheel: the catalogue runs from any folder, under a user's own strict settings, as the checkout does."""

import os
import subprocess
import sys
import zipfile

import pytest

from pitfalls import __version__
from pitfalls.harness import source

ROOT = source.PACKAGE.parent
#: One quick module stands for the catalogue where the whole of it would only take longer.
ONE = "pitfalls.tensors.test_scalars"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with nothing in it but the wheel's content, in a path that has spaces and no ASCII."""
    folder = tmp_path_factory.mktemp("installed ünd odd")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def run(installed, tmp_path):
    def run_elsewhere(*arguments, ini=None):
        if ini:
            (tmp_path / "pytest.ini").write_text(ini)
        environ = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-m", "pytest", "-p", "no:randomly", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    return run_elsewhere


def test_the_wheel_has_what_a_user_needs_and_no_more(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"pitfalls/conftest.py", "pitfalls/py.typed", "pitfalls/harness/templates/comparison.html"} <= set(names)
    assert {name.split("/")[0] for name in names} == {"pitfalls", f"torch_pitfalls-{__version__}.dist-info"}


def test_it_never_asks_for_another_torch(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"torch_pitfalls-{__version__}.dist-info/METADATA").decode()
    lines = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    required = sorted(line for line in lines if "extra ==" not in line)
    assert required == ["numpy", "pytest-xdist", "pytest>=8", "torch>=2.0"]


def test_the_whole_catalogue_runs_from_an_unrelated_folder(run):
    done = run("--pyargs", "pitfalls", "-q")
    assert done.returncode == 0, done.stdout[-3000:]
    total = len(source.slugs())
    assert f"all {total} of {total} pitfalls in the catalogue ran" in done.stdout


@pytest.mark.parametrize(
    "ini",
    [
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers --strict-config\n",
        "[pytest]\naddopts = --import-mode=importlib\n",
        "[pytest]\nxfail_strict = true\njunit_family = xunit2\naddopts = --junitxml=out.xml\nfilterwarnings = error\n",
        "[pytest]\ntestpaths = nowhere\nconsole_output_style = classic\n",
    ],
    ids=["strict", "importlib", "junit", "other"],
)
def test_a_users_settings_change_nothing(run, ini):
    done = run("-q", "--pyargs", ONE, ini=ini)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 pitfalls still hold" in done.stdout


def test_a_users_fixture_named_device_is_not_ours(run, tmp_path):
    (tmp_path / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef device():\n    return 'theirs'\n")
    (tmp_path / "test_theirs.py").write_text("def test_x(device):\n    assert device == 'theirs'\n")
    done = run("-q", "test_theirs.py", "--pyargs", ONE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_plugin_it_says_in_one_line_what_to_do(run):
    done = run("-q", "--pyargs", ONE, "-p", "no:pitfalls")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.strip().splitlines() == [
        "ERROR: the torch-pitfalls plugin is not active: drop -p no:pitfalls, or install the suite (pip install -e .)"
    ]


def test_it_runs_from_a_folder_that_cannot_be_written_to(run, installed):
    done = run("-q", "--pyargs", ONE, "-p", "no:cacheprovider", "-W", "error")
    assert done.returncode == 0
