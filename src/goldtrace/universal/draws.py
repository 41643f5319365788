"""Random numbers made of integers, in place of kernels that depend on the CPU.

torch draws whole numbers from its generator, the same everywhere. Uniform ones are scaled with a
fused step on some machines, normal and exponential ones go through logarithms and cosines,
Bernoulli draws through a vendor's library. The kernels here begin with the whole numbers, and are
registered for the whole process, as the square root is.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from goldtrace.override import Override

_GRID = 2.0**16


def _unit(count: int, generator: Any) -> torch.Tensor:
    """Float64 numbers from 0 to below 1, multiples of 2^-53, in a vector of ``count``."""
    whole = torch.empty(count, dtype=torch.int64).random_(0, 2**53, generator=generator)
    return whole.to(torch.float64) / 2.0**53


def _uniform(
    x: torch.Tensor, low: float = 0.0, high: float = 1.0, *, generator: Any = None
) -> torch.Tensor:
    # As many bits as the format holds, so that no rounding reaches the upper end.
    bits = {torch.float64: 53, torch.float32: 24, torch.float16: 11}.get(x.dtype, 8)
    whole = torch.empty(x.shape, dtype=torch.int64).random_(0, 2**bits, generator=generator)
    unit = whole.to(torch.float64) / 2.0**bits
    return x.copy_(unit * (high - low) + low)


def _normal(
    x: torch.Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None
) -> torch.Tensor:
    """Box and Muller, A Note on the Generation of Random Normal Deviates, 1958; steps of 2^-16."""
    if x.is_complex():
        _normal(torch.view_as_real(x), mean, std / math.sqrt(2), generator=generator)
        return x
    half = (x.numel() + 1) // 2
    radius = torch.sqrt(torch.log1p(-_unit(half, generator)) * -2)
    angle = _unit(half, generator) * (2 * math.pi)
    drawn = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)])[: x.numel()]
    grid = torch.round(drawn * _GRID) / _GRID
    return x.copy_((grid * std + mean).view(x.shape))


def _exponential(x: torch.Tensor, lambd: float = 1.0, *, generator: Any = None) -> torch.Tensor:
    drawn = -torch.log1p(-_unit(x.numel(), generator))
    grid = (torch.round(drawn * _GRID) + 1) / _GRID
    return x.copy_((grid / lambd).view(x.shape))


def _bernoulli(x: torch.Tensor, p: Any = 0.5, *, generator: Any = None) -> torch.Tensor:
    drawn = _unit(x.numel(), generator).view(x.shape)
    return x.copy_(drawn < p)


DRAWS = Override(
    {
        "uniform_": _uniform,
        "normal_": _normal,
        "exponential_": _exponential,
        "bernoulli_.float": _bernoulli,
        "bernoulli_.Tensor": _bernoulli,
    }
)
