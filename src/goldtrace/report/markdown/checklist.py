"""The checklist as Markdown, to keep beside a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.model.checklist import Answer
from goldtrace.report.text import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.model.checklist import Point

_SIGNS = {Answer.YES: "✓ yes", Answer.NO: "✗ **no**", Answer.NOT_APPLICABLE: "· not applicable"}


def checklist_markdown(title: str, facts: Mapping[str, str], points: Sequence[Point]) -> str:
    """One page of Markdown: ``facts`` about the run, then a row for each point.

    Names and values are escaped: none of them can end a cell, or be markup.
    """
    lines = [
        f"# Reproducibility of {_cell(title)}",
        "",
        *(f"- {_cell(name)}: {_cell(value)}" for name, value in facts.items()),
        "",
        f"{summary(points)}.",
        "",
        "| point | answer | found | what to do |",
        "| --- | --- | --- | --- |",
    ]
    for point in points:
        cells = (
            _cell(point.title),
            _SIGNS[point.answer],
            _cell(point.found),
            _cell(point.remedy or ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def summary(points: Sequence[Point]) -> str:
    """How many points hold."""
    count = {answer: sum(p.answer is answer for p in points) for answer in Answer}
    return (
        f"{count[Answer.YES]} yes, {count[Answer.NO]} no, "
        f"{count[Answer.NOT_APPLICABLE]} not applicable"
    )


def _cell(text: str) -> str:
    return escaped(" ".join(text.split()))
