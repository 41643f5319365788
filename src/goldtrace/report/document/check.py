"""The neutral document about a check, ``report.json``: what other programs read.

Its format is published as ``docs/reference/report.schema.json``.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldtraceError
from goldtrace.model.diagnosis import CAUSE_OF_RUNG, Cause
from goldtrace.report.document.course import course_document
from goldtrace.report.phrases import finding, next_command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.model.checklist import Point
    from goldtrace.model.diagnosis import Culprit, Diagnosis
    from goldtrace.model.verdict import Change, Divergence, Proposal, RunResult

REPORT = "report.json"
"""The document's name in a report directory."""

SCHEMA = 1
"""The version of the document's format."""


def to_document(results: Sequence[RunResult]) -> dict[str, Any]:
    """The results of a check as JSON values, in the order in which they were given."""
    return {"schema": SCHEMA, "runs": [_run(result) for result in results]}


def dump_document(document: dict[str, Any]) -> str:
    """The document as ASCII JSON text, ending in a newline; never with NaN or Infinity."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _run(result: RunResult) -> dict[str, Any]:
    comparison = result.comparison
    first = comparison.first if comparison is not None else None
    return {
        "name": result.name,
        "device": result.device,
        "platform": result.platform,
        "origin": result.origin,
        "line": _line(result),
        "verdict": result.verdict.value if result.verdict is not None else None,
        "headline": finding(result),
        "exact": result.exact,
        "passed": result.passed,
        "equivalent_ulp": finite(comparison.equivalent_ulp) if comparison is not None else None,
        "equivalents": [
            {"quantity": each.quantity, "ulp": finite(each.ulp), "step": each.step}
            for each in (comparison.equivalents if comparison is not None else ())
        ],
        "first_divergence": _first(first, result.diagnosis) if first is not None else None,
        "diagnosis": diagnosis_document(result.diagnosis) if result.diagnosis is not None else None,
        "environment_changes": [change_document(c) for c in comparison.environment_changes]
        if comparison is not None
        else [],
        "steps_compared": comparison.steps_compared if comparison is not None else 0,
        "course": course_document(result.course) if result.course is not None else None,
        "divergences": [_divergence(d) for d in comparison.divergences]
        if comparison is not None
        else [],
        "notes": list(comparison.notes) if comparison is not None else [],
        "error": _error(result.error) if result.error is not None else None,
        "skipped": result.skipped,
        "hint": result.hint,
        "next": next_command(result),
        "candidate": proposal_document(result.proposal),
        "checklist": checklist_document(result.checklist),
        "seconds": finite(result.seconds),
    }


def _line(result: RunResult) -> str | None:
    """The line of code to look at first: of the first culprit that the tape knows one of."""
    culprits = result.diagnosis.culprits if result.diagnosis is not None else ()
    return next((culprit.line for culprit in culprits if culprit.line), None)


def checklist_document(points: Sequence[Point]) -> list[dict[str, Any]]:
    """The points of a checklist."""
    return [
        {
            "key": point.key,
            "title": point.title,
            "answer": point.answer.value,
            "found": point.found,
            "remedy": point.remedy,
        }
        for point in points
    ]


def proposal_document(proposal: Proposal | None) -> dict[str, Any] | None:
    """What became of the candidate golden of a failing run."""
    return None if proposal is None else {"folder": proposal.folder, "why_not": proposal.why_not}


def _first(divergence: Divergence, diagnosis: Diagnosis | None) -> dict[str, Any]:
    cause = diagnosis.cause if diagnosis is not None else None
    if cause is None:
        cause = Cause.ROUNDING if divergence.tolerated else CAUSE_OF_RUNG.get(divergence.rung)
    return {
        "step": divergence.step,
        "rung": divergence.rung.value,
        "name": divergence.name,
        "op": diagnosis.op if diagnosis is not None else None,
        "class": cause.value if cause is not None else None,
    }


def diagnosis_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis as JSON values."""
    return {
        "sentence": diagnosis.sentence,
        "culprits": [_culprit(culprit) for culprit in diagnosis.culprits],
        "consequences": diagnosis.consequences,
        "compared": diagnosis.compared,
        "suspects": [change_document(change) for change in diagnosis.suspects],
        "notes": list(diagnosis.notes),
    }


def _culprit(culprit: Culprit) -> dict[str, Any]:
    return {
        "op": culprit.op,
        "class": culprit.cause.value,
        "what": culprit.what,
        "phase": culprit.phase.value if culprit.phase is not None else None,
        "module": culprit.module,
        "line": culprit.line,
        "ulp_most": finite(culprit.ulp_most),
        "ulp_median": finite(culprit.ulp_median),
    }


def _divergence(divergence: Divergence) -> dict[str, Any]:
    return {
        "step": divergence.step,
        "rung": divergence.rung.value,
        "name": divergence.name,
        "golden": divergence.golden,
        "current": divergence.current,
        "ulp": finite(divergence.ulp),
        "tolerated": divergence.tolerated,
        "note": divergence.note,
    }


def change_document(change: Change) -> dict[str, Any]:
    """A change of package, setting, pin or machine."""
    return {"what": change.what, "golden": change.golden, "now": change.now}


def _error(error: Exception) -> dict[str, Any]:
    if isinstance(error, GoldtraceError):
        return dict(error.to_json())
    return {
        "type": type(error).__name__,
        "what": str(error),
        "where": None,
        "expected": None,
        "found": None,
        "hint": None,
    }


def finite(value: float | None) -> float | None:
    """A number that JSON has, else ``None``."""
    return value if value is not None and math.isfinite(value) else None
