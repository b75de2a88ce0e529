"""What a run costs, side by side: ``python benchmarks/bench.py``.

Nothing here is a test: times depend on the machine. The targets are printed beside the figures. Peak memory is that of
the child process, as the operating system counts it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ONE_TEST = "import torch\n\n\ndef test_ones():\n    assert torch.ones(2).tolist() == [1, 1]\n"

#: Collects the catalogue, then calls each body on the CPU without pytest's protocol around it.
BODIES = """
import time
import pytest

class Bodies:
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        import torch
        from pitfalls.harness.plugin import CASE

        ran, started = 0, time.perf_counter()
        for item in session.items:
            case = item.stash[CASE]
            arguments = dict(item.callspec.params) if hasattr(item, "callspec") else {}
            # Without pytest's protocol there are no fixtures: bodies that ask for another than the device are left out.
            here = case.device in (None, "cpu") and not case.inapplicable and not case.literals
            if here and set(item.fixturenames) <= {"request", *arguments}:
                if "device" in arguments:
                    arguments["device"] = torch.device("cpu")
                torch.set_warn_always(True)
                getattr(item.cls(), item.originalname)(**arguments)
                ran += 1
        print(f"\\nBODIES {ran} {time.perf_counter() - started:.3f}")
        return True

arguments = ["-q", "-s", "-p", "no:randomly", "-W", "ignore", "--device", "cpu", "--pyargs", "pitfalls"]
raise SystemExit(pytest.main(arguments, plugins=[Bodies()]))
"""


#: What answers without importing torch. Comparing ends with 10, which is no failure: something changed.
VERBS = (["diff", "2.8", "2.15"], ["explain", "grad-accumulates"], ["explain", "a leaf Variable"], ["list"])


def run(label: str, arguments: list[str], folder: Path) -> tuple[float, int, str]:
    """Run a child process and return its seconds, its peak memory in MB and its output."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if os.waitstatus_to_exitcode(status) not in (0, 10):
        sys.exit(f"{label} failed:\n{text[-2000:]}")
    return seconds, usage.ru_maxrss // 1024, text


def main() -> None:
    """Measure and print."""
    pytest = ["-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_one.py").write_text(ONE_TEST)
        run("warm-up", ["-c", "import torch"], folder)
        torch_alone, torch_memory, _ = run("import torch", ["-c", "import torch"], folder)
        one, one_memory, _ = run("one test", [*pytest, "test_one.py"], folder)
        whole, whole_memory, text = run("catalogue", [*pytest, "--durations=10", "--pyargs", "pitfalls"], folder)
        parallel, _, _ = run("catalogue -n 2", [*pytest, "-n", "2", "--pyargs", "pitfalls"], folder)
        bodies, bodies_memory, told = run("bodies", ["-c", BODIES], folder)
        quick, _, _ = run("--quick", [*pytest, "--quick", "--device", "cpu", "--pyargs", "pitfalls"], folder)
        verbs = [(" ".join(verb), run(verb[0], ["-m", "pitfalls", *verb], folder)[0]) for verb in VERBS]
    summary = text.strip().splitlines()[-1]
    cases = sum(int(number) for number in re.findall(r"(\d+) (?:passed|skipped)", summary))
    ran = sum(int(number) for number in re.findall(r"(\d+) passed", summary))
    _, called, inside = next(line for line in told.splitlines() if line.startswith("BODIES")).split()
    print(f"{'':34}{'seconds':>9}{'MB':>7}")
    print(f"{'import torch':34}{torch_alone:9.2f}{torch_memory:7}")
    print(f"{'pytest with one torch test':34}{one:9.2f}{one_memory:7}")
    print(f"{'the catalogue':34}{whole:9.2f}{whole_memory:7}   aim: {3 * one:.2f} s, 500 MB")
    print(f"{'the catalogue, -n 2':34}{parallel:9.2f}")
    print(
        f"{'the bodies without pytest':34}{float(inside):9.2f}{bodies_memory:7}"
        f"   {called} bodies; {bodies:.2f} s with collection"
    )
    beyond = 1000 * (whole - one)
    print(
        f"{cases} cases, {beyond / cases:.2f} ms each beyond the one test (aim: 2 ms); "
        f"{beyond / ran:.2f} for each that ran"
    )
    print(f"--quick: {quick:.2f} s   aim: {1.5 * torch_alone:.2f} s")
    for name, seconds in verbs:
        print(f"{name}: {seconds:.2f} s   aim: 0.3 s")
    print("slowest (aim: none over 1 s that is not marked slow):")
    print("\n".join(line for line in text.splitlines() if " call " in line or " setup " in line))


if __name__ == "__main__":
    main()
