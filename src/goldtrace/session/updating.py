"""Writing goldens during a test session: a second fresh process must agree first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES
from goldtrace.errors import GoldtraceError, NotRepeatableError
from goldtrace.model.codec import decode_trace, read_files
from goldtrace.model.verdict import RunResult
from goldtrace.session.outcome import Outcome, attach
from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.certifying import certify_and_store
from goldtrace.workflow.checking import judge
from goldtrace.workflow.sentences import describe_written

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pytest

    from goldtrace.model.noise import Noise
    from goldtrace.model.trace import Trace
    from goldtrace.session.identity import GoldenTest
    from goldtrace.session.settings import Settings
    from goldtrace.workflow.certifying import Calibrate


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a test in a fresh process: its reports, and the folder of its trace."""

    reports: Sequence[pytest.TestReport]
    folder: Path

    @property
    def passed(self) -> bool:
        """Whether every phase did."""
        return all(report.passed for report in self.reports)

    def trace(self) -> Trace:
        """The trace that the test left.

        Raises:
            NotRepeatableError: it left none, because it did not pass or could not write it.
        """
        for report in self.reports:
            if not report.passed:
                raise NotRepeatableError(
                    "the test passed in one process and not in another; nothing was written",
                    where=report.nodeid,
                    found=report.longreprtext.strip() or report.outcome,
                )
        try:
            return decode_trace(read_files(self.folder))
        except OSError as error:
            raise NotRepeatableError(
                "the test left no trace; nothing was written",
                where=str(self.folder),
                found=str(error),
            ) from error


def update(
    golden: GoldenTest,
    attempts: Sequence[Attempt],
    settings: Settings,
    report: pytest.TestReport,
    *,
    perturbed: Callable[[Noise], Attempt],
) -> None:
    """Write the golden of a test if its attempts agree; otherwise ``report`` becomes a failure.

    ``perturbed`` runs the test with noise in its gradients, for the calibration.
    """
    store = GoldenStore(settings.golden_dir)
    try:
        traces = [attempt.trace() for attempt in attempts]
        recorded = certify_and_store(
            traces,
            store=store,
            root=settings.root,
            reason=settings.reason,
            calibrate=calibration_by(perturbed) if settings.calibrate else None,
        )
        result = judge(golden.spec, traces[0], store, root=settings.root)
        result = replace(result, origin=golden.spec.entry)
    except GoldtraceError as error:
        report.outcome = "failed"
        report.longrepr = str(error)
        failed = RunResult(
            name=golden.spec.name,
            device=golden.device or "",
            error=error,
            origin=golden.spec.entry,
        )
        attach(report, Outcome.of(failed))
        return
    attach(report, Outcome.of(result, written=describe_written(recorded)))


def calibration_by(perturbed: Callable[[Noise], Attempt]) -> Calibrate:
    """The measurement of a golden by further executions of its test, ``perturbed`` by noise."""
    return lambda trace: measure(trace, [(noise, perturbed(noise).trace()) for noise in NOISES])
