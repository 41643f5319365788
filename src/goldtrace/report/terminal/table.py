"""The verdicts of a check as a table for the terminal."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from goldtrace.model.verdict import Verdict
from goldtrace.report.document import to_document
from goldtrace.report.text import clip, count_of, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goldtrace.model.verdict import RunResult

_LOG = 160  # columns, where nothing says how wide the reader's log is


def render_table(results: Sequence[RunResult], **options: Any) -> str:
    """``render_rows`` of results."""
    return render_rows(to_document(results)["runs"], **options)


def render_rows(
    runs: Sequence[Mapping[str, Any]],
    *,
    width: int | None = None,
    terminal: bool | None = None,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """One line for each run of a document: state, run, device, seconds, finding.

    ``width`` defaults to the terminal's, or ``COLUMNS``; ``terminal`` to whether standard output
    is one. Colours are used on a terminal only, and never under ``NO_COLOR``.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if terminal is None:
        terminal = sys.stdout is not None and sys.stdout.isatty()
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
    table = Table(box=None, pad_edge=False, show_header=bool(runs), header_style="bold")
    table.add_column("")
    table.add_column("run", overflow="fold")
    table.add_column("device")
    table.add_column("time", justify="right")
    table.add_column("finding", overflow="fold")
    for run in runs:
        state, style = _state(run)
        seconds = "" if run["seconds"] is None else f"{run['seconds']:.1f} s"
        table.add_row(
            Text(state, style=style),
            # Text, not str: names must not be read as rich's markup.
            Text(clip(run["name"], 40)),
            Text(plain(run["device"])),
            Text(seconds),
            # The first column says so already.
            Text(run["headline"].removeprefix("skipped: ").removeprefix("error: ")),
        )
    console.print(table)
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    return "\n".join([*lines, "", summary(runs)])


def summary(runs: Sequence[Mapping[str, Any]]) -> str:
    """``3 runs: 2 passed, 1 failed``."""
    counts = Counter(_state(run)[0] for run in runs)
    words = {
        "pass": "passed",
        "warn": "passed with rounding",
        "FAIL": "failed",
        "error": "not judged",
        "skip": "skipped",
    }
    parts = [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
    return f"{count_of(len(runs), 'run')}: {', '.join(parts) or 'nothing was checked'}"


def _state(run: Mapping[str, Any]) -> tuple[str, str]:
    if run["skipped"] is not None:
        return "skip", "yellow"
    if run["verdict"] is None:
        return "error", "bold red"
    if not run["passed"]:
        return "FAIL", "bold red"
    return ("warn", "yellow") if run["verdict"] == Verdict.ROUNDING.value else ("pass", "green")
