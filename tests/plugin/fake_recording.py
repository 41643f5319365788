"""A recording without torch: for tests about processes, reports and files, not about training.

``install`` puts it in the place of ``goldtrace.recording``; specs, traces, codec, store and
comparison stay the real ones.
"""

from __future__ import annotations

import os
import random
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import goldtrace.determinism
from goldtrace.errors import DeviceUnavailableError, RecordingError
from goldtrace.model.environment import Environment
from goldtrace.model.scalar import Scalar
from goldtrace.model.trace import INITIAL_STEP, End, Header, StepRecord, Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from goldtrace.model.spec import RunSpec

CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fake_recording
fake_recording.install()
"""
"""The beginning of a ``conftest.py`` for a project whose golden tests need no torch."""


class FakeRun:
    """Records the scalars of each step."""

    def __init__(
        self, spec: RunSpec, device: str, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self.name, self.seed, self.device, self.config = spec.name, spec.seed, device, spec.config
        self._spec = spec
        self._progress = progress
        self._steps: list[StepRecord] = [StepRecord(number=INITIAL_STEP)]

    def step(self, **scalars: float) -> None:
        values = {name: Scalar.of(float(value)) for name, value in scalars.items()}
        self._steps.append(StepRecord(number=len(self._steps) - 1, scalars=values))
        self._progress(len(self._steps) - 1)

    def finish(self) -> Trace:
        if len(self._steps) == 1:
            raise RecordingError("the run recorded no step", where=self.name)
        return trace_of(self._spec, self.device, tuple(self._steps))


def trace_of(spec: RunSpec, device: str, steps: tuple[StepRecord, ...]) -> Trace:
    header = Header(
        run=spec.name,
        device=device,
        platform=f"fake-{device}",
        origin=spec.entry,
        settings=spec.settings(),
        spec_digest=spec.digest(),
        pins={},
        environment=Environment(),
    )
    return Trace(header=header, steps=steps, end=End())


@contextmanager
def recording(
    spec: RunSpec,
    device: str,
    *,
    root: Path,
    noise: object = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[FakeRun]:
    if device == "cuda":
        raise DeviceUnavailableError("no CUDA device is available", hint="choose another runner")
    seed_everything(spec.seed)
    before = os.environ.get("FAKE_PIN")
    os.environ["FAKE_PIN"] = "in force"
    try:
        yield FakeRun(spec, device, progress or (lambda _: None))
    finally:
        if before is None:
            del os.environ["FAKE_PIN"]
        else:
            os.environ["FAKE_PIN"] = before


def seed_everything(seed: int) -> Mapping[str, int]:
    random.seed(seed)
    return {"python": seed}


def launch(spec: RunSpec, device: str, *, root: Path, watch: object = None) -> Trace:
    """A declared run in this process: its ``config`` holds the losses."""
    run = FakeRun(spec, device)
    for loss in spec.config["losses"]:
        run.step(loss=loss)
    return run.finish()


def install() -> None:
    module = types.ModuleType("goldtrace.recording")
    contents: dict[str, Any] = {"recording": recording, "GoldenRun": FakeRun}
    vars(module).update(contents)
    sys.modules["goldtrace.recording"] = module
    goldtrace.determinism.seed_everything = seed_everything  # type: ignore[assignment]
