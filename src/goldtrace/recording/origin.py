"""Where in the training an operator was called: phase, module and line of the code."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from goldtrace.model.tape import Phase

if TYPE_CHECKING:
    from types import CodeType, FrameType

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent)
_CALL_MODULE = torch.nn.Module._call_impl.__code__  # noqa: SLF001 - where a module's own code begins
_LOADER = "torch/utils/data/dataloader.py"
_UNNUMBERED = 1 << 62
"""Nodes of the graph from here on are no operator's: they accumulate gradients."""


class Origins:
    """Finds the origin of a call, and remembers forward operators for the backward pass."""

    def __init__(self, names: dict[int, str], root: Path) -> None:
        self._names = names
        self._root = f"{root}/"
        self._forward: dict[int, tuple[str | None, str | None]] = {}
        self._backward_seen = False
        self._optimized: dict[int, str] | None = None
        self._held: list[torch.Tensor] = []
        self._parameter: str | None = None

    def of(self, node: Any, tensors: list[torch.Tensor]) -> tuple[Phase, str | None, str | None]:
        """Phase, module and line of the call that is being dispatched.

        ``node`` is the node of the graph that is running, ``None`` outside of the backward pass;
        ``tensors`` are what the operator reads.
        """
        if node is not None:
            self._backward_seen = True
            return Phase.BACKWARD, *self._of_node(node)
        module, line, loading = self._of_stack()
        if self._optimized is not None:
            named = map(self._optimized.get, map(id, tensors))
            found = next((name for name in named if name is not None), None)
            if len(tensors) > _SEVERAL:
                found = None
            else:
                found = self._parameter = found or self._parameter
            return Phase.OPTIMIZER, found, line
        if loading:
            return Phase.DATA, module, line
        if module is None and self._backward_seen:
            return Phase.OTHER, None, line
        number = _next_number()
        if number is not None:
            self._forward.setdefault(number - 1, (module, line))
        return Phase.FORWARD, module, line

    def optimizer_begins(self, optimizer: torch.optim.Optimizer, names: dict[int, str]) -> None:
        """Learn the names of what an optimizer is about to work on; what follows is its work."""
        self._parameter = None
        self._optimized = {}
        self._held = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                name = names.get(id(parameter))
                if name is None:
                    continue
                # Not by subscript, which would begin the state of a parameter that has none.
                state = optimizer.state.get(parameter, {})
                for tensor in (parameter, parameter.grad, *state.values()):
                    if isinstance(tensor, torch.Tensor):
                        self._optimized[id(tensor)] = name
                        # Or what it computes could get the id of a gradient that is gone.
                        self._held.append(tensor)

    def optimizer_ends(self) -> None:
        """What follows is no optimizer's work."""
        self._optimized = None
        self._held = []

    def _of_node(self, node: Any) -> tuple[str | None, str | None]:
        number = node._sequence_nr()  # noqa: SLF001 - the only link from backward to forward
        if number < _UNNUMBERED:
            return self._forward.get(number, (None, None))
        variable = getattr(node, "variable", None)
        return self._names.get(id(variable)), None

    def _of_stack(self) -> tuple[str | None, str | None, bool]:
        """Innermost named module, innermost line outside of torch, whether a loader is at work."""
        frame: FrameType | None = sys._getframe(3)  # noqa: SLF001 - faster than inspect by far
        module = line = None
        loading = False
        while frame is not None:
            code = frame.f_code
            if code is _CALL_MODULE:
                if module is None:
                    module = self._names.get(id(frame.f_locals.get("self")))
            elif line is None and not _is_ours(code):
                line = f"{_shown(code, self._root)}:{frame.f_lineno}"
            elif _is_loader(code):
                loading = True
            if line is not None and module is not None:
                break
            frame = frame.f_back
        return module, line, loading


_SEVERAL = 6
"""Tensors that one parameter's update reads at most; more belong to several parameters."""


def _next_number() -> int | None:
    """The number that the next node of the graph will get, where torch tells."""
    get = getattr(torch.autograd, "_get_sequence_nr", None)
    return get() if get is not None else None


@functools.lru_cache(maxsize=65536)
def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith((_TORCH, _HERE, "<"))


@functools.lru_cache(maxsize=65536)
def _is_loader(code: CodeType) -> bool:
    return code.co_name == "__next__" and code.co_filename.endswith(_LOADER)


@functools.lru_cache(maxsize=65536)
def _shown(code: CodeType, root: str) -> str:
    """The file as it is called on every machine: from the project's root, or from its package."""
    name = code.co_filename
    for folder in ("/site-packages/", "/dist-packages/"):
        if folder in name:
            return name.rpartition(folder)[2]
    if name.startswith(root):
        return name.removeprefix(root)
    if "/src/" in name:
        return name.rpartition("/src/")[2]
    return "/".join(Path(name).parts[-2:]).lstrip("/")
