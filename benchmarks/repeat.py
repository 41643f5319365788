"""The same verdict every time: checks in fresh processes while every core is kept busy.

``python benchmarks/repeat.py [--times N]`` checks the declared runs again and again, each time in
new processes and beside one spinning process a core, and fails at the first verdict that isn't
``identical``.
"""

from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from goldtrace.store.golden import GoldenStore
from goldtrace.workflow.checking import check
from goldtrace.workflow.selecting import select

GOLDEN = Path("golden")


def main() -> int:
    """Check, count and print; 1 unless everything was identical."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    times, device = (arguments := parser.parse_args()).times, arguments.device
    cores = os.cpu_count() or 1
    verdicts: collections.Counter[tuple[str, str]] = collections.Counter()
    with ExitStack() as load:
        for _ in range(cores):
            spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            load.callback(spinning.wait)
            load.callback(spinning.kill)
        for number in range(times):
            runs = select(GOLDEN, [], [device])
            for result in check(
                runs, store=GoldenStore(GOLDEN), root=Path.cwd(), jobs=1 + number % cores
            ):
                verdict = result.verdict.value if result.verdict else "not judged"
                verdicts[result.name, result.skipped or verdict] += 1
            print(f"round {number + 1} of {times}: {dict(verdicts)}", flush=True)
    return int(any(verdict != "identical" for _, verdict in verdicts))


if __name__ == "__main__":
    raise SystemExit(main())
