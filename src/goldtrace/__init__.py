"""Golden training runs for CI: know the moment a change or an upgrade moves your training."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldtrace.determinism import deterministic, generator, seed_everything, seed_worker
    from goldtrace.errors import DataUnavailableError, GoldtraceError
    from goldtrace.recording import GoldenRun

__version__ = "0.1.0"

# Looked up on first use: importing goldtrace must not import torch.
_PUBLIC = {
    "GoldenRun": "goldtrace.recording",
    "GoldtraceError": "goldtrace.errors",
    "DataUnavailableError": "goldtrace.errors",
    "deterministic": "goldtrace.determinism",
    "generator": "goldtrace.determinism",
    "seed_everything": "goldtrace.determinism",
    "seed_worker": "goldtrace.determinism",
}

__all__ = [
    "DataUnavailableError",
    "GoldenRun",
    "GoldtraceError",
    "deterministic",
    "generator",
    "seed_everything",
    "seed_worker",
]


def __getattr__(name: str) -> Any:
    try:
        module = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(importlib.import_module(module), name)
