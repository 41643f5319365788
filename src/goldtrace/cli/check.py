"""``goldtrace check``: run and compare."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.cli.progress import announce, counting, watching
from goldtrace.errors import ExitCode, GoldtraceError, UsageError
from goldtrace.model.verdict import Proposal, Verdict

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from goldtrace.model.spec import RunSpec
    from goldtrace.model.verdict import RunResult
    from goldtrace.store.golden import GoldenStore


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="train the declared runs and compare them with their goldens",
        description="Train each declared run in a fresh pinned process and hold its trace against "
        "the stored golden: what `pytest golden` does, without pytest.",
        epilog="example: goldtrace check transformer --jobs 2 --report golden-report",
    )
    options.add_runs(parser)
    options.add_json(parser)
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument(
        "-q", "--quiet", action="store_true", help="say a line for each run that failed, no more"
    )
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="list every difference of a run that failed"
    )
    parser.add_argument(
        "--jobs",
        type=options.at_least(1),
        default=1,
        metavar="N",
        help="runs side by side (default: 1)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="a run whose data or device is absent fails too"
    )
    parser.add_argument(
        "--nearest",
        action="store_true",
        help="where this platform has no golden, take the calibrated one of another platform",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.html, report.md, report.json, GitLab's files and the traces there, "
        "and candidate goldens of failing runs",
    )
    parser.add_argument(
        "--no-candidates",
        action="store_false",
        dest="candidates",
        help="store no candidate goldens: each takes one more training, and those of a calibration",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Check, show, and answer with the exit status of the worst result."""
    from goldtrace.report.ci import publish
    from goldtrace.report.document import to_document
    from goldtrace.report.folder import make_folder
    from goldtrace.store.golden import GoldenStore
    from goldtrace.workflow.checking import CheckInterrupted, check
    from goldtrace.workflow.selecting import select

    if arguments.nearest and arguments.strict:
        raise UsageError("--strict allows no other platform's golden", found="--nearest")
    runs = select(arguments.golden_dir, arguments.runs, arguments.device)
    store, root = GoldenStore(arguments.golden_dir), options.root_of(arguments.golden_dir)
    if arguments.report is not None:
        make_folder(arguments.report)
    try:
        with watching(store) if not arguments.quiet else nullcontext() as watch:
            results = check(
                runs,
                store=store,
                root=root,
                jobs=arguments.jobs,
                nearest=arguments.nearest,
                report=arguments.report,
                progress=announce if not arguments.quiet else lambda _: None,
                watch=watch or (lambda *_: nullcontext()),
            )
    except CheckInterrupted as interrupted:
        _write(interrupted.results, arguments)
        raise
    # Before anything is printed, and before the candidates: the verdicts are there whatever
    # becomes of standard output, and of further training.
    _write(results, arguments)
    show(results, quiet=arguments.quiet, verbose=arguments.verbose)
    if arguments.report is not None:
        results = _with_candidates(runs, results, store, arguments)
        _write(results, arguments)
    document = to_document(results)
    if str(arguments.json) == "-":
        options.write_json(arguments.json, document)
    for line in publish(document, root=root, variables=os.environ, golden=arguments.golden_dir):
        print(line)
    return exit_code(results, strict=arguments.strict)


def _write(results: Sequence[RunResult], arguments: argparse.Namespace) -> None:
    """The files that were asked for, each at once in the place of an earlier one."""
    from goldtrace.report.document import to_document
    from goldtrace.report.folder import write_report

    document = to_document(results)
    if arguments.report is not None:
        golden = arguments.golden_dir
        write_report(arguments.report, document, root=options.root_of(golden), golden=golden)
    if str(arguments.json) != "-":
        options.write_json(arguments.json, document)


def show(results: Sequence[RunResult], *, quiet: bool, verbose: bool) -> None:
    """The failures, each as long as is wanted, and the table of all runs."""
    from goldtrace.report.phrases import headline
    from goldtrace.report.terminal import render_comparison, render_failure, render_table

    for result in results:
        if result.passed or result.skipped is not None:
            continue
        if quiet:
            print(headline(result))
            continue
        print(render_failure(result), end="\n\n")
        if verbose and result.comparison is not None and result.comparison.divergences:
            print(render_comparison(result), end="\n\n")
    if quiet:
        return
    print(render_table(results))
    for result in results:
        # What a failure shows with its finding, a run that passes would keep to itself.
        if result.passed and result.comparison is not None:
            for note in result.comparison.notes:
                print(f"note: {result.name} on {result.device}: {note}")


def _with_candidates(
    runs: Sequence[tuple[RunSpec, str]],
    results: Sequence[RunResult],
    store: GoldenStore,
    arguments: argparse.Namespace,
) -> list[RunResult]:
    """Propose a golden for each run that failed, and say so; the results name what was stored."""
    from goldtrace.model.codec import decode_trace, read_files
    from goldtrace.report.document import to_document
    from goldtrace.workflow.checking import trace_folder
    from goldtrace.workflow.proposing import (
        clear_candidates,
        deserves_candidate,
        propose_declared,
    )
    from goldtrace.workflow.sentences import describe_proposal

    report = arguments.report
    proposals = {}
    for spec, device in runs if arguments.candidates else ():
        [result] = [each for each in results if (each.name, each.device) == (spec.name, device)]
        if not deserves_candidate(result):
            continue
        try:
            trace = decode_trace(read_files(trace_folder(report, spec.name, device)))
        except (GoldtraceError, OSError) as error:
            why_not = f"its trace cannot be read: {error}"
            proposals[spec.name, device] = Proposal(why_not=why_not)
            continue
        with counting(f"the candidate of {spec.name} on {device}") as counted:
            proposals[spec.name, device] = propose_declared(
                spec,
                result,
                trace,
                store=store,
                root=options.root_of(arguments.golden_dir),
                report=report,
                progress=announce,
                counted=counted,
            )
    done = [replace(each, proposal=proposals.get((each.name, each.device))) for each in results]
    clear_candidates(report, to_document(done)["runs"])
    for each in done:
        if each.proposal is not None:
            text = describe_proposal(
                each.name,
                each.device,
                each.proposal,
                report,
                golden_dir=arguments.golden_dir,
            )
            print(text)
    return done


def exit_code(results: Iterable[RunResult], *, strict: bool) -> ExitCode:
    """Drift outweighs a missing golden, which outweighs what couldn't be judged."""
    codes = {_code(result, strict=strict) for result in results}
    order = (ExitCode.DRIFT, ExitCode.UNUSABLE, ExitCode.USAGE, ExitCode.INCONCLUSIVE)
    return next((code for code in order if code in codes), ExitCode.PASS)


def _code(result: RunResult, *, strict: bool) -> ExitCode:
    if result.passed:
        return ExitCode.PASS
    if result.skipped is not None:
        return ExitCode.INCONCLUSIVE if strict else ExitCode.PASS
    if result.verdict is None:
        return ExitCode(getattr(result.error, "exit_code", ExitCode.INCONCLUSIVE))
    if result.verdict in (Verdict.MISSING, Verdict.INCOMPARABLE):
        return ExitCode.UNUSABLE
    return ExitCode.DRIFT
