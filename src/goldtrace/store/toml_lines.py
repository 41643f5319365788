"""At which line of a TOML file a key stands, for messages."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyPath = tuple[str, ...]

_HEADER = re.compile(r"\s*\[")
_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, at which each table and key of a valid TOML document begins.

    The parser of the standard library keeps no positions. But the shortest run of lines that is
    valid TOML by itself is one statement, for a value that is not finished is not valid; so the
    parser itself finds the statements. A key of an inline table has the line of its statement.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    for line, statement in _statements(text.replace("\r\n", "\n").split("\n")):
        parsed = tomllib.loads(statement)
        paths = list(_paths(parsed, ()))
        if _HEADER.match(statement):
            table = max(paths, key=len)
            paths = [table[:depth] for depth in range(1, len(table) + 1)]
        else:
            paths = [table + path for path in paths]
        for path in paths:
            found.setdefault(path, line)
    return found


def line_of(text: str, path: KeyPath) -> int:
    """The line of a key, or of the innermost table around it that is written down; else 1."""
    lines = key_lines(text)
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return 1


def syntax_error(text: str, error: Exception) -> tuple[int, str]:
    """Line and reason of a syntax error."""
    message = str(error)
    place = _LINE.search(message)
    if place is None:
        end = max(1, len(text.splitlines()))
        return end, message.removesuffix(" (at end of document)")
    return int(place[1]), message[: place.start()].rstrip()


def _statements(lines: list[str]) -> Iterator[tuple[int, str]]:
    begin = 0
    while begin < len(lines):
        if lines[begin].strip().startswith("#") or not lines[begin].strip():
            begin += 1
            continue
        end = begin + 1
        while not _is_valid("\n".join(lines[begin:end])) and end < len(lines):
            end += 1
        yield begin + 1, "\n".join(lines[begin:end])
        begin = end


def _is_valid(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _paths(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        value = value[0]
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, key)
            yield from _paths(item, (*path, key))
