"""The stand-alone script of a case: it has that case's parameters and fixtures, and behaves as the pin does."""

import subprocess
import sys

import pytest
import torch

from pitfalls.harness import source
from pitfalls.harness.plugin import CASE
from tests.test_plugin import HEAD


class Collected:
    """Keeps the cases that a run collects."""

    def pytest_collection_finish(self, session):
        self.cases = [item.stash[CASE] for item in session.items]


@pytest.fixture
def scripts_see(pytester):
    """For each case of a test, what its script tells of what it got."""
    pytester.makeconftest((source.PACKAGE.parent / "conftest.py").read_text(encoding="utf-8"))

    def see(arguments="", *, mark="", top="", tell=None, owner=""):
        text = (
            HEAD
            + f'''
{top}

{owner}
@pitfall("demo", docs=["torch.ones"], symptom="something")
class TestDemo:
    """A statement that can be quoted."""

    {mark}
    def test_trap_x(self{", " + arguments if arguments else ""}):
        SEEN.append({tell or arguments})
'''
        )
        pytester.makepyfile(test_demo=text)
        collected = Collected()
        arguments = ["--collect-only", "-q", "--device", "cpu", "-p", "no:randomly"]
        assert pytester.inline_run(*arguments, plugins=[collected]).ret == 0
        seen = []
        for case in collected.cases:
            script = source.script(case.path, case.class_name, [case.call], case.device)
            assert "pytest" not in script or "monkeypatch" in script
            exec(compile(script, "script", "exec"), {"SEEN": seen})
        return seen

    with torch.random.fork_rng():
        yield see
    torch.set_warn_always(False)


def parametrize(names, values, ids=", ids=str"):
    return f"@pytest.mark.parametrize({names!r}, {values}{ids})"


@pytest.mark.parametrize(
    ("values", "top"),
    [
        ("[10, 20]", ""),
        ("(10, 20)", ""),
        ("[10, pytest.param(20, id='b')]", ""),
        ("[10, pytest.param(20, marks=since('2.0'))]", ""),
        ("range(10, 30, 10)", ""),
        ("VALUES", "VALUES = [10, 20]"),
        ("VALUES", "VALUES = tuple(10 * i for i in (1, 2))"),
        ("VALUES", "VALUES: list[int] = [10, pytest.param(20, marks=[before('99.0')])]"),
        ("VALUES", "VALUES = [pytest.param(i, marks=since('2.0')) for i in (10, 20)]"),
        ("VALUES.values()", "VALUES = {'a': 10, 'b': 20}"),
        ("list(VALUES)", "VALUES = {10: 'a', 20: 'b'}"),
        ("[*FIRST, 20]", "FIRST = [10]"),
        ("FIRST + [20]", "FIRST = [10]"),
        ("[number(1), number(2)]", "def number(x):\n    return TEN * x\n\nTEN = 10"),
    ],
)
def test_the_values_of_a_parametrization_may_be_spelled_in_any_way(scripts_see, values, top):
    assert scripts_see("x", mark=parametrize("x", values), top=top) == [10, 20]


@pytest.mark.parametrize("names", ["x, y", "x,y", ["x", "y"], ("x", "y")], ids=str)
@pytest.mark.parametrize(
    "values",
    ["[(1, 2), (3, 4)]", "[[1, 2], pytest.param(3, 4, id='b')]", "list(zip((1, 3), (2, 4)))", "[*PAIRS]"],
    ids=str,
)
def test_several_arguments_may_be_given_together(scripts_see, names, values):
    mark = parametrize(names, values, ids=", ids=['a', 'b']")
    assert scripts_see("x, y", mark=mark, top="PAIRS = [(1, 2), (3, 4)]", tell="(x, y)") == [(1, 2), (3, 4)]


def test_parametrizations_may_be_stacked_also_on_the_class(scripts_see):
    seen = scripts_see(
        "x, y, z",
        owner=parametrize("x", "[1, 2]"),
        mark=parametrize("y", "[3, 4]") + "\n    " + parametrize("z", "[5]"),
        tell="(x, y, z)",
    )
    assert sorted(seen) == [(1, 3, 5), (1, 4, 5), (2, 3, 5), (2, 4, 5)]


def test_equal_values_are_told_apart_by_what_they_are(scripts_see):
    assert str(scripts_see("x", mark=parametrize("x", "[1, 1.0, True]"))) == "[1, 1.0, True]"


@pytest.mark.parametrize(
    ("top", "seen"),
    [
        ("@pytest.fixture\ndef given():\n    return 1", [1]),
        ("@pytest.fixture\ndef given():\n    yield 1\n    torch.ones(1)", [1]),
        ("@pytest.fixture(params=[1, 2], ids=str)\ndef given(request):\n    return request.param", [1, 2]),
        ("@pytest.fixture\ndef given(device):\n    return device.type", ["cpu"]),
        (
            "@pytest.fixture\ndef given(monkeypatch):\n    monkeypatch.setenv('X_DEMO', '1')\n"
            "    return __import__('os').environ['X_DEMO']",
            ["1"],
        ),
    ],
    ids=["return", "yield", "params", "device", "monkeypatch"],
)
def test_a_fixture_of_the_module_becomes_a_function(scripts_see, monkeypatch, top, seen):
    monkeypatch.setenv("X_DEMO", "0")  # put back afterwards: a script has no need to
    assert scripts_see("given", top=top) == seen


