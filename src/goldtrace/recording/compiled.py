"""Compiled regions under a tape: they run as they would without one, and count as one call.

Dynamo does not compile under a dispatch mode, and calls of a compiled function would fall back to
the eager operators, with other bits. So the tape is taken off the stack while dynamo is in charge,
which is known from the callback that it sets for the evaluation of frames.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.recording.operators import tensors_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_MODULE = "torch._dynamo.eval_frame"
_NAMES = ("set_eval_frame", "_maybe_set_eval_frame")
_FILE = "_dynamo/eval_frame.py"
_BACKWARD = ("CompiledFunctionBackward", "CompiledAutograd")


@dataclass(frozen=True, slots=True)
class Region:
    """A call of a compiled function: its name, and the tensors that it can read."""

    name: str
    tensors: tuple[torch.Tensor, ...]


@contextmanager
def regions_watched(enter: Callable[[Region], None], leave: Callable[[], None]) -> Iterator[None]:
    """Call ``enter`` whenever compiled code is about to run, and ``leave`` when it has.

    ``leave`` may come twice: newer releases of torch put the thread's dispatch keys back after the
    code has run, and with them the ones of the modes. Without ``torch.compile`` nothing changes.
    """
    module: Any = sys.modules.get(_MODULE)
    original = getattr(module, "set_eval_frame", None)
    if original is None:
        yield
        return
    inside: FrameType | None = None
    left: FrameType | None = None

    def set_eval_frame(callback: Any) -> Any:
        nonlocal inside, left
        caller = sys._getframe(1)  # noqa: SLF001 - the caller holds the arguments
        if caller.f_code.co_name in _NAMES and caller.f_back is not None:
            caller = caller.f_back
        # Nothing of ours may run while the callback is set: dynamo would compile it. Dynamo itself
        # sets others while it compiles; what ends a region is the call that began it.
        if callable(callback) and inside is None:
            inside = caller
            enter(_region(caller))
        before = original(callback)
        if not callable(callback) and caller in (inside, left) and caller is not None:
            inside, left = None, inside
            leave()
        return before

    # The same function may go by two names.
    replaced = [name for name in _NAMES if getattr(module, name, None) is original]
    for name in replaced:
        setattr(module, name, set_eval_frame)
    try:
        yield
    finally:
        inside = left = None
        for name in replaced:
            setattr(module, name, original)


def is_compiled_backward(node: Any) -> bool:
    """Whether a node of the graph stands for the backward pass of a compiled region."""
    name: str = node.name()
    return name.startswith(_BACKWARD)


def _region(frame: FrameType | None) -> Region:
    while frame is not None and frame.f_code.co_filename.endswith(_FILE):
        names = frame.f_locals
        if "args" in names and "fn" in names:
            function = names["fn"]
            owner = getattr(function, "__self__", None)
            tensors = [*tensors_in(names["args"]), *tensors_in([*names.get("kwargs", {}).values()])]
            if isinstance(owner, torch.nn.Module):
                tensors += [*owner.parameters(), *owner.buffers()]
                return Region(type(owner).__name__, tuple(tensors))
            return Region(getattr(function, "__qualname__", "?"), tuple(tensors))
        frame = frame.f_back
    return Region("?", ())
