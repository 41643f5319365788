"""The diagnosis: the ladder narrows to a step and a rung, the tape to an operator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from goldtrace.diagnose.alignment import align
from goldtrace.diagnose.events import Event, changed_arguments, find_events
from goldtrace.diagnose.suspects import implementation_changed, rank
from goldtrace.diagnose.words import clause, place_of
from goldtrace.model.diagnosis import Cause, Culprit, Diagnosis
from goldtrace.model.tape import Call, Phase
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from goldtrace.diagnose.alignment import Stretch
    from goldtrace.diagnose.events import Findings
    from goldtrace.model.tape import TapedStep
    from goldtrace.model.trace import Trace
    from goldtrace.model.verdict import Comparison, Divergence

LIMIT = 20
"""The most culprits that a diagnosis lists."""

_BEFORE = 8
"""Steps that are taped before one that differs, to know what such a step may do."""


def diagnose(golden: Trace, now: Trace, comparison: Comparison) -> Diagnosis | None:
    """Why ``now`` is not ``golden``; ``None`` if it is."""
    first = comparison.first
    if first is None:
        return None
    reimplemented = implementation_changed(comparison.environment_changes)
    found = _by_ladder(golden, now, first)
    if found is None:
        left, right = golden.taped(first.step), now.taped(first.step)
        if left is not None and right is not None:
            findings = find_events(left, right, reimplemented=reimplemented)
            found = _by_tape(first, left, right, findings)
        elif right is not None:
            found = _by_program(first, golden, right, _normal(golden, now, right.number))
        else:
            found = _untaped(first, golden)
    elif reimplemented and first.rung is Rung.METRIC and found.cause is Cause.PROGRAM:
        # Another release can do more, or less: that says nothing about what both can do.
        found = _with_culprits(found, golden.taped(first.step), now.taped(first.step))
    suspects = rank(comparison.environment_changes, found.cause, found.op)
    return replace(found, suspects=suspects)


def needs_replay(now: Trace, comparison: Comparison) -> int | None:
    """The step whose operators a repetition would have to record, if that could tell more."""
    first = comparison.first
    if first is None or first.step is None or first.step < 0 or now.taped(first.step) is not None:
        return None
    return None if first.rung in (Rung.STRUCTURE, Rung.BATCH) else first.step


def with_those_before(step: int) -> tuple[int, ...]:
    """The steps to tape where the golden has no tape of ``step``: it, and some that still agree."""
    return tuple(range(max(0, step - _BEFORE), step + 1))


def _by_ladder(golden: Trace, now: Trace, first: Divergence) -> Diagnosis | None:
    """What the rung alone tells for certain."""
    both = first.golden is not None and first.current is not None
    if first.rung is Rung.STRUCTURE:
        return _structure(first)
    if first.rung is Rung.BATCH:
        what = first.note or "its content differs"
        return _only(first, Cause.DATA, f"the batch is another one: {what}")
    if first.rung is Rung.METRIC and not both:
        gone = "is not recorded any more" if first.current is None else "is new"
        return _only(first, Cause.PROGRAM, f"{first.name} {gone}")
    if first.rung is Rung.LR:
        return _hyperparameter(golden, now, first)
    if first.step == INITIAL_STEP:
        return _initial(golden, now, first)
    return None


def _with_culprits(found: Diagnosis, left: TapedStep | None, right: TapedStep | None) -> Diagnosis:
    """What the tapes of the step show besides."""
    if left is None or right is None:
        return found
    findings = find_events(left, right, reimplemented=True)
    return replace(
        found,
        culprits=tuple(_culprit(event, left, right) for event in findings.events[:LIMIT]),
        consequences=findings.consequences,
        compared=findings.compared,
    )


def _structure(first: Divergence) -> Diagnosis:
    if first.golden is None or first.current is None:
        what = first.note or f"{first.name} is {'new' if first.golden is None else 'missing'}"
        return _only(first, Cause.PROGRAM, what)
    before, after = first.golden.partition("["), first.current.partition("[")
    converted = before[2] == after[2] and before[0] != after[0] and "[" in first.golden
    cause = Cause.PRECISION if converted else Cause.PROGRAM
    return _only(first, cause, f"{first.name} was {first.golden} and is {first.current}")


def _initial(golden: Trace, now: Trace, first: Divergence) -> Diagnosis:
    """The state before the first step."""
    if first.rung is Rung.RNG:
        return _stream(first)
    left, right = golden.taped(0), now.taped(0)
    cause, size = None, "by how much is not known without a tape of step 0"
    if left is not None and right is not None:
        source = next(
            (e for e in find_events(left, right, reimplemented=True).events if e.source), None
        )
        if source is not None and source.distance is not None:
            cause, size = source.distance.cause, source.distance.what
            cause = Cause.BEHAVIOUR if cause is Cause.PRECISION else cause
    what = f"{first.name} differs although every generator agrees: {size}"
    return _only(first, cause, what)


def _stream(first: Divergence) -> Diagnosis:
    if first.golden is None or first.current is None:
        state = "is not there any more" if first.current is None else "is new"
    else:
        state = "is in another state"
    return _only(first, Cause.RNG, f"the random stream {first.name} {state}")


def _hyperparameter(golden: Trace, now: Trace, first: Divergence) -> Diagnosis:
    """A setting of the optimizer, and the first operator that was given it."""
    values = f"{first.golden or 'none'} → {first.current or 'none'}"
    found = _only(first, Cause.ARGUMENT, f"{first.name} {values}")
    # A loss scaler's factor is given to operators before the optimizer's.
    phases = frozenset(Phase) if first.name.startswith("scaler.") else {Phase.OPTIMIZER}
    for left in golden.tape:
        right = now.taped(left.number)
        if right is None or first.step is None or left.number < first.step:
            continue
        culprit = _given_to(left, right, phases, same_step=left.number == first.step)
        if culprit is not None:
            seen = "" if left.number == first.step else f" (seen at step {left.number})"
            sentence = f"{found.sentence}; {culprit.op} {place_of(culprit)}{seen}: {culprit.what}"
            return replace(found, sentence=sentence, culprits=(culprit,))
    return found


def _given_to(
    left: TapedStep, right: TapedStep, phases: AbstractSet[Phase], *, same_step: bool
) -> Culprit | None:
    """The first operator of ``phases`` that was given another scalar, whatever its inputs."""
    if same_step:
        for event in find_events(left, right, reimplemented=False).events:
            culprit = _culprit(event, left, right)
            if culprit.cause is Cause.ARGUMENT and culprit.phase in phases:
                return culprit
    for stretch in align(left, right):
        if not stretch.paired:
            continue
        for a, b in zip(stretch.golden, stretch.now, strict=True):
            if left.calls[a].phase in phases and (
                changed := changed_arguments(left.calls[a], right.calls[b])
            ):
                what = ", ".join(f"{name} {x} → {y}" for name, (x, y) in changed.items())
                event = Event(cause=Cause.ARGUMENT, what=what, golden=a, now=b)
                return _culprit(event, left, right)
    return None


def _by_tape(first: Divergence, left: TapedStep, right: TapedStep, findings: Findings) -> Diagnosis:
    culprits = tuple(_culprit(event, left, right) for event in findings.events[:LIMIT])
    if not culprits:
        if first.rung is Rung.RNG:
            found = _stream(first)
        else:
            found = _only(
                first,
                None,
                f"{first.name} differs although all {findings.compared} operators of the step agree"
                ": something outside of torch's operators wrote to it",
            )
        return replace(found, compared=findings.compared)
    head = culprits[0]
    found = _only(first, head.cause, clause(head))
    return replace(
        found,
        culprits=culprits,
        consequences=findings.consequences,
        compared=findings.compared,
    )


def _normal(golden: Trace, now: Trace, step: int) -> list[TapedStep]:
    """What a step may do: what the golden has on tape, and what was done before ``step``.

    The latter only if the same was done where both have a tape: what a change added to all steps
    need not show at the first.
    """
    before = [tape for tape in now.tape if tape.number < step]
    both = ((golden.taped(tape.number), tape) for tape in before)
    same = not any(left is not None and _unpaired(align(left, right)) for left, right in both)
    return [*golden.tape, *(before if same else ())]


def _by_program(
    first: Divergence, golden: Trace, right: TapedStep, normal: list[TapedStep]
) -> Diagnosis:
    """A step that was taped only now, held against the most alike of those known to be ``normal``.

    Steps of one training need not do the same: a penalty may be taken at every fourth.
    """
    if not normal:
        return _untaped(first, golden)
    aligned = [(align(step, right, shapes=False), step) for step in normal]
    stretches, alike = min(
        aligned, key=lambda each: (_unpaired(each[0]), abs(each[1].number - right.number))
    )
    held = (
        f"the golden has no tape of step {right.number}: the operators were held against those of "
        f"step {alike.number}"
    )
    for stretch in stretches:
        if stretch.paired:
            continue
        added, gone = stretch.now, stretch.golden
        ops = [right.calls[place] for place in added] or [alike.calls[place] for place in gone]
        # An epoch's first step draws for its order; had anything else drawn, a generator would
        # be in another state.
        drawn = first.rung is Rung.RNG and any(call.random for call in ops)
        if not drawn and all(call.random or _starts_state(call.op) for call in ops):
            continue
        names = ", ".join(dict.fromkeys(call.op for call in ops[:3]))
        event = Event(
            cause=Cause.RNG if drawn else Cause.PROGRAM,
            what=f"{names} {'added' if added else 'missing'} compared with step {alike.number}",
            golden=gone.start if gone else None,
            now=added.start if added else None,
        )
        culprit = _culprit(event, alike, right)
        found = _only(first, culprit.cause, clause(culprit))
        note = (
            f"{held}, so only a change of the program can be seen, not of results; what the golden "
            f"does at step {right.number} alone would look like one"
        )
        return replace(found, culprits=(culprit,), compared=len(right.calls), notes=(note,))
    note = (
        f"{held}, and the program is the same; which operator gave another result, a golden with "
        f"step {right.number} in its tape would tell, or the old environment (--against)"
    )
    return replace(_untaped(first, golden), compared=len(right.calls), notes=(note,))


def _unpaired(stretches: list[Stretch]) -> int:
    return sum(len(each.golden) + len(each.now) for each in stretches if not each.paired)


def _starts_state(op: str) -> bool:
    """Whether an operator only makes constants, as optimizers do at their first step."""
    return op.partition(".")[0] in ("aten::zeros", "aten::zeros_like", "aten::full", "aten::ones")


def _untaped(first: Divergence, golden: Trace) -> Diagnosis:
    if first.rung is Rung.RNG:
        return _stream(first)
    taped = ", ".join(str(step.number) for step in golden.tape)
    where = {
        Rung.LOSS: "the forward pass of this step gave another loss",
        Rung.GRADIENTS: "the backward pass, or what is done to gradients, gave other gradients",
        Rung.OPTIMIZER: "the optimizer made another state of the same gradients",
        Rung.WEIGHTS: "the weights differ although gradients and optimizer state agree",
        Rung.BUFFERS: "the buffers differ although loss, gradients and weights agree",
    }.get(first.rung, f"{first.name} differs although everything before it agrees")
    known = f"the golden has tapes of step {taped} only" if taped else "the golden has no tape"
    cause = Cause.ROUNDING if first.tolerated else None
    return replace(_only(first, cause, where), notes=(f"{known}: the operator can't be named",))


def _only(first: Divergence, cause: Cause | None, sentence: str) -> Diagnosis:
    return Diagnosis(
        step=first.step,
        rung=first.rung,
        name=first.name,
        cause=None if cause is Cause.UNKNOWN else cause,
        sentence=sentence,
    )


def _culprit(event: Event, left: TapedStep, right: TapedStep) -> Culprit:
    golden = left.calls[event.golden] if event.golden is not None else None
    now = right.calls[event.now] if event.now is not None else None
    shown = now or golden or Call(op="?", phase=Phase.OTHER, place=0)
    distance = event.distance
    return Culprit(
        op=shown.op,
        cause=event.cause,
        what=event.what,
        phase=shown.phase,
        module=shown.module,
        line=shown.line,
        golden=golden.place if golden is not None else None,
        now=now.place if now is not None else None,
        step=right.number,
        ulp_most=distance.most if distance is not None else None,
        ulp_median=distance.median if distance is not None else None,
    )
