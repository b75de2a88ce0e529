"""The catalogue read as source: its slugs, its digest, and any of its tests as a script that runs without pytest.

Nothing here imports a catalogue module or torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
DECORATED = re.compile(r"^@pitfall\(\s*[\"']([^\"']+)[\"']", re.MULTILINE)

#: What stands in, in a stand-alone script, for the few names of pytest that a pin uses.
STAND_INS = {
    "raises": """
@contextlib.contextmanager
def raises(kind, match=""):
    caught = types.SimpleNamespace(value=None)
    try:
        yield caught
    except kind as error:
        caught.value = error
        assert re.search(match, str(error)), f"another message: {error}"
    else:
        raise AssertionError(f"did not raise {kind}")
""",
    "warns": """
@contextlib.contextmanager
def warns(kind=Warning, match=""):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
    assert any(issubclass(w.category, kind) and re.search(match, str(w.message)) for w in caught), f"only {caught}"
""",
    "param": """
def param(*values, id=None, marks=()):
    return values if len(values) > 1 else values[0]
""",
}

#: Likewise for the names of this package; the marks stand in lists of parameters, and say nothing in a script.
OWN_STAND_INS = {
    "observe": "def observe(**facts):\n    print(facts)",
    **{mark: f"def {mark}(*_):\n    pass" for mark in ("since", "before", "on")},
}


def modules() -> list[Path]:
    """The catalogue's modules, sorted."""
    return sorted(path for path in PACKAGE.glob("*/**/test_*.py") if "harness" not in path.parts)


@functools.cache
def slugs() -> list[str]:
    """Every slug in the catalogue, in the order of its modules."""
    return [slug for path in modules() for slug in DECORATED.findall(path.read_text(encoding="utf-8"))]


def digest() -> str:
    """A hash of the catalogue's sources, which says whether two runs ran the same pins."""
    whole = hashlib.sha256()
    for path in modules():
        whole.update(path.relative_to(PACKAGE).as_posix().encode())
        whole.update(path.read_text(encoding="utf-8").encode())
    return whole.hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _names(*nodes: ast.AST) -> set[str]:
    return {node.id for root in nodes for node in ast.walk(root) if isinstance(node, ast.Name)}


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return _names(*targets)
    return set()


def _parametrizations(*owners: ast.ClassDef | ast.FunctionDef) -> list[ast.Call]:
    return [
        decorator
        for owner in owners
        for decorator in owner.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("parametrize")
    ]


def _element(values: ast.expr, index: int) -> ast.expr:
    """The expression of one parameter set among the values of a parametrization."""
    if not isinstance(values, (ast.List, ast.Tuple)) or any(isinstance(one, ast.Starred) for one in values.elts):
        return ast.Subscript(ast.Call(ast.Name("list"), [values], []), ast.Constant(index))
    element = values.elts[index]
    if isinstance(element, ast.Call) and ast.unparse(element.func).endswith("pytest.param"):
        return element.args[0] if len(element.args) == 1 else ast.Tuple(element.args)
    return element


def _arguments(calls: list[ast.Call], indices: dict[str, int], definitions: dict[str, ast.stmt]) -> dict[str, ast.expr]:
    """The expression that each parametrized argument of a case has."""
    found: dict[str, ast.expr] = {}
    for call in calls:
        spelled = ast.literal_eval(call.args[0])
        names = [name.strip() for name in spelled.split(",")] if isinstance(spelled, str) else list(spelled)
        values = call.args[1]
        if isinstance(values, ast.Name) and isinstance(named := definitions.get(values.id), ast.Assign):
            values = named.value if isinstance(named.value, (ast.List, ast.Tuple)) else values
        element = _element(values, indices.get(names[0], 0))
        if len(names) == 1:
            found[names[0]] = element
        elif isinstance(element, (ast.Tuple, ast.List)) and len(element.elts) == len(names):
            found.update(zip(names, element.elts, strict=True))
        else:
            found.update({name: ast.Subscript(element, ast.Constant(at)) for at, name in enumerate(names)})
    return found


def _without_decorators(source: str, node: ast.FunctionDef | ast.ClassDef) -> str:
    """The text of a definition as it was written, comments and all, but for its decorators and its indentation."""
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    return "\n".join(line[node.col_offset :] if line[: node.col_offset].isspace() else line for line in lines)


