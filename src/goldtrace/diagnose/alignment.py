"""Two tapes of a step side by side, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    Calls are paired by operator, phase and the shapes of what they give, never by what is in it.
    Of two names that differ in the overload or in the letters that mark an in-place operator only
    the first part counts: releases change these without computing anything else. ``shapes=False``
    leaves the shapes out, for two steps whose batches have different sizes.
    """
    left = [_signature(call, golden, shapes=shapes) for call in golden.calls]
    right = [_signature(call, now, shapes=shapes) for call in now.calls]
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return [
        Stretch(paired=tag == "equal", golden=range(a, b), now=range(c, d))
        for tag, a, b, c, d in matcher.get_opcodes()
    ]


def pairs(stretches: list[Stretch]) -> Iterator[tuple[int, int]]:
    """The calls that are paired."""
    for stretch in stretches:
        if stretch.paired:
            yield from zip(stretch.golden, stretch.now, strict=True)


def base_name(op: str) -> str:
    """``aten::add`` for ``aten::add_.Tensor``."""
    return op.partition(".")[0].rstrip("_")


def _signature(call: Call, step: TapedStep, *, shapes: bool) -> tuple[object, ...]:
    given = tuple(step.values[place].shape for place in call.outputs) if shapes else ()
    return base_name(call.op), call.phase, call.random, given
