"""Two tapes of a step side by side, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from goldtrace.model.tape import Call, TapedStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Calls that belong together: as many on both sides if ``paired``, else any number of each.

    Both are places in the calls of the two tapes.
    """

    paired: bool
    golden: range
    now: range


def align(golden: TapedStep, now: TapedStep, *, shapes: bool = True) -> list[Stretch]:
    """The two tapes in stretches that cover both, in order.

    Calls are paired by operator (not by its overload), phase, number of inputs and the shape of
    what they give, never by what is in it. ``shapes=False`` leaves the shapes out, for two steps
    whose batches have different sizes.
    """
    left = [_signature(call, golden, shapes=shapes) for call in golden.calls]
    right = [_signature(call, now, shapes=shapes) for call in now.calls]
    first = _agreeing(zip(left, right, strict=False))
    last = _agreeing(zip(reversed(left[first:]), reversed(right[first:]), strict=False))
    ends = len(left) - last, len(right) - last
    # The search takes quadratic time: it gets what lies between the equal ends only.
    matcher = SequenceMatcher(None, left[first : ends[0]], right[first : ends[1]], autojunk=False)
    return [
        *_paired(0, 0, first),
        *(
            Stretch(
                paired=tag == "equal",
                golden=range(first + a, first + b),
                now=range(first + c, first + d),
            )
            for tag, a, b, c, d in matcher.get_opcodes()
        ),
        *_paired(*ends, last),
    ]


def _paired(golden: int, now: int, count: int) -> list[Stretch]:
    both = range(golden, golden + count), range(now, now + count)
    return [Stretch(paired=True, golden=both[0], now=both[1])] if count else []


def _agreeing(pairs: Iterable[tuple[object, object]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _signature(call: Call, step: TapedStep, *, shapes: bool) -> tuple[object, ...]:
    name = call.op.partition(".")[0]
    # The first output only: others come and go with arguments, such as a norm's saved statistics.
    given = step.values[call.outputs[0]].shape if shapes and call.outputs else ()
    return name, call.phase, call.random, len(call.inputs), given
