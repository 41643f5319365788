"""Inputs that are the same bits everywhere: integers divided by a prime, in awkward shapes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_MULTIPLIER, _INCREMENT, _MODULUS = 1103515245, 12345, 2**31
_PRIME = 997


@dataclass(frozen=True, slots=True)
class Real:
    """Full significands, so that sums depend on their order.

    Values lie in ``low`` to ``high``.
    """

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0

    def make(self, seed: int, dtype: torch.dtype) -> Tensor:
        """The values in float64 arithmetic, each rounded once to ``dtype``."""
        count = 1
        for size in self.shape:
            count *= size
        steps = int((self.high - self.low) * _PRIME)
        values = [self.low + (number % steps) / _PRIME for number in integers(seed, count)]
        return torch.tensor(values, dtype=torch.float64).reshape(self.shape).to(dtype)


@dataclass(frozen=True, slots=True)
class Index:
    """Whole numbers from 0 to ``high``, exclusive, whatever the dtype of the case."""

    shape: tuple[int, ...]
    high: int

    def make(self, seed: int, dtype: torch.dtype) -> Tensor:
        """The numbers as int64."""
        del dtype
        count = 1
        for size in self.shape:
            count *= size
        values = [(number >> 3) % self.high for number in integers(seed, count)]
        return torch.tensor(values, dtype=torch.int64).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Definite:
    """A symmetric positive definite matrix: diagonally dominant."""

    size: int

    def make(self, seed: int, dtype: torch.dtype) -> Tensor:
        """The matrix, symmetric to the last bit."""
        drawn = Real((self.size, self.size), -1.0, 1.0).make(seed, torch.float64)
        matrix = drawn.tril() + drawn.tril(-1).T
        return (matrix + self.size * torch.eye(self.size, dtype=torch.float64)).to(dtype)


Input = Real | Index | Definite


@functools.cache
def integers(seed: int, count: int) -> tuple[int, ...]:
    """Pseudo-random integers of 31 bits from a linear congruence, in plain Python."""
    state = seed * 2654435761 % _MODULUS
    drawn = []
    for _ in range(count):
        state = (state * _MULTIPLIER + _INCREMENT) % _MODULUS
        drawn.append(state >> 8)
    return tuple(drawn)
