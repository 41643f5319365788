"""Does one threshold tell rounding from behaviour? The table that calibration lives by.

    python benchmarks/separation.py [--runs transformer,lstm] [--traces DIR] [--releases DIR]
                                    [--steps N] [--page FILE]

Trains the first steps of five runs: the three reference runs, an LSTM and a depthwise CNN.
Each is calibrated as ``goldtrace record`` does it, and then trained again under changes that are
rounding only, and under the smallest changes of behaviour that people make. The table gives the
equivalent noise of each from the trajectory alone, in ulp. Fails where a change of behaviour is
not above the threshold, or a change of rounding is.

``--releases`` adds neighbouring releases of torch whose culprit operator differs by rounding (see
docs/explanation/releases.md), in environments that uv builds in a folder. ``--traces`` keeps the
traces, and uses those that are there already. ``--page`` writes what the documentation shows.
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
from separating.page import page, table
from separating.releases import RELEASES, environments
from separating.results import Results

from goldtrace.compare.calibration import judge_by
from goldtrace.compare.measure import measure
from goldtrace.compare.thresholds import NOISES
from goldtrace.determinism import profile_for
from goldtrace.model.codec import decode_trace, read_files

if TYPE_CHECKING:
    from goldtrace.compare.calibration import Judgement
    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace


def main() -> int:
    """Train what is missing, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default=",".join(RUNS), metavar="RUN,…")
    parser.add_argument("--steps", type=int, default=9, help="nine: sketches of 0, 1, 2, 4 and 8")
    for option, kind in (("traces", "DIR"), ("releases", "DIR"), ("page", "FILE")):
        parser.add_argument(f"--{option}", type=Path, metavar=kind)
    arguments = parser.parse_args()
    runs = arguments.runs.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        traces = arguments.traces or Path(scratch)
        steps = arguments.steps
        train(sys.executable, "cpu-portable", "changes", traces, steps, runs)
        train(sys.executable, "cpu-native", "native", traces, steps, runs)
        if arguments.releases is not None:
            for release, python in environments(arguments.releases).items():
                train(python, "cpu-portable", f"torch {release}", traces, steps, runs)
        results = Results(
            judged={run: judge(traces / run) for run in runs},
            steps={run: read(traces / run / "golden").step_count for run in runs},
        )
        print(table(results))
        if arguments.page is not None:
            arguments.page.write_text(page(results), encoding="utf-8")
    return int(bool(results.wrong))


def train(python: str, profile: str, variants: str, out: Path, steps: int, runs: list[str]) -> None:
    """Train in a process that has the pins of a profile from its start."""
    folder = Path(__file__).parent
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        **profile_for(profile, "cpu").environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    command = [python, "-m", "separating.train", str(out), variants, str(steps), *runs]
    subprocess.run(command, env=environment, check=True)


def calibrated(folder: Path) -> Calibration:
    """The calibration of the golden in a folder."""
    noisy = [(noise, read(folder / "noise" / str(noise))) for noise in NOISES]
    return measure(read(folder / "golden"), noisy)


def judge(folder: Path) -> dict[str, dict[str, Judgement]]:
    """The judgement on every change of a run, by group and change."""
    golden, calibration = read(folder / "golden"), calibrated(folder)
    found = {
        group: {
            change.name: judge_by(calibration, golden, read(change))
            for change in sorted((folder / group).iterdir())
            if change.suffix != ".part"
        }
        for group in ("rounding", "behaviour")
    }
    old, new = (folder / f"torch {release}" for release in RELEASES)
    if (new / "golden").exists():
        name = f"torch {old.name.split()[1]} → {new.name.split()[1]}"
        found["rounding"][name] = judge_by(
            calibrated(old), read(old / "golden"), read(new / "golden")
        )
    return found


def read(folder: Path) -> Trace:
    """The trace in a folder."""
    return decode_trace(read_files(folder))


if __name__ == "__main__":
    sys.exit(main())
