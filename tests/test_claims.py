"""The ledger: every claim of torch's documentation has an entry, and every entry stands for something."""

import json
import subprocess
import sys
from collections import Counter

import pytest

from pitfalls.harness import claims, source


@pytest.fixture(scope="module")
def ledger():
    return claims.ledger()


def name(claim):
    return f"{claim.owner}, {claim.label}"


def test_the_installed_torch_documents_nothing_that_the_ledger_does_not_know():
    command = [sys.executable, "-m", "pitfalls", "claims", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert json.loads(done.stdout)["new"] == []


def test_pins_are_pitfalls(ledger):
    slugs = set(source.slugs())
    assert [(name(claim), pin) for claim in ledger for pin in claim.pins if pin not in slugs] == []


def test_no_entry_has_both_pins_and_a_reason(ledger):
    assert [name(claim) for claim in ledger if claim.pins and claim.reason] == []


def test_what_can_be_shown_is_said(ledger):
    assert [name(claim) for claim in ledger if not claim.reason and not (claim.says and claim.priority)] == []


def test_what_bites_is_pinned_or_excused(ledger):
    assert [name(claim) for claim in ledger if claim.state == "open" and claim.priority in (1, 2)] == []


def test_nine_of_ten_claims_that_a_test_can_show_are_pinned(ledger):
    counts = Counter(claim.state for claim in ledger)
    assert counts["pinned"] >= 0.9 * (counts["pinned"] + counts["open"])
