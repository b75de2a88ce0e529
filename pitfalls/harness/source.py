"""The catalogue read as source: its slugs, its digest, and any of its tests as a script that runs without pytest.

Nothing here imports a catalogue module or torch.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pitfalls.harness import versions

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

#: The modules of the standard library that the stand-ins use.
IMPORTED = ("contextlib", "os", "pathlib", "re", "subprocess", "sys", "tempfile", "types", "warnings")

#: Likewise for the names of this package; the marks stand in lists of parameters, and say nothing in a script.
OWN_STAND_INS = {
    "observe": "def observe(**facts):\n    print(facts)",
    "child": """
def child(code, **environ):
    program = pathlib.Path(tempfile.mkdtemp(), "program.py")
    program.write_text(code)
    environ = {**os.environ, **environ}
    return lambda: subprocess.run([sys.executable, program], env=environ, capture_output=True, text=True)
""".strip(),
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
    for path in sorted([*modules(), *PACKAGE.glob("*/conftest.py")]):
        whole.update(path.relative_to(PACKAGE).as_posix().encode())
        whole.update(path.read_text(encoding="utf-8").encode())
    return whole.hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _parsed(source: str) -> ast.Module:
    """The statements of a module, but for the fixtures of the whole catalogue, which scripts have in short forms."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if getattr(node, "name", None) not in ("device", "seeded")]
    return tree


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


def _argument_names(parametrization: ast.Call) -> list[str]:
    spelled = ast.literal_eval(parametrization.args[0])
    return [name.strip() for name in spelled.split(",")] if isinstance(spelled, str) else list(spelled)


def _values(parametrization: ast.Call, definitions: dict[str, ast.stmt]) -> ast.expr:
    """The values of a parametrization: as they are spelled, also where a name stands for the list."""
    values = parametrization.args[1]
    if isinstance(values, ast.Name) and isinstance(named := definitions.get(values.id), ast.Assign):
        return named.value if isinstance(named.value, (ast.List, ast.Tuple)) else values
    return values


def _arguments(
    calls: list[ast.Call], indices: Mapping[str, int], definitions: dict[str, ast.stmt]
) -> dict[str, ast.expr]:
    """The expression that each parametrized argument of a case has."""
    found: dict[str, ast.expr] = {}
    for call in calls:
        names = _argument_names(call)
        element = _element(_values(call, definitions), indices.get(names[0], 0))
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


@dataclass(frozen=True)
class Call:
    """One case of a test in a script.

    Args:
        test: the function.
        indices: for each parametrized argument, which of its values the case has.
        literals: for each parametrized fixture, the value that the case has, as Python spells it.
    """

    test: str
    indices: Mapping[str, int] = field(default_factory=dict)
    literals: Mapping[str, str] = field(default_factory=dict)


def _owner(path: Path, class_name: str) -> tuple[str, ast.Module, ast.ClassDef]:
    shared = path.with_name("conftest.py")  # the fixtures of the area, as if they stood at the top of the module
    source = "\n".join(file.read_text(encoding="utf-8") for file in (shared, path) if file.exists())
    tree = _parsed(source)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            return source, tree, node
    raise LookupError(f"{path.name} has no {class_name}")


def _test(path: Path, owner: ast.ClassDef, name: str) -> ast.FunctionDef:
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise LookupError(f"{path.name} has no {owner.name}.{name}")


def _fixtures(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any("fixture" in ast.unparse(d) for d in node.decorator_list)
    }


def script(path: Path, class_name: str, calls: Sequence[Call], device: str | None) -> str:
    """Cases of one pitfall as a stand-alone script: it needs torch and what the pins import, but no pytest.

    Args:
        path: the catalogue module.
        class_name: the pitfall's class.
        calls: the cases, in the order in which the script runs them.
        device: the device of the cases, or None for tests that have none.

    Raises:
        LookupError: if the module has no such test.
    """
    source, tree, owner = _owner(path, class_name)
    tests = {call.test: _test(path, owner, call.test) for call in calls}
    fixtures = _fixtures(tree)
    body = [node for node in owner.body if isinstance(node, ast.Assign)]
    definitions = {name: node for node in [*body, *tree.body] for name in _defined(node) if node is not owner}
    arguments = [_arguments(_parametrizations(owner, tests[call.test]), call.indices, definitions) for call in calls]
    asked = {name for test in tests.values() for name in _asked(test)}
    needed: set[str] = set()
    fresh = _names(*(node for test in tests.values() for node in test.body))
    fresh |= _names(*(value for found in arguments for value in found.values())) | (asked & fixtures.keys())
    while fresh:
        needed |= fresh
        reached: list[ast.AST] = [definitions[name] for name in fresh if name in definitions]
        wanted = {name for at in fresh & fixtures.keys() for name in _asked(fixtures[at])}
        fresh = (_names(*reached) | wanted & fixtures.keys()) - needed

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
    parts += [re.sub(r"\(self(, )?", "(", _without_decorators(source, test), count=1) for test in tests.values()]
    lines = ["torch.set_warn_always(True)"]
    for call, found in zip(calls, arguments, strict=True):
        lines += _called(tests[call.test], call, found, fixtures, device, imports)
    lines.append('print("still holds")')
    if any("forkserver" in part for part in parts):  # such a process imports the script: it must not start others
        lines = ['if __name__ == "__main__":', *("    " + line for line in lines)]
    text = "\n\n\n".join([*parts, "\n".join(lines)])
    text = re.sub(rf"\bpytest\.({'|'.join(STAND_INS)})\(", r"\1(", text)
    used = [code.strip() for name, code in STAND_INS.items() if f"{name}(" in text]
    text = "\n\n\n".join([*used, text])
    for module in (*IMPORTED, "pytest"):
        if f"{module}." in text.replace("from pytest", ""):
            imports.append(f"import {module}")
    return "\n".join(sorted(set(imports))) + "\n\n\n" + text + "\n"


