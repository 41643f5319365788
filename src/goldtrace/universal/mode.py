"""The mode around unmodified training code: what is computed in float64, and what comes back.

1. A float32 tensor that needs a gradient becomes float64 when arithmetic meets it, and so does all
   that is computed from it. Its gradient is rounded once, on the way back (``rounding``).
2. What is written to a float32 buffer is rounded to 16 bits.
3. Between float32 tensors that need no gradient (optimizers, clipping, data), single operations
   that IEEE 754 defines stay in float32, compound ones are taken apart (``exact``), and all others
   are computed in float64 and rounded at once.
4. Draws come from integers (``draws``).

So kernels may differ in the last bits of a float64, and nothing of it reaches what is kept.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from goldtrace.universal import convolution, exact
from goldtrace.universal.closure import around_closure
from goldtrace.universal.draws import DRAWS
from goldtrace.universal.names import COMPOUND, EXACT, KEEPS, STATISTICS
from goldtrace.universal.rounding import Enter, round_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from typing_extensions import Self

    from goldtrace.universal.closure import Step

_FOREACH = "_foreach_"
_FUSED: dict[str, Callable[..., None]] = {
    "_fused_sgd_": exact.fused_sgd,
    "_fused_adam_": exact.fused_adam(decoupled=False),
    "_fused_adamw_": exact.fused_adam(decoupled=True),
}

_active = threading.local()


class UniversalMode(TorchFunctionMode):
    """Computes in float64 what training code written for float32 asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: list[FrameType] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        self._hooks = [
            register_optimizer_step_pre_hook(self._step_begins),
            register_optimizer_step_post_hook(self._step_ends),
        ]
        DRAWS.begin()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)  # type: ignore[no-untyped-call]
        DRAWS.end()
        for hook in self._hooks:
            hook.remove()
        self._steps.clear()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if getattr(func, "__module__", None) == "torch.nn.init" or _is_private(name):
            return (_narrowly if name.startswith("_amp_") else _plainly)(func, args, kwargs)
        tensors = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        wide = any(x.dtype is torch.float64 for x in tensors)
        narrow = [x for x in tensors if x.dtype is torch.float32]
        if wide and name in ("float", "to", "type"):
            return _stays_wide(func, args, kwargs)
        if not narrow:
            return func(*args, **(pytree.tree_map(_widened_dtype, kwargs) if wide else kwargs))
        if name in KEEPS and (not wide or name in ("__get__", "__set__")):
            return func(*args, **kwargs)
        if not wide and self._is_state(name, narrow):
            return _state(func, name, args, kwargs)
        return _widely(func, name, args, kwargs, narrow)

    def _is_state(self, name: str, narrow: list[torch.Tensor]) -> bool:
        if self._is_stepping():
            return True
        needs_gradient = any(x.requires_grad for x in narrow)
        if torch.is_grad_enabled():
            return not needs_gradient
        simple = name in EXACT or name in COMPOUND or name.startswith(("_foreach_", "_fused_"))
        return simple or not needs_gradient

    def _step_begins(
        self, _optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Step | None:
        self._steps.append(sys._getframe(1))  # noqa: SLF001 - torch's call of the step
        return around_closure(args, kwargs, self._as_training)

    def _as_training(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """A closure of ``step`` trains: what it computes is no state of the optimizer."""

        @functools.wraps(closure)
        def trained() -> Any:
            steps, self._steps = self._steps, []
            try:
                return closure()
            finally:
                self._steps = steps

        return trained

    def _step_ends(self, *_: Any) -> None:
        step = sys._getframe(1)  # noqa: SLF001 - as in _step_begins
        self._steps = [other for other in self._steps if other is not step]

    def _is_stepping(self) -> bool:
        """Whether an optimizer takes a step: one that raised is over, and no hook says so."""
        while self._steps and not _is_running(self._steps[-1]):
            self._steps.pop()
        return bool(self._steps)


def begin() -> None:
    """Put a mode in force in this thread. Uses nest."""
    mode = UniversalMode()
    mode.__enter__()
    _stack().append(mode)


def end() -> None:
    """Take the innermost mode back."""
    _stack().pop().__exit__(None, None, None)


def in_force() -> bool:
    """Whether a mode is in force in this thread."""
    return bool(_stack())


def _is_running(call: FrameType) -> bool:
    """Whether a call is under way in this thread."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe calls
    while frame is not None and frame is not call:
        frame = frame.f_back
    return frame is call


def _is_private(name: str) -> bool:
    """Whether this is about storage and bookkeeping of tensors, or a kernel of a loss scaler."""
    method = name.startswith("_") and not name.startswith("__") and hasattr(torch.Tensor, name)
    return method or name.startswith("_amp_")


def _stack() -> list[UniversalMode]:
    if not hasattr(_active, "modes"):
        _active.modes = []
    return _active.modes  # type: ignore[no-any-return]


def _stays_wide(func: Any, args: Any, kwargs: Any) -> Any:
    """A cast of a float64 value to float32 is left undone; any other cast is done."""
    subject, *rest = args
    if func is torch.Tensor.float:
        return subject
    rest = [torch.float64 if x is torch.float32 else _as_wide(x) for x in rest]
    kwargs = {k: torch.float64 if x is torch.float32 else _as_wide(x) for k, x in kwargs.items()}
    return func(subject, *rest, **kwargs)


def _as_wide(x: Any) -> Any:
    is_narrow = isinstance(x, torch.Tensor) and x.dtype is torch.float32
    return x.detach().double() if is_narrow else x


def _widened_dtype(x: Any) -> Any:
    return torch.float64 if x is torch.float32 else x


def _widely(func: Any, name: str, args: Any, kwargs: Any, narrow: list[torch.Tensor]) -> Any:
    """Compute in float64; what was written into a float32 tensor comes back into it."""
    wide: dict[int, tuple[torch.Tensor, torch.Tensor, int]] = {}
    for x in narrow:
        if id(x) not in wide:
            through = x.requires_grad and torch.is_grad_enabled()
            entered = Enter.apply(x) if through else _copy(x)
            wide[id(x)] = (x, entered, _version(entered))

    def widen(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return wide[id(x)][1] if id(x) in wide else x
        return _widened_dtype(x)

    args, kwargs = pytree.tree_map(widen, (tuple(args), dict(kwargs)))
    if name == "conv2d":
        func, args = convolution.conv2d, _with_input(args, kwargs)
    result = func(*args, **kwargs)
    returned: Any = None
    for original, entered, version in wide.values():
        written = _version(entered) != version
        if name in STATISTICS and not original.requires_grad and original.dim() == 1:
            written = not torch.equal(entered, original.double())
        if written:
            original.copy_(entered if entered.requires_grad else round_state(entered))
            if result is entered:
                returned = original
    return result if returned is None else returned


def _version(x: torch.Tensor) -> int:
    return x._version  # noqa: SLF001 - documented under "in-place correctness checks"


def _copy(x: torch.Tensor) -> torch.Tensor:
    """The same values as float64, in a tensor that counts its versions."""
    with torch.inference_mode(mode=False), torch.no_grad():
        return x.double()


def _state(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """Arithmetic between float32 tensors that are kept as float32."""
    plain = name.strip("_")
    into = "out" in kwargs
    if name in _FUSED:
        return _FUSED[name](*args, **kwargs)
    if name.startswith(_FOREACH) and plain not in ("foreach_norm", "foreach_zero", "foreach_copy"):
        return _foreach(name.removeprefix(_FOREACH), args, kwargs)
    if plain in ("add", "sub", "subtract") and kwargs.get("alpha", 1) != 1 and not into:
        sign = 1 if plain == "add" else -1
        args = _with_input(args, kwargs)
        return _kept(name, args[0], exact.added(*args, **kwargs, sign=sign))
    if name in COMPOUND and not into:
        args = _with_input(args, kwargs)
        return _kept(name, args[0], getattr(exact, plain)(*args, **kwargs))
    if name in EXACT or name in KEEPS or plain in ("foreach_zero", "foreach_copy"):
        return func(*args, **kwargs)
    return _rounded_at_once(func, args, kwargs)


def _with_input(args: Any, kwargs: Any) -> tuple[Any, ...]:
    """The arguments by position, with the first one in front if it was given as ``input=``."""
    return (kwargs.pop("input"), *args) if "input" in kwargs else tuple(args)


def _rounded_at_once(func: Any, args: Any, kwargs: Any) -> Any:
    leaves = pytree.tree_leaves((args, kwargs))
    narrow = [x for x in leaves if isinstance(x, torch.Tensor) and x.dtype is torch.float32]
    with torch.no_grad():
        wide = [(x, _copy(x)) for x in narrow]
        versions = [_version(entered) for _, entered in wide]
        by_id = {id(x): entered for x, entered in wide}
        args, kwargs = pytree.tree_map(
            lambda x: by_id.get(id(x), x) if isinstance(x, torch.Tensor) else _widened_dtype(x),
            (tuple(args), dict(kwargs)),
        )
        result = func(*args, **kwargs)
        for (original, entered), version in zip(wide, versions, strict=True):
            if _version(entered) != version:
                original.copy_(entered)
                if result is entered:
                    return original
    return pytree.tree_map(_narrowed, result)


def _plainly(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _narrowly(func: Any, args: Any, kwargs: Any) -> Any:
    """A loss scaler's own kernels know float32 only: its factor, and whether all is finite."""
    leaves, structure = pytree.tree_flatten((tuple(args), dict(kwargs)))
    narrow = [_narrowed(x) for x in leaves]
    args, kwargs = pytree.tree_unflatten(narrow, structure)
    result = func(*args, **kwargs)
    for given, used in zip(leaves, narrow, strict=True):
        if given is not used:
            given.copy_(used)
    return result


def _kept(name: str, target: torch.Tensor, result: torch.Tensor) -> torch.Tensor:
    return target.copy_(result) if name.endswith("_") and not name.endswith("__") else result


def _narrowed(x: Any) -> Any:
    return x.float() if isinstance(x, torch.Tensor) and x.dtype is torch.float64 else x


def _foreach(name: str, args: Any, kwargs: Any) -> Any:
    """A call on lists of tensors, one tensor after the other."""
    plain = name.removesuffix("_")
    function = getattr(torch, plain, None) or getattr(torch.Tensor, plain)
    count = len(next(x for x in args if isinstance(x, (list, tuple))))

    def element(x: Any, place: int) -> Any:
        return x[place] if isinstance(x, (list, tuple)) and len(x) == count else x

    results = [
        _state(
            function,
            plain,
            tuple(element(x, place) for x in args),
            {key: element(x, place) for key, x in kwargs.items()},
        )
        for place in range(count)
    ]
    if plain == name:
        return results
    for target, result in zip(args[0], results, strict=True):
        target.copy_(result)
    return None
