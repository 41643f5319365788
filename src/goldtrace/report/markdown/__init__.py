"""The Markdown faces: of a check, of a bisection for an issue, of the checklist."""

from __future__ import annotations

from goldtrace.report.markdown.page import render_markdown

__all__ = ["render_markdown"]
