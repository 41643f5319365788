"""Make goldens of traces: certify that fresh processes repeat them, measure them, write them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.compare import compare_traces
from goldtrace.environment import changes
from goldtrace.errors import GoldenError, GoldtraceError, NotRepeatableError
from goldtrace.launch import launch
from goldtrace.model.calibration import Calibration
from goldtrace.model.codec import encode_repeatable
from goldtrace.model.trace import Trace
from goldtrace.model.verdict import Verdict
from goldtrace.report.phrases import describe_divergence
from goldtrace.store.golden import Certificate
from goldtrace.workflow.calibrating import calibrate, can_calibrate
from goldtrace.workflow.commands import record_command
from goldtrace.workflow.signing import sign

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goldtrace.model.progress import Counted, Progress
    from goldtrace.model.spec import RunSpec
    from goldtrace.store.golden import GoldenStore, Plan, PlanAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One golden that was written, or found to be unchanged; or would be, in a dry run."""

    plan: Plan
    processes: int
    trace: Trace
    calibration: Calibration | None = None
    uncalibrated: str | None = None

    @property
    def name(self) -> str:
        """The run."""
        return self.plan.run

    @property
    def platform(self) -> str:
        """The platform of the golden."""
        return self.plan.platform

    @property
    def action(self) -> PlanAction:
        """What was done with the golden."""
        return self.plan.action

    @property
    def moved(self) -> str:
        """One line: how far the golden moved."""
        return self.plan.entry.moved


Calibrate = Callable[[Trace], Calibration]
"""Measures a golden that is about to be written."""


def record(
    spec: RunSpec,
    device: str,
    *,
    store: GoldenStore,
    root: Path,
    reason: str,
    repeat: int = 2,
    dry_run: bool = False,
    calibrated: bool = True,
    progress: Progress = lambda _: None,
    counted: Counted = lambda *_: None,
) -> Recorded:
    """Train ``repeat`` times in fresh processes and write the golden if they agree bit for bit.

    ``dry_run`` does everything but the writing; ``calibrated`` says whether the golden is measured
    with further runs, which ``counted`` is told of.

    Raises:
        NotRepeatableError: they don't; nothing is written.
        GoldtraceError: a run failed; nothing is written.
    """
    traces = []
    began = time.monotonic()
    for attempt in range(repeat):
        progress(f"{spec.name} on {device}: process {attempt + 1} of {repeat}")
        traces.append(launch(spec, device, root=root))
    seconds = (time.monotonic() - began) / repeat

    def measured(golden: Trace) -> Calibration:
        return calibrate(golden, spec, device, root=root, seconds=seconds, counted=counted)

    return certify_and_store(
        traces,
        store=store,
        root=root,
        reason=reason,
        dry_run=dry_run,
        calibrate=measured if calibrated else None,
    )


def calibrate_only(
    spec: RunSpec,
    device: str,
    *,
    store: GoldenStore,
    root: Path,
    reason: str,
    dry_run: bool = False,
    progress: Progress = lambda _: None,
    counted: Counted = lambda *_: None,
) -> Recorded:
    """Calibrate the golden that is there; the ledger keeps that it was.

    Raises:
        GoldenError: there is none for what this machine computes, or it can't be repeated here.
        GoldtraceError: a run failed; nothing is written.
    """
    began = time.monotonic()
    progress(f"{spec.name} on {device}: does the golden still hold?")
    trace = launch(spec, device, root=root)
    seconds = time.monotonic() - began
    golden = store.load(spec.name, trace.header.platform)
    comparison = compare_traces(golden.trace, trace, tolerance={}) if golden is not None else None
    if golden is None or comparison is None or comparison.verdict is not Verdict.IDENTICAL:
        first = comparison.first if comparison is not None else None
        raise GoldenError(
            "only a golden that this machine repeats bit for bit can be calibrated here",
            where=f"{spec.name} on {trace.header.platform}",
            found=describe_divergence(first) if first is not None else "no golden",
            hint=record_command(spec, device, store.root),
        )
    if not any(step.sketches for step in golden.trace.steps):
        raise GoldenError(
            "the golden holds no sketches of its weights, so it can't be calibrated as it is",
            where=f"{spec.name} on {trace.header.platform}",
            hint=record_command(spec, device, store.root),
        )
    calibration = calibrate(golden.trace, spec, device, root=root, seconds=seconds, counted=counted)
    entry = sign(reason, root=root, moved="calibrated")
    # The golden's own names the header of the schema that it was written in.
    certificate = Certificate.of(golden.trace, processes=golden.certificate.processes)
    plan = store.plan(golden.trace, certificate=certificate, entry=entry, calibration=calibration)
    if not dry_run:
        store.apply(plan)
    return Recorded(
        plan=plan,
        processes=golden.certificate.processes,
        trace=golden.trace,
        calibration=calibration,
    )


