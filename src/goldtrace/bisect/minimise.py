"""The smallest sets of changes that cause a drift, when changes may act only together.

Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", IEEE
TSE 2002) in the form that needs the fewest probes where a probe is dear: a binary search over
prefixes finds one member of a smallest set after the other. The problem (``ask``) is apart from
the way to search it, as in shrinkray.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from goldtrace.bisect.search import Answer, Boundary, conclude, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Change = TypeVar("Change", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause(Generic[Change]):
    """A set of changes that suffices for the drift, and none of whose parts was seen to.

    Each member is a group: one change, or several in a row that skipped probes keep from being
    told apart.
    """

    members: tuple[tuple[Change, ...], ...]

    @property
    def changes(self) -> frozenset[Change]:
        """Every change in it."""
        return frozenset(change for group in self.members for change in group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes(Generic[Change]):
    """Every cause that was found, each sufficient by itself.

    ``complete`` says that what is left, once the causes and what depends on them are held back, was
    seen to cause nothing.
    """

    found: tuple[Cause[Change], ...]
    complete: bool


def find_causes(
    changes: Sequence[Change],
    ask: Callable[[frozenset[Change]], Answer],
    *,
    dependents: Callable[[Change], frozenset[Change]] = lambda _: frozenset(),
) -> Causes[Change]:
    """Smallest sets of ``changes`` that ``ask`` calls bad, each held back to find the next.

    ``ask`` gets a set of changes to apply; it must call none of them good, or nothing is found.
    ``dependents`` names the changes that can't be applied without a given one: they are held
    back with it. Each member of a cause takes at most ``ceil(log2(n)) + 4`` probes of
    ``n`` changes where nothing is skipped; ``ask`` is never called twice with the same set.
    """
    memory: dict[frozenset[Change], Answer] = {frozenset(): Answer.GOOD}

    def remember(subset: frozenset[Change]) -> Answer:
        if subset not in memory:
            memory[subset] = ask(subset)
        return memory[subset]

    found: list[Cause[Change]] = []
    rest = list(changes)
    while rest and remember(frozenset(rest)) is Answer.BAD:
        cause = _smallest(rest, remember)
        found.append(cause)
        held = set(cause.changes)
        for change in cause.changes:
            held |= dependents(change)
        rest = [change for change in rest if change not in held]
    complete = not rest or remember(frozenset(rest)) is Answer.GOOD
    return Causes(found=tuple(found), complete=complete)


def _smallest(
    changes: Sequence[Change], ask: Callable[[frozenset[Change]], Answer]
) -> Cause[Change]:
    """One smallest bad set; all ``changes`` together are known to be bad.

    Invariant of the loop: the members found so far are bad together with ``rest``.
    """
    members: list[tuple[Change, ...]] = []
    rest = list(changes)
    while not (members and ask(_union(members)) is Answer.BAD):
        good, bad = _prefix(rest, _union(members), ask)
        members.append(tuple(rest[good:bad]))
        rest = rest[:good]
    return Cause(members=tuple(_without_needless(members, ask)))


def _prefix(
    rest: Sequence[Change],
    applied: frozenset[Change],
    ask: Callable[[frozenset[Change]], Answer],
) -> tuple[int, int]:
    """The longest prefix of ``rest`` that is good beside ``applied``, and the next that is bad."""
    answers = {0: Answer.GOOD, len(rest): Answer.BAD}
    while places := wanted(len(rest) + 1, answers):
        for place in places:
            answers[place] = ask(applied | frozenset(rest[:place]))
    boundary = conclude(len(rest) + 1, answers)
    if not isinstance(boundary, Boundary):
        raise TypeError(boundary)  # Both ends are given above.
    return boundary.good, boundary.bad


def _without_needless(
    members: list[tuple[Change, ...]], ask: Callable[[frozenset[Change]], Answer]
) -> list[tuple[Change, ...]]:
    """Leave out what the others can do without: where a change hides another, it happens."""
    for member in members[:-1]:  # Without the last one it was asked already.
        others = [other for other in members if other is not member]
        if others and ask(_union(others)) is Answer.BAD:
            members = others
    return members


def _union(members: Sequence[tuple[Change, ...]]) -> frozenset[Change]:
    return frozenset(change for group in members for change in group)
