"""What machine, packages and code a run met: the probe, the platform key, the difference of two."""

from __future__ import annotations

from goldtrace.environment.conditions import accelerator_conditions, throttling
from goldtrace.environment.difference import changes, suspicion
from goldtrace.environment.platforms import platform_key, platform_problem, require_platform
from goldtrace.environment.probe import probe_environment
from goldtrace.environment.revision import revision

__all__ = [
    "accelerator_conditions",
    "changes",
    "platform_key",
    "platform_problem",
    "probe_environment",
    "require_platform",
    "revision",
    "suspicion",
    "throttling",
]
