"""The message of a run that isn't as its golden says: the finding first, all on one screen."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.errors import GoldtraceError, RunError
from goldtrace.model.verdict import Rung, Verdict
from goldtrace.report.phrases import (
    describe_change,
    equivalent_noise,
    finding,
    next_command,
    replaces_golden,
    value_lines,
)
from goldtrace.report.terminal.explanation import culprit_rows
from goldtrace.report.terminal.sparkline import course_line
from goldtrace.report.text import at, clip, count_of, pad, plain, since

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from goldtrace.model.verdict import Comparison, Divergence, RunResult

HEIGHT = 24
"""The lines of the smallest screen that a failure must fit."""

WIDTH = 80
"""The columns of the same screen."""

_LABEL = 11  # columns before the text of a line
_HEADLINES = 2
_FIRST = 5  # lines about the first difference; more don't help anybody to find the cause
_METRICS = 2
_SENTENCE = 3  # lines of a diagnosis
_CULPRITS = 3
_CHANGES = 4
_NOTES = 3
_TRACEBACK = 10
_RAGGED = 12  # columns that wrapping at spaces may leave empty
_UNCHANGED = "nothing: packages, settings, pins and machine are the golden's"


def render_failure(result: RunResult, *, width: int = WIDTH) -> str:
    """What a red check says about one run, in at most ``HEIGHT`` lines of ``width`` columns.

    The first line names the run, its device, the verdict and the first difference; then come the
    values there, where it led, what else differs around the run, and the next command, which is
    never shortened: it is there to be copied.
    """
    lines = _headlines(result, width)
    if result.error is not None:
        lines += _error(result.error, width)
    if (comparison := result.comparison) is not None:
        if comparison.first is not None:
            lines += ["", *_evidence(comparison, comparison.first, width)]
            lines += _labelled("noise", equivalent_noise(comparison), width)
            lines += _labelled("course", course_line(result.course, width - _LABEL), width)
            lines += _cause(result, width)
            changes = (
                result.diagnosis.suspects if result.diagnosis else comparison.environment_changes
            )
            told = list(map(describe_change, changes)) or [_UNCHANGED]
            lines += _labelled("changed", told, width, limit=_CHANGES)
        lines += _labelled("note", _remarks(result), width, limit=_NOTES)
    if result.exact and result.verdict is Verdict.ROUNDING:
        lines += _labelled("note", ["exact = true: this run allows no rounding"], width)
    lines = lines[: HEIGHT - 1]
    if (command := next_command(result)) is not None:
        accepts = replaces_golden(result.verdict and result.verdict.value, command)
        if accepts and result.why is not None:
            lines = lines[: HEIGHT - 2]
            lines.append(pad("  why", _LABEL) + plain(result.why))
        lines.append(pad("  if meant" if accepts else "  next", _LABEL) + plain(command))
    return "\n".join(line.rstrip() for line in lines)


def render_comparison(result: RunResult, *, width: int = WIDTH, limit: int = 40) -> str:
    """Two traces held against each other, for ``goldtrace diff``: at most ``limit`` differences."""
    lines = _headlines(result, width)
    comparison = result.comparison
    if comparison is None:
        return "\n".join(lines)
    lines += _labelled("noise", equivalent_noise(comparison), width)
    changes = map(describe_change, comparison.environment_changes)
    lines += _labelled("changed", changes, width, limit=limit)
    lines += _labelled("note", _remarks(result), width, limit=limit)
    step: object = ()
    told: set[str | None] = set()
    for divergence in comparison.divergences[:limit]:
        if divergence.step != step:
            step = divergence.step
            lines += ["", at(divergence.step).removeprefix("at ").removeprefix("the ")]
        mark = "~ " if divergence.tolerated else "  "
        if divergence.note in told and divergence.golden is not None:
            divergence = replace(divergence, note=None)  # noqa: PLW2901 - shown, not kept
        told.add(divergence.note)
        lines += [mark + line for line in value_lines(divergence, width - 2)]
    left_out = len(comparison.divergences) - limit
    if left_out > 0:
        lines += ["", f"and {count_of(left_out, 'further difference')}"]
    if any(divergence.tolerated for divergence in comparison.divergences[:limit]):
        lines += ["", "~ within tolerance"]
    return "\n".join(line.rstrip() for line in lines)


def _headlines(result: RunResult, width: int) -> list[str]:
    """The headline on one line, or on two where it is long."""
    who = f"{clip(result.name, width // 2)} [{clip(result.device, 8)}]: "
    lines = textwrap.wrap(who + finding(result), width, subsequent_indent="  ")
    if len(lines) > _HEADLINES:
        lines[_HEADLINES - 1 :] = ["  " + " ".join(map(str.strip, lines[_HEADLINES - 1 :]))]
    return [clip(line, width) for line in lines]


def _remarks(result: RunResult) -> tuple[str, ...]:
    """The notes that the headline doesn't hold already."""
    notes = result.comparison.notes if result.comparison is not None else ()
    return notes[1:] if result.verdict is Verdict.INCOMPARABLE and result.error is None else notes


