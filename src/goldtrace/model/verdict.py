"""What a comparison concludes, and about what."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldtrace.model.checklist import Point
    from goldtrace.model.course import Course
    from goldtrace.model.diagnosis import Diagnosis


class Verdict(str, enum.Enum):
    """The five answers of a check."""

    IDENTICAL = "identical"
    ROUNDING = "rounding"
    DRIFT = "drift"
    INCOMPARABLE = "incomparable"
    MISSING = "missing"

    def passes(self, *, exact: bool) -> bool:
        """Whether a check with this verdict is green; ``exact`` makes rounding fail too."""
        return self is Verdict.IDENTICAL or (self is Verdict.ROUNDING and not exact)


class Rung(str, enum.Enum):
    """The rungs of the ladder, in causal order within a step."""

    STRUCTURE = "structure"
    BATCH = "batch"
    RNG = "rng"
    LOSS = "loss"
    METRIC = "metric"
    LR = "lr"
    GRADIENTS = "gradients"
    OPTIMIZER = "optimizer"
    WEIGHTS = "weights"
    BUFFERS = "buffers"

    @property
    def order(self) -> int:
        """The place of this rung in the ladder, from 0."""
        return _ORDER[self]


_ORDER = {rung: place for place, rung in enumerate(Rung)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """One recorded quantity that differs from the golden.

    ``step`` is the step's number, ``INITIAL_STEP`` before the first one and ``None`` for the end
    of the run. ``golden`` and ``current`` are what a reader is shown; ``ulp`` is their distance
    in units in the last place where they are numbers. ``tolerated`` marks a difference within an
    explicit tolerance, or one that the calibration explains by rounding.
    """

    step: int | None
    rung: Rung
    name: str
    golden: str | None
    current: str | None
    ulp: float | None = None
    tolerated: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between the golden's environment, pins or settings and the current ones."""

    what: str
    golden: str | None
    now: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalent:
    """The noise in the gradients that would explain how far a quantity is from the golden's.

    ``quantity`` is ``weights``, ``buffers``, ``initial weights`` or the name of a number;
    ``step`` is where the noise is largest, ``None`` at the end of the run.
    """

    quantity: str
    ulp: float
    step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A trace held against a golden: the verdict and the evidence for it.

    ``divergences`` are in causal order: by step, then by rung. ``equivalents`` are those of a
    calibrated golden, the largest first, whose noise is ``equivalent_ulp``.
    """

    verdict: Verdict
    divergences: tuple[Divergence, ...] = ()
    environment_changes: tuple[Change, ...] = ()
    steps_compared: int = 0
    equivalent_ulp: float | None = None
    equivalents: tuple[Equivalent, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Divergence | None:
        """The first difference that the verdict rests on."""
        judged = [d for d in self.divergences if not d.tolerated] or list(self.divergences)
        return judged[0] if judged else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What became of the candidate golden that a failing check owes its report.

    ``folder`` is where it lies, relative to the report's directory and with ``/``; where there is
    none, ``why_not`` says why.
    """

    folder: str | None = None
    why_not: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What became of one run on one device in one check.

    ``verdict`` is ``None`` when the run was skipped (``skipped`` says why) or could not be
    judged (``error`` says why). ``origin`` is the run's entry point or the test's node id.
    ``proposal`` is ``None`` where no candidate was asked for; ``checklist`` is empty where there
    was no trace. ``reference`` is the platform of the golden where another one's was taken, and
    ``why`` the command that explains a failure.
    """

    name: str
    device: str
    platform: str | None = None
    verdict: Verdict | None = None
    exact: bool = False
    comparison: Comparison | None = None
    error: Exception | None = None
    skipped: str | None = None
    hint: str | None = None
    why: str | None = None
    reference: str | None = None
    seconds: float | None = None
    diagnosis: Diagnosis | None = None
    course: Course | None = None
    origin: str | None = None
    proposal: Proposal | None = None
    checklist: tuple[Point, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether this run is green: judged, and judged well."""
        return self.verdict is not None and self.verdict.passes(exact=self.exact)
