"""How far two traces of one run are apart: every number and every sketch, by quantity and step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldtrace.compare.rules import BUFFER_NORM, GRAD_NORM
from goldtrace.model.trace import INITIAL_STEP
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldtrace.model.scalar import Scalar
    from goldtrace.model.trace import Sketch, StepRecord, Trace

_SINGLE = 2.0**-23
_PRECISION = {
    "float64": 2**-52,
    "complex128": 2**-52,
    "float32": _SINGLE,
    "complex64": _SINGLE,
    "float16": 2**-10,
    "complex32": 2**-10,
    "bfloat16": 2**-7,
    "float8_e4m3fn": 2**-3,
    "float8_e4m3fnuz": 2**-3,
    "float8_e5m2": 2**-2,
    "float8_e5m2fnuz": 2**-2,
}
"""One unit in the last place of 1 in each format of tensors."""

_NUMBERS = frozenset({"float64", "float32", "float16", "bfloat16"})

RESOLUTION = 4.0
"""Units in its last place that a number may be off by its own last sums alone."""


@dataclass(frozen=True, slots=True)
class Distance:
    """The difference of a quantity at a step, and what it is to be seen against.

    ``moved`` is the size of the golden's quantity: of a number itself, of a tensor how far it
    moved since the initial record. ``resolution`` is the smallest difference that means anything.
    """

    difference: float
    moved: float
    resolution: float


def scalar_distances(golden: Trace, current: Trace) -> dict[str, dict[int, Distance]]:
    """Losses, further scalars and gradient norms that both traces hold in one float format."""
    others = {step.number: step for step in current.steps}
    found: dict[str, dict[int, Distance]] = {}
    for step in golden.steps:
        other = others.get(step.number)
        if step.number == INITIAL_STEP or other is None:
            continue
        numbers = _numbers(other)
        for name, value in _numbers(step).items():
            distance = number_distance(value, numbers.get(name))
            if distance is not None:
                found.setdefault(name, {})[step.number] = distance
    return found


def number_distance(golden: Scalar, current: Scalar | None) -> Distance | None:
    """The distance of two finite numbers of one floating-point format, otherwise ``None``.

    A number of float64 is taken to be known no better than one of float32: it may have been
    one, as what ``loss.item()`` gives, or a sum of such.
    """
    if current is None or golden.dtype != current.dtype or golden.dtype not in _NUMBERS:
        return None
    difference = abs(golden.value - current.value)
    if not math.isfinite(difference):
        return None
    own = abs(golden.value) * _SINGLE if golden.dtype == "float64" else golden.ulp()
    return Distance(difference, abs(golden.value), RESOLUTION * own)


def tensor_distances(
    golden: Trace, current: Trace, rung: Rung
) -> Iterator[tuple[int, str, Distance]]:
    """How far apart the movements of each floating-point weight or buffer are, from sketches.

    A tensor that begins with infinities or NaN, such as the mask of an attention, or a buffer that
    has them in both traces, has no sketch: its digest alone judges it. A tensor that came later, of
    which nothing describes the format, is taken for float32.
    """
    others = {step.number: step for step in current.steps}
    first = golden.initial
    start = first.sketches.get(rung, {}) if first is not None else {}
    structure = first.tensors.get(Rung.STRUCTURE, {}) if first else {}
    precision = {name: _PRECISION.get(line.partition("[")[0]) for name, line in structure.items()}
    for step in golden.steps:
        if step.number == INITIAL_STEP or step.number not in others:
            continue
        sketches = others[step.number].sketches.get(rung, {})
        for name, sketch in step.sketches.get(rung, {}).items():
            ulp = precision.get(name, _SINGLE)
            began = start.get(name, ())
            if name not in sketches or ulp is None or not _finite(began):
                continue
            if rung is Rung.BUFFERS and not (_finite(sketch) or _finite(sketches[name])):
                continue
            difference = _norm(_minus(sketches[name], sketch))
            if math.isnan(difference):
                difference = math.inf
            # However it is computed, a weight is rounded when it is stored, and so is a sketch.
            moved = _norm(sketch)
            own = math.hypot(0.5 * ulp * _norm(began), _SINGLE * moved)
            yield step.number, name, Distance(difference, moved, own)


def initial_distances(golden: Trace, current: Trace, rung: Rung) -> dict[str, float]:
    """How far apart the initial tensors of a rung are, in units of their last place."""
    one, other = golden.initial, current.initial
    if one is None or other is None:
        return {}
    structure = one.tensors.get(Rung.STRUCTURE, {})
    digests, others = one.tensors.get(rung, {}), other.tensors.get(rung, {})
    found = {}
    for name, sketch in one.sketches.get(rung, {}).items():
        ulp = _PRECISION.get(structure.get(name, "").partition("[")[0])
        if ulp is None or name not in other.sketches.get(rung, {}):
            continue
        if digests.get(name) == others.get(name):
            found[name] = 0.0
            continue
        size = _norm(sketch)
        difference = _norm(_minus(other.sketches[rung][name], sketch))
        share = difference / (ulp * size) if size else math.inf if difference else 0.0
        found[name] = math.inf if math.isnan(share) else share
    return found


def _numbers(step: StepRecord) -> Mapping[str, Scalar]:
    own = {GRAD_NORM: step.grad_norm, BUFFER_NORM: step.buffer_norm}
    return {**step.scalars, **{name: norm for name, norm in own.items() if norm is not None}}


def _minus(one: Sketch, other: Sketch) -> Sketch:
    if len(one) != len(other):
        return (math.inf,)
    return tuple(a - b for a, b in zip(one, other, strict=True))


def _finite(sketch: Sketch) -> bool:
    return all(map(math.isfinite, sketch))


def _norm(sketch: Sketch) -> float:
    return math.hypot(*sketch)
