"""What a profile costs: steps of the reference runs under it and without any pin, in alternation.

``python benchmarks/profiles.py [RUN…] [--steps N]`` trains each run three times side by side, with
the same code and the same draws: without a pin but on one thread, under ``cpu-portable`` and under
``universal``. One process each, advanced in turn, a step at a time, so that whatever else the
machine does falls on all of them. Each step is measured in processor time and held against the
unpinned one beside it. Nothing is recorded. Fails when a median is above what is allowed.

``--avx2`` keeps the unpinned process from AVX-512, which libraries choose where a CPU has it: so it
is held against what an unpinned training does on a CPU without.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from goldtrace.determinism import deterministic, profile_for, seed_everything
from goldtrace.store.declared import discover, load_run

UNPINNED = "unpinned"
MOST = {
    ("resnet18-cifar10", "cpu-portable"): 1.35,
    ("transformer", "cpu-portable"): 1.5,
    ("resnet18-cifar10", "universal"): 3.0,
    ("transformer", "universal"): 3.0,
}
"""The largest median allowed for a run under a profile, as a ratio to the unpinned step."""
AVX2 = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
}
"""What keeps the libraries from AVX-512, and leaves all else to them."""
WARM_UP = 2
"""Steps that allocate and compile, and are not counted."""


def main() -> int:
    """Measure and print; 1 when a profile is too expensive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", default=["resnet18-cifar10", "transformer"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--profiles", nargs="+", default=["cpu-portable", "universal"])
    parser.add_argument("--avx2", action="store_true", help="no AVX-512 without pins either")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        advance(arguments.runs[0], arguments.child)
        return 0
    dear = False
    for run in arguments.runs:
        plainly = AVX2 if arguments.avx2 else {}
        ratios = measure(run, arguments.profiles, arguments.steps, plainly)
        for profile, (plain, found) in ratios.items():
            median, most = statistics.median(found), MOST.get((run, profile))
            print(
                f"{run} under {profile}: median {median:.2f} times the unpinned step of "
                f"{statistics.median(plain):.0f} ms, {min(found):.2f} to {max(found):.2f} "
                f"over {len(found)} pairs" + (f", allowed {most}" if most else "")
            )
            dear |= most is not None and median > most
    return int(dear)


def measure(
    run: str, profiles: list[str], steps: int, plainly: dict[str, str]
) -> dict[str, tuple[list[float], list[float]]]:
    """By profile: the unpinned steps in milliseconds, and the ratios to them."""
    with contextlib.ExitStack() as stack:
        children = {
            name: stack.enter_context(started(run, name, plainly)) for name in [UNPINNED, *profiles]
        }
        for child in children.values():
            _step(child)  # everything before the first step
        times: dict[str, list[float]] = {name: [] for name in children}
        for _ in range(WARM_UP + steps):
            for name, child in children.items():
                times[name].append(_step(child))
    plain = times[UNPINNED][WARM_UP:]
    return {
        name: (
            [seconds * 1e3 for seconds in plain],
            [one / other for one, other in zip(times[name][WARM_UP:], plain, strict=True)],
        )
        for name in profiles
    }


@contextlib.contextmanager
def started(run: str, profile: str, plainly: dict[str, str]):  # noqa: ANN201 - a process that is ended with the block
    """A process that trains ``run`` under a profile, a step whenever a line is written to it."""
    pins = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    pins |= plainly if profile == UNPINNED else profile_for(profile, "cpu").environment()
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, run, "--child", profile],
        env={**os.environ, **pins},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _step(child: subprocess.Popen[str]) -> float:
    """The processor time in seconds until the child reports the next step."""
    assert child.stdin is not None  # noqa: S101 - for the reader of types
    assert child.stdout is not None  # noqa: S101
    child.stdin.write("\n")
    child.stdin.flush()
    return float(child.stdout.readline())


class Paced:
    """A run that waits for a line before each step and tells the processor time of the last."""

    def __init__(self, name: str, config: dict[str, object], seed: int) -> None:
        self.name, self.seed, self.device = name, seed, "cpu"
        self.config = {**config, "epochs": 1_000}
        sys.stdin.readline()
        self._began = time.process_time()

    def step(self, **_: object) -> None:
        """Report, and wait for the next line."""
        print(time.process_time() - self._began, flush=True)
        if not sys.stdin.readline():
            os._exit(0)
        self._began = time.process_time()

    def watch(self, **_: object) -> None:
        """Record nothing."""

    def data(self, *_: object) -> None:
        """Record nothing."""

    metric = watch


def advance(name: str, profile: str) -> None:
    """Train a run under a profile at the parent's pace."""
    spec = next(spec for spec in map(load_run, discover(Path("golden"))) if spec.name == name)
    module, _, function = spec.entry.partition(":")
    entry = getattr(importlib.import_module(module), function)
    if profile == UNPINNED:
        import torch

        torch.set_num_threads(1)
        within: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    else:
        within = deterministic(profile)
    with within:
        seed_everything(spec.seed)
        entry(Paced(name, dict(spec.config), spec.seed))


if __name__ == "__main__":
    raise SystemExit(main())
