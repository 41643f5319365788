"""What a trace keeps of single tensors as JSON lines, and back: structure, digests, sketches.

There is a line for each step of which something is kept. The digests of a rung come by name where
its tensors are listed for the first time, and as a list in the order of these sorted names when
they are listed again. The sketches of a rung are one text; see ``sketches``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from goldtrace.model import fields, sketches
from goldtrace.model.sealed import wrong_type
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from goldtrace.model.trace import StepRecord


def encode_tensors(steps: Iterable[StepRecord]) -> Iterator[dict[str, Any]]:
    """The documents, for the steps that keep something.

    Raises:
        RecordingError: a name cannot be written, or the sketches of a rung differ in length.
    """
    names: sketches.Names = {}
    for step in steps:
        line: dict[str, Any] = {
            "step": step.number,
            "tensors": {
                rung: _encode_digests(named, Rung(rung), names)
                for rung, named in fields.sort_rungs(step.tensors).items()
            },
            "sketches": {
                rung: sketches.encode(named, Rung(rung), names)
                for rung, named in fields.sort_rungs(step.sketches).items()
            },
        }
        kept = {key: value for key, value in line.items() if value != {}}
        if len(kept) > 1:
            yield kept


def decode_tensors(
    lines: Sequence[Mapping[str, Any]], steps: Iterable[StepRecord], *, where: str
) -> tuple[StepRecord, ...]:
    """``steps`` with what ``encode_tensors`` wrote of them.

    Raises:
        GoldenError: a line holds something else; ``where`` gets its number.
    """
    names: sketches.Names = {}
    kept = {step.number: step for step in steps}
    for number, line in enumerate(lines, start=1):
        here = f"{where}:{number}"
        place = fields.required(line, "step", fields.integer, here)
        if place not in kept:
            raise wrong_type("step", "the number of a step", place, where=here)
        kept[place] = replace(
            kept[place],
            tensors={
                rung: _decode_digests(value, rung, names, here)
                for rung, value in _by_rung(line, "tensors", here).items()
            },
            sketches={
                rung: sketches.decode(value, rung, names, here)
                for rung, value in _by_rung(line, "sketches", here).items()
            },
        )
    return tuple(kept.values())


def _by_rung(line: Mapping[str, Any], key: str, where: str) -> Mapping[Rung, Any]:
    return fields.by_rung(fields.anything)(line.get(key, {}), key, where)


def _encode_digests(digests: Mapping[str, str], rung: Rung, names: sketches.Names) -> Any:
    by_name = {name: fields.checked(value) for name, value in fields.sort_names(digests).items()}
    listed = list(by_name)
    if listed and names.get(rung) == listed:
        return list(by_name.values())
    names[rung] = listed
    return by_name


def _decode_digests(value: Any, rung: Rung, names: sketches.Names, where: str) -> dict[str, str]:
    key = f"tensors.{rung.value}"
    if isinstance(value, list):
        listed = names.get(rung, [])
        if len(value) != len(listed):
            raise wrong_type(
                key, f"{len(listed)} digests, as listed before", f"{len(value)}", where=where
            )
        return {
            name: fields.text(item, key, where) for name, item in zip(listed, value, strict=True)
        }
    digests = fields.mapping(fields.text)(value, key, where)
    names[rung] = sorted(digests)
    return digests
