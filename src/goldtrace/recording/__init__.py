"""Recording a run: the object that a training loop talks to, and the digests behind it."""

from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.session import recording

__all__ = ["GoldenRun", "recording"]
