"""The faces of a check for CI services: annotations, metrics, code quality, JUnit properties."""

from __future__ import annotations

from goldtrace.report.ci.github import annotate, publish
from goldtrace.report.ci.gitlab import code_quality, metrics
from goldtrace.report.ci.junit import properties

__all__ = ["annotate", "code_quality", "metrics", "properties", "publish"]
