"""What is said of goldens that were recorded or proposed: one line each, or two."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.store.golden import PlanAction
from goldtrace.workflow.commands import golden_option

if TYPE_CHECKING:
    from goldtrace.model.verdict import Proposal
    from goldtrace.workflow.certifying import Recorded


def describe_recorded(recorded: Recorded, *, dry_run: bool = False) -> str:
    """One line: what was written, or would be, and how far the golden moved."""
    would = "would be " if dry_run and recorded.action is not PlanAction.UNCHANGED else ""
    return (
        f"{recorded.name}  {recorded.platform}  {would}{recorded.action.value}  "
        f"({recorded.processes} processes agree)  {recorded.moved}"
    )


def describe_calibration(recorded: Recorded) -> str:
    """One line: how far the golden can tell rounding from drift, or why it can't."""
    calibration = recorded.calibration
    if calibration is None:
        return f"not calibrated: {recorded.uncalibrated}"
    last = recorded.trace.steps[-1].number
    each = ", ".join(f"{name} {step}" for name, step in sorted(calibration.horizons.items()))
    return f"calibrated, horizon: step {calibration.horizon} of {last} ({each})"


def describe_written(recorded: Recorded) -> str:
    """One line: what a test session wrote, and on what evidence."""
    return (
        f"{recorded.name} [{recorded.platform}] {recorded.action.value}: {recorded.moved} "
        f"({recorded.processes} fresh processes agreed; {describe_calibration(recorded)})"
    )


def describe_proposal(
    name: str, device: str, proposal: Proposal, report: Path, *, golden_dir: Path
) -> str:
    """One or two lines: where the candidate is and how it is accepted, or why there is none."""
    with contextlib.suppress(ValueError):
        report = report.relative_to(Path.cwd())
    if proposal.folder is None:
        return f"{name} [{device}]: no candidate golden: {proposal.why_not}"
    return (
        f"{name} [{device}]: candidate golden in {report / proposal.folder}\n"
        f"  if meant: goldtrace accept {shlex.quote(str(report))} {shlex.quote(name)}"
        f"{golden_option(golden_dir)} --reason '…'"
    )
