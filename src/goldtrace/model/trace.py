"""What a run recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.model.environment import Environment, Revision
    from goldtrace.model.scalar import Scalar
    from goldtrace.model.tape import TapedStep
    from goldtrace.model.verdict import Rung

SCHEMA = 2
"""The version of the trace and golden format that this goldtrace writes."""

INITIAL_STEP = -1
"""The number of the record that holds the state before the first step."""

Sketch = tuple[float, ...]
"""A count sketch: float32 values whose sum of squares estimates a tensor's squared norm."""


def is_sketched(step: int) -> bool:
    """Whether tensors are sketched at a step: 0, 1, 2, 4, 8 and every further power of two."""
    return step & (step - 1) == 0


def is_early(step: int) -> bool:
    """Whether the norm of the buffers is recorded at a step: the first three.

    Later, events such as a ReLU that changes its sign move it as far as what it is there to show.
    """
    return step < 3  # noqa: PLR2004 - said above


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Under which circumstances a trace was recorded.

    ``settings`` is ``RunSpec.settings()`` and ``spec_digest`` its digest; ``pins`` are the pins
    that were verified to be in force, with their values; ``data`` maps a data set to the SHA-256
    of each of its files; ``canaries`` the digests of small computations, which show the component
    that computes otherwise on another machine; ``conditions`` how the accelerator was at the
    ``start`` and at the ``end``, which no comparison rests on; ``loaders`` a line for each kind of
    DataLoader that was iterated over; ``unportable`` the operators of the taped steps that no pin
    makes the same on every CPU.
    """

    run: str
    device: str
    platform: str
    origin: str
    settings: Mapping[str, Any]
    spec_digest: str
    pins: Mapping[str, str]
    environment: Environment
    seeds: Mapping[str, int] = field(default_factory=dict)
    data: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    revision: Revision | None = None
    canaries: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    loaders: tuple[str, ...] = ()
    unportable: tuple[str, ...] = ()
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of the run, or the state before the first one (``INITIAL_STEP``).

    ``scalars`` holds ``loss`` and whatever else was passed to ``step``; ``hyperparameters`` the
    values of each parameter group as the optimizer used them (``group0.lr``); ``rng`` one digest
    a stream after the step; ``ladder`` one 128-bit digest a rung; ``samples`` the digest of the
    batch's samples regardless of their order; ``tensors`` the digests of single tensors by rung,
    at the initial, the first and the last step (for ``Rung.STRUCTURE`` a description instead).
    ``buffer_norm``, at the first three steps, is the geometric mean of the norms of the
    floating-point buffers: what scales all activations alike moves it further than sums that are
    off at random. ``sketches`` are of the weights and buffers in the initial record, and
    afterwards, at the steps that ``is_sketched`` names and at the end, of how far each has moved
    since. They estimate differences, and are no evidence of equality: that is what digests are for.
    """

    number: int
    scalars: Mapping[str, Scalar] = field(default_factory=dict)
    hyperparameters: Mapping[str, Scalar | str] = field(default_factory=dict)
    grad_norm: Scalar | None = None
    buffer_norm: Scalar | None = None
    ladder: Mapping[Rung, str] = field(default_factory=dict)
    rng: Mapping[str, str] = field(default_factory=dict)
    samples: str | None = None
    tensors: Mapping[Rung, Mapping[str, str]] = field(default_factory=dict)
    sketches: Mapping[Rung, Mapping[str, Sketch]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What stood at the end: metrics, and the SHA-256 of each part of the final state."""

    metrics: Mapping[str, Scalar] = field(default_factory=dict)
    final: Mapping[Rung, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A finished recording; ``steps`` are in the order of their numbers, from ``INITIAL_STEP``.

    ``tape`` holds the operators of the steps that the spec lists and the run reached.
    """

    header: Header
    steps: tuple[StepRecord, ...]
    end: End
    tape: tuple[TapedStep, ...] = ()

    def taped(self, number: int | None) -> TapedStep | None:
        """The operators of a step, if they were recorded."""
        return next((step for step in self.tape if step.number == number), None)

    @property
    def initial(self) -> StepRecord | None:
        """The state before the first step, if it was recorded."""
        return next((step for step in self.steps if step.number == INITIAL_STEP), None)

    @property
    def step_count(self) -> int:
        """The number of training steps, the initial record not counted."""
        return sum(1 for step in self.steps if step.number != INITIAL_STEP)
