"""The plugin: devices, what a pitfall must be, the guard, the story of a failure, the summary."""

import re
import subprocess
import sys

import pytest
import torch
import torch._dynamo  # what torch imports late can't be imported twice: the runs inside this process share it

from pitfalls.harness import guard, source, versions

HEAD = """
import pytest
import torch

from pitfalls import before, observe, on, pitfall, since
"""

SOUND = '''
@pitfall("demo", docs=["torch.ones"], symptom="something")
class TestDemo:
    """A statement that can be quoted."""

    def test_trap_ones(self, device):
        assert torch.ones(2, device=device).tolist() == [1, 1]
'''


@pytest.fixture
def run(pytester):
    """Run a module of pitfalls in this process, with the project's conftest beside it."""
    pytester.makeconftest((source.PACKAGE.parent / "conftest.py").read_text(encoding="utf-8"))

    def run_module(text, *arguments):
        pytester.makepyfile(test_demo=HEAD + text)
        return pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)

    return run_module


def said(result):
    return result.stdout.str() + result.stderr.str()


# Devices ------------------------------------------------------------------------------------------------------------

NO_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@NO_CUDA
def test_the_cuda_half_is_skipped_with_a_plain_reason(run):
    result = run(SOUND, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["  cuda * 0 cases hold, 1 skipped (CUDA is not available)", "SKIPPED * CUDA is not available"]
    )


def test_cases_that_are_passed_by_take_their_fixtures_no_time(run):
    fixture = "@pytest.fixture\ndef counted(device):\n    print('set up on', device)\n\n\n"
    twice = SOUND.replace("    def", "    @pytest.mark.parametrize('n', [1, 2], ids=str)\n    def")
    result = run(fixture + twice.replace("device)", "device, n, counted)", 1), "-s", "--durations=0", "-vv")
    assert [said(result).count(f"set up on {kind}") for kind in ("cpu", "cuda")] == [2, 2 * torch.cuda.is_available()]


def test_the_log_is_not_captured_for_the_catalogue_alone(run):
    logs = SOUND.replace("        assert", "        __import__('logging').warning('heard')\n        assert")
    broken = logs.replace("[1, 1]", "[1, 2]")
    other = "\n\ndef test_of_the_users():\n    pass\n"
    assert "Captured log call" not in said(run(broken, "--device", "cpu"))
    assert "Captured log call" in said(run(broken + other, "--device", "cpu"))
    assert "Captured log call" in said(run(broken, "--device", "cpu", "-o", "log_cli=true"))


@pytest.mark.parametrize("name", ["logging", "faulthandler", "cacheprovider", "warnings", "terminalreporter"])
def test_a_run_does_without_a_plugin_of_pytests(run, name):
    blocked = ["-p", f"no:{name}", *(["-p", "no:logging"] if name == "terminalreporter" else [])]
    assert run(SOUND, "--device", "cpu", *blocked).ret == 0


def test_a_device_narrows_the_run(run):
    run(SOUND, "--device", "cpu").assert_outcomes(passed=1)


def test_an_unknown_device_is_a_usage_error_of_one_line(run):
    result = run(SOUND, "--device", "gpu")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[-1:] == [
        "ERROR: unknown device 'gpu': it is one of cpu, cuda, mps, xpu, or one with an index"
    ] or "unknown device 'gpu'" in said(result)


@NO_CUDA
def test_a_required_device_that_is_absent_fails_at_once(run):
    result = run(SOUND, "--require-device", "cuda")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "Exit: --require-device cuda: CUDA is not available" in said(result)
    assert "collected" not in said(result)


def test_a_required_device_must_be_among_the_devices(run):
    result = run(SOUND, "--device", "cpu", "--require-device", "cuda")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "contradicts --device" in said(result)


