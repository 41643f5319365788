"""How work that takes long says how far it is: functions that its caller hands in."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with one short sentence whenever something begins."""

Counted = Callable[[int, int, float | None], None]
"""Called with the parts that are done, how many there are, and the seconds left if known."""
