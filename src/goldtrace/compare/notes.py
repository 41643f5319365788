"""What a comparison remarks beside its divergences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.compare.align import align_steps, natural
from goldtrace.compare.rules import GRAD_NORM
from goldtrace.determinism.unportable import warning
from goldtrace.environment import throttling
from goldtrace.model.scalar import Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.compare.rules import Rules
    from goldtrace.model.trace import Header, StepRecord, Trace


def nan_notes(golden: Trace, current: Trace) -> Iterator[str]:
    """Every number that is the same NaN in both traces: identical, but worth knowing."""
    nan: dict[str, list[int]] = {}
    last: dict[str, int] = {}
    for pair in align_steps(golden, current):
        if pair.golden is None or pair.current is None:
            continue
        others = _numbers(pair.current)
        for name, value in _numbers(pair.golden).items():
            last[name] = pair.number
            if value.is_nan and value == others.get(name):
                nan.setdefault(name, []).append(pair.number)
    for name in sorted(nan, key=natural):
        steps = nan[name]
        on = steps[-1] == last[name] and steps[-1] - steps[0] == len(steps) - 1
        if on:
            when = f"from step {steps[0]} on"
        elif len(steps) == 1:
            when = f"at step {steps[0]}"
        else:
            when = f"at {len(steps)} steps, first at step {steps[0]}"
        yield f"{name} is NaN {when}, as in the golden"
    for name in sorted(golden.end.metrics, key=natural):
        value = golden.end.metrics[name]
        if value.is_nan and value == current.end.metrics.get(name):
            yield f"metric {name} is NaN, as in the golden"


def platform_note(golden: Header, current: Header) -> Iterator[str]:
    """That the two traces come from different platforms, if they do."""
    if golden.platform != current.platform:
        yield f"the golden was recorded on {golden.platform}, this run on {current.platform}"


def other_card(golden: Header, current: Header) -> str | None:
    """That the two GPUs add up in another order, by what torch tells of them; ``None`` if not.

    A reduction on a GPU is split by the number of its multiprocessors (ATen/native/cuda/
    Reduce.cuh, setReduceConfig), in which cards of one architecture differ, and slices of a card.
    """
    then, now = (h.environment.accelerator.get("multiprocessors") for h in (golden, current))
    if None in (then, now) or then == now:
        return None
    return (
        f"the golden is from a GPU with {then} multiprocessors, not {now}: sums are split by them"
    )


def throttle_note(current: Header) -> Iterator[str]:
    """That the GPU could not keep its clocks, if it could not."""
    conditions = current.conditions
    slowed = throttling(conditions.get("start", {}), conditions.get("end", {}))
    if slowed is not None:
        yield f"the GPU throttled ({slowed}): compare its bits, not its times"


def unportable_note(current: Header) -> Iterator[str]:
    """That the run uses operators that no pin makes portable, if it does."""
    if current.unportable:
        yield warning(current.unportable)


def tolerance_notes(rules: Rules) -> Iterator[str]:
    """Tolerances that loosen nothing, most likely because a name is misspelt."""
    for name in rules.unused:
        yield f"the tolerance for {name} is unused: nothing of that name was recorded"


def _numbers(step: StepRecord) -> dict[str, Scalar]:
    numbers = dict(step.scalars)
    numbers |= {n: v for n, v in step.hyperparameters.items() if isinstance(v, Scalar)}
    if step.grad_norm is not None:
        numbers[GRAD_NORM] = step.grad_norm
    return numbers
