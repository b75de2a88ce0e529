"""The summary at the end of a run: what holds, what no longer does, and how much of the catalogue that was."""

import re

import pytest

from pitfalls.harness import source
from tests.test_plugin import HEAD, said

ROOT = source.PACKAGE.parent
PITFALL = '''
@pitfall("{slug}", docs=["torch.ones"], symptom="something")
class Test{name}:
    """A statement about {slug}."""

    @pytest.mark.parametrize("n", [1, 2], ids=["one", "two"])
    def test_trap_ones(self, device, n):
        assert torch.ones(n, device=device).tolist() == [1] * n
'''
SUMMARY = re.compile(r"^=+ torch-pitfalls .*?(?=^=)", re.MULTILINE | re.DOTALL)


@pytest.fixture
def catalogue(pytester, monkeypatch):
    """Run a catalogue of three small pitfalls in two modules; texts in its modules can be replaced first."""
    monkeypatch.setattr(source, "PACKAGE", pytester.path)
    pytester.makeconftest((ROOT / "conftest.py").read_text(encoding="utf-8"))
    source.slugs.cache_clear()
    modules = {"first": ["alpha", "beta"], "second": ["gamma"]}
    for module, slugs in modules.items():
        text = HEAD + "".join(PITFALL.format(slug=slug, name=slug.title()) for slug in slugs)
        pytester.mkpydir(module)
        (pytester.path / module / f"test_{module}.py").write_text(text)

    def run(*arguments, replace=(), devices=("--device", "cpu")):
        for module, old, new in replace:
            path = pytester.path / module / f"test_{module}.py"
            text = path.read_text()
            assert old in text
            path.write_text(text.replace(old, new, 1))
        return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", *devices, *arguments)

    yield run
    source.slugs.cache_clear()


def summary(result):
    """The lines of our section but for the headline and the environment."""
    found = SUMMARY.search(said(result) + "\n=")
    return found[0].splitlines()[2:] if found else None


def test_a_whole_run_says_so(catalogue):
    assert summary(catalogue()) == [
        "3 pitfalls still hold",
        "  cpu        6 cases hold",
        "all 3 of 3 pitfalls in the catalogue ran",
    ]


