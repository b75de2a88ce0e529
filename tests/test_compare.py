"""The comparison of two records: what it calls a change, how it ranks, and what it prints."""

import html
import json
import time

import pytest

from pitfalls.harness import compare, known, record, report, usage, verdict
from pitfalls.harness.compare import Kind

KEY = "grad-accumulates/test_trap_x@cpu"


def made(
    torch="2.8.0",
    case=None,
    *,
    name="r",
    complete=True,
    apis=None,
    environment=None,
    told=None,
    cases=None,
    absent=None,
):
    content = record.build(
        environment={"torch": torch, "numpy": "2.0", "python": "3.11.7", "environ": {}, **(environment or {})},
        suite="1",
        catalogue="c",
        pitfalls={
            "grad-accumulates": {
                "statement": "`backward()` adds.",
                "explanation": "Clear it.",
                "docs": ["torch.Tensor.backward"],
                "priority": 1,
                "area": "autograd",
                "changed": {"2.9": "it became so"},
                **(told or {}),
            }
        },
        cases=cases if cases is not None else {KEY: case or {"outcome": "passed"}},
        absent=absent or {},
        apis=apis or {},
        complete=complete,
        seconds=1.0,
    )
    return record.Record(name, *(content[part] for part in ("header", "pitfalls", "cases", "apis", "footer")))


PASSED = {"outcome": "passed"}


def api(signature="(x)", docstring="1", **notices):
    return {"signature": signature, "docstring": docstring, "notices": notices}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (PASSED, {"outcome": "failed", "detail": "assert 1 == 2"}, "no longer holds"),
        (PASSED, {"outcome": "failed", "how": "now raises", "detail": "RuntimeError"}, "now raises"),
        (PASSED, {"outcome": "failed", "how": "no longer raises"}, "no longer raises"),
        (PASSED, {"outcome": "failed", "how": "no longer warns as documented"}, "no longer warns as documented"),
        ({"outcome": "failed"}, PASSED, "newly holds"),
        ({"outcome": "failed", "detail": "a"}, {"outcome": "failed", "detail": "b"}, "fails otherwise"),
        ({"outcome": "inapplicable"}, PASSED, "newly applies"),
        (PASSED, {"outcome": "inapplicable"}, "no longer applies"),
        ({"outcome": "inapplicable"}, {"outcome": "failed"}, "no longer holds"),
        ({**PASSED, "observed": {"v": 1}}, {**PASSED, "observed": {"v": 2}}, "other value"),
        (PASSED, {**PASSED, "observed": {"v": 2}}, "other value"),
        (
            {**PASSED, "raised": [{"type": "TypeError", "message": "m"}]},
            {**PASSED, "raised": [{"type": "ValueError", "message": "m"}]},
            "raises another exception",
        ),
        (
            {**PASSED, "raised": [{"type": "TypeError", "message": "m"}]},
            {**PASSED, "raised": [{"type": "TypeError", "message": "n"}]},
            "other message",
        ),
        (PASSED, {**PASSED, "warned": [{"category": "UserWarning", "message": "m"}]}, "now warns"),
        ({**PASSED, "warned": [{"category": "UserWarning", "message": "m"}]}, PASSED, "no longer warns"),
        (
            {**PASSED, "warned": [{"category": "UserWarning", "message": "m"}]},
            {**PASSED, "warned": [{"category": "UserWarning", "message": "n"}]},
            "warns in other words",
        ),
        (
            {**PASSED, "warned": [{"category": "DeprecationWarning", "message": "m"}]},
            {**PASSED, "warned": [{"category": "FutureWarning", "message": "m"}]},
            "now warns",
        ),
    ],
)
def test_each_transition_has_its_words(before, after, what):
    found = compare.compare(made(case=before), made("2.15.0", case=after))
    assert [change.what for change in found.changes] == [what]
    assert found.changes[0].known == {"2.9": "it became so"}


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (api(), api(signature="(x, y=1)"), "other signature"),
        (api(), None, "API gone"),
        (None, api(), "API new"),
        (api(), api(docstring="2"), "documentation changed"),
    ],
)
def test_changes_of_an_api_have_their_words(before, after, what):
    name = "torch.Tensor.backward"
    found = compare.compare(made(apis={name: before}), made("2.15.0", apis={name: after}))
    assert [(change.what, change.subject) for change in found.changes] == [(what, name)]
    assert "grad-accumulates" in found.changes[0].statement


def test_a_reworded_warning_of_a_docstring_is_named():
    old = made(apis={"torch.x": api(docstring="1", **{"warning 1": "a"})})
    new = made(apis={"torch.x": api(docstring="2", **{"warning 1": "b", "note 1": "c"})})
    assert compare.compare(old, new).changes[0].differences[0].after == "note 1 new, warning 1 reworded"


def test_nothing_changes_between_a_record_and_itself():
    found = compare.compare(made(), made())
    assert (found.changes, found.rest, found.incomplete) == ([], {}, [])
    assert report.status(found, Kind.message) == (
        "nothing changed between torch 2.8.0 and torch 2.8.0",
        verdict.UNCHANGED,
    )


