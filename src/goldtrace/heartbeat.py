"""How far a run is: its process keeps the number of finished steps in a file, its parent looks.

A write is one system call of some microseconds; nothing waits for a reader.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SIZE = 8  # bytes, little-endian


class Heartbeat:
    """The writing end; a disk that is full costs the progress, not the run."""

    def __init__(self, path: Path) -> None:
        self._file = -1
        with contextlib.suppress(OSError):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def beat(self, steps: int) -> None:
        """Say how many steps are finished."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.pwrite(self._file, steps.to_bytes(_SIZE, "little"), 0)

    def close(self) -> None:
        """End; what was said last stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def steps_done(path: Path) -> int:
    """The steps that a run has finished; 0 before the first, or where nothing can be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return 0
    return int.from_bytes(content, "little") if len(content) == _SIZE else 0
