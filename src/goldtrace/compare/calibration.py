"""Judge a difference by the calibration of the golden: the noise that would explain it, in ulp."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.compare.distances import (
    initial_distances,
    number_distance,
    scalar_distances,
    tensor_distances,
)
from goldtrace.compare.rules import GRAD_NORM
from goldtrace.compare.thresholds import FLATTEST, LOST_SCALAR, LOST_TENSOR, SPREAD
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Equivalent, Rung

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from goldtrace.compare.distances import (
        Distance,
    )
    from goldtrace.model.calibration import Calibration, Response
    from goldtrace.model.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a calibration says of two traces.

    ``equivalents`` are in order of their noise, the largest first. ``scattered`` is what noise
    hides, beyond a horizon or altogether, and what differs by more than noise has moved it there.
    """

    equivalents: tuple[Equivalent, ...]
    scattered: tuple[str, ...]

    @property
    def ulp(self) -> float:
        """The noise that would explain everything: the largest."""
        return self.equivalents[0].ulp if self.equivalents else 0.0


def judge_by(
    calibration: Calibration,
    golden: Trace,
    current: Trace,
    *,
    leave_out: Callable[[str], bool] = lambda _: False,
    spread: float = SPREAD,
) -> Judgement:
    """The equivalent noise of each quantity up to its horizon.

    That of many tensors is the largest of theirs: a change may touch few of them at first, such as
    the last layer alone. That of a gradient norm counts by ``SPREAD`` less, because one flipped
    sign moves it; the weights that the gradients went into say more. What noise hides has none,
    and must stay within ``spread`` times what noise has done to it.

    ``leave_out`` names the numbers that something else judges, such as an explicit tolerance.
    """
    found: list[Equivalent] = []
    scattered: list[str] = []
    for name, steps in scalar_distances(golden, current).items():
        if not leave_out(name):
            peak, lost = _number(calibration, name, steps, spread)
            found += peak
            scattered += lost
    for name, value in golden.end.metrics.items():
        distance = number_distance(value, current.end.metrics.get(name))
        response = calibration.metrics.get(name)
        if distance is None or response is None or leave_out(name):
            continue
        if math.isfinite(response.large) and response.small <= LOST_SCALAR * distance.moved:
            ulp = equivalent_noise(calibration, response, distance)
            found.append(Equivalent(quantity=name, ulp=ulp, step=None))
        elif _is_scattered(response, distance, spread):
            scattered.append(f"metric {name}")
    for rung in (Rung.WEIGHTS, Rung.BUFFERS):
        peak, lost = _tensors(calibration, golden, current, rung, spread)
        found += peak
        scattered += lost
        initial = initial_distances(golden, current, rung)
        if any(initial.values()):
            ulp = max(initial.values())
            quantity = f"initial {rung.value}"
            found.append(Equivalent(quantity=quantity, ulp=ulp, step=INITIAL_STEP))
    found.sort(key=lambda each: (-each.ulp, each.quantity))
    return Judgement(equivalents=tuple(found), scattered=tuple(scattered))


def equivalent_noise(calibration: Calibration, response: Response, distance: Distance) -> float:
    """The noise in ulp that moves a quantity as far as ``distance``.

    The response is known for two sizes of noise, and taken to be a power law between them and
    proportional beyond. Its slope on logarithmic axes is between ``FLATTEST`` and 1: see there.
    No amount of noise moves what neither noise nor rounding has ever moved.
    """
    difference = distance.difference
    if difference == 0:
        return 0.0
    ratio = calibration.large / calibration.small
    rare = math.pow(ratio, FLATTEST)
    small = response.small
    large = max(response.large, distance.resolution, small * rare)
    if large == 0:
        return math.inf
    if large > small * ratio:
        small = large / rare
    if difference <= small:
        return calibration.small * difference / small
    if difference >= large:
        return calibration.large * difference / large
    slope = math.log(large / small) / math.log(ratio)
    return calibration.small * math.pow(difference / small, 1 / slope)


def _number(
    calibration: Calibration, name: str, steps: dict[int, Distance], spread: float
) -> tuple[list[Equivalent], list[str]]:
    responses = calibration.scalars.get(name, {})
    horizon = calibration.horizons.get(name, -1)
    peaks = []
    scattered = []
    for number, distance in steps.items():
        response = responses.get(number)
        if response is None:
            continue
        if number <= horizon:
            ulp = equivalent_noise(calibration, response, distance)
            ulp /= SPREAD if name == GRAD_NORM else 1
            peaks.append(Equivalent(quantity=name, ulp=ulp, step=number))
        elif _is_scattered(response, distance, spread):
            scattered.append(f"{name} at step {number}")
    return _largest(peaks), scattered


def _tensors(
    calibration: Calibration, golden: Trace, current: Trace, rung: Rung, spread: float
) -> tuple[list[Equivalent], list[str]]:
    peaks = []
    scattered = []
    for step, name, distance in tensor_distances(golden, current, rung):
        response = calibration.tensors.get(rung, {}).get(step, {}).get(name)
        if response is None:
            continue
        if _is_judged(calibration, rung, step, response, distance):
            ulp = equivalent_noise(calibration, response, distance)
            peaks.append(Equivalent(quantity=rung.value, ulp=ulp, step=step))
        elif _is_scattered(response, distance, spread):
            scattered.append(f"{name} at step {step}")
    return _largest(peaks), scattered


def _is_judged(
    calibration: Calibration, rung: Rung, step: int, response: Response, distance: Distance
) -> bool:
    known = math.isfinite(response.small) and math.isfinite(response.large)
    if not known or step > calibration.horizons.get(rung.value, -1):
        return False
    if distance.moved == 0:
        return distance.difference > 0
    return response.small <= LOST_TENSOR * distance.moved


def _is_scattered(response: Response, distance: Distance, spread: float) -> bool:
    noise = max(response.small, response.large, distance.resolution)
    # Noise that left no finite number has shown nothing: then only the same value will do.
    return distance.difference > (spread * noise if math.isfinite(noise) else 0.0)


def _largest(peaks: Iterable[Equivalent]) -> list[Equivalent]:
    """The largest, at the earliest of its steps; nothing of nothing."""
    return sorted(peaks, key=_rank)[:1]


def _rank(each: Equivalent) -> tuple[float, int]:
    return -each.ulp, -2 if each.step is None else each.step
