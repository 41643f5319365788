"""Which of many package changes cause the drift: the smallest sets, then the release in each."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from goldtrace.bisect.change_points import Releases, first_change
from goldtrace.bisect.minimise import find_causes
from goldtrace.bisect.search import Answer
from goldtrace.errors import UsageError
from goldtrace.model.verdict import Change
from goldtrace.packages.locks import difference
from goldtrace.packages.uv import ResolutionError, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from goldtrace.bisect.bench import Bench, Probed
    from goldtrace.bisect.minimise import Cause
    from goldtrace.model.upgrade import ChangePoint
    from goldtrace.packages.locks import PackageChange, Pins

_NAMED = 2
"""Changes that a label names before it counts the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Two sets of pins, and what any environment needs besides (goldtrace's own requirements).

    ``followers`` are packages that only the old end has and that others of it bring along. They
    stay where something needs them: beside a new torch, the CUDA libraries of the old one would
    lie in the same files as its own.
    """

    old: Pins
    new: Pins
    besides: tuple[str, ...] = ()
    followers: frozenset[str] = frozenset()

    @property
    def changes(self) -> tuple[PackageChange, ...]:
        """What differs, the likeliest causes first."""
        return difference(self.old, self.new)

    def wish(
        self, applied: frozenset[PackageChange], *, but: Mapping[str, str] | None = None
    ) -> Wish:
        """The old packages with some changes applied, and the releases that ``but`` names.

        Where these can't stand together, packages whose change isn't among ``applied`` may take
        any release between their old and their new one.
        """
        fixed = {p: v for p, v in self.old.items() if self.new.get(p) == v}
        free: list[PackageChange] = []
        for change in self.changes:
            if change not in applied:
                free.append(change)
            elif change.new is not None:
                fixed[change.package] = change.new
        fixed |= but or {}
        free = [c for c in free if c.package not in fixed]
        followers = [c for c in free if c.package in self.followers]
        free = [c for c in free if c.package not in self.followers]
        pins = [f"{package}=={version}" for package, version in fixed.items()]
        kept = [f"{c.package}=={c.old}" for c in free if c.old is not None]
        # What a moved package brings along that the old end lacks: not newer than the new end.
        bounds = tuple(f"{c.package}<={_public(c.new)}" for c in free if c.new and not c.old)
        brought = tuple(f"{c.package}=={c.old}" for c in followers)
        strict = Wish(
            requirements=(*sorted((*pins, *kept)), *self.besides), constraints=(*bounds, *brought)
        )
        # A release in between brings releases of its own along.
        loose = Wish(
            requirements=(*sorted(pins), *(c.package for c in free if c.old), *self.besides),
            constraints=(*bounds, *filter(None, map(_between, free))),
            preferred=(*kept, *brought),
        )
        return replace(strict, otherwise=loose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The causes of a drift, the change points within them, and what remains open."""

    causes: tuple[Cause[PackageChange], ...]
    points: tuple[ChangePoint, ...]
    answers: Mapping[str, str]
    notes: tuple[str, ...]
    conclusive: bool


def explain(
    bench: Bench,
    ends: Ends,
    releases: Callable[[PackageChange], Sequence[str]],
    *,
    confirm: bool = True,
) -> Explained:
    """Find the causes of the drift; ``releases`` lists those of one change, from old to new."""
    changes = ends.changes
    if not changes:
        raise UsageError("both ends have the same packages", hint="nothing is left to bisect")
    ends = replace(ends, followers=_followers(bench, ends))
    everything = frozenset(changes)
    answers: dict[str, str] = {}

    def probe(applied: frozenset[PackageChange]) -> Probed:
        left = max(1, math.ceil(math.log2(len(changes) + 1)))
        label = label_of(applied, changes)
        return bench.ask({label: ends.wish(applied)}, left=left)[0]

    good, bad = probe(frozenset()), probe(everything)
    sought = bench.finding(good, bad) if good.usable and bad.usable else None
    if sought is None or not bench.counts(sought):
        return _without_drift(good, bad)
    answers[good.label] = Answer.GOOD.value

    def ask(applied: frozenset[PackageChange]) -> Answer:
        one = probe(applied)
        answer = Answer.SKIP
        if one.usable:
            finding = bench.finding(good, one)
            if not bench.counts(finding):
                answer = Answer.GOOD
            elif finding.comparison is not None or finding.kind == sought.kind:
                answer = Answer.BAD
        answers[one.label] = answer.value
        return answer

    found = find_causes(changes, ask, dependents=lambda change: _dependents(bench, ends, change))
    points: list[ChangePoint] = []
    notes = [] if found.complete else ["the other changes can't be tried without these"]
    for cause in found.found:
        inside, said, remarks = _within(bench, ends, cause, releases, confirm=confirm)
        points += inside
        answers |= said
        notes += remarks
    return Explained(
        causes=found.found,
        points=tuple(points),
        answers=answers,
        notes=tuple(notes),
        conclusive=bool(found.found),
    )


def _without_drift(good: Probed, bad: Probed) -> Explained:
    """The answer where an end can't be tried, or both give the same."""
    unusable = [end for end in (good, bad) if not end.usable]
    notes = [f"{end.label} can't be tried: {end.outcome.reason}" for end in unusable]
    return Explained(
        causes=(),
        points=(),
        answers={
            end.label: Answer.GOOD.value if end.usable else Answer.SKIP.value for end in (good, bad)
        },
        notes=tuple(notes) or ("nothing changed: both ends give what counts as the same",),
        conclusive=not unusable,
    )


def label_of(applied: frozenset[PackageChange], changes: Sequence[PackageChange]) -> str:
    """A name for the old packages with some changes applied: the same one for the same set."""
    if not applied:
        return "the old packages"
    if len(applied) == len(changes):
        return "the new packages"
    ordered = [change for change in changes if change in applied]
    named = ", ".join(f"{c.package} {c.new or 'absent'}" for c in ordered[:_NAMED])
    if len(ordered) > _NAMED:
        digest = hashlib.sha256("\n".join(map(str, ordered)).encode()).hexdigest()[:6]
        named += f" and {len(ordered) - _NAMED} more [{digest}]"
    return f"old packages with {named}"


def as_change(change: PackageChange) -> Change:
    """A package change in the words of a report."""
    return Change(what=change.package, golden=change.old, now=change.new)


def _within(
    bench: Bench,
    ends: Ends,
    cause: Cause[PackageChange],
    releases: Callable[[PackageChange], Sequence[str]],
    *,
    confirm: bool,
) -> tuple[list[ChangePoint], dict[str, str], list[str]]:
    """The release in each single change of a cause, the others of it being applied."""
    points: list[ChangePoint] = []
    answers: dict[str, str] = {}
    notes: list[str] = []
    for group in cause.members:
        if len(group) > 1:
            names = ", ".join(change.package for change in group)
            notes.append(f"{names} could not be told apart: what lies between can't be tried")
            continue
        (change,) = group
        if change.old is None or change.new is None:
            continue
        others = cause.changes - {change}

        def wish(version: str, change: PackageChange = change) -> Wish:
            others = cause.changes - {change}
            # The ends are the very sets that were asked before.
            if version == change.new:
                return ends.wish(cause.changes)
            if version == change.old:
                return ends.wish(others)
            return ends.wish(others, but={change.package: version})

        beside = ", ".join(sorted(f"{c.package} {c.new or 'absent'}" for c in others))
        series = Releases(
            package=change.package,
            versions=releases(change),
            wish=wish,
            context=f" with old packages and {beside}" if beside else " with old packages",
        )
        found = first_change(bench, series, confirm=confirm)
        together = tuple(sorted(map(as_change, others), key=lambda c: c.what))
        points += [replace(point, together_with=together) for point in found.points]
        answers |= found.answers
        notes += found.notes
    return points, answers, notes


def _followers(bench: Bench, ends: Ends) -> frozenset[str]:
    """The packages that the new end lacks and the others of the old end bring along."""
    key = "followers"
    known = bench.journal.get(key)
    if known is None:
        gone = {change.package for change in ends.changes if change.new is None}
        pins = [f"{package}=={version}" for package, version in sorted(ends.old.items())]
        wish = Wish(
            requirements=(
                *(pin for pin in pins if pin.partition("==")[0] not in gone),
                *ends.besides,
            ),
            constraints=tuple(pin for pin in pins if pin.partition("==")[0] in gone),
        )
        try:
            known = sorted(gone & bench.workspace.uv.resolve(wish).versions.keys())
        except ResolutionError:
            known = []
        bench.journal.add(key, known)
    return frozenset(known)


def _dependents(bench: Bench, ends: Ends, change: PackageChange) -> frozenset[PackageChange]:
    """The changes that pull ``change`` along when they are applied alone."""
    changes = ends.changes
    return frozenset(
        other
        for other in changes
        if other != change and change.package in _moves(bench, ends, other, changes)
    )


def _moves(
    bench: Bench, ends: Ends, change: PackageChange, changes: Sequence[PackageChange]
) -> frozenset[str]:
    key = f"moves: {change}"
    known = bench.journal.get(key)
    if known is None:
        try:
            versions = bench.workspace.uv.resolve(ends.wish(frozenset({change}))).versions
            known = [c.package for c in changes if versions.get(c.package) != c.old]
        except ResolutionError:
            known = []
        bench.journal.add(key, known)
    return frozenset(known)


def _between(change: PackageChange) -> str | None:
    if change.old is None or change.new is None:
        return None
    try:
        low, high = sorted((change.old, change.new), key=Version)
    except InvalidVersion:
        return None
    return f"{change.package}>={_public(low)},<={_public(high)}"


def _public(version: str) -> str:
    """Without a local label (``+cpu``), which no bound may have."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version
