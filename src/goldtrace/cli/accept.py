"""``goldtrace accept``: take the candidate goldens of a CI run's report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from goldtrace.workflow.accepting import Acceptance


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "accept",
        help="take the candidate goldens of a CI job's report, without training",
        description="Read the candidates that a failing check stored in its report, prove that "
        "they are whole and still fit this checkout, show what changes, and write goldens and "
        "ledger. No GPU and no training is needed.",
        epilog="example: goldtrace accept golden-report-cuda.zip --reason 'cosine schedule'",
    )
    parser.add_argument(
        "report",
        type=Path,
        metavar="REPORT",
        help="the report's directory, or the zip as GitHub and GitLab serve it",
    )
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="whose candidates (default: all that are there)"
    )
    options.add_golden_dir(parser)
    options.add_json(parser)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the ledger")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, write nothing")
    options.add_in_ci(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Verify everything, show everything, then write."""
    from goldtrace.store.golden import GoldenStore, PlanAction
    from goldtrace.workflow.accepting import accept, plan_acceptance

    options.require_writing_goldens(arguments, "accept")
    store = GoldenStore(arguments.golden_dir)
    acceptances = plan_acceptance(
        arguments.report,
        list(dict.fromkeys(arguments.runs)),
        store=store,
        root=options.root_of(arguments.golden_dir),
        reason=arguments.reason,
    )
    for acceptance in acceptances:
        print(_screen(acceptance))
    for acceptance in () if arguments.dry_run else acceptances:
        accept(acceptance, store=store)
        recorded = acceptance.recorded
        if recorded.action is not PlanAction.UNCHANGED:
            place = arguments.golden_dir / recorded.name / recorded.platform
            print(f"written: {place}", flush=True)
    options.write_json(
        arguments.json,
        {
            "schema": 1,
            "accepted": [
                {
                    "name": each.recorded.name,
                    "platform": each.recorded.platform,
                    "action": each.recorded.action.value,
                    "moved": each.recorded.moved,
                    "processes": each.recorded.processes,
                    "golden": each.recorded.plan.entry.golden,
                    "previous": each.recorded.plan.entry.previous,
                    "notes": list(each.notes),
                }
                for each in acceptances
            ],
        },
    )
    return ExitCode.PASS


def _screen(acceptance: Acceptance) -> str:
    """What a reviewer reads of one candidate."""
    from goldtrace.report.text import plain
    from goldtrace.workflow.sentences import describe_calibration, describe_recorded

    recorded, manifest = acceptance.recorded, acceptance.manifest
    lines = [describe_recorded(recorded, dry_run=True), f"  {describe_calibration(recorded)}"]
    changed = recorded.plan.entry.environment_changes
    if changed:
        shown = [f"{c.what} {c.golden or 'absent'} → {c.now or 'absent'}" for c in changed[:5]]
        more = [f"and {len(changed) - 5} more"] if len(changed) > 5 else []  # noqa: PLR2004 - five
        lines.append(f"  changed: {'; '.join([*shown, *more])}")
    cause = f" ({manifest.cause})" if manifest.cause else ""
    made = ", ".join(f"{key} {value}" for key, value in manifest.environment.items())
    lines.append(f"  from: a check with the verdict {manifest.verdict}{cause}; {made}")
    lines += [f"  note: {note}" for note in acceptance.notes]
    # Names come from a file: a control character must not reach the terminal.
    return "\n".join(map(plain, lines))
