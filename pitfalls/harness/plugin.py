"""The pytest plugin: options, checks at collection, the guard around each case, the story of a failure, the summary.

It is loaded in every pytest run of the environment that it is installed in. Until a module of the catalogue is
collected it imports neither torch nor numpy and leaves the run alone; an option of the user's project that has the
name of one of ours keeps its meaning, and ours is then spelled ``--pitfalls-...``.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pitfalls.harness import ahead, devices, source
from pitfalls.harness.limit import Watchdog, limited
from pitfalls.harness.marks import observed
from pitfalls.harness.summary import Summary

if TYPE_CHECKING:
    from pitfalls.harness.case import Case
    from pitfalls.harness.recording import Notes

CASE: pytest.StashKey[Case] = pytest.StashKey()
STATE: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
#: Why a case is not to be run, where that is known when it is collected.
PASSED_BY: pytest.StashKey[str] = pytest.StashKey()
NOTES: pytest.StashKey[Notes] = pytest.StashKey()
WATCHDOG: pytest.StashKey[Watchdog] = pytest.StashKey()
AHEAD: pytest.StashKey[ahead.Queue] = pytest.StashKey()
SEEN: pytest.StashKey[dict[str, str]] = pytest.StashKey()
FROZEN: pytest.StashKey[bool] = pytest.StashKey()
#: The guarded state after the last case, as long as no test of somebody else's has run since.
AFTER: pytest.StashKey[dict[str, Any]] = pytest.StashKey()

MARKS = (
    "since(release): this pin holds from that torch release on, as seen by running it",
    "before(release): this pin holds in the torch releases before that one",
    "on(*device_types): this pin is about these device types alone",
    "slow: this pin needs more than a second",
)


#: What a module holds that has something for --quick.
QUICK = re.compile(r"\bpriority=1\b")

#: The kinds of change, the worst first; `pitfalls.harness.compare.Kind` has their order.
FAIL_ON = ("behaviour", "warning", "signature", "docs", "message")

OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "device",
        {
            "action": "append",
            "metavar": "NAME",
            "help": "run the catalogue on this device (cpu, cuda, cuda:1, mps, xpu); repeatable; default: cpu and cuda",
        },
    ),
    (
        "require-device",
        {
            "action": "append",
            "metavar": "NAME",
            "default": [],
            "help": "fail at once if this device is absent, rather than skip its cases",
        },
    ),
    (
        "record",
        {
            "type": Path,
            "metavar": "FILE",
            "help": "write what this run found to a JSON file, to be compared with another run's",
        },
    ),
    (
        "compare",
        {
            "type": Path,
            "metavar": "FILE",
            "help": "say what changed since the run that FILE records; exit code 10 if anything did, 11 if no verdict",
        },
    ),
    (
        "fail-on",
        {
            "choices": FAIL_ON,
            "default": FAIL_ON[0],
            "help": "with --compare: the mildest change that counts (default: %(default)s)",
        },
    ),
    (
        "quick",
        {"action": "store_true", "help": "run only the pitfalls that bite ordinary users: those of priority 1"},
    ),
    (
        "floor",
        {
            "action": "store_true",
            "help": "exit code 11 unless the whole catalogue ran, on the CPU and on each required device",
        },
    ),
    (
        "explain-errors",
        {
            "action": "store_true",
            "help": "below a failing test of yours, name the pitfall that its error is known for",
        },
    ),
    ("pitfalls-select", {"type": Path, "help": argparse.SUPPRESS}),
)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None, Any, Any]:
    """Add our options once every plugin and conftest of the user's has added theirs."""
    result = yield
    group = parser.getgroup("torch-pitfalls", "torch-pitfalls: documented surprises of torch")
    for name, settings in OPTIONS:
        spelled = f"--{name}"
        if _taken(parser, spelled):
            spelled = f"--pitfalls-{name}"
        group.addoption(spelled, dest=f"pitfalls_{name.removeprefix('pitfalls-').replace('-', '_')}", **settings)
    return result


def _taken(parser: pytest.Parser, option: str) -> bool:
    """Whether a plugin or a conftest has an option of this name already."""
    try:
        _, unknown = parser.parse_known_and_unknown_args([f"{option}=x"])
    except pytest.UsageError:  # known, and `x` does not suit it
        return True
    return f"{option}=x" not in unknown


