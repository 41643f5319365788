"""Reading what an older goldtrace wrote: one function for each step of the schema."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldtrace.errors import GoldenError
from goldtrace.model import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The JSON of a trace before it is understood: the header, and the lines of each file."""

    header: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    tensors: tuple[Mapping[str, Any], ...] = ()
    tape: tuple[Mapping[str, Any], ...] = ()


Migration = Callable[[Documents], Documents]


def migrate(documents: Documents, *, schema: int, newest: int) -> Documents:
    """The documents as the schema ``newest`` has them.

    Raises:
        GoldenError: a step on the way has no migration.
    """
    for version in range(schema, newest):
        step = MIGRATIONS.get(version)
        if step is None:
            raise GoldenError(
                "the golden was written by an older goldtrace and cannot be read any more",
                where="header.json",
                expected=f"schema {newest}",
                found=f"schema {schema}",
                hint='record it again: goldtrace record RUN --reason "new golden format"',
            )
        documents = step(documents)
    return documents


def from_1(documents: Documents) -> Documents:
    """From schema 1, which kept tensors in the lines of the steps and wrote numbers in base64.

    Raises:
        GoldenError: a line holds something else.
    """
    if documents.tensors:
        raise _damaged("tensors in a file of their own")
    try:
        return Documents(
            header=documents.header,
            steps=tuple(
                {key: value for key, value in line.items() if key not in _OF_TENSORS}
                for line in documents.steps
            ),
            tensors=tuple(_tensors_from_1(documents.steps)),
            tape=tuple(map(tape_from_1, documents.tape)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(str(error)[:120]) from error


def _damaged(found: str) -> GoldenError:
    return GoldenError(
        "the golden is damaged",
        where="header.json",
        expected="files of a trace of schema 1",
        found=found,
        hint=sealed.RESTORE,
    )


MIGRATIONS: Mapping[int, Migration] = {1: from_1}
"""From each older schema to the next one."""

_OF_TENSORS = ("tensors", "sketches")
_COLUMNS = ("digests", "samples", "elements", "statistics")
_NUMBERS = 7
"""Numbers in the statistics of a value, the third of which, its largest element, has gone."""


def _tensors_from_1(lines: tuple[Mapping[str, Any], ...]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        kept = {key: line[key] for key in _OF_TENSORS if key in line}
        if "sketches" in kept:
            kept["sketches"] = {
                rung: {**given, "data": _hex(given["data"])}
                if isinstance(given, dict)
                else _hex(given)
                for rung, given in kept["sketches"].items()
            }
        if kept:
            yield {"step": line["step"], **kept}


def tape_from_1(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of the tape as schema 2 has it.

    Raises:
        KeyError, TypeError, ValueError: it is no such line.
    """
    columns = {name: _hex(line[name]) for name in _COLUMNS}
    width = 16  # digits of a float64
    numbers = columns["statistics"]
    columns["statistics"] = "".join(
        numbers[place : place + width]
        for place in range(0, len(numbers), width)
        if place // width % _NUMBERS != 2  # noqa: PLR2004 - the third
    )
    return {**line, **columns}


def _hex(text: str) -> str:
    return base64.b64decode(text, validate=True).hex()
