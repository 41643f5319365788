"""How far apart two values are, and what class of cause a distance of that size speaks for."""

from __future__ import annotations

import math
import statistics
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goldtrace.model.diagnosis import Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.model.tape import Statistics, Value

_DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
"""Significand bits of a format, the implicit one included."""

_SMALLEST = {"float64": -1074, "float32": -149, "float16": -24, "bfloat16": -133}
"""Exponent of a format's smallest subnormal number: no unit in the last place is smaller."""

_PARTS = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}

_FORMATS = {"float64": ">d", "float32": ">f", "float16": ">e"}

_ROUNDINGS = 16.0
"""Units in the last place of a typical element that a few roundings explain."""

_COARSEST = 2.0**-6
"""Relative error up to which factors of few digits (bfloat16 has 8) explain a difference."""

_ORDER = (Cause.ROUNDING, Cause.UNKNOWN, Cause.PRECISION, Cause.BEHAVIOUR)
"""What a distance may speak for, the worst last."""

_FEW, _MANY = 100, 1e6  # where fewer digits help a reader

_PRODUCTS = (
    *("mm", "addmm", "bmm", "baddbmm", "addmv", "addbmm", "mv", "dot", "linear", "einsum"),
    *("conv", "_convolution", "mkldnn", "cudnn_convolution", "attention", "rnn", "lstm", "gru"),
)
"""Parts of the names of operators that multiply matrices, whose factors may lose digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """Between a golden value and the one that is there now.

    ``typical`` is the root mean square of the difference in units in the last place of the golden's
    mean absolute value, ``most`` and ``median`` are over the elements that are kept exactly, each
    in units in its own last place. ``None`` is what can't be known.
    """

    cause: Cause
    what: str
    typical: float | None = None
    most: float | None = None
    median: float | None = None


def measure(
    golden: Sequence[Value], now: Sequence[Value], *, op: str, inputs: Sequence[Value]
) -> Distance:
    """The distance of an operator's outputs, that of the output which moved furthest."""
    smallest = min((value.size for value in golden), default=1)
    largest = max((value.size for value in inputs), default=1)
    summands = max(1.0, largest / max(1, smallest))
    worst: Distance | None = None
    for left, right in zip(golden, now, strict=False):
        if left.content == right.content:
            continue
        found = _measure(left, right, op=op, summands=summands)
        if worst is None or (_ORDER.index(found.cause), found.typical or 0.0) > (
            _ORDER.index(worst.cause),
            worst.typical or 0.0,
        ):
            worst = found
    if len(golden) != len(now):
        return Distance(cause=Cause.BEHAVIOUR, what=f"{len(now)} outputs instead of {len(golden)}")
    return worst or Distance(cause=Cause.ROUNDING, what="no difference")


def number_of(value: Value) -> float | None:
    """The only element of a floating-point value; ``None`` if it has others, or is no number."""
    known = value.dtype in _DIGITS and value.size == 1 and len(value.elements) == 1
    return _number(value.elements[0], value.dtype) if known else None


def _measure(golden: Value, now: Value, *, op: str, summands: float) -> Distance:
    other = _other_kind(golden, now)
    if other is not None:
        return other
    count = golden.size
    if golden.dtype in _PARTS:
        # Tapes keep the real and imaginary parts one after the other, and statistics of both.
        golden, now = (replace(value, dtype=_PARTS[value.dtype]) for value in (golden, now))
        count *= 2
    digits = _DIGITS.get(golden.dtype)
    if digits is None and "float" not in golden.dtype:
        return Distance(cause=Cause.BEHAVIOUR, what=f"other {golden.dtype} values")
    if digits is None or golden.statistics is None or now.statistics is None:
        return Distance(cause=Cause.UNKNOWN, what="by how much is not on the tape")
    if golden.sample == now.sample:
        share = f"none of {golden.statistics.count} sampled elements differs, others do"
        return Distance(cause=Cause.UNKNOWN, what=share)
    if not (_finite(golden) and _finite(now)):
        return _measure_infinite(golden, now, digits, op=op, summands=summands)
    most, median = _in_ulp(golden, now, digits)
    relative = _relative(golden, now, golden.statistics, now.statistics)
    typical = relative * 2.0 ** (digits - 1)
    cause = _cause(typical, relative, op=op, summands=summands)
    what = _words(typical, most, median, kept=len(golden.elements), count=count)
    return Distance(cause=cause, what=what, typical=typical, most=most, median=median)