@pytest.mark.parametrize(
    ("arguments", "tell", "seen"),
    [
        ("device", "device", [torch.device("cpu")]),
        ("tmp_path", "tmp_path.is_dir()", [True]),
        ("seeded", "torch.initial_seed()", [0]),
        ("monkeypatch", "monkeypatch.setattr(torch, 'pi', 3) or torch.pi", [3]),
        ("", "(torch.ones(1).item(), math.pi > 3, F.relu.__name__)", [(1.0, True, "relu")]),
        ("", "number", [7]),
        ("", "Holder().number", [8]),
        ("", "observe(a=1)", [None]),
    ],
    ids=["device", "tmp_path", "seeded", "monkeypatch", "imports", "assignment", "class", "observe"],
)
def test_what_a_pin_takes_and_uses_is_there(scripts_see, arguments, tell, seen):
    top = "import math\nimport torch.nn.functional as F\n\nnumber = 7\n\nclass Holder:\n    number = 8"
    assert scripts_see(arguments, top=top, tell=tell) == seen


SCRIPT = (
    HEAD
    + '''
UNUSED = torch.no_such_thing

@pitfall("demo", docs=["torch.ones"], symptom="something")
class TestDemo:
    """A statement that can be quoted."""

    def test_trap_x(self):
        BODY
'''
)


@pytest.fixture
def script(tmp_path):
    """Run the script of a body."""

    def run(body):
        path = tmp_path / "test_demo.py"
        path.write_text(SCRIPT.replace("BODY", body.replace("\n", "\n        ")))
        text = source.script(path, "TestDemo", [source.Call("test_trap_x")], None)
        exec(compile(text, "script", "exec"), {})

    yield run
    torch.set_warn_always(False)


WARNED = "warnings.warn('old', UserWarning)"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("assert 1 == 2", "^$"),
        ("with pytest.raises(RuntimeError, match='leaf'):\n    pass", "did not raise"),
        ("with pytest.raises(RuntimeError, match='leaf'):\n    raise RuntimeError('other')", "another message: other"),
        ("with pytest.warns(UserWarning, match='old'):\n    pass", "only"),
        ("import warnings\nwith pytest.warns(DeprecationWarning, match='old'):\n    " + WARNED, "only"),
        ("import warnings\nwith pytest.warns(UserWarning, match='new'):\n    " + WARNED, "only"),
        (
            "with pytest.raises(RuntimeError, match='leaf') as e:\n    raise RuntimeError('leaf')\nassert not e.value",
            "^$",
        ),
    ],
    ids=["assert", "no error", "message", "no warning", "category", "text", "value"],
)
def test_a_script_fails_where_the_pin_would(script, body, says):
    with pytest.raises(AssertionError, match=says):
        script(body)


def test_an_error_of_another_type_comes_through(script):
    with pytest.raises(KeyError, match="x"):
        script("with pytest.raises(RuntimeError, match='x'):\n    raise KeyError('x')")


def test_only_what_the_pin_uses_comes_along(script, capsys):
    script("with pytest.raises(RuntimeError, match='a.c'):\n    raise RuntimeError('abc')")
    assert capsys.readouterr().out == "still holds\n"


def test_a_test_that_is_not_there_is_a_lookup_error(tmp_path):
    path = tmp_path / "test_demo.py"
    path.write_text(SCRIPT)
    with pytest.raises(LookupError, match=r"test_demo.py has no TestDemo.test_trap_y"):
        source.script(path, "TestDemo", [source.Call("test_trap_y")], None)


def test_the_digest_changes_with_any_module_of_the_catalogue(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "PACKAGE", tmp_path)
    module = tmp_path / "area" / "test_x.py"
    module.parent.mkdir()
    module.write_text("A")
    first = source.digest()
    assert source.digest() == first
    module.write_text("B")
    second = source.digest()
    module.rename(module.with_name("test_y.py"))
    assert len({first, second, source.digest()}) == 3


def test_a_script_has_the_fixtures_of_the_area(tmp_path):
    shared = """
import pytest
import torch


@pytest.fixture
def three():
    yield torch.ones(3)


@pytest.fixture
def total(three):
    return three.sum()
"""
    (tmp_path / "conftest.py").write_text(shared)
    module = tmp_path / "test_demo.py"
    module.write_text("class TestDemo:\n    def test_trap_x(self, total):\n        assert total.item() == 3\n")
    script = source.script(module, "TestDemo", [source.Call("test_trap_x")], None)
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("still holds\n", "")


def test_the_digest_is_of_the_fixtures_of_areas_as_well(tmp_path, monkeypatch):
    area = tmp_path / "area"
    area.mkdir()
    (area / "test_demo.py").write_text("")
    monkeypatch.setattr(source, "PACKAGE", tmp_path)
    before = source.digest()
    (area / "conftest.py").write_text("")
    assert source.digest() != before
