"""Our options beside the user's own, and a plugin that nobody notices until a pitfall is collected."""

import re
import sys

import pytest

from pitfalls.harness import source
from tests.test_plugin import SOUND, run, said  # noqa: F401 - `run` is a fixture

QUIET = ("-p", "no:randomly", "-p", "no:cacheprovider")


def test_a_device_may_be_asked_for_several_times_and_with_an_index(run):  # noqa: F811
    result = run(SOUND, "--device", "xpu", "--device", "cpu", "--device", "cuda:7", "--collect-only", "-q")
    found = re.findall(r"test_trap_ones\[(.*)\]", said(result))
    assert found == ["xpu", "cpu", "cuda:7"]


def test_the_header_names_the_devices_that_were_asked_for(run):  # noqa: F811
    run(SOUND, "--device", "cpu").stdout.fnmatch_lines(["torch-pitfalls *: torch *", "devices: cpu"])


def test_a_required_device_that_is_there_is_no_obstacle(run):  # noqa: F811
    run(SOUND, "--device", "cpu", "--require-device", "cpu").assert_outcomes(passed=1)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "cpu:0:0", ""])
def test_what_is_no_device_is_refused_also_when_required(run, name):  # noqa: F811
    for option in ("--device", "--require-device"):
        result = run(SOUND, f"{option}={name}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert said(result).count("ERROR: unknown device") == 1


@pytest.mark.parametrize(
    "adding",
    [
        "parser.addoption('--device', default='theirs')",
        "parser.addoption('--device', action='append', default=['theirs'])",
        "parser.addoption('--device', choices=['theirs', 'mine'], default='theirs')",
        "parser.addoption('--device', action='store_true', default='theirs')",
        "parser.addoption('--record', '--device', dest='device', type=str, default='theirs')",
        "parser.getgroup('their group').addoption('--device', default='theirs')",
    ],
    ids=["plain", "append", "choices", "flag", "alias", "group"],
)
def test_a_users_option_named_device_leaves_ours_its_long_name(pytester, adding):
    conftest = (source.PACKAGE.parent / "conftest.py").read_text(encoding="utf-8")
    pytester.makeconftest(f"{conftest}\n\ndef pytest_addoption(parser):\n    {adding}\n")
    pytester.makepyfile(
        test_demo="import torch\nfrom pitfalls import pitfall\n" + SOUND,
        test_own="def test_x(request):\n    assert 'theirs' in request.config.getoption('device')",
    )
    result = pytester.runpytest_inprocess(*QUIET, "--pitfalls-device", "cpu")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["devices: cpu"])


def test_options_that_only_begin_like_ours_are_no_obstacle(run, pytester):  # noqa: F811
    pytester.makepyfile(their="def pytest_addoption(parser):\n    parser.addoption('--record-mode')")
    pytester.syspathinsert()
    result = run(SOUND, "-p", "their", "--record-mode", "x", "--record", "r.json", "--device", "cpu")
    assert "partial record of 1 case" in said(result)


def without_times(result):
    lines = re.sub(r"in \d+\.\d+s", "", said(result)).splitlines()
    return [line for line in lines if not line.startswith(("plugins:", "rootdir:"))]


def test_a_run_without_pitfalls_prints_what_it_prints_without_us(pytester):
    pytester.makepyfile("import warnings\n\ndef test_x():\n    warnings.warn('x')\n\ndef test_y():\n    assert 0")
    command = [sys.executable, "-m", "pytest", *QUIET, "-ra"]
    assert without_times(pytester.run(*command)) == without_times(pytester.run(*command, "-p", "no:pitfalls"))


def test_a_users_tests_with_torch_are_left_alone(pytester):
    pytester.makepyfile(
        """
        import warnings

        import pytest
        import torch

        @pytest.mark.parametrize("x", [torch.ones(1)])
        def test_state_stays_as_they_set_it(x):
            torch.set_default_dtype(torch.float64)

        class TestState:
            def test_is_still_there(self):
                assert torch.get_default_dtype() == torch.float64
                assert not torch.is_warn_always_enabled()
                torch.set_default_dtype(torch.float32)
        """
    )
    result = pytester.runpytest_inprocess(*QUIET)
    result.assert_outcomes(passed=2)
    assert "pitfall" not in said(result).replace("plugins: torch-pitfalls", "")