def test_a_case_marked_on_a_device_is_about_that_device_alone(run):
    text = SOUND.replace("    def test_trap", '    @on("cpu")\n    def test_trap')
    run(text).assert_outcomes(passed=1)
    result = run(text.replace('on("cpu")', 'on("cuda")'), "--device", "cpu", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*about cuda, which this run is not*"])


def test_nothing_initialises_cuda_at_collection(pytester):
    pytester.makeconftest((source.PACKAGE.parent / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(test_demo=HEAD + SOUND)
    code = "import pytest, torch; pytest.main(['--collect-only', '-q']); assert not torch.cuda.is_initialized()"
    assert pytester.run(sys.executable, "-c", code).ret == 0


# What a pitfall must be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"demo"', '"Demo_1"', "the slug 'Demo_1' is not kebab-case"),
        ('"""A statement that can be quoted."""', "pass", "must be a statement that ends with a full stop"),
        ("that can be quoted.", "without an end", "must be a statement that ends with a full stop"),
        ("test_trap_ones", "test_fix_ones", "there is no test_trap_*"),
        ("test_trap_ones", "test_ones", "test_ones is neither test_trap_* nor test_fix_*"),
        ('docs=["torch.ones"]', "docs=[]", "docs= must list where torch documents"),
        ('"torch.ones"', '"torch.onez"', "docs= names torch.onez, but this torch has no torch.onez"),
        ('"torch.ones"', '"numpy.ones"', "neither a name in torch nor a known page"),
        ('"torch.ones"', '"notes/autogradd"', "neither a name in torch nor a known page"),
        ('"torch.ones"', '("torch.ones", "a b c d e f g h i")', "must have 1 to 8 words"),
        ('"torch.ones"', '("notes/autograd", "a b")', "only docstrings can be searched"),
        ('symptom="something"', 'symptom=" "', "symptom= must say"),
        ('symptom="something"', 'symptom="s", error=""', "error= is empty"),
        ('symptom="something"', 'symptom="s", priority=4', "priority= is 1, 2 or 3, not 4"),
        ('symptom="something"', 'symptom="s", changed={"new": "x"}', "changed= has the key 'new', not a release"),
        (
            'symptom="something"',
            'symptom="s", contradicts={"torch.zeros": "x"}',
            "contradicts= has the key 'torch.zeros', which docs= does not name",
        ),
    ],
)
def test_a_breach_is_a_collection_error_that_names_the_class(run, old, new, says):
    result = run(SOUND.replace(old, new))
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["test_demo.py::TestDemo: *"])
    assert says in said(result)


def test_a_slug_is_taken_once(run):
    result = run(SOUND + SOUND.replace("TestDemo", "TestOther"))
    result.stdout.fnmatch_lines(["test_demo.py::TestOther: the slug 'demo' is taken by test_demo.py::TestDemo"])


def test_a_pages_anchor_may_be_named(run):
    run(SOUND.replace('"torch.ones"', '"notes/autograd#saved-tensors"'), "--device", "cpu").assert_outcomes(passed=1)


def test_ids_must_be_readable(run):
    mark = "    @pytest.mark.parametrize('dtype', [torch.int8, torch.int16]IDS)\n"
    text = SOUND.replace("    def test_trap_ones(self,", f"{mark}    def test_trap_ones(self, dtype,")
    assert "give dtype ids that a reader understands" in said(run(text.replace("IDS", "")))
    run(text.replace("IDS", ", ids=str"), "--device", "cpu").assert_outcomes(passed=2)


def test_a_python_classes_setting_that_hides_pitfalls_is_told(run, pytester):
    pytester.makeini("[pytest]\npython_classes = Check")
    assert "TestDemo is hidden by a python_classes setting" in said(run(SOUND))


# Releases -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "bound", "reached"),
    [
        ("2.6.0", "2.6", True),
        ("2.5.1", "2.6", False),
        ("2.16.0.dev20261101+cu132", "2.16", True),
        ("2.15.0a0+git1234567", "2.16", False),
        ("2.9.0a0+git1234567", "2.9", True),
        ("2.13.0+cpu", "2.13", True),
        ("2.13.0+cpu", "2.13.1", False),
        ("2.10.0", "2.9", True),
    ],
)
def test_releases_are_compared_as_people_expect(version, bound, reached):
    assert versions.reached(version, bound) is reached


