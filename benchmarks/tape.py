"""What the tape costs: steps with and without it, in alternation in one process.

``python benchmarks/tape.py [--steps N] [--most RATIO]`` trains the model of ``resnet18-cifar10``
twice side by side, from the same weights on the same batches, without and with a tape. It prints
what the tape adds to a step that it records and to one that it doesn't, in processor time, and
fails when the median on a taped step is above ``--most``. It starts itself again with the pins of
``cpu-portable`` in place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from goldtrace.determinism import profile_for

WARM_UP = 2
"""Steps that allocate and compile."""


def main() -> int:
    """Measure and print; 1 when the tape is too expensive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--batch", type=int, default=15)
    parser.add_argument("--most", type=float, default=0.25, help="largest median overhead allowed")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    pins = profile_for("cpu-portable", arguments.device).environment()
    if any(os.environ.get(name) != value for name, value in pins.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **pins})  # noqa: S606
    taped, untaped = measure(arguments, taped=True), measure(arguments, taped=False)
    for what, overheads in (("records", taped), ("does not record", untaped)):
        print(
            f"the tape on a step that it {what}: median {statistics.median(overheads):+.1%}, "
            f"{min(overheads):+.1%} to {max(overheads):+.1%} over {len(overheads)} pairs, "
            f"batch {arguments.batch}, one thread, {arguments.device}"
        )
    return int(statistics.median(taped) > arguments.most)


def measure(arguments: argparse.Namespace, *, taped: bool) -> list[float]:
    """What a tape adds to each step, relative to the bare step beside it.

    ``taped`` says whether the tape lists the step.
    """
    import torch
    from torch.nn.functional import cross_entropy

    from goldtrace.determinism import deterministic
    from goldtrace.recording.tape import Tape
    from goldtrace.reference.resnet18 import build_model

    def loop(tape: Tape | None):  # noqa: ANN202 - a generator of nothing, advanced a step at a time
        torch.manual_seed(0)
        model = build_model(zero_init_residual=False).to(arguments.device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        images = torch.rand(arguments.batch, 3, 26, 26, device=arguments.device)
        labels = torch.arange(arguments.batch, device=arguments.device) % 10
        names = {id(module): name for name, module in model.named_modules()}
        for number in range(WARM_UP + arguments.steps):
            if tape is not None:
                tape.begin(number if taped else -1, lambda: dict(names))
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if tape is not None:
                tape.end()
                tape.steps.clear()
            yield

    def seconds(steps) -> float:  # noqa: ANN001 - as above
        began = time.process_time()
        next(steps)
        return time.process_time() - began

    overheads = []
    with deterministic("cpu-portable", device=arguments.device):
        bare, beside = loop(None), loop(Tape(range(1000), root=Path.cwd()))
        for number in range(WARM_UP + arguments.steps):
            # Whoever comes second finds other things in the cache, so they take turns.
            if number % 2:
                without, with_tape = seconds(bare), seconds(beside)
            else:
                with_tape, without = seconds(beside), seconds(bare)
            if number >= WARM_UP:
                overheads.append(with_tape / without - 1)
    return overheads


if __name__ == "__main__":
    raise SystemExit(main())
