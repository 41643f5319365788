"""A child and whatever it has started: they end together.

A child that is looked at with ``has_ended`` stays unreaped. Until it is reaped its number, which is
its group's too, cannot become another's, so that the group can still be killed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

_LOOK = 0.02  # seconds between looks at a child that is given some time
_REAPING = threading.Lock()
_UNREAPED = hasattr(os, "waitid")  # macOS has it from Python 3.13 on; before, the group may go on


def has_ended(child: subprocess.Popen[Any]) -> bool:
    """Whether the child itself has ended; it is not reaped."""
    if child.returncode is not None:
        return True
    if not _UNREAPED:
        return child.poll() is not None
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def wait_for(child: subprocess.Popen[Any], seconds: float | None = None) -> bool:
    """Wait until the child itself has ended, and say whether it has; it is not reaped."""
    if seconds is None:
        if not _UNREAPED:
            child.wait()
        elif child.returncode is None:
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return True
    deadline = time.monotonic() + seconds
    while not has_ended(child):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _LOOK))
    return True


def kill(child: subprocess.Popen[Any]) -> None:
    """Kill what runs of the group of a child that started a session; twice does no harm."""
    with _REAPING:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def end(child: subprocess.Popen[Any]) -> int:
    """Kill what runs of the child's group, and the child's exit status."""
    kill(child)
    wait_for(child)
    with _REAPING:
        return child.wait()
