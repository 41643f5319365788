"""The neutral documents as JSON values; that of a check is ``report.json``."""

from __future__ import annotations

from goldtrace.report.document.check import REPORT, SCHEMA, dump_document, to_document

__all__ = ["REPORT", "SCHEMA", "dump_document", "to_document"]
