"""Noise of known size in every gradient: what a calibration measures the response to.

Rounding reaches a gradient in two ways, and the noise goes both:

* The passes forward and backward are computed with rounded kernels. Backward error analysis says
  that the result of such a kernel is the exact result for weights that are off by a few units in
  the last place (Higham, "Accuracy and Stability of Numerical Algorithms", chapter 3). So the
  passes see weights that are each multiplied by ``1 + n ulp`` or ``1 - n ulp``.
* The gradient itself is multiplied likewise just before the optimizer uses it.

The optimizer updates the true weights: the noise is in the gradient only, as rounding is. It is
taken away again, which is exact, and leaves what else was written to the weights in between: a norm
that is bounded in the forward pass, weights that are clamped or loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from goldtrace.model.noise import Noise

_LARGEST = 2.0**-4
"""The largest share of a number that counts as noise: 64 ulp of float16, 8 of bfloat16."""

_SIGNS = (1 << 22) + 2_049
"""Signs that are drawn once; each tensor takes them from another place on."""


class Perturbation:
    """Perturbs what a run's optimizers train: weights before each pass, gradients after it."""

    def __init__(self, noise: Noise, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        self._ulp = noise.ulp
        self._optimizers = tuple(optimizers)
        # A generator of its own: the run's streams must stay where they are.
        self._stream = torch.Generator().manual_seed(noise.seed)
        drawn = torch.randint(0, 2, (_SIGNS,), generator=self._stream, dtype=torch.int8)
        self._signs = {torch.device("cpu"): drawn * 2 - 1}
        self._added: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.no_grad()
    def before_pass(self) -> None:
        """Let the next forward and backward passes see perturbed weights."""
        self.restore()
        for optimizer in self._optimizers:
            for parameter in _parameters(optimizer):
                floating = parameter.is_floating_point() or parameter.is_complex()
                if floating and id(parameter) not in self._added:
                    self._added[id(parameter)] = (parameter, self._add(parameter))

    @torch.no_grad()
    def before_update(self, optimizer: torch.optim.Optimizer) -> None:
        """Give an optimizer the true weights and perturbed gradients."""
        parameters = list(_parameters(optimizer))
        for parameter in reversed(parameters):
            self._restore(id(parameter))
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is not None and gradient.layout is torch.strided:
                self._perturb(gradient)

    def restore(self) -> None:
        """Put back the weights that no optimizer has asked for since they were perturbed."""
        # The last one first: two parameters may share their memory.
        for key in reversed(list(self._added)):
            self._restore(key)

    @torch.no_grad()
    def _restore(self, key: int) -> None:
        if key in self._added:
            parameter, noise = self._added.pop(key)
            if parameter.shape == noise.shape:
                parameter.data.sub_(noise.to(parameter.device))

    def _add(self, parameter: torch.Tensor) -> torch.Tensor:
        """The noise that a parameter got, exactly: it is no more than half of any element."""
        true = parameter.detach().clone()
        self._perturb(parameter)
        noise = parameter.detach() - true
        # Infinities and NaN stay as they are, and what is about to overflow stays finite.
        without = ~noise.isfinite()
        parameter.data.copy_(torch.where(without, true, parameter.detach()))
        return noise.masked_fill_(without, 0)

    def _perturb(self, tensor: torch.Tensor) -> None:
        factor = min(self._ulp * torch.finfo(tensor.dtype).eps, _LARGEST)
        signs = self._take(tensor).to(tensor.real.dtype if tensor.is_complex() else tensor.dtype)
        tensor.data.mul_(signs.mul_(factor).add_(1))

    def _take(self, tensor: torch.Tensor) -> torch.Tensor:
        """A sign for each element, on the tensor's device."""
        if tensor.device not in self._signs:
            self._signs[tensor.device] = self._signs[torch.device("cpu")].to(tensor.device)
        signs = self._signs[tensor.device]
        start = int(torch.randint(0, _SIGNS, (), generator=self._stream, device="cpu"))
        count = tensor.numel()
        if count <= _SIGNS - start:
            return signs[start : start + count].reshape(tensor.shape)
        rolled = signs.roll(-start).repeat(-(-count // _SIGNS))
        return rolled[:count].reshape(tensor.shape)


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[torch.Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
