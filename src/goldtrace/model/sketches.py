"""The sketches of a step as JSON values, and back."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from goldtrace.errors import RecordingError
from goldtrace.model import fields
from goldtrace.model.sealed import wrong_type
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.model.trace import Sketch

Names = dict[Rung, list[str]]
"""The names of the tensors of each rung, as they were last listed."""

_NUMBER = 4  # bytes of a float32


def encode(sketches: Mapping[str, Sketch], rung: Rung, names: Names) -> Any:
    """The numbers in hexadecimal, or with the names beside them where those were not listed last.

    Raises:
        RecordingError: the sketches are not all of one length.
    """
    named = fields.sort_names(sketches)
    listed = list(named)
    lengths = {len(sketch) for sketch in named.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise RecordingError(
            "the sketches of a rung have one number of buckets",
            where=rung.value,
            found=f"{lengths}",
        )
    numbers = [number for sketch in named.values() for number in sketch]
    data = struct.pack(f"<{len(numbers)}f", *numbers).hex()
    if names.get(rung) == listed:
        return data
    names[rung] = listed
    return {"names": listed, "data": data}


def decode(value: Any, rung: Rung, names: Names, where: str) -> dict[str, Sketch]:
    """The sketches that ``encode`` wrote.

    Raises:
        GoldenError: the value is something else.
    """
    key = f"sketches.{rung.value}"
    if isinstance(value, dict):
        names[rung] = fields.required(value, "names", fields.texts, where)
        value = value.get("data")
    listed = names.get(rung, [])
    numbers = _numbers(fields.text(value, key, where), key, where)
    if not listed or not numbers or len(numbers) % len(listed):
        raise wrong_type(
            key, f"numbers for each of {len(listed)} tensors", f"{len(numbers)}", where=where
        )
    size = len(numbers) // len(listed)
    return {
        name: tuple(numbers[place * size : (place + 1) * size]) for place, name in enumerate(listed)
    }


def _numbers(text: str, key: str, where: str) -> Sequence[float]:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise wrong_type(key, "hexadecimal digits", text, where=where) from None
    if len(data) % _NUMBER:
        raise wrong_type(key, "whole float32 numbers", f"{len(data)} bytes", where=where)
    return struct.unpack(f"<{len(data) // _NUMBER}f", data)
