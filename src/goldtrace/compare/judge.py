"""The verdict on a trace: what differs from the golden, in causal order, and what that means."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.compare.align import align_names, align_steps
from goldtrace.compare.digests import Ladder, compare_digests
from goldtrace.compare.explain import Explained
from goldtrace.compare.notes import (
    nan_notes,
    platform_note,
    throttle_note,
    tolerance_notes,
    unportable_note,
)
from goldtrace.compare.rules import GRAD_NORM, LOSS, read_rules
from goldtrace.compare.scalars import Where, compare_scalars
from goldtrace.compare.thresholds import ROUNDING_ULP
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Comparison, Rung, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.compare.align import StepPair
    from goldtrace.compare.rules import Rules
    from goldtrace.model.calibration import Calibration
    from goldtrace.model.scalar import Scalar
    from goldtrace.model.tolerance import Tolerance
    from goldtrace.model.trace import End, StepRecord, Trace
    from goldtrace.model.verdict import Change, Divergence

LIMIT = 500
"""The most divergences that a comparison lists: about twelve for each of 40 steps."""


def compare_traces(
    golden: Trace,
    current: Trace,
    *,
    tolerance: Mapping[str, Tolerance],
    environment_changes: tuple[Change, ...] = (),
    calibration: Calibration | None = None,
    rounding_ulp: float = ROUNDING_ULP,
    operator_class: str | None = None,
    argument: str | None = None,
) -> Comparison:
    """Hold ``current`` against ``golden``.

    ``identical`` needs every bit of every recorded quantity; ``rounding`` needs every difference
    to be within an explicit tolerance, or to be explained by the golden's ``calibration`` as at
    most ``rounding_ulp`` of noise; anything else is ``drift``. Without a calibration,
    floating-point state may differ while a tolerance names a metric. Traces that share no
    recorded quantity of a training step are ``incomparable``.

    ``operator_class`` is what the tape tells of the first operator that diverges (``rounding``,
    ``precision``, ``argument``, …), and ``argument`` names an operator anywhere on it that was
    given another number; their evidence overrules the calibration's.
    """
    pairs = align_steps(golden, current)
    rules = read_rules(tolerance, golden, current, calibrated=calibration is not None)
    ladder = Ladder.of(pairs)
    found = [*_missing_steps(pairs)]
    for pair in pairs:
        if pair.golden is not None and pair.current is not None:
            found += _step(pair.golden, pair.current, rules)
            found += compare_digests(pair.golden, pair.current, rules, ladder)
            found += _grad_norm(pair.golden, pair.current, rules)
    found += _end(golden.end, current.end, rules)
    found.sort(key=_cause)
    explained = Explained.of(
        found,
        golden,
        current,
        calibration=calibration,
        rules=rules,
        rounding_ulp=rounding_ulp,
        operator_class=operator_class,
        argument=argument,
    )
    found = list(explained.divergences)
    kept = _bounded(found)
    notes = [
        *explained.notes,
        *nan_notes(golden, current),
        *platform_note(golden.header, current.header),
        *throttle_note(current.header),
        *tolerance_notes(rules),
        *unportable_note(current.header),
    ]
    if len(kept) < len(found):
        notes.append(f"{len(found):,} differences; {len(kept):,} are listed, the first among them")
    shared = [
        pair.number
        for pair in pairs
        if pair.number != INITIAL_STEP and pair.golden is not None and pair.current is not None
    ]
    if not any(_holds_something(pair) for pair in pairs):
        notes.insert(0, "the traces share no training step in which anything was recorded")
        verdict = Verdict.INCOMPARABLE
    elif not found:
        verdict = Verdict.IDENTICAL
    elif all(divergence.tolerated for divergence in found):
        verdict = Verdict.ROUNDING
    else:
        verdict = Verdict.DRIFT
    return Comparison(
        verdict=verdict,
        divergences=tuple(kept),
        environment_changes=environment_changes,
        steps_compared=len(shared),
        equivalent_ulp=explained.ulp,
        equivalents=explained.equivalents,
        notes=tuple(notes),
    )


def _step(golden: StepRecord, current: StepRecord, rules: Rules) -> Iterator[Divergence]:
    """The differences among the numbers of one step."""
    step = golden.number
    for name, left, right in align_names(golden.scalars, current.scalars):
        rung = Rung.LOSS if name == LOSS else Rung.METRIC
        allowed = rules.for_metric(name)
        if found := compare_scalars(Where(step, rung, name), left, right, tolerance=allowed):
            yield found
    hyperparameters = align_names(golden.hyperparameters, current.hyperparameters)
    # Learning rates first: schedulers keep others beside them (initial_lr) that say less.
    for name, a, b in sorted(hyperparameters, key=lambda entry: not entry[0].endswith(".lr")):
        allowed = rules.for_hyperparameter(name)
        if found := compare_scalars(Where(step, Rung.LR, name), a, b, tolerance=allowed):
            yield found


def _grad_norm(golden: StepRecord, current: StepRecord, rules: Rules) -> Iterator[Divergence]:
    left, right = golden.grad_norm, current.grad_norm
    allowed = rules.for_grad_norm()
    where = Where(golden.number, Rung.GRADIENTS, GRAD_NORM)
    found = compare_scalars(where, left, right, tolerance=allowed)
    if found is None:
        return
    if allowed is None and rules.excuses(Rung.GRADIENTS) and _both_finite(left, right):
        # Excused like the gradients that it sums up; a NaN or an infinity says that they broke.
        found = replace(found, tolerated=True)
    yield found


def _both_finite(golden: Scalar | None, current: Scalar | None) -> bool:
    if golden is None or current is None or golden.dtype != current.dtype:
        return False
    return math.isfinite(golden.value) and math.isfinite(current.value)


def _end(golden: End, current: End, rules: Rules) -> Iterator[Divergence]:
    """The differences among metrics and final digests."""
    for name, left, right in align_names(golden.metrics, current.metrics):
        allowed = rules.for_metric(name)
        if found := compare_scalars(Where(None, Rung.METRIC, name), left, right, tolerance=allowed):
            yield found
    for rung in sorted(golden.final.keys() | current.final.keys(), key=lambda rung: rung.order):
        a, b = golden.final.get(rung), current.final.get(rung)
        if a != b:
            found = Where(None, rung, f"final {rung.value}").differs(a, b)
            both = a is not None and b is not None
            yield replace(found, tolerated=both and rules.excuses(rung))


def _missing_steps(pairs: list[StepPair]) -> Iterator[Divergence]:
    """One divergence for each stretch of steps that one trace has and the other hasn't."""
    stretch: list[StepPair] = []
    for pair in pairs:
        lacking = pair.golden is None or pair.current is None
        if stretch and not (lacking and (pair.golden is None) == (stretch[0].golden is None)):
            yield _stretch(stretch)
            stretch = []
        if lacking:
            stretch.append(pair)
    if stretch:
        yield _stretch(stretch)


