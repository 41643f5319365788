"""Digests computed by the GPU that holds the tensors, and results that are fetched later."""

from goldtrace.recording.on_device.launch import can_hash, start_hashing
from goldtrace.recording.on_device.transfer import to_host

__all__ = ["can_hash", "start_hashing", "to_host"]
