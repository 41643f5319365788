"""Training whose bits depend on no kernel: float64 in between, float32 where values are kept.

Imports torch, and is imported only where a run under the profile ``universal`` begins.
"""

from __future__ import annotations

from goldtrace.universal.mode import UniversalMode, begin, end, in_force

__all__ = ["UniversalMode", "begin", "end", "in_force"]
