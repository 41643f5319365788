"""What a trial or a bisection of package releases found out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldtrace.model.diagnosis import Diagnosis, Reproduction
    from goldtrace.model.verdict import Change, Comparison, RunResult


class Severity(str, enum.Enum):
    """How much of a difference two traces show; the order is that of ``--until``."""

    NONE = "none"
    ROUNDING = "rounding"
    """Bits differ."""
    PRECISION = "precision"
    """More than reordered sums explain, as with TF32 or bfloat16."""
    BEHAVIOUR = "behaviour"
    """Another algorithm, another stream of random numbers, other hyper-parameters."""
    LOSS = "loss"
    """The run learns differently: its losses towards the end differ by more than a percent."""

    def reaches(self, other: Severity) -> bool:
        """Whether this is at least ``other``."""
        order = list(Severity)
        return order.index(self) >= order.index(other)


class Standing(str, enum.Enum):
    """What became of a probe."""

    TRAINED = "trained"
    FAILED = "failed"
    """The run began and its code raised: that may be the change that is sought."""
    SKIPPED = "skipped"
    """Nothing can be said: no resolution, no environment, no import, no start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One environment that was tried: ``label`` names what was asked, ``reason`` why it failed.

    ``answer`` is ``good``, ``bad`` or ``skip`` where the search asks for that, and the letter of
    its class of equal traces where it seeks every change. ``seconds`` is ``None`` for what came
    from a cache or the journal.
    """

    label: str
    standing: Standing
    answer: str | None = None
    reason: str | None = None
    environment: str | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """Two neighbouring releases of a package between which the trace changes.

    ``skipped`` are the releases between them that could not be tried: the change is in one of
    them, or in ``bad``. ``moved_along`` are the other packages that differ between the two
    environments. ``confirmed`` says that both were trained again with the same outcome; ``None``
    that this was not asked for. ``comparison`` and ``diagnosis`` are ``None`` where one of the two
    failed. ``noise`` is how far apart the two are, in units of float32's last place; ``note`` says
    why no operator could be called by itself.
    """

    package: str
    good: str
    bad: str
    skipped: tuple[str, ...] = ()
    severity: Severity
    kind: str | None
    comparison: Comparison | None = None
    failure: str | None = None
    moved_along: tuple[Change, ...] = ()
    together_with: tuple[Change, ...] = ()
    confirmed: bool | None = None
    diagnosis: Diagnosis | None = None
    reproduction: Reproduction | None = None
    noise: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Today's environment held against another one: the runs and what differs between the two."""

    wanted: tuple[str, ...]
    changes: tuple[Change, ...]
    results: tuple[RunResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """The answer of a bisection: change points, causes, every probe, and what remains open.

    ``causes`` are sets of package changes that each suffice for the drift, where two lists of
    packages were compared. ``notes`` say what the answer doesn't cover, ``machine`` where all of
    it ran.
    """

    target: str
    device: str
    question: str
    until: Severity
    machine: str = ""
    change_points: tuple[ChangePoint, ...] = ()
    causes: tuple[tuple[Change, ...], ...] = ()
    probes: tuple[Probe, ...] = ()
    notes: tuple[str, ...] = ()
    conclusive: bool = True
