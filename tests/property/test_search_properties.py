"""The search engine against generated histories: the answer or an honest range, in few probes."""

from __future__ import annotations

import math
import os
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from goldtrace.bisect.minimise import find_causes
from goldtrace.bisect.search import (
    Answer,
    Boundary,
    NoBoundary,
    boundaries,
    conclude,
    wanted,
    wanted_everywhere,
)

GOOD, BAD, SKIP = Answer.GOOD, Answer.BAD, Answer.SKIP
MANY = settings(max_examples=int(os.environ.get("GOLDTRACE_HISTORIES", "400")), deadline=None)

histories = st.lists(st.sampled_from([GOOD, BAD, SKIP]), min_size=1, max_size=60)


@st.composite
def monotone(draw: st.DrawFn, *, skips: bool = True) -> list[Answer]:
    count = draw(st.integers(2, 120))
    change = draw(st.integers(1, count - 1))
    history = [GOOD] * change + [BAD] * (count - change)
    if skips:
        for place in draw(st.sets(st.integers(0, count - 1), max_size=count)):
            history[place] = SKIP
    return history


@st.composite
def releases(draw: st.DrawFn) -> list[int | None]:
    """What the trace of each release is (a number for each different one), ``None`` for skips."""
    runs = draw(st.lists(st.integers(1, 12), min_size=1, max_size=12))
    history: list[int | None] = [number for number, size in enumerate(runs) for _ in range(size)]
    for place in draw(st.sets(st.integers(0, len(history) - 1), max_size=len(history) // 3)):
        history[place] = None
    return history


def search(history: list[Answer], jobs: int = 1) -> tuple[Boundary | NoBoundary, list[list[int]]]:
    answers: dict[int, Answer] = {}
    rounds = []
    while places := wanted(len(history), answers, jobs=jobs):
        assert 0 < len(places) <= jobs
        assert not answers.keys() & set(places)
        rounds.append(list(places))
        answers |= {place: history[place] for place in places}
    conclusion = conclude(len(history), answers)
    assert conclusion is not None
    return conclusion, rounds


def search_everywhere(
    history: list[int | None], jobs: int = 1
) -> tuple[tuple[Boundary, ...], list[int]]:
    usable: dict[int, bool] = {}
    asked: list[int] = []

    def differ(a: int, b: int) -> bool:
        assert usable[a]
        assert usable[b]
        return history[a] != history[b]

    while places := wanted_everywhere(len(history), usable, differ, jobs=jobs):
        assert 0 < len(places) <= jobs
        assert len(set(places)) == len(places)
        assert not usable.keys() & set(places)
        asked += places
        usable |= {place: history[place] is not None for place in places}
    return boundaries(usable, differ), asked


@MANY
@given(histories, st.integers(1, 5))
@example([SKIP], 1)
@example([GOOD, BAD], 1)
@example([GOOD, SKIP, BAD], 3)
def test_a_boundary_is_one_whatever_the_history(history, jobs):
    found, _ = search(history, jobs)
    usable = [place for place, answer in enumerate(history) if answer is not SKIP]
    if isinstance(found, NoBoundary):
        ends = (usable[0], usable[-1]) if usable else (None, None)
        assert (found.first, found.last) == ends
        assert len(usable) < 2 or (history[usable[0]], history[usable[-1]]) != (GOOD, BAD)
    else:
        assert history[found.good] is GOOD
        assert history[found.bad] is BAD
        assert found.skipped == tuple(range(found.good + 1, found.bad))
        assert {history[place] for place in found.skipped} <= {SKIP}


@MANY
@given(monotone(skips=False))
def test_without_skips_a_search_is_logarithmic_and_exact(history):
    found, rounds = search(history)
    assert isinstance(found, Boundary)
    assert found.skipped == ()
    assert found.bad == history.index(BAD)
    bound = 2 + (math.ceil(math.log2(len(history) - 1)) if len(history) > 2 else 0)
    assert len(rounds) <= bound


@MANY
@given(monotone())
def test_with_skips_the_range_is_as_narrow_as_it_can_be(history):
    found, rounds = search(history)
    skips = history.count(SKIP)
    if isinstance(found, Boundary):
        assert found.good == max(p for p, a in enumerate(history) if a is GOOD)
        assert found.bad == history.index(BAD)
        assert len(rounds) <= 2 + math.ceil(math.log2(len(history))) + skips


@MANY
@given(monotone(skips=False), st.integers(2, 6))
def test_more_jobs_take_fewer_rounds(history, jobs):
    found, rounds = search(history, jobs)
    assert isinstance(found, Boundary)
    assert found.bad == history.index(BAD)
    # Each round after the ends leaves at most every (jobs + 1)th part.
    assert len(rounds) <= 2 + math.ceil(math.log(len(history), jobs + 1)) + 1


@MANY
@given(releases(), st.integers(1, 4))
def test_every_change_point_of_a_history_without_returns_is_found(history, jobs):
    found, asked = search_everywhere(history, jobs)
    usable = [place for place, trace in enumerate(history) if trace is not None]
    expected = [(a, b) for a, b in pairwise(usable) if history[a] != history[b]]
    assert [(b.good, b.bad) for b in found] == expected
    assert all(b.skipped == tuple(range(b.good + 1, b.bad)) for b in found)
    assert len(asked) == len(set(asked))


@MANY
@given(releases())
def test_the_search_for_every_change_point_keeps_to_its_bound(history):
    found, asked = search_everywhere(history)
    skips = history.count(None)
    depth = math.ceil(math.log2(max(2, len(history) - 1)))
    assert len(asked) <= len(found) * depth + 2 + skips


@MANY
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_with_returns_every_boundary_found_is_one(history):
    found, _ = search_everywhere(list(history))
    for boundary in found:
        assert boundary.bad == boundary.good + 1
        assert history[boundary.good] != history[boundary.bad]
    assert bool(found) == (history[0] != history[-1])


@st.composite
def interactions(draw: st.DrawFn) -> tuple[int, list[frozenset[int]]]:
    """A number of changes, and the sets that suffice for the drift (of one to three changes)."""
    count = draw(st.integers(1, 50))
    changes = st.integers(0, count - 1)
    causes = draw(st.lists(st.frozensets(changes, min_size=1, max_size=3), min_size=1, max_size=3))
    return count, causes


def minimal(causes: list[frozenset[int]]) -> set[frozenset[int]]:
    return {c for c in causes if not any(other < c for other in causes)}


@MANY
@given(interactions())
def test_causes_are_minimal_and_none_is_left(problem):
    count, causes = problem
    asked = []

    def ask(subset: frozenset[int]) -> Answer:
        assert subset not in asked
        asked.append(subset)
        return BAD if any(cause <= subset for cause in causes) else GOOD

    result = find_causes(range(count), ask)
    assert result.complete
    assert {cause.changes for cause in result.found} <= minimal(causes)
    rest = frozenset(range(count)).difference(*(cause.changes for cause in result.found))
    assert not any(cause <= rest for cause in causes)
    assert all(len(group) == 1 for cause in result.found for group in cause.members)


@MANY
@given(interactions())
def test_a_cause_of_one_takes_a_logarithm_and_four(problem):
    count, causes = problem
    asked = []

    def ask(subset: frozenset[int]) -> Answer:
        asked.append(subset)
        return BAD if any(cause <= subset for cause in causes) else GOOD

    result = find_causes(range(count), ask)
    members = sum(len(cause.members) for cause in result.found)
    # The full set is one of the ends and isn't counted.
    assert len(asked) - 1 <= members * (math.ceil(math.log2(max(2, count))) + 4)


@MANY
@given(interactions(), st.sets(st.integers(0, 2**20), max_size=300))
def test_skips_leave_a_cause_that_suffices_or_say_that_it_is_not_exact(problem, seeds):
    count, causes = problem
    everything = frozenset(range(count))

    def ask(subset: frozenset[int]) -> Answer:
        if subset != everything and hash(subset) % 2**21 in seeds:
            return SKIP
        if subset != everything and len(subset) % 3 == 1:
            return SKIP
        return BAD if any(cause <= subset for cause in causes) else GOOD

    result = find_causes(range(count), ask)
    assert result.found
    for cause in result.found:
        assert any(needed <= cause.changes for needed in causes)


@given(st.integers(2, 40), st.data())
def test_what_depends_on_a_cause_is_held_back_with_it(count, data):
    engine = data.draw(st.integers(0, count - 1))
    followers = data.draw(st.sets(st.integers(0, count - 1)).map(lambda s: s - {engine}))

    def ask(subset: frozenset[int]) -> Answer:
        return BAD if engine in subset or subset & followers else GOOD

    order = [engine, *(c for c in range(count) if c != engine)]
    result = find_causes(
        order,
        ask,
        dependents=lambda change: frozenset(followers) if change == engine else frozenset(),
    )
    assert [cause.changes for cause in result.found] == [frozenset({engine})]
    assert result.complete


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_history_that_hides_changes_still_yields_a_bad_set(pattern):
    """Adding a change may take the drift back: the cause that is named is bad all the same."""
    full = frozenset(range(len(pattern)))

    def ask(subset: frozenset[int]) -> Answer:
        if subset == full:
            return BAD
        return BAD if subset and pattern[sum(subset) % len(pattern)] else GOOD

    for cause in find_causes(sorted(full), ask).found:
        assert ask(cause.changes) is BAD
