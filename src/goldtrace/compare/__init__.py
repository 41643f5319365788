"""Hold a trace against a golden: align what was recorded, and judge what differs."""

from __future__ import annotations

from goldtrace.compare.course import course_of
from goldtrace.compare.judge import compare_traces

__all__ = ["compare_traces", "course_of"]
