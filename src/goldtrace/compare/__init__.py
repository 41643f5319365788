"""Hold a trace against a golden: align what was recorded, and judge what differs."""

from __future__ import annotations

from goldtrace.compare.judge import compare_traces

__all__ = ["compare_traces"]