@pytest.hookimpl(tryfirst=True)  # so that what others do as they clean up is done while the items are still frozen
def pytest_configure(config: pytest.Config) -> None:
    """Register the marks and judge the options."""
    for line in MARKS:
        config.addinivalue_line("markers", line)
    required = config.getoption("pitfalls_require_device", [])
    for name in (config.getoption("pitfalls_device", None) or []) + required:
        if not devices.KNOWN.fullmatch(name):
            raise pytest.UsageError(f"unknown device {name!r}: it is one of cpu, cuda, mps, xpu, or one with an index")
    for name in required:
        if name not in devices.asked_for(config):
            raise pytest.UsageError(f"--require-device {name} contradicts --device: {name} is not among its devices")
    config.stash[SEEN] = {}
    config.add_cleanup(partial(_unfreeze, config))
    if not hasattr(config, "workerinput"):
        for name in required:
            if reason := devices.absent(name):
                pytest.exit(f"--require-device {name}: {reason}", returncode=pytest.ExitCode.TESTS_FAILED)
        config.pluginmanager.register(Summary(config), "pitfalls-summary")


# Collection ---------------------------------------------------------------------------------------------------------


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> None:
    """Bring the fixtures along where ``--pyargs`` finds the catalogue in a checkout: its conftest is passed by."""
    conftest = source.PACKAGE.parent / "conftest.py"
    beside = conftest.exists() and not (source.PACKAGE / "conftest.py").exists()
    manager = parent.config.pluginmanager
    if not _in_catalogue(module_path) or not beside or parent.config.rootpath == conftest.parent:
        return
    if not manager.hasplugin("pitfalls-fixtures"):
        spec = importlib.util.spec_from_file_location("pitfalls_conftest", conftest)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        manager.register(module, "pitfalls-fixtures")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every pin that takes ``device`` a case for each device of this run; the device comes first in its id."""
    if "device" in metafunc.fixturenames and "__pitfall__" in vars(metafunc.cls or object):
        metafunc.parametrize("device", devices.cases(metafunc), indirect=True, ids=str)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Make a breach of what a pitfall must be a collection error that names the class and says what is missing."""
    report = yield
    if report.outcome != "passed":
        return report
    if isinstance(collector, pytest.Class):
        found = _class_breaches(collector, report.result)
        report.result[:] = [node for node in report.result if not _about_another_device(node)]
    elif isinstance(collector, pytest.Module):
        found = _module_breaches(collector, report.result)
    else:
        return report
    if found:
        lines = "\n".join(f"{collector.nodeid}: {breach}" for breach in found)
        return pytest.CollectReport(collector.nodeid, "failed", lines, [])
    return report


def _in_catalogue(path: Path) -> bool:
    return source.PACKAGE in path.parents


def _module_breaches(module: pytest.Module, collected: Sequence[pytest.Item | pytest.Collector]) -> list[str]:
    inside = _in_catalogue(module.path)
    classes = [node for node in collected if isinstance(node, pytest.Class)]
    pinned = [
        name
        for name, value in vars(module.obj).items()
        if "__pitfall__" in getattr(value, "__dict__", {}) and not _too_much(module.config, value)
    ]
    if not inside and not pinned:
        return []
    hidden = set(pinned) - {node.name for node in classes}
    found = [
        f"{name} is hidden by a python_classes setting; run the catalogue with its own: -c, or from another folder"
        for name in sorted(hidden)
    ]
    if inside:
        found += [f"{node.name} stands outside a class" for node in collected if isinstance(node, pytest.Function)]
    return found


