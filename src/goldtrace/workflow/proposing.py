"""Candidate goldens: what a failing check proposes to whoever reads its report."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from goldtrace.candidates.writing import discard_unnamed, store_candidate
from goldtrace.errors import GoldtraceError
from goldtrace.launch import launch
from goldtrace.model.verdict import Proposal, Verdict
from goldtrace.store.golden import PlanAction
from goldtrace.workflow.calibrating import calibrate
from goldtrace.workflow.certifying import certify_and_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from goldtrace.model.progress import Counted, Progress
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import RunResult
    from goldtrace.store.golden import GoldenStore
    from goldtrace.workflow.certifying import Calibrate


_FAILED = (Verdict.DRIFT, Verdict.ROUNDING, Verdict.MISSING, Verdict.INCOMPARABLE)


def deserves_candidate(result: RunResult) -> bool:
    """Whether a check with this result left a trace and failed for want of another golden."""
    return not result.passed and result.platform is not None and result.verdict in _FAILED


def propose(
    verdict: str,
    trace: Trace,
    again: Callable[[], Trace],
    *,
    store: GoldenStore,
    root: Path,
    report: Path,
    calibrate: Calibrate | None,
    cause: str | None = None,
) -> Proposal:
    """Certify and calibrate the trace of a failed check, and store it in the report.

    ``verdict`` is the check's and ``cause`` the class of what moved the run, if that is known.
    ``again`` trains in another fresh process, which must agree bit for bit. What goes wrong is an
    answer, not an error: the check's verdict stands.
    """
    try:
        recorded = certify_and_store(
            [trace, again()],
            store=store,
            root=root,
            reason="candidate",
            dry_run=True,
            calibrate=calibrate,
        )
        if recorded.action is PlanAction.UNCHANGED:
            return Proposal(why_not="the golden holds this trace already")
        folder = store_candidate(
            report,
            recorded.plan,
            trace.header,
            verdict=verdict,
            cause=cause,
            uncalibrated=recorded.uncalibrated,
        )
    except GoldtraceError as error:
        found = f": {error.found.splitlines()[0]}" if error.found else ""
        return Proposal(why_not=f"{error.what}{found}")
    except OSError as error:
        return Proposal(why_not=f"the report cannot be written: {error}")
    return Proposal(folder=folder)


def propose_declared(
    spec: RunSpec,
    result: RunResult,
    trace: Trace,
    *,
    store: GoldenStore,
    root: Path,
    report: Path,
    calibrated: bool = True,
    progress: Progress = lambda _: None,
    counted: Counted = lambda *_: None,
) -> Proposal:
    """Propose a golden for a declared run that failed with this result and trace."""
    verdict = result.verdict.value if result.verdict is not None else "unknown"
    cause = result.diagnosis.cause if result.diagnosis is not None else None
    progress(f"{spec.name} on {result.device} once more: {verdict}, so for a candidate golden")
    measure = partial(calibrate, spec=spec, device=result.device, root=root, counted=counted)
    return propose(
        verdict,
        trace,
        partial(launch, spec, result.device, root=root),
        store=store,
        root=root,
        report=report,
        calibrate=measure if calibrated else None,
        cause=cause.value if cause is not None else None,
    )


def clear_candidates(report: Path, runs: Iterable[Mapping[str, Any]]) -> None:
    """Remove what earlier checks left in a report, but for what ``runs``, its new ones, propose."""
    proposed = [run["candidate"] for run in runs if run["candidate"] is not None]
    discard_unnamed(report, {each["folder"] for each in proposed if each["folder"] is not None})
