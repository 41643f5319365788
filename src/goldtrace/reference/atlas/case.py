"""One case of the atlas, and the inputs that many cases share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.reference.atlas.inputs import Real

if TYPE_CHECKING:
    from goldtrace.reference.atlas.inputs import Input

Function = Callable[..., Any]

FLAT = Real((7, 37))
POSITIVE = Real((7, 37), 0.0625, 4.0)
UNIT = Real((7, 37), -0.9375, 0.9375)
CHANCE = Real((7, 37), 0.0625, 0.9375)
IMAGE = Real((3, 6, 13, 17))
SERIES = Real((3, 11, 21))
NARROW = (torch.float32, torch.float64)
"""The dtypes of operators that have no bfloat16 kernel, or none worth the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One operator: ``function`` of its inputs; ``backward`` says that gradients are taken too."""

    name: str
    function: Function
    inputs: tuple[Input, ...]
    backward: bool = True
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64, torch.bfloat16)


def each(names: str, *inputs: Input, module: Any = torch, **options: Any) -> list[Case]:
    """The functions of a module that this torch has, all with the same inputs."""
    found = [(name, getattr(module, name, None)) for name in names.split()]
    return [
        Case(name=name, function=function, inputs=inputs, **options)
        for name, function in found
        if function is not None
    ]


def one(name: str, function: Function, *inputs: Input, **options: Any) -> Case:
    """A case of a function that every torch has."""
    return Case(name=name, function=function, inputs=inputs, **options)
