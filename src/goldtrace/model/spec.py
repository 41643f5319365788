"""What a run is: the entry point and everything that decides its numbers."""

from __future__ import annotations

import enum
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goldtrace.model.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import Mapping

DEVICES = ("cpu", "cuda")
"""The kinds of device that a run may train on."""


class RunKind(str, enum.Enum):
    """Where a run is declared."""

    DECLARED = "declared"
    """In a ``run.toml``; ``entry`` is ``package.module:function``."""
    TEST = "test"
    """In a test that uses the ``golden_run`` fixture; ``entry`` is the test's node id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One short deterministic training, as its author declared it.

    ``tolerance`` maps the name of a metric, or ``*`` for all metrics without one, to its
    tolerance; ``rounding_ulp`` is the largest equivalent noise that counts as rounding, ``None``
    for goldtrace's own threshold. ``tape`` lists the numbers of the steps whose operators are
    recorded. ``place`` is for messages and counts from the current directory: file and line of
    the entry point, or a test's node id as it is typed there.
    """

    name: str
    entry: str
    kind: RunKind = RunKind.DECLARED
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    devices: tuple[str, ...] = ("cpu",)
    profile: str = "cpu-portable"
    warn_only: bool = False
    exact: bool = False
    tolerance: Mapping[str, Tolerance] = field(default_factory=dict)
    rounding_ulp: float | None = None
    tape: tuple[int, ...] = (0, 10)
    place: str | None = field(default=None, compare=False)

    def settings(self) -> dict[str, Any]:
        """The part of the spec that decides the numbers of the run, as JSON values.

        Devices, tolerances and the tape are left out: they decide what is looked at, not what
        is computed.
        """
        return {
            "entry": self.entry,
            "config": dict(self.config),
            "seed": self.seed,
            "profile": self.profile,
            "warn_only": self.warn_only,
        }

    def digest(self) -> str:
        """SHA-256 of ``settings`` in canonical JSON."""
        text = json.dumps(self.settings(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON values, but for the place, which isn't the run's."""
        return {
            **self.settings(),
            "name": self.name,
            "kind": self.kind.value,
            "devices": list(self.devices),
            "exact": self.exact,
            "tolerance": {
                name: {"rtol": tolerance.rtol, "atol": tolerance.atol}
                for name, tolerance in self.tolerance.items()
            },
            "rounding_ulp": self.rounding_ulp,
            "tape": list(self.tape),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RunSpec:
        """The spec that ``to_json`` wrote."""
        return cls(
            **{
                **fields,
                "kind": RunKind(fields["kind"]),
                "devices": tuple(fields["devices"]),
                "tolerance": {k: Tolerance(**v) for k, v in fields["tolerance"].items()},
                "tape": tuple(fields["tape"]),
            }
        )