def _evidence(comparison: Comparison, first: Divergence, width: int) -> Iterator[str]:
    room = width - _LABEL
    judged = [d for d in comparison.divergences if d.tolerated == first.tolerated]
    same = [d for d in judged if d.step == first.step and d.rung is first.rung]
    lines = [line for d in same[:_FIRST] for line in value_lines(d, room)]
    if len(same) > _FIRST or len(lines) > _FIRST:
        shown = value_lines(same[0], room)
        several = 1
        while several < len(same) and len(shown) + len(value_lines(same[several], room)) < _FIRST:
            shown += value_lines(same[several], room)
            several += 1
        lines = [*shown, f"and {len(same) - several:,} more"] if several < len(same) else shown
    yield from _labelled("first", lines, width)
    yield from _labelled("then", _spread(judged, first), width, limit=2)
    yield from _labelled("end", _outcome(comparison, first, room), width)


def _cause(result: RunResult, width: int) -> Iterator[str]:
    """The diagnosis in a few lines: class and sentence, and the culprits if there are several."""
    diagnosis = result.diagnosis
    if diagnosis is None:
        return
    cause = diagnosis.cause.value if diagnosis.cause is not None else "unknown"
    sentence = textwrap.wrap(plain(f"{cause}: {diagnosis.sentence}"), width - _LABEL)
    if len(sentence) > _SENTENCE:
        sentence[_SENTENCE - 1 :] = [" ".join(sentence[_SENTENCE - 1 :])]
    for label, line in zip(["cause", *[""] * _SENTENCE], sentence, strict=False):
        yield pad(f"  {label}", _LABEL) + clip(line, width - _LABEL)
    if len(diagnosis.culprits) > 1:
        for row in culprit_rows(diagnosis, width=width - _LABEL + 2, limit=_CULPRITS):
            yield " " * (_LABEL - 2) + row


def _spread(judged: list[Divergence], first: Divergence) -> list[str]:
    """Which rungs differ afterwards, each from where on."""
    seen = {first.rung}
    places: dict[int | None, list[str]] = {}
    for divergence in judged:
        if divergence.rung not in seen:
            seen.add(divergence.rung)
            places.setdefault(divergence.step, []).append(divergence.rung.value)
    stretches = [
        f"{', '.join(rungs)} {'in the same step' if step == first.step else since(step)}"
        for step, rungs in places.items()
    ]
    return ["; ".join(stretches)] if stretches else []


def _outcome(comparison: Comparison, first: Divergence, room: int) -> list[str]:
    """Where it led: the last loss that differs, and metrics of the end."""
    losses = [d for d in comparison.divergences if d.rung is Rung.LOSS and d is not first]
    metrics = [d for d in comparison.divergences if d.rung is Rung.METRIC and d.step is None]
    lines = [f"{line}  {at(d.step)}" for d in losses[-1:] for line in value_lines(d, room - 12)[:1]]
    return lines + [value_lines(d, room)[0] for d in metrics[:_METRICS] if d is not first]


def _error(error: Exception, width: int) -> Iterator[str]:
    if isinstance(error, GoldtraceError):
        for label in ("where", "expected", "found"):
            if (text := getattr(error, label)) is not None:
                yield from _labelled(label, text.splitlines(), width, limit=3)
    if isinstance(error, RunError) and error.traceback:
        yield ""
        for line in error.traceback.rstrip().splitlines()[-_TRACEBACK:]:
            yield clip("  " + line, width)
        yield ""


def _labelled(
    label: str, texts: Iterable[str], width: int, *, limit: int | None = None
) -> Iterator[str]:
    """Texts under one label, each on two lines at most; ``limit`` of them, and then how many."""
    texts, room = list(texts), width - _LABEL
    if limit is not None and len(texts) > limit:
        texts[limit - 1 :] = [f"and {len(texts) - limit + 1:,} more"]
    for text in texts:
        for line in textwrap.wrap(clip(text, 2 * room - _RAGGED), room) or [""]:
            yield pad(f"  {label}", _LABEL) + clip(line, room)
            label = ""
