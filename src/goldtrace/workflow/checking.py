"""Check: train runs, hold their traces against the goldens, and keep what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.checklist import checklist
from goldtrace.compare import course_of
from goldtrace.compare.notes import other_card
from goldtrace.errors import (
    DataUnavailableError,
    DeviceUnavailableError,
    GoldenError,
    GoldtraceError,
    PlatformUnsupportedError,
)
from goldtrace.launch import launch, side_by_side
from goldtrace.model.codec import write_files
from goldtrace.model.spec import RunSpec
from goldtrace.model.verdict import Comparison, RunResult, Verdict
from goldtrace.store.failures import FailureStore
from goldtrace.store.nearest import nearest_golden
from goldtrace.workflow.commands import explain_command, record_command
from goldtrace.workflow.judging import compare_with, is_numerical

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from goldtrace.model.progress import Progress
    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import GoldenStore

Watch = Callable[[RunSpec, str], AbstractContextManager[Callable[[int], None] | None]]
"""Entered when a run begins on a device: what to tell of the steps that are finished, if any."""

_OTHER_CARD = (
    "--golden-nearest (goldtrace check --nearest) takes it nevertheless; a --golden-dir for each "
    "kind of card keeps both"
)
_ABSENT = (DataUnavailableError, DeviceUnavailableError)


def judge(
    spec: RunSpec,
    trace: Trace,
    store: GoldenStore,
    *,
    root: Path,
    nearest: bool = False,
) -> RunResult:
    """Hold a trace against the stored golden of its run and platform.

    ``root`` is the project's. ``nearest`` takes a calibrated golden of another platform where there
    is none of this one.
    """
    header = trace.header
    result = RunResult(
        name=spec.name, device=header.device, platform=header.platform, exact=spec.exact
    )
    remarks: tuple[str, ...] = ()
    try:
        golden = store.load(spec.name, header.platform)
        if golden is None and nearest:
            found = nearest_golden(store, header)
            if found is not None:
                golden, remarks = found[0], (found[1],)
                result = replace(result, reference=golden.trace.header.platform)
    except GoldenError as error:
        points = checklist(trace, None, root=root)
        return replace(
            result,
            verdict=Verdict.INCOMPARABLE,
            error=error,
            hint=error.hint,
            checklist=points,
        )
    result = replace(result, checklist=checklist(trace, golden, root=root))
    if golden is None:
        others = store.platforms(spec.name)
        verdict = Verdict.INCOMPARABLE if others else Verdict.MISSING
        note = f"goldens exist for {', '.join(others)}" if others else "no golden yet"
        return replace(
            result,
            verdict=verdict,
            comparison=Comparison(verdict=verdict, notes=(note,)),
            hint=record_command(spec, header.device, store.root),
        )
    comparison, diagnosis = compare_with(golden, trace, spec)
    card = other_card(golden.trace.header, header)
    if card is not None and is_numerical(comparison, diagnosis):
        remarks = (*remarks, card)
        if not (nearest or replace(result, verdict=comparison.verdict).passed):
            comparison = replace(comparison, verdict=Verdict.INCOMPARABLE)
            remarks = (*remarks, _OTHER_CARD)
    return replace(
        result,
        verdict=comparison.verdict,
        comparison=replace(comparison, notes=(*remarks, *comparison.notes)),
        diagnosis=diagnosis,
        course=course_of(golden.trace, trace, comparison, golden.calibration),
        hint=record_command(spec, header.device, store.root),
        why=explain_command(spec.name, header.device, store.root) if diagnosis else None,
    )


def incomparable(spec: RunSpec, device: str, error: PlatformUnsupportedError) -> RunResult:
    """The result of a run on a machine that its profile does not cover."""
    return RunResult(
        name=spec.name,
        device=device,
        verdict=Verdict.INCOMPARABLE,
        exact=spec.exact,
        comparison=Comparison(verdict=Verdict.INCOMPARABLE, notes=(error.what,)),
        hint=error.hint,
    )


def remember(spec: RunSpec, result: RunResult, trace: Trace, store: GoldenStore) -> None:
    """Keep the trace of a run that is not as its golden for ``goldtrace explain``, or forget it."""
    failures = FailureStore.beside(store.root)
    if result.passed:
        failures.forget(trace.header.run, trace.header.device)
    elif result.diagnosis is not None:
        failures.keep(trace, spec, golden=result.reference)


def trace_folder(report: Path, name: str, device: str) -> Path:
    """Where a report keeps the trace of a run."""
    return report / "traces" / name / device


def check_declared(
    spec: RunSpec,
    device: str,
    *,
    store: GoldenStore,
    root: Path,
    nearest: bool = False,
    report: Path | None = None,
    watch: Watch = lambda *_: nullcontext(),
) -> RunResult:
    """Train a declared run in a fresh interpreter and judge its trace, which ``report`` keeps.

    A run whose data or device is absent comes back as skipped, one whose profile does not cover
    this machine as incomparable; what else goes wrong is raised.
    """
    began = time.monotonic()
    try:
        with watch(spec, device) as told:
            trace = launch(spec, device, root=root, watch=told)
    except _ABSENT as error:
        return RunResult(
            name=spec.name, device=device, exact=spec.exact, skipped=str(error), hint=error.hint
        )
    except PlatformUnsupportedError as error:
        return incomparable(spec, device, error)
    result = judge(spec, trace, store, root=root, nearest=nearest)
    remember(spec, result, trace, store)
    if report is not None:
        result = keep(result, trace, trace_folder(report, spec.name, device))
    return replace(result, seconds=time.monotonic() - began)


def keep(result: RunResult, trace: Trace, folder: Path) -> RunResult:
    """Write the trace that was judged into a report; a note says so where that can't be done."""
    try:
        write_files(trace, folder)
    except OSError as error:
        note = f"its trace is not in the report: {error}"
        told = result.comparison or Comparison(verdict=result.verdict or Verdict.INCOMPARABLE)
        return replace(result, comparison=replace(told, notes=(*told.notes, note)))
    return result


