"""The answer of a bisection as a page to paste into an issue of whoever made the package."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.diagnose.reproducer import SCRIPT
from goldtrace.report.phrases import nothing_found
from goldtrace.report.terminal.bisection import (
    answer_of,
    details,
    headline,
    render_changes,
    summary,
    time_of,
)
from goldtrace.report.text import escaped

if TYPE_CHECKING:
    from goldtrace.model.upgrade import Bisection, ChangePoint, Probe

_CULPRITS = 20
"""Operators that a page lists before it counts them."""

cell = partial(escaped, width=2000)
"""What a page says; names and notes may be long, but not endless."""


def render_bisection_markdown(bisection: Bisection) -> str:
    """Change points, what is known about each with its reproducer, and every probe."""
    lines = [
        f"### {cell(bisection.target)} on {cell(bisection.device)}: {cell(bisection.question)}",
        "",
    ]
    if bisection.machine:
        lines += [cell(bisection.machine), ""]
    if bisection.change_points:
        lines += [
            "| package | good | bad | class | operator | noise (ulp) | confirmed |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_row(point) for point in bisection.change_points),
            "",
        ]
    else:
        lines += [f"{nothing_found(bisection.conclusive).capitalize()}.", ""]
    for number, cause in enumerate(bisection.causes, start=1):
        lines += [f"Cause {number}: {cell(render_changes(cause))}", ""]
    for point in bisection.change_points:
        lines += _section(point)
    lines += [f"{cell(note)}\n" for note in bisection.notes]
    lines += [
        "<details><summary>Probes</summary>",
        "",
        "| probe | answer | time | environment |",
        "| --- | --- | --- | --- |",
        *(_probe(probe) for probe in bisection.probes),
        "",
        "</details>",
        "",
        cell(summary(bisection)),
        "",
    ]
    return "\n".join(lines)


def _probe(probe: Probe) -> str:
    cells = (probe.label, answer_of(probe), time_of(probe), probe.environment or "")
    return f"| {' | '.join(map(cell, cells))} |"


def _row(point: ChangePoint) -> str:
    diagnosis = point.diagnosis
    bad = f"{point.bad} (or {', '.join(point.skipped)})" if point.skipped else point.bad
    cells = (
        point.package,
        point.good,
        bad,
        point.kind or "",
        (diagnosis.op or "") if diagnosis is not None else "",
        "" if point.noise is None else f"{point.noise:.3g}",
        {True: "yes", False: "no", None: ""}[point.confirmed],
    )
    return f"| {' | '.join(map(cell, cells))} |"


def _section(point: ChangePoint) -> list[str]:
    lines = [f"#### {cell(headline(point))}", ""]
    lines += [f"- {cell(line)}" for line in details(point)]
    lines.append("")
    culprits = point.diagnosis.culprits if point.diagnosis is not None else ()
    if len(culprits) > 1:
        lines += ["| operator | class | what |", "| --- | --- | --- |"]
        lines += [
            f"| {cell(c.op)} | {c.cause.value} | {cell(c.what)} |" for c in culprits[:_CULPRITS]
        ]
        if len(culprits) > _CULPRITS:
            lines.append(f"| and {len(culprits) - _CULPRITS} more | | |")
        lines.append("")
    return lines + _script(point)


def _script(point: ChangePoint) -> list[str]:
    """The reproducer's text, for whoever reads without the files."""
    if point.reproduction is None:
        return []
    try:
        text = Path(point.reproduction.folder, SCRIPT).read_text(encoding="utf-8")
    except OSError:
        return []
    # Longer than any in the text, so that nothing in it ends the block.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [
        f"<details><summary>{SCRIPT}: it needs torch alone, and the files beside it</summary>",
        "",
        f"{fence}python",
        text.rstrip(),
        fence,
        "",
        "</details>",
        "",
    ]
