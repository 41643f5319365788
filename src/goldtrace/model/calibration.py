"""How strongly a run amplifies rounding noise, as measured when its golden was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.noise import Noise
    from goldtrace.model.verdict import Rung


@dataclass(frozen=True, slots=True)
class Response:
    """How far a quantity moved: root mean squares over the runs with small and with large noise."""

    small: float
    large: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The responses of one golden to noise in its gradients.

    ``golden`` is the digest of the trace; ``noises`` are the perturbed runs, of two sizes.
    ``scalars`` maps a loss, a further scalar, ``grad_norm`` or ``buffer_norm`` to its response at
    each step, ``metrics`` a figure of the end to its response, and ``tensors`` the sketch of a
    weight or buffer to the Euclidean norm of its response at each sketched step. ``horizons`` maps
    a quantity to the last step at which the smaller noise is still small against it, -1 for none.
    """

    golden: str
    noises: tuple[Noise, ...]
    scalars: Mapping[str, Mapping[int, Response]] = field(default_factory=dict)
    metrics: Mapping[str, Response] = field(default_factory=dict)
    tensors: Mapping[Rung, Mapping[int, Mapping[str, Response]]] = field(default_factory=dict)
    horizons: Mapping[str, int] = field(default_factory=dict)

    @property
    def small(self) -> float:
        """The smaller noise, in ulp."""
        return min(noise.ulp for noise in self.noises)

    @property
    def large(self) -> float:
        """The larger noise, in ulp."""
        return max(noise.ulp for noise in self.noises)

    @property
    def horizon(self) -> int | None:
        """The last step up to which no quantity is lost in noise; ``None`` without quantities."""
        return min(self.horizons.values(), default=None)
