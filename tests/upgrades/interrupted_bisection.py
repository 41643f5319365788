"""A bisection in a process of its own, which is brought to an end at its writes to the journal.

    python interrupted_bisection.py DIRECTORY none|half|after|journal-full|traces-full PIN…

Small packages come from the index that uv is configured with. Every training is noted in
``trained.txt``, the answer is printed as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from fake_packages import PrintedRun

from goldtrace.bisect import journal
from goldtrace.bisect.probe import TraceCache
from goldtrace.errors import GoldtraceError
from goldtrace.packages.today import Today
from goldtrace.report.document.upgrades import bisection_document
from goldtrace.workflow import bisecting
from goldtrace.workflow.means import Means

append = journal._append
store = TraceCache.store


def killed_in_the_middle(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line[: len(line) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def killed_after(descriptor: int, line: bytes) -> None:
    append(descriptor, line)
    os.kill(os.getpid(), signal.SIGKILL)


def full(descriptor: int, line: bytes) -> None:
    limit(os.fstat(descriptor).st_size + 10)
    append(descriptor, line)


def traces_full(self: TraceCache, key: str, trace: object) -> None:
    limit(100)
    store(self, key, trace)


def limit(size: int) -> None:
    """Let the kernel refuse what would make a file larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class NotedRun(PrintedRun):
    """Notes the release that it is trained with."""

    def train(self, interpreter):
        with (self.root / "trained.txt").open("a") as file:
            file.write(f"{interpreter.parent.parent.name}\n")
        return super().train(interpreter)


def main() -> int:
    directory, how, *pins = sys.argv[1:]
    # A process of a shell's background would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ends = {"half": killed_in_the_middle, "after": killed_after, "journal-full": full}
    journal._append = ends.get(how, append)
    if how == "traces-full":
        TraceCache.store = traces_full
    names = tuple(pin.partition("==")[0] for pin in pins)
    today = Today(requirements=names, pins=tuple(pins), editable=())
    bisecting.todays_environment = lambda: today
    run = NotedRun(root=Path(directory), modules=names)
    means = Means(directory=Path(directory, "workspace"), ahead=False)
    try:
        found = bisecting.bisect_package(
            run, "engine", means, first="1.0", last="1.8", everything=True
        )
    except GoldtraceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(bisection_document(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