def test_a_known_change_counts_only_where_the_pair_spans_its_release():
    failed = {"outcome": "failed"}
    assert compare.compare(made("2.9.0"), made("2.15.0", case=failed)).changes[0].known == {}
    assert compare.compare(made("2.15.0"), made("2.8.0", case=failed)).changes[0].known == {"2.9": "it became so"}
    assert compare.compare(made("2.8.0"), made("2.10.0.dev2026+cpu", case=failed)).changes[0].known


def test_what_is_on_one_side_only_is_named_and_is_no_change():
    other = {"grad-accumulates/test_trap_y@cpu": PASSED, "grad-accumulates/test_trap_y@cuda": PASSED}
    found = compare.compare(made(cases=other, name="old"), made(absent={"cuda": "no GPU"}))
    assert found.changes == []
    assert found.rest == {
        "ran only on the old side (cuda: no GPU on the other)": ["grad-accumulates/test_trap_y@cuda"],
        "there only on the new side": [KEY],
        "there only on the old side": ["grad-accumulates/test_trap_y@cpu"],
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (made(complete=False), made(), "the old side is a partial run"),
        (made(), made(cases={KEY: {"outcome": "skipped"}}), "the new side ran nothing"),
        (made(), made(cases={KEY: PASSED, "a/test_trap_x": {"outcome": "could not run"}}), "1 cases could not run"),
    ],
    ids=["partial", "nothing", "stuck"],
)
def test_an_incomplete_side_is_never_compatible(old, new, reason):
    said, code = report.status(compare.compare(old, new), Kind.behaviour)
    assert code == verdict.INCOMPLETE
    assert reason in said


def test_what_differs_beside_torch_is_said():
    found = compare.compare(made(), made(environment={"numpy": "1.26", "environ": {"TORCH_LOGS": "x"}}))
    assert found.beside_torch == [
        "numpy differs too: 2.0 before, 1.26 after",
        "environment variables differ too: TORCH_LOGS",
    ]


def test_the_worst_comes_first():
    cases = {f"{slug}/test_trap_x@cpu": PASSED for slug in ("b", "a", "c")}
    worse = {
        "a/test_trap_x@cpu": {**PASSED, "warned": [{"category": "W", "message": "m"}]},
        "b/test_trap_x@cpu": {"outcome": "failed"},
        "c/test_trap_x@cpu": PASSED,
    }
    found = compare.compare(made(cases=cases), made(cases=worse))
    assert [change.subject for change in found.changes] == ["b", "a"]


def test_a_pitfall_that_applies_on_both_sides_holds_otherwise():
    other = KEY.replace("test_trap_x", "test_trap_y")
    sides = {KEY: PASSED, other: {"outcome": "inapplicable"}}, {KEY: {"outcome": "inapplicable"}, other: PASSED}
    old, new = (made(cases=cases) for cases in sides)
    assert {change.what for change in compare.compare(old, new).changes} == {"holds otherwise"}


def test_one_more_way_out_changes_nothing_that_runs_today():
    fix = KEY.replace("test_trap_x", "test_fix_y")
    old, new = made(cases={KEY: PASSED, fix: {"outcome": "inapplicable"}}), made(cases={KEY: PASSED, fix: PASSED})
    found = {change.what: change.kind for change in compare.compare(old, new).changes}
    assert found == {"has a new way out": Kind.signature}
    assert {change.what for change in compare.compare(new, old).changes} == {"holds otherwise"}


def test_a_pitfall_that_comes_with_a_new_api_changes_nothing_that_runs_today():
    old = made(case={"outcome": "inapplicable"}, apis={"torch.Tensor.backward": None})
    new = made(case=PASSED, apis={"torch.Tensor.backward": api()})
    found = {change.what: change.kind for change in compare.compare(old, new).changes}
    assert found == {"comes with a new API": Kind.signature, "API new": Kind.signature}


@pytest.mark.parametrize(("bar", "code"), [("behaviour", 0), ("warning", 10), ("message", 10)])
def test_the_bar_decides(bar, code):
    found = compare.compare(made(), made(case={**PASSED, "warned": [{"category": "W", "message": "m"}]}))
    assert report.status(found, Kind[bar])[1] == code


def test_flaky_cases_are_no_changes():
    found = compare.compare(made(), made(case={"outcome": "failed"}), flaky=[KEY])
    assert (found.changes, found.flaky) == ([], [KEY])
    assert KEY in report.terminal(found)


def test_five_thousand_cases_are_compared_in_no_time():
    cases = {f"s{n}/test_trap_x[v]@cpu": {**PASSED, "observed": {"v": n}} for n in range(5000)}
    other = {key: {**PASSED, "observed": {"v": -1}} for key in cases}
    started = time.process_time()
    report.terminal(compare.compare(made(cases=cases), made(cases=other)))
    # Half a second is the aim, which the benchmark measures; what looks at each pair of cases would take minutes.
    assert time.process_time() - started < 20


