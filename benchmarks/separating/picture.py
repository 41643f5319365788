"""The picture of the documentation: what noise, rounding and behaviour do to a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goldtrace.model.calibration import Calibration
    from goldtrace.model.trace import Trace

ROUNDING = ("channels-last", "oneDNN off", "sums reversed", "2 threads")
BEHAVIOUR = ("one pair swapped", "learning rate +0.1 %", "label smoothing 1e-4", "momentum 0.9001")
_BLUES = ("#08519c", "#3182bd", "#6baed6", "#9ecae1")
_REDS = ("#7f2704", "#d94801", "#f16913", "#a50f15")
_FLOOR = 1e-8


def draw(folder: Path, calibration: Calibration, read: Callable[[Path], Trace], out: Path) -> None:
    """Draw the losses of one run, and how far they are from the golden's."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    golden = _losses(read(folder / "golden"))
    steps = sorted(golden)
    responses = calibration.scalars["loss"]
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(8.6, 6.4), sharex=True, height_ratios=(1, 2.2), facecolor="white"
    )
    for group, names, colours in (
        ("rounding", ROUNDING, _BLUES),
        ("behaviour", BEHAVIOUR, _REDS),
    ):
        for name, colour in zip(names, colours, strict=True):
            losses = _losses(read(folder / group / name))
            style = {"color": colour, "linestyle": "-" if group == "rounding" else "--"}
            upper.plot(steps, [losses[step] for step in steps], linewidth=1.2, **style)
            apart = [max(abs(losses[step] - golden[step]), _FLOOR) for step in steps]
            lower.plot(steps, apart, linewidth=1.8, label=name, **style)
    upper.plot(steps, list(golden.values()), color="black", linewidth=2.4, label="golden", zorder=3)
    lower.fill_between(
        steps,
        [max(responses[step].small, _FLOOR) for step in steps],
        [max(responses[step].large, _FLOOR) for step in steps],
        color="#31a354",
        alpha=0.22,
        linewidth=0,
        label=f"calibrated band:\n{calibration.small:g} to {calibration.large:g} ulp of noise",
    )
    upper.set(ylabel="loss")
    upper.set_title(f"{folder.name}: the losses look alike, their differences do not", loc="left")
    upper.legend(loc="lower left", frameon=False)
    lower.set(xlabel="step", ylabel="difference to the golden's loss", yscale="log")
    lower.text(0.01, 0.02, "bottom: the same bits", transform=lower.transAxes, color="#555555")
    handles, labels = lower.get_legend_handles_labels()
    order = [-1, *range(len(BEHAVIOUR), 2 * len(BEHAVIOUR)), *range(len(ROUNDING))]
    lower.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        loc="center left",
        bbox_to_anchor=(1.01, 0.6),
        frameon=False,
    )
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#e5e5e5", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.savefig(out, dpi=130, bbox_inches="tight")


def _losses(trace: Trace) -> dict[int, float]:
    return {
        step.number: step.scalars["loss"].value for step in trace.steps if "loss" in step.scalars
    }
