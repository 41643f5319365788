"""``goldtrace record``: regenerate goldens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from goldtrace.cli import options
from goldtrace.errors import (
    DataUnavailableError,
    DeviceUnavailableError,
    ExitCode,
)

if TYPE_CHECKING:
    import argparse

    from goldtrace.model.spec import RunSpec
    from goldtrace.store.golden import GoldenStore
    from goldtrace.workflow.certifying import Recorded


def add_to(commands: Any) -> None:
    """Declare the subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "record",
        help="train the declared runs and store their traces as goldens",
        description="Train each run in several fresh processes. If they agree bit for bit, the "
        "trace becomes the golden and the ledger keeps when, who, why and how far it moved.",
        epilog="example: goldtrace record transformer --reason 'torch 2.15.0'",
    )
    options.add_runs(parser)
    options.add_json(parser)
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the ledger")
    parser.add_argument(
        "--repeat",
        type=options.at_least(2),
        default=2,
        metavar="N",
        help="fresh processes that must agree (default: 2)",
    )
    calibration = parser.add_mutually_exclusive_group()
    calibration.add_argument(
        "--no-calibrate",
        action="store_false",
        dest="calibrate",
        help="don't measure how the run amplifies rounding noise: bits that differ are drift",
    )
    calibration.add_argument(
        "--calibrate-only",
        action="store_true",
        help="measure the goldens that are there, and leave their traces as they are",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="train and show the plan, write nothing"
    )
    options.add_in_ci(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Record run after run; what was certified before an error stays written.

    4 when a run was left out because its data or device is absent.
    """
    from goldtrace.determinism import unportable
    from goldtrace.store.golden import GoldenStore
    from goldtrace.workflow.calibrating import advice
    from goldtrace.workflow.selecting import select
    from goldtrace.workflow.sentences import describe_calibration, describe_recorded

    options.require_writing_goldens(arguments, "record")
    store = GoldenStore(arguments.golden_dir)
    rows, status = [], ExitCode.PASS
    for spec, device in select(arguments.golden_dir, arguments.runs, arguments.device):
        try:
            recorded = _record(spec, device, store, arguments)
        except (DataUnavailableError, DeviceUnavailableError) as error:
            # What is absent here doesn't keep the others from being recorded.
            print(f"{spec.name}  {device}  skipped: {error}")
            status = ExitCode.INCONCLUSIVE
            continue
        print(describe_recorded(recorded, dry_run=arguments.dry_run))
        print(f"  {describe_calibration(recorded)}")
        if recorded.trace.header.unportable:
            told = unportable.warning(recorded.trace.header.unportable)
            print(f"warning: {recorded.name}: {told}", file=sys.stderr)
        if recorded.calibration is not None:
            warning = advice(recorded.calibration, recorded.trace)
            if warning is not None:
                print(f"warning: {recorded.name}: {warning}", file=sys.stderr)
        rows.append(recorded)
    document = {
        "schema": 1,
        "recorded": [
            {
                "name": row.name,
                "platform": row.platform,
                "action": row.action.value,
                "moved": row.moved,
                "processes": row.processes,
                "horizon": row.calibration.horizon if row.calibration else None,
                "uncalibrated": row.uncalibrated,
                "unportable": list(row.trace.header.unportable),
            }
            for row in rows
        ],
    }
    options.write_json(arguments.json, document)
    return status


def _record(
    spec: RunSpec, device: str, store: GoldenStore, arguments: argparse.Namespace
) -> Recorded:
    from goldtrace.cli.progress import announce, counting
    from goldtrace.workflow.certifying import calibrate_only, record

    common: dict[str, Any] = {
        "store": store,
        "root": options.root_of(arguments.golden_dir),
        "reason": arguments.reason,
        "dry_run": arguments.dry_run,
        "progress": announce,
    }
    with counting(f"{spec.name} on {device}") as counted:
        if arguments.calibrate_only:
            return calibrate_only(spec, device, counted=counted, **common)
        return record(
            spec,
            device,
            repeat=arguments.repeat,
            calibrated=arguments.calibrate,
            counted=counted,
            **common,
        )
