"""The difference over the steps as one small line of a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goldtrace.model.course import Unit
from goldtrace.report.phrases import ulps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from goldtrace.model.course import Course

_BARS = "▁▂▃▄▅▆▇█"
_EQUAL = "·"
_WIDEST = 60
_FEWEST = 3  # steps; fewer are no line


def course_line(course: Course | None, width: int) -> list[str]:
    """``·▁▃▅█  up to 5.8e12 ulp at step 3``, a bar for each step, or for several; or nothing."""
    peaks = _peaks(course) if course is not None else {}
    if course is None or len(peaks) < _FEWEST or not any(peaks.values()):
        return []
    highest = max(peaks, key=lambda step: peaks[step])
    unit = "of noise" if any(d.unit is Unit.EQUIVALENT for d in course.departures) else "of losses"
    text = f"  up to {ulps(peaks[highest])} {unit}, at step {highest}"
    bars = bar_line([peaks[step] for step in sorted(peaks)], min(width - len(text), _WIDEST))
    return [bars + text]


def bar_line(values: Sequence[float], width: int) -> str:
    """Bars on a logarithmic scale; equal values are dots, an infinite one a full bar."""
    if width < 1 or not values:
        return ""
    size = math.ceil(len(values) / width)
    groups = [max(values[i : i + size]) for i in range(0, len(values), size)]
    known = [math.log10(value) for value in groups if 0 < value < math.inf]
    low, high = _ends(known)
    return "".join(_bar(value, low, high) for value in groups)


def _ends(known: Iterable[float]) -> tuple[float, float]:
    """From 1 ulp, or what is less, to the highest; a decade at least."""
    known = list(known)
    low = min([0.0, *known])
    return low, max([low + 1.0, *known])


def _bar(value: float, low: float, high: float) -> str:
    if not value > 0:
        return _BARS[-1] if math.isnan(value) else _EQUAL
    if math.isinf(value):
        return _BARS[-1]
    share = (math.log10(value) - low) / (high - low)
    return _BARS[round(share * (len(_BARS) - 1))]


def _peaks(course: Course) -> dict[int, float]:
    found: dict[int, float] = {}
    for departure in course.departures:
        for step, ulp in zip(departure.steps, departure.ulp, strict=True):
            found[step] = max(found.get(step, 0.0), ulp)
    return found
