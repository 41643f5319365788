"""A culprit in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.model.diagnosis import Cause

if TYPE_CHECKING:
    from goldtrace.model.diagnosis import Culprit

_FINDING = {
    Cause.ARGUMENT: "was given another argument",
    Cause.RNG: "drew otherwise",
    Cause.ROUNDING: "gave other bits from identical inputs",
    Cause.PRECISION: "gave less or more exact results from identical inputs",
    Cause.BEHAVIOUR: "gave other results from identical inputs",
    Cause.PROGRAM: "is where the program differs",
    Cause.DATA: "was given other data",
}


def clause(culprit: Culprit) -> str:
    """``backward of encoder.2.proj: aten::mm gave other bits from identical inputs, …``."""
    finding = f"{culprit.op} {_FINDING[culprit.cause]}"
    return f"{place_of(culprit)}: {finding}, {culprit.what}"


def place_of(culprit: Culprit) -> str:
    """``forward of encoder.2 (model.py:31)``."""
    phase = culprit.phase.value if culprit.phase is not None else "somewhere"
    where = phase if phase != "other" else "between backward and optimizer"
    module = f" of {culprit.module}" if culprit.module else ""
    line = f" ({culprit.line})" if culprit.line else ""
    return f"{where}{module}{line}"
