"""Explain a failure: the diagnosis of the latest one, of a replay, or of two interpreters."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import goldtrace
from goldtrace import reproducing
from goldtrace.compare import compare_traces
from goldtrace.diagnose import diagnose
from goldtrace.diagnose.narrow import needs_replay, with_those_before
from goldtrace.environment import changes
from goldtrace.errors import UsageError
from goldtrace.launch import launch
from goldtrace.model.spec import RunKind
from goldtrace.model.verdict import Verdict
from goldtrace.reproducing import Case
from goldtrace.store.failures import FailureStore
from goldtrace.workflow.commands import check_command
from goldtrace.workflow.judging import compare_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from goldtrace.model.diagnosis import Culprit, Diagnosis, Reproduction
    from goldtrace.model.progress import Progress
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.tape import TapedStep
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Comparison
    from goldtrace.store.golden import GoldenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Two traces, how they compare, and why.

    ``interpreter`` is the one that ``now`` comes from, and ``other`` the golden, if it was one.
    """

    spec: RunSpec
    golden: Trace
    now: Trace
    comparison: Comparison
    diagnosis: Diagnosis | None
    interpreter: str = sys.executable
    other: str | None = None


def explain_failure(
    spec: RunSpec, device: str, *, store: GoldenStore, root: Path, progress: Progress
) -> Explanation:
    """Why the latest check of a run failed; its failing step is repeated if it has no tape.

    Raises:
        UsageError: no failure of the run is known, or its golden is gone.
    """
    failures = FailureStore.beside(store.root)
    now = failures.load(spec.name, device)
    if now is None:
        raise UsageError(
            "no failure to explain",
            where=f"{spec.name} on {device}",
            expected="a check of this run that failed, after which none passed",
            hint=check_command(spec, device, store.root),
        )
    other = failures.golden(spec.name, device)
    platform = other if other is not None else now.header.platform
    golden = store.load(spec.name, platform)
    if golden is None:
        raise UsageError(
            "the failure has no golden to be held against",
            where=f"{spec.name} on {platform}",
            hint=check_command(spec, device, store.root),
        )
    comparison, diagnosis = compare_with(golden, now, spec)
    step = needs_replay(now, comparison)
    notes = []
    if other is not None:
        notes.append(f"held against the golden of {other}, as the check was (--nearest)")
    if step is not None and spec.kind is RunKind.DECLARED:
        progress(f"{spec.name} on {device}, with a tape of step {step}")
        steps = (step,) if golden.trace.taped(step) is not None else with_those_before(step)
        again = launch(replace(spec, tape=steps), device, root=root)
        if compare_traces(now, again, tolerance={}).verdict is Verdict.IDENTICAL:
            now = _with_tapes(now, again.tape)
            comparison, diagnosis = compare_with(golden, now, spec)
        else:
            notes.append(
                "the repetition did not give the bits of the failure (the code or the environment "
                "has changed since), so its tape tells nothing about it"
            )
    if diagnosis is not None and notes:
        diagnosis = replace(diagnosis, notes=(*diagnosis.notes, *notes))
    return Explanation(
        spec=spec,
        golden=golden.trace,
        now=now,
        comparison=comparison,
        diagnosis=diagnosis,
    )


def _with_tapes(trace: Trace, tape: Iterable[TapedStep]) -> Trace:
    """A trace with the tapes of a repetition that gave its very bits."""
    taped = {step.number: step for step in (*trace.tape, *tape)}
    return replace(trace, tape=tuple(taped[number] for number in sorted(taped)))


def explain_against(
    spec: RunSpec,
    device: str,
    other: str,
    *,
    root: Path,
    progress: Progress,
    interpreter: str = sys.executable,
) -> Explanation:
    """Why a run differs between another interpreter, which stands for the golden, and this one.

    Both train again if the first step that differs was not taped, so the culprit is always named.
    """
    with borrowed_package() as environment:

        def both(chosen: RunSpec) -> tuple[Trace, Trace]:
            traces = []
            for each in (other, interpreter):
                progress(f"{spec.name} on {device} under {each}")
                traces.append(
                    launch(chosen, device, root=root, interpreter=each, environment=environment)
                )
            return traces[0], traces[1]

        golden, now = both(spec)
        comparison = _compare(golden, now)
        step = needs_replay(now, comparison)
        if step is not None:
            golden, now = both(replace(spec, tape=(step,)))
            comparison = _compare(golden, now)
    return Explanation(
        spec=spec,
        golden=golden,
        now=now,
        comparison=comparison,
        diagnosis=diagnose(golden, now, comparison),
        interpreter=interpreter,
        other=other,
    )


def write_reproducer(explanation: Explanation, device: str, folder: Path, *, root: Path) -> Culprit:
    """Repeat the run, and leave the culprit's actual inputs and a script in ``folder``.

    Raises:
        UsageError: no operator is to blame, or it can't be called by itself.
    """
    case = Case(
        spec=explanation.spec,
        device=device,
        diagnosis=explanation.diagnosis,
        golden=explanation.golden,
        now=explanation.now,
    )
    with borrowed_package() as environment:
        return reproducing.write_reproducer(
            case,
            folder,
            root=root,
            interpreter=explanation.interpreter,
            environment=environment,
        )


def try_reproducer(explanation: Explanation, culprit: Culprit, folder: Path) -> Reproduction | None:
    """Call the culprit under both interpreters; ``None`` where the golden's isn't at hand.

    Raises:
        RunError: the script ends with an error.
    """
    if explanation.other is None:
        return None
    return reproducing.reproduce(
        folder, culprit, golden=explanation.other, now=explanation.interpreter
    )


@contextmanager
def borrowed_package() -> Iterator[dict[str, str]]:
    """Variables that let another interpreter import this goldtrace, and nothing else from here."""
    with tempfile.TemporaryDirectory(prefix="goldtrace-") as scratch:
        package = Path(goldtrace.__file__).parent
        (Path(scratch) / package.name).symlink_to(package, target_is_directory=True)
        inherited = os.environ.get("PYTHONPATH")
        yield {"PYTHONPATH": os.pathsep.join(filter(None, [scratch, inherited]))}


def _compare(golden: Trace, now: Trace) -> Comparison:
    return compare_traces(
        golden, now, tolerance={}, environment_changes=changes(golden.header, now.header)
    )
