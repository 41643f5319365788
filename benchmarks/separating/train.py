"""One process of the separation benchmark: every trace that one set of pins can give."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from goldtrace.compare.thresholds import NOISES
from goldtrace.model.codec import encode_trace
from goldtrace.model.machine import processor
from goldtrace.model.trace import Trace
from goldtrace.recording import GoldenRun, recording
from separating import changes
from separating.models import specs
from separating.releases import RELEASES
from separating.repeats import circumstances, trainings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.model.noise import Noise
    from goldtrace.model.spec import RunSpec


Training = Callable[..., Trace]
Variant = tuple[str, Callable[[], Trace]]

BF16_PRODUCTS = frozenset({"avx512_bf16", "amx_bf16"})
"""What a CPU needs, one of them, to multiply in bfloat16."""


class _Enough(Exception):  # noqa: N818 - no error
    pass


def train(
    steps: int, spec: RunSpec, change: changes.Change, *, noise: Noise | None = None
) -> Trace:
    """The first steps of a run under a change."""
    module, _, function = spec.entry.partition(":")
    entry = getattr(importlib.import_module(module), function)
    original = GoldenRun.step

    def step(self: GoldenRun, **given: object) -> None:
        original(self, **given)  # type: ignore[arg-type]
        if self._next == steps:
            raise _Enough

    with (
        recording(spec, "cpu", root=Path.cwd(), noise=noise) as run,
        change(),
        mock.patch.object(GoldenRun, "step", step),
    ):
        with contextlib.suppress(_Enough):
            entry(run)
        return run.finish()


def leave(trace: Trace, folder: Path) -> None:
    """Write a trace; it is there whole or not at all."""
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    for name, content in encode_trace(trace).items():
        (part / name).write_bytes(content)
    part.rename(folder)


def main(out: Path, variants: str, steps: int, only: list[str]) -> None:
    """Train every variant of each run in ``only`` that is not in ``out`` yet."""
    if variants.startswith("repeat "):
        _repeat(out, int(variants.split()[1]), steps, only)
        return
    known = {"changes": _changed, "native": _native, "golden": _calibrated}
    chosen = known.get(variants, partial(_release, variants))
    first = partial(train, steps)
    for name, spec in specs().items():
        if name not in only:
            continue
        began = time.process_time()
        wanted = dict(chosen(spec, first))
        missing = {place: run for place, run in wanted.items() if not (out / name / place).exists()}
        for place, run in missing.items():
            leave(run(), out / name / place)
        seconds = time.process_time() - began
        print(f"{name}, {variants}: {len(missing)} trainings, {seconds:.0f} s of CPU", flush=True)


def _native(spec: RunSpec, train: Training) -> Iterator[Variant]:
    native = dataclasses.replace(spec, profile="cpu-native")
    yield "rounding/cpu-native", partial(train, native, changes.nothing)
    # Elsewhere oneDNN computes in float32, whatever it is allowed: the same bits as above.
    if BF16_PRODUCTS & (processor().flags or frozenset()):
        yield "behaviour/bf16 products of oneDNN", partial(train, native, changes.onednn_bf16)


def _calibrated(spec: RunSpec, train: Training) -> Iterator[Variant]:
    yield "golden", partial(train, spec, changes.nothing)
    for noise in NOISES:
        yield f"noise/{noise}", partial(train, spec, changes.nothing, noise=noise)


def _changed(spec: RunSpec, train: Training) -> Iterator[Variant]:
    yield from _calibrated(spec, train)
    for group, known in (("rounding", changes.ROUNDING), ("behaviour", changes.BEHAVIOUR)):
        for title, (change, runs) in known.items():
            if spec.name in runs:
                yield f"{group}/{title}", partial(train, spec, change)


def _release(folder: str, spec: RunSpec, train: Training) -> Iterator[Variant]:
    """The golden of a release of torch, and its calibration where another is held against it."""
    newest = folder == f"torch {list(RELEASES)[-1]}"
    variants = _calibrated(spec, train)
    for place, run in [next(variants)] if newest else variants:
        yield f"{folder}/{place}", run


def _repeat(out: Path, process: int, steps: int, runs: list[str]) -> None:
    """Unchanged trainings under the pins of this process, with varying threads."""
    profile, _ = circumstances(process)
    for place, (run, count) in enumerate(trainings(process, runs)):
        spec = dataclasses.replace(specs()[run], profile=profile)
        threads = partial(changes.threads, count)
        if (out / f"repeat {process}" / str(place)).exists():
            continue
        leave(train(steps, spec, threads), out / f"repeat {process}" / str(place))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
