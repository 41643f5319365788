"""The bisection over all releases, held against what the neighbours show."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from goldtrace.report.document.upgrades import bisection_document
from goldtrace.workflow.bisecting import bisect_package

if TYPE_CHECKING:
    from goldtrace.bisect.target import Target
    from releasing.neighbours import Releases

SECONDS = 5.0
"""The time in which a question about a training that was asked before is answered."""


def bisect_all(target: Target, releases: Releases, neighbours: dict[str, Any]) -> dict[str, Any]:
    """Ask for every change point, twice, and hold the answer against the neighbours'."""
    answers = []
    for _ in range(2):
        began = time.monotonic()
        bisection = bisect_package(
            target,
            releases.package,
            releases.means,
            first=releases.versions[0],
            last=releases.versions[-1],
            everything=True,
        )
        answers.append((bisection_document(bisection), time.monotonic() - began))
    (first, _), (second, seconds) = answers
    points = first["change_points"]
    return {
        "points": named(points),
        "agrees": named(points) == named(neighbours["points"]),
        "probes": len(first["probes"]),
        "confirming": 2 * len(points),
        "bound": 2 * len(points) * math.ceil(math.log2(len(releases.versions))) + 2,
        "again_seconds": seconds,
        "again_agrees": named(second["change_points"]) == named(points),
    }


def named(points: list[dict[str, Any]]) -> list[list[str | None]]:
    """What two answers must have in common: the releases, the operator and its class."""
    return [[p["good"], p["bad"], p["op"], p["class"]] for p in points]


def problems(document: dict[str, Any]) -> list[str]:
    """Everything that isn't as promised, a line each."""
    found = []
    for run, result in document["runs"].items():
        told = result["bisection"]
        if not told["agrees"]:
            found.append(f"{run}: the bisection found {told['points']}, which isn't what is there")
        if told["probes"] + told["confirming"] > told["bound"]:
            found.append(f"{run}: {told['probes']} probes and {told['confirming']} to confirm")
        if not told["again_agrees"]:
            found.append(f"{run}: the second answer is another one")
        # That of all operators reads 17 tapes of 8,000 calls: the page tells how long it took.
        if run != "operators" and told["again_seconds"] >= SECONDS:
            found.append(f"{run}: the second answer took {told['again_seconds']:.1f} s")
        for point in result["neighbours"]["points"]:
            where = f"{run} {point['good']} to {point['bad']}"
            if not point["confirmed"]:
                found.append(f"{where}: not confirmed")
            reproducer = point["reproducer"]
            if point["op"] is not None and (reproducer is None or not reproducer["shown"]):
                found.append(f"{where}: {point['op']} by itself doesn't show it; {point['note']}")
    return found
