"""Text from goldens, tests and exceptions, made safe and short enough for one line of a terminal.

Names and values come from files that a stranger may have written: nothing in them may move the
cursor, colour a line, forge a second one or change the direction of writing.
"""

from __future__ import annotations

import re
import unicodedata

_DIGEST = re.compile(r"[0-9a-f]{24,}")
SPECIAL = re.compile(r"([\\`*_\[\]<>|&~#$@!])")
"""The characters that Markdown, GitHub or GitLab make something of."""

CELL = 300
"""Columns that a cell of a table may take."""

_ELLIPSIS = "…"
_FAR = 1e5  # ulps; above, a power of ten and a percentage read better than the whole number
_NOTABLE = 1e-3  # per cent
_MANIFOLD = 1e4  # per cent; above, a percentage says less than the two numbers


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


def escaped(text: str, *, width: int = CELL) -> str:
    """Text that stays on its line and in its cell of Markdown, and becomes no markup.

    It mentions nobody and links no issue: forges look for those behind the escapes, so that
    ``@`` and ``#`` are parted from what follows by a space of no width.
    """
    text = SPECIAL.sub(r"\\\1", clip(text, width))
    return text.replace("\\@", "@\u200b").replace("\\#", "#\u200b")


def is_digest(value: str | None) -> bool:
    """Whether a recorded value is a digest, which tells a reader nothing."""
    return value is not None and _DIGEST.fullmatch(value) is not None


def distance(golden: str, current: str, ulp: float) -> str:
    """How far apart two numbers are: in ulp, and relatively where they are far apart."""
    if ulp < _FAR:
        return f"{ulp:.2g} ulp" if ulp < 1 else f"{ulp:,.0f} ulp"
    text = f"{ulp:.1e} ulp".replace("e+0", "e").replace("e+", "e")
    try:
        reference = float(golden)
        percent = 100 * (float(current) - reference) / abs(reference)
    except (ValueError, ZeroDivisionError):
        return text
    return f"{percent:+.3g} %, {text}" if _NOTABLE <= abs(percent) < _MANIFOLD else text


def since(step: int | None) -> str:
    """``from step 7``, or in words what comes before the first step and after the last."""
    if step is None:
        return "at the end"
    return "before step 0" if step < 0 else f"from step {step}"


def at(step: int | None) -> str:
    """``at step 7``, or in words what comes before the first step and after the last."""
    return since(step).replace("from ", "at ")


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
