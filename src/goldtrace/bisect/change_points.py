"""The change points among the releases of one package: the first, or all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.bisect.bench import moved_along
from goldtrace.bisect.examine import Side, examine
from goldtrace.bisect.search import (
    Answer,
    NoBoundary,
    boundaries,
    conclude,
    wanted,
    wanted_everywhere,
)
from goldtrace.model.upgrade import ChangePoint, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from goldtrace.bisect.bench import Bench, Finding, Probed
    from goldtrace.bisect.search import (
        Boundary,
    )
    from goldtrace.packages.uv import Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Change points, what each label answered, and what remains open."""

    points: tuple[ChangePoint, ...]
    answers: Mapping[str, str]
    notes: tuple[str, ...] = ()
    conclusive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """The releases of a package in the order of the search, and the wish for each."""

    package: str
    versions: Sequence[str]
    wish: Callable[[str], Wish]
    context: str = ""

    def label(self, place: int) -> str:
        """The name of a candidate in journal and report."""
        return f"{self.package} {self.versions[place]}{self.context}"

    def wishes(self, places: Sequence[int]) -> dict[str, Wish]:
        """The wishes of some candidates by label."""
        return {self.label(place): self.wish(self.versions[place]) for place in places}


def first_change(bench: Bench, releases: Releases, *, confirm: bool = True) -> Found:
    """One change point between the first and the last release, which must differ.

    A release that fails in another way than the last one is not taken for it, but skipped.
    """
    count = len(releases.versions)
    probed: dict[int, Probed] = {}
    answers: dict[int, Answer] = {}
    while places := wanted(count, answers, jobs=bench.jobs):
        following = [
            place
            for imagined in (Answer.GOOD, Answer.BAD)
            for place in wanted(count, answers | dict.fromkeys(places, imagined))
        ]
        known = [p for p, answer in answers.items() if answer is not Answer.SKIP]
        span = max(known) - min(known) if len(known) > 1 else count
        asked = bench.ask(
            releases.wishes(places),
            left=max(0, math.ceil(math.log2(max(1, span)))),
            next_wishes=list(releases.wishes(following).values()),
        )
        probed |= dict(zip(places, asked, strict=True))
        answers = _answers(bench, count, probed)
    conclusion = conclude(count, answers) or NoBoundary(first=None, last=None)
    said = {releases.label(place): answer.value for place, answer in answers.items()}
    untried = _untried_ends(releases, probed)
    if isinstance(conclusion, NoBoundary):
        note, conclusive = _no_boundary(releases, conclusion, answers)
        # The change may be in the end itself.
        conclusive &= not untried
        return Found(points=(), answers=said, notes=(*untried, note), conclusive=conclusive)
    point = _point(bench, releases, conclusion, probed, confirm=confirm)
    return Found(points=(point,), answers=said, notes=untried)


def every_change(bench: Bench, releases: Releases, *, confirm: bool = True) -> Found:
    """Every change point that doesn't cancel out between two releases with equal traces."""
    count = len(releases.versions)
    probed: dict[int, Probed] = {}

    def differ(a: int, b: int) -> bool:
        return bench.differ(probed[a], probed[b])

    usable: dict[int, bool] = {}
    while places := wanted_everywhere(count, usable, differ, jobs=bench.jobs):
        asked = bench.ask(releases.wishes(places), left=_open(usable, count))
        probed |= dict(zip(places, asked, strict=True))
        usable = {place: one.usable for place, one in probed.items()}
    points = tuple(
        _point(bench, releases, boundary, probed, confirm=confirm)
        for boundary in boundaries(usable, differ)
    )
    notes = [*_untried_ends(releases, probed)]
    if sum(usable.values()) < 2:  # noqa: PLR2004 - two ends
        notes.append("fewer than two releases could be tried")
    answers = _letters(releases, usable, differ)
    return Found(
        points=points,
        answers=answers,
        notes=tuple(notes),
        conclusive=bool(points) or not notes,
    )