def _class_breaches(cls: pytest.Class, collected: Sequence[pytest.Item | pytest.Collector]) -> list[str]:
    if "__pitfall__" not in vars(cls.obj) and not _in_catalogue(cls.path):
        return []
    import torch

    from pitfalls.harness import checks, versions
    from pitfalls.harness.case import bounds, case_of, unreadable_ids

    version = str(torch.__version__)
    applicable = versions.inapplicable(version, bounds(cls, "since"), bounds(cls, "before")) is None
    found = checks.breaches(cls.obj, version, applicable)
    if found:
        return found
    slug = vars(cls.obj)["__pitfall__"].slug
    owner = cls.config.stash[SEEN].setdefault(slug, cls.nodeid)
    if owner != cls.nodeid:
        found.append(f"the slug {slug!r} is taken by {owner}")
    items = [item for item in collected if isinstance(item, pytest.Function)]
    tests = {name for name in vars(cls.obj) if name.startswith("test")}
    found += [f"{name} was not collected" for name in sorted(tests - {item.originalname for item in items})]
    for item in items:
        found += [f"{item.name}: give {argument} ids that a reader understands" for argument in unreadable_ids(item)]
        case = item.stash[CASE] = case_of(item, version)
        if case.inapplicable:
            item.stash[PASSED_BY] = case.inapplicable
        elif case.device and case.device not in devices.asked_for(item.config):
            item.stash[PASSED_BY] = f"about {case.device}, which this run is not"
        # What a pin finds must not depend on the user's warning filters; a filter of its own still goes before ours.
        item.add_marker(pytest.mark.filterwarnings("always"), append=False)
    return found


def _about_another_device(node: pytest.Item | pytest.Collector) -> bool:
    """Whether a case got a device that its own parameter set (``marks=on("cpu")``) is not about."""
    case = node.stash.get(CASE, None)
    mark = node.get_closest_marker("on")
    if case is None or mark is None or case.device is None or case.device.partition(":")[0] in mark.args:
        return False
    return case.device in devices.asked_for(node.config)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Under xdist the filters work in the workers: let the controller know."""
    if items and hasattr(items[0].config, "workeroutput"):
        items[0].config.workeroutput["pitfalls_filtered"] = True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep only the cases whose keys a file lists, which is how changed cases are run once more."""
    listed: Path | None = config.getoption("pitfalls_select", None)
    if listed is None:
        return
    keys = set(listed.read_text(encoding="utf-8").splitlines())
    wanted = [CASE in item.stash and item.stash[CASE].key in keys for item in items]
    if not all(wanted):
        config.hook.pytest_deselected(items=[item for item, keep in zip(items, wanted, strict=True) if not keep])
        items[:] = [item for item, keep in zip(items, wanted, strict=True) if keep]


def _too_much(config: pytest.Config, value: object) -> bool:
    """Whether a class is a pitfall that --quick passes by."""
    pitfall = getattr(value, "__dict__", {}).get("__pitfall__")
    return pitfall is not None and pitfall.priority != 1 and config.getoption("pitfalls_quick", False)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """With --quick pass by the pitfalls that are not for it: making their cases takes as long as running others."""
    return [] if _too_much(collector.config, obj) else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --quick pass by the modules of ours that hold nothing for it: importing them is what takes the time."""
    name = collection_path.name
    if not config.getoption("pitfalls_quick", False) or not (name.startswith("test_") and name.endswith(".py")):
        return None
    if not _in_catalogue(collection_path) or QUICK.search(collection_path.read_text(encoding="utf-8")):
        return None
    return True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare the garbage collector what was collected: it would walk through thousands of test items time and again.

    A pin may collect garbage to show that memory is given back; what it makes itself is never frozen.
    """
    if any(CASE in item.stash for item in session.items) and gc.get_freeze_count() == 0:
        gc.freeze()
        session.config.stash[FROZEN] = True
    if session.items and all(CASE in item.stash for item in session.items):
        _spare_the_log(session.config)
    if any(CASE in item.stash for item in session.items) and not _watched(session.config):
        session.config.stash[WATCHDOG] = Watchdog()


def _watched(config: pytest.Config) -> bool:
    """Whether pytest itself uses the one watchdog that a process can have."""
    return config.pluginmanager.hasplugin("faulthandler") and float(config.getini("faulthandler_timeout") or 0) > 0


def _advance(item: pytest.Item) -> None:
    """Between two cases, begin the next program that a later one will ask for."""
    if hasattr(item.config, "workerinput"):
        return  # which of the cases will come to this worker of xdist nobody knows
    if AHEAD not in item.config.stash:
        item.config.stash[AHEAD] = _ahead(item.session.items)
    item.config.stash[AHEAD].advance()


