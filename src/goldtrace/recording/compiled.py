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

    Neither is called twice in a row. Without ``torch.compile`` nothing is changed.
    """
    module: Any = sys.modules.get(_MODULE)
    original = getattr(module, "set_eval_frame", None)
    if original is None:
        yield
        return
    inside = False

    def set_eval_frame(callback: Any) -> Any:
        nonlocal inside
        # Nothing of ours may run while the callback is set: dynamo would compile it.
        if callable(callback) and not inside:
            inside = True
            enter(_region(sys._getframe(1)))  # noqa: SLF001 - the caller holds the arguments
        before = original(callback)
        if inside and not callable(callback):
            inside = False
            leave()
        return before

    module.set_eval_frame = set_eval_frame
    try:
        yield
    finally:
        module.set_eval_frame = original


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
