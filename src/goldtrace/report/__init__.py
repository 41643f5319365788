"""One neutral document about a check, and its faces for people."""

from __future__ import annotations

from goldtrace.report.document import dump_document, to_document
from goldtrace.report.explanation import render_explanation
from goldtrace.report.failure import render_comparison, render_failure
from goldtrace.report.table import render_table

__all__ = [
    "dump_document",
    "render_comparison",
    "render_explanation",
    "render_failure",
    "render_table",
    "to_document",
]
