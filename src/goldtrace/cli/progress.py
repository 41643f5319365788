"""Progress on standard error: a line for each thing that begins, a bar where one can be drawn."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goldtrace.calibrating import Counted


def announce(sentence: str) -> None:
    """Say that a training begins."""
    print(f"training {sentence}", file=sys.stderr)


@contextlib.contextmanager
def counting(what: str) -> Iterator[Counted]:
    """A bar on a terminal, otherwise a line now and then; both with an estimate of what is left."""
    if not sys.stderr.isatty():
        yield lambda done, total, left: print(
            f"calibrating {what}: {done} of {total} runs{_left(left)}", file=sys.stderr
        )
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("calibrating {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, left="")

        def counted(done: int, total: int, left: float | None) -> None:
            bar.update(task, completed=done, total=total, left=_left(left).removeprefix(", "))

        yield counted


def _left(seconds: float | None) -> str:
    return f", about {seconds:.0f} s left" if seconds is not None and seconds > 0 else ""