def script(
    path: Path,
    class_name: str,
    test_name: str,
    device: str | None,
    indices: dict[str, int],
    literals: dict[str, str],
) -> str:
    """One case of the catalogue as a stand-alone script: it needs torch and what the pin imports, but no pytest.

    Args:
        path: the catalogue module.
        class_name: the pitfall's class.
        test_name: the function in it.
        device: the device of the case, or None for a test that has none.
        indices: for each parametrized argument, which of its values the case has.
        literals: for each parametrized fixture, the value that the case has, as Python spells it.

    Raises:
        LookupError: if the module has no such test.
    """
    source = path.read_text(encoding="utf-8")
    tree = _parsed(source)
    owner = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name), None)
    tests = [n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == test_name] if owner else []
    test = tests[0] if tests else None
    if owner is None or test is None:
        raise LookupError(f"{path.name} has no {class_name}.{test_name}")

    fixtures = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(d) for d in node.decorator_list)
    }
    body = [node for node in owner.body if isinstance(node, ast.Assign)]
    definitions = {name: node for node in [*body, *tree.body] for name in _defined(node) if node is not owner}
    arguments = _arguments(_parametrizations(owner, test), indices, definitions)
    asked = [name for name in _asked(test) if name != "self"]
    used_fixtures = [name for name in asked if name in fixtures]
    needed: set[str] = set()
    fresh = _names(*test.body, *arguments.values()) | set(used_fixtures)
    while fresh:
        needed |= fresh
        found: list[ast.AST] = [definitions[name] for name in fresh if name in definitions]
        fresh = _names(*found) - needed

    imports, parts = ["import torch"], []
    for node in [*tree.body, *body]:
        if node is owner or not _defined(node) & needed:
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            line = ast.unparse(node)
            if line not in ("import pytest", "import torch") and "__future__" not in line and "pitfalls" not in line:
                imports.append(line)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            prefix = "@contextlib.contextmanager\n" if node.name in fixtures and _yields(node) else ""
            parts.append(prefix + _without_decorators(source, node))
        else:
            parts.append(ast.get_source_segment(source, node) or ast.unparse(node))
    parts[:0] = [code for name, code in OWN_STAND_INS.items() if name in needed]
    text = re.sub(r"\(self(, )?", "(", _without_decorators(source, test), count=1)
    call, entered = [], []
    for name in asked:
        if name == "device":
            call.append(f"device=torch.device({device or 'cpu'!r})")
        elif name in arguments:
            call.append(f"{name}={ast.unparse(ast.fix_missing_locations(arguments[name]))}")
        elif name in fixtures:
            inner = ", ".join(_fixture_arguments(fixtures[name], device, literals.get(name)))
            if _yields(fixtures[name]):
                entered.append(f"{name}({inner}) as {name}")
                call.append(f"{name}={name}")
            else:
                call.append(f"{name}={name}({inner})")
        elif name == "seeded":
            call.append("seeded=torch.manual_seed(0)")
        elif name == "tmp_path":
            imports += ["import pathlib", "import tempfile"]
            call.append("tmp_path=pathlib.Path(tempfile.mkdtemp())")
        elif name == "monkeypatch":
            # The one fixture that is more than a value: its own class is a few hundred lines, so pytest's is used.
            imports.append("from pytest import MonkeyPatch")
            entered.append("MonkeyPatch.context() as monkeypatch")
            call.append("monkeypatch=monkeypatch")
    lines = [f"{test_name}({', '.join(call)})"]
    for context in reversed(entered):
        lines = [f"with {context}:"] + ["    " + line for line in lines]
    text = "\n\n\n".join([*parts, text, "torch.set_warn_always(True)\n" + "\n".join(lines) + '\nprint("still holds")'])
    text = re.sub(rf"\bpytest\.({'|'.join(STAND_INS)})\(", r"\1(", text)
    used = [code.strip() for name, code in STAND_INS.items() if f"{name}(" in text]
    text = "\n\n\n".join([*used, text])
    for module in ("contextlib", "re", "types", "warnings", "pytest"):
        if f"{module}." in text.replace("from pytest", ""):
            imports.append(f"import {module}")
    return "\n".join(sorted(set(imports))) + "\n\n\n" + text + "\n"


def _asked(node: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in node.args.args]


def _yields(node: ast.AST) -> bool:
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in ast.walk(node))


def _fixture_arguments(node: ast.FunctionDef, device: str | None, param: str | None) -> list[str]:
    found = []
    for name in _asked(node):
        if name == "device":
            found.append(f"torch.device({device or 'cpu'!r})")
        elif name == "request":
            found.append(f"types.SimpleNamespace(param={param})")
        elif name == "monkeypatch":
            found.append("pytest.MonkeyPatch()")
    return found
