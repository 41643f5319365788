"""One neutral document about a check, and its faces for people."""

from __future__ import annotations

from goldtrace.report.document import dump_document, to_document
from goldtrace.report.terminal.explanation import render_explanation
from goldtrace.report.terminal.failure import render_comparison, render_failure
from goldtrace.report.terminal.table import render_table

__all__ = [
    "dump_document",
    "render_comparison",
    "render_explanation",
    "render_failure",
    "render_table",
    "to_document",
]
