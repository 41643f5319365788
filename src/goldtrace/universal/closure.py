"""The closure that ``optimizer.step(closure)`` is given, and a function around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Step = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call of ``step``, the optimizer first, as torch's pre-hooks get them."""


def around_closure(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    wrap: Callable[[Callable[[], Any]], Callable[[], Any]],
) -> Step | None:
    """The arguments with the closure wrapped; ``None``, as torch's hooks say it, without one."""
    if kwargs.get("closure") is not None:
        return args, {**kwargs, "closure": wrap(kwargs["closure"])}
    if len(args) > 1 and args[1] is not None:
        return (args[0], wrap(args[1]), *args[2:]), kwargs
    return None
