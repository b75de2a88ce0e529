"""The verbs that read the catalogue: list, explain, cite, show and run, and the plugin's --explain-errors."""

import ast
import json
import subprocess
import sys

import pytest

from pitfalls.harness import catalogue, program, search, source
from tests.test_cli import command

#: Messages as people paste them, with their shapes, devices and line noise, and the pitfall that each is.
PASTED = {
    "a leaf": (
        'Traceback (most recent call last):\n  File "train.py", line 12, in <module>\n    w -= lr * w.grad\n'
        "RuntimeError: a leaf Variable that requires grad is being used in an in-place operation.",
        "leaf-refuses-inplace",
    ),
    "backward twice": (
        "RuntimeError: Trying to backward through the graph a second time (or directly access saved tensors after they "
        "have already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
        "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time",
        "second-backward-finds-the-graph-freed",
    ),
    "no scalar": (
        '  File "/usr/lib/python3/site-packages/torch/autograd/__init__.py", line 267, in backward\n'
        "RuntimeError: grad can be implicitly created only for scalar outputs\n$ ",
        "implicit-grad-needs-a-scalar",
    ),
    "sizes": (
        "RuntimeError: The size of tensor a (128) must match the size of tensor b (64) at non-singleton dimension 1",
        "broadcasting-aligns-from-the-right",
    ),
    "matrices": (
        "[rank0]: RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x128 and 256x10)",
        "matrix-shapes-cannot-be-multiplied",
    ),
    "numpy of a GPU": (
        "TypeError: can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
        "memory first.",
        "numpy-refuses-cuda",
    ),
    "a description": ("why is my gradient doubled?", "grad-accumulates"),
}


def test_the_index_is_the_catalogue_as_pytest_finds_it():
    entries = catalogue.entries()
    assert [entry.slug for entry in entries] == source.slugs()
    assert all(entry.tests and entry.statement.endswith(".") and entry.docs for entry in entries)
    for path in source.modules():
        classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
        lines = {node.name: node.lineno for node in classes}
        tests = {
            node.name: [inner.name for inner in node.body if isinstance(inner, ast.FunctionDef)] for node in classes
        }
        for entry in entries:
            if entry.module == path:
                assert (entry.line, entry.tests) == (lines[entry.class_name], tests[entry.class_name])


@pytest.mark.parametrize("pasted", PASTED, ids=str)
def test_a_pasted_message_finds_its_pitfall_first(pasted):
    text, slug = PASTED[pasted]
    assert search.search(text, catalogue.entries())[0].entry.slug == slug


@pytest.mark.parametrize(
    "text",
    ["ValueError: invalid literal for int() with base 10: 'x'", "KeyError: 'name'", "", "§§§"],
)
def test_what_is_not_of_torch_finds_nothing_sure(text):
    assert program.known(text, catalogue.entries()) == []