def _ahead(items: Sequence[pytest.Item]) -> ahead.Queue:
    """Begin what pins of this run will want of other processes, but for a GPU, which is not to be shared.

    That is each program (`pitfalls.child`) that a test names, and what a module does in a function ``begin_ahead``.
    """
    children: dict[ahead.Child, None] = {}
    preparations: dict[Callable[[], object], None] = {}
    for item in items:
        if not isinstance(item, pytest.Function) or CASE not in item.stash or PASSED_BY in item.stash:
            continue
        if item.stash[CASE].device not in (None, "cpu"):
            continue
        scope = item.function.__globals__
        named = (scope.get(name) for name in item.function.__code__.co_names)
        children |= dict.fromkeys(value for value in named if isinstance(value, ahead.Child))
        if "begin_ahead" in scope:
            preparations[scope["begin_ahead"]] = None
    return ahead.Queue(list(children), list(preparations))


def pytest_enter_pdb(config: pytest.Config) -> None:
    """Leave somebody who debugs all the time there is."""
    if WATCHDOG in config.stash:
        config.stash[WATCHDOG].rest()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the watch, and what was begun ahead and never asked for."""
    if WATCHDOG in session.config.stash:
        session.config.stash[WATCHDOG].end()
        del session.config.stash[WATCHDOG]
    if AHEAD in session.config.stash:
        session.config.stash[AHEAD].end()


def _spare_the_log(config: pytest.Config) -> None:
    """Take pytest's log capture off a run of the catalogue alone, as our own pytest.ini does.

    No pin has a use for it, and it takes a fifth of the time of the whole run. Where the user's settings put the log
    somewhere it stays.
    """
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    if plugin is None or config.getoption("log_file", None) or config.getini("log_file") or config.getini("log_cli"):
        return
    config.pluginmanager.unregister(plugin)
    plugin.pytest_unconfigure()  # which closes its file


def _unfreeze(config: pytest.Config) -> None:
    if FROZEN in config.stash:
        gc.unfreeze()


# Each case ----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Skip what is not about this run without setting anything up: without a GPU half of all cases are that.

    The reports are those that pytest would make; its own way to them takes as long as running many a case. It is left
    to go that way where a class ends, since then what others have set up may have to be taken down.
    """
    ours = CASE in item.stash
    if WATCHDOG in item.config.stash:
        watchdog = item.config.stash[WATCHDOG]
        watchdog.case_begins() if ours else watchdog.rest()
    if ours:
        _advance(item)
    reason = _passed_by(item)
    if reason is None or nextitem is None or nextitem.parent is not item.parent:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    shape = partial(pytest.TestReport, item.nodeid, item.location, {item.name: 1}, start=time.time(), stop=time.time())
    skipped = shape(outcome="skipped", longrepr=_where_skipped(reason), when="setup")
    _attach(skipped, item, item.stash[CASE], {})
    for report in (skipped, shape(outcome="passed", longrepr=None, when="teardown")):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(specname="pytest_runtest_setup", tryfirst=True)
def pytest_skip_before_setting_up(item: pytest.Item) -> None:
    """Skip a case that is not about this run before its fixtures are set up."""
    if reason := _passed_by(item):
        pytest.skip(reason)


def _passed_by(item: pytest.Item) -> str | None:
    """Why a case is not to be run: what was known when it was collected, or the absence of its device."""
    case = item.stash.get(CASE, None)
    if case is None:
        return None
    return item.stash.get(PASSED_BY, None) or (devices.absent(case.device) if case.device else None)


def _where_skipped(reason: str) -> tuple[str, int, str]:
    """Where and why a case was skipped, as pytest reports it: one place, so that it counts them in one line."""
    return __file__, pytest_skip_before_setting_up.__code__.co_firstlineno, f"Skipped: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Read the guarded state before anything of the case runs."""
    case = item.stash.get(CASE, None)
    if case is None and AFTER in item.config.stash:
        del item.config.stash[AFTER]
    if case is not None and not _passed_by(item):
        import torch

        from pitfalls.harness import guard

        reseeded = item.config.pluginmanager.hasplugin("randomly")
        item.stash[STATE] = guard.read(
            ignored=guard.RESEEDED if reseeded else frozenset(), known=item.config.stash.get(AFTER, None)
        )
        observed.clear()
        # Warnings from torch's C++ side come once a process; a pin must find them whichever pins ran before it.
        torch.set_warn_always(True)
        with _limited(item):
            return (yield)
    return (yield)


