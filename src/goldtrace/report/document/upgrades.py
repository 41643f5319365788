"""The answers of ``try`` and ``bisect`` as JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from goldtrace.report.document.check import (
    SCHEMA,
    change_document,
    diagnosis_document,
    finite,
    to_document,
)

if TYPE_CHECKING:
    from goldtrace.model.diagnosis import Reproduction
    from goldtrace.model.upgrade import Bisection, ChangePoint, Probe, Trial


def trial_document(trial: Trial) -> dict[str, Any]:
    """A trial as JSON values: ``runs`` as in report.json, and what was tried."""
    return {
        **to_document(trial.results),
        "wanted": list(trial.wanted),
        "package_changes": [change_document(change) for change in trial.changes],
    }


def bisection_document(bisection: Bisection) -> dict[str, Any]:
    """A bisection as JSON values."""
    return {
        "schema": SCHEMA,
        "target": bisection.target,
        "device": bisection.device,
        "question": bisection.question,
        "machine": bisection.machine,
        "until": bisection.until.value,
        "conclusive": bisection.conclusive,
        "change_points": [_point(point) for point in bisection.change_points],
        "causes": [[change_document(change) for change in cause] for cause in bisection.causes],
        "probes": [_probe(probe) for probe in bisection.probes],
        "notes": list(bisection.notes),
    }


def _point(point: ChangePoint) -> dict[str, Any]:
    comparison, diagnosis = point.comparison, point.diagnosis
    first = comparison.first if comparison is not None else None
    return {
        "package": point.package,
        "good": point.good,
        "bad": point.bad,
        "skipped": list(point.skipped),
        "verdict": comparison.verdict.value if comparison is not None else None,
        "op": diagnosis.op if diagnosis is not None else None,
        "class": point.kind,
        "severity": point.severity.value,
        "equivalent_ulp": finite(point.noise),
        "first_divergence": {"step": first.step, "rung": first.rung.value, "name": first.name}
        if first is not None
        else None,
        "diagnosis": diagnosis_document(diagnosis) if diagnosis is not None else None,
        "reproducer": _reproducer(point.reproduction) if point.reproduction is not None else None,
        "note": point.note,
        "failure": point.failure,
        "moved_along": [change_document(change) for change in point.moved_along],
        "together_with": [change_document(change) for change in point.together_with],
        "confirmed": point.confirmed,
    }


def _reproducer(found: Reproduction) -> dict[str, Any]:
    return {
        "folder": found.folder,
        "op": found.op,
        "shown": found.shown,
        "ulp_most": found.ulp_most,
        "ulp_median": found.ulp_median,
        "differing": found.differing,
        "elements": found.elements,
    }


def _probe(probe: Probe) -> dict[str, Any]:
    return {
        "label": probe.label,
        "standing": probe.standing.value,
        "answer": probe.answer,
        "reason": probe.reason,
        "environment": probe.environment,
        "seconds": probe.seconds,
    }