def _stretch(pairs: list[StepPair]) -> Divergence:
    first, last = pairs[0].number, pairs[-1].number
    which = f"steps {first} to {last} are" if last > first else f"step {first} is"
    extra = pairs[0].golden is None
    where = Where(first, Rung.STRUCTURE, "step")
    found = where.differs(*((None, "recorded") if extra else ("recorded", None)))
    return replace(found, note=f"{which} {'not in the golden' if extra else 'missing'}")


def _holds_something(pair: StepPair) -> bool:
    """Whether both sides of a training step hold a number or a digest to compare."""
    if pair.number == INITIAL_STEP or pair.golden is None or pair.current is None:
        return False
    golden, current = pair.golden, pair.current
    return bool(
        golden.scalars.keys() & current.scalars.keys()
        or golden.ladder.keys() & current.ladder.keys()
    )


def _cause(found: Divergence) -> tuple[float, int]:
    """The place in causal order; sorting is stable, so names keep theirs."""
    return (math.inf if found.step is None else found.step, found.rung.order)


def _bounded(found: list[Divergence]) -> list[Divergence]:
    """At most ``LIMIT``, in order: the first that counts, the end's metrics, then the earliest."""
    if len(found) <= LIMIT:
        return found
    first = next((d for d in found if not d.tolerated), found[0])

    def rank(place: int) -> tuple[int, int]:
        divergence = found[place]
        if divergence is first:
            return 0, place
        if divergence.step is None and divergence.rung is Rung.METRIC:
            return 1, place
        return 3 if divergence.tolerated else 2, place

    kept = sorted(range(len(found)), key=rank)[:LIMIT]
    return [found[place] for place in sorted(kept)]