HOSTILE = "<script>alert(1)</script> | `x` \n# head [a](javascript:b) &amp;"


def hostile():
    case = {"outcome": "failed", "detail": HOSTILE}
    told = {
        "statement": HOSTILE,
        "explanation": HOSTILE,
        "changed": {"2.9": HOSTILE},
        "area": HOSTILE,
        "docs": [HOSTILE],
    }
    return compare.compare(made(told=told), made("2.15.0", case=case, told=told, name=HOSTILE))


def test_the_page_escapes_what_it_shows():
    page = report.page(hostile())
    assert "<script>alert" not in page
    assert html.escape("<script>alert(1)</script>") in page
    assert "http://" not in page
    assert "src=" not in page


def test_markdown_escapes_what_it_shows():
    text = report.markdown(hostile())
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| behaviour")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 7


def test_json_has_everything():
    content = json.loads(report.as_json(hostile()))
    assert content["exit_code"] == 10
    assert content["changes"][0]["cases"][0]["after"].endswith("&amp;")


def test_known_changes_are_accepted_with_a_reason(tmp_path):
    found = compare.compare(made(), made("2.15.0", case={"outcome": "failed"}))
    (tmp_path / "pitfalls.toml").write_text(
        '[[known]]\nslug = "grad-accumulates"\nreason = "we clear"\ntorch = ">=2.9"\n'
    )
    known.accept(found, known.load(None, tmp_path))
    assert report.status(found, Kind.behaviour)[1] == verdict.UNCHANGED
    assert "accepted: we clear" in report.terminal(found)


def test_known_changes_may_stand_in_pyproject(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[[tool.pitfalls.known]]\nslug = "a"\nreason = "b"\nexpires = 2999-01-01\n'
    )
    assert [entry.slug for entry in known.load(None, tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[known]]\nslug = 'a'", "needs a reason"),
        ("[[known]]\nreason = 'a'", "needs a slug"),
        ("[[known]]\nslug = 'a'\nreason = 'b'\nwhen = 1", "has when"),
        ("[[known]]\nslug = 'a'\nreason = 'b'\ntorch = 'new'", "no condition on a version"),
        ("[[known]]\nslug = 'a'\nreason = 'b'\nwhat = 'odd'", "what= is one of"),
        ("[[known]]\nslug = 'a'\nreason = 'b'\nexpires = '2020'", "is a date"),
        ("[[known]]\nslug = 'a'\nreason = 'b'\nexpires = 2020-01-31", "expired on 2020-01-31"),
        ("[[knwon]]\nslug = 'a'", "list of tables"),
        ("not toml", "pitfalls.toml"),
    ],
)
def test_a_wrong_entry_is_an_error_of_one_line(tmp_path, text, says):
    (tmp_path / "pitfalls.toml").write_text(text)
    with pytest.raises(known.KnownError, match=says) as caught:
        known.load(None, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_entry_that_matches_nothing_is_an_error_unless_it_is_about_another_torch(tmp_path):
    file = tmp_path / "pitfalls.toml"
    file.write_text('[[known]]\nslug = "other"\nreason = "b"\n')
    with pytest.raises(known.KnownError, match="did not happen"):
        known.accept(compare.compare(made(), made()), known.load(file, tmp_path))
    file.write_text('[[known]]\nslug = "other"\nreason = "b"\ntorch = ">=3"\n')
    known.accept(compare.compare(made(), made()), known.load(file, tmp_path))


CODE = """
import torch as t
from torch.nn import functional as F
from torch import load

def step(loss):
    loss.backward()
    F.relu(loss)
    return load("x"), t.zeros(1)
"""


@pytest.mark.parametrize(
    ("api", "lines"),
    [
        ("torch.Tensor.backward", [7]),
        ("torch.nn.functional.relu", [8]),
        ("torch.load", [4, 9]),
        ("torch.zeros", [9]),
        ("torch.ones", []),
        ("notes/autograd", []),
    ],
)
def test_the_users_code_is_searched_for_an_api(tmp_path, api, lines):
    (tmp_path / "train.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def (")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "x.py").write_text(CODE)
    found = compare.compare(made(), made("2.15.0", case={"outcome": "failed"}, told={"docs": [api]}))
    usage.rank(found, [tmp_path])
    assert found.changes[0].used_at == [f"{tmp_path / 'train.py'}:{line}" for line in lines]
    assert [line.partition(":")[0] for line in found.unparsed] == [str(tmp_path / "broken.py")]
    assert ("not used in" in report.terminal(found)) == (not lines)


def test_reworded_messages_are_told_once_with_all_whom_they_concern():
    def raising(text):
        return {**PASSED, "raised": [{"type": "E", "message": f"a long message {text} with an end to it"}]}

    keys = [f"{slug}/test_trap_x@cpu" for slug in ("a", "b")]
    old, new = (
        made(cases={key: raising("old") for key in keys}),
        made(cases={key: raising("quite new") for key in keys}),
    )
    line = "message: 'long message old' became 'long message quite new': a, b"
    assert line in report.terminal(compare.compare(old, new)).splitlines()
