"""The faces of a check in a terminal: one failure, one comparison, the table of all runs."""

from __future__ import annotations

from goldtrace.report.terminal.failure import render_comparison, render_failure
from goldtrace.report.terminal.table import render_rows, render_table

__all__ = [
    "render_comparison",
    "render_failure",
    "render_rows",
    "render_table",
]
