"""The answer of a bisection for a terminal, and the words in which it is put."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from goldtrace.model.upgrade import Standing
from goldtrace.report.phrases import describe_divergence, nothing_found
from goldtrace.report.terminal.explanation import by_itself, culprit_rows, first_difference
from goldtrace.report.text import clip, pad, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from goldtrace.model.upgrade import Bisection, ChangePoint, Probe
    from goldtrace.model.verdict import Change

LISTED = 12
"""Differing quantities, and packages that moved along, that a page lists before it counts them."""

_INDENT = "    "
_MANY = 4
"""Packages of one family that are counted, not listed."""


def render_changes(changes: Sequence[Change]) -> str:
    """Package changes in one paragraph: ``torch 2.14.1 → 2.15.0, …, 11 packages nvidia-…``."""
    families = Counter(_family(change) for change in changes)
    alone = [change for change in changes if families[_family(change)] < _MANY]
    shown = [_spell(change) for change in alone[:LISTED]]
    if len(alone) > LISTED:
        shown.append(f"{len(alone) - LISTED} more")
    shown += [f"{n} packages {name}-…" for name, n in sorted(families.items()) if n >= _MANY]
    return ", ".join(shown) or "none"


def _family(change: Change) -> str:
    """The part of a name that packages of one maker share, such as ``nvidia``."""
    first, dash, _ = change.what.partition("-")
    return first if dash else change.what


def render_bisection(bisection: Bisection, *, width: int = 110) -> str:
    """The answer for a terminal, in plain lines."""
    lines = [f"{plain(bisection.target)} on {bisection.device}: {plain(bisection.question)}"]
    lines += [plain(bisection.machine)] if bisection.machine else []
    lines.append("")
    for number, cause in enumerate(bisection.causes, start=1):
        lines.append(f"cause {number}: {render_changes(cause)}")
    if bisection.causes:
        lines.append("")
    for point in bisection.change_points:
        lines.append(headline(point))
        told = details(point)
        if point.reproduction is not None:
            told.append(f"reproducer: {plain(point.reproduction.folder)}")
        for line in told:
            lines += textwrap.wrap(
                line,
                width,
                initial_indent=_INDENT,
                subsequent_indent=_INDENT,
                break_on_hyphens=False,
                break_long_words=False,
            )
        if point.diagnosis is not None and len(point.diagnosis.culprits) > 1:
            room = width - len(_INDENT)
            rows = culprit_rows(point.diagnosis, width=room, limit=LISTED, headings=True)
            lines += [(_INDENT + row).rstrip() for row in rows]
        lines.append("")
    if not bisection.change_points and not bisection.causes:
        lines += [nothing_found(bisection.conclusive), ""]
    lines += [plain(note) for note in bisection.notes]
    lines += [*probe_rows(bisection, width=width), summary(bisection)]
    return "\n".join(lines)


def probe_rows(bisection: Bisection, *, width: int) -> Iterator[str]:
    """Every probe in a line: what was tried, what it answered, its time and its environment."""
    rows = [("probe", "answer", "time", "environment")]
    rows += [
        (p.label, answer_of(p), time_of(p), (p.environment or "")[:8]) for p in bisection.probes
    ]
    last = max(len(row[3]) for row in rows)
    times = max(len(row[2]) for row in rows)
    room = width - last - times - 6
    first = min(max(len(plain(row[0])) for row in rows), room // 2)
    second = min(max(len(plain(row[1])) for row in rows), room - first)
    for label, answer, seconds, environment in rows:
        cells = (pad(clip(label, first), first), pad(clip(answer, second), second))
        yield f"{cells[0]}  {cells[1]}  {seconds:>{times}}  {environment}".rstrip()


def headline(point: ChangePoint) -> str:
    """A change point in one line."""
    between = f", or one of {', '.join(point.skipped)} (skipped)" if point.skipped else ""
    culprits = point.diagnosis.culprits if point.diagnosis is not None else ()
    classes = dict.fromkeys([point.kind or "", *(culprit.cause.value for culprit in culprits)])
    return plain(f"{point.package} {point.good} → {point.bad}{between}: {', '.join(classes)}")


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


def details(point: ChangePoint) -> list[str]:
    """What is known about a change point, a sentence an entry; nothing of this machine's files."""
    lines = []
    if point.confirmed is False:
        lines.append("NOT CONFIRMED: training again gave something else")
    if point.failure is not None:
        lines.append(f"fails: {plain(point.failure)}")
    lines += [plain(line) for line in _difference(point)]
    if point.noise is not None:
        lines.append(f"equivalent noise: {size_of_noise(point.noise)}")
    if point.reproduction is not None:
        lines.append(plain(by_itself(point.reproduction)))
    if point.note is not None:
        lines.append(plain(point.note))
    if point.together_with:
        lines.append(f"only together with {render_changes(point.together_with)}")
    if point.moved_along:
        lines.append(f"moved along: {render_changes(point.moved_along)}")
    return lines


def size_of_noise(noise: float) -> str:
    """An equivalent noise for a reader."""
    return f"{noise:.3g} ulp of float32"


def _difference(point: ChangePoint) -> list[str]:
    """What differs first: by its operator if that is known, else by the ladder."""
    if point.diagnosis is not None:
        notes = [f"note: {note}" for note in point.diagnosis.notes]
        return [first_difference(point.diagnosis), *notes]
    differing = point.comparison.divergences if point.comparison is not None else ()
    lines = [describe_divergence(divergence) for divergence in differing[:LISTED]]
    if len(differing) > LISTED:
        lines.append(f"and {len(differing) - LISTED} more differences")
    return lines


def answer_of(probe: Probe) -> str:
    """What a probe said, with the reason where there is one."""
    answer = probe.answer or probe.standing.value
    return f"{answer}: {probe.reason}" if probe.reason else answer


def time_of(probe: Probe) -> str:
    """How long a probe took, if it ran just now."""
    return "known" if probe.seconds is None else f"{probe.seconds:.0f} s"


def _spell(change: Change) -> str:
    return plain(f"{change.what} {change.golden or 'absent'} → {change.now or 'absent'}")
