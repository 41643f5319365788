"""Which of the differences around two runs are likely to have caused a difference of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.model.diagnosis import Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldtrace.model.verdict import Change

_LIBRARIES = {
    "onednn": ("convolution", "mkldnn", "gelu", "lstm", "addmm", "mm"),
    "mkl": ("mm", "addmm", "bmm", "baddbmm", "exp", "log", "tanh", "erf", "sqrt", "linear"),
    "cudnn": ("cudnn", "convolution", "batch_norm", "attention"),
    "cublas": ("mm", "addmm", "bmm", "baddbmm", "linear"),
}
"""Libraries that compute certain operators, by parts of the operators' names."""

_AUTHORED = {Cause.ARGUMENT, Cause.PROGRAM, Cause.DATA, Cause.RNG}
"""Causes that the author of the training is likelier to have made than a library."""


def rank(changes: Sequence[Change], cause: Cause | None, op: str | None) -> tuple[Change, ...]:
    """The changes, likeliest cause first; those that are equally likely keep their order."""
    return tuple(sorted(changes, key=lambda change: _rank(change.what, cause, op or "")))


def _rank(what: str, cause: Cause | None, op: str) -> int:
    kind, _, name = what.partition(" ")
    named = any(
        name.lower().startswith(library) and any(part in op for part in parts)
        for library, parts in _LIBRARIES.items()
    )
    if cause in _AUTHORED:
        order = ["setting", "code", "data", "seed", "package", "pin", "library"]
        if cause is Cause.DATA:
            order = ["data", "setting", "seed", "code", "package", "pin", "library"]
    else:
        order = ["package", "pin", "setting", "library", "accelerator", "system", "code"]
        if kind == "library" and named:
            return 1
    if not name:
        kind = "code" if what == "code" else "package"
    return 2 * order.index(kind) if kind in order else 2 * len(order)


def implementation_changed(changes: Sequence[Change]) -> bool:
    """Whether anything that computes differs: packages, pins, libraries or the machine.

    Then other operators may compute the same thing, and nobody has edited the training.
    """
    kinds = ("setting ", "data ", "seed ")
    return any(not change.what.startswith(kinds) and change.what != "code" for change in changes)
