"""What a calibration adds to a check: reading it, and judging a trace that differs everywhere.

``python benchmarks/checking.py [--run transformer] [--most RATIO]`` trains a run under
``cpu-portable`` and under ``cpu-native``, so that every step differs by rounding, and prints the
processor's time of the judgement as a share of the run's. Fails above ``--most``.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from goldtrace.compare import compare_traces
from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES
from goldtrace.diagnose import diagnose
from goldtrace.launch import launch
from goldtrace.model.calibration_codec import decode_calibration, encode_calibration
from goldtrace.store.declared import load_run

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES = 9
"""Judgements whose median counts."""


def main() -> int:
    """Measure and print; 1 when calibrated checking is too expensive."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="transformer")
    parser.add_argument("--most", type=float, default=0.02, help="largest share of the run allowed")
    arguments = parser.parse_args()
    root = Path.cwd()
    spec = load_run(root / "golden" / arguments.run / "run.toml")
    golden = launch(spec, "cpu", root=root)
    # One run of each size will do: it is about time.
    noises = (NOISES[0], NOISES[-1])
    known = measure(golden, [(n, launch(spec, "cpu", root=root, noise=n)) for n in noises])
    stored = encode_calibration(known)
    before = children()
    now = launch(replace(spec, profile="cpu-native"), "cpu", root=root)
    run = children() - before
    plain = seconds(lambda: compare_traces(golden, now, tolerance={}))
    calibrated = seconds(
        lambda: compare_traces(golden, now, tolerance={}, calibration=decode_calibration(stored))
    )
    comparison = compare_traces(golden, now, tolerance={}, calibration=known)
    diagnosis = seconds(lambda: diagnose(golden, now, comparison))
    share = (calibrated - plain) / run
    print(
        f"{arguments.run}: {comparison.verdict.value}, {len(comparison.divergences)} differences\n"
        f"  the run takes {run:.1f} s of a processor, comparing {plain * 1e3:.0f} ms, "
        f"diagnosing {diagnosis * 1e3:.0f} ms\n"
        f"  the calibration adds {(calibrated - plain) * 1e3:.0f} ms: {share:.2%} of the run"
    )
    return int(share > arguments.most)


def children() -> float:
    """Seconds of a processor that ended children have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def seconds(work: Callable[[], object]) -> float:
    """The median processor time of a piece of work."""
    times = []
    for _ in range(TIMES):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return statistics.median(times)


if __name__ == "__main__":
    raise SystemExit(main())
