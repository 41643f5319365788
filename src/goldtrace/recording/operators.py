"""What the schema of an operator says about it, as far as the tape wants to know."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.determinism import stream_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# These give memory, whose content means nothing, or another shape for the same content.
_COMPUTE_NOTHING = frozenset(
    {
        *("aten::empty", "aten::empty_like", "aten::empty_strided", "aten::empty_permuted"),
        *("aten::new_empty", "aten::new_empty_strided", "aten::resize_", "aten::set_"),
        *("aten::_unsafe_view", "aten::_reshape_alias", "aten::lift_fresh", "aten::lift"),
        *("aten::record_stream", "aten::_local_scalar_dense", "aten::is_same_size"),
    }
)

_COPIES = frozenset(
    {"aten::clone", "aten::_to_copy", "aten::copy_", "aten::contiguous", "aten::lift_fresh_copy"}
)
"""These compute nothing either, unless they convert to another dtype."""

_OVERWRITE = frozenset(
    {
        *("aten::zero_", "aten::fill_", "aten::copy_", "aten::bernoulli_", "aten::normal_"),
        *("aten::uniform_", "aten::random_", "aten::exponential_", "aten::geometric_"),
        *("aten::log_normal_", "aten::cauchy_", "aten::eye_", "aten::_foreach_zero_"),
        *("aten::_foreach_copy_",),
    }
)
"""In-place operators that don't read what they write to."""

_PLACEMENT = frozenset({"device", "layout", "pin_memory", "non_blocking", "memory_format"})
"""Arguments that say where the result lies, not what it is."""

_NUMBERS = (bool, int, float, complex, str, torch.dtype)


@dataclass(frozen=True, slots=True)
class Operator:
    """One overload of an operator; ``written`` and ``ignored`` are names of its arguments."""

    name: str
    recorded: bool
    copies: bool
    random: bool
    arguments: tuple[str, ...]
    written: frozenset[str]
    ignored: frozenset[str]


@functools.lru_cache(maxsize=4096)
def operator_of(function: Any) -> Operator:
    """What there is to know about an ``OpOverload``."""
    schema = function._schema  # noqa: SLF001 - torch has no public name for it
    plain: str = schema.name
    overload: str = schema.overload_name
    written = frozenset(
        argument.name
        for argument in schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    )
    aliases = [result.alias_info for result in schema.returns]
    views = bool(aliases) and all(alias and not alias.is_write for alias in aliases)
    overwritten = written if plain in _OVERWRITE else frozenset()
    outs = {argument.name for argument in schema.arguments if argument.is_out}
    namespace = plain.partition("::")[0]
    return Operator(
        name=f"{plain}.{overload}" if overload else plain,
        recorded=not (views or plain in _COMPUTE_NOTHING or namespace in ("prim", "profiler")),
        copies=plain in _COPIES,
        random=torch.Tag.nondeterministic_seeded in function.tags,
        arguments=tuple(argument.name for argument in schema.arguments),
        written=written,
        ignored=overwritten | outs,
    )


def split(
    operator: Operator, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[dict[str, str], list[torch.Tensor], list[torch.Tensor]]:
    """The arguments of a call: those that are no tensors, the tensors read, the tensors written."""
    plain: dict[str, str] = {}
    read: list[torch.Tensor] = []
    written: list[torch.Tensor] = []
    for name, value in (*zip(operator.arguments, args, strict=False), *kwargs.items()):
        found = list(tensors_in(value))
        if found:
            if name not in operator.ignored:
                read += found
            if name in operator.written:
                written += found
        elif name not in _PLACEMENT:
            plain[name] = _spell(value)
    return plain, read, written


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in what an operator takes or gives: one, several, or none."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def _spell(value: Any) -> str:
    """An argument as text: numbers exactly, what has no meaning elsewhere by its type."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_spell, value))}]"
    if value is None or isinstance(value, _NUMBERS):
        return repr(value).removeprefix("torch.")
    if isinstance(value, torch.Generator):
        return stream_name(value) or "generator"
    return type(value).__name__
