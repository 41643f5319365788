"""Optimizer arithmetic in single float32 steps, each correctly rounded on every machine.

``a + alpha * b`` is one rounding where it is fused and two elsewhere. Taken apart it is always two.
The functions get tensors that need no gradient, outside of any mode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def added(x: Any, other: Any, alpha: Any = 1, *, sign: int = 1) -> torch.Tensor:
    """``x ± alpha * other``."""
    if alpha != 1:
        other = other * alpha
    return torch.add(x, other) if sign == 1 else torch.sub(x, other)


def addcmul(x: torch.Tensor, tensor1: Any, tensor2: Any, value: Any = 1) -> torch.Tensor:
    """``x + value * tensor1 * tensor2``."""
    product = torch.mul(tensor1, tensor2)
    return torch.add(x, product if value == 1 else product * value)


def addcdiv(x: torch.Tensor, tensor1: Any, tensor2: Any, value: Any = 1) -> torch.Tensor:
    """``x + value * tensor1 / tensor2``."""
    return torch.add(x, torch.div(tensor1 if value == 1 else tensor1 * value, tensor2))


def lerp(x: torch.Tensor, end: torch.Tensor, weight: Any) -> torch.Tensor:
    """``x + weight * (end - x)``."""
    return torch.add(x, torch.sub(end, x) * weight)


def square_root(x: torch.Tensor) -> torch.Tensor:
    """Correctly rounded: the root of a float32 is never as near to a boundary as float64 is off."""
    return torch.sqrt(x.double()).float()


def fused_sgd(
    params: Sequence[torch.Tensor],
    grads: Sequence[torch.Tensor],
    momenta: Sequence[torch.Tensor | None],
    *,
    weight_decay: float,
    momentum: float,
    lr: Any,
    dampening: float,
    nesterov: bool,
    maximize: bool,
    is_first_step: bool,
    **scaler: Any,
) -> None:
    """``torch._fused_sgd_``."""
    _require_unscaled(scaler)
    for place, (param, grad) in enumerate(zip(params, grads, strict=True)):
        step = -grad if maximize else grad
        if weight_decay:
            step = added(step, param, weight_decay)
        if momentum:
            buffer: Any = momenta[place]
            if is_first_step:
                buffer.copy_(step)
            else:
                buffer.copy_(added(buffer * momentum, step, 1 - dampening))
            step = added(step, buffer, momentum) if nesterov else buffer
        param.copy_(added(param, step, -float(lr)))


def fused_adam(*, decoupled: bool) -> Callable[..., None]:
    """``torch._fused_adam_`` or, ``decoupled``, ``torch._fused_adamw_``."""

    def step_all(  # noqa: PLR0917 - the signature is torch's
        params: Sequence[torch.Tensor],
        grads: Sequence[torch.Tensor],
        exp_avgs: Sequence[torch.Tensor],
        exp_avg_sqs: Sequence[torch.Tensor],
        max_exp_avg_sqs: Sequence[torch.Tensor],
        steps: Sequence[torch.Tensor],
        *,
        lr: Any,
        beta1: float,
        beta2: float,
        weight_decay: float,
        eps: float,
        amsgrad: bool,
        maximize: bool,
        **scaler: Any,
    ) -> None:
        _require_unscaled(scaler)
        rate = float(lr)
        for place, param in enumerate(params):
            grad = -grads[place] if maximize else grads[place]
            if weight_decay and decoupled:
                param.mul_(1 - rate * weight_decay)
            elif weight_decay:
                grad = added(grad, param, weight_decay)
            first, second = exp_avgs[place], exp_avg_sqs[place]
            first.copy_(lerp(first, grad, 1 - beta1))
            second.copy_(addcmul(second * beta2, grad, grad, value=1 - beta2))
            count = steps[place].item()
            largest = second
            if amsgrad:
                largest = max_exp_avg_sqs[place]
                torch.maximum(largest, second, out=largest)
            scale = math.sqrt(1 - beta2**count)
            denominator = square_root(largest) / scale + eps
            param.copy_(addcdiv(param, first, denominator, value=-rate / (1 - beta1**count)))

    return step_all


def _require_unscaled(scaler: Mapping[str, Any]) -> None:
    if any(value is not None for value in scaler.values()):
        raise NotImplementedError(
            "the profile universal has no loss scaling in fused optimizers: pass fused=False"
        )
