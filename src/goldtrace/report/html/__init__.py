"""The HTML face: one file that opens offline, drawn from a document alone."""

from __future__ import annotations

from goldtrace.report.html.page import render_html

__all__ = ["render_html"]
