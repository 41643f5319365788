"""Run a spec in a fresh interpreter, started with its pins in place; a trace comes back."""

from __future__ import annotations

import functools
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.determinism import profile_for
from goldtrace.environment import require_platform
from goldtrace.errors import EntryPointError, RunnerDiedError, UsageError, error_from_json
from goldtrace.heartbeat import steps_done
from goldtrace.model.codec import HEADER, STEPS, decode_trace, read_files
from goldtrace.model.execution import Execution
from goldtrace.process_group import end, kill, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from goldtrace.model.noise import Noise
    from goldtrace.model.spec import RunSpec
    from goldtrace.model.trace import Trace

_THREAD = threading.local()
"""Of a thread of ``side_by_side``: the children that end together."""

_LOOK = 0.2  # seconds between looks at how far a watched run is
_LOG_LINES = 20
"""Lines of the child's output that a message about its death shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """The call at ``place`` of the only step that the spec tapes, and where its files go."""

    place: int
    folder: Path


def launch(
    spec: RunSpec,
    device: str,
    *,
    root: Path,
    interpreter: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    capture: Capture | None = None,
    noise: Noise | None = None,
    watch: Callable[[int], None] | None = None,
    execution: Execution = Execution.EAGER,
) -> Trace:
    """Train ``spec`` on ``device`` in a new process under ``interpreter`` and return its trace.

    The child works in ``root``, which is also first on its import path. ``environment`` is added
    to this process's, and the profile's pins to that. ``capture`` asks for the actual
    tensors of one call of an operator; ``noise`` perturbs the gradients, for a calibration;
    ``execution`` tells whether the watched models are compiled. ``watch`` is
    called now and then with the number of finished steps. An interrupt of this process ends the
    child and its data loader workers.

    Raises:
        PlatformUnsupportedError: the profile does not cover this machine; nothing was started.
        GoldtraceError: what the child reported, in its own class.
        RunnerDiedError: the child ended without an answer.
    """
    require_platform(spec.profile, device)
    numpy = numpy_of(interpreter)
    pins = profile_for(spec.profile, device, numpy_version=numpy).environment()
    with tempfile.TemporaryDirectory(prefix="goldtrace-") as scratch:
        out = Path(scratch)
        request = {
            "spec": spec.to_json(),
            "device": device,
            "root": str(root),
            "parent": os.getpid(),
            "capture": None
            if capture is None
            else {"place": capture.place, "folder": str(capture.folder.absolute())},
            "noise": None if noise is None else {"ulp": noise.ulp, "seed": noise.seed},
            "progress": None if watch is None else str(out / "steps"),
            "execution": execution.value,
        }
        spec_file = out / "spec.json"
        spec_file.write_text(json.dumps(request), encoding="utf-8")
        log = out / "output.log"
        with log.open("wb") as stream:
            child = subprocess.Popen(  # noqa: S603 - the interpreter is the user's choice
                [interpreter, "-m", "goldtrace.recording", str(spec_file), str(out)],
                cwd=root,
                env=child_environment(pins, environment, interpreter=interpreter),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                if hasattr(_THREAD, "children"):
                    _THREAD.children.add(child)
                _wait(child, out / "steps", watch)
            finally:
                status = end(child)
        error = out / "error.json"
        if error.exists():
            raised = error_from_json(json.loads(error.read_text(encoding="utf-8")))
            if isinstance(raised, EntryPointError):
                raised.where = spec.place or raised.where
            raise raised
        if status == 0 and (out / HEADER).exists() and (out / STEPS).exists():
            return decode_trace(read_files(out))
        raise RunnerDiedError(
            "the child process ended without an answer",
            where=f"{spec.name} on {device}",
            expected="a trace",
            found=f"{describe_status(status)}\n{_tail(log)}",
            hint=f"goldtrace check {shlex.quote(spec.name)}",
        )


def _wait(
    child: subprocess.Popen[bytes], progress: Path, watch: Callable[[int], None] | None
) -> None:
    while watch is not None and not wait_for(child, _LOOK):
        watch(steps_done(progress))
    wait_for(child)


@functools.lru_cache
def numpy_of(interpreter: str) -> str | None:
    """The release of numpy of another interpreter, whose pins have other names from it.

    ``None`` for this interpreter, and where there is none.

    Raises:
        UsageError: it can't be started.
    """
    if interpreter == sys.executable:
        return None
    try:
        answer = subprocess.run(  # noqa: S603 - the interpreter is the user's choice
            [interpreter, "-c", "import importlib.metadata as m; print(m.version('numpy'))"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise UsageError(
            "this interpreter can't be started",
            where=interpreter,
            expected="a Python, such as .venv/bin/python",
            found=error.strerror,
        ) from error
    return answer.stdout.strip() or None


@contextmanager
def side_by_side(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to launch runs from, ``jobs`` at a time.

    When the block is left by an error or an interrupt, the runs that are under way are ended: an
    interrupt reaches the main thread only, which would wait for them.
    """
    children = _Children()
    pool = ThreadPoolExecutor(max_workers=jobs, initializer=children.adopt)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        children.end()
        raise
    finally:
        pool.shutdown()


class _Children:
    """The children of several threads; none outlives ``end``, not even one that starts later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._ended = False

    def adopt(self) -> None:
        """Take every child that this thread starts."""
        _THREAD.children = self

    def add(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.append(child)
            if self._ended:
                kill(child)

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for child in self._running:
                kill(child)


def child_environment(
    pins: Mapping[str, str],
    further: Mapping[str, str] | None = None,
    *,
    interpreter: str = sys.executable,
) -> dict[str, str]:
    """This process's environment with ``further`` variables and the pins of a profile in it.

    Another ``interpreter`` is not told where this one finds packages.
    """
    own = interpreter == sys.executable
    inherited = {**(os.environ if own else without_python_paths(os.environ)), **(further or {})}
    if "NPY_DISABLE_CPU_FEATURES" in pins:
        # numpy refuses to start with both.
        inherited.pop("NPY_ENABLE_CPU_FEATURES", None)
    return {**inherited, **pins}


def without_python_paths(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that put other packages in front of an environment's own."""
    return {k: v for k, v in variables.items() if k not in ("PYTHONPATH", "PYTHONHOME")}


def describe_status(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return "\n".join(f"    {line}" for line in lines)
