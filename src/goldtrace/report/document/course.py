"""The course of a run as JSON values: curves, departures and the ladder of report.json."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from goldtrace.model.course import Course, Curve, Departure


def course_document(course: Course) -> dict[str, Any]:
    """The course as report.json has it; numbers that JSON lacks are ``nan``, ``inf``, ``-inf``."""
    return {
        "steps": list(course.steps),
        "stride": course.stride,
        "horizon": course.horizon,
        "band_ulp": course.noise,
        "ladder": [
            {"rung": rung.value, "cells": [cell.value for cell in cells]}
            for rung, cells in course.ladder.items()
        ],
        "curves": [_curve(curve) for curve in course.curves],
        "departures": [_departure(departure) for departure in course.departures],
    }


def largest_departures(course: Mapping[str, Any] | None) -> list[tuple[int, float]]:
    """The largest departure at each step of a course's document that has one, in ulp."""
    found: dict[int, float] = {}
    for departure in (course or {}).get("departures", ()):
        for step, ulp in zip(departure["steps"], departure["ulp"], strict=True):
            found[step] = max(found.get(step, 0.0), float(ulp))
    return sorted(found.items())


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "name": curve.name,
        "rung": curve.rung.value,
        "steps": list(curve.steps),
        "golden": _numbers(curve.golden),
        "current": _numbers(curve.current),
        "band": _numbers(curve.band),
    }


def _departure(departure: Departure) -> dict[str, Any]:
    return {
        "quantity": departure.quantity,
        "unit": departure.unit.value,
        "horizon": departure.horizon,
        "steps": list(departure.steps),
        "ulp": _numbers(departure.ulp),
    }


def _numbers(values: Iterable[float | None]) -> list[float | str | None]:
    return [v if v is None or math.isfinite(v) else str(v) for v in values]
