"""Candidate goldens of tests: a second fresh process must agree, as for a golden."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.errors import GoldtraceError
from goldtrace.model.codec import decode_trace, read_files
from goldtrace.model.verdict import Proposal
from goldtrace.report.document.check import proposal_document
from goldtrace.session.outcome import attach, outcome_of
from goldtrace.session.updating import calibration_by
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.proposing import propose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from goldtrace.model.noise import Noise
    from goldtrace.session.settings import Settings
    from goldtrace.session.updating import Attempt


def owes_candidate(reports: list[pytest.TestReport], settings: Settings) -> bool:
    """Whether the verdict, and nothing else, has failed a test whose report is kept."""
    if not settings.proposes:
        return False
    failed = [report for report in reports if not report.passed]
    if len(failed) != 1 or failed[0].when != "call" or not failed[0].failed:
        return False
    outcome = outcome_of(failed[0])
    # Judged, and judged badly: whatever else fails a test leaves it without a verdict.
    return outcome is not None and outcome.run["verdict"] is not None and not outcome.run["passed"]


def propose_for_test(
    reports: list[pytest.TestReport],
    folder: Path,
    settings: Settings,
    *,
    again: Callable[[], Attempt],
    perturbed: Callable[[Noise], Attempt],
) -> None:
    """Store the candidate of a test that its verdict failed, and hang that on its report.

    ``folder`` holds the trace that was judged; ``again`` runs the test in another fresh process,
    ``perturbed`` with noise in its gradients.
    """
    [report] = [report for report in reports if not report.passed]
    outcome = outcome_of(report)
    if outcome is None or settings.report is None:
        return
    try:
        trace = decode_trace(read_files(folder))
    except (GoldtraceError, OSError) as error:
        proposal = Proposal(why_not=f"its trace cannot be read: {error}")
    else:
        proposal = propose(
            outcome.run["verdict"],
            trace,
            lambda: again().trace(),
            store=GoldenStore(settings.golden_dir),
            root=settings.root,
            report=settings.report,
            calibrate=calibration_by(perturbed) if settings.calibrate else None,
            cause=(outcome.run["first_divergence"] or {}).get("class"),
        )
    run = {**outcome.run, "candidate": proposal_document(proposal)}
    attach(report, replace(outcome, run=run))


def announce(config: pytest.Config, sentence: str) -> None:
    """Say on the terminal what takes time after a verdict; nothing under ``-q``, or in a worker."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or terminal.verbosity < 0:
        return
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        terminal.write_line(f"goldtrace: {sentence}")
        return
    with capture.global_and_fixture_disabled():
        terminal.ensure_newline()
        terminal.write_line(f"goldtrace: {sentence}")
