"""A paired comparison: one run, trained eager and compiled in one go, each held to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.compare import compare_traces
from goldtrace.diagnose import diagnose
from goldtrace.environment import changes
from goldtrace.launch import launch
from goldtrace.model.execution import Execution
from goldtrace.model.verdict import RunResult
from goldtrace.workflow.calibrating import calibrate, can_calibrate

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.progress import Progress
    from goldtrace.model.spec import RunSpec


def compare_compiled(
    spec: RunSpec,
    device: str,
    *,
    root: Path,
    calibrated: bool = True,
    progress: Progress = lambda _: None,
) -> RunResult:
    """Train ``spec`` twice in fresh processes, eager and compiled, and compare the traces.

    Eager stands for the golden. ``calibrated`` measures how it amplifies rounding, with further
    runs, where bits differ: compiled kernels fuse and reorder, so that only the size of the
    difference tells whether they compute the same.

    Raises:
        RecordingError: nothing of the run was compiled.
        GoldtraceError: a run failed.
    """
    progress(f"{spec.name} on {device}, eager")
    eager = launch(spec, device, root=root)
    progress(f"{spec.name} on {device}, compiled")
    compiled = launch(spec, device, root=root, execution=Execution.COMPILED)
    changed = changes(eager.header, compiled.header)
    comparison = compare_traces(
        eager, compiled, tolerance=spec.tolerance, environment_changes=changed
    )
    if comparison.first is not None and calibrated and can_calibrate(eager):
        progress(f"{spec.name} on {device}, with noise: how much does it amplify rounding?")
        comparison = compare_traces(
            eager,
            compiled,
            tolerance=spec.tolerance,
            environment_changes=changed,
            calibration=calibrate(eager, spec, device, root=root),
        )
    return RunResult(
        name=f"{spec.name}, eager against compiled",
        device=device,
        platform=compiled.header.platform,
        verdict=comparison.verdict,
        exact=spec.exact,
        comparison=comparison,
        diagnosis=diagnose(eager, compiled, comparison),
    )
