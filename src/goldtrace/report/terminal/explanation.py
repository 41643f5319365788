"""A diagnosis for people: a paragraph in words, the culprits as a table, what to suspect."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from goldtrace.model.diagnosis import Cause
from goldtrace.report.phrases import describe_change
from goldtrace.report.text import clip, count_of, pad, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.model.diagnosis import Culprit, Diagnosis, Reproduction

_HEADINGS = ("operator", "class", "where", "what")
_SHARES = (0.36, 1.0, 0.26)  # of the line, at most; a class is short, and never cut
_INDENT = "  "
_SUSPECTS = 8


def render_explanation(diagnosis: Diagnosis, *, width: int, limit: int = 20) -> str:
    """Everything that a diagnosis says, for ``goldtrace explain``."""
    lines = textwrap.wrap(plain(paragraph(diagnosis)), width, break_on_hyphens=False)
    if diagnosis.culprits:
        lines += ["", *culprit_rows(diagnosis, width=width, limit=limit, headings=True)]
    if diagnosis.suspects:
        lines += ["", "differs around the run, likeliest cause first"]
        changes = map(describe_change, diagnosis.suspects[:_SUSPECTS])
        lines += [_INDENT + clip(change, width - len(_INDENT)) for change in changes]
        left_out = len(diagnosis.suspects) - _SUSPECTS
        if left_out > 0:
            lines.append(f"{_INDENT}and {left_out:,} more")
    for note in diagnosis.notes:
        lines += ["", *textwrap.wrap(f"note: {plain(note)}", width, break_on_hyphens=False)]
    return "\n".join(line.rstrip() for line in lines)


def paragraph(diagnosis: Diagnosis) -> str:
    """The finding in words: where it begins, what it is, how much follows, and what to suspect."""
    text = first_difference(diagnosis)
    changed = diagnosis.suspects[0] if diagnosis.suspects else None
    if changed is not None:
        text += f" Likeliest reason: {describe_change(changed)}."
    elif diagnosis.cause in (Cause.ARGUMENT, Cause.PROGRAM, Cause.DATA, Cause.RNG):
        text += " Nothing around the run differs: look at the code itself."
    return text


def first_difference(diagnosis: Diagnosis) -> str:
    """Where it begins, what it is, and how many operators differ besides and as a consequence."""
    cause = diagnosis.cause.value if diagnosis.cause is not None else "cause unknown"
    text = f"First difference {_when(diagnosis.step)}: {diagnosis.sentence}: {cause}."
    if diagnosis.culprits and diagnosis.compared:
        others = len(diagnosis.culprits) - 1
        further = count_of(others, "further culprit") if others else "no further culprit"
        text += (
            f" Of {diagnosis.compared:,} operators compared in this step {further}; "
            f"{diagnosis.consequences:,} differ only as a consequence."
        )
    return text


def by_itself(found: Reproduction) -> str:
    """What became of the culprit when it was called alone, in one line."""
    if not found.shown:
        whose = " and ".join(
            name for name, same in (("old", found.golden), ("new", found.now)) if not same
        )
        return f"{found.op} by itself doesn't give the training's bits in the {whose} environment"
    text = f"{found.op} by itself shows it in both environments"
    if found.ulp_most is not None:
        text += (
            f": {found.differing:,} of {found.elements:,} elements differ, by at most "
            f"{found.ulp_most:,} ulp, median {found.ulp_median:,}"
        )
    return text


def culprit_rows(
    diagnosis: Diagnosis, *, width: int, limit: int, headings: bool = False
) -> Iterator[str]:
    """The culprits as a table, at most ``limit`` of them."""
    shown = diagnosis.culprits[:limit]
    rows = [(culprit.op, culprit.cause.value, _where(culprit), culprit.what) for culprit in shown]
    table = [_HEADINGS, *rows] if headings else rows
    room = width - len(_INDENT)
    columns = [
        min(max(len(plain(row[place])) for row in table) + 2, int(room * share))
        for place, share in enumerate(_SHARES)
    ]
    for row in table:
        cells = [pad(clip(c, w - 2), w) for c, w in zip(row, columns, strict=False)]
        yield _INDENT + "".join(cells) + clip(row[-1], room - sum(columns))
    left_out = len(diagnosis.culprits) - len(shown)
    if left_out > 0:
        yield f"{_INDENT}and {left_out:,} more"


def _where(culprit: Culprit) -> str:
    phase = culprit.phase.value if culprit.phase is not None else ""
    return f"{phase} {culprit.module}" if culprit.module else f"{phase} {culprit.line or ''}"


def _when(step: int | None) -> str:
    if step is None:
        return "at the end"
    return "before step 0" if step < 0 else f"in step {step}"
