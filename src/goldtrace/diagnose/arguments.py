"""Another argument of any operator, also where what it computes with differs already."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goldtrace.diagnose.alignment import align
from goldtrace.diagnose.events import changed_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.model.tape import Call
    from goldtrace.model.trace import Trace

TELLING = 1e-4
"""The least relative change of a floating-point argument that counts.

Less may be rounding itself, in a number that the program computed from tensors.
"""


def another_argument(golden: Trace, now: Trace) -> str | None:
    """The first operator of any taped step whose argument is another number, in words.

    Operators after a first difference have other inputs, and so say nothing by their results; their
    arguments still do. Integers are left out: they name formats and memory layouts as well.
    """
    for left in golden.tape:
        right = now.taped(left.number)
        for stretch in align(left, right) if right is not None else ():
            if right is None or not stretch.paired:
                continue
            for a, b in zip(stretch.golden, stretch.now, strict=True):
                for words in _other_numbers(left.calls[a], right.calls[b]):
                    return f"{left.calls[a].op} at step {left.number}: {words}"
    return None


def _other_numbers(golden: Call, now: Call) -> Iterator[str]:
    for name, (before, after) in changed_arguments(golden, now).items():
        pairs = zip(_parts(before), _parts(after), strict=False)
        if any(_tells(one, other) for one, other in pairs):
            yield f"{name} {before} → {after}"


def _tells(before: str, after: str) -> bool:
    one, other = _number(before), _number(after)
    if one is None or other is None or (_is_whole(before) and _is_whole(after)):
        return False
    if not (math.isfinite(one) and math.isfinite(other)):
        return before != after
    return abs(one - other) > TELLING * max(abs(one), abs(other))


def _parts(text: str | None) -> list[str]:
    """A number, or the numbers of a list, as they are written."""
    return [] if text is None else text.strip("[]()").split(", ")


def _is_whole(text: str) -> bool:
    return text.lstrip("-").isdigit()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