def test_cases_about_other_releases_are_skipped_and_counted_apart(run):
    text = SOUND.replace(
        "    def test_trap", '    @since("99.0")\n    def test_fix_x(self, device): assert 0\n\n    def test_trap'
    )
    result = run(text, "--device", "cpu", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*1 case not about this torch: 1 about torch 99.0 and later"])


# The story of a failure ---------------------------------------------------------------------------------------------

TELLING = '''
OPS = {"first": lambda t: t.add(1), "second": lambda t: t.add(2)}


@pytest.fixture
def number():
    yield 3


@pitfall(
    "demo",
    docs=[("torch.Tensor.backward", "accumulates gradients in the leaves"), "notes/autograd"],
    symptom="something",
    changed={"2.1": "it became so"},
)
class TestDemo:
    """``ones`` are said to be otherwise."""

    VALUES = [pytest.param(1, 2, id="a"), (3, 4)]

    @pytest.mark.parametrize("op", OPS.values(), ids=OPS)
    @pytest.mark.parametrize(("x", "y"), VALUES, ids=["a", "b"])
    def test_trap_ones(self, device, number, tmp_path, seeded, op, x, y):
        # A comment that must survive.
        assert (tmp_path.exists(), number, torch.rand(1).shape) == (True, 3, (1,))
        with pytest.raises(RuntimeError, match="leaf"):
            torch.ones(1, device=device, requires_grad=True).add_(1)
        with pytest.warns(UserWarning, match="is being accessed"):
            torch.ones(1, requires_grad=True).mul(2).grad
        observe(x=x)
        assert op(torch.tensor(x, device=device)).item() == EXPECTED
'''


def script_of(result):
    lines = result.stdout.lines
    start = next(at for at, line in enumerate(lines) if "save these lines as a file" in line) + 1
    end = next(at for at, line in enumerate(lines) if at > start and line.startswith(("____", "====")))
    return "\n".join(line[4:] for line in lines[start:end])


def test_a_failure_tells_its_story_and_gives_a_script_that_shows_it(run, tmp_path):
    result = run(TELLING.replace("EXPECTED", "99"), "--device", "cpu", "-x")
    result.stdout.fnmatch_lines(
        [
            "demo no longer holds on cpu",
            "statement:   `ones` are said to be otherwise.",
            "documented:  torch.Tensor.backward  https://docs.pytorch.org/docs/*/generated/torch.Tensor.backward.html",
            "             the docstring says: 'accumulates gradients in the leaves'",
            "documented:  notes/autograd  https://docs.pytorch.org/docs/*/notes/autograd.html",
            "known change in 2.1: it became so",
            "this torch:  * did otherwise in test_trap_ones *",
            "1 pitfall no longer holds as documented:",
            "  demo: `ones` are said to be otherwise. (1 case on cpu)",
        ]
    )
    script = script_of(result)
    assert "# A comment that must survive." in script
    assert "pytest" not in script
    path = tmp_path / "repro.py"
    path.write_text(script)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("AssertionError")


def test_a_script_holds_where_the_pin_holds(run, tmp_path):
    text = TELLING.replace("== EXPECTED", "in (2, 3, 4, 5)")
    run(text, "--device", "cpu").assert_outcomes(passed=4)
    module = tmp_path / "test_demo.py"
    module.write_text(HEAD + text)
    script = source.script(module, "TestDemo", [source.Call("test_trap_ones", {"op": 1, "x": 1, "y": 1})], "cpu")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "still holds", done.stderr


# Nothing leaks ------------------------------------------------------------------------------------------------------

LEAKS = {
    "grad mode": "torch.set_grad_enabled(False)",
    "default dtype": "torch.set_default_dtype(torch.float64)",
    "default device": "torch.set_default_device('meta')",
    "deterministic algorithms": "torch.set_deterministic_debug_mode('warn')",
    "float32 matmul precision": "torch.set_float32_matmul_precision('medium')",
    "backend flags: cudnn.benchmark": "torch.backends.cudnn.benchmark = True",
    "anomaly mode": "torch.autograd.set_detect_anomaly(True, check_nan=False)",
    "number of threads": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "print options": "torch.set_printoptions(precision=2)",
    "CPU random state": "torch.rand(1)",
    "Python random state": "__import__('random').random()",
    "NumPy random state": "__import__('numpy').random.rand()",
    "sharing strategy": "torch.multiprocessing.set_sharing_strategy('file_system')",
    "autocast": "torch.set_autocast_cache_enabled(False)",
    "environment: TORCH_DEMO": "__import__('os').environ['TORCH_DEMO'] = '1'",
    "working directory": "__import__('os').chdir('/')",
    "flushing of denormals": "torch.set_flush_denormal(True)",
    "module hooks": "torch.nn.modules.module.register_module_forward_hook(lambda *a: None)",
    "recursion limit": "__import__('sys').setrecursionlimit(2000)",
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_is_caught_by_name_and_put_back(run, monkeypatch, what):
    monkeypatch.setenv("TORCH_OTHER", "1")
    names = [name for name, item in guard.GUARDED.items() if name != "module hooks"]
    before = {name: guard.GUARDED[name].read() for name in names}
    text = SOUND.replace("        assert torch", f"        {LEAKS[what]}\n        assert torch")
    if what == "default device":
        text = text.replace("torch.ones(2, device=device)", "torch.ones(2, device='cpu')")
    result = run(text, "--device", "cpu")
    if what == "module hooks":  # torch has no way to put these back
        torch.nn.modules.module._global_forward_hooks.clear()
    result.assert_outcomes(passed=1, errors=1)
    assert f"demo/test_trap_ones@cpu leaks {what}" in said(result)
    result.stdout.fnmatch_lines(["  demo: 1 case leaked: demo/test_trap_ones@cpu"])
    assert {name: guard.GUARDED[name].read() for name in names} == before


def test_what_a_fixture_puts_back_is_no_leak(run):
    text = SOUND.replace("(self, device)", "(self, device, seeded, monkeypatch)")
    text = text.replace(
        "        assert", "        monkeypatch.setenv('TORCH_DEMO', '1')\n        torch.rand(1)\n        assert"
    )
    run(text, "--device", "cpu").assert_outcomes(passed=1)


# The summary --------------------------------------------------------------------------------------------------------


def test_a_run_that_holds_no_pitfall_says_nothing_of_us(pytester):
    pytester.makepyfile("def test_x(): pass")
    code = "import sys, pytest; pytest.main(['-p', 'no:randomly']); print({'torch', 'numpy'} & set(sys.modules))"
    result = pytester.run(sys.executable, "-c", code)
    result.stdout.fnmatch_lines(["*1 passed*", "set()"])
    assert "pitfalls still hold" not in said(result)


def test_the_plugin_imports_little(pytester):
    code = (
        "import sys, pytest; before = set(sys.modules); import pitfalls.harness.plugin; "
        "print(len([name for name in set(sys.modules) - before if not name.startswith('pitfalls')]))"
    )
    result = pytester.run(sys.executable, "-c", code)
    assert int(result.outlines[-1]) <= 8


def test_an_option_of_the_users_keeps_its_meaning(pytester):
    pytester.makeconftest("def pytest_addoption(parser):\n    parser.addoption('--device', default='theirs')")
    pytester.makepyfile("def test_x(request):\n    assert request.config.getoption('--device') == 'mine'")
    result = pytester.runpytest_subprocess("--device", "mine", "-p", "no:randomly")
    result.assert_outcomes(passed=1)
    assert "--pitfalls-device" in said(pytester.runpytest_subprocess("--help"))


def test_a_checkout_serves_pyargs_from_another_folder(pytester):
    result = pytester.runpytest_subprocess("--pyargs", "pitfalls.tensors.test_scalars", "--device", "cpu", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["3 pitfalls still hold"])


def test_warnings_of_a_pin_do_not_depend_on_the_users_filters(run):
    text = SOUND.replace("        assert", "        __import__('warnings').warn('x')\n        assert")
    run(text, "--device", "cpu", "-W", "error").assert_outcomes(passed=1, warnings=1)


def test_the_table_of_options_in_the_readme_is_true():
    from pitfalls.harness.plugin import OPTIONS

    readme = (source.PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    table = readme.split("<!-- options: begin -->")[1].split("<!-- options: end -->")[0]
    rows = re.findall(r"^\| `--([\w-]+)(?: (\w+))?` \| (.+) \|$", table, re.MULTILINE)
    told = []
    for name, settings in OPTIONS:
        if not name.startswith("pitfalls-"):
            text = settings["help"].replace("%(default)s", str(settings.get("default")))
            flag = settings.get("action") == "store_true"
            told.append((name, "" if flag else settings.get("metavar", "KIND"), text))
    assert rows == told
