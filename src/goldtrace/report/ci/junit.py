"""JUnit: what a golden item says of itself beside its outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping


PROPERTIES = ("verdict", "platform", "equivalent_ulp", "first_divergence")


def properties(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``verdict``, ``platform``, ``equivalent_ulp`` and ``first_divergence``, those there are."""
    first = run["first_divergence"]
    found = {
        "verdict": run["verdict"],
        "platform": run["platform"],
        "equivalent_ulp": None if run["equivalent_ulp"] is None else f"{run['equivalent_ulp']:.6g}",
        "first_divergence": None
        if first is None
        else f"{'end' if first['step'] is None else first['step']}:{first['rung']}:{first['name']}",
    }
    return [(name, plain(value)) for name, value in found.items() if value is not None]