def _limited(item: pytest.Item) -> AbstractContextManager[None]:
    return limited(item.stash[CASE].key, slow=item.get_closest_marker("slow") is not None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Give the pin its time and no more, and note what it expects and gets, for the record."""
    if CASE not in item.stash:
        return (yield)
    with _limited(item):
        if not recording(item.config):
            return (yield)
        from pitfalls.harness.recording import listening

        with listening() as notes:
            item.stash[NOTES] = notes
            return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a case that leaves torch's state, or the process's, other than it found it."""
    try:
        with _limited(item) if STATE in item.stash else nullcontext():
            result = yield
    finally:
        state = item.stash.get(STATE, None)
        if state is not None:
            import torch

            from pitfalls.harness import guard

            torch.set_warn_always(state["warn-always"])
            leaked, after = guard.leaks(state)
            del item.stash[STATE]  # it is large, and there are thousands of items
            item.config.stash[AFTER] = after
    if state is not None and leaked:
        pytest.fail(f"{item.stash[CASE].key} leaks " + "; ".join(leaked), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach to a report what the summary needs, and to a failing one its story."""
    report = yield
    case = item.stash.get(CASE, None)
    if case is None:
        if report.failed and call.excinfo is not None and item.config.getoption("pitfalls_explain_errors", False):
            _explain(report, call.excinfo.exconly())
        return report
    if report.passed and report.when != "call":
        return report  # pytest keeps every report, and there are thousands of these
    if report.skipped and (reason := _passed_by(item)):
        report.longrepr = _where_skipped(reason)
    _attach(report, item, case, _found(item, call) if recording(item.config) else {})
    if report.failed and call.excinfo is not None and call.when == "call":
        import torch

        from pitfalls.harness import story

        text = story.tell(case, call.excinfo.exconly(tryshort=True), str(torch.__version__))
        report.sections.append(("torch-pitfalls", text))
    return report


def _attach(report: pytest.TestReport, item: pytest.Item, case: Case, found: dict[str, Any]) -> None:
    """Say in a report which case it is about; xdist carries plain attributes to the process that tells the story."""
    about: dict[str, Any] = {
        "slug": case.slug,
        "key": case.key,
        "device": case.device,
        "statement": case.statement,
        "inapplicable": bool(case.inapplicable),
        "problem": {"setup": "could not run", "call": "failed", "teardown": "leaked"}[report.when or "call"],
    }
    if recording(item.config):
        # As a text: xdist's own serialization has no room for some integers that a pin may observe.
        about |= {"told": case.told, "found": json.dumps(found)}
    report.pitfall = about  # type: ignore[attr-defined]


def _explain(report: pytest.TestReport, error: str) -> None:
    """Put the pitfall that knows an error below the report of somebody's own test."""
    from pitfalls.harness import catalogue, program, reading

    found = program.known(error, catalogue.entries())
    if found:
        report.sections.append(("torch-pitfalls knows this error", reading.candidates(found, most=3)))


def recording(config: pytest.Config) -> bool:
    """Whether this run is to be recorded or compared, so that its cases note more than their outcome."""
    return bool(config.getoption("pitfalls_record", None) or config.getoption("pitfalls_compare", None))


def _found(item: pytest.Item, call: pytest.CallInfo[None]) -> dict[str, Any]:
    """What a case found out in the phase that ended, as it goes into a record."""
    from pitfalls.harness.record import plain, stable

    if call.when != "call":
        return (
            {"detail": stable(call.excinfo.exconly(tryshort=True))} if call.excinfo and call.when == "teardown" else {}
        )
    found: dict[str, Any] = {}
    if observed:
        found["observed"] = {name: plain(value) for name, value in sorted(observed.items())}
    if NOTES in item.stash:
        found |= item.stash[NOTES].as_json()
    if call.excinfo is not None:
        text = call.excinfo.exconly(tryshort=True)
        found["detail"] = stable(text)
        if text.startswith("Failed: DID NOT RAISE"):
            found["how"] = "no longer raises"
        elif text.startswith("Failed: DID NOT WARN"):
            found["how"] = "no longer warns as documented"
        elif not call.excinfo.errisinstance(AssertionError):
            found["how"] = "now raises"
    return found
