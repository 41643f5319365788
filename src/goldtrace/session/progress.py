"""The progress of a running golden test, on the line of the terminal that pytest is writing."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from goldtrace.report.terminal.pace import Pace
from goldtrace.report.text import clip, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

_ERASE = "\x1b[K"  # from the cursor to the end of the line
_NARROW = 12  # columns; less room than that shows nothing


@contextmanager
def shown(config: pytest.Config, total: int | None) -> Iterator[Callable[[int], None] | None]:
    """What to call with the number of finished steps; ``None`` where nobody watches.

    The text stands behind the cursor, which goes back to its place: whatever pytest writes next
    looks as if nothing had been there.
    """
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    writer: Any = getattr(terminal, "_tw", None)
    file = getattr(writer, "_file", None)
    watched = file is not None and file.isatty() and os.environ.get("TERM") != "dumb"
    if not watched or config.option.verbose < 0 or config.option.capture == "no":
        yield None
        return
    pace, drawn = Pace(total), False

    def show(steps: int) -> None:
        nonlocal drawn
        room = writer.fullwidth - writer.width_of_current_line - 2
        if room >= _NARROW:
            text = clip(f" {pace.told(steps)}", room)
            dim, bright = ("\x1b[2m", "\x1b[0m") if writer.hasmarkup else ("", "")
            _write(config, file, f"{_ERASE}{dim}{text}{bright}\x1b[{width_of(text)}D")
            drawn = True

    try:
        yield show
    finally:
        if drawn:
            _write(config, file, _ERASE)


def _write(config: pytest.Config, file: Any, text: str) -> None:
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        file.write(text)
        file.flush()
