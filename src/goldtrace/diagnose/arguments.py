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
        one, other = _number(before), _number(after)
        if one is None or other is None:
            continue
        largest = max(abs(one), abs(other))
        if not math.isfinite(largest) or abs(one - other) > TELLING * largest:
            yield f"{name} {before} → {after}"


def _number(text: str | None) -> float | None:
    """A floating-point number, written as one."""
    if text is None or text.lstrip("-").isdigit():
        return None
    try:
        return float(text)
    except ValueError:
        return None
