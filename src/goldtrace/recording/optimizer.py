"""What an optimizer says of itself: hyper-parameters of each group, and its state by tensor."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from goldtrace.model.scalar import Scalar
from goldtrace.recording.digest import digest_array, digest_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

# How a step is computed, not what it computes (they also come and go between torch releases), and
# what a scheduler remembers of the learning rate that is recorded anyway.
_IMPLEMENTATION = frozenset(
    {"params", "param_names", "foreach", "fused", "capturable", "differentiable", "initial_lr"}
)


def hyperparameters(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Scalar | str]:
    """Every hyper-parameter of every group as ``group0.lr``, ``group0.betas[1]``, ….

    Of tensors and arrays with several elements, the digest.
    Switches that are off and options that are unset are left out, and so are entries that the
    optimizer's constructor doesn't know but its base class added: both differ between torch
    releases without any meaning.
    """
    kind: Any = type(optimizer)
    constructor = _constructor(kind, frozenset(optimizer.defaults))
    internal = _IMPLEMENTATION | (set(optimizer.defaults) - constructor)
    if "kwargs" in constructor:
        internal = _IMPLEMENTATION
    found: dict[str, Scalar | str] = {}
    for place, group in enumerate(optimizer.param_groups):
        for key in sorted(set(group) - internal):
            found.update(_flatten(f"{prefix}group{place}.{key}", group[key]))
    return found


@functools.lru_cache
def _constructor(kind: type[torch.optim.Optimizer], defaults: frozenset[str]) -> frozenset[str]:
    """What the constructor of a class takes, asked once.

    Of one that names no entry (a config, ``**options``) its base's; all entries, where no base
    names one either.
    """
    for each in kind.__mro__:
        constructor: Any = vars(each).get("__init__")
        parameters = set(inspect.signature(constructor).parameters) if constructor else set()
        if "kwargs" in parameters or not parameters.isdisjoint(defaults):
            return frozenset(parameters)
    return defaults


def state_tensors(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str]
) -> Iterator[tuple[str, torch.Tensor | str]]:
    """The optimizer's state as ``<parameter>/<key>``, tensors or text, in the order of the groups.

    After it what an optimizer keeps under a name, for no parameter. ``names`` maps the ``id`` of a
    parameter to its name.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for key in sorted(state, key=str):
                name, value = f"{names[id(parameter)]}/{key}", state[key]
                if isinstance(value, torch.Tensor):
                    yield name, value  # hundreds at every step
                else:
                    yield from _named_state(name, value)
    own: Mapping[Any, Any] = optimizer.state
    for key in sorted(key for key in own if isinstance(key, str)):
        yield from _named_state(f"state/{key}", own[key])


def _named_state(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor | str]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif (parts := _parts(name, value)) is not None:
        for part, item in parts:
            yield from _named_state(part, item)
    elif isinstance(value, np.generic):
        yield from _named_state(name, value.item())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield name, digest_array(name, value)
    elif isinstance(value, (bool, int, float)):
        yield name, Scalar.of(value).exact
    elif value is not None:
        yield name, value if isinstance(value, str) else type(value).__name__


def _parts(name: str, value: Any) -> list[tuple[str, Any]] | None:
    """What a list or a mapping holds, by names; ``None`` of anything else."""
    if isinstance(value, (list, tuple)):
        return [(f"{name}[{place}]", item) for place, item in enumerate(value)]
    if isinstance(value, Mapping):
        return [(f"{name}.{key}", item) for key, item in _sorted(value)]
    return None


def _sorted(mapping: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return sorted(mapping.items(), key=lambda entry: str(entry[0]))


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Scalar | str]]:
    if value is None or value is False:
        return
    parts = _parts(name, value)
    if parts is not None:
        for part, item in parts:
            yield from _flatten(part, item)
    elif isinstance(value, torch.Tensor):
        if value.numel() == 1 and not value.is_complex():
            # A learning rate may be one, for capturable optimizers; its format isn't the point.
            yield name, Scalar.of(float(value.item()))
        else:
            yield name, digest_tensor(name, value)
    elif isinstance(value, np.generic):
        yield from _flatten(name, value.item())
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield name, digest_array(name, value)
    elif isinstance(value, (bool, int, float)):
        yield name, Scalar.of(value)
    else:
        yield name, str(value) if isinstance(value, str) else type(value).__name__
