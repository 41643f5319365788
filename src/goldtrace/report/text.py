"""Text from goldens, tests and exceptions, made safe and short enough for one line of a terminal.

Names and values come from files that a stranger may have written: nothing in them may move the
cursor, colour a line, forge a second one or change the direction of writing.
"""

from __future__ import annotations

import re
import unicodedata

_DIGEST = re.compile(r"[0-9a-f]{24,}")
_DIGEST_SHOWN = 12
_ELLIPSIS = "…"
_EXACT = 1e5  # up to here a whole number of ulps reads better than a power of ten


def plain(text: str) -> str:
    """``text`` on one line, with every character that isn't printable as its Python escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width_of(text: str) -> int:
    """The number of terminal cells that plain text takes."""
    return sum(_cells(character) for character in text)


def clip(text: str, width: int) -> str:
    """Plain text in at most ``width`` cells; what is too long loses its middle."""
    text = plain(text)
    if width_of(text) <= width:
        return text
    if width <= 1:
        return _ELLIPSIS[:width]
    head = (width - 1) // 2
    return _fitting(text, head) + _ELLIPSIS + _fitting(text[::-1], width - 1 - head)[::-1]


def pad(text: str, width: int) -> str:
    """Plain text filled up with spaces to ``width`` cells."""
    return text + " " * max(0, width - width_of(text))


def shown(value: str | None) -> str:
    """A recorded value for a reader: digests by their first characters, what is absent in words."""
    if value is None:
        return "nothing"
    if _DIGEST.fullmatch(value):
        return value[:_DIGEST_SHOWN]
    return plain(value)


def ulps(count: float) -> str:
    """A distance in units in the last place, to about three digits."""
    if count < 1:
        return f"{count:.2g} ulp"
    if count < _EXACT:
        return f"{count:,.0f} ulp"
    return f"{count:.1e} ulp".replace("e+0", "e").replace("e+", "e")


def step_name(step: int | None) -> str:
    """``step 7``, or in words what comes before the first step and after the last."""
    if step is None:
        return "end of run"
    return "before step 0" if step < 0 else f"step {step}"


def count_of(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``, ``1,200 steps``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _fitting(text: str, width: int) -> str:
    used, kept = 0, 0
    for character in text:
        used += _cells(character)
        if used > width:
            break
        kept += 1
    return text[:kept]


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
