"""The course of a comparison: curves, departures from the golden and the ladder, step by step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goldtrace.compare.align import align_steps, natural
from goldtrace.compare.calibration import equivalent_noise
from goldtrace.compare.distances import scalar_distances, tensor_distances
from goldtrace.compare.rules import GRAD_NORM, LOSS
from goldtrace.compare.thresholds import LOST_TENSOR
from goldtrace.model.course import Agreement, Course, Curve, Departure, Unit
from goldtrace.model.scalar import Scalar, ulp_distance
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Rung, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from goldtrace.compare.align import StepPair
    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import StepRecord, Trace
    from goldtrace.model.verdict import Comparison

STEPS = 400
"""The most steps that a course keeps: more can't be told apart on a screen."""

_LR = ".lr"
_RATES = 8
"""Parameter groups whose learning rates are drawn though nothing about them differs."""


def course_of(
    golden: Trace, current: Trace, comparison: Comparison, calibration: Calibration | None = None
) -> Course:
    """How ``current`` went beside ``golden``, which were compared with this outcome."""
    pairs = align_steps(golden, current)
    first = comparison.first.step if comparison.first is not None else None
    kept, stride = _thinned(pairs, first)
    return Course(
        steps=tuple(pair.number for pair in kept),
        ladder=dict(_ladder(kept, comparison)),
        curves=tuple(_curves(kept, calibration)),
        departures=tuple(
            _calibrated(golden, current, calibration, {pair.number for pair in kept})
            if calibration is not None
            else _plain(kept)
        ),
        noise=calibration.large if calibration is not None else None,
        horizon=calibration.horizon if calibration is not None else None,
        stride=stride,
    )


def _thinned(pairs: Sequence[StepPair], first: int | None) -> tuple[list[StepPair], int]:
    stride = max(1, math.ceil(len(pairs) / STEPS))
    if stride == 1:
        return list(pairs), 1
    near = range(first - 2, first + 3) if first is not None else range(0)
    return [
        pair
        for place, pair in enumerate(pairs)
        if place % stride == 0 or pair.number in near or place == len(pairs) - 1
    ], stride


def _ladder(
    pairs: Sequence[StepPair], comparison: Comparison
) -> Iterator[tuple[Rung, tuple[Agreement, ...]]]:
    judged = {(d.step, d.rung) for d in comparison.divergences if not d.tolerated}
    excused = {(d.step, d.rung) for d in comparison.divergences if d.tolerated} - judged
    # A comparison lists some hundred divergences; a verdict speaks of all.
    all_excused = comparison.verdict is Verdict.ROUNDING
    for rung in Rung:
        row = []
        for pair in pairs:
            agreement = _agreement(pair, rung)
            tolerated = all_excused or (pair.number, rung) in excused
            if agreement is Agreement.DIFFERS and tolerated:
                agreement = Agreement.TOLERATED
            row.append(agreement)
        if any(agreement is not Agreement.ABSENT for agreement in row):
            yield rung, tuple(row)


def _agreement(pair: StepPair, rung: Rung) -> Agreement:
    golden = _recorded(pair.golden, rung)
    current = _recorded(pair.current, rung)
    if golden == current:
        return Agreement.SAME if golden else Agreement.ABSENT
    return Agreement.DIFFERS if golden and current else Agreement.ONE_SIDED


def _recorded(step: StepRecord | None, rung: Rung) -> dict[str, object]:
    """Everything that a step holds of a rung, by name; single tensors only where nothing else."""
    if step is None:
        return {}
    found: dict[str, object] = {}
    if rung in step.ladder:
        found["digest"] = step.ladder[rung]
    elif step.tensors.get(rung):
        found.update(step.tensors[rung])
    match rung:
        case Rung.RNG:
            found |= step.rng
        case Rung.BATCH if step.samples is not None:
            found["samples"] = step.samples
        case Rung.LOSS | Rung.METRIC:
            found |= {n: v for n, v in step.scalars.items() if (n == LOSS) is (rung is Rung.LOSS)}
        case Rung.LR:
            found |= step.hyperparameters
        case Rung.GRADIENTS if step.grad_norm is not None:
            found[GRAD_NORM] = step.grad_norm
        case _:
            pass
    return found


