"""The tape: what the operators of a training step were called with, and what they gave."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMPLE = 1024
"""The most elements of a tensor that its statistics are taken over."""

BUCKETS = 4
"""The numbers in a sketch."""

ELEMENTS = 8
"""The most elements of a tensor that are kept exactly."""

REGION = "torch.compile"
"""The operator of the one entry that stands for a compiled region."""


class Phase(str, enum.Enum):
    """The part of a training step that an operator was called in."""

    DATA = "data"
    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    OTHER = "other"
    """After the backward pass and not in an optimizer, such as the clipping of gradients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A floating-point tensor in a few numbers, all in float64.

    They are taken over the tensor, or over ``SAMPLE`` of its elements, the last 64 among them:
    ``count`` elements, their sum, the sum of their absolute values, and a count sketch (Charikar,
    Chen and Farach-Colton, 2002) of ``BUCKETS`` numbers, whose squared distance from another
    tensor's is that of the two samples, give or take.
    """

    count: int
    total: float
    absolute: float
    sketch: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The content of a tensor: two tensors with the same bytes are the same value.

    ``digest`` is the XXH3-64 of the bytes in row-major order, ``sample`` the BLAKE2b-64 of the
    bytes of the sampled elements, and ``elements`` the bits of up to ``ELEMENTS`` of these, spread
    evenly, as hexadecimal digits from the highest bit down. A ``source`` was there before the step,
    or came from somewhere else than its operators.
    """

    digest: str
    dtype: str
    shape: tuple[int, ...]
    sample: str
    elements: tuple[str, ...]
    statistics: Statistics | None = None
    source: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    @property
    def content(self) -> tuple[str, str]:
        """What decides whether an operator reads the same numbers: not the shape they come in."""
        return self.dtype, self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of an operator.

    ``arguments`` holds the arguments that are no tensors by their names in the operator's schema.
    ``inputs`` and ``outputs`` are places in the values of the step; an operator that writes to one
    of its arguments has the result among its outputs. ``place`` is the call's number among all
    calls of the step, the unrecorded ones included. ``module`` is the module, or for optimizers the
    parameter; ``line`` the line of the code that led here, for backward of the forward operator.
    """

    op: str
    phase: Phase
    place: int
    arguments: Mapping[str, str] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    random: bool = False
    module: str | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TapedStep:
    """The operators of one step in the order in which they were called."""

    number: int
    values: tuple[Value, ...]
    calls: tuple[Call, ...]
