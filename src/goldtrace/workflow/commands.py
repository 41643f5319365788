"""What to type next about a run: one line that a shell takes as it is, whatever the run's name."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from goldtrace.model.spec import RunKind

if TYPE_CHECKING:
    from goldtrace.model.spec import RunSpec


def record_command(spec: RunSpec, device: str) -> str:
    """What to type to write the golden of a run."""
    if spec.kind is RunKind.TEST:
        return f"pytest {shlex.quote(spec.entry)} --golden-update --golden-device {device}"
    return f"goldtrace record {shlex.quote(spec.name)} --device {device} --reason '…'"


def check_command(spec: RunSpec, device: str) -> str:
    """What to type to check a run."""
    if spec.kind is RunKind.TEST:
        return f"pytest {shlex.quote(spec.entry)} --golden-device {device}"
    return f"goldtrace check {shlex.quote(spec.name)} --device {device}"