def check(
    runs: Iterable[tuple[RunSpec, str]],
    *,
    store: GoldenStore,
    root: Path,
    jobs: int = 1,
    nearest: bool = False,
    report: Path | None = None,
    progress: Progress = lambda _: None,
    watch: Watch = lambda *_: nullcontext(),
) -> list[RunResult]:
    """Check several runs, ``jobs`` side by side; an error becomes part of the run's result.

    ``report`` is the directory that keeps their traces.

    Raises:
        CheckInterrupted: with what there is by then.
    """

    def one(run: tuple[RunSpec, str]) -> RunResult:
        spec, device = run
        progress(f"{spec.name} on {device}")
        try:
            result = check_declared(
                spec,
                device,
                store=store,
                root=root,
                nearest=nearest,
                report=report,
                watch=watch,
            )
        except GoldtraceError as error:
            result = unjudged(spec, device, error)
        except OSError as error:
            # A full disk, for example: it must not take the other runs' verdicts along.
            what = "the run could not be checked"
            result = unjudged(spec, device, GoldtraceError(what, found=str(error)))
        return replace(result, origin=spec.entry)

    runs = list(runs)
    with side_by_side(jobs) as pool:
        futures = [pool.submit(one, run) for run in runs]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt as interrupt:
            ended = [future.done() and future.exception() is None for future in futures]
            raise CheckInterrupted(
                [
                    future.result() if done else unjudged(*run, GoldtraceError("interrupted"))
                    for run, future, done in zip(runs, futures, ended, strict=True)
                ]
            ) from interrupt


class CheckInterrupted(KeyboardInterrupt):
    """A check that was interrupted; ``results`` are of all its runs, errors of those not done."""

    def __init__(self, results: list[RunResult]) -> None:
        super().__init__()
        self.results = results


def unjudged(spec: RunSpec, device: str, error: GoldtraceError) -> RunResult:
    """The result of a run that came to no verdict."""
    return RunResult(
        name=spec.name, device=device, exact=spec.exact, error=error, origin=spec.entry
    )
