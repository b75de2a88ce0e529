"""The device that torch keeps for others: naming it."""

import pytest

from pitfalls import child, pitfall

NAMES_IT_TWICE = child("""
import torch
torch.utils.rename_privateuse1_backend("mine")
torch.utils.rename_privateuse1_backend("mine")
try:
    torch.utils.rename_privateuse1_backend("yours")
except RuntimeError as error:
    print("already been set! Current backend: mine" in str(error), torch.device("mine:0"))
""")


@pytest.mark.slow
@pitfall(
    "private-backend-is-named-once",
    docs=["torch.utils.rename_privateuse1_backend"],
    symptom="RuntimeError: torch.register_privateuse1_backend() has already been set! Current backend: ...",
    error="torch.register_privateuse1_backend() has already been set!",
    priority=3,
)
class TestPrivateBackendIsNamedOnce:
    """``rename_privateuse1_backend`` works once in a process: a second name raises, the same name again is fine.

    Two extensions that each bring a device exclude each other. Only the import of an extension should name it.
    """

    def test_trap_a_second_name_raises(self):
        done = NAMES_IT_TWICE()
        assert done.stdout.split() == ["True", "mine:0"]
