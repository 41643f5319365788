"""From a comparison to its cause: the step, the rung, the operator, and what to suspect."""

from __future__ import annotations

from goldtrace.diagnose.arguments import another_argument
from goldtrace.diagnose.narrow import diagnose

__all__ = ["another_argument", "diagnose"]
