"""Check and record: the only place where the stages are put together."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.checklist import checklist
from goldtrace.compare import course_of
from goldtrace.errors import (
    DataUnavailableError,
    DeviceUnavailableError,
    GoldenError,
    GoldtraceError,
    PlatformUnsupportedError,
    UsageError,
)
from goldtrace.launch import launch, side_by_side
from goldtrace.model.codec import write_files
from goldtrace.model.spec import RunKind, RunSpec
from goldtrace.model.verdict import Comparison, RunResult, Verdict
from goldtrace.store.declared import RUN_FILE, discover, load_run
from goldtrace.store.failures import FailureStore
from goldtrace.store.nearest import nearest_golden
from goldtrace.workflow.commands import explain_command, goldens_above, record_command
from goldtrace.workflow.judging import compare_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from goldtrace.model.trace import Trace
    from goldtrace.store.golden import GoldenStore

Watch = Callable[[RunSpec, str], AbstractContextManager[Callable[[int], None] | None]]
"""Entered when a run begins on a device: what to tell of the steps that are finished, if any."""

Progress = Callable[[str], None]
"""Called with one short sentence whenever something begins."""

_TESTS = "goldens of tests are checked and recorded by pytest"
_ABSENT = (DataUnavailableError, DeviceUnavailableError)


class UpdateMode(enum.Enum):
    """Which goldens a session may write."""

    NONE = "none"
    MISSING = "missing"
    FAILING = "failing"
    DEFAULT = "failing and missing"
    ALL = "all"

    def covers(self, result: RunResult) -> bool:
        """Whether the golden of a run with this result is to be written."""
        absent = result.verdict in (Verdict.MISSING, Verdict.INCOMPARABLE)
        if self is UpdateMode.NONE or result.skipped is not None:
            return False
        if self is UpdateMode.ALL:
            return True
        if absent:
            return self in (UpdateMode.MISSING, UpdateMode.DEFAULT)
        return not result.passed and self in (UpdateMode.FAILING, UpdateMode.DEFAULT)


def select(
    golden_dir: Path, names: Sequence[str], devices: Sequence[str]
) -> list[tuple[RunSpec, str]]:
    """The declared runs of a golden directory, each with those of ``devices`` that it has.

    Raises:
        UsageError: a name that no ``run.toml`` declares, a named run that has none of the devices,
            or nothing at all to run.
    """
    names = list(dict.fromkeys(names))
    specs = {spec.name: spec for spec in map(load_run, discover(golden_dir))}
    unknown = [name for name in names if name not in specs]
    if unknown or not specs:
        raise UsageError(
            f"no run {unknown[0]!r}" if unknown else "no declared runs",
            where=str(golden_dir),
            expected=", ".join(specs) or f"{golden_dir}/<run>/{RUN_FILE}",
            hint=_TESTS if specs else goldens_above(golden_dir) or f"goldtrace init; {_TESTS}",
        )
    chosen = [specs[name] for name in names] if names else list(specs.values())
    elsewhere = [spec for spec in chosen if not set(devices) & set(spec.devices)]
    if elsewhere and (names or len(elsewhere) == len(chosen)):
        # What trains nothing must not look like what was checked.
        there = ", ".join(dict.fromkeys(d for spec in elsewhere for d in spec.devices))
        raise UsageError(
            f"{elsewhere[0].name} isn't declared for this device"
            if names
            else "no run is declared for this device",
            where=str(golden_dir / elsewhere[0].name / RUN_FILE if names else golden_dir),
            expected=there,
            found=", ".join(devices),
            hint=f"--device {elsewhere[0].devices[0]}, or devices = "
            f'["{devices[0]}"] in its {RUN_FILE}',
        )
    return [
        (spec, device)
        for spec in chosen
        for device in dict.fromkeys(devices)
        if device in spec.devices
    ]


def run_named(golden_dir: Path, name: str, store: GoldenStore, device: str) -> RunSpec:
    """The declared run of this name, or the test whose failure, as it was judged, or golden has it.

    Raises:
        UsageError: nothing has this name.
    """
    declared = {spec.name: spec for spec in map(load_run, discover(golden_dir))}
    if name in declared:
        return declared[name]
    failed = FailureStore.beside(golden_dir).spec(name, device)
    if failed is not None:
        return failed
    origin = store.origins().get(name)
    if origin is None:
        known = sorted({*declared, *store.runs()})
        raise UsageError(
            f"no run {name!r}",
            where=str(golden_dir),
            expected=", ".join(known) or "a run",
            hint=None if known else goldens_above(golden_dir),
        )
    return RunSpec(name=name, entry=origin, kind=RunKind.TEST)


def judge(spec: RunSpec, trace: Trace, store: GoldenStore, *, nearest: bool = False) -> RunResult:
    """Hold a trace against the stored golden of its run and platform.

    ``nearest`` takes a calibrated golden of another platform where there is none of this one.
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
        points = checklist(trace, None, root=store.root.absolute().parent)
        return replace(
            result,
            verdict=Verdict.INCOMPARABLE,
            error=error,
            hint=error.hint,
            checklist=points,
        )
    result = replace(result, checklist=checklist(trace, golden, root=store.root.absolute().parent))
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
    result = judge(spec, trace, store, nearest=nearest)
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
