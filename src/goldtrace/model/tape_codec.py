"""The tape as JSON lines, and back: one line a step, its numbers as columns of hex digits."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from goldtrace.errors import GoldenError
from goldtrace.model import fields, sealed
from goldtrace.model.tape import BUCKETS, Call, Phase, Statistics, TapedStep, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

T = TypeVar("T")

_DIGEST = 8  # bytes of the digest of a value
_NUMBERS = 2 + BUCKETS
_COLUMNS = struct.Struct(f"<{_NUMBERS}d")
_NAN = struct.pack("<d", math.nan)


def encode_tape(tape: Sequence[TapedStep]) -> Iterator[dict[str, Any]]:
    """The documents of a tape, one a step."""
    return map(_encode_step, tape)


def decode_tape(lines: Iterable[Mapping[str, Any]], *, where: str) -> tuple[TapedStep, ...]:
    """The tape whose documents ``encode_tape`` gave.

    Raises:
        GoldenError: they are not such documents.
    """
    try:
        return tuple(_decode_step(line, where) for line in lines)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise GoldenError(
            "the tape is damaged",
            where=where,
            expected="the operators of a step",
            found=str(error)[:120],
            hint=sealed.RESTORE,
        ) from error


def _encode_step(step: TapedStep) -> dict[str, Any]:
    kinds = _Table(map(_kind, step.values))
    ops = _Table((call.op, call.random) for call in step.calls)
    origins = _Table((call.phase.value, call.module, call.line) for call in step.calls)
    arguments = _Table(tuple(call.arguments.items()) for call in step.calls)
    elements = (element for value in step.values for element in value.elements)
    return {
        "step": step.number,
        "kinds": [list(kind) for kind in kinds.entries],
        "ops": [[fields.checked(op), random] for op, random in ops.entries],
        "origins": [_checked(origin) for origin in origins.entries],
        "arguments": [
            {fields.checked(name): fields.checked(text) for name, text in entry}
            for entry in arguments.entries
        ],
        "calls": [
            [op, origin, argument, call.place, list(call.inputs), list(call.outputs)]
            for op, origin, argument, call in zip(
                ops.places, origins.places, arguments.places, step.calls, strict=True
            )
        ],
        "values": kinds.places,
        "digests": "".join(value.digest for value in step.values),
        "samples": "".join(value.sample for value in step.values),
        "elements": "".join(elements),
        "statistics": "".join(_pack(v.statistics) for v in step.values if v.statistics),
    }


def _decode_step(line: Mapping[str, Any], where: str) -> TapedStep:
    kinds = [line["kinds"][place] for place in line["values"]]
    digests = _Reader(line["digests"])
    samples = _Reader(line["samples"])
    elements = _Reader(line["elements"])
    statistics = _Reader(line["statistics"])
    values = tuple(
        Value(
            digest=digests.take(_DIGEST),
            dtype=fields.text(dtype, "kinds", where),
            shape=_integers(shape, "kinds", where),
            sample=samples.take(_DIGEST),
            elements=_divide(elements.take(width * kept), kept),
            statistics=_unpack(statistics.take(8 * _NUMBERS), count) if count else None,
            source=fields.boolean(source, "kinds", where),
        )
        for dtype, source, width, kept, count, *shape in kinds
    )
    calls = []
    for op, origin, argument, place, *given in line["calls"]:
        name, random = line["ops"][op]
        phase, module, source = line["origins"][origin]
        inputs, outputs = (_integers(places, "calls", where) for places in given)
        if not all(0 <= value < len(values) for value in (*inputs, *outputs)):
            raise IndexError("a value that the step has not")
        calls.append(
            Call(
                op=fields.text(name, "ops", where),
                phase=Phase(phase),
                place=fields.integer(place, "calls", where),
                arguments=_TEXTS(line["arguments"][argument], "arguments", where),
                inputs=inputs,
                outputs=outputs,
                random=fields.boolean(random, "ops", where),
                module=_TEXT(module, "origins", where),
                line=_TEXT(source, "origins", where),
            )
        )
    number = fields.required(line, "step", fields.integer, where)
    return TapedStep(number=number, values=values, calls=tuple(calls))


_TEXT = fields.optional(fields.text)
_TEXTS = fields.mapping(fields.text)


def _integers(values: Iterable[Any], key: str, where: str) -> tuple[int, ...]:
    return tuple(fields.integer(value, key, where) for value in values)


class _Table(Generic[T]):
    """Different entries in the order in which they first come, and the place of each one there."""

    def __init__(self, entries: Iterable[T]) -> None:
        index: dict[T, int] = {}
        self.places = [index.setdefault(entry, len(index)) for entry in entries]
        self.entries = list(index)


class _Reader:
    """The digits of a column, taken in order."""

    def __init__(self, text: str) -> None:
        if bytes.fromhex(text).hex() != text:
            raise ValueError("other digits than goldtrace writes")
        self._text = text
        self._place = 0

    def take(self, count: int) -> str:
        """The digits of the next ``count`` bytes."""
        end = self._place + 2 * count
        taken = self._text[self._place : end]
        if len(taken) != end - self._place:
            raise IndexError("a column is too short")
        self._place = end
        return taken


def _kind(value: Value) -> tuple[str | int, ...]:
    """What many values have in common: format, widths and counts of its columns, shape."""
    width = len(value.elements[0]) // 2 if value.elements else 0
    count = value.statistics.count if value.statistics is not None else 0
    dtype = fields.checked(value.dtype)
    return (dtype, value.source, width, len(value.elements), count, *value.shape)


def _divide(text: str, count: int) -> tuple[str, ...]:
    """A text in ``count`` parts of one length."""
    width = len(text) // max(1, count)
    if count and not width:
        raise ValueError("elements without digits")
    return tuple(text[width * place : width * (place + 1)] for place in range(count))


def _pack(statistics: Statistics) -> str:
    numbers = (statistics.total, statistics.absolute, *statistics.sketch)
    # A NaN has many spellings, and which one comes out depends on the processor.
    return b"".join(_NAN if math.isnan(n) else struct.pack("<d", n) for n in numbers).hex()


def _unpack(digits: str, count: int) -> Statistics:
    total, absolute, *sketch = _COLUMNS.unpack(bytes.fromhex(digits))
    return Statistics(count=count, total=total, absolute=absolute, sketch=tuple(sketch))


def _checked(texts: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return tuple(None if text is None else fields.checked(text) for text in texts)