def _curves(pairs: Sequence[StepPair], calibration: Calibration | None) -> Iterator[Curve]:
    steps = [pair for pair in pairs if pair.number != INITIAL_STEP]
    bands = calibration.scalars if calibration is not None else {}
    names = {name for pair in steps for side in _sides(pair) for name in side.scalars}
    for name in sorted(names, key=lambda name: (name != LOSS, natural(name))):
        rung = Rung.LOSS if name == LOSS else Rung.METRIC
        golden, current = ([_value(s, name) for s in side] for side in _columns(steps))
        response = bands.get(name, {})
        band = [response[pair.number].large if pair.number in response else None for pair in steps]
        yield _curve(
            name=name,
            rung=rung,
            steps=steps,
            golden=golden,
            current=current,
            band=band if response else (),
        )
    for name in _rates(steps):
        golden, current = ([_rate(s, name) for s in side] for side in _columns(steps))
        yield _curve(name=name, rung=Rung.LR, steps=steps, golden=golden, current=current, band=())


def _curve(
    *,
    name: str,
    rung: Rung,
    steps: Iterable[StepPair],
    golden: Iterable[float | None],
    current: Iterable[float | None],
    band: Iterable[float | None],
) -> Curve:
    return Curve(
        name=name,
        rung=rung,
        steps=tuple(pair.number for pair in steps),
        golden=tuple(golden),
        current=tuple(current),
        band=tuple(band),
    )


def _rates(steps: Sequence[StepPair]) -> list[str]:
    """Learning rates, and whatever other number of an optimizer differs."""
    names = sorted(
        {name for pair in steps for side in _sides(pair) for name in side.hyperparameters},
        key=natural,
    )
    columns = {
        name: [[_rate(step, name) for step in side] for side in _columns(steps)] for name in names
    }
    numeric = [n for n in names if any(v is not None for side in columns[n] for v in side)]
    rates = [name for name in numeric if name.endswith(_LR)][:_RATES]
    return rates + [n for n in numeric if n not in rates and columns[n][0] != columns[n][1]]


def _columns(
    steps: Sequence[StepPair],
) -> tuple[list[StepRecord | None], list[StepRecord | None]]:
    return [pair.golden for pair in steps], [pair.current for pair in steps]


def _sides(pair: StepPair) -> Iterator[StepRecord]:
    yield from (side for side in (pair.golden, pair.current) if side is not None)


def _value(step: StepRecord | None, name: str) -> float | None:
    scalar = step.scalars.get(name) if step is not None else None
    return scalar.value if scalar is not None else None


def _rate(step: StepRecord | None, name: str) -> float | None:
    value = step.hyperparameters.get(name) if step is not None else None
    return value.value if isinstance(value, Scalar) else None


def _calibrated(
    golden: Trace, current: Trace, calibration: Calibration, kept: set[int]
) -> Iterator[Departure]:
    for name, steps in scalar_distances(golden, current).items():
        responses = calibration.scalars.get(name, {})
        if name == GRAD_NORM or not responses:
            continue
        found = {
            number: equivalent_noise(calibration, responses[number], distance)
            for number, distance in steps.items()
            if number in kept and number in responses
        }
        yield from _departure(name, Unit.EQUIVALENT, calibration.horizons.get(name), found)
    for rung in (Rung.WEIGHTS, Rung.BUFFERS):
        largest: dict[int, float] = {}
        for step, name, distance in tensor_distances(golden, current, rung):
            response = calibration.tensors.get(rung, {}).get(step, {}).get(name)
            # Those that judging leaves out: noise hides them, or they never moved.
            if response is None or step not in kept or not math.isfinite(response.large):
                continue
            if distance.moved and response.small > LOST_TENSOR * distance.moved:
                continue
            ulp = equivalent_noise(calibration, response, distance)
            largest[step] = max(largest.get(step, 0.0), ulp)
        horizon = calibration.horizons.get(rung.value)
        yield from _departure(rung.value, Unit.EQUIVALENT, horizon, largest)


def _plain(pairs: Sequence[StepPair]) -> Iterator[Departure]:
    found: dict[str, dict[int, float]] = {}
    for pair in pairs:
        if pair.golden is None or pair.current is None:
            continue
        numbers: Mapping[str, Scalar] = pair.current.scalars
        for name, scalar in pair.golden.scalars.items():
            if name in numbers and scalar.dtype == numbers[name].dtype:
                ulp = ulp_distance(scalar, numbers[name])
                if ulp is not None:
                    found.setdefault(name, {})[pair.number] = ulp
    for name in sorted(found, key=lambda name: (name != LOSS, natural(name))):
        yield from _departure(name, Unit.ULP, None, found[name])


def _departure(
    quantity: str, unit: Unit, horizon: int | None, found: Mapping[int, float]
) -> Iterator[Departure]:
    if found:
        steps = sorted(found)
        yield Departure(
            quantity=quantity,
            unit=unit,
            horizon=horizon,
            steps=tuple(steps),
            ulp=tuple(found[step] for step in steps),
        )
