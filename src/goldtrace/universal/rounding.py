"""How float64 values become float32 state without showing the last bits of their kernels."""

from __future__ import annotations

from typing import Any

import torch

_FLOOR = 2.0**-40
"""Below it a gradient is taken for zero: many are zero in exact arithmetic, and only noise else."""
_SPLIT = 2.0**37 + 1
"""Keeps 16 of the 53 bits of a float64: Veltkamp, Toepassing van grafische voorstellingen, 1968."""


def round_gradient(gradient: torch.Tensor) -> torch.Tensor:
    """A float64 gradient as float32 with the 8 significant bits of bfloat16.

    Kernels disagree in the last of 53 bits. Rounded to few, almost no element falls beside a
    boundary, while a change of behaviour moves many: one of a millionth still moves an element in
    ten thousand. Zeros, infinities and NaN stay what they are.
    """
    kept = gradient.to(torch.bfloat16)
    return torch.nn.functional.hardshrink(kept, _FLOOR).to(torch.float32)


def round_state(value: torch.Tensor) -> torch.Tensor:
    """A float64 statistic as float32 with 16 significant bits; infinities and NaN stay."""
    scaled = value * _SPLIT
    kept = scaled - (scaled - value)
    return torch.where(torch.isfinite(kept), kept, value).to(torch.float32)


class Enter(torch.autograd.Function):
    """float32 into float64 on the way forward; the gradient is rounded on its way back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ARG004 - torch calls it so
        """The same values, as float64."""
        return x.to(torch.float64)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        """The rounded gradient, as float32."""
        return round_gradient(gradient)
