"""The parameters and buffers of models by their names, looked up again where something changed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# torch.compile wraps a module and prefixes its names; the parameters are the same ones.
_COMPILED = "_orig_mod."

_LOOKS = ("named_parameters", "named_buffers", "named_modules", "_named_members")


@dataclass(frozen=True, slots=True)
class Members:
    """What some models hold: parameters, tied ones once, and buffers, by name.

    To look is a walk through all modules with a generator for each; to see that it would find the
    same takes a tenth of that, which counts where a GPU waits for the host.
    """

    parameters: Mapping[str, torch.nn.Parameter]
    buffers: Mapping[str, torch.Tensor]
    _modules: Sequence[torch.nn.Module]
    _held: tuple[list[object], list[object]] | None

    @classmethod
    def of(cls, models: Mapping[str, torch.nn.Module]) -> Members:
        """The members as they are now; names begin with the key of their model."""
        modules = [module for model in models.values() for _, module in model.named_modules()]
        return cls(
            {
                prefix + own_name(name): parameter
                for prefix, model in models.items()
                for name, parameter in model.named_parameters()
            },
            {
                prefix + own_name(name): buffer
                for prefix, model in models.items()
                for name, buffer in model.named_buffers()
            },
            modules,
            _held(modules) if all(map(_is_ordinary, modules)) else None,
        )

    def are_current(self) -> bool:
        """Whether another look would find the same; never, where a module looks in its own way."""
        if self._held is None:
            return False
        names, entries = _held(self._modules)
        return names == self._held[0] and all(map(is_, entries, self._held[1]))


def own_name(name: str) -> str:
    """The name of a module or a tensor, whether or not it is compiled."""
    return name.replace(_COMPILED, "")


def _held(modules: Sequence[torch.nn.Module]) -> tuple[list[object], list[object]]:
    """The names of what each module holds, behind its class and how many, and what bears them."""
    tables = [table for module in modules for table in _tables(module)]
    names = [*map(type, modules), *map(len, tables), *chain.from_iterable(tables)]
    return names, [*chain.from_iterable([table.values() for table in tables])]


def _tables(module: torch.nn.Module) -> tuple[dict[str, Any], ...]:
    return module._parameters, module._buffers, module._modules  # noqa: SLF001


def _is_ordinary(module: torch.nn.Module) -> bool:
    """Whether a module looks for its members as torch does: FSDP and TorchScript don't."""
    return all(isinstance(table, dict) for table in _tables(module)) and all(
        look not in vars(module) and getattr(type(module), look) is getattr(torch.nn.Module, look)
        for look in _LOOKS
    )
