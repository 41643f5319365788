"""How often does clean code raise an alarm? Two hundred trainings that nobody changed.

    python benchmarks/false_alarms.py [--times 200] [--runs transformer,lstm] [--page FILE]

Small runs of the separation benchmark are calibrated once, with the pins of ``cpu-portable``, and
then trained again and again: under both CPU profiles, with 1, 2 and 4 threads, beside none, one or
several processes that keep the cores busy, ``EACH`` trainings in each fresh process. Every
trace is judged as ``goldtrace check`` would without a tape. Fails at any verdict but
``identical`` and ``rounding``, and where one thread under the golden's pins gives other bits.
"""

from __future__ import annotations

import argparse
import collections
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from string import Template

from separating.repeats import EACH, circumstances, trainings
from separation import calibrated, read, train

from goldtrace.compare import compare_traces
from goldtrace.model.verdict import Verdict

RUNS = ("transformer", "lstm", "depthwise")
STEPS = 5
_SPINNING = "import os; os.nice(19)\nwhile True: pass"


def main() -> int:
    """Train, judge, count; 1 at a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--runs", default=",".join(RUNS), metavar="RUN,…")
    parser.add_argument("--page", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    runs = arguments.runs.split(",")
    counts: collections.Counter[tuple[str, int, str]] = collections.Counter()
    worst: dict[tuple[str, int], float] = collections.defaultdict(float)
    loads: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        train(sys.executable, "cpu-portable", "golden", out, STEPS, runs)
        known = {run: (read(out / run / "golden"), calibrated(out / run)) for run in runs}
        for number in range(-(-arguments.times // EACH)):
            profile, busy = circumstances(number)
            with ExitStack() as load:
                for _ in range(busy):
                    spinning = subprocess.Popen([sys.executable, "-c", _SPINNING])
                    load.callback(spinning.wait)
                    load.callback(spinning.kill)
                train(sys.executable, profile, f"repeat {number}", out, STEPS, runs)
            for place, (run, threads) in enumerate(trainings(number, runs)):
                golden, calibration = known[run]
                found = compare_traces(
                    golden,
                    read(out / f"repeat {number}" / str(place)),
                    tolerance={},
                    calibration=calibration,
                )
                counts[profile, threads, found.verdict.value] += 1
                key = (profile, threads)
                worst[key] = max(worst[key], found.equivalent_ulp or 0.0)
            loads.append(os.getloadavg()[0])
            print(f"{(number + 1) * EACH} trainings: {dict(counts)}", flush=True)
    alarms = sum(
        count
        for (profile, threads, verdict), count in counts.items()
        if verdict not in (Verdict.IDENTICAL.value, Verdict.ROUNDING.value)
        or (threads == 1 and profile == "cpu-portable" and verdict != Verdict.IDENTICAL.value)
    )
    if arguments.page is not None:
        arguments.page.write_text(page(counts, worst, runs, loads, alarms), encoding="utf-8")
    return int(alarms > 0)


def page(
    counts: collections.Counter[tuple[str, int, str]],
    worst: dict[tuple[str, int], float],
    runs: list[str],
    loads: list[float],
    alarms: int,
) -> str:
    """What docs/explanation/false-alarms.md says."""
    rows = [
        f"| `{profile}` | {threads} | {counts[profile, threads, 'identical']} "
        f"| {counts[profile, threads, 'rounding']} | {counts[profile, threads, 'drift']} "
        f"| {worst[profile, threads]:.1f} |"
        for profile, threads in sorted(worst)
    ]
    template = Path(__file__).parent / "separating" / "false_alarms.md"
    return Template(template.read_text(encoding="utf-8")).substitute(
        times=sum(counts.values()),
        runs=", ".join(runs),
        steps=STEPS,
        each=EACH,
        cores=len(os.sched_getaffinity(0)),
        least=f"{min(loads):.0f}",
        most=f"{max(loads):.0f}",
        torch=importlib.metadata.version("torch"),
        rows="\n".join(rows),
        alarms=alarms,
    )


if __name__ == "__main__":
    raise SystemExit(main())
