"""Two tapes of a step side by side, operator by operator."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return [
        Stretch(paired=tag == "equal", golden=range(a, b), now=range(c, d))
        for tag, a, b, c, d in matcher.get_opcodes()
    ]


def _signature(call: Call, step: TapedStep, *, shapes: bool) -> tuple[object, ...]:
    name = call.op.partition(".")[0]
    # The first output only: others come and go with arguments, such as a norm's saved statistics.
    given = step.values[call.outputs[0]].shape if shapes and call.outputs else ()
    return name, call.phase, call.random, len(call.inputs), given
