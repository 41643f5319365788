"""A culprit in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.model.diagnosis import Cause

if TYPE_CHECKING:
    from goldtrace.model.diagnosis import Culprit

_FINDING = {
    Cause.ARGUMENT: "{op} was given another argument, {what}",
    Cause.RNG: "other random draws, {what}",
    Cause.ROUNDING: "{op} gave other bits from identical inputs, {what}",
    Cause.PRECISION: "{op} computed in another precision from identical inputs, {what}",
    Cause.BEHAVIOUR: "{op} gave other results from identical inputs, {what}",
    Cause.PROGRAM: "the program differs, {what}",
    Cause.DATA: "{op} was given other data, {what}",
    Cause.UNKNOWN: "{op} gave other bits from identical inputs, {what}",
}


def clause(culprit: Culprit) -> str:
    """``backward of encoder.2.proj: aten::mm gave other bits from identical inputs, …``."""
    finding = _FINDING[culprit.cause].format(op=culprit.op, what=culprit.what)
    return f"{place_of(culprit)}: {finding}"


def place_of(culprit: Culprit) -> str:
    """``forward of encoder.2 (model.py:31)``."""
    phase = culprit.phase.value if culprit.phase is not None else "somewhere"
    where = phase if phase != "other" else "between backward and optimizer"
    module = f" of {culprit.module}" if culprit.module else ""
    line = f" ({culprit.line})" if culprit.line else ""
    return f"{where}{module}{line}"
