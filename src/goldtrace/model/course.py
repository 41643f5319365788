"""How a run went beside its golden, step by step: what the faces of a report draw."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.verdict import Rung


class Agreement(str, enum.Enum):
    """What two traces say of one rung at one step."""

    SAME = "same"
    TOLERATED = "tolerated"
    """Bits differ, and a tolerance or the calibration explains it."""
    DIFFERS = "differs"
    ONE_SIDED = "one-sided"
    """Only one of the two traces recorded it."""
    ABSENT = "absent"
    """Neither did."""


class Unit(str, enum.Enum):
    """What a departure is measured in."""

    EQUIVALENT = "equivalent_ulp"
    """Noise in the gradients that would explain it, by the golden's calibration."""
    ULP = "ulp"
    """The number's own units in the last place, where there is no calibration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One recorded number over the steps, in both traces.

    ``golden`` and ``current`` are ``[steps]``, ``None`` where a trace lacks the step. ``band`` is
    ``[steps]``, how far noise of ``Course.noise`` ulp moves the number to either side; empty
    where that was not measured.
    """

    name: str
    rung: Rung
    steps: tuple[int, ...]
    golden: tuple[float | None, ...]
    current: tuple[float | None, ...]
    band: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How far one quantity is from the golden's at each step, in ulp of ``unit``; ``[steps]``.

    Beyond ``horizon``, noise hides what the figures say; ``None`` where no horizon is known.
    """

    quantity: str
    unit: Unit
    horizon: int | None
    steps: tuple[int, ...]
    ulp: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """The whole of a comparison over its steps.

    ``ladder`` holds a row a rung, ``[steps]``; ``noise`` is the noise in ulp that bands stand for,
    and ``horizon`` the last step up to which no quantity is lost in noise. Of very long runs only
    every ``stride``-th step is kept, and those around the first difference.
    """

    steps: tuple[int, ...]
    ladder: Mapping[Rung, tuple[Agreement, ...]] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    departures: tuple[Departure, ...] = ()
    noise: float | None = None
    horizon: int | None = None
    stride: int = 1
