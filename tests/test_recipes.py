"""The gate as people paste it into their CI: the shell of the action and of each recipe, run as those would run it."""

import os
import re
import subprocess
import sys

import pytest
import yaml

from pitfalls.harness import record, source
from tests.test_record import run, suite, write_catalogue  # noqa: F401 - `suite` is a fixture

ROOT = source.PACKAGE.parent
RECIPES = ROOT / "recipes"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
WORKFLOWS = sorted(RECIPES.glob("github-*.yml"))
#: An interpreter that only notes what it should install, and otherwise is the one of these tests.
INTERPRETER = '#!/bin/sh\nif [ "$2" = pip ]; then echo "$@" >>"{log}"; exit 0; fi\nexec "{python}" "$@"\n'


@pytest.fixture
def job(suite, tmp_path):  # noqa: F811
    """A job on a CI: an empty folder, a small catalogue for a suite, and an interpreter that installs nothing."""
    work = tmp_path / "job"
    bin_folder = tmp_path / "bin"
    work.mkdir()
    bin_folder.mkdir()
    python = bin_folder / "python"
    python.write_text(INTERPRETER.format(log=work / "pip.log", python=sys.executable))
    python.chmod(0o755)

    def step(script, *arguments, **environ):
        unset = [name for name in os.environ if name.startswith(("GITHUB_", "PITFALLS_", "SLURM_", "PYTEST_"))]
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        path = {"PYTHONPATH": str(suite), "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = ["bash", "-euo", "pipefail", "-c", script, "step", *arguments]
        return subprocess.run(
            command, cwd=work, env={**kept, **path, **environ}, capture_output=True, text=True, check=False
        )

    step.folder = work
    return step


def action(job, **inputs):
    """Run the action's own step with these inputs, as the runner would."""
    step = ACTION["runs"]["steps"][0]
    values = {name: str(about.get("default", "")) for name, about in ACTION["inputs"].items()} | inputs

    def value_of(expression):
        name = expression.group(1)
        return str(ROOT) if name == "github.action_path" else values[name.removeprefix("inputs.")]

    environ = {name: re.sub(r"\$\{\{ (\S+) \}\}", value_of, text) for name, text in step["env"].items()}
    assert "${{" not in step["run"], "what a user passes reaches the shell through the environment alone"
    summary = job.folder / "summary.md"
    return job(step["run"], **environ, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)), summary


def baseline(suite, job):  # noqa: F811
    done = run(suite, "--device", "cpu", "--record", str(job.folder / "baseline.json"))
    assert done.returncode == 0, done.stdout


def test_the_action_without_a_baseline_says_whether_the_catalogue_holds(suite, job):  # noqa: F811
    done, _ = action(job)
    assert done.returncode == 0, done.stdout + done.stderr
    assert record.read(job.folder / "pitfalls-report" / "run.json").complete
    assert (job.folder / "pitfalls-report" / "junit.xml").exists()
    assert "install --constraint" in (job.folder / "pip.log").read_text()
    write_catalogue(suite, dtype="torch.float64")
    done, _ = action(job)
    assert done.returncode == 1
    assert "no longer holds" in done.stdout


def test_the_action_goes_red_over_a_change_and_green_once_it_is_accepted(suite, job):  # noqa: F811
    baseline(suite, job)
    done, _ = action(job, baseline="baseline.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::notice title=torch-pitfalls::nothing changed" in done.stdout
    write_catalogue(suite, number="2")
    (job.folder / "src").mkdir()
    (job.folder / "src" / "train.py").write_text("import torch\n\nx = torch.ones(2)\n")
    done, summary = action(job, baseline="baseline.json", code="src")
    assert done.returncode == 10, done.stdout + done.stderr
    assert "::error file=src/train.py,line=3,title=ones-are-float%3A other value::Ones are float32" in done.stdout
    assert "| behaviour | other value | ones-are-float" in summary.read_text()
    assert "ones-are-float" in (job.folder / "pitfalls-report" / "report.html").read_text()
    (job.folder / "pitfalls.toml").write_text('[[known]]\nslug = "ones-are-float"\nreason = "we count on neither"\n')
    done, _ = action(job, baseline="baseline.json", code="src")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::notice file=src/train.py,line=3" in done.stdout


@pytest.mark.parametrize(
    ("inputs", "code", "says"),
    [
        ({"baseline": "missing.json"}, 11, "missing.json"),
        ({"require-device": "cuda", "device": "cpu cuda"}, 1, "CUDA is not available"),
        ({"device": "gpu"}, 4, "unknown device 'gpu'"),
    ],
    ids=["no baseline there", "device absent", "unknown device"],
)
@pytest.mark.skipif(os.path.exists("/dev/nvidia0"), reason="the absent device is there")  # noqa: PTH110 - no torch here
def test_the_action_never_passes_what_it_could_not_judge(job, inputs, code, says):
    done, _ = action(job, **inputs)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_workflows_ask_the_action_for_what_it_has(path):
    (about,) = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    ours = [step for step in about["steps"] if step.get("uses", "").startswith("torch-pitfalls/")]
    assert len(ours) == 1
    assert set(ours[0]["with"]) <= set(ACTION["inputs"])
    others = [step["uses"] for step in about["steps"] if "uses" in step and step not in ours]
    others += [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]
    assert [name for name in others if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", name)] == []


def test_the_recipe_for_gitlab(suite, job):  # noqa: F811
    about = yaml.safe_load((RECIPES / "gitlab-ci.yml").read_text(encoding="utf-8"))["pitfalls"]
    baseline(suite, job)
    (job.folder / "src").mkdir()
    script, variables = "\n".join(about["script"]), about["variables"] | {"PITFALLS_BASELINE": "baseline.json"}
    assert job(script, **variables).returncode == 0
    write_catalogue(suite, dtype="torch.float64")
    done = job(script, **variables)
    assert done.returncode == 10, done.stdout + done.stderr
    assert [name for name in about["artifacts"]["paths"] if not (job.folder / name).exists()] == []


def test_the_recipe_for_slurm(job):
    script = (RECIPES / "slurm.sh").read_text(encoding="utf-8")
    done = job(script, PITFALLS_REQUIRE_DEVICE="", SLURM_JOB_ID="7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--no-index --no-deps" in (job.folder / "pip.log").read_text()
    assert record.read(job.folder / "run-7.json").complete


def test_the_recipe_for_docker(job, tmp_path):
    text = (RECIPES / "Dockerfile").read_text(encoding="utf-8")
    (command,) = re.findall(r"^RUN ((?:.*\\\n)*.*)$", text, re.MULTILINE)
    done = job(command.replace("/tmp/held.txt", str(tmp_path / "held.txt")))
    assert done.returncode == 0, done.stderr
    assert "--constraint" in (job.folder / "pip.log").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    done = job(" ".join(yaml.safe_load(entry)).replace("/results", str(job.folder)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert record.read(job.folder / "run.json").complete


def test_the_recipe_for_a_fan_out(job):
    done = job((RECIPES / "fan-out.sh").read_text(encoding="utf-8"), "python", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 3


def test_one_torch_on_several_far_ends(suite):  # noqa: F811
    ends = [f"--tx=popen//python={sys.executable}"] * 2
    done = run(suite, "--dist", "load", *ends, "--floor", "--record", "run.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 2 of 2 pitfalls in the catalogue ran" in done.stdout
