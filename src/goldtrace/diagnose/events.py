"""What happened between two tapes of one step, in the order in which it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from goldtrace.diagnose.alignment import align
from goldtrace.diagnose.magnitude import measure, number_of
from goldtrace.model.diagnosis import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from goldtrace.diagnose.alignment import Stretch
    from goldtrace.diagnose.magnitude import Distance
    from goldtrace.model.tape import Call, TapedStep, Value

_LISTED = 3
"""Operators of a difference between programs that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One place where two tapes part although what led there is the same.

    ``golden`` and ``now`` are places among the calls of the two tapes. ``source`` marks an input
    that differs and that no operator of the step computed; ``quiet`` operators that are missing or
    added and that no later one of the step heeds, such as a counter of batches.
    """

    cause: Cause
    what: str
    golden: int | None
    now: int | None
    distance: Distance | None = None
    source: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All events of a step, and how many calls were compared and differ as a consequence."""

    events: tuple[Event, ...] = ()
    consequences: int = 0
    compared: int = 0


@dataclass(slots=True)
class _Side:
    """One tape while it is read from its beginning."""

    step: TapedStep
    computed: set[tuple[str, str]] = field(default_factory=set)
    _last_read: dict[tuple[str, str], int] = field(init=False)

    def __post_init__(self) -> None:
        self._last_read = {
            content: place
            for place, call in enumerate(self.step.calls)
            for content in self.contents(call.inputs)
        }

    def contents(self, places: Sequence[int]) -> list[tuple[str, str]]:
        return [self.step.values[place].content for place in places]

    def values(self, places: Sequence[int]) -> list[Value]:
        return [self.step.values[place] for place in places]

    def advance(self, call: Call) -> None:
        self.computed.update(self.contents(call.outputs))

    def is_read_from(self, start: int, content: tuple[str, str]) -> bool:
        """Whether a call from a place on reads a content."""
        return self._last_read.get(content, -1) >= start

    def is_read(self, places: range) -> bool:
        """Whether calls give anything new that a later one reads."""
        calls = [self.step.calls[place] for place in places]
        given = {content for call in calls for content in self.contents(call.outputs)}
        return any(self.is_read_from(places.stop, content) for content in given - self.computed)


def find_events(golden: TapedStep, now: TapedStep, *, reimplemented: bool) -> Findings:
    """Where two tapes of one step part.

    ``reimplemented`` says that the two were recorded with other libraries or on another machine, so
    that other operators may compute the same thing.
    """
    return _Walk(_Side(golden), _Side(now), reimplemented=reimplemented).findings()


def changed_arguments(golden: Call, now: Call) -> dict[str, tuple[str | None, str | None]]:
    """The scalar arguments of two calls that differ, with both values."""
    names = [*golden.arguments, *(name for name in now.arguments if name not in golden.arguments)]
    both = ((name, golden.arguments.get(name), now.arguments.get(name)) for name in names)
    return {name: (left, right) for name, left, right in both if left != right}


