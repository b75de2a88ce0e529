"""The report on a run: which pitfalls still hold, on which device, whether that was all of them, and its record."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pitfalls.harness import environment, source, verdict
from pitfalls.harness.words import plural

if TYPE_CHECKING:
    from pitfalls.harness.compare import Comparison
    from pitfalls.harness.record import Record


class Summary:
    """Follows a run from the one process that reports on it, under xdist the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.started = time.monotonic()
        self.filtered = bool(config.getoption("pitfalls_quick", False))
        self.collection_failed = False
        self.interrupted = False
        self.outcomes: dict[str, str] = {}
        self.cases: dict[str, dict[str, Any]] = {}
        self.skips: Counter[tuple[str, str]] = Counter()
        self.found: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.messages: list[str] = []
        self.comparison: Comparison | None = None
        self.record_path: Path | None = config.getoption("pitfalls_record", None)
        self.baseline = self._read_baseline(config.getoption("pitfalls_compare", None))
        if self.record_path is not None:
            from pitfalls.harness.record import refuse_to_overwrite

            self.record_path = self.record_path.absolute()
            if reason := refuse_to_overwrite(self.record_path):
                raise pytest.UsageError(f"--record {self.record_path}: {reason}")

    @staticmethod
    def _read_baseline(path: Path | None) -> Record | None:
        if path is None:
            return None
        from pitfalls.harness.record import RecordError, read

        try:
            return read(path)
        except RecordError as error:
            pytest.exit(f"--compare: {error}", returncode=verdict.INCOMPLETE)

    # Following the run ----------------------------------------------------------------------------------------------

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Remember that a filter took something away; it may have been cases of ours."""
        self.filtered = self.filtered or bool(items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what a worker of xdist knows beyond its reports."""
        self.filtered = self.filtered or bool(getattr(node, "workeroutput", {}).get("pitfalls_filtered"))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember that something could not be collected."""
        self.collection_failed = self.collection_failed or report.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in the report of one phase of a case."""
        case = getattr(report, "pitfall", None)
        if case is None:
            return
        key = case["key"]
        self.cases[key] = case
        self.keys[report.nodeid] = key
        self.found.setdefault(key, {}).update(json.loads(case.get("found", "{}")))
        if report.failed:
            # What a pin found out counts more than the state it left behind.
            if self.outcomes.get(key) != "failed":
                self.outcomes[key] = case["problem"]
        elif report.skipped:
            self.outcomes[key] = "inapplicable" if case["inapplicable"] else "skipped"
            if isinstance(report.longrepr, tuple):
                reason = str(report.longrepr[2]).removeprefix("Skipped: ")
                where = "release" if case["inapplicable"] else str(case["device"] or "no device")
                self.skips[where, reason] += 1
        elif report.when == "call":
            self.outcomes.setdefault(key, "passed")

    def pytest_warning_recorded(self, warning_message: Any, nodeid: str) -> None:
        """Take in a warning that escaped a case."""
        key = self.keys.get(nodeid)
        if key is not None:
            from pitfalls.harness.record import stable

            category = warning_message.category.__name__
            warned = {"category": category, "message": stable(str(warning_message.message))}
            self.found[key].setdefault("warned", []).append(warned)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record and compare it, once everything has run."""
        ended = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        self.interrupted = not ended or bool(session.shouldfail or session.shouldstop)
        if self.config.getoption("pitfalls_floor", False):
            self.messages += (below := [f"below the floor: {reason}" for reason in self._below_the_floor()])
            if below and ended:
                session.exitstatus = verdict.INCOMPLETE
        if self.record_path is None and self.baseline is None:
            return
        if not self.cases:
            self.messages.append("nothing of the catalogue ran, so nothing is recorded or compared")
            session.exitstatus = verdict.INCOMPLETE
            return
        content = self._content()
        if self.record_path is not None and not self._write(self.record_path, content):
            session.exitstatus = verdict.INCOMPLETE
        if self.baseline is not None:
            self._compare(self.baseline, content, session)

    def _below_the_floor(self) -> list[str]:
        """What a gate that relies on this run would miss, each in a line."""
        from pitfalls.harness import record

        reasons = []
        if not self._complete():
            ran = {case["slug"] for case in self.cases.values()}
            reasons.append(f"{len(ran)} of {len(source.slugs())} pitfalls ran")
        ran_on = Counter(
            case["device"]
            for key, case in self.cases.items()
            if self.outcomes.get(key) in ("passed", "failed", "leaked")
        )
        for device in {"cpu", *self.config.getoption("pitfalls_require_device", [])}:
            skipped = sum(number for (where, _), number in self.skips.items() if where == device)
            if skipped or not ran_on[device]:
                reasons.append(f"{ran_on[device]} cases ran on {device}, {skipped} were skipped")
        torch = environment.facts(with_gpu=False)["torch"].partition("+")[0]
        if torch in record.shipped():
            manifest = record.find(torch)
            known = sum(key.endswith("@cpu") and case["outcome"] == "passed" for key, case in manifest.cases.items())
            if manifest.footer["catalogue"] == source.digest() and ran_on["cpu"] < known:
                reasons.append(f"{ran_on['cpu']} cases ran on the CPU, {known} are known to on torch {torch}")
        return reasons

    def _content(self) -> dict[str, Any]:
        from pitfalls import __version__
        from pitfalls.harness import apidocs
        from pitfalls.harness.record import build, unique

        devices = {str(case["device"]) for case in self.cases.values() if case["device"]}
        absent = {
            device: next(reason for where, reason in sorted(self.skips) if where == device)
            for device in devices
            if {self.outcomes.get(key) for key, case in self.cases.items() if case["device"] == device}
            <= {"skipped", "inapplicable"}
            and any(where == device for where, _ in self.skips)
        }
        cases = {}
        for key, case in self.cases.items():
            if case["device"] in absent:
                continue
            found = {name: value for name, value in self.found[key].items() if value}
            if "warned" in found:
                found["warned"] = unique(found["warned"])
            cases[key] = {"outcome": self.outcomes.get(key, "could not run"), **found}
        told = {case["slug"]: case["told"] for case in self.cases.values()}
        names = {name for one in told.values() for name in one["docs"] if name.startswith("torch.") and "/" not in name}
        return build(
            environment=environment.facts(
                with_gpu="cuda" in {device.partition(":")[0] for device in devices - absent.keys()}
            ),
            suite=__version__,
            catalogue=source.digest(),
            pitfalls=told,
            cases=cases,
            absent=absent,
            apis={name: apidocs.describe(name) for name in names},
            complete=self._complete(),
            seconds=time.monotonic() - self.started,
        )

    def _complete(self) -> bool:
        ran = {case["slug"] for case in self.cases.values()}
        partly = any("::" in argument for argument in self.config.args)
        stopped = self.filtered or self.collection_failed or self.interrupted or partly
        return ran == set(source.slugs()) and not stopped

    def _write(self, path: Path, content: dict[str, Any]) -> bool:
        from pitfalls.harness import record

        try:
            if (
                not content["footer"]["complete"]
                and path.exists()
                and path.stat().st_size
                and record.read(path).complete
            ):
                self.messages.append(f"not recorded: {path} is a complete record, and this run is partial")
                return False
            record.write(path, content)
        except (OSError, record.RecordError) as error:
            self.messages.append(f"not recorded: {path}: {error}")
            return False
        whole = "complete" if content["footer"]["complete"] else "partial"
        self.messages.append(f"{whole} record of {plural(content['footer']['cases'], 'case')} written to {path}")
        return True

    def _compare(self, baseline: Record, content: dict[str, Any], session: pytest.Session) -> None:
        from pitfalls.harness import compare, record, runs

        live = record.Record("this run", *(content[part] for part in ("header", "pitfalls", "cases", "apis", "footer")))
        comparison = compare.compare(baseline, live)
        if comparison.changes and not comparison.incomplete:
            try:
                with runs.suite_folder() as folder:
                    flaky = runs.flaky(comparison, old_python=None, new_python=sys.executable, folder=folder)
                comparison = compare.compare(baseline, live, flaky=flaky)
            except runs.RunError as error:
                self.messages.append(f"not run a second time: {error}")
        self.comparison = comparison
        bar = compare.Kind[self.config.getoption("pitfalls_fail_on")]
        if comparison.incomplete:
            session.exitstatus = verdict.INCOMPLETE
        elif comparison.at_or_above(bar):
            session.exitstatus = verdict.CHANGED

    # Telling it -----------------------------------------------------------------------------------------------------

    def with_outcome(self, wanted: str) -> dict[str, list[dict[str, Any]]]:
        """The cases that ended so, by pitfall."""
        found: dict[str, list[dict[str, Any]]] = {}
        for key, outcome in self.outcomes.items():
            if outcome == wanted:
                found.setdefault(self.cases[key]["slug"], []).append(self.cases[key])
        return found

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary, if any case of the catalogue ran, and what changed, if that was asked for."""
        write = terminalreporter.write_line
        if self.cases:
            self._write_summary(terminalreporter)
        for message in self.messages:
            write(message, yellow="not " in message)
        if self.comparison is not None:
            from pitfalls.harness import compare, report

            terminalreporter.write_sep("=", "what changed")
            bar = compare.Kind[self.config.getoption("pitfalls_fail_on")]
            for line in report.terminal(self.comparison, bar).splitlines():
                write(line)

    def _write_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from pitfalls import __version__

        write = terminalreporter.write_line
        used = {
            str(case["device"]).partition(":")[0] for key, case in self.cases.items() if self.outcomes[key] == "passed"
        }
        facts = environment.facts(with_gpu="cuda" in used)
        terminalreporter.write_sep("=", f"torch-pitfalls {__version__} on torch {facts['torch']}")
        write(environment.line(facts))
        broken = self.with_outcome("failed")
        held = self.with_outcome("passed").keys() - broken.keys()
        if broken:
            verb = "pitfall no longer holds" if len(broken) == 1 else "pitfalls no longer hold"
            write(f"{len(broken)} {verb} as documented:", red=True, bold=True)
            for slug, cases in sorted(broken.items()):
                devices = sorted({str(case["device"]) for case in cases if case["device"]})
                on = f" on {', '.join(devices)}" if devices else ""
                write(f"  {slug}: {cases[0]['statement']} ({plural(len(cases), 'case')}{on})", red=True)
        for problem in ("leaked", "could not run"):
            for slug, cases in sorted(self.with_outcome(problem).items()):
                write(f"  {slug}: {plural(len(cases), 'case')} {problem}: {cases[0]['key']}", red=True)
        write(f"{plural(len(held), 'pitfall')} still {'holds' if len(held) == 1 else 'hold'}", green=not broken)
        self._write_devices(write)
        self._write_completeness(write)

    def _write_devices(self, write: Any) -> None:
        devices = sorted({str(case["device"] or "") for case in self.cases.values()}, key=lambda d: (d == "", d))
        for device in devices:
            keys = [key for key, case in self.cases.items() if str(case["device"] or "") == device]
            counts = Counter(self.outcomes.get(key) for key in keys)
            said = [f"{plural(counts['passed'], 'case')} {'holds' if counts['passed'] == 1 else 'hold'}"]
            if counts["failed"]:
                said.append(f"{counts['failed']} no longer")
            said += [
                f"{number} skipped ({reason})"
                for (where, reason), number in sorted(self.skips.items())
                if where == (device or "no device")
            ]
            write(f"  {device or 'no device':<10} " + ", ".join(said))
        elsewhere = {reason: number for (where, reason), number in sorted(self.skips.items()) if where == "release"}
        if elsewhere:
            said = [f"{number} {reason}" for reason, number in elsewhere.items()]
            write(f"  {plural(sum(elsewhere.values()), 'case')} not about this torch: " + ", ".join(said))

    def _write_completeness(self, write: Any) -> None:
        catalogue = set(source.slugs())
        ran = {case["slug"] for case in self.cases.values()} & catalogue
        if not ran:
            return
        if self._complete():
            write(f"all {len(catalogue)} of {len(catalogue)} pitfalls in the catalogue ran")
            return
        left_out = [f"{len(ran)} of {len(catalogue)} pitfalls in the catalogue ran"]
        if self.filtered:
            left_out.append("a filter took cases away")
        if self.collection_failed:
            left_out.append("some modules could not be collected")
        write("partial run: " + "; ".join(left_out), yellow=True)
