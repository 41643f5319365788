"""The picture of the documentation: what noise, rounding and behaviour do to a loss.

    python benchmarks/picture.py [--run depthwise] [--steps 40] [--traces DIR] --out FILE

Trains one run of the separation benchmark, calibrates it, and draws its loss step by step beside
those of changes that are rounding only and of changes of behaviour.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt
from separation import calibrated, read, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace

ROUNDING = ("channels-last", "oneDNN off", "2 threads")
BEHAVIOUR = ("one pair swapped", "learning rate +0.1 %", "label smoothing 1e-4")
_BLUES = ("#08306b", "#2171b5", "#6baed6")
_REDS = ("#67000d", "#d94801", "#fd8d3c")
_GREEN = "#31a354"
_FLOOR = 1e-8


def main() -> int:
    """Train what is missing, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="depthwise")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--traces", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        traces = arguments.traces or Path(scratch)
        train(sys.executable, "cpu-portable", "changes", traces, arguments.steps, [arguments.run])
        draw(traces / arguments.run, arguments.out)
    return 0


def draw(folder: Path, out: Path) -> None:
    """Draw the losses above, and below how far they are from the golden's."""
    golden, calibration = losses(read(folder / "golden")), calibrated(folder)
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(9.2, 6.6), sharex=True, height_ratios=(1, 2.1), facecolor="white"
    )
    for group, names, colours in (
        ("behaviour", BEHAVIOUR, _REDS),
        ("rounding", ROUNDING, _BLUES),
    ):
        for name, colour in zip(names, colours, strict=True):
            found = losses(read(folder / group / name))
            style = {"color": colour, "linestyle": "-" if group == "rounding" else "--"}
            upper.plot(list(found), list(found.values()), linewidth=1, **style)
            apart = [max(abs(found[step] - golden[step]), _FLOOR) for step in golden]
            lower.plot(list(golden), apart, linewidth=1.6, label=name, **style)
    upper.plot(list(golden), list(golden.values()), color="black", linewidth=2.2, label="golden")
    upper.set(ylabel="loss")
    upper.set_title("The losses look alike …", loc="left", fontsize=11)
    upper.legend(loc="upper right", frameon=False)
    band(lower, calibration, list(golden))
    lower.set(xlabel="step", ylabel="distance to the golden's loss", yscale="log")
    lower.set_title(
        "… their distances to the golden do not, until noise has grown", loc="left", fontsize=11
    )
    lower.annotate(
        "the same bits",
        (0.995, _FLOOR * 1.2),
        ha="right",
        color="#555555",
        xycoords=("axes fraction", "data"),
    )
    lower.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#e8e8e8", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.savefig(out, dpi=120, bbox_inches="tight")


def band(axes: Axes, calibration: Calibration, steps: list[int]) -> None:
    """What noise does: the calibrated band, and the horizon where the loss has one."""
    responses = calibration.scalars["loss"]
    axes.fill_between(
        steps,
        [max(responses[step].small, _FLOOR) for step in steps],
        [max(responses[step].large, _FLOOR) for step in steps],
        color=_GREEN,
        alpha=0.22,
        linewidth=0,
        label=f"calibrated band:\n{calibration.small:g} to {calibration.large:g} ulp of noise",
    )
    horizon = calibration.horizons["loss"]
    if horizon < steps[-1]:
        axes.axvline(horizon + 0.5, color=_GREEN, linewidth=1, linestyle=":", label="horizon")


def losses(trace: Trace) -> dict[int, float]:
    """The loss of each step."""
    return {
        step.number: step.scalars["loss"].value for step in trace.steps if "loss" in step.scalars
    }


if __name__ == "__main__":
    raise SystemExit(main())
