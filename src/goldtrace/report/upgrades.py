"""The answers of ``try`` and ``bisect``: as JSON values, as Markdown and for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from goldtrace.model.upgrade import Standing
from goldtrace.report.document import SCHEMA, to_document
from goldtrace.report.phrases import describe_divergence
from goldtrace.report.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from goldtrace.model.upgrade import Bisection, ChangePoint, Probe, Trial
    from goldtrace.model.verdict import Change

LISTED = 12
"""Differing quantities, and packages that moved along, that a page lists before it counts them."""


def trial_document(trial: Trial) -> dict[str, Any]:
    """A trial as JSON values: ``runs`` as in report.json, and what was tried."""
    return {
        **to_document(trial.results),
        "wanted": list(trial.wanted),
        "package_changes": [_change(change) for change in trial.changes],
    }


def bisection_document(bisection: Bisection) -> dict[str, Any]:
    """A bisection as JSON values."""
    return {
        "schema": SCHEMA,
        "target": bisection.target,
        "device": bisection.device,
        "question": bisection.question,
        "until": bisection.until.value,
        "conclusive": bisection.conclusive,
        "change_points": [_point(point) for point in bisection.change_points],
        "causes": [[_change(change) for change in cause] for cause in bisection.causes],
        "probes": [_probe(probe) for probe in bisection.probes],
        "notes": list(bisection.notes),
    }


def render_changes(changes: Sequence[Change]) -> str:
    """Package changes in one paragraph: ``torch 2.14.1 → 2.15.0, …``."""
    shown = [_spell(change) for change in changes[:LISTED]]
    if len(changes) > LISTED:
        shown.append(f"{len(changes) - LISTED} more")
    return ", ".join(shown) or "none"


def render_bisection(bisection: Bisection) -> str:
    """The answer for a terminal, in plain lines."""
    lines = [f"{plain(bisection.target)} on {bisection.device}: {plain(bisection.question)}", ""]
    for number, cause in enumerate(bisection.causes, start=1):
        lines.append(f"cause {number}: {render_changes(cause)}")
    for point in bisection.change_points:
        lines += [headline(point), *(f"    {line}" for line in _details(point)), ""]
    if not bisection.change_points and not bisection.causes:
        lines.append("no change point")
    lines += [plain(note) for note in bisection.notes]
    lines.append(summary(bisection))
    return "\n".join(lines)


def render_bisection_markdown(bisection: Bisection) -> str:
    """The answer as a page to paste into an issue of whoever made the package."""
    lines = [
        f"### {_cell(bisection.target)} on {bisection.device}: {_cell(bisection.question)}",
        "",
    ]
    if bisection.change_points:
        lines += [
            "| package | good | bad | class | noise (ulp) | first difference | confirmed |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_row(point) for point in bisection.change_points),
            "",
        ]
    else:
        lines += ["No change point.", ""]
    for number, cause in enumerate(bisection.causes, start=1):
        lines.append(f"Cause {number}: {_cell(render_changes(cause))}")
        lines.append("")
    for point in bisection.change_points:
        lines += [f"**{_cell(headline(point))}**", ""]
        lines += [f"- {_cell(line.strip())}" for line in _details(point)]
        lines.append("")
    lines += [f"{_cell(note)}\n" for note in bisection.notes]
    lines += [
        "<details><summary>Probes</summary>",
        "",
        "| probe | answer | time | environment |",
        "| --- | --- | --- | --- |",
        *(
            f"| {_cell(p.label)} | {_cell(_answer(p))} | {_seconds(p)} | {p.environment or ''} |"
            for p in bisection.probes
        ),
        "",
        "</details>",
        "",
        summary(bisection),
        "",
    ]
    return "\n".join(lines)


def headline(point: ChangePoint) -> str:
    """A change point in one line."""
    between = f", or one of {', '.join(point.skipped)} (skipped)" if point.skipped else ""
    confirmed = {True: "", False: "  NOT CONFIRMED: training again gave something else", None: ""}
    return plain(
        f"{point.package} {point.good} → {point.bad}{between}: {point.kind}"
        f"{confirmed[point.confirmed]}"
    )


def summary(bisection: Bisection) -> str:
    """How many probes it took, and how many of them trained just now."""
    now = [p.seconds for p in bisection.probes if p.seconds is not None]
    skipped = sum(1 for p in bisection.probes if p.standing is Standing.SKIPPED)
    parts = [f"{len(bisection.probes)} probes"]
    if len(now) < len(bisection.probes):
        parts.append(f"{len(bisection.probes) - len(now)} of them known from before")
    if skipped:
        parts.append(f"{skipped} skipped")
    return ", ".join(parts) + f"; {math.fsum(now):.0f} s"


def _details(point: ChangePoint) -> list[str]:
    lines = []
    comparison = point.comparison
    if point.failure is not None:
        lines.append(f"fails: {plain(point.failure)}")
    if comparison is not None:
        differing = comparison.divergences
        lines += [describe_divergence(divergence) for divergence in differing[:LISTED]]
        if len(differing) > LISTED:
            lines.append(f"and {len(differing) - LISTED} more differences")
        if comparison.equivalent_ulp is not None:
            lines.append(f"equivalent noise: {comparison.equivalent_ulp:.3g} ulp of float32")
    if point.together_with:
        lines.append(f"only together with {render_changes(point.together_with)}")
    if point.moved_along:
        lines.append(f"moved along: {render_changes(point.moved_along)}")
    return lines


def _row(point: ChangePoint) -> str:
    comparison = point.comparison
    first = comparison.first if comparison is not None else None
    noise = comparison.equivalent_ulp if comparison is not None else None
    bad = f"{point.bad} (or {', '.join(point.skipped)})" if point.skipped else point.bad
    cells = (
        point.package,
        point.good,
        bad,
        point.kind or "",
        "" if noise is None else f"{noise:.3g}",
        point.failure or (describe_divergence(first) if first is not None else ""),
        {True: "yes", False: "no", None: ""}[point.confirmed],
    )
    return f"| {' | '.join(map(_cell, cells))} |"


def _point(point: ChangePoint) -> dict[str, Any]:
    comparison = point.comparison
    noise = comparison.equivalent_ulp if comparison is not None else None
    first = comparison.first if comparison is not None else None
    return {
        "package": point.package,
        "good": point.good,
        "bad": point.bad,
        "skipped": list(point.skipped),
        "verdict": comparison.verdict.value if comparison is not None else None,
        "op": None,
        "class": point.kind,
        "severity": point.severity.value,
        "equivalent_ulp": noise if noise is not None and math.isfinite(noise) else None,
        "first_divergence": {"step": first.step, "rung": first.rung.value, "name": first.name}
        if first is not None
        else None,
        "failure": point.failure,
        "moved_along": [_change(change) for change in point.moved_along],
        "together_with": [_change(change) for change in point.together_with],
        "confirmed": point.confirmed,
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


def _change(change: Change) -> dict[str, Any]:
    return {"what": change.what, "golden": change.golden, "now": change.now}


def _answer(probe: Probe) -> str:
    answer = probe.answer or probe.standing.value
    return f"{answer}: {probe.reason}" if probe.reason else answer


def _seconds(probe: Probe) -> str:
    return "known" if probe.seconds is None else f"{probe.seconds:.0f} s"


def _spell(change: Change) -> str:
    return plain(f"{change.what} {change.golden or 'absent'} → {change.now or 'absent'}")


def _cell(text: str) -> str:
    """Text that neither ends a table's cell nor becomes HTML or Markdown."""
    return _escaped(plain(text).replace("\n", " "), "\\`*_[]<>|&")


def _escaped(text: str, special: Iterable[str]) -> str:
    return "".join(f"\\{c}" if c in special else c for c in text)