def _answers(bench: Bench, count: int, probed: Mapping[int, Probed]) -> dict[int, Answer]:
    """The answers that the outcomes give, seen from the good and the bad end."""
    usable = sorted(place for place, one in probed.items() if one.usable)
    answers = {place: Answer.SKIP for place, one in probed.items() if not one.usable}
    if not usable:
        return answers
    good = probed[usable[0]]
    findings = {place: bench.finding(good, probed[place]) for place in usable}
    answers[usable[0]] = Answer.GOOD
    # Only an end that nothing usable lies beyond tells what is sought.
    beyond = [place for place in range(usable[-1] + 1, count) if place not in answers]
    last = findings[usable[-1]]
    for place in usable[1:]:
        finding = findings[place]
        if not bench.counts(finding):
            answers[place] = Answer.GOOD
        elif beyond or _alike(finding, last, bench.until):
            answers[place] = Answer.BAD
        else:
            answers[place] = Answer.SKIP
    return answers


def _alike(finding: Finding, sought: Finding, until: Severity) -> bool:
    """Whether a bad outcome is bad in the way of the bad end."""
    if finding.comparison is None or sought.comparison is None:
        return finding.kind == sought.kind
    # Where any difference counts, every difference is one of those that are sought.
    return not until.reaches(Severity.BEHAVIOUR) or finding.kind == sought.kind


def _point(
    bench: Bench,
    releases: Releases,
    boundary: Boundary,
    probed: Mapping[int, Probed],
    *,
    confirm: bool,
) -> ChangePoint:
    good, bad = probed[boundary.good], probed[boundary.bad]
    finding = bench.finding(good, bad)
    versions = releases.versions
    before = Side(probed=good, wish=releases.wish(versions[boundary.good]))
    after = Side(probed=bad, wish=releases.wish(versions[boundary.bad]))
    examined = examine(bench, before, after, finding.comparison, confirm=confirm)
    cause = examined.diagnosis.cause if examined.diagnosis is not None else None
    return ChangePoint(
        package=releases.package,
        good=versions[boundary.good],
        bad=versions[boundary.bad],
        skipped=tuple(versions[place] for place in boundary.skipped),
        severity=finding.severity,
        # An operator with equal inputs is better evidence than an estimate from the losses.
        kind=cause.value if cause is not None else finding.kind,
        comparison=finding.comparison,
        failure=bad.outcome.reason if finding.comparison is None else None,
        moved_along=moved_along(good, bad, besides=frozenset({releases.package})),
        confirmed=examined.confirmed,
        diagnosis=examined.diagnosis,
        reproduction=examined.reproduction,
        noise=finding.noise,
        note=examined.note,
    )


def _untried_ends(releases: Releases, probed: Mapping[int, Probed]) -> tuple[str, ...]:
    """A sentence for each end of the range that says nothing: its neighbour stood in for it."""
    ends = (probed.get(place) for place in (0, len(releases.versions) - 1))
    return tuple(
        f"{end.label}, an end of the range, can't be tried: {end.outcome.reason}"
        for end in ends
        if end is not None and not end.usable
    )


def _no_boundary(
    releases: Releases, ends: NoBoundary, answers: Mapping[int, Answer]
) -> tuple[str, bool]:
    if ends.first is None or ends.last is None or ends.first == ends.last:
        return "fewer than two releases could be tried", False
    first, last = releases.label(ends.first), releases.label(ends.last)
    if answers[ends.last] is Answer.GOOD:
        return f"nothing changed: {first} and {last} give what counts as the same", True
    return f"{first} and {last} can't be told into good and bad", False


def _letters(
    releases: Releases, usable: Mapping[int, bool], differ: Callable[[int, int], bool]
) -> dict[str, str]:
    """A letter for each stretch of releases that agree with their neighbours."""
    letters: dict[str, str] = {}
    number, before = 0, None
    for place in sorted(usable):
        if not usable[place]:
            letters[releases.label(place)] = Answer.SKIP.value
            continue
        if before is not None and differ(before, place):
            number += 1
        before = place
        letters[releases.label(place)] = chr(ord("A") + number % 26) * (1 + number // 26)
    return letters


def _open(usable: Mapping[int, bool], count: int) -> int:
    known = len(usable)
    return max(1, math.ceil(math.log2(max(2, count))) - known) if known else count.bit_length()
