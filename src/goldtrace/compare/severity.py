"""How much of a difference: an estimate for two traces that no calibration stands behind."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from goldtrace.compare.rules import GRAD_NORM, LOSS
from goldtrace.model.diagnosis import CAUSE_OF_RUNG
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.upgrade import Severity
from goldtrace.model.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.model.scalar import Scalar
    from goldtrace.model.trace import StepRecord, Trace
    from goldtrace.model.verdict import Comparison

ESTIMATED_ROUNDING_ULP = 256.0
"""Up to here a difference looks like reordered sums, in units of float32's last place."""

ESTIMATED_PRECISION_ULP = 2.0**18
"""Up to here it looks like products in TF32 or bfloat16 (whose unit is 2**16 of float32's)."""

LOSS_CHANGE = 0.01
"""The relative change of the mean loss over the last quarter of the steps that counts."""

_EPSILON = 2.0**-23


def severity(golden: Trace, current: Trace, comparison: Comparison) -> Severity:
    """The strongest of the classes that the difference reaches."""
    if comparison.verdict is Verdict.IDENTICAL:
        return Severity.NONE
    if _loss_changed(golden, current):
        return Severity.LOSS
    return _class(golden, current, comparison)


def kind(golden: Trace, current: Trace, comparison: Comparison) -> str | None:
    """The class of a difference as a report names it; ``None`` where there is none."""
    if comparison.first is None:
        return None
    told = CAUSE_OF_RUNG.get(comparison.first.rung)
    return told.value if told is not None else _class(golden, current, comparison).value


def equivalent_noise(golden: Trace, current: Trace, comparison: Comparison) -> float | None:
    """The difference in units of float32's last place; ``None`` where no number differs.

    That of the calibration where there is one; else the median relative difference of the numbers
    that differ at the first step where one does. Later steps would show chaos, not its cause.
    """
    if comparison.equivalent_ulp is not None:
        return comparison.equivalent_ulp
    others = {step.number: step for step in current.steps}
    for step in golden.steps:
        other = others.get(step.number)
        if step.number == INITIAL_STEP or other is None:
            continue
        found = sorted(_relative(dict(_numbers(step)), dict(_numbers(other))))
        if found:
            return statistics.median(found) / _EPSILON
    found = sorted(_relative(golden.end.metrics, current.end.metrics))
    return statistics.median(found) / _EPSILON if found else None


def _class(golden: Trace, current: Trace, comparison: Comparison) -> Severity:
    first = comparison.first
    if first is None or first.rung in CAUSE_OF_RUNG or comparison.verdict is Verdict.INCOMPARABLE:
        return Severity.NONE if first is None else Severity.BEHAVIOUR
    if first.golden is None or first.current is None:
        return Severity.BEHAVIOUR
    noise = equivalent_noise(golden, current, comparison)
    if noise is None or noise <= ESTIMATED_ROUNDING_ULP:
        return Severity.ROUNDING
    return Severity.PRECISION if noise <= ESTIMATED_PRECISION_ULP else Severity.BEHAVIOUR


def _relative(golden: Mapping[str, Scalar], current: Mapping[str, Scalar]) -> Iterator[float]:
    for name, left in golden.items():
        right = current.get(name)
        if right is None or left == right:
            continue
        if not (math.isfinite(left.value) and math.isfinite(right.value)):
            yield math.inf
        elif largest := max(abs(left.value), abs(right.value)):
            yield abs(left.value - right.value) / largest


def _numbers(step: StepRecord) -> Iterator[tuple[str, Scalar]]:
    yield from step.scalars.items()
    if step.grad_norm is not None:
        yield GRAD_NORM, step.grad_norm


def _loss_changed(golden: Trace, current: Trace) -> bool:
    one, other = _late_loss(golden), _late_loss(current)
    if one is None or other is None:
        return False
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one) != math.isfinite(other)
    return abs(one - other) > LOSS_CHANGE * abs(one)


def _late_loss(trace: Trace) -> float | None:
    losses = [s.scalars[LOSS].value for s in trace.steps if LOSS in s.scalars]
    late = losses[-math.ceil(len(losses) / 4) :] if losses else []
    return sum(late) / len(late) if late else None
