"""Compare the ladder's digests, and name tensors where both traces hold digests of single ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goldtrace.compare.align import align_names
from goldtrace.compare.scalars import Where
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.compare.align import StepPair
    from goldtrace.compare.rules import Rules
    from goldtrace.model.trace import StepRecord
    from goldtrace.model.verdict import Divergence

REORDERED = "the same samples in another order"
"""The note on a batch whose samples, each for itself, are the golden's."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Two aligned lists of steps whose digests are compared.

    ``complete`` says that neither trace lacks a step of the other; ``named`` maps a rung to the
    numbers of the steps where both traces hold the digests of its single tensors.
    """

    complete: bool
    named: Mapping[Rung, tuple[int, ...]]

    @classmethod
    def of(cls, pairs: list[StepPair]) -> Ladder:
        """The ladder of aligned steps."""
        named: dict[Rung, list[int]] = {}
        for pair in pairs:
            if pair.golden is None or pair.current is None:
                continue
            for rung in Rung:
                if pair.golden.tensors.get(rung) and pair.current.tensors.get(rung):
                    named.setdefault(rung, []).append(pair.number)
        complete = all(pair.golden and pair.current for pair in pairs)
        return cls(complete, {rung: tuple(numbers) for rung, numbers in named.items()})

    def nearest(self, rung: Rung, step: int) -> str:
        """In words, where to look for the tensors of a rung that has only one digest here."""
        steps = self.named.get(rung, ())
        if not steps:
            return "single tensors were not recorded"
        if step in steps:
            return "though every single tensor agrees"
        # A later step first: the tensors that differ here still differ there.
        near = min(steps, key=lambda number: (number < step, abs(number - step)))
        where = "before step 0" if near == INITIAL_STEP else f"at step {near}"
        return f"single tensors are compared {where}, not here"


def compare_digests(
    golden: StepRecord, current: StepRecord, rules: Rules, ladder: Ladder
) -> Iterator[Divergence]:
    """Every difference among the digests of one step, rung by rung."""
    rungs = golden.ladder.keys() | current.ladder.keys() | {Rung.BATCH, Rung.RNG}
    rungs |= golden.tensors.keys() | current.tensors.keys()
    for rung in sorted(rungs, key=lambda rung: rung.order):
        parts = [
            *(_batch(golden, current) if rung is Rung.BATCH else ()),
            *(_streams(golden, current) if rung is Rung.RNG else ()),
            *_tensors(golden, current, rung, ladder),
        ]
        left, right = golden.ladder.get(rung), current.ladder.get(rung)
        if left != right and (not parts or left is None or right is None):
            found = Where(golden.number, rung, rung.value).differs(left, right)
            parts.append(replace(found, note=found.note or ladder.nearest(rung, golden.number)))
        excused = rules.excuses(rung)
        for part in parts:
            # What only one side holds is never excused.
            both = part.golden is not None and part.current is not None
            yield replace(part, tolerated=excused and both)


def _batch(golden: StepRecord, current: StepRecord) -> Iterator[Divergence]:
    where = Where(golden.number, Rung.BATCH, "batch")
    left, right = golden.ladder.get(Rung.BATCH), current.ladder.get(Rung.BATCH)
    samples, others = golden.samples, current.samples
    if left is not None and right is not None and left != right:
        same = samples is not None and samples == others
        yield replace(where.differs(left, right), note=REORDERED if same else None)
    elif samples != others:
        yield replace(where, name="samples").differs(samples, others)


def _streams(golden: StepRecord, current: StepRecord) -> Iterator[Divergence]:
    for name, left, right in align_names(golden.rng, current.rng):
        if left != right:
            yield Where(golden.number, Rung.RNG, name).differs(left, right)


def _tensors(
    golden: StepRecord, current: StepRecord, rung: Rung, ladder: Ladder
) -> Iterator[Divergence]:
    left, right = golden.tensors.get(rung) or {}, current.tensors.get(rung) or {}
    if bool(left) != bool(right):
        # The last step of a trace that ended early has tensors where the other has none.
        if ladder.complete:
            counts = [f"{len(side)} tensors" if side else None for side in (left, right)]
            yield Where(golden.number, rung, rung.value).differs(*counts)
        return
    names = list(align_names(left, right))
    differing = [entry for entry in names if entry[1] != entry[2]]
    for place, (name, a, b) in enumerate(differing):
        found = Where(golden.number, rung, name).differs(a, b)
        if place == 0 and len(names) > 1 and found.note is None:
            found = replace(found, note=f"{len(differing)} of {len(names)} tensors")
        yield found
