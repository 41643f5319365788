"""What the separation benchmark found, and whether it is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.compare.thresholds import ROUNDING_ULP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.compare.calibration import Judgement

FACTOR = 10.0
"""How far apart the two groups should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """The worst change of rounding and the best hidden change of behaviour of one run."""

    rounding: float
    worst: str
    behaviour: float
    best: str

    @property
    def factor(self) -> float:
        """How many times the one is the other."""
        return self.behaviour / self.rounding if self.rounding else float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The judgements by run, group (``rounding``, ``behaviour``) and change; ``steps`` trained."""

    steps: Mapping[str, int]
    judged: Mapping[str, Mapping[str, Mapping[str, Judgement]]]

    @property
    def wrong(self) -> list[tuple[str, str]]:
        """The runs and changes that the threshold puts on the wrong side."""
        return [
            (run, change)
            for run, groups in self.judged.items()
            for group, changes in groups.items()
            for change, judgement in changes.items()
            if is_wrong(group, judgement)
        ]

    def changes(self, group: str) -> list[str]:
        """The changes of a group, those with the least noise first."""
        names = {change for run in self.judged.values() for change in run[group]}

        def largest(change: str) -> float:
            return max(
                run[group][change].ulp for run in self.judged.values() if change in run[group]
            )

        return sorted(names, key=lambda change: (largest(change), change))

    def margin(self, run: str) -> Margin:
        """How far apart the groups of a run are."""
        groups = self.judged[run]
        rounding, worst = max((j.ulp, change) for change, j in groups["rounding"].items())
        behaviour, best = min((j.ulp, change) for change, j in groups["behaviour"].items())
        return Margin(rounding=rounding, worst=worst, behaviour=behaviour, best=best)


def is_wrong(group: str, judgement: Judgement) -> bool:
    """Whether the trajectory alone gives the wrong verdict."""
    is_rounding = judgement.ulp <= ROUNDING_ULP and not judgement.scattered
    return is_rounding != (group == "rounding")
