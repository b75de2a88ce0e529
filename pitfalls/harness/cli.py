"""``python -m pitfalls``: what changes between two torches, and what each pitfall is about."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pitfalls import __version__
from pitfalls.harness import catalogue, compare, known, record, report, usage, verdict
from pitfalls.harness.words import plural

EXIT_CODES = "exit codes: 0 nothing that counts changed, 10 something did, 11 no verdict could be reached, 2 bad usage"


def progress(line: str) -> None:
    """Tell the person at the terminal what is going on, apart from the result."""
    print(f"pitfalls: {line}", file=sys.stderr, flush=True)


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    example: str,
    note: str = EXIT_CODES,
) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}\n{note}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _output_options(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print Markdown, for a pull request")
    form.add_argument("--annotations", action="store_true", help="print commands that annotate a GitHub pull request")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a self-contained page")
    parser.add_argument(
        "--code", type=Path, action="append", default=[], metavar="PATH", help="rank what this code uses first"
    )
    parser.add_argument(
        "--known", type=Path, metavar="FILE", help="accepted changes (default: pitfalls.toml, pyproject.toml)"
    )
    parser.add_argument(
        "--fail-on",
        choices=[kind.name for kind in sorted(compare.Kind, reverse=True)],
        default=compare.Kind.behaviour.name,
        help="the mildest change that counts (default: %(default)s)",
    )


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", action="append", default=[], metavar="NAME", help="as for pytest --device; repeatable"
    )


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    main = argparse.ArgumentParser(prog="torch-pitfalls", description=__doc__, allow_abbrev=False)
    main.add_argument("--version", action="version", version=f"torch-pitfalls {__version__}")
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB")

    diff = _verb(
        verbs, "diff", "Compare two records, without torch.", "torch-pitfalls diff 2.8 2.13 --html report.html"
    )
    diff.add_argument("old", nargs="?", help="a record's file, or a release whose record comes with the suite")
    diff.add_argument("new", nargs="?", help="likewise")
    diff.add_argument("--to", metavar="RELEASE", help="run the suite here and compare with the record of this release")
    _output_options(diff)
    _run_options(diff)

    pair = _verb(
        verbs,
        "compare",
        "Run the suite under two interpreters.",
        "torch-pitfalls compare old/bin/python new/bin/python",
    )
    pair.add_argument("old", metavar="OLD_PYTHON")
    pair.add_argument("new", metavar="NEW_PYTHON")
    _output_options(pair)
    _run_options(pair)

    upgrade = _verb(
        verbs, "upgrade", "Try a torch before you install it.", "torch-pitfalls upgrade torch==2.15.0 --code src/"
    )
    upgrade.add_argument("requirement", help="the candidate, such as torch==2.15.0")
    upgrade.add_argument("--from", dest="base", metavar="REQUIREMENT", help="compare with this torch, not with yours")
    upgrade.add_argument("--python", default=sys.executable, help="interpreter for the throw-away environments")
    upgrade.add_argument(
        "--with", dest="extra", action="append", default=[], metavar="REQUIREMENT", help="install this too"
    )
    upgrade.add_argument("--index-url", help="package index")
    _output_options(upgrade)
    _run_options(upgrade)

    merge = _verb(
        verbs,
        "merge",
        "Put records together: a line for each torch and device, and one record of one torch.",
        "torch-pitfalls merge cpu.json cuda.json --out all.json",
        "exit codes: 0, 11 if the records can't be put together, 2 bad usage",
    )
    merge.add_argument("records", nargs="+", help="files, or releases whose record comes with the suite")
    merge.add_argument("--out", type=Path, metavar="FILE", help="write them as one record; they must be of one torch")

    _reading_verbs(verbs)
    return main


def _reading_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = _verb(verbs, "list", "List the pitfalls.", "torch-pitfalls list --area autograd", "")
    listing.add_argument("--area", metavar="NAME", help="only this area, such as autograd")
    listing.add_argument("--device", metavar="TYPE", help="only those with a case on this device type")
    listing.add_argument("--changed-in", metavar="RELEASE", help="only those that a release changed, such as 2.6")
    listing.add_argument("--json", action="store_true", help="print JSON")

    explain = _verb(
        verbs,
        "explain",
        "Explain a pitfall, or find the pitfall behind an error message.",
        'torch-pitfalls explain "RuntimeError: a leaf Variable that requires grad ..."',
        "give a slug, a message, or '-' to read a whole traceback from standard input",
    )
    explain.add_argument("what", nargs="+", help="a slug, an error message, or '-'")
    explain.add_argument("--json", action="store_true", help="print JSON")

    cite = _verb(verbs, "cite", "Print how to cite a pitfall.", "torch-pitfalls cite grad-accumulates", "")
    cite.add_argument("slug")
    cite.add_argument("--json", action="store_true", help="print JSON")

    show = _verb(
        verbs,
        "show",
        "Print a pitfall as a script that runs without pytest.",
        "torch-pitfalls show grad-accumulates | python",
        "",
    )
    show.add_argument("slug")

    site = _verb(
        verbs,
        "site",
        "Build the site: a page for each pitfall and each release.",
        "torch-pitfalls site build/site",
        "needs Sphinx and its theme: pip install 'torch-pitfalls[site]'",
    )
    site.add_argument("target", type=Path, metavar="FOLDER", help="where to; an earlier site there is replaced")

    ledger = _verb(
        verbs,
        "claims",
        "Say how much of what torch documents is pinned, and what its documentation changed.",
        "torch-pitfalls claims --open",
        "exit codes: 0, or 10 if the installed torch documents what the ledger does not know",
    )
    ledger.add_argument("--open", action="store_true", help="list the claims that could be pinned and are not")
    ledger.add_argument("--json", action="store_true", help="print JSON")

    run = _verb(
        verbs,
        "run",
        "Run a program, and explain the error that it dies of.",
        "torch-pitfalls run train.py --epochs 3",
        "the program's output and exit code are its own; the explanation goes to standard error",
    )
    run.add_argument("script", type=Path)
    run.add_argument("arguments", nargs=argparse.REMAINDER)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from pitfalls.harness.runs import RunError
    from pitfalls.harness.site import SiteError

    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return VERBS[options.verb](options)
    except (record.RecordError, known.KnownError, RunError) as error:
        print(f"torch-pitfalls: {error}", file=sys.stderr)
        return verdict.INCOMPLETE
    except (FileNotFoundError, catalogue.UnknownError, SiteError) as error:
        print(f"torch-pitfalls: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return verdict.INCOMPLETE
    except OSError as error:
        print(f"torch-pitfalls: the output can't be written: {error.strerror}", file=sys.stderr)
        # What is still buffered can't be written either, and must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return verdict.INCOMPLETE
    except KeyboardInterrupt:
        print("torch-pitfalls: interrupted; nothing was left behind", file=sys.stderr)
        return 130


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _diff(options: argparse.Namespace) -> int:
    if options.to:
        if options.new:
            parser().error("diff takes two records, or --to with at most one")
        from pitfalls.harness import runs

        new = record.find(options.to)
        if options.old:
            old = record.find(options.old)
        else:
            progress("running the suite here")
            with runs.suite_folder() as folder:
                old = runs.record(sys.executable, folder, devices=options.device)
        return _tell(compare.compare(old, new), options)
    if not (options.old and options.new):
        parser().error("diff takes two records, or --to RELEASE")
    return _tell(compare.compare(record.find(options.old), record.find(options.new)), options)


def _compare(options: argparse.Namespace) -> int:
    from pitfalls.harness import runs

    with runs.suite_folder() as folder:
        return _sides(options, folder, options.old, options.new)


def _sides(options: argparse.Namespace, folder: Path, old_python: str, new_python: str) -> int:
    from pitfalls.harness import runs

    progress(f"running the suite under {old_python}")
    old = runs.record(old_python, folder, devices=options.device)
    progress(f"torch {old.torch}: {len(old.cases)} cases; running them once more, to compare the suite with itself")
    itself = compare.compare(old, runs.record(old_python, folder, devices=options.device))
    progress(f"running the suite under {new_python}")
    new = runs.record(new_python, folder, devices=options.device)
    progress(f"torch {new.torch}: {len(new.cases)} cases")
    found = compare.compare(old, new)
    if itself.changes:
        disagreeing = sorted({change.subject for change in itself.changes})
        found.incomplete.append(
            f"inconclusive: on the old side alone, the suite disagrees with itself: {', '.join(disagreeing)}"
        )
    elif found.changes:
        progress("running the changed cases again")
        flaky = runs.flaky(found, old_python=old_python, new_python=new_python, folder=folder)
        found = compare.compare(old, new, flaky=flaky)
    return _tell(found, options)


def _upgrade(options: argparse.Namespace) -> int:
    import importlib.metadata
    from contextlib import ExitStack

    from pitfalls.harness import environments, runs

    own_numpy = None if options.base else importlib.metadata.version("numpy")
    with ExitStack() as stack:
        folder = stack.enter_context(runs.suite_folder())

        def made(requirement: str) -> str:
            return stack.enter_context(
                environments.throw_away(
                    requirement,
                    python=options.python,
                    numpy=environments.numpy_requirement(requirement, own_numpy),
                    extra=options.extra,
                    index_url=options.index_url,
                    progress=progress,
                )
            )

        old_python = made(options.base) if options.base else sys.executable
        return _sides(options, folder, old_python, made(options.requirement))


def _tell(found: compare.Comparison, options: argparse.Namespace) -> int:
    if options.code:
        usage.rank(found, options.code)
    if not found.incomplete:
        known.accept(found, known.load(options.known, Path.cwd()))
    bar = compare.Kind[options.fail_on]
    if options.html:
        _write(options.html, report.page(found, bar))
    text = (
        report.as_json(found, bar)
        if options.json
        else report.markdown(found, bar)
        if options.markdown
        else report.workflow_commands(found, bar)
        if options.annotations
        else report.terminal(found, bar)
    )
    print(text, flush=True)
    return report.status(found, bar)[1]


def _write(path: Path, text: str) -> None:
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False, suffix=".html") as file:
            file.write(text)
        Path(file.name).replace(path)
    except OSError as error:
        raise record.RecordError(f"{path} can't be written: {error.strerror}") from None


def _merge(options: argparse.Namespace) -> int:
    records = [record.find(name) for name in options.records]
    content = record.merged(records) if options.out else None
    print(record.table(records))
    if content is not None:
        if reason := record.refuse_to_overwrite(options.out):
            raise record.RecordError(f"--out {options.out}: {reason}")
        record.write(options.out, content)
        progress(f"{plural(content['footer']['cases'], 'case')} written to {options.out}")
    return verdict.UNCHANGED


def _list(options: argparse.Namespace) -> int:
    from pitfalls.harness import reading

    whole = {entry.slug: entry for entry in (catalogue.entries() if options.json or options.device else [])}
    told: list[catalogue.Told] = list(whole.values()) or catalogue.told()
    areas = sorted({one.area for one in told})
    if options.area not in (None, *areas):
        raise catalogue.UnknownError(f"there is no area {options.area}; there are {', '.join(areas)}")
    chosen = [
        one
        for one in sorted(told, key=lambda one: (one.area, one.slug))
        if options.area in (None, one.area)
        and (options.device is None or options.device in whole[one.slug].devices)
        and (options.changed_in is None or options.changed_in in one.changed)
    ]
    if not chosen:
        progress("no pitfall is like that")
    print(_json([whole[one.slug].as_json() for one in chosen]) if options.json else reading.listed(chosen))
    return 0


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _entry(slug: str) -> catalogue.Entry:
    entry = catalogue.named(slug)
    if entry is None:
        nearest = catalogue.nearest(slug)
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else "; torch-pitfalls list names all there are"
        raise catalogue.UnknownError(f"there is no pitfall {slug!r}{hint}")
    return entry


def _explain(options: argparse.Namespace) -> int:
    from pitfalls.harness import reading, search

    text = sys.stdin.read() if options.what == ["-"] else " ".join(options.what)
    if not text.strip():
        raise catalogue.UnknownError("nothing to explain: give a slug or an error message")
    if re.fullmatch(r"\s*[a-z0-9]+(-[a-z0-9]+)+\s*", text):
        entry = _entry(text.strip())
        print(_json(entry.as_json()) if options.json else reading.shown(reading.explained(entry), "python"))
        return 0
    whole = {entry.slug: entry for entry in (catalogue.entries() if options.json else [])}
    found = search.search(text, whole.values() or catalogue.told())
    if options.json:
        print(_json([{"likeness": round(one.likeness, 2), **whole[one.entry.slug].as_json()} for one in found]))
    elif found:
        found[0] = replace(found[0], entry=_entry(found[0].entry.slug))  # whose explanation has paragraphs
        print(reading.candidates(found))
    if not found:
        progress("no pitfall is known by these words; try the message's last line alone, or torch-pitfalls list")
    return 0 if found else 1


def _cite(options: argparse.Namespace) -> int:
    from pitfalls.harness import reading

    forms = reading.citations(_entry(options.slug))
    print(_json(forms) if options.json else "\n\n".join(f"{form}:\n{text}" for form, text in forms.items()))
    return 0


def _show(options: argparse.Namespace) -> int:
    from pitfalls.harness import reading

    print(reading.shown(reading.script(_entry(options.slug)), "python"))
    return 0


def _run(options: argparse.Namespace) -> int:
    from pitfalls.harness import program

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return program.run(options.script, options.arguments)


def _site(options: argparse.Namespace) -> int:
    from pitfalls.harness import site

    number = site.build(options.target, progress)
    progress(f"{plural(number, 'pitfall')} in {options.target / 'index.html'}")
    return 0


def _claims(options: argparse.Namespace) -> int:
    from pitfalls.harness import claims, reading

    progress("reading the docstrings of the installed torch")
    found = claims.coverage(claims.ledger(), claims.documented())
    print(_json(reading.claims_as_json(found)) if options.json else reading.claims_told(found, every_open=options.open))
    return verdict.CHANGED if found.new or found.reworded else verdict.UNCHANGED


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "diff": _diff,
    "compare": _compare,
    "upgrade": _upgrade,
    "merge": _merge,
    "list": _list,
    "explain": _explain,
    "cite": _cite,
    "show": _show,
    "run": _run,
    "site": _site,
    "claims": _claims,
}
