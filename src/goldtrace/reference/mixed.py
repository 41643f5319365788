"""Automatic mixed precision, and full precision under the same three calls.

Micikevicius et al., "Mixed Precision Training", ICLR 2018. The loss scale is a constant: a dynamic
one would halve at the first overflow and double by count, two more things that could drift.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from goldtrace.errors import SpecError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch.optim import Optimizer

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_NEVER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Precision:
    """The format of the forward pass (``None`` is that of the weights) and the loss scaler."""

    device: str
    dtype: torch.dtype | None = None
    scaler: torch.amp.GradScaler | None = None

    def forward(self) -> AbstractContextManager[object]:
        """Around the forward pass and the loss."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device, dtype=self.dtype)

    def backward(self, loss: torch.Tensor, optimizer: Optimizer) -> None:
        """Leave true gradients, whatever the loss was scaled by."""
        if self.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it so
            return
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Update the weights, unless a gradient overflowed."""
        if self.scaler is None:
            optimizer.step()
            return
        self.scaler.step(optimizer)
        self.scaler.update()


def mixed_precision(name: str, loss_scale: float, device: str, *, run: str) -> Precision:
    """Autocast to the format ``name``; a ``loss_scale`` of 1 needs no scaler.

    Raises:
        SpecError: no format has this name, or the scale is not positive.
    """
    if name not in _DTYPES or loss_scale <= 0:
        raise SpecError(
            "no such mixed precision",
            where=f"run {run!r}, [config]",
            expected=f"precision {' or '.join(_DTYPES)}, and a loss_scale above 0",
            found=f"precision {name!r}, loss_scale {loss_scale!r}",
        )
    scaler = None
    if loss_scale != 1:
        scaler = torch.amp.GradScaler(device, init_scale=loss_scale, growth_interval=_NEVER)
    return Precision(device, _DTYPES[name], scaler)
