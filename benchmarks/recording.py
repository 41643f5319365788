"""What recording costs: steps with and without the recorder, in alternation in one process.

``python benchmarks/recording.py [--steps N] [--most RATIO]`` trains the model of
``resnet18-cifar10`` twice side by side, from the same weights on the same batches, and prints the
cost of ``watch``, ``step`` and ``finish`` over the whole run as a ratio to the bare loop, and that
of the steps whose weights are sketched and of the others. It starts itself again with the pins of
``cpu-portable`` in place, and fails when the steps cost more than ``--most`` of themselves.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from goldtrace.determinism import profile_for
from goldtrace.model.spec import RunSpec
from goldtrace.model.trace import is_sketched

WARM_UP = 2
"""Steps that allocate and compile, and are not counted."""


def main() -> int:
    """Measure and print; 1 when recording is too expensive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=15)
    parser.add_argument("--most", type=float, default=0.05, help="largest overhead allowed")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    pins = profile_for("cpu-portable", arguments.device).environment()
    if any(os.environ.get(name) != value for name, value in pins.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **pins})  # noqa: S606
    bare, recorded, around = measure(arguments)
    steps = sum(recorded) / sum(bare) - 1
    whole = (sum(recorded) + around) / sum(bare) - 1
    sketched = [is_sketched(step) for step in range(len(bare))]
    print(
        f"recording the full ladder: {steps:.1%} of the {len(bare)} steps of a run, {whole:.1%} "
        f"with its beginning and end; batch {arguments.batch}, one thread\n"
        f"  {statistics.median(overheads(bare, recorded, sketched)):.1%} of a sketched step, "
        f"{statistics.median(overheads(bare, recorded, [not s for s in sketched])):.1%} of another"
    )
    return int(steps > arguments.most)


def overheads(bare: list[float], recorded: list[float], chosen: list[bool]) -> list[float]:
    """The relative cost of each of the chosen steps."""
    return [r / b - 1 for b, r, is_one in zip(bare, recorded, chosen, strict=True) if is_one]


def measure(arguments: argparse.Namespace) -> tuple[list[float], list[float], float]:
    """Seconds of each bare and each recorded step, and those of ``watch`` and ``finish``."""
    import torch
    from torch.nn.functional import cross_entropy

    from goldtrace.recording import recording
    from goldtrace.reference.resnet18 import build_model

    def loop(seed: int):  # noqa: ANN202 - a generator of nothing, advanced a step at a time
        torch.manual_seed(seed)
        model = build_model(zero_init_residual=False).to(arguments.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        images = torch.rand(arguments.batch, 3, 26, 26, device=arguments.device)
        labels = torch.arange(arguments.batch, device=arguments.device) % 10
        yield model, optimizer
        while True:
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield loss, (images, labels)

    # On a shared machine the processor's time says what the work costs, the clock who else worked.
    clock = time.process_time if arguments.device == "cpu" else time.perf_counter
    # What a tape costs is for tape.py to say.
    spec = RunSpec(name="benchmark", entry="benchmark", tape=())
    with recording(spec, arguments.device, root=Path.cwd()) as run:
        bare, recorded = loop(0), loop(0)
        next(bare)
        model, optimizer = next(recorded)
        for _ in range(WARM_UP):
            next(bare)
            next(recorded)
        began = clock()
        run.watch(model=model, optimizer=optimizer)
        around = clock() - began
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(arguments.steps):
            began = clock()
            next(bare)
            between = clock()
            loss, batch = next(recorded)
            run.step(loss=loss, batch=batch)
            times[0].append(between - began)
            times[1].append(clock() - between)
        began = clock()
        run.finish()
        around += clock() - began
    return *times, around


if __name__ == "__main__":
    raise SystemExit(main())
