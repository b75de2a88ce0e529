"""The catalogue obeys its own rules, and every pin's stand-alone script holds."""

import ast
import importlib
import subprocess
import sys
from collections import Counter

import pytest
import torch

from pitfalls.harness import checks, source, versions

ROOT = source.PACKAGE.parent
MODULES = source.modules()
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.stem}")


def calls(path, *names):
    """The calls of some functions in a module, by their dotted names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in names]


def pitfalls_of(path):
    """The classes of a module that are pitfalls."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return [value for value in vars(importlib.import_module(name)).values() if hasattr(value, "__pitfall__")]


def test_every_script_holds_without_pytest():
    command = [sys.executable, "-m", "pytest", "-p", "tests.scripts", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-q", "--device", "cpu", "pitfalls"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert " scripts, 0 failed" in done.stdout, done.stdout[-5000:] + done.stderr[-2000:]


def test_every_slug_is_unique():
    assert [slug for slug, count in Counter(source.slugs()).items() if count > 1] == []


def test_the_slugs_read_off_the_source_are_those_of_the_classes():
    assert source.slugs() == [cls.__pitfall__.slug for path in MODULES for cls in pitfalls_of(path)]


def test_every_folder_of_the_catalogue_is_a_package():
    assert [path for path in MODULES if not (path.parent / "__init__.py").exists()] == []


@pytest.mark.skipif(
    not versions.reached(torch.__version__, "2.13") or versions.release(torch.__version__)[:2] > (2, 15),
    reason="the documentation of this torch may be worded otherwise",
)
@each_module
def test_torch_documents_what_the_pitfalls_cite(path):
    missing = [
        f"{cls.__pitfall__.slug}: {phrase}"
        for cls in pitfalls_of(path)
        if versions.inapplicable(torch.__version__, *bounds(cls)) is None
        for phrase in checks.missing_phrases(cls.__pitfall__)
    ]
    assert missing == []


def bounds(cls):
    marks = getattr(cls, "pytestmark", [])
    return [[mark.args[0] for mark in marks if mark.name == name] for name in ("since", "before")]


@each_module
def test_a_module_says_its_theme_and_is_no_longer_than_can_be_read(path):
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 330
    assert len(pitfalls_of(path)) <= 15


@each_module
def test_a_module_needs_nothing_of_the_harness(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.partition(".")[0] in ("pitfalls", "tests")} <= {"pitfalls"}


@each_module
def test_a_pin_is_a_function_that_needs_no_self(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pins = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    used = [pin.name for pin in pins for node in pin.body if "self" in loaded(node)]
    assert used == []


def loaded(statement):
    """The names that a statement uses, but for what the methods of classes inside it do."""
    if isinstance(statement, ast.ClassDef):
        return set()
    found = {statement.id} if isinstance(statement, ast.Name) else set()
    return found.union(*map(loaded, ast.iter_child_nodes(statement)))


@each_module
def test_an_expected_error_or_warning_is_named_exactly(path):
    expected = calls(path, "pytest.raises", "pytest.warns")
    bare = [ast.unparse(call) for call in expected if "match" not in {word.arg for word in call.keywords}]
    broad = [ast.unparse(call) for call in expected if {"Exception", "BaseException", "Warning"} & loaded(call)]
    assert (bare, broad) == ([], [])
