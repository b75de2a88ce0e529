"""How many cores a process takes: each of them all, whatever the others do."""

import pytest

from pitfalls import child, pitfall

STARTS_ANOTHER = child("""
import subprocess, sys, torch
cores = torch.get_num_threads()
torch.set_num_threads(cores + 1)
another = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
done = subprocess.run(another, capture_output=True, text=True)
print(cores - int(done.stdout), torch.get_num_threads() - cores)
""")

TELLS_ITSELF = child("import torch; torch.set_num_threads(1); print(torch.get_num_threads())")


@pytest.mark.slow
@pitfall(
    "each-process-takes-all-cores",
    docs=["notes/multiprocessing", "torch.set_num_threads"],
    symptom="with several processes everything gets slower, although there are cores for all",
    priority=3,
)
class TestEachProcessTakesAllCores:
    """A process that is started anew takes as many threads as it finds cores, as if there were no other.

    ``set_num_threads`` of the process that starts it has no say, so several of them share the cores badly. Call it in
    each process, with the number of cores over the number of processes.
    """

    def test_trap_the_parent_has_no_say(self):
        assert STARTS_ANOTHER().stdout.split() == ["0", "1"]

    def test_fix_tell_the_process(self):
        assert TELLS_ITSELF().stdout.strip() == "1"
