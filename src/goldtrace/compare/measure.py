"""Make a calibration: from a golden's trace, and traces of the same run with noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from goldtrace.compare.distances import number_distance, scalar_distances, tensor_distances
from goldtrace.compare.thresholds import LOST_SCALAR, LOST_TENSOR
from goldtrace.errors import NotRepeatableError
from goldtrace.model.calibration import Calibration, Response
from goldtrace.model.codec import encode_trace, trace_digest
from goldtrace.model.verdict import Rung

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from goldtrace.model.noise import Noise
    from goldtrace.model.trace import Trace

SKETCHED = (Rung.WEIGHTS, Rung.BUFFERS)
"""The rungs whose tensors are sketched."""

_NEIGHBOURS = 2
"""Steps on either side whose differences are pooled: three runs are few for a single number."""


def measure(golden: Trace, perturbed: Sequence[tuple[Noise, Trace]]) -> Calibration:
    """The responses of every recorded quantity to the noise of the perturbed runs.

    Raises:
        NotRepeatableError: a perturbed run began with another state than the golden, or no
            perturbed run differs from it.
    """
    sizes = sorted({noise.ulp for noise, _ in perturbed})
    if len(sizes) != 2:  # noqa: PLR2004 - Response has two
        msg = f"noise of two sizes is needed, not of {sizes}"
        raise ValueError(msg)
    for noise, trace in perturbed:
        _check_start(golden, trace, noise)
    groups = [[trace for noise, trace in perturbed if noise.ulp == size] for size in sizes]
    scalars, scalar_horizons = _scalars(golden, groups)
    tensors, tensor_horizons = _tensors(golden, groups)
    if not any(response.large for steps in scalars.values() for response in steps.values()):
        raise NotRepeatableError(
            "noise in the gradients left no mark: this run can't be calibrated",
            where=f"{golden.header.run} on {golden.header.device}",
            expected="golden_run.watch(model=…, optimizer=…), and losses that depend on them",
            found="the same losses with noise as without",
        )
    return Calibration(
        golden=trace_digest(encode_trace(golden)),
        noises=tuple(noise for noise, _ in perturbed),
        scalars=scalars,
        metrics=_metrics(golden, groups),
        tensors=tensors,
        horizons={**scalar_horizons, **tensor_horizons},
    )


def _check_start(golden: Trace, trace: Trace, noise: Noise) -> None:
    """The noise comes after the initial record, which must therefore be the golden's."""
    began, begins = (
        each.initial.ladder if each.initial is not None else {} for each in (golden, trace)
    )
    if not began or began != begins:
        raise NotRepeatableError(
            "a run with noise did not begin where the golden began: nothing was calibrated",
            where=f"{golden.header.run} on {golden.header.device}, noise of {noise}",
            expected="the golden's initial weights and random streams",
            found=_difference(began, begins) if began else "no golden_run.watch(…)",
            hint="does the code keep a model or a generator from an earlier run in its process?",
        )


def _difference(golden: Mapping[Rung, str], now: Mapping[Rung, str]) -> str:
    rungs = [rung for rung in Rung if golden.get(rung) != now.get(rung)]
    return "other " + ", ".join(rung.value for rung in rungs)


def _scalars(
    golden: Trace, groups: Sequence[Sequence[Trace]]
) -> tuple[dict[str, dict[int, Response]], dict[str, int]]:
    measured = [[scalar_distances(golden, trace) for trace in group] for group in groups]
    responses: dict[str, dict[int, Response]] = {}
    horizons: dict[str, int] = {}
    for name, steps in scalar_distances(golden, golden).items():
        numbers = sorted(steps)
        responses[name] = {}
        for place, number in enumerate(numbers):
            near = numbers[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]
            small, large = (
                _root_mean_square(
                    run[name][step].difference if step in run.get(name, {}) else math.inf
                    for run in runs
                    for step in near
                )
                for runs in measured
            )
            responses[name][number] = Response(small, large)
        known = _last_kept(
            (number, _is_kept(responses[name][number], LOST_SCALAR * steps[number].moved))
            for number in numbers
        )
        horizons[name] = _until(known, numbers, golden)
    return responses, horizons


def _metrics(golden: Trace, groups: Sequence[Sequence[Trace]]) -> dict[str, Response]:
    responses = {}
    for name, value in golden.end.metrics.items():
        if number_distance(value, value) is None:
            continue
        differences = [
            [number_distance(value, trace.end.metrics.get(name)) for trace in group]
            for group in groups
        ]
        small, large = (
            _root_mean_square(math.inf if d is None else d.difference for d in distances)
            for distances in differences
        )
        responses[name] = Response(small, large)
    return responses


def _tensors(
    golden: Trace, groups: Sequence[Sequence[Trace]]
) -> tuple[dict[Rung, dict[int, dict[str, Response]]], dict[str, int]]:
    responses: dict[Rung, dict[int, dict[str, Response]]] = {}
    horizons: dict[str, int] = {}
    for rung in SKETCHED:
        measured = [
            [
                {(step, name): d.difference for step, name, d in tensor_distances(golden, t, rung)}
                for t in group
            ]
            for group in groups
        ]
        kept: dict[int, list[bool]] = {}
        for step, name, own in tensor_distances(golden, golden, rung):
            small, large = (
                _root_mean_square(run.get((step, name), math.inf) for run in runs)
                for runs in measured
            )
            responses.setdefault(rung, {}).setdefault(step, {})[name] = Response(small, large)
            if own.moved:
                response = responses[rung][step][name]
                kept.setdefault(step, []).append(_is_kept(response, LOST_TENSOR * own.moved))
        if kept:
            known = _last_kept((s, 2 * sum(each) >= len(each)) for s, each in sorted(kept.items()))
            horizons[rung.value] = _until(known, sorted(kept), golden)
    return responses, horizons


def _until(known: int, recorded: Sequence[int], golden: Trace) -> int:
    """What is not lost in noise where it was last recorded is taken to stay so to the end."""
    return golden.steps[-1].number if known == recorded[-1] else known


def _last_kept(steps: Iterable[tuple[int, bool]]) -> int:
    """The last step up to which all are kept, or -1."""
    last = -1
    for number, kept in steps:
        if not kept:
            break
        last = number
    return last


def _is_kept(response: Response, limit: float) -> bool:
    return math.isfinite(response.large) and response.small <= limit


def _root_mean_square(values: Iterable[float]) -> float:
    squares = [value * value for value in values]
    return math.sqrt(sum(squares) / len(squares)) if squares else math.inf
