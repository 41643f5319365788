"""Does one threshold tell rounding from behaviour? The table that calibration lives by.

    python benchmarks/separation.py [--runs transformer,lstm] [--traces DIR]

Trains the first nine steps of five runs: the three reference runs, an LSTM and a depthwise CNN.
Each is calibrated as ``goldtrace record`` does it, and then trained again under changes that are
rounding only, and under the smallest changes of behaviour that people make. The table gives the
equivalent noise of each from the trajectory alone, in ulp. Fails where a change of behaviour is
not above the threshold, or a change of rounding is.

``--traces`` keeps the traces, and uses those that are there already.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from separating.models import RUNS

from goldtrace.compare.calibration import judge_by
from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES, ROUNDING_ULP
from goldtrace.determinism import profile_for
from goldtrace.model.codec import decode_trace

if TYPE_CHECKING:
    from goldtrace.compare.calibration import Judgement
    from goldtrace.model.trace import Trace

FACTOR = 10.0
"""How far apart the two groups should be."""


def main() -> int:
    """Train what is missing, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default=",".join(RUNS), metavar="RUN,…")
    parser.add_argument("--traces", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    runs = arguments.runs.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        traces = arguments.traces or Path(scratch)
        for profile in ("cpu-portable", "cpu-native"):
            train(profile, traces, runs)
        return report({run: judge(traces / run) for run in runs})


def train(profile: str, out: Path, runs: list[str]) -> None:
    """Train in a process that has the pins of a profile from its start."""
    folder = Path(__file__).parent
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        **profile_for(profile, "cpu").environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [sys.executable, "-m", "separating.train", str(out), profile, *runs]
    subprocess.run(command, env=environment, check=True)


def judge(folder: Path) -> dict[str, dict[str, Judgement]]:
    """The judgement on every change of a run, by group and change."""
    golden = read(folder / "golden")
    noisy = [(noise, read(folder / "noise" / str(noise))) for noise in NOISES]
    calibration = measure(golden, noisy)
    print(f"{folder.name}: horizon {calibration.horizon}, {dict(calibration.horizons)}")
    return {
        group: {
            change.name: judge_by(calibration, golden, read(change))
            for change in sorted((folder / group).iterdir())
        }
        for group in ("rounding", "behaviour")
    }


def read(folder: Path) -> Trace:
    """The trace in a folder."""
    return decode_trace(
        {name: (folder / name).read_bytes() for name in ("header.json", "steps.jsonl")}
    )


def report(results: dict[str, dict[str, dict[str, Judgement]]]) -> int:
    """Print the table and the distance of the groups; 1 where one threshold does not do."""
    width = max(len(run) for run in results) + 2
    overlap = False
    for group in ("rounding", "behaviour"):
        changes = sorted({change for run in results.values() for change in run[group]})
        print(f"\n{group:28}" + "".join(f"{run:>{width}}" for run in results))
        for change in changes:
            cells = []
            for run in results.values():
                judgement = run[group].get(change)
                ulp = judgement.ulp if judgement is not None else None
                wrong = ulp is not None and (ulp > ROUNDING_ULP) != (group == "behaviour")
                overlap |= wrong
                cells.append("-" if ulp is None else f"{show(ulp)}{' !' if wrong else ''}")
            print(f"{change:28}" + "".join(f"{cell:>{width}}" for cell in cells))
    print(f"\nthreshold {ROUNDING_ULP:g} ulp")
    for run, groups in results.items():
        worst, which = max((j.ulp, change) for change, j in groups["rounding"].items())
        best, smallest = min((j.ulp, change) for change, j in groups["behaviour"].items())
        factor = best / worst if worst else float("inf")
        print(
            f"{run:{width}} {show(worst):>6} ({which}) … {show(best)} ({smallest}): "
            f"factor {factor:.3g}" + ("" if factor >= FACTOR else f", below {FACTOR:g}")
        )
    return int(overlap)


def show(ulp: float) -> str:
    """Two digits."""
    return f"{ulp:.1e}" if ulp >= 1e4 else f"{ulp:.0f}" if ulp >= 10 else f"{ulp:.1f}"


if __name__ == "__main__":
    sys.exit(main())