def test_list_filters(tmp_path):
    done = command("list", "--area", "autograd", "--device", "cuda", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert {entry["area"] for entry in found} == {"autograd"}
    assert "grad-accumulates" in [entry["slug"] for entry in found]
    done = command("list", "--changed-in", "2.6", cwd=tmp_path)
    assert "load-defaults-to-weights-only" in done.stdout
    assert "grad-accumulates" not in done.stdout


def test_explain_says_everything_without_torch(tmp_path):
    done = command("explain", "grad-accumulates", cwd=tmp_path)
    for part in ("`backward()` adds to `.grad`", "symptom:", "documented:", "def test_trap_each_backward_adds"):
        assert part in done.stdout
    for verb in (["explain", "grad-accumulates"], ["list"], ["explain", "some error"], ["cite", "grad-accumulates"]):
        code = f"import sys; from pitfalls.harness.cli import main; main({verb!r})"
        code += "; assert not {'torch', 'numpy', 'pytest', 'jinja2'} & set(sys.modules), 'imported too much'"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_explain_reads_a_traceback_from_standard_input(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pitfalls", "explain", "-", "--json"],
        cwd=tmp_path,
        input=PASTED["a leaf"][0],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)[0]["slug"] == "leaf-refuses-inplace"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["explain", "grad-acumulates"], 2, "did you mean grad-accumulates"),
        (["cite", "zzzzzz"], 2, "torch-pitfalls list names all there are"),
        (["show", "grad-acumulates"], 2, "did you mean grad-accumulates"),
        (["list", "--area", "nowhere"], 2, "there is no area nowhere; there are "),
        (["explain", ""], 2, "nothing to explain"),
        (["explain", "SomeError: of", "another", "library"], 1, "no pitfall is known by these words"),
        (["run", "nowhere.py"], 2, "there is no program nowhere.py"),
    ],
    ids=["explain", "cite", "show", "list", "nothing", "unknown message", "run"],
)
def test_bad_input_is_told_in_a_line(tmp_path, arguments, code, says):
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_cite_gives_every_form(tmp_path):
    forms = json.loads(command("cite", "grad-accumulates", "--json", cwd=tmp_path).stdout)
    assert set(forms) == {"Markdown", "reStructuredText", "code comment", "BibTeX"}
    assert all("/pitfalls/grad-accumulates.html" in text for text in forms.values())


def test_show_prints_a_script_that_holds(tmp_path):
    done = command("show", "grad-accumulates", cwd=tmp_path)
    assert "def test_trap_each_backward_adds(device):" in done.stdout
    assert "def test_fix_clearing_starts_over(device, clear):" in done.stdout
    ran = subprocess.run([sys.executable, "-c", done.stdout], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout == "still holds\n", ran.stderr


def test_every_pitfall_can_be_shown_for_every_release():
    for entry in catalogue.entries():
        device = next(iter(entry.devices), None)
        for release in ("2.0.1", "2.15.0"):
            for test in entry.tests:
                call = source.first_applicable(entry.module, entry.class_name, test, release, device)
                if call is not None:
                    ast.parse(source.script(entry.module, entry.class_name, [call], device))


PROGRAM = """
import sys

import torch

print(sys.argv, __name__)
w = torch.ones(1, requires_grad=True)
(w * 2).grad
if sys.argv[1:] == ["exit"]:
    sys.exit(7)
w -= 0.1
"""


def test_run_explains_what_a_program_dies_of(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "pitfalls", "run", "train.py", "--epochs", "3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == "['train.py', '--epochs', '3'] __main__\n"
    trace, _, told = done.stderr.partition("torch-pitfalls knows the error above:")
    assert 'File "train.py", line 11, in <module>' in trace
    assert "runpy" not in trace
    assert "pitfalls/harness" not in trace
    assert "\n1. leaf-refuses-inplace: " in told
    assert "torch-pitfalls knows a warning above:\n1. intermediate-grad-is-not-kept: " in told


def test_run_leaves_the_exit_code_to_the_program(tmp_path):
    (tmp_path / "train.py").write_text(PROGRAM)
    done = command("run", "train.py", "exit", cwd=tmp_path)
    assert done.returncode == 7
    assert "knows the error" not in done.stderr


def test_explain_errors_names_the_pitfall_below_a_failing_test(pytester):
    pytester.makepyfile(
        """
        import torch

        def test_mine():
            w = torch.ones(2, requires_grad=True)
            (w * 2).backward()

        def test_other():
            assert 1 == 2
        """
    )
    plain = pytester.runpytest_subprocess("-p", "no:randomly")
    plain.assert_outcomes(failed=2)
    assert "torch-pitfalls knows" not in plain.stdout.str()
    told = pytester.runpytest_subprocess("--explain-errors", "-p", "no:randomly")
    told.assert_outcomes(failed=2)
    assert told.stdout.str().count("torch-pitfalls knows this error") == 1
    told.stdout.fnmatch_lines(["1. implicit-grad-needs-a-scalar: *"])
