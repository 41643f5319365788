"""Numbers of a run as a page shows them: in words, on the ruler of noise, as a line, as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from goldtrace.report.document.course import largest_departures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_DECADES = (-1.0, 13.0)
"""The powers of ten at the two ends of the ruler."""

_ROWS = 200


def state(run: Mapping[str, Any]) -> str:
    """The verdict, or ``skipped``, or ``error``: the class of a run's badge."""
    if run["skipped"] is not None:
        return "skipped"
    return str(run["verdict"] or "error")


def number(value: float | str | None) -> str:
    """A number with the digits that tell, ``—`` for none."""
    if value is None:
        return "—"
    return value if isinstance(value, str) else f"{value:.6g}"


def step_words(step: int | None) -> str:
    """``step 7``; before the first and after the last in words."""
    if step is None:
        return "the end"
    return "before step 0" if step < 0 else f"step {step}"


def ruler(ulp: float | None) -> float:
    """Where on a logarithmic ruler some noise is, in per cent of its length."""
    if ulp is None or not math.isfinite(ulp):
        return 100.0
    low, high = _DECADES
    place = (math.log10(ulp) - low) / (high - low) if ulp > 0 else 0.0
    return round(100 * min(1.0, max(0.0, place)), 2)


def sparkline(course: Mapping[str, Any] | None, width: int = 120, height: int = 26) -> str:
    """The points of a small line of the largest departure at each step, on a logarithmic axis."""
    peaks = largest_departures(course)
    if not any(ulp > 0 for _, ulp in peaks):
        return ""
    first, last = peaks[0][0], max(peaks[-1][0], peaks[0][0] + 1)
    points = (
        (
            (step - first) / (last - first) * width,
            height - 1 - ruler(ulp) / 100 * (height - 2),
        )
        for step, ulp in peaks
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def table_rows(course: Mapping[str, Any]) -> Iterator[list[str]]:
    """Headings, then a row a step: every curve in both traces, every departure."""
    curves: Sequence[Mapping[str, Any]] = course["curves"]
    departures: Sequence[Mapping[str, Any]] = course["departures"]
    heads = ["step"]
    columns: list[dict[int, Any]] = []
    for curve in curves:
        for side in ("golden", "current"):
            heads.append(f"{curve['name']}, {'golden' if side == 'golden' else 'now'}")
            columns.append(dict(zip(curve["steps"], curve[side], strict=True)))
    for departure in departures:
        heads.append(f"{departure['quantity']}, ulp")
        columns.append(dict(zip(departure["steps"], departure["ulp"], strict=True)))
    yield heads
    for step in [step for step in course["steps"] if step >= 0][:_ROWS]:
        yield [str(step), *(number(column.get(step)) for column in columns)]
