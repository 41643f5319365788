"""Progress on standard error: a line for each thing that begins, a bar where one can be drawn."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from goldtrace.model.progress import Counted
    from goldtrace.model.spec import RunSpec
    from goldtrace.store.golden import GoldenStore
    from goldtrace.workflow.checking import Watch


_NAME = 40  # columns of a run's name beside its bar


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


@contextlib.contextmanager
def watching(store: GoldenStore) -> Iterator[Watch]:
    """A bar for each run that trains, with step, rate and time left; nothing but on a terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: contextlib.nullcontext()
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn

    from goldtrace.report.terminal.pace import Pace
    from goldtrace.report.text import clip

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        @contextlib.contextmanager
        def watch(spec: RunSpec, device: str) -> Iterator[Callable[[int], None]]:
            total = store.step_count(spec.name)
            pace = Pace(total)
            name = escape(clip(f"{spec.name} on {device}", _NAME))
            task = bars.add_task(name, total=total, pace=pace.told(0))

            def told(done: int) -> None:
                bars.update(task, completed=done, pace=pace.told(done))

            try:
                yield told
            finally:
                bars.remove_task(task)

        yield watch


def _left(seconds: float | None) -> str:
    return f", about {seconds:.0f} s left" if seconds is not None and seconds > 0 else ""
