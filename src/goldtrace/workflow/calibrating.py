"""Measure how a run amplifies rounding noise: further runs with noise in their gradients."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES, SHORT, SPREAD
from goldtrace.launch import launch, side_by_side

if TYPE_CHECKING:
    from pathlib import Path

    from goldtrace.model.calibration import Calibration
    from goldtrace.model.noise import Noise
    from goldtrace.model.progress import Counted
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Trace

_PARALLEL = "cpu-portable"
"""The profile whose runs take one core each, so that several may train side by side."""


def can_calibrate(trace: Trace) -> bool:
    """Whether noise can be brought into the run: its optimizer was watched."""
    return any(step.sketches and step.hyperparameters for step in trace.steps)


def calibrate(
    golden: Trace,
    spec: RunSpec,
    device: str,
    *,
    root: Path,
    seconds: float | None = None,
    counted: Counted = lambda *_: None,
) -> Calibration:
    """Train ``spec`` with noise of two sizes in fresh processes and measure what it does.

    As many processes as there are cores train side by side where a run takes one core.
    ``seconds`` is what one run took, for the estimate; ``counted`` hears of each finished one.

    Raises:
        NotRepeatableError: noise leaves no mark, or a run did not begin where the golden began.
        GoldtraceError: a run failed.
    """
    jobs = min(len(NOISES), _jobs(spec, device))
    done: list[float] = []
    began = time.monotonic()
    counted(0, len(NOISES), None if seconds is None else seconds_left(0, jobs, seconds))

    def one(noise: Noise) -> tuple[Noise, Trace]:
        trace = launch(spec, device, root=root, noise=noise)
        done.append(time.monotonic() - began)
        # Side by side, runs are slower than alone: what counts is what they have taken so far.
        each = done[-1] / -(-len(done) // jobs)
        counted(len(done), len(NOISES), seconds_left(len(done), jobs, each))
        return noise, trace

    with side_by_side(jobs) as pool:
        perturbed = list(pool.map(one, NOISES))
    return measure(golden, perturbed)


def advice(calibration: Calibration, golden: Trace) -> str | None:
    """What to do about a run that is too chaotic to guard more than its first steps."""
    horizon = calibration.horizon
    if horizon is None or horizon + 1 >= min(SHORT, golden.step_count):
        return None
    chaotic = ", ".join(sorted(n for n, last in calibration.horizons.items() if last == horizon))
    reach = "not even its first step" if horizon < 0 else f"only up to step {horizon}"
    return (
        f"rounding noise hides {chaotic} so soon that this golden tells it from drift {reach}; "
        f"later only what is {SPREAD:g} times as large is. A smaller learning rate or a warm-up, "
        "larger feature maps before batch norm, or group norm make a run less chaotic"
    )


def _jobs(spec: RunSpec, device: str) -> int:
    if device != "cpu" or spec.profile != _PARALLEL:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def seconds_left(done: int, jobs: int, seconds: float) -> float:
    """How long the perturbed runs that are left take, ``jobs`` at a time, at ``seconds`` each."""
    left = len(NOISES) - done
    return (left / jobs if done else -(-left // jobs)) * seconds
