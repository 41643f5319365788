"""Bring two traces side by side: steps by number, everything else by name, nothing by position."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from goldtrace.model.trace import StepRecord, Trace

Value = TypeVar("Value")

_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """The records of one step number; ``None`` on the side that has no such step."""

    number: int
    golden: StepRecord | None
    current: StepRecord | None


def align_steps(golden: Trace, current: Trace) -> list[StepPair]:
    """Every step number of either trace, ascending.

    A number that a trace holds twice is paired by occurrence, so that nothing is overlooked.
    """
    left, right = _by_number(golden.steps), _by_number(current.steps)
    return [
        StepPair(number=key[0], golden=left.get(key), current=right.get(key))
        for key in sorted(left.keys() | right.keys())
    ]


def align_names(
    golden: Mapping[str, Value], current: Mapping[str, Value]
) -> Iterator[tuple[str, Value | None, Value | None]]:
    """Every name of either mapping with both values, in natural order: ``a2`` before ``a10``."""
    for name in sorted(golden.keys() | current.keys(), key=natural):
        yield name, golden.get(name), current.get(name)


@functools.lru_cache(maxsize=1 << 16)
def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sorting key that reads runs of digits as numbers, and is total."""
    parts = _DIGITS.split(name)
    # Odd places hold digits; a length before the digits compares them as numbers of any size.
    key = [
        (len(part.lstrip("0")), part.lstrip("0")) if place % 2 else (0, part)
        for place, part in enumerate(parts)
    ]
    return key, name


def _by_number(steps: Iterable[StepRecord]) -> dict[tuple[int, int], StepRecord]:
    seen: Counter[int] = Counter()
    aligned = {}
    for step in steps:
        aligned[step.number, seen[step.number]] = step
        seen[step.number] += 1
    return aligned
