"""The table of the separation benchmark: for a terminal, and for docs/explanation/separation.md."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from goldtrace.compare.thresholds import NOISES, ROUNDING_ULP
from goldtrace.model.machine import processor
from separating.results import FACTOR, is_wrong

if TYPE_CHECKING:
    from goldtrace.compare.calibration import Judgement
    from separating.results import Results

GROUPS = ("rounding", "behaviour")


def table(results: Results) -> str:
    """The table as text."""
    width = max(len(run) for run in results.judged) + 2
    lines = []
    for group in GROUPS:
        lines.append(f"\n{group:28}" + "".join(f"{run:>{width}}" for run in results.judged))
        lines += [
            f"{change:28}"
            + "".join(
                f"{_cell(group, run[group].get(change)):>{width}}"
                for run in results.judged.values()
            )
            for change in results.changes(group)
        ]
    lines.append(f"\nthreshold {ROUNDING_ULP:g} ulp")
    for run in results.judged:
        margin = results.margin(run)
        short = "" if margin.factor >= FACTOR else f", below {FACTOR:g}"
        lines.append(
            f"{run:{width}} {show(margin.rounding):>6} ({margin.worst}) … "
            f"{show(margin.behaviour)} ({margin.best}): factor {margin.factor:.3g}{short}"
        )
    return "\n".join(lines)


def page(results: Results) -> str:
    """The same as a page of the documentation."""
    runs = list(results.judged)
    head = "| " + " | ".join(["rounding only", *runs]) + " |\n| --- |" + " ---: |" * len(runs)
    rows = [head]
    for group in GROUPS:
        if group == "behaviour":
            rows.append("| **behaviour** |" + " |" * len(runs))
        for change in results.changes(group):
            cells = [_cell(group, run[group].get(change)) for run in results.judged.values()]
            rows.append("| " + " | ".join([change, *cells]) + " |")
    margins = {run: results.margin(run) for run in runs}
    factors = [f"{margin.factor:.3g}" for margin in margins.values()]
    rows.append("| " + " | ".join(["*least behaviour / most rounding*", *factors]) + " |")
    steps = [str(results.steps[run]) for run in runs]
    rows.append("| " + " | ".join(["*steps trained*", *steps]) + " |")
    nearest = "\n".join(
        f"| `{run}` | {margin.worst}: {_where(results.judged[run]['rounding'][margin.worst])} "
        f"| {margin.best}: {_where(results.judged[run]['behaviour'][margin.best])} |"
        for run, margin in margins.items()
    )
    values = {
        "torch": importlib.metadata.version("torch"),
        "cpu": f"{processor().model} ({processor().isa})",
        "runs": len(NOISES),
        "small": f"{min(noise.ulp for noise in NOISES):g}",
        "large": f"{max(noise.ulp for noise in NOISES):g}",
        "threshold": f"{ROUNDING_ULP:g}",
        "table": "\n".join(rows),
        "nearest": nearest,
    }
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    return Template(template).substitute(values)


def show(ulp: float) -> str:
    """Two digits."""
    if ulp == 0:
        return "0"
    return f"{ulp:.1e}".replace("e+0", "e") if ulp >= 1e4 else f"{ulp:.{0 if ulp >= 10 else 1}f}"


def _cell(group: str, judgement: Judgement | None) -> str:
    if judgement is None:
        return "-"
    return show(judgement.ulp) + (" !" if is_wrong(group, judgement) else "")


def _where(judgement: Judgement) -> str:
    if judgement.ulp == 0:
        return "nowhere"
    peak = judgement.equivalents[0]
    return f"{peak.quantity} at step {peak.step}"
