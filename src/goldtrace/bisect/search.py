"""Which candidate to ask next, and what the answers prove: pure functions of the answers so far.

Candidates are numbered in order, ``0`` to ``count - 1``. Nothing here runs anything, so a search
goes on from any set of answers: one just given, one read from a journal, one only imagined.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Answer(str, enum.Enum):
    """What a probe says about a candidate."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
    """No statement is possible: it can't be built, can't start, or fails in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Neighbours between which the answer changes: the last good and the first bad one.

    ``skipped`` lie between them and could not be asked: the change may be in any of them, or in
    ``bad``.
    """

    good: int
    bad: int
    skipped: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBoundary:
    """The ends don't answer as a search needs: the first good, the last bad.

    ``first`` and ``last`` are the outermost candidates that gave an answer; ``None`` where every
    candidate was skipped.
    """

    first: int | None
    last: int | None


def wanted(count: int, answers: Mapping[int, Answer], *, jobs: int = 1) -> tuple[int, ...]:
    """The candidates to ask next, at most ``jobs`` (which makes the search k-ary); none at the end.

    The ends come first; an end that is skipped hands over to its neighbour. Then the interval
    between a good and a bad answer is halved, skipped candidates not counted: a search without
    skips asks at most ``2 + ceil(log2(count - 1))`` candidates. Skipped ones come on top.
    """
    first, last = _outermost(count, answers)
    ends = dict.fromkeys(place for place in (first, last) if place is not None)
    unknown = [place for place in ends if place not in answers]
    if unknown:
        return tuple(unknown[:jobs])
    if isinstance(_ends(count, answers), NoBoundary):
        return ()
    good, bad = _interval(answers)
    return spread([p for p in range(good + 1, bad) if p not in answers], jobs)


def conclude(count: int, answers: Mapping[int, Answer]) -> Boundary | NoBoundary | None:
    """What is proved when ``wanted`` asks for nothing more; ``None`` before."""
    if wanted(count, answers):
        return None
    if isinstance(problem := _ends(count, answers), NoBoundary):
        return problem
    good, bad = _interval(answers)
    return Boundary(good=good, bad=bad, skipped=tuple(range(good + 1, bad)))


def wanted_everywhere(
    count: int,
    usable: Mapping[int, bool],
    differ: Callable[[int, int], bool],
    *,
    jobs: int = 1,
) -> tuple[int, ...]:
    """The candidates to ask next in a search for every change point.

    ``usable`` holds the candidates asked so far, ``False`` for skipped ones; ``differ`` compares
    the results of two usable ones. An interval whose ends agree is closed, so a change that was
    taken back within it stays unseen. For ``k`` changes at most ``2 + k * ceil(log2(count - 1))``
    candidates are asked, skipped ones not counted.
    """
    outer = [_outer(range(count), usable), _outer(range(count - 1, -1, -1), usable)]
    unknown = dict.fromkeys(p for p in outer if p is not None and p not in usable)
    if unknown:
        return tuple(unknown)[:jobs]
    gaps = [
        [place for place in range(a + 1, b) if place not in usable]
        for a, b in _neighbours(usable)
        if differ(a, b)
    ]
    gaps = sorted(filter(None, gaps), key=len, reverse=True)[:jobs]
    if not gaps:
        return ()
    share, extra = divmod(jobs, len(gaps))
    return tuple(
        place
        for number, gap in enumerate(gaps)
        for place in spread(gap, share + (1 if number < extra else 0))
    )


def boundaries(
    usable: Mapping[int, bool], differ: Callable[[int, int], bool]
) -> tuple[Boundary, ...]:
    """Every pair of neighbours that differ, once ``wanted_everywhere`` asks for nothing more."""
    return tuple(
        Boundary(good=a, bad=b, skipped=tuple(range(a + 1, b)))
        for a, b in _neighbours(usable)
        if differ(a, b)
    )


def spread(places: Sequence[int], jobs: int) -> tuple[int, ...]:
    """At most ``jobs`` of ``places``, evenly spaced; the middle one for a single job."""
    jobs = min(jobs, len(places))
    return tuple(places[(number + 1) * len(places) // (jobs + 1)] for number in range(jobs))


def _outermost(count: int, answers: Mapping[int, Answer]) -> tuple[int | None, int | None]:
    usable = {place: answer is not Answer.SKIP for place, answer in answers.items()}
    return _outer(range(count), usable), _outer(range(count - 1, -1, -1), usable)


def _outer(places: Sequence[int], usable: Mapping[int, bool]) -> int | None:
    return next((place for place in places if usable.get(place, True)), None)


def _ends(count: int, answers: Mapping[int, Answer]) -> NoBoundary | None:
    first, last = _outermost(count, answers)
    if first is None or last is None or first == last:
        return NoBoundary(first=first, last=last)
    if answers[first] is not Answer.GOOD or answers[last] is not Answer.BAD:
        return NoBoundary(first=first, last=last)
    return None


def _interval(answers: Mapping[int, Answer]) -> tuple[int, int]:
    """The first good answer that is followed by a bad one, with that one."""
    known = sorted(place for place, answer in answers.items() if answer is not Answer.SKIP)
    return next(
        (a, b)
        for a, b in itertools.pairwise(known)
        if answers[a] is Answer.GOOD and answers[b] is Answer.BAD
    )


def _neighbours(usable: Mapping[int, bool]) -> list[tuple[int, int]]:
    known = sorted(place for place, usable_ in usable.items() if usable_)
    return list(itertools.pairwise(known))