def _called(
    test: ast.FunctionDef,
    call: Call,
    arguments: dict[str, ast.expr],
    fixtures: dict[str, ast.FunctionDef],
    device: str | None,
    imports: list[str],
) -> list[str]:
    """The lines that call a test with its arguments; what they need imported is added to `imports`."""
    entered: list[str] = []

    def value(name: str, param: str | None = None) -> str | None:
        """The expression that an argument has; a context that it is made in is entered first."""
        if name == "device":
            return f"torch.device({device or 'cpu'!r})"
        if name in arguments:
            return ast.unparse(ast.fix_missing_locations(arguments[name]))
        if name in fixtures:
            param = call.literals.get(name)
            inner = ", ".join(found for asked in _asked(fixtures[name]) if (found := value(asked, param)) is not None)
            if not _yields(fixtures[name]):
                return f"{name}({inner})"
            if (context := f"{name}({inner}) as given_{name}") not in entered:
                entered.append(context)
            return f"given_{name}"
        if name == "request":
            return f"types.SimpleNamespace(param={param})"
        if name == "seeded":
            return "torch.manual_seed(0)"
        if name == "tmp_path":
            imports.extend(["import pathlib", "import tempfile"])
            return "pathlib.Path(tempfile.mkdtemp())"
        if name == "monkeypatch":
            # The one fixture that is more than a value: its own class is a few hundred lines, so pytest's is used.
            imports.append("from pytest import MonkeyPatch")
            if (context := "MonkeyPatch.context() as monkeypatch") not in entered:
                entered.append(context)
            return "monkeypatch"
        return None

    given = [f"{name}={found}" for name in _asked(test) if (found := value(name)) is not None]
    lines = [f"{test.name}({', '.join(given)})"]
    for context in reversed(entered):
        lines = [f"with {context}:"] + ["    " + line for line in lines]
    return lines


def first_applicable(
    path: Path, class_name: str, test_name: str, torch_version: str, device: str | None
) -> Call | None:
    """A test with the first of its parameters that are about a torch and a device; None if it isn't about them.

    Args:
        path: the catalogue module.
        class_name: the pitfall's class.
        test_name: the function in it.
        torch_version: of the torch that the case is to run on.
        device: type of the device it is to run on, or None for a pitfall that has none.

    Raises:
        LookupError: if the module has no such test.
    """
    _, tree, owner = _owner(path, class_name)
    test = _test(path, owner, test_name)
    if not all(_suits(mark, torch_version, device) for mark in (*owner.decorator_list, *test.decorator_list)):
        return None
    definitions = {name: node for node in [*owner.body, *tree.body] for name in _defined(node)}
    indices: dict[str, int] = {}
    for parametrization in _parametrizations(owner, test):
        values = _values(parametrization, definitions)
        elements = values.elts if isinstance(values, (ast.List, ast.Tuple)) else [values]
        suiting = [at for at, one in enumerate(elements) if all(_suits(m, torch_version, device) for m in _marks(one))]
        if not suiting:
            return None
        indices |= dict.fromkeys(_argument_names(parametrization), suiting[0])
    literals = {}
    for name, fixture in _fixtures(tree).items():
        for decorator in fixture.decorator_list:
            if isinstance(decorator, ast.Call):
                params = [word.value for word in decorator.keywords if word.arg == "params"]
                if params and isinstance(params[0], (ast.List, ast.Tuple)):
                    literals[name] = ast.unparse(_element(params[0], 0))
    return Call(test_name, indices, literals)


def _marks(value: ast.expr) -> list[ast.expr]:
    """The marks of one parameter set."""
    if not isinstance(value, ast.Call):
        return []
    found = next((word.value for word in value.keywords if word.arg == "marks"), None)
    if found is None:
        return []
    return list(found.elts) if isinstance(found, (ast.List, ast.Tuple)) else [found]


def _suits(mark: ast.expr, torch_version: str, device: str | None) -> bool:
    """Whether a mark lets a case run on a torch and a device."""
    if not isinstance(mark, ast.Call) or not isinstance(mark.func, ast.Name):
        return True
    if mark.func.id in ("since", "before"):
        bounds = {"since": [], "before": [], mark.func.id: [ast.literal_eval(mark.args[0])]}
        return versions.inapplicable(torch_version, **bounds) is None
    return mark.func.id != "on" or device in [ast.literal_eval(kind) for kind in mark.args]


def _asked(node: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in node.args.args]


def _yields(node: ast.AST) -> bool:
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in ast.walk(node))
