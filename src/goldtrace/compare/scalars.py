"""Compare recorded numbers, and write them so that a reader sees the difference."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from goldtrace.compare.rules import GRAD_NORM
from goldtrace.model.scalar import Scalar, ulp_distance
from goldtrace.model.verdict import Divergence

if TYPE_CHECKING:
    from goldtrace.model.tolerance import Tolerance
    from goldtrace.model.verdict import Rung

ABSENT = "not recorded any more"
"""The note on what the golden holds and the current trace doesn't."""

NEW = "not in the golden"
"""The note on what the current trace holds and the golden doesn't."""

_SHORTEST, _EXACT = 6, 17  # significant digits: enough to read, and enough for any float64
_LARGE = 2**64  # beyond every integer format of a tensor
_BOTH_NAN = "both NaN, with different bits"


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a recorded quantity in a trace; ``step`` is ``None`` for the end of the run."""

    step: int | None
    rung: Rung
    name: str

    def differs(self, golden: str | None, current: str | None) -> Divergence:
        """The divergence of two texts; the note says which side lacks one."""
        return Divergence(
            step=self.step,
            rung=self.rung,
            name=self.name,
            golden=golden,
            current=current,
            note=ABSENT if current is None else NEW if golden is None else None,
        )


def compare_scalars(
    where: Where,
    golden: Scalar | str | None,
    current: Scalar | str | None,
    *,
    tolerance: Tolerance | None,
) -> Divergence | None:
    """The difference of two values, or ``None`` where format and bits are equal.

    Only numbers of one format can be within a tolerance, as in ``torch.testing``.
    """
    if golden == current:
        return None
    if not (isinstance(golden, Scalar) and isinstance(current, Scalar)):
        return where.differs(_text(golden), _text(current))
    left, right = decimals(golden, current)
    return replace(
        where.differs(left, right),
        ulp=_ulps(*_as_computed(where.name, golden, current)),
        tolerated=tolerance is not None and _within(golden, current, tolerance),
        note=_remark(golden, current),
    )


def decimals(golden: Scalar, current: Scalar) -> tuple[str, str]:
    """Both numbers with the fewest significant digits (six at least) that tell them apart."""
    if golden.dtype != current.dtype:
        return f"{_decimal(golden)} ({golden.dtype})", f"{_decimal(current)} ({current.dtype})"
    if not (golden.is_nan and current.is_nan):
        for digits in range(_SHORTEST, _EXACT + 1):
            left, right = _decimal(golden, digits), _decimal(current, digits)
            if left != right:
                return left, right
    return golden.exact, current.exact


def _text(value: Scalar | str | None) -> str | None:
    return _decimal(value) if isinstance(value, Scalar) else value


def _decimal(value: Scalar, digits: int = _SHORTEST) -> str:
    if value.is_nan:
        return "nan"
    if _integer(value) is not None:
        return value.exact
    return f"{value.value:.{digits}g}"


def _as_computed(name: str, golden: Scalar, current: Scalar) -> tuple[Scalar, Scalar]:
    """Both in the format that they come from: float64 is but the sum, or the Python float, of it.

    Of a gradient norm only the last sum is taken in float64, and ``loss.item()`` gives a float64
    that was a float32.
    """
    singles = all(s.dtype == "float64" and _is_single(s, name) for s in (golden, current))
    if not singles:
        return golden, current
    return replace(golden, dtype="float32"), replace(current, dtype="float32")


def _is_single(scalar: Scalar, name: str) -> bool:
    if name == GRAD_NORM or not math.isfinite(scalar.value):
        return True
    try:
        return bool(struct.unpack("f", struct.pack("f", scalar.value))[0] == scalar.value)
    except OverflowError:
        return False


def _ulps(golden: Scalar, current: Scalar) -> float | None:
    if golden.dtype != current.dtype:
        return None
    left, right = _integer(golden), _integer(current)
    if left is not None and right is not None:
        return float(min(abs(left - right), _LARGE))
    return ulp_distance(golden, current)


def _within(golden: Scalar, current: Scalar, tolerance: Tolerance) -> bool:
    if golden.dtype != current.dtype:
        return False
    left, right = _integer(golden), _integer(current)
    if left is None or right is None:
        return tolerance.allows(golden.value, current.value)
    if max(abs(left), abs(right)) > _LARGE:
        return False
    # As integers: two neighbours above 2**53 are one float64.
    return abs(right - left) <= tolerance.atol + tolerance.rtol * abs(left)


def _integer(value: Scalar) -> int | None:
    try:
        return int(value.exact)
    except ValueError:
        return None


def _remark(golden: Scalar, current: Scalar) -> str | None:
    if golden.dtype != current.dtype:
        return f"{golden.dtype} became {current.dtype}"
    if golden.is_nan or current.is_nan:
        both = golden.is_nan and current.is_nan
        return _BOTH_NAN if both else "NaN in the golden" if golden.is_nan else "became NaN"
    if _integer(golden) is not None or _integer(current) is not None:
        return None
    if golden.value == current.value == 0.0:
        return "the sign of zero"
    return "became infinite" if math.isinf(current.value) else None
