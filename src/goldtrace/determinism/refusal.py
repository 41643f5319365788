"""torch's refusal to run an operator that has no deterministic implementation, explained."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from pathlib import Path

from goldtrace.errors import NondeterministicOperatorError

ORIGIN = "goldtrace_origin"
"""Attribute of an error that says where in the user's code the operator was called."""

# aten/src/ATen/Context.cpp, Context::alertNotDeterministic: the same words since torch 1.8.
_REFUSAL = re.compile(r"^(.+?) does not have a deterministic implementation, but you")

_SCATTER = "zeros(…).scatter_(-1, indices, values) on flattened maps has one"
_ALTERNATIVES = {
    "put_": "index_put_ has one, and so has put_ with accumulate=True",
    "max_unpooling2d_forward_out": _SCATTER,
    "max_unpooling3d_forward_out": _SCATTER,
    "median CUDA with indices output": "sort has one, and the median is its element (n - 1) // 2",
}
"""Another way to the same result, by the name under which torch refuses."""


def explained_refusal(
    error: BaseException, device: str, *, where: str
) -> NondeterministicOperatorError | None:
    """What a run may do about an operator that torch refused; ``None`` for any other error.

    ``where`` is the run's name, for an operator that no line of the user's code called.
    """
    match = _REFUSAL.match(str(error)) if isinstance(error, RuntimeError) else None
    if match is None:
        return None
    operator = match.group(1)
    line = getattr(error, ORIGIN, None) or _users_line(error)
    other = _ALTERNATIVES.get(operator, "torch.use_deterministic_algorithms lists those that do")
    ways = [f"another implementation ({other})"]
    if device != "cpu":
        ways.append(f'this operator on the CPU (x.cpu(), and .to("{device}") behind it)')
    ways.append("warn_only = true, if its result may vary from run to run")
    return NondeterministicOperatorError(
        f"the operator {operator} has no deterministic implementation on {device}",
        where=line or where,
        expected="operators that give the same bits each time",
        found=operator,
        hint="; or ".join(ways),
    )


def _users_line(error: BaseException) -> str | None:
    """The innermost line that is neither torch's nor an installed package's nor goldtrace's."""
    torch = sys.modules.get("torch")
    not_theirs = [sysconfig.get_paths()["purelib"], str(Path(__file__).parents[1])]
    if torch is not None and torch.__file__ is not None:
        not_theirs.append(str(Path(torch.__file__).parent))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((*not_theirs, "<")):
            called = f": {frame.line}" if frame.line else ""
            return f"{Path(frame.filename).name}:{frame.lineno}{called}"
    return None