def certify_and_store(
    traces: Sequence[Trace],
    *,
    store: GoldenStore,
    root: Path,
    reason: str,
    dry_run: bool = False,
    calibrate: Calibrate | None = None,
) -> Recorded:
    """Write a golden from traces of fresh processes, which must agree bit for bit.

    ``calibrate`` measures it before it is written, unless the same trace is calibrated already.
    Where that fails the golden is written without, and ``Recorded.uncalibrated`` says why.

    Raises:
        NotRepeatableError: two traces differ, or there is only one; nothing is written.
    """
    trace = traces[0]
    plan = plan_update(traces, store=store, root=root, reason=reason)
    calibration, why_not = plan.calibration, None
    if calibrate is None:
        why_not = "turned off"
    elif not can_calibrate(trace):
        why_not = "no optimizer is watched, so noise can't be brought in"
    elif calibration is None:
        try:
            calibration = calibrate(trace)
        except GoldtraceError as error:
            why_not = f"{error.what}{f': {error.found}' if error.found else ''}"
        else:
            plan = plan_update(
                traces, store=store, root=root, reason=reason, calibration=calibration
            )
    if not dry_run:
        store.apply(plan)
    return Recorded(
        plan=plan,
        processes=len(traces),
        trace=trace,
        calibration=calibration,
        uncalibrated=None if calibration is not None else why_not,
    )


def plan_update(
    traces: Sequence[Trace],
    *,
    store: GoldenStore,
    root: Path,
    reason: str,
    calibration: Calibration | None = None,
) -> Plan:
    """What ``certify_and_store`` would write."""
    return plan_golden(
        traces[0],
        certificate=certify(traces),
        store=store,
        root=root,
        reason=reason,
        calibration=calibration,
    )


def plan_golden(
    trace: Trace,
    *,
    certificate: Certificate,
    store: GoldenStore,
    root: Path,
    reason: str,
    calibration: Calibration | None = None,
) -> Plan:
    """The plan that makes a certified trace the golden; its ledger entry says how far that moves.

    ``root`` is where git is asked who does this.
    """
    try:
        old = store.load(trace.header.run, trace.header.platform)
        moved = _movement(old.trace, trace) if old is not None else "first golden of this platform"
        changed = changes(old.trace.header, trace.header) if old is not None else ()
    except GoldenError as error:
        # A damaged golden is what people re-record; the ledger says that it was.
        moved, changed = f"the previous golden was unusable: {error.what}", ()
    entry = sign(reason, root=root, moved=moved, changed=changed)
    return store.plan(trace, certificate=certificate, entry=entry, calibration=calibration)


def certify(traces: Sequence[Trace]) -> Certificate:
    """The certificate that fresh processes agreed bit for bit.

    Raises:
        NotRepeatableError: they didn't, or there is only one.
    """
    first, *rest = traces
    if not rest:
        raise NotRepeatableError(
            "one process certifies nothing", where=first.header.run, expected="two or more"
        )
    expected = encode_repeatable(first)
    for number, other in enumerate(rest, start=2):
        found = encode_repeatable(other)
        if found == expected:
            continue
        comparison = compare_traces(first, other, tolerance={})
        differing = [name for name in expected if found.get(name) != expected[name]]
        raise NotRepeatableError(
            f"process {number} did not repeat the bits of process 1; nothing was written",
            where=f"{first.header.run} on {first.header.device}",
            expected="the same trace from every fresh process",
            found=describe_divergence(comparison.first)
            if comparison.first
            else _first_on_tape(first, other) or f"other bytes in {', '.join(differing)}",
            hint="look for generators without a seed, the clock, or files that change",
        )
    return Certificate.of(first, processes=len(traces))


def _first_on_tape(one: Trace, other: Trace) -> str | None:
    """The first operator whose result differs, of two traces whose steps agree."""
    for left, right in zip(one.tape, other.tape, strict=False):
        for a, b in zip(left.calls, right.calls, strict=False):
            given = [left.values[place].content for place in a.outputs]
            if a.op != b.op or given != [right.values[place].content for place in b.outputs]:
                return f"the steps agree; on the tape of step {left.number}, {a.op} differs"
    return None


def _movement(old: Trace, new: Trace) -> str:
    comparison = compare_traces(old, new, tolerance={})
    if comparison.first is None:
        return "unchanged"
    return describe_divergence(comparison.first)
