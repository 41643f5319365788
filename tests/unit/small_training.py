"""A small network that is trained, calibrated and judged in this process."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from goldtrace.compare import compare_traces
from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES
from goldtrace.model.environment import Environment
from goldtrace.model.trace import Header
from goldtrace.recording.recorder import GoldenRun
from goldtrace.recording.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Callable

    from goldtrace.model.calibration import Calibration
    from goldtrace.model.noise import Noise
    from goldtrace.model.trace import Trace

HEADER = Header(
    run="tiny",
    device="cpu",
    platform="cpu-portable",
    origin="package:train",
    settings={},
    spec_digest="0",
    pins={},
    environment=Environment(),
)


def train(
    *,
    noise: Noise | None = None,
    rate: float = 0.05,
    reverse: bool = False,
    after: Callable[[nn.Module], object] = lambda _: None,
    finally_: Callable[[nn.Module], object] = lambda _: None,
    steps: int = 6,
    watched: bool = True,
    eps: float = 1e-5,
    taped: tuple[int, ...] = (),
) -> Trace:
    torch.manual_seed(0)
    run = GoldenRun(
        name="tiny",
        seed=0,
        device="cpu",
        config={},
        header=lambda data: dataclasses.replace(HEADER, data=data),
        noise=noise,
        tape=Tape(taped, root=Path.cwd()),
    )
    model = nn.Sequential(
        nn.Linear(21, 33), nn.Tanh(), nn.BatchNorm1d(33, eps=eps), nn.Linear(33, 5)
    )
    if reverse:
        first = model[0]
        model[0].forward = lambda x: nn.functional.linear(
            x.flip(-1), first.weight.flip(-1), first.bias
        )
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    if watched:
        run.watch(model=model, optimizer=optimizer)
    inputs, labels = torch.randn(60, 21), torch.arange(60) % 5
    for step in range(steps):
        chosen = slice(10 * step, 10 * step + 10)
        loss = cross_entropy(model(inputs[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step == 3:
            after(model)
        if step == steps - 1:
            finally_(model)
        run.step(loss=loss, batch=inputs[chosen])
    with torch.no_grad():
        run.metric(final=cross_entropy(model.eval()(inputs), labels))
    return run.finish()


@cache
def golden() -> Trace:
    return train()


@cache
def calibration() -> Calibration:
    return measure(golden(), [(noise, train(noise=noise)) for noise in NOISES])


def compare(current: Trace, **options: Any) -> Any:
    return compare_traces(
        golden(), current, **{"tolerance": {}, "calibration": calibration(), **options}
    )


def without_rates(trace: Trace) -> Trace:
    """The same trace as if nobody recorded hyper-parameters: only the trajectory can tell."""
    steps = [
        dataclasses.replace(step, hyperparameters=other.hyperparameters)
        for step, other in zip(trace.steps, golden().steps, strict=True)
    ]
    return dataclasses.replace(trace, steps=tuple(steps))


def with_step(trace: Trace, number: int, **changes: Any) -> Trace:
    steps = [
        dataclasses.replace(step, **changes) if step.number == number else step
        for step in trace.steps
    ]
    return dataclasses.replace(trace, steps=tuple(steps))
