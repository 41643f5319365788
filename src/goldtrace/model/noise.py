"""Rounding noise of known size, for runs that measure how a training amplifies it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """``ulp`` units in the last place, with signs drawn from ``seed``."""

    ulp: float
    seed: int

    def __str__(self) -> str:
        """In words: the pin of a trace that was perturbed."""
        return f"{self.ulp:g} ulp, seed {self.seed}"
