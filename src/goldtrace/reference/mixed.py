"""Automatic mixed precision, and full precision under the same three calls.

Micikevicius et al., "Mixed Precision Training", ICLR 2018. The loss scale is a constant: a dynamic
one would halve at the first overflow and double by count, two more things that could drift.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.errors import SpecError
from goldtrace.reference.config import read_config

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch.optim import Optimizer

    from goldtrace.recording import GoldenRun
    from goldtrace.reference.config import Config

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


def read_mixed(kind: type[Config], run: GoldenRun) -> tuple[Config, Precision]:
    """The ``[config]`` of a run in mixed precision: the keys of ``kind`` and two more.

    ``precision`` is what autocast computes in, ``bfloat16`` or ``float16``; ``loss_scale`` what
    the loss is multiplied by, and the gradients divided by; constant.

    Raises:
        SpecError: a key is unknown or missing, or has a value that it can't have.
    """
    more = [("precision", str), ("loss_scale", float)]
    whole = make_dataclass("Mixed", more, bases=(kind,), frozen=True, slots=True, kw_only=True)
    config: Any = read_config(whole, run.config, run=run.name)
    name, loss_scale = config.precision, config.loss_scale
    return config, mixed_precision(name, loss_scale, run.device, run=run.name)


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
