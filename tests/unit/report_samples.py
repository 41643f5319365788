"""Documents of checks as workflow makes them: two traces compared, with a calibration."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import golden_samples

from goldtrace.compare import compare_traces, course_of
from goldtrace.model.calibration import Calibration, Response
from goldtrace.model.checklist import Answer, Point
from goldtrace.model.diagnosis import Cause, Culprit, Diagnosis
from goldtrace.model.noise import Noise
from goldtrace.model.scalar import Scalar
from goldtrace.model.tape import Phase
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Change, Rung, RunResult

if TYPE_CHECKING:
    from goldtrace.model.trace import Trace

HOSTILE = (
    "<script>alert(1)</script>|\n\r## [x](javascript:0) `a` </script> @all "
    "%0A::error::\x1b[2J\u202e\udc80"
)
"""A name that would be markup, a second line, a second command or a second cell if it could."""

CHECKLIST = (
    Point(key="seeds", title="seeds of all generators", answer=Answer.YES, found="python 20"),
    Point(
        key="lock",
        title="lock file in force",
        answer=Answer.NO,
        found=HOSTILE,
        remedy=f"install {HOSTILE}",
    ),
    Point(key="tf32", title="TF32 off", answer=Answer.NOT_APPLICABLE, found="no GPU"),
)

LOSSES = tuple(2.5 * 0.9**step + 0.01 * math.sin(step) for step in range(12))


def calibration(trace: Trace) -> Calibration:
    """One ulp of noise moves the loss by 1e-7, and 64 by 64 times as much."""
    steps = [step.number for step in trace.steps if step.number != INITIAL_STEP]
    return Calibration(
        golden="0" * 64,
        noises=(Noise(ulp=1.0, seed=1), Noise(ulp=64.0, seed=4)),
        scalars={"loss": dict.fromkeys(steps, Response(1e-7, 6.4e-6))},
        horizons={"loss": 8},
    )


def changed(trace: Trace, *, since: int, by: float, learning_rate: float = 0.1) -> Trace:
    """The trace with other losses and weights from a step on."""
    steps = []
    for step in trace.steps:
        if step.number < since or step.number == INITIAL_STEP:
            steps.append(step)
            continue
        loss = step.scalars["loss"].value + by
        steps.append(
            dataclasses.replace(
                step,
                scalars={"loss": Scalar.of(loss, "float32")},
                hyperparameters={**step.hyperparameters, "group0.lr": Scalar.of(learning_rate)},
                ladder={**step.ladder, Rung.WEIGHTS: golden_samples.digest(500 + step.number)},
            )
        )
    return dataclasses.replace(trace, steps=tuple(steps))


def result(current: Trace | None = None, *, calibrated: bool = True, **fields: Any) -> RunResult:
    """A trace of twelve steps held against its golden; the same one if none is given."""
    golden = golden_samples.trace(losses=LOSSES)
    current = current or golden
    measured = calibration(golden) if calibrated else None
    comparison = compare_traces(
        golden,
        current,
        tolerance={},
        calibration=measured,
        environment_changes=fields.pop("environment_changes", ()),
    )
    given = {
        "name": "tiny",
        "device": "cpu",
        "platform": "cpu-portable",
        "origin": "package.training:train",
        "seconds": 1.25,
        "checklist": CHECKLIST,
        **fields,
    }
    return RunResult(
        verdict=comparison.verdict,
        comparison=comparison,
        course=course_of(golden, current, comparison, measured),
        **given,
    )


def golden() -> Trace:
    return golden_samples.trace(losses=LOSSES)


def drift(**fields: Any) -> RunResult:
    """A learning rate that differs from step 3 on, with a culprit at a known line."""
    culprit = Culprit(
        op=fields.pop("op", "aten::add_"),
        cause=Cause.ARGUMENT,
        what=fields.pop("what", "alpha 0.1 → 0.1001"),
        phase=Phase.OPTIMIZER,
        module=fields.pop("module", "layer.weight"),
        line=fields.pop("line", "training.py:7"),
        ulp_most=3.0,
        ulp_median=1.0,
    )
    diagnosis = Diagnosis(
        step=3,
        rung=Rung.LR,
        name="group0.lr",
        cause=Cause.ARGUMENT,
        sentence=fields.pop("sentence", "the optimizer was given another scalar"),
        culprits=(culprit,),
        consequences=40,
        compared=50,
    )
    other = changed(golden(), since=3, by=2e-3, learning_rate=0.1001)
    return result(
        other,
        diagnosis=diagnosis,
        hint="goldtrace record tiny --reason '…'",
        environment_changes=(Change(what="torch", golden="2.14.1", now="2.15.0"),),
        **fields,
    )


def rounding(**fields: Any) -> RunResult:
    """Losses that are off by a few ulp of noise from step 5 on."""
    return result(changed(golden(), since=5, by=2e-6), **fields)


def hostile() -> RunResult:
    """A drift whose every text is ``HOSTILE``."""
    base = drift(
        op=HOSTILE, what=HOSTILE, module=HOSTILE, line=HOSTILE, sentence=HOSTILE, origin=HOSTILE
    )
    assert base.comparison is not None
    assert base.course is not None
    divergences = tuple(
        dataclasses.replace(d, name=HOSTILE, golden=HOSTILE, current=HOSTILE, note=HOSTILE)
        for d in base.comparison.divergences
    )
    comparison = dataclasses.replace(
        base.comparison,
        divergences=divergences,
        notes=(HOSTILE,),
        environment_changes=(Change(what=HOSTILE, golden=HOSTILE, now=HOSTILE),),
    )
    curves = tuple(dataclasses.replace(curve, name=HOSTILE) for curve in base.course.curves)
    departures = tuple(dataclasses.replace(d, quantity=HOSTILE) for d in base.course.departures)
    course = dataclasses.replace(base.course, curves=curves, departures=departures)
    return dataclasses.replace(
        base,
        name=HOSTILE,
        platform=HOSTILE,
        hint=HOSTILE,
        comparison=comparison,
        course=course,
    )
