"""Operators of the CPU whose bits follow the processor under every pin, as data.

Found by computing every operator of the atlas (``goldtrace.reference.operators``) under the pins of
``cpu-portable`` on emulated processors: ``tests/portability/survey.py``. Of 902 results 894 could
be compared with an emulated Haswell and EPYC; the emulator dies of LSTM and grid sampling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PLATFORM = "cpu-portable"
"""The only platform that promises the same bits on every processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unportable:
    """An operator of ``aten``, without its overload, and why no pin makes it portable."""

    name: str
    reason: str


_VENDOR = "MKL's vector math, whose last bit follows the processor even under MKL_CBWR=COMPATIBLE"

UNPORTABLE = (
    Unportable(name="asin", reason=_VENDOR),
    Unportable(name="atan", reason=_VENDOR),
    Unportable(
        name="linalg_cholesky_ex",
        reason="MKL's factorisation, whose last bits follow the processor even under MKL_CBWR",
    ),
)
"""What a golden for every processor cannot hold, in the order of the alphabet."""

_NAMES = frozenset(operator.name for operator in UNPORTABLE)


def unportable_among(operators: Iterable[str], platform: str) -> tuple[str, ...]:
    """Those of some operators (``aten::atan_``) that keep a golden of ``platform`` on one CPU."""
    if platform != PLATFORM:
        return ()
    return tuple(sorted(_NAMES & {_plain(name) for name in operators}))


def warning(operators: Iterable[str]) -> str:
    """What to tell whoever uses them."""
    names = ", ".join(operators)
    return (
        f"no pin makes {names} portable: this golden may fail on another CPU; "
        "the profile universal holds there"
    )


def _plain(operator: str) -> str:
    name = operator.partition("::")[2].partition(".")[0]
    return name.removeprefix("_foreach_").rstrip("_")
