"""The verdicts of a check as a table for the terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING

from goldtrace.model.verdict import Verdict
from goldtrace.report.phrases import finding
from goldtrace.report.text import clip, count_of, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.model.verdict import RunResult

_LOG = 160  # columns, where nothing says how wide the reader's log is


def render_table(
    results: Sequence[RunResult],
    *,
    width: int | None = None,
    terminal: bool | None = None,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """One line for each result: state, run, device, seconds, finding.

    ``width`` defaults to the terminal's, or ``COLUMNS``; ``terminal`` to whether standard output
    is one. Colours are used on a terminal only, and never under ``NO_COLOR``.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if terminal is None:
        terminal = sys.stdout.isatty()
    out = io.StringIO()
    console = Console(
        file=out,
        width=width or shutil.get_terminal_size((_LOG, 24)).columns,
        force_terminal=terminal,
        no_color=bool(environment.get("NO_COLOR")) or not terminal,
        color_system="standard" if terminal else None,
        legacy_windows=False,
        highlight=False,
        _environ={},
    )
    table = Table(box=None, pad_edge=False, show_header=bool(results), header_style="bold")
    table.add_column("")
    table.add_column("run", overflow="fold")
    table.add_column("device")
    table.add_column("time", justify="right")
    table.add_column("finding", overflow="fold")
    for result in results:
        state, style = _state(result)
        seconds = "" if result.seconds is None else f"{result.seconds:.1f} s"
        table.add_row(
            Text(state, style=style),
            # Text, not str: names must not be read as rich's markup.
            Text(clip(result.name, 40)),
            Text(plain(result.device)),
            Text(seconds),
            # The first column says so already.
            Text(finding(result).removeprefix("skipped: ").removeprefix("error: ")),
        )
    console.print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join([*lines, "", _summary(results)])


def _summary(results: Sequence[RunResult]) -> str:
    """``3 runs: 2 passed, 1 failed``."""
    counts = Counter(_state(result)[0] for result in results)
    words = {
        "pass": "passed",
        "warn": "passed with rounding",
        "FAIL": "failed",
        "error": "not judged",
        "skip": "skipped",
    }
    parts = [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
    return f"{count_of(len(results), 'run')}: {', '.join(parts) or 'nothing was checked'}"


def _state(result: RunResult) -> tuple[str, str]:
    if result.skipped is not None:
        return "skip", "yellow"
    if result.verdict is None:
        return "error", "bold red"
    if not result.passed:
        return "FAIL", "bold red"
    return ("warn", "yellow") if result.verdict is Verdict.ROUNDING else ("pass", "green")
