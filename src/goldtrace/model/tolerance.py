"""An explicit tolerance, with the meaning that ``torch.testing.assert_close`` gives it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """``|current - golden| <= atol + rtol * |golden|``, both at least 0 and finite."""

    rtol: float = 0.0
    atol: float = 0.0

    def allows(self, golden: float, current: float) -> bool:
        """Whether ``current`` is close enough; a NaN never is, an infinity only to itself."""
        if golden == current:
            return True
        difference = abs(current - golden)
        return math.isfinite(difference) and difference <= self.atol + self.rtol * abs(golden)
