"""The progress of a running golden in words: step, rate, time left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE = 60
_SLOW = 10.0  # steps a second; faster ones need no decimals


@dataclass(slots=True)
class Pace:
    """Remembers when the first step was seen; ``total`` is the golden's number of steps."""

    total: int | None = None
    clock: Callable[[], float] = time.monotonic
    _began: tuple[int, float] | None = None

    def told(self, done: int) -> str:
        """``step 12/40, 8.3/s, 4 s left``; before the first step ``starting``."""
        if done <= 0:
            return "starting"
        now = self.clock()
        if self._began is None or done < self._began[0]:
            self._began = (done, now)
        parts = [f"step {done}/{self.total}" if self.total else f"step {done}"]
        first, since = self._began
        if done > first and now > since:
            rate = (done - first) / (now - since)
            parts.append(f"{rate:.1f}/s" if rate < _SLOW else f"{rate:.0f}/s")
            if self.total and done < self.total:
                parts.append(f"{_spelled((self.total - done) / rate)} left")
        return ", ".join(parts)


def _spelled(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / _MINUTE:.0f} min"
