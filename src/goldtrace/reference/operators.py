"""The operator atlas: every operator once, forward and backward, as one step of a run.

Far more sensitive than training: a kernel that changes its last bit for some shape shows by name.
"""

from __future__ import annotations

import functools
import math
import warnings
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.reference.atlas import cases
from goldtrace.reference.atlas.inputs import integers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from goldtrace import GoldenRun
    from goldtrace.reference.atlas.case import Case

SKETCHES = 2
"""Sums under random signs for each result: their changes tell how large the change is."""


def train(run: GoldenRun) -> None:
    """Compute every case and record it: norm and sketches by name, every bit as a buffer.

    A case that this torch can't compute in some dtype is left out, so that it appears as soon
    as it can. For each result ``x`` of a case the step holds ``<case>.<dtype>``, the Euclidean
    norm, and ``….sketch0``, the sum of ``x`` under random signs: the change of a sketch over the
    norm estimates the relative change of the result.
    """
    atlas = torch.nn.Module()
    run.watch(model=atlas)
    numbers: dict[str, float] = {}
    for case in cases():
        for dtype in case.dtypes:
            for name, result in results_of(case, dtype, run.seed):
                atlas.register_buffer(name.replace(".", "-"), result)
                numbers |= statistics(name, result)
    torch.manual_seed(run.seed)
    run.step(**numbers)


def statistics(name: str, result: Tensor) -> dict[str, float]:
    """Norm and sketches, computed without torch: they must not change when its sums do.

    Infinities and NaNs are counted instead.
    """
    values = [float(value) for value in result.detach().reshape(-1).tolist()]
    finite = [value for value in values if math.isfinite(value)]
    numbers = {name: math.sqrt(math.fsum(value * value for value in finite))}
    for number in range(SKETCHES):
        signs = _signs(number, len(finite))
        numbers[f"{name}.sketch{number}"] = math.fsum(map(float.__mul__, finite, signs))
    if len(finite) < len(values):
        numbers[f"{name}.not_finite"] = len(values) - len(finite)
    return numbers


def results_of(case: Case, dtype: torch.dtype, seed: int) -> Iterator[tuple[str, Tensor]]:
    """What a case gives, by name: its result, and the gradients of all its inputs in one vector.

    Nothing where this torch can't compute it in this dtype.
    """
    inputs = [each.make(seed + place, dtype) for place, each in enumerate(case.inputs)]
    leaves = [i.requires_grad_() for i in inputs if case.backward and i.is_floating_point()]
    name = f"{case.name}.{str(dtype).removeprefix('torch.')}"
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = case.function(*inputs)
        except (RuntimeError, NotImplementedError, TypeError, AttributeError):
            return
        yield name, result.detach().clone()
        if not (leaves and result.requires_grad):
            return
        weights = _weights(result)
        try:
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
                result, leaves, weights, allow_unused=True
            )
        except (RuntimeError, NotImplementedError):
            return
    found = [gradient.reshape(-1) for gradient in gradients if gradient is not None]
    if found:
        yield f"{name}.grad", torch.cat(found).detach().clone()


def _weights(result: Tensor) -> Tensor:
    """What is multiplied into the result before it is summed and differentiated."""
    values = [1.0 + (number % 251) / 257 for number in integers(5, result.numel())]
    return torch.tensor(values, dtype=torch.float64).reshape(result.shape).to(result.dtype)


@functools.cache
def _signs(number: int, count: int) -> tuple[float, ...]:
    return tuple(1.0 if drawn >> 9 & 1 else -1.0 for drawn in integers(71 + number, count))


def relative_changes(golden: Any, current: Any) -> dict[str, float | None]:
    """The results that differ between two steps' scalars, with their estimated relative change.

    ``None`` for results that only one of them has.
    """
    changed: dict[str, float | None] = {}
    for name in sorted({*golden, *current}):
        result, _, statistic = name.rpartition(".")
        if not statistic.startswith(("sketch", "not_finite")):
            result = name
        one, other = golden.get(name), current.get(name)
        if one == other:
            continue
        if one is None or other is None:
            changed[result] = None
            continue
        norm = golden[result].value or 1.0
        before = changed.get(result, 0.0)
        if before is not None:
            changed[result] = max(before, abs(one.value - other.value) / norm)
    return changed
