"""The operators of the atlas, each with inputs that are the same bits everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldtrace.reference.atlas import arrays, draws, elementwise, layers

if TYPE_CHECKING:
    from goldtrace.reference.atlas.case import Case


def cases() -> list[Case]:
    """Every case, in a fixed order."""
    return [*elementwise.cases(), *arrays.cases(), *layers.cases(), *draws.cases()]
