"""The tape as a compressed file, and back: one line of JSON a step, its numbers in columns.

What identifies a tape is the SHA-256 of the lines, not of the compressed bytes: those depend on the
release of zlib, the lines on nothing but the tape.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from goldtrace.errors import GoldenError
from goldtrace.model import fields, sealed
from goldtrace.model.tape import BUCKETS, Call, Phase, Statistics, TapedStep, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

T = TypeVar("T")

_DIGEST = 8  # bytes of the digest of a value
_NUMBERS = 3 + BUCKETS
_LARGEST = 1 << 28  # bytes; no tape has more, but a bomb may
_COLUMNS = struct.Struct(f"<{_NUMBERS}d")
_NAN = struct.pack("<d", math.nan)


def encode_tape(tape: Sequence[TapedStep]) -> bytes:
    """The lines of a tape."""
    return b"".join(sealed.to_line(_encode_step(step)) for step in tape)


def decode_tape(lines: bytes, *, where: str) -> tuple[TapedStep, ...]:
    """The tape whose lines ``encode_tape`` gave.

    Raises:
        GoldenError: they are not such lines.
    """
    try:
        return tuple(
            _decode_step(sealed.parse(line, where=where)) for line in lines.split(b"\n")[:-1]
        )
    except (KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        raise _damaged(where, error) from error


_GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"
"""RFC 1952: deflate, no flags, no date, smallest, no operating system."""


def compress(lines: bytes) -> bytes:
    """The lines as a gzip file without a date: the same bytes for the same lines."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(lines) + deflate.flush()
    return _GZIP_HEADER + body + struct.pack("<II", zlib.crc32(lines), len(lines) & 0xFFFFFFFF)


def decompress(data: bytes, *, where: str) -> bytes:
    """The lines in a gzip file.

    Raises:
        GoldenError: it is damaged, or too large to be a tape.
    """
    # The seal is on the lines, because two releases of zlib may compress them differently; these
    # bytes are the only others.
    if not data.startswith(_GZIP_HEADER):
        raise _damaged(where, f"a file that begins with {data[:10].hex()}")
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        lines = reader.decompress(data, _LARGEST)
    except zlib.error as error:
        raise _damaged(where, error) from error
    if not reader.eof or reader.unused_data:
        raise _damaged(where, "it ends too early, or goes on after its end")
    return lines


def _damaged(where: str, found: object) -> GoldenError:
    return GoldenError(
        "the tape is damaged",
        where=where,
        expected="a compressed tape",
        found=str(found)[:120],
        hint=sealed.RESTORE,
    )


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
        "digests": _to_text(bytes.fromhex("".join(value.digest for value in step.values))),
        "samples": _to_text(bytes.fromhex("".join(value.sample for value in step.values))),
        "elements": _to_text(bytes.fromhex("".join(elements))),
        "statistics": _to_text(b"".join(_pack(v.statistics) for v in step.values if v.statistics)),
    }


def _decode_step(line: Mapping[str, Any]) -> TapedStep:
    kinds = [line["kinds"][place] for place in line["values"]]
    digests = _Reader(line["digests"])
    samples = _Reader(line["samples"])
    elements = _Reader(line["elements"])
    statistics = _Reader(line["statistics"])
    values = tuple(
        Value(
            digest=digests.take(_DIGEST).hex(),
            dtype=dtype,
            shape=tuple(shape),
            sample=samples.take(_DIGEST).hex(),
            elements=_divide(elements.take(width * kept).hex(), kept),
            statistics=_unpack(statistics.take(8 * _NUMBERS), count) if count else None,
            source=source,
        )
        for dtype, source, width, kept, count, *shape in kinds
    )
    calls = []
    for op, origin, argument, place, inputs, outputs in line["calls"]:
        name, random = line["ops"][op]
        phase, module, where = line["origins"][origin]
        if not all(0 <= value < len(values) for value in (*inputs, *outputs)):
            raise IndexError("a value that the step has not")
        calls.append(
            Call(
                op=name,
                phase=Phase(phase),
                place=place,
                arguments=line["arguments"][argument],
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                random=random,
                module=module,
                line=where,
            )
        )
    return TapedStep(number=line["step"], values=values, calls=tuple(calls))


class _Table(Generic[T]):
    """Different entries in the order in which they first come, and the place of each one there."""

    def __init__(self, entries: Iterable[T]) -> None:
        index: dict[T, int] = {}
        self.places = [index.setdefault(entry, len(index)) for entry in entries]
        self.entries = list(index)


class _Reader:
    """The bytes of a column, taken in order."""

    def __init__(self, text: str) -> None:
        self._data = base64.b64decode(text, validate=True)
        self._place = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._place : self._place + count]
        if len(taken) != count:
            raise IndexError("a column is too short")
        self._place += count
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
    return tuple(text[width * place : width * (place + 1)] for place in range(count))


def _pack(statistics: Statistics) -> bytes:
    numbers = (statistics.total, statistics.absolute, statistics.largest, *statistics.sketch)
    # A NaN has many spellings, and which one comes out depends on the processor.
    return b"".join(_NAN if math.isnan(n) else struct.pack("<d", n) for n in numbers)


def _unpack(data: bytes, count: int) -> Statistics:
    total, absolute, largest, *sketch = _COLUMNS.unpack(data)
    return Statistics(
        count=count, total=total, absolute=absolute, largest=largest, sketch=tuple(sketch)
    )


def _to_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _checked(texts: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return tuple(None if text is None else fields.checked(text) for text in texts)
