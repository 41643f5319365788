"""One probe: resolve, build, train; a job that may run in any process, and what came of it."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldtrace.bisect.target import question_digest
from goldtrace.errors import (
    DataError,
    DataUnavailableError,
    DeviceUnavailableError,
    EntryPointError,
    GoldenError,
    GoldtraceError,
    PinError,
    PlatformUnsupportedError,
    RunError,
    RunnerDiedError,
    StoreError,
)
from goldtrace.model.codec import decode_trace, encode_trace
from goldtrace.model.upgrade import Standing
from goldtrace.packages.uv import BuildError, FetchError, ResolutionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goldtrace.bisect.target import Target
    from goldtrace.model.trace import Trace
    from goldtrace.packages.uv import Resolution, Wish
    from goldtrace.packages.workspace import Workspace

_CANNOT_HERE = (
    *(DataError, DataUnavailableError, DeviceUnavailableError),
    PlatformUnsupportedError,
)
"""What no other environment would mend."""
_NO_START = (ResolutionError, BuildError, EntryPointError, PinError)
_OUT_OF_MEMORY = "killed by SIGKILL"
"""How the kernel ends what takes too much memory; it may be some other process that takes it."""
_OF_THE_MACHINE = frozenset({BuildError.__name__, PinError.__name__, _OUT_OF_MEMORY})
"""Failures that may be gone another time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a probe.

    ``trace`` is the key of its trace in the cache; ``failure`` tells one way of failing from
    another (the class of an exception, a signal); ``reason`` is for the reader.
    """

    standing: Standing
    pins: tuple[str, ...] = ()
    environment: str | None = None
    trace: str | None = None
    failure: str | None = None
    reason: str | None = None
    seconds: float | None = None

    @property
    def lasting(self) -> bool:
        """Whether it would come out the same another time, so that it is worth remembering."""
        return self.failure not in _OF_THE_MACHINE

    def to_json(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return {
            "standing": self.standing.value,
            "pins": list(self.pins),
            "environment": self.environment,
            "trace": self.trace,
            "failure": self.failure,
            "reason": self.reason,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Outcome:
        """The outcome that ``to_json`` wrote."""
        pins = tuple(fields["pins"])
        return cls(**{**fields, "standing": Standing(fields["standing"]), "pins": pins})


class TraceCache:
    """Traces by what decides them: the environment, the run and the machine."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def key(self, target: Target, resolution: Resolution) -> str:
        """The name under which the trace of ``target`` in ``resolution`` is kept."""
        return question_digest({"target": target.question(), "environment": resolution.digest})[:32]

    def load(self, key: str) -> Trace | None:
        """The trace; ``None`` where there is none or it was damaged."""
        place = self._directory / key
        try:
            files = {path.name: path.read_bytes() for path in place.iterdir()}
            return decode_trace(files, canonical=False)
        except (OSError, GoldenError):
            return None

    def store(self, key: str, trace: Trace) -> None:
        """Keep a trace: whole or not at all.

        Raises:
            StoreError: the disk is full or the folder can't be written to.
        """
        place = self._directory / key
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".writing-", dir=self._directory) as scratch:
                whole = Path(scratch, "trace")
                whole.mkdir()
                for name, content in encode_trace(trace).items():
                    with (whole / name).open("wb") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                shutil.rmtree(place, ignore_errors=True)
                whole.rename(place)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return  # Somebody else has just stored the same.
            raise StoreError(
                "a trace can't be kept",
                where=str(place),
                found=error.strerror,
                hint="make room and give the same command again: it goes on where it stopped",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything that a probe needs, so that it can run in this process or in another.

    ``again`` trains although the cache has the trace, and leaves the cache alone.
    """

    target: Target
    wish: Wish
    workspace: Workspace
    traces: TraceCache
    again: bool = False


def run_job(job: Job) -> tuple[Outcome, Trace | None]:
    """Resolve, build and train; what goes wrong with the packages or the run is an outcome.

    Raises:
        FetchError: the index or the disk gave out, which says nothing about the packages.
        StoreError: the trace can't be kept.
        DataUnavailableError, DeviceUnavailableError, PlatformUnsupportedError, DataError: no
            environment can train here.
    """
    began = time.monotonic()
    resolution = None
    try:
        resolution = job.workspace.uv.resolve(job.wish)
        key = job.traces.key(job.target, resolution)
        trace = None if job.again else job.traces.load(key)
        cached = trace is not None
        if trace is None:
            with job.workspace.environment(resolution) as interpreter:
                trace = job.target.train(interpreter)
            if not job.again:
                job.traces.store(key, trace)
        outcome = Outcome(
            standing=Standing.TRAINED,
            pins=resolution.pins,
            environment=resolution.digest[:12],
            trace=key,
            seconds=None if cached else time.monotonic() - began,
        )
    except (FetchError, StoreError, *_CANNOT_HERE):
        raise
    except GoldtraceError as error:
        return _unfinished(error, resolution, time.monotonic() - began), None
    return outcome, trace


def _unfinished(error: GoldtraceError, resolution: Resolution | None, seconds: float) -> Outcome:
    standing, failure = Standing.FAILED, type(error).__name__
    if isinstance(error, _NO_START):
        standing = Standing.SKIPPED
    elif isinstance(error, RunnerDiedError):
        # A signal may be the drift that is sought; a plain exit is a process that never began.
        found = (error.found or "").splitlines()[0] if error.found else ""
        failure = found
        if not found.startswith("killed by") or found == _OUT_OF_MEMORY:
            standing = Standing.SKIPPED
    elif isinstance(error, RunError) and error.found:
        failure = error.found.partition(":")[0]
        if failure in ("ImportError", "ModuleNotFoundError"):
            standing = Standing.SKIPPED
    details = [error.what, *(error.found or "").strip().splitlines()[-1:]]
    return Outcome(
        standing=standing,
        pins=resolution.pins if resolution else (),
        environment=resolution.digest[:12] if resolution else None,
        failure=failure,
        reason=": ".join(part.strip() for part in details if part.strip()),
        seconds=seconds,
    )
