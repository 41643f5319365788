"""Turning what users pass as losses and metrics into exact scalars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goldtrace.errors import RecordingError
from goldtrace.model.scalar import Scalar
from goldtrace.recording.digest import OWN
from goldtrace.recording.on_device import to_host

if TYPE_CHECKING:
    from collections.abc import Callable


WIDEST = 8
"""Bytes of the widest number that is recorded: what lies beyond has no common format."""


_FORMATS = frozenset(
    {
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
        *(torch.int64, torch.int32, torch.int16, torch.int8),
        *(torch.uint64, torch.uint32, torch.uint16, torch.uint8),
    }
)
"""What a trace has a spelling for: no complex numbers, no float8, nothing quantised."""


def scalar_of(name: str, value: Any, *, where: str) -> Scalar:
    """The exact scalar of a number, a numpy scalar or a tensor with one element.

    Raises:
        RecordingError: the value is no single real number.
    """
    if isinstance(value, torch.Tensor):
        if value.numel() == 1 and value.dtype in _FORMATS:
            dtype = str(value.dtype).removeprefix("torch.")
            return Scalar.of(value.detach().item(), dtype)
        found = f"a tensor of shape {list(value.shape)} and dtype {value.dtype}"
    elif isinstance(value, (np.ndarray, np.generic)):
        if value.size == 1 and value.dtype.kind in "biuf" and value.dtype.itemsize <= WIDEST:
            return Scalar.of(value.item(), value.dtype.name)
        found = f"an array of shape {list(value.shape)} and dtype {value.dtype}"
    elif isinstance(value, (bool, int, float)):
        return Scalar.of(value)
    else:
        found = f"{type(value).__name__}: {value!r:.60}"
    raise RecordingError(
        f"{name} is not a single real number",
        where=where,
        expected="a float, or a tensor with one element",
        found=found,
        hint=f"reduce it first, for example {name}={name}.mean()",
    )


def start_scalar(name: str, value: Any, *, where: str) -> Callable[[], Scalar]:
    """``scalar_of`` a value as it is now; one that a GPU holds is fetched without waiting for it.

    Raises:
        RecordingError: the value is no single real number.
    """
    if type(value) in OWN and value.is_cuda and value.numel() == 1:
        fetched = to_host(value)
        return lambda: scalar_of(name, fetched(), where=where)
    scalar = scalar_of(name, value, where=where)
    return lambda: scalar


def single(scalar: Scalar) -> Scalar:
    """A float64 as float32: under the profile universal the rest is the kernels', not the run's."""
    if scalar.dtype != "float64":
        return scalar
    if scalar.is_nan:
        return Scalar(scalar.exact, "float32")
    return Scalar.of(torch.tensor(scalar.value, dtype=torch.float32).item(), "float32")


def unchanged(scalar: Scalar) -> Scalar:
    """The scalar as it is."""
    return scalar