class _Walk:
    def __init__(self, golden: _Side, now: _Side, *, reimplemented: bool) -> None:
        self.golden = golden
        self.now = now
        self.reimplemented = reimplemented
        self.stretches = align(golden.step, now.step)
        self.consequences = 0
        self.compared = 0

    def findings(self) -> Findings:
        events = [event for stretch in self.stretches for event in self._stretch(stretch)]
        events.sort(key=lambda event: event.quiet)
        return Findings(
            events=tuple(events), consequences=self.consequences, compared=self.compared
        )

    def _stretch(self, stretch: Stretch) -> Iterator[Event]:
        if stretch.paired:
            for left, right in zip(stretch.golden, stretch.now, strict=True):
                yield from self._pair(left, right)
                self.golden.advance(self.golden.step.calls[left])
                self.now.advance(self.now.step.calls[right])
        else:
            yield from self._replaced(stretch)
            for place in stretch.golden:
                self.golden.advance(self.golden.step.calls[place])
            for place in stretch.now:
                self.now.advance(self.now.step.calls[place])

    def _pair(self, left: int, right: int) -> Iterator[Event]:
        golden, now = self.golden.step.calls[left], self.now.step.calls[right]
        self.compared += 1
        same_inputs = self.golden.contents(golden.inputs) == self.now.contents(now.inputs)
        same_outputs = self.golden.contents(golden.outputs) == self.now.contents(now.outputs)
        arguments = self._arguments(golden, now)
        if not same_inputs:
            source = self._source(golden, now)
            if source is not None:
                distance, words = source
                cause = Cause.ARGUMENT if words else distance.cause
                yield Event(
                    cause=cause,
                    what=f"was given {words or 'another tensor: ' + distance.what}",
                    golden=left,
                    now=right,
                    distance=distance,
                    source=True,
                )
            elif not same_outputs:
                self.consequences += 1
        elif arguments:
            drawn = golden.random and arguments.keys() <= {"generator"}
            yield Event(
                cause=Cause.RNG if drawn else Cause.ARGUMENT,
                what=", ".join(
                    f"{n} {_or_none(a)} → {_or_none(b)}" for n, (a, b) in arguments.items()
                ),
                golden=left,
                now=right,
            )
        elif not same_outputs:
            yield self._culprit(left, right)

    def _arguments(self, golden: Call, now: Call) -> Mapping[str, tuple[str | None, str | None]]:
        changed = changed_arguments(golden, now)
        if not self.reimplemented:
            return changed
        # Releases add arguments with a default, and drop others.
        return {name: both for name, both in changed.items() if None not in both}

    def _source(self, golden: Call, now: Call) -> tuple[Distance, str] | None:
        """The first input that differs and was not computed in this step.

        With both numbers in words, if it is a number.
        """
        if len(golden.inputs) != len(now.inputs):
            return None
        left, right = self.golden.values(golden.inputs), self.now.values(now.inputs)
        for a, b in zip(left, right, strict=True):
            if a.content == b.content or not (a.source and b.source):
                continue
            if a.content not in self.golden.computed and b.content not in self.now.computed:
                self.golden.computed.add(a.content)
                self.now.computed.add(b.content)
                distance = measure([a], [b], op=golden.op, inputs=[])
                left_number, right_number = _decimal(a), _decimal(b)
                numbers = a.size == b.size == 1 and left_number and right_number
                return distance, f"{left_number} → {right_number}" if numbers else ""
        return None

    def _culprit(self, left: int, right: int) -> Event:
        golden, now = self.golden.step.calls[left], self.now.step.calls[right]
        distance = measure(
            self.golden.values(golden.outputs),
            self.now.values(now.outputs),
            op=golden.op,
            inputs=self.golden.values(golden.inputs),
        )
        cause = distance.cause
        what = distance.what
        if golden.random and cause is not Cause.ROUNDING:
            cause, what = Cause.RNG, "other numbers were drawn"
        return Event(cause=cause, what=what, golden=left, now=right, distance=distance)

    def _replaced(self, stretch: Stretch) -> Iterator[Event]:
        """Calls that only one side has, or that stand in each other's place."""
        unread = not (self.golden.is_read(stretch.golden) or self.now.is_read(stretch.now))
        gone = [self.golden.step.calls[place] for place in stretch.golden]
        added = [self.now.step.calls[place] for place in stretch.now]
        drawn = any(call.random for call in (*gone, *added))
        if unread and not drawn and not any(map(_in_place, (*gone, *added))):
            return
        if self.reimplemented:
            lost = self._lost(stretch)
            had = {c for call in gone for c in self.golden.contents(call.inputs)}
            have = {c for call in added for c in self.now.contents(call.inputs)}
            if not lost:
                return
            if not had <= have | self.now.computed:
                self.consequences += len(gone)
                return
            event = self._reimplemented(stretch, lost, _program(gone, added))
            if event is not None:
                yield event
                return
        # A generator that is drawn from once more or once less matters more than what it is for.
        only_drawn = all(call.random or not call.inputs for call in (*gone, *added))
        yield Event(
            cause=Cause.RNG if drawn and only_drawn else Cause.PROGRAM,
            what=_program(gone, added),
            golden=stretch.golden.start if gone else None,
            now=stretch.now.start if added else None,
            quiet=unread and not drawn,
        )

    def _lost(self, stretch: Stretch) -> list[tuple[int, Value]]:
        """What the golden's calls gave to the calls after them, and nothing gives now."""
        calls = self.golden.step.calls
        known = set(self.now.computed)
        for place in stretch.now:
            known.update(self.now.contents(self.now.step.calls[place].outputs))
        after = stretch.golden.stop
        return [
            (place, value)
            for place in stretch.golden
            for value in self.golden.values(calls[place].outputs)
            if value.content not in known
            and (self.golden.is_read_from(after, value.content) or _in_place(calls[place]))
        ]

    def _reimplemented(
        self, stretch: Stretch, lost: list[tuple[int, Value]], words: str
    ) -> Event | None:
        """Other operators for the same thing, and the size of the difference that they make."""
        for place, value in lost:
            op = self.golden.step.calls[place].op
            inputs = self.golden.values(self.golden.step.calls[place].inputs)
            for other in stretch.now:
                for candidate in self.now.values(self.now.step.calls[other].outputs):
                    if (candidate.dtype, candidate.size) == (value.dtype, value.size):
                        distance = measure([value], [candidate], op=op, inputs=inputs)
                        return Event(
                            cause=distance.cause,
                            what=f"{words}: {distance.what}",
                            golden=place,
                            now=other,
                            distance=distance,
                        )
        return None


def _in_place(call: Call) -> bool:
    return call.op.partition(".")[0].endswith("_")


def _decimal(value: Value) -> str | None:
    """The only element of a value for a reader, if it is a number."""
    number = number_of(value)
    return None if number is None else f"{number:.9g}"


def _program(gone: Sequence[Call], added: Sequence[Call]) -> str:
    """``aten::a, aten::b became aten::c``; or what is missing, or new."""
    if gone and added:
        return f"{_names(gone)} became {_names(added)}"
    return f"{_names(added)} added" if added else f"{_names(gone)} missing"


def _names(calls: Sequence[Call]) -> str:
    names = list(dict.fromkeys(call.op for call in calls))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _or_none(value: str | None) -> str:
    return "none" if value is None else value
