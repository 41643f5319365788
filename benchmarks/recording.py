"""What recording costs: steps with and without the recorder, in alternation in one process.

``python benchmarks/recording.py [--steps N] [--runs N] [--most RATIO]`` trains the model of
``resnet18-cifar10`` twice side by side, from the same weights on the same batches, and records
``--runs`` runs of ``--steps`` steps: of the one, then of the other, and so on. It prints

* what goldtrace's own calls take, as a share of the bare steps;
* by how much the training between these calls is slower than the bare one beside it, as it would
  be if recording left something behind: the median of the pairs and the half-width of its 95 %
  interval, 1.57 interquartile ranges over the root of their number (McGill, Tukey and Larsen,
  "Variations of box plots", 1978). On a shared machine one step in ten takes a tenth more or less
  than the same step before it, so that this needs many pairs.

It starts itself again with the pins of ``cpu-portable`` in place, and fails when recording costs
more than ``--most`` of a step: its own calls alone, or with the lower end of that interval.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldtrace.determinism import profile_for
from goldtrace.model.spec import RunSpec
from goldtrace.model.trace import is_sketched

WARM_UP = 2
"""Steps that allocate and compile, and are not counted."""

clock = time.process_time
"""The processor's time says what the work costs, the wall clock who else worked."""


@dataclass(frozen=True)
class Pair:
    """Seconds of one bare step, and of the recorded one beside it: all of it, and in goldtrace."""

    bare: float
    recorded: float
    inside: float
    sketched: bool


def main() -> int:
    """Measure and print; 1 when recording is too expensive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=15)
    parser.add_argument("--most", type=float, default=0.05, help="largest overhead allowed")
    arguments = parser.parse_args()
    pins = profile_for("cpu-portable", "cpu").environment()
    if any(os.environ.get(name) != value for name, value in pins.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **pins})  # noqa: S606
    pairs, around = measure(arguments)
    bare = statistics.mean(pair.bare for pair in pairs)
    inside = share(pairs, bare)
    between = [(pair.recorded - pair.inside - pair.bare) / bare for pair in pairs]
    lower, slower, upper = statistics.quantiles(between)
    error = 1.57 * (upper - lower) / len(between) ** 0.5
    print(
        f"recording the full ladder: {inside:.1%} of a step, over {arguments.runs} runs of "
        f"{arguments.steps} steps ({share([p for p in pairs if p.sketched], bare):.1%} of one with "
        f"sketches, {share([p for p in pairs if not p.sketched], bare):.1%} of another); "
        f"a bare step takes {bare * 1000:.0f} ms, batch {arguments.batch}, one thread\n"
        f"  beginning and end: {around / arguments.runs / bare:.1%} of a step for each run\n"
        f"  the training itself: {slower:+.1%} ± {error:.1%} beside the bare one"
    )
    return int(inside > arguments.most or inside + slower - error > arguments.most)


def share(pairs: list[Pair], bare: float) -> float:
    """What goldtrace's calls take in these steps, relative to a bare one."""
    return statistics.mean(pair.inside for pair in pairs) / bare


def measure(arguments: argparse.Namespace) -> tuple[list[Pair], float]:
    """Every pair of steps, and the seconds of ``watch`` and ``finish`` in all runs together."""
    trainings = [Training(arguments.batch), Training(arguments.batch)]
    for _ in range(WARM_UP):
        for training in trainings:
            training.step()
    pairs, around = [], 0.0
    for _ in range(arguments.runs):
        around += record(*trainings, steps=arguments.steps, pairs=pairs)
        trainings.reverse()  # or where their memory happens to lie would count for one of them
    return pairs, around


class Training:
    """One of the two trainings, a step at a time."""

    def __init__(self, batch: int) -> None:
        import torch

        from goldtrace.reference.resnet18 import build_model

        torch.manual_seed(0)
        self.model = build_model(zero_init_residual=False)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4
        )
        self.batch = torch.rand(batch, 3, 26, 26), torch.arange(batch) % 10

    def step(self) -> Any:
        """Train for a step; its loss."""
        from torch.nn.functional import cross_entropy

        images, labels = self.batch
        loss = cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


def record(bare: Training, recorded: Training, *, steps: int, pairs: list[Pair]) -> float:
    """Record a run of one training beside the other; the seconds of ``watch`` and ``finish``."""
    from goldtrace.recording import recording

    # Gradients are taken in a hook of the optimizer, and these stand around it.
    hooked = [0.0, 0.0]
    # What a tape costs is for tape.py to say.
    spec = RunSpec(name="benchmark", entry="benchmark", tape=())
    with recording(spec, "cpu", root=Path.cwd()) as run:

        def bare_step() -> float:
            began = clock()
            bare.step()
            return clock() - began

        def recorded_step() -> tuple[float, float]:
            began = clock()
            loss = recorded.step()
            trained = clock()
            run.step(loss=loss, batch=recorded.batch)
            ended = clock()
            return ended - began, hooked[1] - hooked[0] + ended - trained

        before = recorded.optimizer.register_step_pre_hook(
            lambda *_: hooked.__setitem__(0, clock())
        )
        began = clock()
        run.watch(model=recorded.model, optimizer=recorded.optimizer)
        around = clock() - began
        after = recorded.optimizer.register_step_pre_hook(lambda *_: hooked.__setitem__(1, clock()))
        for step in range(steps):
            # A B, B A: a machine that becomes slower meanwhile favours neither.
            if step % 2:
                whole, inside = recorded_step()
                alone = bare_step()
            else:
                alone = bare_step()
                whole, inside = recorded_step()
            pairs.append(Pair(alone, whole, inside, is_sketched(step)))
        began = clock()
        run.finish()
        around += clock() - began
        before.remove()
        after.remove()
    return around


if __name__ == "__main__":
    raise SystemExit(main())
