"""What a diagnosis concludes: the cause of a failure, and the operators to blame."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.tape import Phase
    from goldtrace.model.verdict import Change


class Cause(str, enum.Enum):
    """The class of what made a training differ."""

    ARGUMENT = "argument"
    """The same operator, or the optimizer, was given another scalar."""
    RNG = "rng"
    """Other random numbers were drawn."""
    DATA = "data"
    """The batch differs."""
    ROUNDING = "rounding"
    """From the same inputs other bits, as reordered sums give them."""
    PRECISION = "precision"
    """From the same inputs other bits, as factors of fewer digits give them."""
    BEHAVIOUR = "behaviour"
    """From the same inputs other numbers."""
    PROGRAM = "program"
    """Operators were added, removed or reordered."""
    UNKNOWN = "unknown"
    """From the same inputs other bits, and what a tape keeps doesn't show by how much."""


CAUSE_OF_RUNG: Mapping[Rung, Cause] = {
    Rung.STRUCTURE: Cause.PROGRAM,
    Rung.BATCH: Cause.DATA,
    Rung.RNG: Cause.RNG,
    Rung.LR: Cause.ARGUMENT,
}
"""What a rung alone tells about the cause; where it tells nothing, a diagnosis has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """One operator that gave, or was given, something else although its inputs agree.

    ``golden`` and ``now`` are the places of the calls in the two tapes of ``step``, ``None`` where
    there is none; ``what`` says in words what is different. ``ulp_most`` and ``ulp_median`` are
    over the elements that the tapes keep exactly.
    """

    op: str
    cause: Cause
    what: str
    phase: Phase | None = None
    module: str | None = None
    line: str | None = None
    golden: int | None = None
    now: int | None = None
    step: int | None = None
    ulp_most: float | None = None
    ulp_median: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """A culprit called by itself, on its actual inputs, in both environments.

    ``golden`` and ``now`` say whether each environment gave the bits that it gave in the training.
    Of the ``elements`` of the output that moved furthest ``differing`` have other bits, by
    ``ulp_most`` at most and ``ulp_median`` at the median (the number of representable numbers
    between the two); ``None`` where nothing that is finite differs. ``folder`` holds script and
    tensors.
    """

    folder: str
    op: str
    golden: bool
    now: bool
    ulp_most: int | None = None
    ulp_median: int | None = None
    differing: int = 0
    elements: int = 0

    @property
    def shown(self) -> bool:
        """Whether the operator alone shows the difference, in both environments."""
        return self.golden and self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Why a run is not its golden, as far as the evidence goes.

    ``step``, ``rung`` and ``name`` are where the ladder sees it first; ``cause`` is ``None`` where
    nothing tells. ``sentence`` is the finding in words, ``consequences`` the number of operators of
    the step that differ only because their inputs do, ``compared`` the number that were compared,
    and ``suspects`` what differs around the run, likeliest first.
    """

    step: int | None
    rung: Rung
    name: str
    cause: Cause | None
    sentence: str
    culprits: tuple[Culprit, ...] = ()
    consequences: int = 0
    compared: int = 0
    suspects: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def op(self) -> str | None:
        """The operator that is to blame first, if one is."""
        return self.culprits[0].op if self.culprits else None
