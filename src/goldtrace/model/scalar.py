"""One recorded number, exact to the bit."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

_NAN = "nan:"

# Significand bits (the implicit one included) and smallest normal exponent of each format that
# a loss may have: IEEE 754 binary formats, and bfloat16.
_FORMATS = {
    "float64": (53, -1022),
    "float32": (24, -126),
    "float16": (11, -14),
    "bfloat16": (8, -126),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number with the format that it had when it was computed.

    ``exact`` is a hexadecimal float (C99 ``%a``, as ``float.hex`` writes it), a decimal integer
    for integer formats, or ``nan:`` and the 16 hexadecimal digits of the float64 bits for a NaN,
    so that sign and payload of a NaN count as bits like any other.
    """

    exact: str
    dtype: str

    @classmethod
    def of(cls, value: float, dtype: str | None = None) -> Scalar:
        """The scalar of a Python number; floats are ``float64`` unless ``dtype`` says otherwise."""
        if isinstance(value, bool):
            return cls(str(int(value)), dtype or "bool")
        if isinstance(value, int):
            return cls(str(value), dtype or "int64")
        if math.isnan(value):
            return cls(_NAN + struct.pack(">d", value).hex(), dtype or "float64")
        return cls(value.hex(), dtype or "float64")

    @property
    def value(self) -> float:
        """The number as a Python float: exact for every format up to float64."""
        if self.exact.startswith(_NAN):
            return struct.unpack(">d", bytes.fromhex(self.exact[len(_NAN) :]))[0]  # type: ignore[no-any-return]
        # By how it is written, not by its format: a format may be one that this release lacks.
        if "x" in self.exact or "inf" in self.exact:
            return float.fromhex(self.exact)
        return float(int(self.exact))

    @property
    def is_nan(self) -> bool:
        """Whether the number is a NaN, of any sign and payload."""
        return self.exact.startswith(_NAN)

    def ulp(self) -> float:
        """The spacing of the format at this value: 1 for integers, NaN for NaN and infinity."""
        if self.dtype not in _FORMATS:
            return 1.0
        value = self.value
        if not math.isfinite(value):
            return math.nan
        digits, smallest = _FORMATS[self.dtype]
        exponent = max(math.frexp(value)[1] - 1, smallest) if value else smallest
        return math.ldexp(1.0, exponent - digits + 1)


def ulp_distance(golden: Scalar, current: Scalar) -> float | None:
    """How far apart two scalars are, in units in the last place of the coarser one.

    ``None`` where that has no meaning: one of them is NaN or infinite.
    """
    difference = abs(golden.value - current.value)
    if not math.isfinite(difference):
        return None
    return difference / max(golden.ulp(), current.ulp())