def _measure_infinite(
    golden: Value, now: Value, digits: int, *, op: str, summands: float
) -> Distance:
    """Where sums are infinite or NaN, as of masked scores, by the finite elements that are kept."""
    if _finite(golden):
        return Distance(cause=Cause.BEHAVIOUR, what="NaN or infinity where there was none")
    if _finite(now):
        return Distance(cause=Cause.BEHAVIOUR, what="no NaN or infinity where there was one")
    kept = [tuple(_number(e, golden.dtype) for e in value.elements) for value in (golden, now)]
    # The same infinity, or NaN, says nothing; another one is as telling as one more.
    pairs = [(a, b) for a, b in zip(*kept, strict=True) if math.isfinite(a) or repr(a) != repr(b)]
    if not all(math.isfinite(a) and math.isfinite(b) for a, b in pairs):
        return Distance(cause=Cause.BEHAVIOUR, what="NaN or infinity in other places")
    distance = math.hypot(*(a - b for a, b in pairs))
    if not distance:
        return Distance(
            cause=Cause.UNKNOWN, what="beside NaN or infinities, by how much is unknown"
        )
    relative = distance / math.hypot(*(a for a, _ in pairs)) if any(a for a, _ in pairs) else 1.0
    typical = relative * 2.0 ** (digits - 1)
    return Distance(
        cause=_cause(typical, relative, op=op, summands=summands),
        what=f"typically {typical:.2g} ulp in {len(pairs)} elements beside NaN or infinities",
        typical=typical,
    )


def _other_kind(golden: Value, now: Value) -> Distance | None:
    """What can't be subtracted: another dtype, another size."""
    if golden.dtype != now.dtype:
        what = f"{now.dtype} instead of {golden.dtype}"
        return Distance(cause=Cause.PRECISION, what=what)
    if golden.size != now.size:
        what = f"shape {list(now.shape)} instead of {list(golden.shape)}"
        return Distance(cause=Cause.BEHAVIOUR, what=what)
    return None


def _cause(typical: float, relative: float, *, op: str, summands: float) -> Cause:
    if typical <= _ROUNDINGS + 4 * math.sqrt(summands):
        return Cause.ROUNDING
    if relative <= _COARSEST and any(part in op for part in _PRODUCTS):
        return Cause.PRECISION
    return Cause.BEHAVIOUR


def _relative(golden: Value, now: Value, left: Statistics, right: Statistics) -> float:
    """The root mean square of the difference over the golden's mean absolute value.

    The sketch alone is off by a factor of two now and then; sums never tell too much.
    """
    distance = math.dist(left.sketch, right.sketch) / math.sqrt(left.count)
    distance = max(distance, abs(left.total - right.total) / left.count)
    pairs = zip(golden.elements, now.elements, strict=True)
    exact = [_number(a, golden.dtype) - _number(b, golden.dtype) for a, b in pairs]
    if left.count <= len(exact):
        distance = math.hypot(*exact) / math.sqrt(len(exact))
    scale = max(left.absolute, right.absolute) / left.count
    return distance / scale if scale else 0.0 if distance == 0 else math.inf


def _in_ulp(golden: Value, now: Value, digits: int) -> tuple[float | None, float | None]:
    distances = []
    for a, b in zip(golden.elements, now.elements, strict=True):
        left, right = _number(a, golden.dtype), _number(b, golden.dtype)
        exponent = math.frexp(max(abs(left), abs(right)))[1] - digits
        unit = math.ldexp(1.0, max(exponent, _SMALLEST[golden.dtype]))
        distances.append(abs(left - right) / unit)
    if not distances:
        return None, None
    return max(distances), statistics.median(distances)


def _number(bits: str, dtype: str) -> float:
    if dtype == "bfloat16":
        return float(struct.unpack(">f", bytes.fromhex(bits + "0000"))[0])
    return float(struct.unpack(_FORMATS[dtype], bytes.fromhex(bits))[0])


def _finite(value: Value) -> bool:
    found = value.statistics
    return found is None or all(map(math.isfinite, (found.total, found.absolute, *found.sketch)))


def _words(
    typical: float, most: float | None, median: float | None, *, kept: int, count: int
) -> str:
    """The size of a difference, and what it was measured on: ``kept`` of ``count`` elements."""
    if not typical and not most:
        return "by less than sums and sketch of its elements show"
    if most is None or median is None or most == 0:
        return f"about {_short(typical)} ulp of a typical element"
    if kept == count:
        return f"at most {_short(most)} ulp, median {_short(median)}"
    looked_at = f"{kept} of {count:,} elements"
    if not typical:
        return f"up to {_short(most)} ulp in {looked_at}"
    return f"typically {_short(typical)} ulp, up to {_short(most)} in {looked_at}"


def _short(number: float) -> str:
    if number < _FEW:
        return f"{number:.2g}"
    return f"{number:,.0f}" if number < _MANY else f"{number:.1e}"