PARALLEL = ["-n", "2"]
COUNT = "partial run: {} of 3 pitfalls in the catalogue ran"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-k", "Alpha"], COUNT.format(1) + "; a filter took cases away"),
        (["-k", "two"], COUNT.format(3) + "; a filter took cases away"),
        (["-m", "slow or not slow", "--deselect", "first/test_first.py::TestBeta"], COUNT.format(2)),
        (["first"], COUNT.format(2)),
        (["second/test_second.py"], COUNT.format(1)),
        (["first", "second/test_second.py::TestGamma"], COUNT.format(3)),
        (["--ignore", "second"], COUNT.format(2)),
        ([*PARALLEL, "-k", "two"], COUNT.format(3) + "; a filter took cases away"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_of_a_part_says_that_it_is_partial(catalogue, arguments, says):
    assert summary(catalogue(*arguments))[-1].startswith(says)


def test_a_filter_that_takes_nothing_away_leaves_the_run_whole(catalogue):
    assert summary(catalogue("-k", "test_trap"))[-1] == "all 3 of 3 pitfalls in the catalogue ran"


BREAK_GAMMA = [("second", "== [1] * n", "== [1]")]


@pytest.mark.parametrize("arguments", [[], PARALLEL], ids=["alone", "parallel"])
def test_what_no_longer_holds_is_listed_by_slug(catalogue, arguments):
    result = catalogue(*arguments, replace=BREAK_GAMMA)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert summary(result) == [
        "1 pitfall no longer holds as documented:",
        "  gamma: A statement about gamma. (1 case on cpu)",
        "2 pitfalls still hold",
        "  cpu        5 cases hold, 1 no longer",
        "all 3 of 3 pitfalls in the catalogue ran",
    ]
    result.stdout.fnmatch_lines(["gamma no longer holds on cpu", "statement:   A statement about gamma."])


def test_all_that_no_longer_holds_is_counted(catalogue):
    lines = summary(catalogue(replace=[*BREAK_GAMMA, ("first", "== [1] * n", "== 0")]))
    assert lines[:4] == [
        "2 pitfalls no longer hold as documented:",
        "  alpha: A statement about alpha. (2 cases on cpu)",
        "  gamma: A statement about gamma. (1 case on cpu)",
        "1 pitfall still holds",
    ]


def test_a_run_that_stopped_early_is_partial(catalogue):
    result = catalogue("-x", replace=[("second", "== [1] * n", "== 0")])
    assert summary(result)[-1].startswith("partial run: 3 of 3")


def test_a_module_that_cannot_be_collected_makes_the_run_partial(catalogue):
    result = catalogue("--continue-on-collection-errors", replace=[("second", "gamma", "Gamma")])
    assert (
        summary(result)[-1] == "partial run: 2 of 3 pitfalls in the catalogue ran; some modules could not be collected"
    )


def test_a_case_that_could_not_run_is_neither(catalogue):
    fixture = "@pytest.fixture\ndef bad():\n    raise OSError\n\n@pitfall"
    lines = summary(catalogue(replace=[("second", "@pitfall", fixture), ("second", "(self, ", "(self, bad, ")]))
    assert lines == [
        "  gamma: 2 cases could not run: gamma/test_trap_ones[one]@cpu",
        "2 pitfalls still hold",
        "  cpu        4 cases hold",
        "all 3 of 3 pitfalls in the catalogue ran",
    ]


def test_a_case_that_a_pin_skips_gives_its_reason(catalogue):
    lines = summary(catalogue(replace=[("second", "        assert", "        pytest.skip('no MKL')\n        assert")]))
    assert lines == [
        "2 pitfalls still hold",
        "  cpu        4 cases hold, 2 skipped (no MKL)",
        "all 3 of 3 pitfalls in the catalogue ran",
    ]


def test_cases_without_a_device_are_counted_apart(catalogue):
    edits = [("second", "self, device, n", "self, n"), ("second", ", device=device", "")]
    assert summary(catalogue(replace=edits))[1:3] == ["  cpu        4 cases hold", "  no device  2 cases hold"]


def test_cases_about_another_release_are_counted_apart(catalogue):
    lines = summary(catalogue(replace=[("second", "    @pytest", "    @before('2.0')\n    @pytest")]))
    assert lines[1:3] == [
        "  cpu        4 cases hold",
        "  2 cases not about this torch: 2 about torch before 2.0",
    ]


def test_each_device_asked_for_has_its_line(catalogue):
    lines = summary(catalogue(devices=("--device", "cpu", "--device", "xpu")))
    assert lines[1:] == [
        "  cpu        6 cases hold",
        "  xpu        0 cases hold, 6 skipped (XPU is not available)",
        "all 3 of 3 pitfalls in the catalogue ran",
    ]


def test_a_run_of_other_tests_alone_has_no_summary(catalogue, pytester):
    pytester.makepyfile(test_own="def test_x(): pass")
    assert summary(catalogue("test_own.py")) is None


# What stands in the catalogue without being a pitfall ------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("@pitfall(", "pitfall(", "second/test_second.py::TestGamma: a test class of the catalogue needs the @pitfall"),
        ("@pitfall", "def test_x(): pass\n\n@pitfall", "second/test_second.py: test_x stands outside a class"),
        ("class TestGamma", "class Gamma", "second/test_second.py: Gamma is hidden by a python_classes setting"),
    ],
    ids=["undecorated", "function", "name"],
)
def test_a_stray_test_in_the_catalogue_is_a_collection_error(catalogue, old, new, says):
    result = catalogue(replace=[("second", old, new)])
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert says in said(result)
